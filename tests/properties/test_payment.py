"""Money is never created in any sequence of payment and refund commands."""

from collections import Counter
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emporium.domain.base import Command, Event, Rejected
from emporium.domain.payment import (
    PAYMENT,
    CancelPayment,
    LatePaymentReceived,
    PaymentCancelled,
    PaymentCaptured,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
    PaymentState,
    PaymentVoided,
    RecordCapture,
    RecordCharge,
    RecordDecline,
    RecordRefund,
    RecordRefundFailure,
    RecordVoid,
    RefundFailed,
    RefundRequested,
    RequestCapture,
    RequestPayment,
    RequestRefund,
    TimeOutPayment,
    VoidRequested,
    closing_refund_id_of,
)
from tests.domain.spec import fold, gbp, uid

ORDER = uid(1)
REFUNDS = (uid(2), uid(3), closing_refund_id_of(ORDER))

REQUEST = RequestPayment(order_id=ORDER, amount=gbp(1_000), method="card")
NOTHING_DUE = RequestPayment(order_id=ORDER, amount=gbp(0), method="card")
PAID = RecordCharge(order_id=ORDER, reference="ch_1")
HELD = RecordCharge(order_id=ORDER, reference="ch_1", captured=False)
DECLINED = RecordDecline(order_id=ORDER, code="card_declined")
CANCELLED = CancelPayment(order_id=ORDER, reason="out_of_stock")

STARTS = st.sampled_from(
    [
        *((), (NOTHING_DUE,), (REQUEST,), (REQUEST, PAID), (REQUEST, HELD)),
        *((REQUEST, DECLINED), (REQUEST, CANCELLED)),
    ]
)
COMMANDS = st.sampled_from(
    [
        *(REQUEST, PAID, HELD, RecordCharge(order_id=ORDER, reference="ch_2"), DECLINED, CANCELLED),
        *(TimeOutPayment(order_id=ORDER), RecordCapture(order_id=ORDER), RecordVoid(order_id=ORDER)),
        RequestCapture(order_id=ORDER),
        *(
            RequestRefund(order_id=ORDER, refund_id=refund_id, amount=gbp(pence), reason="returned")
            for refund_id in REFUNDS
            for pence in (1_000, 600, 0)
        ),
        *(RecordRefund(order_id=ORDER, refund_id=refund_id, reference="re") for refund_id in REFUNDS),
        *(RecordRefundFailure(order_id=ORDER, refund_id=refund_id, code="no") for refund_id in REFUNDS),
    ]
)


class PaymentMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.payment: PaymentState | None = None
        self.story: list[Event] = []

    def do(self, command: Command) -> None:
        try:
            events = PAYMENT.decide(command, self.payment)
        except Rejected:
            return
        for event in events:
            self.payment = PAYMENT.evolve(self.payment, event)
            self.story.append(event)

    @initialize(commands=STARTS)
    def start(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            self.do(command)

    @rule(command=COMMANDS)
    def anything_happens(self, command: Command) -> None:
        self.do(command)

    @invariant()
    def the_ledger_is_never_overdrawn(self) -> None:
        received = 0
        promised: dict[UUID, int] = {}
        paid_back: dict[UUID, int] = {}
        for event in self.story:
            match event:
                case PaymentProcessed() | LatePaymentReceived():
                    assert received == 0
                    received = event.amount.amount
                case PaymentVoided():
                    received = 0
                case PaymentCaptured():
                    received = event.amount.amount
                case RefundRequested():
                    assert event.refund_id not in promised
                    promised[event.refund_id] = event.amount.amount
                case RefundFailed():
                    promised[event.refund_id] = 0
                case PaymentRefunded():
                    assert event.refund_id not in paid_back
                    promised[event.refund_id] = paid_back[event.refund_id] = event.amount.amount
            assert 0 <= sum(paid_back.values()) <= sum(promised.values()) <= received
        if self.payment is not None:
            assert self.payment.left == received - sum(promised.values())

    @invariant()
    def a_payment_has_one_outcome(self) -> None:
        kinds = Counter(type(event) for event in self.story)
        outcomes = (PaymentProcessed, PaymentFailed, PaymentCancelled)
        assert sum(kinds[kind] for kind in outcomes) <= 1
        assert kinds[PaymentProcessed] + kinds[LatePaymentReceived] <= 1

    @invariant()
    def late_money_is_always_on_its_way_back(self) -> None:
        for number, event in enumerate(self.story):
            if isinstance(event, LatePaymentReceived):
                back = self.story[number + 1]
                if event.captured:
                    assert isinstance(back, RefundRequested) and back.amount == event.amount
                else:
                    assert isinstance(back, VoidRequested)

    def teardown(self) -> None:
        assert fold(PAYMENT, self.story) == self.payment


TestPayment = PaymentMachine.TestCase
