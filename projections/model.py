"""What a read model states: its name and version, the events it folds, its tables. The engine owns all else."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg

from emporium.application.ports import Recorded
from emporium.domain.base import Event

__all__ = ["Connection", "ReadModel", "Tables", "canonical"]

Connection = psycopg.AsyncConnection[Any]

_ENCODER: Final = msgspec.json.Encoder()


def canonical(value: Any) -> msgspec.Raw:
    """The value as JSON, for a column: equal values give equal text, whatever the history of their sets."""
    return msgspec.Raw(_ENCODER.encode(msgspec.to_builtins(value, str_keys=True, order="deterministic")))


class Tables:
    """The tables of one generation of a read model, within the engine's transaction.

    Names in the SQL are unqualified: they mean the generation that is folded.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, sql: LiteralString, rows: Sequence[Any]) -> None:
        """Runs one statement over all rows; its only parameter is a JSON array of them.

        The statement takes it apart with `json_populate_recordset(NULL::table, %s)`.
        """
        if rows:
            await self._connection.execute(sql, [_ENCODER.encode(rows).decode()])

    async def fetch(self, sql: LiteralString, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one query over all keys; its only parameter is their array."""
        if not keys:
            return []
        cursor = await self._connection.execute(sql, [list(keys)])
        return await cursor.fetchall()


class ReadModel(msgspec.Struct, frozen=True, kw_only=True):
    """One read model.

    Attributes:
        name: lower case; its live tables are in the schema `rm_<name>`.
        version: raised whenever the same events shall give other rows; the model is then rebuilt.
        logs: the event types that it folds, by log.
        ddl: creates its tables, by unqualified names.
        indexes: what only queries need; a rebuild makes it once the rows are there.
        key: what an event is about. While an event of a key is set aside, later ones of it wait.
        pace: seconds that a small batch waits for company under load: fewer, larger transactions.
        fold: writes the rows that a batch of one log's events makes. Rows must not depend on where
            batches begin nor on how logs interleave: every log owns its own columns or rows. No
            query per event, no serials, no clock.
    """

    name: str
    version: int
    logs: Mapping[str, tuple[type[Event], ...]]
    ddl: LiteralString
    indexes: LiteralString = ""
    key: Callable[[Recorded], UUID | str]
    pace: float = 0.05
    fold: Callable[[Tables, str, Sequence[Recorded]], Awaitable[None]]

    def topics(self, log: str) -> tuple[str, ...]:
        """The topics that it folds of a log."""
        return tuple(f"{log}.{event.__name__}" for event in self.logs[log])

    @property
    def layout(self) -> str:
        """Changes with the tables: rows of another layout cannot be read by this program."""
        return hashlib.sha256(f"{self.ddl}\n{self.indexes}\n{sorted(self.logs)}".encode()).hexdigest()[:16]

    @property
    def signature(self) -> str:
        """Changes with all that decides the rows but the code of the fold, for which `version` stands."""
        topics = sorted(topic for log in self.logs for topic in self.topics(log))
        return hashlib.sha256(f"{self.version}\n{self.layout}\n{topics}".encode()).hexdigest()[:16]
