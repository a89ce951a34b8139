"""/api/v1/payments: what was paid for orders and what went back; refunds by staff; what the provider tells."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, get, post
from litestar.params import FromQuery, HeaderParameter, JSONBody
from msgspec import Meta

from emporium.application import orders, payments
from emporium.application.ports import NextAction
from emporium.domain.base import MAX_AMOUNT, Money
from emporium.domain.payment import PaymentState
from emporium.http.auth import signed_in, staff
from emporium.http.bodies import Body
from emporium.http.caching import tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, once
from emporium.http.notices import heard
from emporium.http.orders import STAFF, Number, is_staff, reachable, refund_reason
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import order_history
from emporium.projections.order_history import ORDER_HISTORY, PaymentRow

__all__ = ["PaymentController"]

PaymentStatus = Literal["requested", "requires_action", "processed", "failed", "cancelled"]
RefundReason = Literal[
    "goodwill", "damaged", "wrong_item", "not_delivered", "price_adjustment", "paid_twice", "other"
]  # fmt: skip


class GiveBack(Body, frozen=True, kw_only=True):
    """A part of the payment that shall go back, in minor units of its currency, and why."""

    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT, examples=[500])]
    reason: RefundReason


class RefundAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that the provider was asked for; how it goes on is shown by the payment."""

    refund_id: UUID
    order_number: str
    amount: Money
    reason: str
    status: str
    left: Money


class PaymentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A payment in a list."""

    order_number: str
    status: PaymentStatus
    amount: Money
    received: Money
    captured: bool
    refunded: Money
    disputed: bool
    code: str | None
    placed_at: datetime
    changed_at: datetime


class CaptureView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that was secured (`captured` false) or taken."""

    at: datetime
    amount: Money
    captured: bool


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back; `status` is requested, done or failed (staff must act), since `at`."""

    refund_id: UUID
    status: str
    amount: Money
    reason: str
    at: datetime


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A cardholder's claim through the bank; `status` is open, won or lost (by the shop)."""

    dispute_id: str
    status: str
    amount: Money
    reason: str


class PaymentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The payment of an order.

    Attributes:
        status: requested; requires_action while the provider waits for the customer; processed; failed; cancelled.
        next_action: what the customer must do until `action_until`: open the `url` (kind `redirect`), or give
            `client_secret` to the provider's script (kind `sdk`). Null also while the provider does not answer.
        received: what came in; `captured` says whether it was taken or only secured, `voided` that it was let go.
        refunded: what went back; `refunding` is on its way; `refund_failed` the provider refused.
        code: the provider's reason where it declined.
    """

    order_number: str
    status: PaymentStatus
    method: str
    amount: Money
    received: Money
    captured: bool
    voided: bool
    refunded: Money
    refunding: Money
    refund_failed: Money
    code: str | None
    next_action: NextAction | None
    action_until: datetime | None
    captures: list[CaptureView]
    refunds: list[RefundView]
    disputes: list[DisputeView]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The notice was received; `changed` says whether it was news."""

    changed: bool


