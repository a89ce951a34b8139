"""A review: one per product and customer, editable, looked at, answered, reported; and one vote per reader."""

from msgspec.structs import replace

from emporium.domain.helpful_vote import CastHelpfulVote, HelpfulVoteCast, helpful_vote_id_of
from emporium.domain.review import (
    MAX_REPORTERS,
    NO_SUCH_REVIEW,
    OWN_REVIEW,
    PUBLISHED,
    RATING_OUT_OF_RANGE,
    REJECTED,
    REVIEW_CHANGED,
    REVIEW_EXISTS,
    UNKNOWN_CHOICE,
    WAITING,
    AnswerReview,
    EditReview,
    PublishReview,
    RejectReview,
    RemoveAnswer,
    ReportReview,
    ReviewAnswered,
    ReviewAnswerRemoved,
    ReviewEdited,
    ReviewPublished,
    ReviewRejected,
    ReviewReported,
    ReviewWithdrawn,
    ReviewWritten,
    WithdrawReview,
    WriteReview,
    review_id_of,
)
from tests.domain.spec import given, sealed, uid

LAMP, ADA, BEN, ORDER = uid(1), uid(2), uid(3), uid(4)
ID = review_id_of(LAMP, ADA)
WORDS, OTHERS = sealed("Bright.", "ReviewWritten"), sealed("Dim.", "ReviewEdited")
WRITE = WriteReview(review_id=ID, product_id=LAMP, customer_id=ADA, order_id=ORDER, rating=4, words=WORDS)
WRITTEN = ReviewWritten(
    review_id=ID, product_id=LAMP, customer_id=ADA, order_id=ORDER, rating=4, words=WORDS, status=PUBLISHED
)
FLAGGED = replace(WRITTEN, flags=("link",), status=WAITING)
REWRITTEN = ReviewEdited(review_id=ID, rating=4, words=OTHERS, status=PUBLISHED)
GONE = ReviewWithdrawn(review_id=ID)
SPAM = ReviewRejected(review_id=ID, reason="spam")
REPORTED = ReviewReported(review_id=ID, reporter=BEN, reason="spam")


def test_one_review_per_product_and_customer() -> None:
    given().when(WRITE).then(WRITTEN)
    given(WRITTEN).when(WRITE).rejected(REVIEW_EXISTS, review_id=str(ID))
    assert len({review_id_of(LAMP, ADA), review_id_of(LAMP, BEN), review_id_of(BEN, ADA)}) == 3
    for rating in (0, 6, -1):
        given().when(replace(WRITE, rating=rating)).rejected(RATING_OUT_OF_RANGE, rating=rating)


def test_what_the_first_look_flags_waits_for_staff() -> None:
    given().when(replace(WRITE, flags=("repeated_text", "link"))).then(
        replace(WRITTEN, flags=("link", "repeated_text"), status=WAITING)
    )
    given(FLAGGED).when(PublishReview(review_id=ID, edition=1)).then(ReviewPublished(review_id=ID)).leads_to(
        status=PUBLISHED
    )
    # Another wording without a link needs nobody.
    given(FLAGGED).when(EditReview(review_id=ID, customer_id=ADA, words=OTHERS)).then(REWRITTEN)


def test_the_author_alone_edits() -> None:
    stars = ReviewEdited(review_id=ID, rating=2, status=PUBLISHED)
    given(WRITTEN).when(EditReview(review_id=ID, customer_id=ADA, rating=2)).then(stars).leads_to(
        rating=2, words=WORDS, edition=2
    )
    given(WRITTEN).when(EditReview(review_id=ID, customer_id=ADA, words=OTHERS)).then(REWRITTEN)
    given(WRITTEN).when(EditReview(review_id=ID, customer_id=ADA, rating=4)).then()
    given(WRITTEN).when(EditReview(review_id=ID, customer_id=BEN, rating=1)).rejected(NO_SUCH_REVIEW)
    given(WRITTEN).when(EditReview(review_id=ID, customer_id=ADA, rating=9)).rejected(RATING_OUT_OF_RANGE)
    given().when(EditReview(review_id=ID, customer_id=ADA, rating=1)).rejected(NO_SUCH_REVIEW)
    waits = given(FLAGGED).when(EditReview(review_id=ID, customer_id=ADA, rating=1))
    waits.leads_to(status=WAITING, flags=("link",))


def test_withdrawn_is_gone_until_it_is_written_again() -> None:
    given(WRITTEN).when(WithdrawReview(review_id=ID, customer_id=ADA)).then(GONE)
    given(WRITTEN, GONE).when(WithdrawReview(review_id=ID, customer_id=ADA)).then()
    given(WRITTEN, GONE).when(WithdrawReview(review_id=ID, customer_id=BEN)).rejected(NO_SUCH_REVIEW)
    given(WRITTEN).when(WithdrawReview(review_id=ID, customer_id=BEN)).rejected(NO_SUCH_REVIEW)
    given(WRITTEN, GONE).when(EditReview(review_id=ID, customer_id=ADA, rating=1)).rejected(NO_SUCH_REVIEW)
    given(WRITTEN, GONE).when(WRITE).then(WRITTEN).leads_to(status=PUBLISHED, edition=2)


