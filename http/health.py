"""/health and /metrics: alive, ready, measured."""

import msgspec
from litestar import Controller, get

from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["HealthController"]


class Health(msgspec.Struct, frozen=True):
    """`status` is `ok` or `unavailable`; `problems` says what stands in the way, by name."""

    status: str
    problems: dict[str, str]


class HealthController(Controller):
    """Health."""

    path = "/health"
    tags = ["health"]

    @get("/live")
    async def live(self, request: Request) -> Reply[Health]:
        """The process answers."""
        return Reply.of(Health("ok", {}))

    @get("/ready")
    async def ready(self, request: Request) -> Reply[Health]:
        """The process can serve: the database answers and the read models are not far behind. Else 503."""
        problems = dict(await request.services.ready())
        return Reply.of(Health("unavailable" if problems else "ok", problems), 503 if problems else 200)
