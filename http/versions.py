"""If-Match: a change is made to what the caller looked at, or refused with what changed since."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from emporium.application.catalog import OutOfDate
from emporium.application.ports import Recorded
from emporium.http.problems import KINDS, Problem
from emporium.http.request import Request

__all__ = ["HistoryEntry", "entry", "etag", "expected_version", "late"]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who made it, when, and what it says; `version` counts the changes of the thing."""

    version: int
    at: datetime
    actor: str
    event: str
    data: dict[str, Any]


def entry(recorded: Recorded) -> HistoryEntry:
    """A change as it is shown."""
    data: Mapping[str, Any] = msgspec.to_builtins(recorded.event)
    kind = type(recorded.event).__name__
    return HistoryEntry(
        version=recorded.version, at=recorded.at, actor=recorded.meta.actor, event=kind, data=dict(data)
    )


def etag(version: int) -> bytes:
    """The ETag of a version."""
    return b'"%d"' % version


def expected_version(request: Request, *, needed: bool) -> int | None:
    """The version that If-Match names; None for any. Raises Problem (version_needed, invalid_header)."""
    given = request.header(b"if-match")
    if given is None:
        if needed:
            raise KINDS.version_needed()
        return None
    if given.strip() == b"*":
        return None
    tag = given.strip().strip(b'"')
    if not tag.isdigit() or len(tag) > 18:
        raise KINDS.invalid_header("If-Match must be the ETag of what is to be changed.")
    return int(tag)


def late(error: OutOfDate) -> Problem:
    """The refusal of a change that would be lost on somebody else's."""
    since: Sequence[HistoryEntry] = [entry(one) for one in error.since]
    values = {"version": error.version, "changes": msgspec.to_builtins(since)}
    return KINDS.out_of_date(values=values, headers={"ETag": etag(error.version).decode()})
