"""What a customer says of a product that arrived: its editions, what staff decide on it and what the shop answers.

The words of a review are the customer's own and sealed with the customer's key, and so are those that the shop says to
the customer: all of them are gone with the customer, the rating stays.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, Sealed, State, stream_id

PUBLISHED, WAITING, REJECTED, WITHDRAWN = "published", "waiting", "rejected", "withdrawn"
"""`waiting`: for staff to look at it."""

LEAST_RATING: Final = 1
MOST_RATING: Final = 5
MAX_REPORTERS: Final = 200

LINK, REPEATED, MONOTONOUS, COMPLAINED = "link", "repeated_text", "monotonous", "reported"
FLAGS: Final = (LINK, REPEATED, MONOTONOUS, COMPLAINED)
"""What the first look finds: an address of a page; the words of another review; the same words again and again; other
words in the place of those that a reader has reported and staff have not looked at."""

REJECTIONS: Final = ("spam", "offensive", "off_topic", "personal_data", "not_genuine", "other")
"""Why staff do not show a review."""

REPORTS: Final = ("spam", "offensive", "off_topic", "personal_data", "not_genuine", "other")
"""What readers report."""


def review_id_of(product_id: UUID, customer_id: UUID) -> UUID:
    """The id of the only review that the customer can write of the product."""
    return stream_id("review", product_id, customer_id)


# --- events ----------------------------------------------------------------------------------------


class ReviewWritten(Event, frozen=True, kw_only=True):
    """A customer has reviewed a product that arrived with the order. After a withdrawal it may happen again.

    Attributes:
        words: sealed with the customer's key: name, title, text and pictures.
        flags: what the first look found.
        status: `published`, or `waiting` for staff.
    """

    review_id: UUID
    product_id: UUID
    customer_id: UUID
    order_id: UUID
    rating: int
    words: Sealed
    flags: tuple[str, ...] = ()
    status: str


class ReviewEdited(Event, frozen=True, kw_only=True):
    """The customer thinks otherwise. `words` and their `flags` are None and empty where only the rating is new."""

    review_id: UUID
    rating: int
    words: Sealed | None = None
    flags: tuple[str, ...] = ()
    status: str


class ReviewWithdrawn(Event, frozen=True, kw_only=True):
    """The customer does not want it shown any more."""

    review_id: UUID


class ReviewPublished(Event, frozen=True, kw_only=True):
    """Staff have looked at it and it is shown; what was reported of it is settled."""

    review_id: UUID


class ReviewRejected(Event, frozen=True, kw_only=True):
    """Staff have looked at it and it is not shown.

    Attributes:
        reason: one of REJECTIONS.
        note: tells the customer more; sealed with the customer's key.
    """

    review_id: UUID
    reason: str
    note: Sealed | None = None


class ReviewAnswered(Event, frozen=True, kw_only=True):
    """The shop says something to it, in place of what it said before; sealed with the customer's key."""

    review_id: UUID
    answer: Sealed


class ReviewAnswerRemoved(Event, frozen=True, kw_only=True):
    """The shop's answer is not shown any more."""

    review_id: UUID


class ReviewReported(Event, frozen=True, kw_only=True):
    """A reader thinks that staff should look at it.

    Attributes:
        reporter: the reader's account.
        note: the reader's own words, sealed with the reader's key.
    """

    review_id: UUID
    reporter: UUID
    reason: str
    note: Sealed | None = None


# --- state -----------------------------------------------------------------------------------------


class ReviewState(State, frozen=True, kw_only=True):
    """What a review remembers.

    Attributes:
        edition: grows with every change by the author, so that staff decide on what they have seen.
        distrusted: staff rejected it once and have not published it since: whatever is written waits.
        reporters: who reported these words; open_reports: reports that staff have not settled.
    """

    review_id: UUID
    product_id: UUID
    customer_id: UUID
    order_id: UUID
    status: str
    rating: int
    words: Sealed
    flags: tuple[str, ...] = ()
    edition: int = 1
    distrusted: bool = False
    reason: str | None = None
    note: Sealed | None = None
    answer: Sealed | None = None
    reporters: frozenset[UUID] = frozenset()
    open_reports: int = 0


# --- commands --------------------------------------------------------------------------------------


