"""The ASGI application that granian runs: it opens a process's services, serves, and closes them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from emporium.application.bootstrap import Doors, Opened, composer, webhook_addresses
from emporium.application.carts import RecentOffers
from emporium.application.completions import Completions, Known
from emporium.application.gathered import Gathered
from emporium.application.live import Live
from emporium.application.ports import Unavailable
from emporium.application.search_notes import Notes
from emporium.application.search_rules import CurrentRules
from emporium.application.together import end
from emporium.http.app import create_app
from emporium.http.edge import Edge, RequestLog
from emporium.http.limits import Limit, Limiter, Limits
from emporium.http.services import Cares, Reads, Services
from emporium.projections import catalog_pages, search_log
from emporium.projections.adviser import Adviser
from emporium.projections.consistency import Waiter
from emporium.projections.model import Connection
from emporium.projections.registry import MODELS
from emporium.projections.search_log import Noted
from emporium.projections.whole_pages import Asked, WholePage, whole_pages

__all__ = ["Gateway", "NotStarted", "open_services"]

PAST: Final = timedelta(days=30)
QUERIES: Final = 5_000
"""How far back, and how many, past queries are suggested."""

SILENCE: Final = 15.0
"""Seconds without a sign of life after which a read model counts as left behind."""


@asynccontextmanager
async def open_services(opened: Opened, doors: Doors) -> AsyncIterator[Services]:
    """The gateway's services on an open shop."""
    settings = opened.settings
    waiter = Waiter(doors.listen, MODELS, opened.shop.logs)
    live = Live(
        opened.shop.logs["ordering"],
        places=settings.streams,
        each=settings.streams_each,
        longest=settings.stream_seconds,
    )

    async def ready() -> Mapping[str, str]:
        return await _problems(opened.reads, waiter)

    async def known() -> Known:
        since = opened.shop.clock.now() - PAST

        async def look(connection: Connection) -> Known:
            tree = await catalog_pages.categories(connection)
            queries = await search_log.popular(connection, since, QUERIES)
            return Known(queries, [(one.category_id, one.name) for one in tree])

        return await opened.reads.run(look)

    async def write(counts: Mapping[Noted, int]) -> None:
        await opened.reads.run(lambda connection: search_log.record(connection, counts))

    async def pages(asked: Sequence[Asked]) -> Mapping[Asked, WholePage]:
        return await opened.reads.run(lambda connection: whole_pages(connection, asked))

    notes = Notes[Noted](write)
    adviser = Adviser(opened.reads, clock=opened.shop.clock.now)
    async with (
        waiter.running(),
        live.running(),
        _beside(notes.run()),
        adviser.running(),
    ):
        yield Services(
            shop=opened.shop,
            reads=opened.reads,
            waiter=waiter,
            pages=Gathered(pages),
            recent=RecentOffers(opened.shop.offers),
            sessions=doors.sessions,
            attempts=doors.attempts,
            cart_tokens=doors.cart_tokens,
            order_tokens=doors.order_tokens,
            secret=doors.secret,
            media=doors.media,
            traces=doors.traces,
            files=doors.media,
            pictures=doors.pictures,
            search=opened.search,
            adviser=adviser,
            staff_two_factor=settings.staff_two_factor,
            live=live,
            rules=CurrentRules(opened.shop.logs["catalog"]),
            completions=Completions(opened.search, known),
            notes=notes,
            composer=composer(opened),
            papers=doors.papers,
            webhooks=webhook_addresses(opened),
            limiter=_limiter(opened, doors),
            cares=_cares(opened),
            ready=ready,
        )


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end([task])


def _limiter(opened: Opened, doors: Doors) -> Limiter:
    settings = opened.settings
    limits = Limits(
        auth=_limit(settings.limit_auth),
        checkout=_limit(settings.limit_checkout),
        write=_limit(settings.limit_write),
        read=_limit(settings.limit_read),
        account=_limit(settings.limit_account),
    )
    return Limiter(doors.rates, limits, doors.secret, settings.gateways)


def _limit(text: str) -> Limit:
    amount, seconds = text.split("/")
    return Limit(int(amount), int(seconds))


def _cares(opened: Opened) -> Cares:
    settings = opened.settings
    return Cares(
        trusted=tuple(ip_network(part.strip()) for part in settings.trusted_proxies.split(",") if part.strip()),
        origins=tuple(part.strip() for part in settings.cors_origins.split(",") if part.strip()),
        timeout=settings.request_timeout_s,
    )


async def _problems(reads: Reads, waiter: Waiter) -> Mapping[str, str]:
    async def silent(connection: Connection) -> list[tuple[str, str]]:
        found = await connection.execute(
            "SELECT model, coalesce(error, 'no sign of life') FROM emporium_projection_status"
            " WHERE generation = 'live' AND coalesce(heartbeat < now() - %s * interval '1 second', true)",
            [SILENCE],
        )
        return await found.fetchall()

    try:
        problems = {f"projection {model}": why for model, why in await reads.run(silent)}
    except Unavailable as error:
        return {"database": str(error)}
    for model in MODELS:
        if not waiter.serves([model.name]):
            problems.setdefault(f"projection {model.name}", "its tables cannot be read yet")
    return problems


class NotStarted(Exception):  # noqa: N818
    """Something outside the program keeps it from starting; the text is for people."""


class Gateway:
    """One gateway process, as granian calls it.

    Args:
        services: opens what the process works with, and closes it at its end. Raises NotStarted.
        requests: where every request leaves a line; None: nowhere.
    """

    def __init__(
        self, services: Callable[[], AbstractAsyncContextManager[Services]], *, requests: RequestLog | None
    ) -> None:
        self._services = services
        self._requests = requests
        self._edge: Edge | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._edge is None:
            await self._live(receive, send)
        else:
            await self._edge(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        """ASGI's lifespan: opens everything at the first message and closes it at the second."""
        await receive()
        async with AsyncExitStack() as stack:
            try:
                services = await stack.enter_async_context(self._services())
                edge = create_app(services, requests=self._requests)
                await stack.enter_async_context(edge.running())
            except NotStarted as problem:
                await send({"type": "lifespan.startup.failed", "message": str(problem)})
                return
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": repr(error)})
                raise
            self._edge = edge
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
