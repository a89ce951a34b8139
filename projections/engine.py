"""Runs the read models of a process: leads each by a lease, wakes it when its logs grow, tells how it is."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from emporium.application.ports import EventLog, Leases, Superseded
from emporium.application.together import end, until_one_ends
from emporium.projections import generations
from emporium.projections.follower import TRANSIENT, Follower, Foreign, Moved, Paused, name_of
from emporium.projections.generations import LIVE, Generation
from emporium.projections.model import Connection, ReadModel
from emporium.projections.rebuild import Busy, Rebuild
from emporium.projections.source import LogSource

__all__ = ["Engine", "lease_of"]

HEARTBEAT: Final = 1.0
"""Seconds between two entries in the status table."""

LINGER: Final = 0.1
"""Seconds after which a model's position also passes events that it does not fold."""

_SMALL: Final = 200
_PAUSED: Final = 0.2
_WAITS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STOPPED: Final = 10.0

_log = logging.getLogger(__name__)


def lease_of(model: str) -> str:
    """The name of the lease of a model's live generation."""
    return f"projection.{model}"


class Engine:
    """All read models of one process. Several processes may run the same: each model has one leader.

    A model whose code differs from what its tables were made by (or whose log was restored) is
    rebuilt in the background. Meanwhile the old tables are kept up to date where their layout is the
    same; otherwise they stand still and are not served (`consistency.Waiter.serves`).

    Args:
        dsn: the read models' database, migrated.
        logs: every log that the models follow.
        owner: names this process, uniquely.
        ttl: seconds after which another process takes over from one that has died.
    """

    def __init__(
        self,
        dsn: str,
        models: Sequence[ReadModel],
        logs: Mapping[str, EventLog],
        leases: Leases,
        *,
        owner: str,
        ttl: float = 10.0,
    ) -> None:
        self._dsn = dsn
        self._models = models
        self._logs = logs
        self._leases = leases
        self._owner = owner
        self._ttl = ttl

    async def run(self) -> None:
        """Leads what it may, for ever; gives the leases back when it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for model in self._models:
                group.create_task(self._lead(model))

    # --- leadership --------------------------------------------------------------------------------

    async def _lead(self, model: ReadModel) -> None:
        while True:
            epoch = await self._acquire(model)
            if epoch is not None:
                try:
                    await self._reign(model, epoch)
                except Superseded:
                    _log.info("%s is led by another process now", model.name)
                finally:
                    with suppress(Exception):
                        async with asyncio.timeout(1.0):
                            await self._leases.release(lease_of(model.name), self._owner, epoch)
            await asyncio.sleep(self._ttl / 10)

    async def _reign(self, model: ReadModel, epoch: int) -> None:
        """Works while the lease holds. Raises Superseded."""
        await until_one_ends(self._keep(model, epoch), self._follow(model, epoch))

    async def _acquire(self, model: ReadModel) -> int | None:
        try:
            # A lease that ends a little early leaves the successor time to notice.
            return await self._leases.acquire(lease_of(model.name), self._owner, self._ttl * 0.8)
        except TRANSIENT as error:
            _log.warning("no lease for %s: %s", model.name, error)
            return None

    async def _keep(self, model: ReadModel, epoch: int) -> None:
        """Renews the lease. Without an answer the work goes on: a successor's epoch would end it."""
        while True:
            await asyncio.sleep(self._ttl / 4)
            try:
                held = await self._leases.renew(lease_of(model.name), self._owner, epoch, self._ttl * 0.8)
            except TRANSIENT as error:
                _log.warning("the lease of %s cannot be renewed: %s", model.name, error)
                continue
            if not held:
                raise Superseded

    # --- the work of a leader ----------------------------------------------------------------------

    async def _follow(self, model: ReadModel, epoch: int) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, application_name=name_of(model)
                ) as connection:
                    await self._serve(model, epoch, connection)
            except (Superseded, asyncio.CancelledError):
                raise
            except Exception as error:
                if time.monotonic() - began > _WAITS[-1]:
                    failures = 0
                wait = _WAITS[min(failures, len(_WAITS) - 1)] if isinstance(error, TRANSIENT) else _STOPPED
                failures += 1
                _log.warning("%s waits %s s", model.name, wait, exc_info=error)
                await self._tell(model, "retrying" if isinstance(error, TRANSIENT) else "stopped", error)
                await asyncio.sleep(wait)

    async def _tell(self, model: ReadModel, state: str, error: Exception | None) -> None:
        with suppress(Exception):
            async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                await connection.execute(
                    "UPDATE emporium_projection_status SET state = %s, error = %s, owner = %s, heartbeat = now()"
                    " WHERE model = %s AND generation = %s",
                    [state, None if error is None else f"{type(error).__name__}: {error}", self._owner,
                     model.name, LIVE],
                )  # fmt: skip

    async def _serve(self, model: ReadModel, epoch: int, connection: Connection) -> None:
        """Keeps the live generation up to date until it is another one. Raises Superseded."""
        await generations.install(connection, [model])
        stored, foreign = await self._assess(model, connection)
        if stored.version > model.version:
            # Its tables belong to a newer program, which shall lead it.
            raise Superseded
        rebuild = None
        if foreign or stored.signature != model.signature:
            rebuild = asyncio.create_task(self._rebuild(model))
        try:
            if rebuild is not None and (foreign or stored.layout != model.layout):
                await self._tell(model, "outdated", None)
                await rebuild
            else:
                await self._fold(stored, model, epoch, connection)
        finally:
            if rebuild is not None:
                await end((rebuild,))

    async def _assess(self, model: ReadModel, connection: Connection) -> tuple[Generation, bool]:
        """The live generation, and whether it was made from a former life of a log."""
        stored = await generations.generation(connection, model.name, LIVE)
        if stored is None:
            raise LookupError(f"{model.name} has no live generation")
        places = await generations.positions(connection, model.name, LIVE)
        foreign = any(
            row.incarnation not in (None, self._logs[log].incarnation)
            for log, row in places.items()
            if log in self._logs
        )
        return stored, foreign

    async def _rebuild(self, model: ReadModel) -> None:
        """Rebuilds the model, or waits until another process has done so."""
        while True:
            try:
                await Rebuild(self._dsn, model, self._logs, self._leases, owner=self._owner).run()
                return
            except Busy:
                await asyncio.sleep(1)
            except Exception as error:
                _log.warning("the rebuild of %s waits", model.name, exc_info=error)
                await asyncio.sleep(_WAITS[-1])
            with suppress(*TRANSIENT):
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    stored, foreign = await self._assess(model, connection)
                if stored.signature == model.signature and not foreign:
                    return

    async def _fold(self, stored: Generation, model: ReadModel, epoch: int, connection: Connection) -> None:
        sources = {log: LogSource(self._logs[log], model.topics(log)) for log in model.logs}
        follower = Follower(model, LIVE, connection, sources, epoch, idle=self._ttl * 0.8)
        try:
            await follower.claim()
            state, beat, grown = stored.state if stored.state == "filling" else "running", 0.0, True
            while True:
                if time.monotonic() - beat >= HEARTBEAT:
                    beat = time.monotonic()
                    await self._beat(follower, stored.signature, state)
                if grown:
                    try:
                        count = await follower.advance()
                    except Paused:
                        await asyncio.sleep(_PAUSED)
                        continue
                    if count < 0:
                        if state != "running":
                            state, beat = "running", 0.0
                            continue
                    elif 0 < count < _SMALL:
                        await asyncio.sleep(model.pace)
                # Logs that have not grown are not read to see it.
                grown = await self._grown(follower, sources, beat + HEARTBEAT - time.monotonic(), any_topic=True)
                if grown:
                    await self._grown(follower, sources, LINGER)
        except (Moved, Foreign):
            return

    async def _grown(
        self, follower: Follower, sources: Mapping[str, LogSource], timeout: float, *, any_topic: bool = False
    ) -> bool:
        """Whether one of the logs grows, by what the model folds or by anything, within `timeout` seconds."""
        for log, one in sources.items():
            if await one.wait(follower.positions[log], 0.0, any_topic=any_topic):
                return True
        timeout = max(timeout, 0.01)
        waits = [
            asyncio.create_task(one.wait(follower.positions[log], timeout, any_topic=any_topic))
            for log, one in sources.items()
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return any([task.result() for task in done])

    async def _beat(self, follower: Follower, signature: str, state: str) -> None:
        cursor = await follower.connection.execute(
            "UPDATE emporium_projection_status s SET heartbeat = now(), owner = %s, state = %s, error = NULL"
            " WHERE model = %s AND generation = %s AND signature = %s RETURNING EXISTS (SELECT FROM emporium_parked p"
            " WHERE p.model = s.model AND p.generation = s.generation AND p.retry)",
            [self._owner, state, follower.model.name, LIVE, signature],
        )
        row = await cursor.fetchone()
        if row is None:
            raise Moved
        if row[0]:
            with suppress(Paused):
                await follower.retry_parked()