class WriteReview(Command, frozen=True, kw_only=True):
    """Whoever sends it has made sure that the order belonged to the customer and brought the product."""

    review_id: UUID
    product_id: UUID
    customer_id: UUID
    order_id: UUID
    rating: int
    words: Sealed
    flags: tuple[str, ...] = ()


class EditReview(Command, frozen=True, kw_only=True):
    """None leaves the rating or the words as they are."""

    review_id: UUID
    customer_id: UUID
    rating: int | None = None
    words: Sealed | None = None
    flags: tuple[str, ...] = ()


class WithdrawReview(Command, frozen=True, kw_only=True):
    review_id: UUID
    customer_id: UUID


class PublishReview(Command, frozen=True, kw_only=True):
    """`edition` is the one that was looked at."""

    review_id: UUID
    edition: int


class RejectReview(Command, frozen=True, kw_only=True):
    """`edition` is the one that was looked at."""

    review_id: UUID
    edition: int
    reason: str
    note: Sealed | None = None


class AnswerReview(Command, frozen=True, kw_only=True):
    review_id: UUID
    answer: Sealed


class RemoveAnswer(Command, frozen=True, kw_only=True):
    review_id: UUID


class ReportReview(Command, frozen=True, kw_only=True):
    review_id: UUID
    reporter: UUID
    reason: str
    note: Sealed | None = None


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_REVIEW = Reason("no_such_review", "There is no such review.", "missing")
REVIEW_EXISTS = Reason("review_exists", "You have reviewed this product already; the review can be changed.")
RATING_OUT_OF_RANGE = Reason("rating_out_of_range", "A rating is from {least} to {most}, not {rating}.", "invalid")
REVIEW_CHANGED = Reason("review_changed", "The review was edited since: this is edition {edition}, not {seen}.")
OWN_REVIEW = Reason("own_review", "This is your own review.")
UNKNOWN_CHOICE = Reason("unknown_choice", "{field} is one of {choices}.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, review: ReviewState | None) -> Sequence[Event]:
    """The events that the command makes of this review. Raises Rejected."""
    if isinstance(command, WriteReview):
        return _write(command, review)
    if review is None or review.status == WITHDRAWN:
        if review is not None and isinstance(command, WithdrawReview) and command.customer_id == review.customer_id:
            return []
        raise NO_SUCH_REVIEW()
    match command:
        case EditReview():
            return _edit(command, review)
        case WithdrawReview():
            _check_author(command.customer_id, review)
            return [ReviewWithdrawn(review_id=review.review_id)]
        case PublishReview():
            _check_edition(command.edition, review)
            if review.status == PUBLISHED and not review.open_reports:
                return []
            return [ReviewPublished(review_id=review.review_id)]
        case RejectReview():
            return _reject(command, review)
        case AnswerReview():
            return [ReviewAnswered(review_id=review.review_id, answer=command.answer)]
        case RemoveAnswer():
            return [] if review.answer is None else [ReviewAnswerRemoved(review_id=review.review_id)]
        case ReportReview():
            return _report(command, review)
        case _:
            raise TypeError(f"a review does not know {type(command).__name__}")


def _write(command: WriteReview, review: ReviewState | None) -> Sequence[Event]:
    if review is not None and review.status != WITHDRAWN:
        raise REVIEW_EXISTS(review_id=str(review.review_id))
    # Reports end with the words: to begin anew must not be a way around staff.
    flags = (*command.flags, COMPLAINED) if review is not None and review.reporters else command.flags
    waits = bool(flags) or (review is not None and review.distrusted)
    return [
        ReviewWritten(
            review_id=command.review_id,
            product_id=command.product_id,
            customer_id=command.customer_id,
            order_id=command.order_id,
            rating=check_rating(command.rating),
            words=command.words,
            flags=_flags(flags),
            status=WAITING if waits else PUBLISHED,
        )
    ]


def _edit(command: EditReview, review: ReviewState) -> Sequence[Event]:
    _check_author(command.customer_id, review)
    rating = review.rating if command.rating is None else check_rating(command.rating)
    if rating == review.rating and command.words is None:
        return []
    status, flags = review.status, command.flags
    if command.words is not None:
        flags = (*flags, COMPLAINED) if review.open_reports else flags
        status = WAITING if flags or review.distrusted else PUBLISHED
    return [
        ReviewEdited(
            review_id=review.review_id,
            rating=rating,
            words=command.words,
            flags=_flags(flags),
            status=status,
        )
    ]


def _reject(command: RejectReview, review: ReviewState) -> Sequence[Event]:
    _check_edition(command.edition, review)
    if command.reason not in REJECTIONS:
        raise UNKNOWN_CHOICE(field="reason", choices=", ".join(REJECTIONS))
    if review.status == REJECTED and (review.reason, review.note) == (command.reason, command.note):
        return []
    return [ReviewRejected(review_id=review.review_id, reason=command.reason, note=command.note)]


def _report(command: ReportReview, review: ReviewState) -> Sequence[Event]:
    if review.status != PUBLISHED:
        raise NO_SUCH_REVIEW()
    if command.reporter == review.customer_id:
        raise OWN_REVIEW()
    if command.reason not in REPORTS:
        raise UNKNOWN_CHOICE(field="reason", choices=", ".join(REPORTS))
    # Whom staff do not believe need not be heard again, nor the two hundredth of those whom they have not heard yet.
    if command.reporter in review.reporters or len(review.reporters) >= MAX_REPORTERS:
        return []
    return [
        ReviewReported(review_id=review.review_id, reporter=command.reporter, reason=command.reason, note=command.note)
    ]


def check_rating(rating: int) -> int:
    """The rating itself. Raises Rejected (rating_out_of_range)."""
    if not LEAST_RATING <= rating <= MOST_RATING:
        raise RATING_OUT_OF_RANGE(rating=rating, least=LEAST_RATING, most=MOST_RATING)
    return rating


def _flags(flags: Sequence[str]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag in flags)


def _check_author(customer_id: UUID, review: ReviewState) -> None:
    if customer_id != review.customer_id:
        raise NO_SUCH_REVIEW()


def _check_edition(seen: int, review: ReviewState) -> None:
    if seen != review.edition:
        raise REVIEW_CHANGED(edition=review.edition, seen=seen)


# --- evolve ----------------------------------------------------------------------------------------


def evolve(review: ReviewState | None, event: Event) -> ReviewState:
    """The review after the event."""
    if isinstance(event, ReviewWritten):
        return ReviewState(
            review_id=event.review_id,
            product_id=event.product_id,
            customer_id=event.customer_id,
            order_id=event.order_id,
            status=event.status,
            rating=event.rating,
            words=event.words,
            flags=event.flags,
            edition=1 if review is None else review.edition + 1,
            distrusted=COMPLAINED in event.flags or (review is not None and review.distrusted),
        )
    if review is None:
        raise ValueError("a review begins with ReviewWritten")
    match event:
        case ReviewEdited(words=None):
            return replace(review, rating=event.rating, edition=review.edition + 1)
        case ReviewEdited(words=Sealed() as words):
            return replace(
                review,
                rating=event.rating,
                words=words,
                flags=event.flags,
                status=event.status,
                edition=review.edition + 1,
                distrusted=review.distrusted or COMPLAINED in event.flags,
                reason=None,
                note=None,
                reporters=frozenset(),
                open_reports=0,
            )
        case ReviewWithdrawn():
            return replace(review, status=WITHDRAWN, open_reports=0)
        case ReviewPublished():
            return replace(review, status=PUBLISHED, distrusted=False, reason=None, note=None, open_reports=0)
        case ReviewRejected():
            return replace(
                review, status=REJECTED, distrusted=True, reason=event.reason, note=event.note, open_reports=0
            )
        case ReviewAnswered():
            return replace(review, answer=event.answer)
        case ReviewAnswerRemoved():
            return replace(review, answer=None)
        case ReviewReported():
            return replace(review, reporters=review.reporters | {event.reporter}, open_reports=review.open_reports + 1)
        case _:
            raise TypeError(f"a review does not know {type(event).__name__}")


REVIEW: Final = Aggregate(
    name="Review",
    log="reviews",
    state=ReviewState,
    events=(
        ReviewWritten,
        ReviewEdited,
        ReviewWithdrawn,
        ReviewPublished,
        ReviewRejected,
        ReviewAnswered,
        ReviewAnswerRemoved,
        ReviewReported,
    ),
    decide=decide,
    evolve=evolve,
)
