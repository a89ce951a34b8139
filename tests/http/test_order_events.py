"""Live status: nothing missed and nothing told twice, whoever looks on, over lost connections and restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.application.ports import Meta
from emporium.domain.base import Money
from emporium.domain.order import (
    AddNote,
    CompleteOrder,
    FailOrder,
    HoldOrder,
    RecordDispatch,
    RecordPayment,
    RecordReservation,
)
from emporium.http.app import create_app
from emporium.infra.settings import Settings
from tests.domain.spec import sealed, uid
from tests.http.client import API, Caller, House
from tests.http.conftest import running
from tests.http.test_order_desk import bought

STAFF = Meta("test", "request:test", "staff:test")


class Stream:
    """One request for events, read as they come."""

    def __init__(self, house: House, path: str, headers: dict[str, str], method: str = "GET") -> None:
        self._app = create_app(house.services)
        self._scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": API + path, "raw_path": (API + path).encode(), "query_string": b"", "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("shop", 80), "state": {},
        }  # fmt: skip
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._asked = False
        self._text = ""
        self.beats = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last = ""
        self.over = False

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self._sent.put_nowait(message)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stream"]:
        task = asyncio.create_task(self._app(self._scope, self._receive, self._send))  # type: ignore[arg-type]
        try:
            start = await asyncio.wait_for(self._sent.get(), 10)
            self.status = start["status"]
            self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
            yield self
        finally:
            self._gone.set()
            await asyncio.wait_for(task, 10)

    async def _read(self) -> None:
        message = await asyncio.wait_for(self._sent.get(), 10)
        self._text += message.get("body", b"").decode()
        self.over = not message.get("more_body", False)

    async def event(self) -> dict[str, Any] | None:
        """The next event's data, with its kind as `event`; None where the stream is over."""
        while True:
            while "\n\n" not in self._text:
                if self.over:
                    return None
                await self._read()
            block, self._text = self._text.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            self.beats += "" in fields
            self.last = fields.get("id", self.last)
            if "data" in fields:
                return {"event": fields["event"], **msgspec.json.decode(fields["data"])}

    async def rest(self) -> list[dict[str, Any]]:
        """All events until the stream is over."""
        found = []
        while (one := await self.event()) is not None:
            found.append(one)
        return found

    async def beat(self) -> None:
        """Waits for a sign of life."""
        before = self.beats
        while self.beats == before:
            await self._read()
            while "\n\n" in self._text and self._text.startswith(":"):
                self._text = self._text.split("\n\n", 1)[1]
                self.beats += 1


def listen(house: House, caller: Caller, number: str, last: str = "", method: str = "GET") -> Stream:
    headers = dict(caller.headers)
    if last:
        headers["last-event-id"] = last
    return Stream(house, f"/orders/{number}/events", headers, method)


async def step(house: House, kind: Any, number: str, **fields: Any) -> None:
    """Something happens to the order."""
    order_id = await house.shop.logs["ordering"].claimed("order_number", number.encode())
    await house.shop.execute(kind(order_id=order_id, **fields), STAFF)


PAID = {"amount": Money(995, "GBP")}
SHIPPED = {"parcel": 1, "of": 1, "carrier": "c", "tracking_number": "t", "tracking_url": "u"}


async def test_everybody_who_may_see_the_order_is_told_at_once(house: House) -> None:
    ada, guest, other, staff = (
        await house.register(),
        house.guest(),
        await house.register(),
        await house.staff("support"),
    )
    mine, theirs = await bought(ada), await bought(guest)
    async with (
        listen(house, ada, mine).open() as one,
        listen(house, staff, mine.lower()).open() as two,
        listen(house, guest, theirs).open() as three,
    ):
        assert (one.status, one.headers["content-type"], one.headers["cache-control"]) == (
            200, "text/event-stream", "no-store",
        )  # fmt: skip
        for stream in (one, two, three):
            first = await stream.event()
            assert first is not None and (first["status"], first["happened"]) == ("pending", "OrderCreated")
        await step(house, RecordPayment, mine, **PAID)
        await step(house, HoldOrder, mine, reason="a secret of staff")
        await step(house, AddNote, mine, note_id=uid(1), note=sealed("note", "OrderNoteAdded"))
        await step(house, RecordReservation, mine)
        for stream in (one, two):
            told = [await stream.event(), await stream.event()]
            assert [(one["happened"], one["status"]) for one in told if one] == [
                ("OrderPaid", "paid"), ("OrderConfirmed", "confirmed"),
            ]  # fmt: skip
        seen = await ada.get(f"/orders/{mine}", consistency_token=told[-1]["consistency_token"])  # type: ignore[index]
        assert seen.json()["status"] == "confirmed"
        await step(house, FailOrder, theirs, reason="payment_declined")
        told = await three.rest()
        assert [(one["event"], one["status"]) for one in told] == [("status", "failed"), ("end", "failed")]
        await step(house, RecordDispatch, mine, **SHIPPED)
        await step(house, CompleteOrder, mine)
        for stream in (one, two):
            told = await stream.rest()
            assert [one["status"] for one in told] == ["shipped", "fulfilled", "fulfilled"]
            assert (told[-1]["event"], told[-2]["terminal"]) == ("end", True)
    assert house.services.live.open == 0
    async with listen(house, ada, mine, last=one.last).open() as again:
        assert again.status == 204
    async with listen(house, ada, mine).open() as again:
        assert [one["happened"] for one in (await again.rest())[:-1]] == [
            "OrderCreated", "OrderPaid", "OrderConfirmed", "OrderDispatched", "OrderCompleted",
        ]  # fmt: skip
    for stranger in (other, guest, house.guest()):
        async with listen(house, stranger, mine).open() as refused:
            assert refused.status == 404
    for wrong in ("x", "99.9f8e7d6c5b4a!", f"99.{one.last.split('.')[1]}"):
        async with listen(house, ada, mine, last=wrong).open() as refused:
            assert refused.status == 400
    # An id of a former life of the log says nothing of this one.
    async with listen(house, ada, mine, last="3.9f8e7d6c5b4a").open() as anew:
        assert len(await anew.rest()) == 6


