"""/api/v1/orders/{number}/events: an order's status as it changes, by server-sent events."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import HeaderParameter
from litestar.types import Receive, Scope, Send

from emporium.application.live import TOLD, Live, NoPlace
from emporium.application.ports import EventLog, Recorded, Restored, Unavailable
from emporium.domain.order import ORDER, OrderState
from emporium.http.orders import Number, owned
from emporium.http.problems import KINDS, Problem, problem_reply
from emporium.http.reply import ENCODER, Reply
from emporium.http.request import Request
from emporium.projections.consistency import token_of

__all__ = ["OrderEnded", "OrderEventsController", "OrderMoved"]

EVENTS: Final = "text/event-stream"

_ID: Final = re.compile(r"([0-9]{1,9})\.([0-9a-f]{12})")
_RETRY: Final = b"retry: 2000\n\n"
_BEAT: Final = b": still there\n\n"
_SLOW: Final = 30.0
"""Seconds that a client may take to read what it is sent."""

LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=64, description="The `id` of the last event that was received."),
]


class OrderMoved(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event `status`.

    Attributes:
        happened: the event's name.
        status: the order's since then; `terminal` says that it stays so.
        consistency_token: reads that send it include the event.
    """

    order_number: str
    happened: str
    at: datetime
    status: str
    terminal: bool
    consistency_token: str


class OrderEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The data of the event `end`, the last one: the status will not change any more."""

    order_number: str
    status: str


class OrderEventsController(Controller):
    """An order's events."""

    path = "/orders"
    tags = ["orders"]

    @get("/{number:str}/events", opt={"order": True, "stream": True}, media_type=EVENTS)
    async def follow(self, request: Request, number: Number, last_event_id: LastEventId = None) -> Reply[str]:
        """The order's status from its beginning on, as server-sent events, each at once when it happens.

        With `Last-Event-ID` it goes on after that event, without gap or repetition. Events `status` have the data of
        `OrderMoved`; the event `end` says that nothing more will come, and 204 that nothing more has. A stream ends
        after a quarter of an hour at the latest: go on with `Last-Event-ID`, as browsers do by themselves.
        """
        order, caller = await owned(request, number)
        live = request.services.live
        after = _after(last_event_id, live.log)
        story = _Story(live.log, order, after)
        moved = await story.moved()
        if after > story.version:
            raise KINDS.invalid_header("The Last-Event-ID is not one of this order.")
        if after and not moved and story.terminal:
            return Reply(b"", 204)
        return _Stream(live, story, moved, caller, lambda: _still(request))


def _after(last: str | None, log: EventLog) -> int:
    """The version after which to go on: 0 for the id of a former life of the log, as its events are others."""
    if not last:
        return 0
    match = _ID.fullmatch(last)
    if match is None:
        raise KINDS.invalid_header("The Last-Event-ID is not one that this shop gave.")
    return int(match[1]) if match[2] == _life(log) else 0


def _life(log: EventLog) -> str:
    return log.incarnation.hex[:12]


async def _still(request: Request) -> None:
    """The caller may still look on. Raises Problem where the session has ended."""
    own: dict[str, Any] = request.scope  # type: ignore[assignment]
    own.pop("session", None)
    own["more_headers"] = []
    await request.caller()


class _Story:
    """One order's events in their order, folded as they are read."""

    def __init__(self, log: EventLog, order: OrderState, after: int) -> None:
        self._log = log
        self._number = order.number
        self.order_id: UUID = order.order_id
        self._after = after
        self._state: OrderState | None = None
        self.version = 0

    @property
    def terminal(self) -> bool:
        """The status will not change any more."""
        return self._state is not None and self._state.is_closed

    async def moved(self) -> list[bytes]:
        """What has happened since the last time, as events to send; of the past, what the client has not had."""
        told = []
        for one in await self._log.stream(self.order_id, after=self.version):
            self._state, self.version = ORDER.evolve(self._state, one.event), one.version
            if one.version > self._after and type(one.event) in TOLD:
                told.append(self._told(one, self._state))
        return told

    def _told(self, one: Recorded, state: OrderState) -> bytes:
        moved = OrderMoved(
            order_number=self._number,
            happened=type(one.event).__name__,
            at=one.at,
            status=state.status,
            terminal=state.is_closed,
            consistency_token=token_of(self._log, one.position).encode(),
        )
        name = f"{one.version}.{_life(self._log)}".encode()
        return b"id: %s\nevent: status\ndata: %s\n\n" % (name, ENCODER.encode(moved))

    def end(self) -> bytes:
        """The last event."""
        assert self._state is not None, "what is terminal has begun"
        ended = OrderEnded(order_number=self._number, status=self._state.status)
        return b"event: end\ndata: %s\n\n" % ENCODER.encode(ended)


class _Stream(Reply[str]):
    """The answer, which goes on until the order's end, or until nobody listens."""

    def __init__(
        self, live: Live, story: _Story, moved: list[bytes], caller: str, still: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(b"", 200, media_type=EVENTS.encode())
        self._live = live
        self._story = story
        self._moved = moved
        self._caller = caller
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._live.listening(self._story.order_id, self._caller) as woken:
                gone = asyncio.create_task(_gone(receive, woken))
                try:
                    await self._tell(scope, send, woken, gone)
                finally:
                    gone.cancel()
        except NoPlace as no:
            kind = KINDS.too_many_streams if no.own else KINDS.overloaded
            refusal = problem_reply(scope, kind(headers={"Retry-After": "5"}))
            await refusal(scope, receive, send)

    async def _tell(self, scope: Scope, send: Send, woken: asyncio.Event, gone: "asyncio.Task[None]") -> None:
        headers = [(b"content-type", self.type), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def write(body: bytes, *, more: bool = True) -> None:
            async with asyncio.timeout(_SLOW):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        last = _RETRY + b"".join(self._moved)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._live.longest
        try:
            # It was read before anybody listened: what has come between is looked for once more.
            woken.set()
            while not (gone.done() or self._live.closing or self._story.terminal or scope.get("headless")):
                if last:
                    await write(last)
                left = until - loop.time()
                if left <= 0:
                    last = b""
                    break
                last = await self._next(woken, min(left, self._live.heartbeat))
            if self._story.terminal:
                last += self._story.end()
            if not gone.done():
                await write(last, more=False)
        except (TimeoutError, Problem, Unavailable, Restored):
            # The client goes on with the last id, here or elsewhere. It hears of the end, where it still listens.
            if not gone.done():
                with suppress(TimeoutError):
                    await write(b"", more=False)

    async def _next(self, woken: asyncio.Event, patience: float) -> bytes:
        """What has happened, as soon as it has; a sign of life where nothing does."""
        beat = _BEAT
        try:
            async with asyncio.timeout(patience):
                await woken.wait()
            beat = b""
        except TimeoutError:
            pass
        woken.clear()
        if self._live.closing:
            return b""
        await self._still()
        return b"".join(await self._story.moved()) or beat


async def _gone(receive: Receive, woken: asyncio.Event) -> None:
    """Ends when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    woken.set()
