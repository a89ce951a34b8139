"""/api/v1/notifications: for staff, what people were told; every template; who hears of low stock."""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, get, post, put
from litestar.enums import MediaType
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from emporium.application import notifications, orders
from emporium.application.notifications import KINDS as MESSAGE_KINDS
from emporium.application.ports import Letter
from emporium.domain.notification import NO_SUCH_NOTIFICATION, NOTIFICATION, NotificationState
from emporium.domain.subscription import MOST_SKUS, SUBSCRIPTIONS, SubscriptionsState, subscriptions_id
from emporium.http.auth import staff
from emporium.http.bodies import Body, Sku
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import messages
from emporium.projections.messages import MESSAGES, MessageRow

__all__ = ["NotificationController"]

Status = Literal["waiting", "sent", "failed", "set_aside", "suppressed"]
Language = Annotated[str, QueryParameter(pattern="^[a-z]{2}$", description="ISO 639-1; English where it is not there.")]
TemplateName = Annotated[str, PathParameter(max_length=64, description="The kind of message.")]

MessageId = Annotated[UUID, PathParameter(description="The message.")]

_HTML: Final = b"text/html; charset=utf-8"
_SANDBOX: Final = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
]


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What the message says now. Secrets are hidden, but for an administrator where there is no mail server."""

    to: str
    language: str
    subject: str
    text: str
    html: str


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message; `rendered` is missing where nobody can be written to, and `why` says so."""

    notification_id: UUID
    status: str
    kind: str
    channel: str
    order_id: UUID | None
    customer_id: UUID | None
    facts: dict[str, str]
    via: str | None
    language: str | None
    attempts: int
    error: str | None
    rendered: Rendered | None
    why: str | None = None


class AskedFor(msgspec.Struct, frozen=True, kw_only=True):
    """The message is about to be sent."""

    notification_id: UUID
    status: str


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of message, and the languages in which it is there."""

    kind: str
    languages: list[str]


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of message."""

    items: list[Template]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A message with made-up facts; `short` is what goes by SMS."""

    kind: str
    language: str
    subject: str
    text: str
    html: str
    short: str


class Subscribe(Body, frozen=True, kw_only=True):
    """By which channels the caller wants to hear of low stock; by none ends it. Of these SKUs, without any of all."""

    channels: Annotated[list[Literal["email", "sms", "push"]], Meta(max_length=3)]
    skus: Annotated[list[Sku], Meta(max_length=MOST_SKUS)] = []


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff who hears of low stock, of all SKUs where none is named."""

    staff_id: UUID
    channels: list[str]
    skus: list[str]


class Subscriptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who hears of low stock."""

    items: list[Subscription]


class NotificationController(Controller):
    """Messages to people."""

    path = "/notifications"
    tags = ["notifications"]

    @get("/", guards=[staff("support")], opt={"tagged": True, "models": ("messages",)})
    async def list_messages(
        self,
        request: Request,
        status: FromQuery[Status | None] = None,
        kind: Annotated[str | None, QueryParameter(max_length=64)] = None,
        order: Annotated[str | None, QueryParameter(max_length=64, description="An order's number.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Reply[Listing[MessageRow]]:
        """What people were told, the newest first; by status, kind or order."""
        order_id = None
        if order is not None:
            found = await orders.find(request.services.shop, order)
            if found is None:
                raise KINDS.not_found("There is no such order.")
            order_id = found.order_id
        await includes(request, MESSAGES.name)
        page = await request.services.reads.run(
            lambda connection: messages.messages(
                connection, status=status, kind=kind, order_id=order_id, limit=limit, cursor=cursor
            )
        )
        return tagged(request, listing(request, page, lambda row: row))

    @get("/templates", guards=[staff("support")])
    async def templates(self, request: Request) -> Reply[Templates]:
        """Every kind of message and its languages."""
        languages = list(request.services.composer.letters.languages)
        return Reply.of(Templates(items=[Template(kind=kind, languages=languages) for kind in MESSAGE_KINDS]))

    @get("/templates/{kind:str}", guards=[staff("support")])
    async def preview(self, request: Request, kind: TemplateName, language: Language = "en") -> Reply[Preview]:
        """A message with made-up facts."""
        letter = _sample(request, kind, language)
        return Reply.of(
            Preview(
                kind=kind, language=language, subject=letter.subject, text=letter.text, html=letter.html,
                short=letter.short,
            )
        )  # fmt: skip

    @get("/templates/{kind:str}/page", guards=[staff("support")], media_type=MediaType.HTML)
    async def page(self, request: Request, kind: TemplateName, language: Language = "en") -> Reply[str]:
        """The same as the page that its reader sees."""
        letter = _sample(request, kind, language)
        return Reply(letter.html.encode(), headers=list(_SANDBOX), media_type=_HTML)

    @get("/subscriptions", guards=[staff("warehouse", "catalog_manager")])
    async def subscriptions(self, request: Request) -> Reply[Subscriptions]:
        """Who hears of low stock."""
        state, _ = await request.services.shop.logs["notifications"].load(SUBSCRIPTIONS, subscriptions_id(), fresh=True)
        return Reply.of(_everybody(state))

    @put("/subscriptions", guards=[staff("warehouse", "catalog_manager")])
    async def subscribe(self, request: Request, data: JSONBody[Subscribe]) -> Reply[Subscriptions]:
        """The caller hears of low stock by exactly these channels from now on."""
        session = await request.customer()
        state = await notifications.subscribe(
            request.services.shop,
            session.customer,
            data.channels,
            data.skus,
            request.cause(actor_of(session), session.customer),
        )
        return Reply.of(_everybody(state))

    @get("/{notification:uuid}", guards=[staff("support")])
    async def detail(self, request: Request, notification: MessageId) -> Reply[MessageView]:
        """One message and what it says."""
        session = await request.customer()
        state, _ = await request.services.shop.logs["notifications"].load(NOTIFICATION, notification, fresh=True)
        if state is None:
            raise NO_SUCH_NOTIFICATION()
        # Who reads a link in it can do what its addressee can: an administrator may anyway.
        reveal = "admin" in session.roles and state.via == notifications.OUTBOX
        return Reply.of(await _view(request, state, reveal), headers=[(b"cache-control", b"no-store")])

    @post("/{notification:uuid}/send", status_code=202, guards=[staff("support")], opt={"idempotent": True})
    async def send(self, request: Request, notification: MessageId) -> Reply[AskedFor]:
        """Sends a message again that failed, was set aside, or got lost on its way. Wishes are obeyed all the same."""
        session = await request.customer()

        def answer(after: NotificationState) -> Answer:
            content = AskedFor(notification_id=after.notification_id, status=after.status)
            return Answer.of(content, 202, location=f"/api/v1/notifications/{after.notification_id}")

        return await once(
            request,
            "notifications",
            actor_of(session),
            answer,
            lambda keep: notifications.send_again(
                request.services.shop, notification, request.cause(actor_of(session), notification), keep
            ),
        )


async def _view(request: Request, state: NotificationState, reveal: bool) -> MessageView:
    rendered, why = None, None
    try:
        composed = await request.services.composer.compose(state.about, reveal=reveal)
    except (notifications.Unsendable, notifications.NotYet) as no:
        why = str(no)
    else:
        letter = composed.letter
        rendered = Rendered(
            to=composed.to, language=composed.language, subject=letter.subject, text=letter.text, html=letter.html
        )
    about = state.about
    return MessageView(
        notification_id=state.notification_id,
        status=state.status,
        kind=about.kind,
        channel=about.channel,
        order_id=about.order_id,
        customer_id=about.customer_id,
        facts=about.facts,
        via=state.via,
        language=state.language,
        attempts=state.attempts,
        error=state.error,
        rendered=rendered,
        why=why,
    )


def _sample(request: Request, kind: str, language: str) -> Letter:
    if kind not in MESSAGE_KINDS:
        raise KINDS.not_found("There is no such kind of message.")
    return request.services.composer.sample(kind, language)


def _everybody(state: SubscriptionsState | None) -> Subscriptions:
    state = state or SubscriptionsState()
    items = [
        Subscription(staff_id=one, channels=list(state.channels[one]), skus=list(state.skus.get(one, ())))
        for one in sorted(state.channels)
    ]
    return Subscriptions(items=items)
