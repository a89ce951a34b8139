"""A machine's key: what it may do, until when, and who made or revoked it. Of the key itself only a hash is known."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, State
from emporium.domain.customer import ROLES
from emporium.domain.text import check_text

NAME_MOST: Final = 100

SCOPES: Final = tuple(
    f"{role}:{access}" for role in ROLES if role not in ("customer", "admin") for access in ("read", "write")
)
"""What a key may be allowed to do: to look at all that a role may see, or to change it as well.

A key is nobody's account and makes no accounts or keys, so there are none for customers and administrators.
"""


class ApiKeyCreated(Event, frozen=True, kw_only=True):
    """A machine may call the gateway.

    Attributes:
        digest: the SHA-256 of the key, which is 256 bits of chance.
        scopes: `role:read` or `role:write`.
        expires_at: when it ends in any case.
    """

    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    digest: bytes
    expires_at: datetime


class ApiKeyRevoked(Event, frozen=True, kw_only=True):
    """The key is worth nothing any more."""

    key_id: UUID
    at: datetime


class ApiKeyState(State, frozen=True, kw_only=True):
    """What a key remembers."""

    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime
    revoked: bool = False


class CreateApiKey(Command, frozen=True, kw_only=True):
    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    digest: bytes
    expires_at: datetime


class RevokeApiKey(Command, frozen=True, kw_only=True):
    key_id: UUID
    at: datetime


API_KEY_EXISTS = Reason("api_key_exists", "The key exists already.")
NO_SUCH_API_KEY = Reason("no_such_api_key", "There is no such key.", "missing")
UNKNOWN_SCOPE = Reason("unknown_scope", "There is no scope {scope}.", "invalid")
SCOPE_NEEDED = Reason("scope_needed", "A key needs at least one scope.", "invalid")


def decide(command: Command, key: ApiKeyState | None) -> Sequence[Event]:
    """The events that the command makes of this key. Raises Rejected."""
    if isinstance(command, CreateApiKey):
        if key is not None:
            raise API_KEY_EXISTS()
        for scope in command.scopes:
            if scope not in SCOPES:
                raise UNKNOWN_SCOPE(scope=scope, field="scopes")
        if not command.scopes:
            raise SCOPE_NEEDED(field="scopes")
        return [
            ApiKeyCreated(
                key_id=command.key_id,
                name=check_text("name", command.name, NAME_MOST),
                scopes=tuple(scope for scope in SCOPES if scope in command.scopes),
                digest=command.digest,
                expires_at=command.expires_at,
            )
        ]
    if key is None:
        raise NO_SUCH_API_KEY()
    if not isinstance(command, RevokeApiKey):
        raise TypeError(f"a key does not know {type(command).__name__}")
    return [] if key.revoked else [ApiKeyRevoked(key_id=key.key_id, at=command.at)]


def evolve(key: ApiKeyState | None, event: Event) -> ApiKeyState:
    """The key after the event."""
    if isinstance(event, ApiKeyCreated):
        return ApiKeyState(key_id=event.key_id, name=event.name, scopes=event.scopes, expires_at=event.expires_at)
    if key is None:
        raise ValueError("a key begins with ApiKeyCreated")
    return replace(key, revoked=True)


API_KEY: Final = Aggregate(
    name="ApiKey",
    log="accounts",
    state=ApiKeyState,
    events=(ApiKeyCreated, ApiKeyRevoked),
    decide=decide,
    evolve=evolve,
)
