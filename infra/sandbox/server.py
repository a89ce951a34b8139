"""The sandbox's HTTP/1.1 server: group commit in a worker thread, a stated latency, faults to order."""

import asyncio
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Final, cast
from urllib.parse import urlencode

import msgspec

from .book import QUESTION, Answer, Book, Call, problem
from .scripts import Fault
from .telling import Teller

__all__ = ["Sandbox"]

_MAX_HEAD: Final = 16_384
_MAX_BODY: Final = 262_144
_MAX_KEY: Final = 255

_STATUS_LINES: Final = {
    status.value: (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()
    for status in HTTPStatus
}

_ROUTES: Final = {
    ("POST", "/v1/charges"): "charge",
    ("GET", "/v1/charges"): "charges",
    ("POST", "/v1/charges/*/capture"): "capture",
    ("POST", "/v1/charges/*/void"): "void",
    ("POST", "/v1/charges/*/authenticate"): "authenticate",
    ("GET", "/v1/charges/*/authenticate"): "question",
    ("POST", "/v1/methods"): "save_method",
    ("POST", "/v1/refunds"): "refund",
    ("GET", "/v1/refunds"): "refunds",
    ("GET", "/v1/summary"): "summary",
    ("POST", "/v1/parcels"): "book",
    ("GET", "/v1/parcels/*"): "track",
    ("POST", "/v1/parcels/*/handover"): "hand_over",
    ("GET", "/debug/state"): "state",
    ("POST", "/debug/faults"): "faults",
    ("GET", "/health"): "health",
}


_NAMED: Final = ("/v1/parcels/", "/v1/charges/")
"""Where the next part of the path names one thing."""


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """The next `count` calls (of one operation, where it is named) shall go wrong in one way."""

    fault: Fault
    count: Annotated[int, msgspec.Meta(ge=0)] = 1
    operation: str | None = None


class _Charges(msgspec.Struct):
    data: list[msgspec.Raw]


class _Waiting:
    """A call on its way: where it came from and when its answer is due."""

    __slots__ = ("answer", "call", "connection", "due")

    def __init__(self, connection: "_Connection", call: Call, due: float) -> None:
        self.connection = connection
        self.call = call
        self.due = due
        self.answer = Answer(500)


class Sandbox:
    """Answers calls from a book.

    Args:
        latency: seconds from a call to its answer, at least.
        teller: tells what changes after its answer; None: nobody is told.
    """

    def __init__(self, book: Book, latency: float, teller: Teller | None = None) -> None:
        self._book = book
        self._teller = teller
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, "commit")
        self._queue: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._answered: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._orders: list[_Order] = []
        self._server: asyncio.Server | None = None
        self.soon = self._loop.call_soon

    async def listen(self, host: str, port: int) -> int:
        """Starts to answer; the port (which the system picks for port 0). Raises OSError where it is taken."""
        self._server = await self._loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def serve(self, stop: asyncio.Event) -> None:
        """Answers until `stop` is set."""
        committer = asyncio.ensure_future(self._commit_groups())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((committer, stopped), return_when=asyncio.FIRST_COMPLETED)
        if committer.done():
            committer.result()
        committer.cancel()

    async def close(self) -> None:
        """Stops listening and finishes the commit under way."""
        if self._server is not None:
            self._server.close()
        if self._teller is not None:
            await self._teller.close()
        await self._loop.run_in_executor(None, self._worker.shutdown)

    def received(self, connection: "_Connection", method: str, target: str, key: str, body: bytes) -> None:
        """Takes a request in."""
        path, _, query = target.partition("?")
        name = ""
        for place in _NAMED:
            if path.startswith(place):
                name, _, rest = path[len(place) :].partition("/")
                path = f"{place}*/{rest}" if rest else f"{place}*"
        operation = _ROUTES.get((method, path))
        if operation is None:
            connection.send(problem(404, "not_found", f"there is no {method} {path[:200]}"))
            return
        if path.startswith("/debug/") and not connection.local:
            connection.send(problem(403, "forbidden", "this is for the same machine only"))
        elif operation == "health":
            connection.send(Answer(200, b"{}"))
        elif operation == "question":
            connection.send(Answer(200, QUESTION, page=True))
        elif operation == "faults":
            connection.send(self._order(body))
        else:
            call = Call(operation, name, query, key, body, self._ordered(operation) if self._orders else None)
            self._queue.append(_Waiting(connection, call, self._loop.time() + self._latency))
            self._arrived.set()

    def _order(self, body: bytes) -> Answer:
        try:
            order = msgspec.json.decode(body, type=_Order)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return problem(400, "bad_request", str(error))
        if order.operation is not None and order.operation not in _ROUTES.values():
            return problem(422, "operation_unknown", f"there is no operation {order.operation[:100]}")
        # An order replaces the earlier ones for the same operation; a count of 0 takes it back.
        self._orders = [other for other in self._orders if other.operation != order.operation]
        if order.count:
            self._orders.append(order)
        return Answer(200, msgspec.json.encode(self._orders))

    def _ordered(self, operation: str) -> Fault | None:
        for order in self._orders:
            if order.operation in (None, operation) and operation != "state":
                order.count -= 1
                if not order.count:
                    self._orders.remove(order)
                return order.fault
        return None

    async def _commit_groups(self) -> None:
        while True:
            await self._arrived.wait()
            # Waiting for company costs nothing while no answer is due yet, and saves commits.
            await asyncio.sleep(self._latency / 2)
            group, self._queue = self._queue, []
            self._arrived.clear()
            calls = [waiting.call for waiting in group]
            try:
                answers = await self._loop.run_in_executor(self._worker, self._book.answer, calls)
            except Exception as error:
                print(f"a group of {len(calls)} calls failed: {error!r}", file=sys.stderr, flush=True)
                answers = [problem(500, "failed", "nothing was done")] * len(calls)
            for waiting, answer in zip(group, answers, strict=True):
                waiting.answer = answer
                if answer.delay:
                    self._loop.call_later(answer.delay, waiting.connection.send, answer)
                else:
                    self._answered.append(waiting)
                if self._teller is not None and (after := self._teller.later(waiting.call, answer)) is not None:
                    key = msgspec.json.decode(answer.body)["key"]
                    self._loop.call_later(after, self._look_again, self._teller, key)
            self._send_due()

    def _look_again(self, teller: Teller, key: str) -> None:
        """Tells what has become of the charge with this key."""
        call = Call("charges", "", urlencode({"key": key}), "", b"")

        def found(future: "asyncio.Future[list[Answer]]") -> None:
            [answer] = future.result()
            for charge in msgspec.json.decode(answer.body, type=_Charges).data:
                teller.tell(bytes(charge))

        self._loop.run_in_executor(self._worker, self._book.answer, [call]).add_done_callback(found)

    def _send_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answered = self._answered
        now = self._loop.time()
        while answered and answered[0].due <= now:
            waiting = answered.popleft()
            waiting.connection.send(waiting.answer)
        if answered:
            # A millisecond of slack lets answers that are due together leave on one timer.
            self._timer = self._loop.call_at(answered[0].due + 0.001, self._send_due)