async def test_nothing_is_missed_or_told_twice_over_lost_connections_and_a_restart(settings: Settings) -> None:
    """A stream is cut off after every event, at two gateways by turns, while the order moves on all the time."""
    async with running(settings) as house:
        ada = await house.register()
        number = await bought(ada)
        async with (
            bootstrap.open_shop(settings) as shop,
            bootstrap.open_doors(shop) as doors,
            House.open(shop, doors) as other,
        ):
            told, last = [], ""
            moves = asyncio.create_task(_move(house, number))
            for turn in range(20):
                async with listen((house, other)[turn % 2], ada, number, last).open() as stream:
                    one = await stream.event()
                    last = stream.last
                    assert one is not None
                    told.append(one)
                    if one["event"] == "end" or one["terminal"]:
                        break
            await moves
        assert [one["happened"] for one in told] == [
            "OrderCreated", "OrderPaid", "OrderConfirmed", *["OrderDispatched"] * 5, "OrderCompleted",
        ]  # fmt: skip
        # The other gateway is gone; this one goes on where it left off.
        async with listen(house, ada, number, last).open() as stream:
            assert stream.status == 204


async def _move(house: House, number: str) -> None:
    await step(house, RecordPayment, number, **PAID)
    await step(house, RecordReservation, number)
    for parcel in range(1, 6):
        await step(house, RecordDispatch, number, **{**SHIPPED, "parcel": parcel, "of": 5})
    await step(house, CompleteOrder, number)


async def test_places_are_bounded_and_given_back(settings: Settings) -> None:
    there = msgspec.structs.replace(settings, streams=3, streams_each=2, stream_seconds=3_600.0)
    async with running(there) as house:
        ada, guest, staff = await house.register(), house.guest(), await house.staff("support")
        number, theirs = await bought(ada), await bought(guest)
        live = house.services.live
        live.heartbeat = 0.05
        async with listen(house, ada, number).open() as one, listen(house, ada, number).open():
            async with listen(house, ada, number).open() as full:
                assert (full.status, full.headers["retry-after"]) == (429, "5")
                assert b"too_many_streams" in (await full._sent.get())["body"]
            async with listen(house, guest, theirs).open():
                assert live.open == 3
                async with listen(house, staff, number).open() as full:
                    assert (full.status, full.headers["retry-after"]) == (503, "5")
            # Who goes away frees the place.
            assert live.open == 2
            async with listen(house, staff, number, method="HEAD").open() as head:
                assert head.status == 200
                await head._read()
                assert (head._text, live.open) == ("", 2)
            async with listen(house, staff, number).open() as three:
                await three.event()
                await three.beat()
                await three.beat()
            await one.event()
            # Whoever is logged out is told no more.
            await ada.post("/account/logout-all")
            await one.rest()
            assert one.over
        assert live.open == 0
        live.longest = 0.05
        async with listen(house, staff, number).open() as short:
            assert [one["event"] for one in await short.rest()] == ["status"]
        live.longest = 3_600.0
        async with listen(house, staff, number).open() as last:
            await last.event()
            live.closing = True
            live._wake_all()
            assert await last.rest() == []


async def test_who_reads_nothing_keeps_no_place(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await house.register()
    stream = listen(house, ada, await bought(ada))
    full = asyncio.Event()

    async def send(message: Any) -> None:
        stream._sent.put_nowait(message)
        if message["type"] == "http.response.body":
            full.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(stream, "_send", send)
    monkeypatch.setattr("emporium.http.order_events._SLOW", 0.05)
    async with stream.open():
        await full.wait()
        async with asyncio.timeout(5):
            while house.services.live.open:
                await asyncio.sleep(0)


async def test_the_watch_outlives_a_failure_of_the_database(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await house.register()
    number = await bought(ada)
    log = house.shop.logs["ordering"]
    read, failures = log.read, 2

    async def failing(*values: Any, **named: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("no connection")
        return await read(*values, **named)

    async with listen(house, ada, number).open() as stream:
        await stream.event()
        monkeypatch.setattr(house.services.live.log, "read", failing)
        await step(house, RecordPayment, number, **PAID)
        one = await stream.event()
        assert one is not None and one["status"] == "paid"
    assert failures < 2
