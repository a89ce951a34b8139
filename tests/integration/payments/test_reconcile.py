"""The reconciliation finds every difference between our events and the provider's record, and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from emporium.application.ports import Booked, Meta, NewEvent, Unit
from emporium.application.reconcile import Reconciliation, reconcile
from emporium.domain import payment as p
from emporium.domain.base import Event, Money
from emporium.scripts.reconcile import told
from tests.support.memory import MemoryLog

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)
PRICE = Money(1_500, "GBP")


class Books:
    """Our log and the provider's record."""

    def __init__(self) -> None:
        self.log = MemoryLog("payments")
        self.record: list[Booked] = []

    async def booked(self, since: datetime | None = None, until: datetime | None = None) -> AsyncIterator[Booked]:
        assert since is not None and until is not None
        for one in self.record:
            if since <= one.at < until:
                yield one

    def theirs(self, reference: str, amount: Money = PRICE, at: datetime = NOON) -> None:
        self.record.append(Booked("", None, amount, at, reference))

    async def ours(self, order: UUID, *events: Event, at: datetime = NOON) -> None:
        stream = p.payment_id_of(order)
        version = len(self.log.streams.get(stream, []))
        meta = Meta(str(order), "request:1", "system:test")
        new = [NewEvent(uuid4(), stream, version + n, event, at, meta) for n, event in enumerate(events, start=1)]
        await self.log.append(Unit(events=new))

    async def outcome(self) -> Reconciliation:
        return await reconcile(self.log, self, NOON.date())


def processed(order: UUID, reference: str, *, captured: bool = True, amount: Money = PRICE) -> Event:
    return p.PaymentProcessed(
        payment_id=p.payment_id_of(order), order_id=order, amount=amount, reference=reference, captured=captured
    )


def captured(order: UUID) -> Event:
    return p.PaymentCaptured(payment_id=p.payment_id_of(order), order_id=order, amount=PRICE)


def refunded(order: UUID, reference: str, pence: int) -> Event:
    return p.PaymentRefunded(
        payment_id=p.payment_id_of(order), order_id=order, refund_id=uuid4(), amount=Money(pence, "GBP"),
        reason="returned", reference=reference,
    )  # fmt: skip


@pytest.fixture
def books() -> Books:
    return Books()


async def test_books_that_agree(books: Books) -> None:
    taken, held, free, late = uuid4(), uuid4(), uuid4(), uuid4()
    await books.ours(taken, processed(taken, "pi_1"), refunded(taken, "re_1", 400))
    await books.ours(held, processed(held, "pi_2", captured=False))
    await books.ours(free, processed(free, "nothing-due", amount=Money(0, "GBP")))
    await books.ours(late, processed(late, "pi_3", captured=False), at=NOON - timedelta(days=5))
    await books.ours(late, captured(late))
    books.theirs("pi_1")
    books.theirs("pi_3")
    books.theirs("re_1", Money(-400, "GBP"))
    outcome = await books.outcome()
    assert outcome.differences == ()
    assert outcome.compared == 3
    [totals] = outcome.totals
    assert (totals.our_payments, totals.our_refunds) == (3_000, -400) == (totals.their_payments, totals.their_refunds)
    assert "the same on both sides" in told(outcome)[-1]


async def test_every_kind_of_difference(books: Books) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    await books.ours(one, processed(one, "pi_more"))
    await books.ours(two, processed(two, "pi_ours_only"))
    await books.ours(three, processed(three, "pi_held", captured=False), refunded(three, "re_ours_only", 5))
    books.theirs("pi_more", Money(1_501, "GBP"))
    books.theirs("pi_held")
    books.theirs("re_theirs_only", Money(-9, "GBP"))
    outcome = await books.outcome()
    assert {(found.reference, found.kind) for found in outcome.differences} == {
        ("pi_more", "amount"),
        ("pi_ours_only", "unknown_there"),
        ("pi_held", "unknown_here"),
        ("re_ours_only", "unknown_there"),
        ("re_theirs_only", "unknown_here"),
    }
    text = "\n".join(told(outcome))
    assert "5 of 5 payments, refunds and disputes differ" in text
    assert "ours 1500 GBP, theirs 1501 GBP" in text


def opened(order: UUID, dispute: str) -> Event:
    return p.DisputeOpened(
        payment_id=p.payment_id_of(order), order_id=order, dispute_id=dispute, amount=PRICE, reason="fraudulent"
    )


def closed(order: UUID, dispute: str, *, won: bool) -> Event:
    return p.DisputeClosed(payment_id=p.payment_id_of(order), order_id=order, dispute_id=dispute, amount=PRICE, won=won)


async def test_disputes_are_compared_in_both_directions(books: Books) -> None:
    for name in ("lost", "won", "asked", "quiet", "only_ours"):
        order = uuid4()
        await books.ours(order, opened(order, f"dp_{name}"))
        if name in ("lost", "won", "asked"):
            await books.ours(order, closed(order, f"dp_{name}", won=name != "lost"))
    for name in ("lost", "won", "quiet", "only_theirs"):
        books.record.append(Booked("", None, PRICE * -1, NOON, f"dp_{name}", dispute=True))
    books.record.append(Booked("", None, PRICE, NOON, "dp_won", dispute=True))
    books.record.append(Booked("", None, PRICE, NOON, "dp_quiet", dispute=True))
    outcome = await books.outcome()
    assert {(found.reference, found.kind) for found in outcome.differences} == {
        ("dp_only_ours", "unknown_there"),
        ("dp_only_theirs", "unknown_here"),
        ("dp_quiet/won", "unknown_here"),
    }
    [totals] = outcome.totals
    assert (totals.our_disputes, totals.their_disputes) == (-4_500, -3_000)
    assert (totals.our_refunds, totals.their_refunds, totals.our_payments, totals.their_payments) == (0, 0, 0, 0)
    assert "4500 disputed" in told(outcome)[0]


@pytest.mark.parametrize("later", [timedelta(seconds=1), timedelta(hours=20)])
async def test_what_straddles_midnight_is_no_difference_on_either_day(books: Books, later: timedelta) -> None:
    order = uuid4()
    await books.ours(order, processed(order, "pi_1"), at=MIDNIGHT + later)
    books.theirs("pi_1", at=MIDNIGHT - timedelta(seconds=1))
    for day in (NOON.date(), MIDNIGHT.date()):
        outcome = await reconcile(books.log, books, day)
        assert (outcome.compared, outcome.differences) == (1, ())


async def test_other_days_do_not_matter(books: Books) -> None:
    order = uuid4()
    await books.ours(order, processed(order, "pi_ours_only"), at=NOON - timedelta(days=1))
    books.theirs("pi_theirs_only", at=NOON + timedelta(days=1))
    assert (await books.outcome()).compared == 0
