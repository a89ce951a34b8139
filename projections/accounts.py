"""Accounts as administrators see them: who is staff, who is invited, which machines have keys. Persons stay sealed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from emporium.application.ports import Recorded
from emporium.domain import api_key as k
from emporium.domain import customer as c
from emporium.domain import invitation as i
from emporium.domain.base import Event, Sealed
from emporium.projections.model import Connection, ReadModel, Tables
from emporium.projections.paging import Page, decode_cursor, page_of

__all__ = ["ACCOUNTS", "AccountRow", "InvitationRow", "KeyRow", "invitations", "keys", "staff"]

# --- tables ----------------------------------------------------------------------------------------

DDL: Final = """
CREATE TABLE accounts (
    customer_id uuid PRIMARY KEY,
    status text NOT NULL,
    email jsonb,
    name jsonb,
    roles text[] NOT NULL,
    staff boolean NOT NULL,
    verified boolean NOT NULL,
    two_factor boolean NOT NULL,
    registered_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE invitations (
    invitation_id uuid PRIMARY KEY,
    status text NOT NULL,
    email jsonb NOT NULL,
    roles text[] NOT NULL,
    invited_by text NOT NULL,
    invited_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE TABLE keys (
    key_id uuid PRIMARY KEY,
    name text NOT NULL,
    scopes text[] NOT NULL,
    revoked boolean NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS accounts_staff ON accounts (registered_at DESC, customer_id DESC) WHERE staff;
CREATE INDEX IF NOT EXISTS invitations_newest ON invitations (invited_at DESC, invitation_id DESC);
CREATE INDEX IF NOT EXISTS keys_newest ON keys (made_at DESC, key_id DESC);
"""

_ACCOUNT_EVENTS: Final = (
    c.CustomerRegistered,
    c.EmailVerified,
    c.ProfileChanged,
    c.TwoFactorEnabled,
    c.TwoFactorDisabled,
    c.RoleGranted,
    c.RoleRevoked,
    c.CustomerErased,
)

# --- fold ------------------------------------------------------------------------------------------


class _Account(msgspec.Struct):
    customer_id: UUID
    status: str
    email: Sealed | None
    name: Sealed | None
    roles: list[str]
    staff: bool
    verified: bool
    two_factor: bool
    registered_at: datetime


class _Invitation(msgspec.Struct):
    invitation_id: UUID
    status: str
    email: Sealed
    roles: Sequence[str]
    invited_by: str
    invited_at: datetime
    expires_at: datetime


class _Key(msgspec.Struct):
    key_id: UUID
    name: str
    scopes: Sequence[str]
    revoked: bool
    made_by: str
    made_at: datetime
    expires_at: datetime


async def fold(tables: Tables, _: str, events: Sequence[Recorded]) -> None:
    """The rows of the accounts log's events."""
    await _fold_accounts(tables, [one for one in events if isinstance(one.event, _ACCOUNT_EVENTS)])
    await _fold_invitations(tables, [one for one in events if isinstance(one.event, i.INVITATION.events)])
    await _fold_keys(tables, [one for one in events if isinstance(one.event, k.API_KEY.events)])


async def _fold_accounts(tables: Tables, events: Sequence[Recorded]) -> None:
    new = {one.stream for one in events if isinstance(one.event, c.CustomerRegistered)}
    known = list(dict.fromkeys(one.stream for one in events if one.stream not in new))
    rows: dict[UUID, _Account] = {}
    for customer_id, status, email, name, roles, staff, verified, two_factor, at in await tables.fetch(
        "SELECT customer_id, status, email::text, name::text, roles, staff, verified, two_factor, registered_at"
        " FROM accounts WHERE customer_id = ANY(%s)",
        known,
    ):
        rows[customer_id] = _Account(
            customer_id, status, _sealed(email), _sealed(name), roles, staff, verified, two_factor, at
        )
    for one in events:
        _follow(rows, one)
    await tables.write(
        "INSERT INTO accounts SELECT * FROM json_populate_recordset(NULL::accounts, %s)"
        " ON CONFLICT (customer_id) DO UPDATE SET status = excluded.status, email = excluded.email,"
        " name = excluded.name, roles = excluded.roles, staff = excluded.staff, verified = excluded.verified,"
        " two_factor = excluded.two_factor",
        list(rows.values()),
    )


def _follow(rows: dict[UUID, _Account], one: Recorded) -> None:
    event: Any = one.event
    if isinstance(event, c.CustomerRegistered):
        roles = list(event.roles)
        rows[one.stream] = _Account(
            event.customer_id, c.ACTIVE, event.email, event.name, roles, _is_staff(roles), False, False, event.at
        )
        return
    row = rows[one.stream]
    match event:
        case c.EmailVerified():
            row.verified = True
        case c.ProfileChanged():
            row.email = row.email if event.email is msgspec.UNSET else event.email
            row.name = row.name if event.name is msgspec.UNSET else event.name
        case c.TwoFactorEnabled() | c.TwoFactorDisabled():
            row.two_factor = isinstance(event, c.TwoFactorEnabled)
        case c.RoleGranted():
            row.roles = [role for role in c.ROLES if role in (*row.roles, event.role)]
        case c.RoleRevoked():
            row.roles = [role for role in row.roles if role != event.role]
        case c.CustomerErased():
            row.status, row.email, row.name, row.roles = c.ERASED, None, None, []
            row.verified = row.two_factor = False
    row.staff = _is_staff(row.roles)


def _is_staff(roles: Sequence[str]) -> bool:
    return any(role != "customer" for role in roles)


async def _fold_invitations(tables: Tables, events: Sequence[Recorded]) -> None:
    made = [
        _Invitation(
            one.event.invitation_id,
            i.OPEN,
            one.event.email,
            one.event.roles,
            one.meta.actor,
            one.at,
            one.event.expires_at,
        )
        for one in events
        if isinstance(one.event, i.StaffInvited)
    ]
    closed = {
        one.stream: i.ACCEPTED if isinstance(one.event, i.InvitationAccepted) else i.WITHDRAWN
        for one in events
        if not isinstance(one.event, i.StaffInvited)
    }
    await _list(tables, "invitations", "invitation_id", made, "status", closed)


async def _fold_keys(tables: Tables, events: Sequence[Recorded]) -> None:
    made = [
        _Key(one.event.key_id, one.event.name, one.event.scopes, False, one.meta.actor, one.at, one.event.expires_at)
        for one in events
        if isinstance(one.event, k.ApiKeyCreated)
    ]
    revoked = {one.stream: True for one in events if isinstance(one.event, k.ApiKeyRevoked)}
    await _list(tables, "keys", "key_id", made, "revoked", revoked)


async def _list(
    tables: Tables, name: str, key: str, made: Sequence[msgspec.Struct], column: str, ended: Mapping[UUID, object]
) -> None:
    """Writes the rows of what was made, and into one column how what has ended did."""
    await tables.write(f"INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, %s)", made)
    await tables.write(
        f"UPDATE {name} t SET {column} = x.{column} FROM json_populate_recordset(NULL::{name}, %s) x"
        f" WHERE t.{key} = x.{key}",
        [{key: stream, column: value} for stream, value in ended.items()],
    )


def _sealed(text: str | None) -> Sealed | None:
    return None if text is None else msgspec.json.decode(text, type=Sealed)


_EVENTS: Final[tuple[type[Event], ...]] = (*_ACCOUNT_EVENTS, *i.INVITATION.events, *k.API_KEY.events)

ACCOUNTS: Final = ReadModel(
    name="accounts",
    version=1,
    logs={"accounts": _EVENTS},
    ddl=DDL,
    indexes=INDEXES,
    key=lambda one: one.stream,
    fold=fold,
)

# --- queries ---------------------------------------------------------------------------------------


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff. `email` and `name` are sealed, with the account's id as stream."""

    customer_id: UUID
    status: str
    email: Sealed | None
    name: Sealed | None
    roles: tuple[str, ...]
    verified: bool
    two_factor: bool
    registered_at: datetime


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation. `email` is sealed, with the invitation's id as subject and stream."""

    invitation_id: UUID
    status: str
    email: Sealed
    roles: tuple[str, ...]
    invited_by: str
    invited_at: datetime
    expires_at: datetime


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's key."""

    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    revoked: bool
    made_by: str
    made_at: datetime
    expires_at: datetime


async def staff(connection: Connection, *, limit: int, cursor: str | None = None) -> Page[AccountRow]:
    """The members of staff, the newest account first. Raises BadCursor."""
    at, last = (None, None) if cursor is None else decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        "SELECT customer_id, status, email::text, name::text, roles, verified, two_factor, registered_at"
        " FROM rm_accounts.accounts WHERE staff AND (%(at)s::timestamptz IS NULL"
        " OR (registered_at, customer_id) < (%(at)s, %(last)s::uuid))"
        " ORDER BY registered_at DESC, customer_id DESC LIMIT %(limit)s",
        {"at": at, "last": last, "limit": limit + 1},
    )
    rows = [
        AccountRow(
            customer_id=customer_id,
            status=status,
            email=_sealed(email),
            name=_sealed(name),
            roles=tuple(roles),
            verified=verified,
            two_factor=two_factor,
            registered_at=registered_at,
        )
        for customer_id, status, email, name, roles, verified, two_factor, registered_at in await found.fetchall()
    ]
    return page_of(rows, limit, lambda row: (row.registered_at, row.customer_id))


async def invitations(connection: Connection, *, limit: int, cursor: str | None = None) -> Page[InvitationRow]:
    """All invitations, the newest first. Raises BadCursor."""
    at, last = (None, None) if cursor is None else decode_cursor(cursor, tuple[datetime, UUID])
    found = await connection.execute(
        "SELECT invitation_id, status, email::text, roles, invited_by, invited_at, expires_at"
        " FROM rm_accounts.invitations WHERE %(at)s::timestamptz IS NULL"
        " OR (invited_at, invitation_id) < (%(at)s, %(last)s::uuid)"
        " ORDER BY invited_at DESC, invitation_id DESC LIMIT %(limit)s",
        {"at": at, "last": last, "limit": limit + 1},
    )
    rows = [
        InvitationRow(
            invitation_id=invitation_id,
            status=status,
            email=msgspec.json.decode(email, type=Sealed),
            roles=tuple(roles),
            invited_by=invited_by,
            invited_at=invited_at,
            expires_at=expires_at,
        )
        for invitation_id, status, email, roles, invited_by, invited_at, expires_at in await found.fetchall()
    ]
    return page_of(rows, limit, lambda row: (row.invited_at, row.invitation_id))


async def keys(connection: Connection, *, limit: int, cursor: str | None = None) -> Page[KeyRow]:
    """All machines' keys, the newest first. Raises BadCursor."""
    at, last = (None, None) if cursor is None else decode_cursor(cursor, tuple[datetime, UUID])
    async with connection.cursor(row_factory=class_row(KeyRow)) as found:
        await found.execute(
            "SELECT key_id, name, scopes, revoked, made_by, made_at, expires_at FROM rm_accounts.keys"
            " WHERE %(at)s::timestamptz IS NULL OR (made_at, key_id) < (%(at)s, %(last)s::uuid)"
            " ORDER BY made_at DESC, key_id DESC LIMIT %(limit)s",
            {"at": at, "last": last, "limit": limit + 1},
        )
        rows = await found.fetchall()
    return page_of(rows, limit, lambda row: (row.made_at, row.key_id))
