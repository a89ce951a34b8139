"""The eventsourcing library opens the same tables, reads what we wrote and writes what we read."""

import asyncio
import threading
import time
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner

from emporium.application.ports import Conflict, EventLog, Unit
from emporium.infra.eventstore import EventStore
from emporium.infra.eventstore.library import LibraryEvent, library_environment
from tests.integration.eventstore.things import REGISTRY, TALLY, Tally, new, unit


class Alpha(Application[UUID]):
    name = "alpha"


class Seen(Projection[TrackingRecorder]):
    """Counts what a `ProjectionRunner` is given; tracks in the log's own tracking table."""

    name = "alpha"
    positions: ClassVar[list[int]] = []
    last: ClassVar[int | None] = None
    reached: ClassVar[threading.Event] = threading.Event()

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.positions.append(tracking.notification_id)
        if tracking.notification_id % 100 == 0:
            self.view.insert_tracking(tracking)
        if tracking.notification_id == Seen.last:
            self.reached.set()


async def test_an_application_reads_and_writes_our_log(store: EventStore, dsn: str) -> None:
    log, stream = store["alpha"], uuid4()
    events = [new(stream, 1), new(stream, 2), new(stream, 3)]
    await log.append(Unit(events=events[:2]))

    def work() -> tuple[list[Any], list[Any]]:
        with Alpha(env=library_environment(dsn, "alpha", REGISTRY)) as app:
            before = list(app.events.get(stream))
            app.save(LibraryEvent(events[2]))
            with pytest.raises(IntegrityError):
                app.save(LibraryEvent(events[2]))
            assert [n.id for n in app.notification_log.select(start=1, limit=10)] == [1, 2, 3]
            return before, list(app.events.get(stream))

    before, after = await asyncio.to_thread(work)
    assert before == [LibraryEvent(event) for event in events[:2]]
    assert after == [LibraryEvent(event) for event in events]
    recorded = await log.stream(stream)
    assert [(r.id, r.event, r.meta, r.at) for r in recorded] == [(e.id, e.event, e.meta, e.at) for e in events]
    assert await log.load(TALLY, stream, fresh=True) == (Tally(name="x", total=2), 3)
    with pytest.raises(Conflict):
        await log.append(unit(stream, 3))


async def test_both_write_at_once_and_no_reader_misses_anything(store: EventStore, dsn: str) -> None:
    log = store["alpha"]
    environment = library_environment(dsn, "alpha", REGISTRY)
    finish = time.monotonic() + 2.5
    Seen.positions.clear()

    def stock_writer() -> int:
        written = 0
        with Alpha(env=environment) as app:
            while time.monotonic() < finish:
                stream = uuid4()
                app.save(LibraryEvent(new(stream, 1)), LibraryEvent(new(stream, 2)))
                written += 2
        return written

    async def writer() -> int:
        written = 0
        while time.monotonic() < finish:
            stream = uuid4()
            await log.append(unit(stream, 1, 2, 3))
            written += 3
        return written

    async def tail(written: "asyncio.Future[int]") -> list[int]:
        seen: list[int] = []

        async def read(from_there: EventLog) -> None:
            async for page in from_there.follow(0, 200):
                seen.extend(event.position for event in page)

        async with await EventStore.open({"alpha": dsn}, REGISTRY) as other:
            reading = asyncio.create_task(read(other["alpha"]))
            while len(seen) < await written:
                await asyncio.sleep(0.01)
            reading.cancel()
            return seen

    total: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tailing = asyncio.create_task(tail(total))
    runner = await asyncio.to_thread(
        lambda: ProjectionRunner(
            application_class=Alpha, projection_class=Seen, view_class=PostgresTrackingRecorder, env=environment
        )
    )
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(_run, runner, stop))
    try:
        *own, theirs = await asyncio.gather(*(writer() for _ in range(8)), asyncio.to_thread(stock_writer))
        ours = sum(own)
        assert ours > 0 < theirs
        total.set_result(ours + theirs)
        async with asyncio.timeout(20):
            seen = await tailing
            Seen.last = await log.head()
            if Seen.positions[-1] != Seen.last:
                await asyncio.to_thread(Seen.reached.wait, 20)
    finally:
        stop.set()
        await running
    everything = await _all(log)
    assert seen == everything
    assert Seen.positions == everything
    assert len(everything) == ours + theirs


def _run(runner: ProjectionRunner[Any, Any], stop: threading.Event) -> None:
    with runner:
        stop.wait()


async def _all(log: Any) -> list[int]:
    after, positions = 0, []
    while True:
        events, upto = await log.read(after, 1000)
        if upto == after:
            return positions
        positions += [event.position for event in events]
        after = upto
