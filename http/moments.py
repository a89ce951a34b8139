"""Moments that callers name: always with a time zone, in bodies and in the query."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta

from emporium.http.problems import KINDS, Wrong

__all__ = ["AsOf", "Moment", "as_it_was_at"]

Moment = Annotated[datetime, Meta(tz=True, examples=["2026-12-24T00:00:00Z"])]
AsOf = Annotated[
    datetime | None,
    QueryParameter(description="What it was at this moment (with a time zone); now where it is left out."),
]


def as_it_was_at(as_of: datetime | None) -> datetime | None:
    """The moment, of which the query's own type says nothing about its zone. Raises Problem (invalid_parameter)."""
    try:
        return msgspec.convert(as_of, Moment | None)
    except msgspec.ValidationError as wrong:
        raise KINDS.invalid_parameter(errors=[Wrong(f"{wrong}, such as Z", parameter="as_of")]) from None
