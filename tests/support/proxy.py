"""A proxy in front of an HTTP server that fails when it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

__all__ = ["Proxy", "proxy"]


class Proxy:
    """Passes requests on.

    Attributes:
        url: where it listens.
        away: whether it answers nobody.
        busy: paths that end with this are answered with 429, so many times.
        seen: paths that were asked for.
    """

    def __init__(self, target: str) -> None:
        self.url = ""
        self.away = False
        self.busy: dict[str, int] = {}
        self.seen: list[str] = []
        self._target = target

    async def handle(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        """Answers one request."""
        self.seen.append(request.path)
        if self.away:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        for end, left in self.busy.items():
            if left and request.path.endswith(end):
                self.busy[end] -= 1
                headers = {"X-Elastic-Product": "Elasticsearch"}
                return web.json_response({"error": {"type": "busy"}, "status": 429}, status=429, headers=headers)
        headers = {name: request.headers[name] for name in ("content-type", "accept") if name in request.headers}
        body = await request.read()
        async with session.request(
            request.method, f"{self._target}{request.path_qs}", data=body, headers=headers
        ) as answer:
            kept = {
                name: answer.headers[name] for name in ("x-elastic-product", "content-type") if name in answer.headers
            }
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port, in this event loop."""
    it = Proxy(target)
    async with ClientSession() as session:
        app = web.Application(client_max_size=100_000_000)

        async def handle(request: web.Request) -> web.StreamResponse:
            return await it.handle(request, session)

        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield it
        finally:
            await runner.cleanup()
