"""Read your own writes: tokens that say how far a read must see, and a waiter that knows how far it can."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from emporium.application.ports import EventLog
from emporium.projections.generations import CHANNEL, LIVE
from emporium.projections.model import ReadModel

__all__ = ["Token", "TokenRefused", "Waiter", "token_of"]

_POLL: Final = 0.5
_RETRY: Final = 0.2
_LONGEST: Final = 1_000
_PART: Final = re.compile(r"([a-z][a-z_]*)\.([0-9a-z]{1,13})\.([0-9a-f]{12})")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_log = logging.getLogger(__name__)


class TokenRefused(ValueError):  # noqa: N818
    """The token cannot be read, or belongs to a former life of a log: no wait will ever satisfy it."""


class Token(msgspec.Struct, frozen=True):
    """How far a read must see: by log the position and the log's incarnation (its first 12 hex digits).

    As text `ordering.2n9c.9f8e7d6c5b4a-payments.1z.…`: safe in headers, addresses and cookies.
    """

    positions: Mapping[str, tuple[int, str]] = {}

    def encode(self) -> str:
        """The token as text."""
        return "-".join(f"{log}.{_base36(at)}.{life}" for log, (at, life) in sorted(self.positions.items()))

    @staticmethod
    def decode(text: str) -> "Token":
        """The token of a text. Raises TokenRefused."""
        positions = {}
        for part in text.split("-") if text else ():
            match = _PART.fullmatch(part) if len(text) <= _LONGEST else None
            if match is None:
                raise TokenRefused("this is no consistency token")
            positions[match[1]] = (int(match[2], 36), match[3])
        return Token(positions)

    def merge(self, newer: "Token") -> "Token":
        """What both ask for. Of two lives of a log the newer token's counts."""
        merged = dict(self.positions)
        for log, (at, life) in newer.positions.items():
            known = merged.get(log)
            merged[log] = (max(at, known[0]), life) if known is not None and known[1] == life else (at, life)
        return Token(merged)


def token_of(log: EventLog, position: int) -> Token:
    """Asks for everything of a log up to a position (of `append`)."""
    return Token({log.name: (position, _life(log.incarnation))})


def _life(incarnation: UUID) -> str:
    return incarnation.hex[:12]


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


class _Standing(msgspec.Struct, frozen=True):
    """How a model's live generation is: whether this program can read it, and how far it is in each log."""

    serves: bool
    positions: Mapping[str, tuple[int, UUID | None]]


class Waiter:
    """Knows how far the read models are: woken by their commits, with a slow poll for when that is lost.

    Args:
        dsn: the read models' database; needs a direct connection, for LISTEN.
        logs: for their present incarnations.
    """

    def __init__(self, dsn: str, models: Iterable[ReadModel], logs: Mapping[str, EventLog]) -> None:
        self._dsn = dsn
        self._models = {model.name: model for model in models}
        self._logs = logs
        self._standings: dict[str, _Standing] = {}
        self._changed = asyncio.Condition()
        self._stale = asyncio.Event()
        self._waiting = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Waiter"]:
        """Listens while the context is open."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def serves(self, names: Sequence[str]) -> bool:
        """Whether this program can read the models' tables now: not where they are still of another layout,
        belong to a former life of a log, or cannot be reached."""
        return all(name in self._standings and self._standings[name].serves for name in names)

    def position(self, name: str) -> object:
        """Names how far a model is, as this process last saw it (half a second ago, where nobody waits): equal while
        it stands still. None where that is not known."""
        standing = self._standings.get(name)
        return None if standing is None or not standing.serves else standing.positions

    async def wait(self, names: Sequence[str], token: Token | None, timeout: float) -> bool:
        """Waits until the models serve and include the token.

        Logs that a model does not follow do not matter to it.

        Returns:
            False when `timeout` seconds were not enough (503, Retry-After).

        Raises:
            TokenRefused: the token belongs to a former life of a log; the client must drop it.
        """
        token = token or Token()
        for log, (_, life) in token.positions.items():
            if log not in self._logs or _life(self._logs[log].incarnation) != life:
                raise TokenRefused(f"the token is of a former life of the log {log}")
        if self._includes(names, token):
            return True
        self._waiting += 1
        self._stale.set()
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self._includes(names, token))
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def _includes(self, names: Sequence[str], token: Token) -> bool:
        return self.serves(names) and all(
            self._standings[name].positions[log][0] >= at
            for name in names
            for log, (at, _) in token.positions.items()
            if log in self._models[name].logs
        )

    # --- listening ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, application_name="emporium waiter"
                ) as connection:
                    await self._listen(connection)
            except (psycopg.Error, OSError) as error:
                _log.warning("positions of the read models are not known: %s", error)
            # Positions may have gone back with the database: nothing is known until it was asked again.
            self._standings = {}
            await asyncio.sleep(_RETRY)

    async def _listen(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name="emporium waiter"
        ) as reader:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            refresh = asyncio.create_task(self._refresh(reader))
            try:
                notices = asyncio.create_task(self._hear(connection))
                await asyncio.wait((refresh, notices), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (refresh, notices):
                    task.cancel()
                for result in await asyncio.gather(refresh, notices, return_exceptions=True):
                    if isinstance(result, Exception):
                        raise result

    async def _hear(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        async for _ in connection.notifies():
            if self._waiting:
                self._stale.set()

    async def _refresh(self, reader: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """Asks for the standings after every notice, at most one question at a time."""
        while True:
            self._stale.clear()
            self._standings = await self._read(reader)
            async with self._changed:
                self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await self._stale.wait()

    async def _read(self, reader: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, _Standing]:
        cursor = await reader.execute(
            "SELECT s.model, s.layout, json_object_agg(t.log, json_build_array(t.position, t.incarnation))::text"
            " FROM emporium_projection_status s JOIN emporium_projection_tracking t USING (model, generation)"
            " WHERE s.generation = %s AND s.model = ANY(%s) GROUP BY s.model, s.layout",
            [LIVE, list(self._models)],
        )
        standings = {}
        for name, layout, text in await cursor.fetchall():
            model = self._models[str(name)]
            positions = _POSITIONS.decode(str(text))
            standings[model.name] = _Standing(
                layout == model.layout
                and all(
                    log in positions and positions[log][1] in (None, self._logs[log].incarnation) for log in model.logs
                ),
                positions,
            )
        return standings


_POSITIONS: Final = msgspec.json.Decoder(dict[str, tuple[int, UUID | None]])
