"""Views on their way to the table: whoever asks for them waits for what is just being written."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from emporium.application.together import end
from emporium.projections import views
from emporium.projections.model import Connection

T = TypeVar("T")
NOW = datetime(2026, 1, 30, 12, tzinfo=UTC)


class Table:
    """Takes views while it is open; `error` is raised once instead."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.begun = asyncio.Event()
        self.written = 0
        self.error: Exception | None = None

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        self.begun.set()
        await self.opened.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.written += 1
        done: Any = None
        return done  # type: ignore[no-any-return]


async def test_a_flush_ends_after_the_one_that_is_under_way() -> None:
    table = Table()
    writer = views.Writer(table)
    writer.add(uuid4(), uuid4(), NOW)
    first = asyncio.create_task(writer.flush())
    await table.begun.wait()
    # Nothing waits any more, but what was there is not written yet.
    second = asyncio.create_task(writer.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    table.opened.set()
    await asyncio.gather(first, second)
    assert table.written == 1


async def test_what_cannot_be_written_does_not_end_the_writing(monkeypatch: Any) -> None:
    monkeypatch.setattr(views, "PACE", 0.0)
    table = Table()
    table.opened.set()
    table.error = RuntimeError("no partition")
    writer = views.Writer(table)
    running = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(5):
            writer.add(uuid4(), uuid4(), NOW)
            await table.begun.wait()
            writer.add(uuid4(), uuid4(), NOW)
            while not table.written:
                await asyncio.sleep(0)
    finally:
        await end([running])
