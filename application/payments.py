"""Payments beside the saga: what a provider tells by itself, refunds that staff give, what a customer must do."""

from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec.structs import replace

from emporium.application.ports import Idempotency, IdempotencyReplay, Meta, NextAction, Notice, ProviderDown
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain import payment
from emporium.domain.base import Command, Money
from emporium.domain.payment import PAYMENT, PaymentState, payment_id_of

__all__ = ["next_action", "receive", "refund"]

Keep = Callable[[PaymentState], Idempotency | None]

_NOTICES = "notices"
"""The scope of the records by which a notice is known again."""


async def receive(shop: Shop, notice: Notice, cause: Meta) -> bool:
    """Records what the provider tells, once for each notice, in whatever order they come.

    A notice that does not fit (another shop's payment, another amount, an older story) changes nothing.

    Returns whether it changed anything. Raises ProviderDown, where the provider must be asked whose it is.
    """
    log = shop.logs["payments"]
    if await log.answered(_NOTICES, notice.id) is not None:
        return False
    order_id = notice.order
    if order_id is None and notice.charge is not None and shop.notices is not None:
        order_id = await shop.notices.order_of(notice.charge)
    if order_id is None:
        return False
    stream = payment_id_of(order_id)
    meta = replace(cause, correlation=str(order_id), actor="system:provider")

    async def handler(work: Work) -> bool:
        await work.load(PAYMENT, stream)
        changed = False
        state = work.state(PAYMENT, stream)
        if state is None:
            return False
        for command in _commands(state, notice, work, shop):
            changed |= bool(work.decide(PAYMENT, stream, command, meta))
        if changed:
            work.unit.idempotency = Idempotency(_NOTICES, notice.id, b"", b"")
        return changed

    try:
        return (await shop.run("payments", meta, handler))[0]
    except IdempotencyReplay:
        return False


def _commands(state: PaymentState, notice: Notice, work: Work, shop: Shop) -> Sequence[Command]:
    if state.amount is None or state.amount.currency != notice.amount.currency:
        return []
    outcome, order_id = notice.outcome, state.order_id
    match notice.kind:
        case "dispute":
            wish = payment.RecordDispute(
                order_id=order_id,
                dispute_id=outcome.reference or notice.id,
                amount=notice.amount,
                reason=outcome.code or "",
                status=outcome.status,
            )
            return [wish] if state.reference == notice.charge else []
        case "refund":
            known = None if notice.refund is None else state.refunds.get(notice.refund)
            if known is None or notice.refund is None or known.amount != notice.amount.amount:
                return []
            if outcome.status == "succeeded":
                reference = outcome.reference or ""
                return [payment.RecordRefund(order_id=order_id, refund_id=notice.refund, reference=reference)]
            if outcome.status == "declined":
                code = outcome.code or "declined"
                return [payment.RecordRefundFailure(order_id=order_id, refund_id=notice.refund, code=code)]
            return []
    if state.amount != notice.amount or state.reference not in (None, outcome.reference):
        return []
    match outcome.status:
        case "succeeded" if outcome.reference is not None:
            charge = payment.RecordCharge(order_id=order_id, reference=outcome.reference, captured=outcome.captured)
            return [charge]
        case "declined":
            return [payment.RecordDecline(order_id=order_id, code=outcome.code or "declined")]
        case "requires_action":
            kind = "unknown" if outcome.action is None else outcome.action.kind
            return [payment.RequireAction(order_id=order_id, kind=kind, until=work.now + shop.limits.action)]
        case "voided" if state.held:
            return [payment.RecordVoid(order_id=order_id, reason="let_go_by_provider")]
        case "voided" if state.action_until is not None and work.now >= state.action_until:
            # It may be our own giving up, told before our own answer.
            return [payment.TimeOutPayment(order_id=order_id)]
        case "voided":
            return [payment.RecordDecline(order_id=order_id, code="voided")]
        case _:
            return []


async def refund(
    shop: Shop,
    *,
    order_id: UUID,
    refund_id: UUID,
    amount: int,
    reason: str,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[PaymentState, Committed]:
    """Asks for a part of the money (or all that is left) to be given back; the payment after it.

    Raises `Rejected` (no_such_payment, payment_not_processed, refund_too_high …).
    """
    meta = replace(cause, correlation=str(order_id))
    stream = payment_id_of(order_id)

    async def handler(work: Work) -> PaymentState:
        state = await work.load(PAYMENT, stream)
        if state is None or state.amount is None:
            raise payment.NO_SUCH_PAYMENT()
        wish = payment.RequestRefund(
            order_id=order_id, refund_id=refund_id, amount=Money(amount, state.amount.currency), reason=reason
        )
        work.decide(PAYMENT, stream, wish, meta)
        after = work.state(PAYMENT, stream)
        assert after is not None, "a missing payment was rejected"
        work.unit.idempotency = keep(after)
        return after

    return await shop.run("payments", meta, handler)


async def next_action(shop: Shop, order_id: UUID) -> NextAction | None:
    """What the customer must do for the payment, asked from the provider, for it may hold a secret.

    None where there is nothing to do, or the provider does not answer.
    """
    state, _ = await shop.logs["payments"].load(PAYMENT, payment_id_of(order_id))
    if state is None or state.status != payment.REQUESTED:
        return None
    try:
        outcome = await shop.provider.find_charge(state.key, order_id)
    except ProviderDown:
        return None
    return outcome.action