class _Connection(asyncio.Protocol):
    """One client's connection: one request at a time, in order."""

    __slots__ = ("_buffer", "_busy", "_closing", "_sandbox", "_transport", "local")

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._buffer = b""
        self._busy = False
        self._closing = False
        self.local = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.local = ip_address(transport.get_extra_info("peername")[0]).is_loopback

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._busy:
            self._take()
        elif len(self._buffer) > _MAX_HEAD + _MAX_BODY:
            self._transport.abort()

    def send(self, answer: Answer) -> None:
        """Sends the answer in the way that it says, and takes the next request."""
        if self._transport.is_closing() or answer.fault in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER):
            return
        if answer.fault is Fault.DOWN:
            self._transport.abort()
            return
        status, body = answer.status, answer.body
        if answer.fault is Fault.ERROR:
            status, body = 500, b'{"code":"failed","text":"a failure that was ordered"}'
        elif answer.fault is Fault.GARBAGE:
            body = b'{"id":"<!doctype html>'
        head = _STATUS_LINES[status]
        if answer.page:
            head = head.replace(b"application/json", b"text/html; charset=utf-8")
        payload = b"%b%d\r\n\r\n%b" % (head, len(body), body)
        self._transport.write(payload + payload if answer.twice else payload)
        if self._closing:
            self._transport.close()
            return
        self._busy = False
        if self._buffer:
            self._sandbox.soon(self._take)

    def _take(self) -> None:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _MAX_HEAD:
                self._refuse(431, "the head of the request is too long")
            return
        head = buffer[: end + 2].decode("latin-1")
        lower = head.lower()
        if "\r\ntransfer-encoding:" in lower:
            self._refuse(411, "send a Content-Length")
            return
        length_text = _header(head, lower, "\r\ncontent-length:") or "0"
        length = int(length_text) if length_text.isascii() and length_text.isdigit() and len(length_text) < 10 else -1
        if not 0 <= length <= _MAX_BODY:
            self._refuse(413, f"a body has at most {_MAX_BODY} bytes")
            return
        begin = end + 4
        if len(buffer) < begin + length:
            return
        self._buffer = buffer[begin + length :]
        key = _header(head, lower, "\r\nidempotency-key:")
        line = head[: head.find("\r\n")].split(" ")
        if len(line) != 3 or len(key) > _MAX_KEY or not (key.isascii() and key.isprintable()):
            self._refuse(400, "the request line or the Idempotency-Key is malformed")
            return
        self._closing = line[2] != "HTTP/1.1" or "\r\nconnection: close" in lower
        self._busy = True
        self._sandbox.received(self, line[0], line[1], key, buffer[begin : begin + length])

    def _refuse(self, status: int, text: str) -> None:
        self._closing = True
        self.send(problem(status, "bad_request", text))


def _header(head: str, lower: str, name: str) -> str:
    start = lower.find(name)
    if start < 0:
        return ""
    start += len(name)
    return head[start : head.find("\r\n", start)].strip()
