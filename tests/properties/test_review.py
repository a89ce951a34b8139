"""Any sequence of what authors, readers and staff do shows nothing that nobody may see."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emporium.domain.base import Command, Rejected, Sealed
from emporium.domain.review import (
    PUBLISHED,
    REJECTED,
    REVIEW,
    WITHDRAWN,
    EditReview,
    PublishReview,
    RejectReview,
    ReportReview,
    ReviewState,
    WithdrawReview,
    WriteReview,
    review_id_of,
)
from tests.domain.spec import fold, uid

LAMP, ADA, BEN = uid(1), uid(2), uid(3)
ID = review_id_of(LAMP, ADA)
FLAGS = st.sampled_from([(), (), ("link",), ("repeated_text", "monotonous")])
RATINGS = st.integers(0, 6)
PEOPLE = st.sampled_from([ADA, BEN])


class ReviewMachine(RuleBasedStateMachine):
    """Remembers by itself whether the words that stand there may be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.review: ReviewState | None = None
        self.clean = False
        self.seen_by_staff = False
        self.barred = False
        self.words = 0

    def do(self, command: Command) -> bool:
        """Whether the review accepted the command and changed."""
        try:
            events = REVIEW.decide(command, self.review)
        except Rejected:
            return False
        before = self.review
        self.review = fold(REVIEW, events, self.review)  # type: ignore[assignment]
        if events and before is not None and self.review is not None:
            assert self.review.edition >= before.edition
        return bool(events)

    def sealed(self) -> Sealed:
        self.words += 1
        return Sealed(ADA, "ReviewWritten", str(self.words).encode())

    @rule(rating=RATINGS, flags=FLAGS)
    def write(self, rating: int, flags: tuple[str, ...]) -> None:
        command = WriteReview(
            review_id=ID,
            product_id=LAMP,
            customer_id=ADA,
            order_id=uid(4),
            rating=rating,
            words=self.sealed(),
            flags=flags,
        )
        there = self.review is not None and self.review.status != WITHDRAWN
        reported = self.review is not None and bool(self.review.reporters)
        if self.do(command):
            assert not there, "one review"
            self.barred |= reported
            self.clean, self.seen_by_staff = not flags, False

    @rule(who=PEOPLE, rating=st.none() | RATINGS, anew=st.booleans(), flags=FLAGS)
    def edit(self, who: object, rating: int | None, anew: bool, flags: tuple[str, ...]) -> None:
        words = self.sealed() if anew else None
        before = 0 if self.review is None else self.review.edition
        reported = self.review is not None and self.review.open_reports > 0
        command = EditReview(
            review_id=ID,
            customer_id=who,
            rating=rating,
            words=words,
            flags=flags if anew else (),  # type: ignore[arg-type]
        )
        if self.do(command):
            assert who == ADA and self.review is not None and self.review.edition == before + 1
            if anew:
                self.clean, self.seen_by_staff = not flags, False
                self.barred |= reported

    @rule(who=PEOPLE)
    def withdraw(self, who: object) -> None:
        if self.do(WithdrawReview(review_id=ID, customer_id=who)):  # type: ignore[arg-type]
            assert who == ADA

    @rule(behind=st.integers(0, 1), publish=st.booleans())
    def judge(self, behind: int, publish: bool) -> None:
        edition = (0 if self.review is None else self.review.edition) - behind
        command: Command = (
            PublishReview(review_id=ID, edition=edition)
            if publish
            else RejectReview(review_id=ID, edition=edition, reason="spam")
        )
        if self.do(command):
            assert not behind, "what nobody looked at"
            self.seen_by_staff, self.barred = publish, not publish

    @rule(who=PEOPLE)
    def report(self, who: object) -> None:
        if self.do(ReportReview(review_id=ID, reporter=who, reason="spam")):  # type: ignore[arg-type]
            assert who == BEN

    @invariant()
    def what_is_shown_may_be_shown(self) -> None:
        review = self.review
        if review is None:
            return
        assert 1 <= review.rating <= 5
        assert review.distrusted == self.barred
        if review.status == PUBLISHED:
            assert self.seen_by_staff or (self.clean and not self.barred)
            assert review.reason is None
        else:
            assert review.open_reports == 0, "what is not shown needs no complaint"
        if review.status == REJECTED:
            assert self.barred and review.reason == "spam"
        assert review.open_reports <= len(review.reporters)


TestReview = ReviewMachine.TestCase