def test_staff_decide_on_what_they_have_seen() -> None:
    given(WRITTEN).when(RejectReview(review_id=ID, edition=1, reason="spam")).then(SPAM).leads_to(
        status=REJECTED, reason="spam"
    )
    given(WRITTEN, SPAM).when(RejectReview(review_id=ID, edition=1, reason="spam")).then()
    given(WRITTEN, REWRITTEN).when(RejectReview(review_id=ID, edition=1, reason="spam")).rejected(
        REVIEW_CHANGED, edition=2, seen=1
    )
    given(WRITTEN, REWRITTEN).when(PublishReview(review_id=ID, edition=1)).rejected(REVIEW_CHANGED)
    given(WRITTEN).when(PublishReview(review_id=ID, edition=1)).then()
    given(WRITTEN).when(RejectReview(review_id=ID, edition=1, reason="ugly")).rejected(UNKNOWN_CHOICE)
    note = sealed("No shops, please.", "ReviewRejected")
    given(WRITTEN, SPAM).when(RejectReview(review_id=ID, edition=1, reason="spam", note=note)).then(
        replace(SPAM, note=note)
    )
    given(WRITTEN, GONE).when(PublishReview(review_id=ID, edition=1)).rejected(NO_SUCH_REVIEW)


def test_who_was_rejected_is_looked_at_until_published() -> None:
    again = EditReview(review_id=ID, customer_id=ADA, words=OTHERS)
    given(WRITTEN, SPAM).when(again).then(replace(REWRITTEN, status=WAITING))
    # Neither does it help to withdraw it and to begin anew.
    given(WRITTEN, SPAM, GONE).when(WRITE).then(replace(WRITTEN, status=WAITING))
    published = ReviewPublished(review_id=ID)
    given(WRITTEN, SPAM, published).when(again).then(REWRITTEN)


def test_who_was_reported_does_not_edit_staff_away() -> None:
    again = EditReview(review_id=ID, customer_id=ADA, words=OTHERS)
    waits = replace(REWRITTEN, flags=("reported",), status=WAITING)
    given(WRITTEN, REPORTED).when(again).then(waits).leads_to(open_reports=0, flags=("reported",))
    # Neither by another edit, nor by withdrawing it.
    given(WRITTEN, REPORTED, waits).when(replace(again, words=WORDS)).then(
        replace(REWRITTEN, words=WORDS, status=WAITING)
    )
    given(WRITTEN, REPORTED, GONE).when(WRITE).then(replace(WRITTEN, flags=("reported",), status=WAITING))
    given(WRITTEN, REPORTED, waits, GONE).when(WRITE).then(replace(WRITTEN, status=WAITING))
    settled = ReviewPublished(review_id=ID)
    given(WRITTEN, REPORTED, settled).when(again).then(REWRITTEN)
    given(WRITTEN, REPORTED, waits, settled).when(replace(again, words=WORDS)).then(replace(REWRITTEN, words=WORDS))
    # Other stars are no other words.
    stars = EditReview(review_id=ID, customer_id=ADA, rating=1)
    given(WRITTEN, REPORTED).when(stars).leads_to(open_reports=1, status=PUBLISHED)


def test_the_shop_answers() -> None:
    words = sealed("Thank you!", "ReviewAnswered")
    thanks = ReviewAnswered(review_id=ID, answer=words)
    given(WRITTEN).when(AnswerReview(review_id=ID, answer=words)).then(thanks).leads_to(answer=words)
    removed = ReviewAnswerRemoved(review_id=ID)
    given(WRITTEN, thanks).when(RemoveAnswer(review_id=ID)).then(removed).leads_to(answer=None)
    given(WRITTEN).when(RemoveAnswer(review_id=ID)).then()
    given(WRITTEN, GONE).when(AnswerReview(review_id=ID, answer=words)).rejected(NO_SUCH_REVIEW)
    given().when(AnswerReview(review_id=ID, answer=words)).rejected(NO_SUCH_REVIEW)


def test_a_reader_reports_once_and_staff_settle_it() -> None:
    report = ReportReview(review_id=ID, reporter=BEN, reason="spam")
    given(WRITTEN).when(report).then(REPORTED).leads_to(open_reports=1, status=PUBLISHED)
    given(WRITTEN, REPORTED).when(report).then()
    given(WRITTEN).when(replace(report, reporter=ADA)).rejected(OWN_REVIEW)
    given(WRITTEN).when(replace(report, reason="dull")).rejected(UNKNOWN_CHOICE)
    given(FLAGGED).when(report).rejected(NO_SUCH_REVIEW)
    settled = ReviewPublished(review_id=ID)
    given(WRITTEN, REPORTED).when(PublishReview(review_id=ID, edition=1)).then(settled).leads_to(open_reports=0)
    given(WRITTEN, REPORTED, settled).when(report).then()
    given(WRITTEN, REPORTED, settled, REWRITTEN).when(report).then(REPORTED)
    many = [replace(REPORTED, reporter=uid(100 + n)) for n in range(MAX_REPORTERS)]
    given(WRITTEN, *many).when(report).then()


def test_a_vote_is_one_vote() -> None:
    def vote(helpful: bool | None) -> CastHelpfulVote:
        return CastHelpfulVote(review_id=ID, voter=BEN, helpful=helpful)

    yes = HelpfulVoteCast(review_id=ID, voter=BEN, helpful=True)
    given().when(vote(True)).then(yes)
    given().when(vote(None)).then()
    given(yes).when(vote(True)).then()
    no = given(yes).when(vote(False))
    no.then(HelpfulVoteCast(review_id=ID, voter=BEN, helpful=False, previous=True))
    back = HelpfulVoteCast(review_id=ID, voter=BEN, helpful=None, previous=True)
    given(yes).when(vote(None)).then(back)
    given(yes, back).when(vote(True)).then(yes)
    assert helpful_vote_id_of(ID, BEN) != helpful_vote_id_of(ID, ADA)
