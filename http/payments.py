"""/api/v1/payments: what was paid for an order and what went back."""

import msgspec
from litestar import Controller, get

from emporium.domain.base import Money
from emporium.http.caching import tagged
from emporium.http.orders import Number, reachable
from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["PaymentController"]


class PaymentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The payment of an order.

    Attributes:
        status: requested, processed, failed or cancelled.
        received: what came in; `captured` says whether it was taken or only secured.
        refunded: what went back; `refunding` is on its way; `refund_failed` the provider refused.
        code: the provider's reason where it declined.
    """

    order_number: str
    status: str
    method: str
    amount: Money
    received: Money
    captured: bool
    refunded: Money
    refunding: Money
    refund_failed: Money
    code: str | None


class PaymentController(Controller):
    """Payments."""

    path = "/payments"
    tags = ["payments"]

    @get("/{number:str}", opt={"tagged": True, "order": True, "models": ("order_history",)})
    async def detail(self, request: Request, number: Number) -> Reply[PaymentDetail]:
        """The payment of an order: the customer's own, a guest's (header Order-Token), any for staff."""
        detail = await reachable(request, number)
        payment, currency = detail.payment, detail.order.currency
        if payment is None:
            raise KINDS.not_found("No payment was requested for this order yet.")
        return tagged(
            request,
            PaymentDetail(
                order_number=detail.order.number,
                status=payment.status,
                method=payment.method,
                amount=Money(payment.amount, currency),
                received=Money(payment.received, currency),
                captured=payment.captured,
                refunded=Money(payment.refunded, currency),
                refunding=Money(payment.refunding, currency),
                refund_failed=Money(payment.refund_failed, currency),
                code=payment.code,
            ),
        )