class PaymentController(Controller):
    """Payments."""

    path = "/payments"
    tags = ["payments"]

    @get("/", guards=[signed_in], opt={"tagged": True, "models": ("order_history",)})
    async def list_payments(
        self,
        request: Request,
        status: FromQuery[PaymentStatus | None] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Reply[Listing[PaymentSummary]]:
        """The payments of the caller's orders, newest order first; for staff everybody's."""
        session = await request.customer()
        await includes(request, ORDER_HISTORY.name)
        only = session.customer if STAFF.isdisjoint(session.roles) else None
        page = await request.services.reads.run(
            lambda connection: order_history.payments(
                connection, customer_id=only, status=status, limit=limit, cursor=cursor
            )
        )
        return tagged(request, listing(request, page, _summary))

    @get("/{number:str}", opt={"tagged": True, "order": True, "models": ("order_history",)})
    async def detail(self, request: Request, number: Number) -> Reply[PaymentDetail]:
        """The payment of an order: the customer's own, a guest's (header Order-Token), any for staff."""
        detail = await reachable(request, number)
        payment, currency = detail.payment, detail.order.currency
        if payment is None:
            raise KINDS.not_found("No payment was requested for this order yet.")
        order_id = detail.order.order_id
        movements = await request.services.reads.run(lambda connection: order_history.movements(connection, order_id))
        for_staff = await is_staff(request)
        wanted = payment.status == "requires_action"
        action = await payments.next_action(request.services.shop, order_id) if wanted else None
        return tagged(
            request,
            PaymentDetail(
                order_number=detail.order.number,
                status=payment.status,  # type: ignore[arg-type]  # the read model's own words
                method=payment.method,
                amount=Money(payment.amount, currency),
                received=Money(payment.received, currency),
                captured=payment.captured,
                voided=payment.voided,
                refunded=Money(payment.refunded, currency),
                refunding=Money(payment.refunding, currency),
                refund_failed=Money(payment.refund_failed, currency),
                code=payment.code,
                next_action=action,
                action_until=payment.action_until if wanted else None,
                captures=[
                    CaptureView(at=one.at, amount=one.amount, captured=one.captured) for one in movements.captures
                ],
                refunds=[
                    RefundView(
                        refund_id=one.refund_id, status=one.status, amount=one.amount,
                        reason=refund_reason(one.reason, for_staff=for_staff), at=one.at,
                    )
                    for one in movements.refunds
                ],
                disputes=[
                    DisputeView(
                        dispute_id=one.dispute_id, status=one.status, amount=Money(one.amount, currency),
                        reason=one.reason,
                    )
                    for one in payment.disputes
                ],
            ),
        )  # fmt: skip

    @post("/{number:str}/refunds", status_code=201, guards=[staff("support")], opt={"idempotent": True})
    async def give_back(self, request: Request, number: Number, data: JSONBody[GiveBack]) -> Reply[RefundAsked]:
        """Gives a part of the money back, never more than is left of it. The order goes on as it was."""
        session = await request.customer()
        found = await orders.find(request.services.shop, number)
        if found is None:
            raise KINDS.not_found("There is no such order.")
        order = found
        refund_id = uuid4()

        def answer(after: PaymentState) -> Answer:
            currency = order.total.currency
            content = RefundAsked(
                refund_id=refund_id,
                order_number=order.number,
                amount=Money(data.amount, currency),
                reason=data.reason,
                status="requested",
                left=Money(after.left, currency),
            )
            return Answer.of(content, location=f"/api/v1/payments/{order.number}")

        return await once(
            request,
            "payments",
            actor_of(session),
            answer,
            lambda keep: payments.refund(
                request.services.shop,
                order_id=order.order_id,
                refund_id=refund_id,
                amount=data.amount,
                reason=data.reason,
                cause=request.cause(actor_of(session), order.order_id),
                keep=keep,
            ),
        )

    @post("/webhooks/stripe", status_code=200)
    async def stripe(
        self,
        request: Request,
        signature: Annotated[str, HeaderParameter(name="Stripe-Signature", max_length=2_000)],
    ) -> Reply[Received]:
        """What Stripe tells by itself, signed over the raw body; each event counts once, in any order.

        Events of kinds that do not matter here are received and forgotten.
        """
        return await _told(request, "stripe", signature)

    @post("/webhooks/sandbox", status_code=200)
    async def sandbox(
        self,
        request: Request,
        signature: Annotated[str, HeaderParameter(name="Sandbox-Signature", max_length=2_000)],
    ) -> Reply[Received]:
        """What the sandbox tells by itself when a payment changes later, signed over the raw body like Stripe's."""
        return await _told(request, "sandbox", signature)


async def _told(request: Request, provider: str, signature: str) -> Reply[Received]:
    shop = request.services.shop
    if shop.notices is None or shop.notices.name != provider:
        raise KINDS.not_found("This shop hears nothing of this provider.")
    changed = await heard(request, signature, shop.notices.read, payments.receive, "system:provider")
    return Reply.of(Received(changed=changed))


def _summary(row: PaymentRow) -> PaymentSummary:
    return PaymentSummary(
        order_number=row.number,
        status=row.payment.status,  # type: ignore[arg-type]  # the read model's own words
        amount=Money(row.payment.amount, row.currency),
        received=Money(row.payment.received, row.currency),
        captured=row.payment.captured,
        refunded=Money(row.payment.refunded, row.currency),
        disputed=bool(row.payment.disputes),
        code=row.payment.code,
        placed_at=row.placed_at,
        changed_at=row.changed_at,
    )
