"""/api/v1/reviews: what customers say of what they received, how helpful that is, and what staff make of it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from emporium.application import reviews
from emporium.application.ports import Vault
from emporium.domain.base import Command
from emporium.domain.order_number import parse_order_number
from emporium.domain.review import (
    NO_SUCH_REVIEW,
    PUBLISHED,
    REVIEW,
    WITHDRAWN,
    PublishReview,
    RemoveAnswer,
    ReviewAnswered,
    ReviewAnswerRemoved,
    ReviewEdited,
    ReviewPublished,
    ReviewRejected,
    ReviewState,
    ReviewWithdrawn,
    ReviewWritten,
)
from emporium.http.auth import person, signed_in, staff
from emporium.http.bodies import Body
from emporium.http.caching import PRIVATE, PUBLIC, tagged
from emporium.http.consistency import includes
from emporium.http.idempotency import Answer, dressed, once
from emporium.http.paging import Cursor, Limit, Listing, listing
from emporium.http.pictures import LONGEST_PICTURE
from emporium.http.problems import KINDS, Wrong
from emporium.http.reply import Reply
from emporium.http.request import Request, actor_of
from emporium.projections import catalog_pages, order_history, picture_owners
from emporium.projections import reviews as rows
from emporium.projections.consistency import token_of
from emporium.projections.order_history import ORDER_HISTORY
from emporium.projections.paging import Page
from emporium.projections.reviews import REVIEWS, Rating, ReviewRow, ReviewSort

__all__ = ["ReviewController"]

PATIENCE: Final = 5.0
"""Seconds for which the list of a customer's orders may take to be complete."""

MODERATORS: Final = ("support", "catalog_manager")
"""Beside administrators: who looks at reviews and answers them."""

ReviewId = Annotated[UUID, PathParameter(description="The review's id.")]
ProductParameter = Annotated[str, QueryParameter(max_length=120, description="Id or slug of a product.")]
Stars = Annotated[int, Meta(ge=1, le=5)]
_NO_CONTROLS = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
ShownName = Annotated[str, Meta(max_length=reviews.NAME_MOST, pattern=_NO_CONTROLS, examples=["Ada"])]
Title = Annotated[str, Meta(max_length=reviews.TITLE_MOST, pattern=_NO_CONTROLS, examples=["Bright and quiet"])]
Words = Annotated[str, Meta(max_length=reviews.TEXT_MOST, pattern=_NO_CONTROLS)]
Picture = Annotated[
    str,
    Meta(pattern=r"^/media/[A-Za-z0-9_-]{1,128}\.[a-z0-9]{1,8}$", description="The path of a picture on the gateway."),
]
Pictures = Annotated[list[Picture], Meta(max_length=reviews.MAX_PICTURES)]
Reasons = Literal["spam", "offensive", "off_topic", "personal_data", "not_genuine", "other"]
Note = Annotated[str, Meta(max_length=reviews.NOTE_MOST, pattern=_NO_CONTROLS)]


class NewReview(Body, frozen=True, kw_only=True):
    """What the caller says of a product that has arrived; `name` is shown with it, none where it is left out."""

    product: Annotated[str, Meta(min_length=1, max_length=120, description="Id or slug.", examples=["mug"])]
    rating: Stars
    name: ShownName = ""
    title: Title = ""
    text: Words = ""
    pictures: Pictures = []


class ReviewChanges(Body, frozen=True, kw_only=True):
    """What shall be different; what is left out stays."""

    rating: Stars | UnsetType = UNSET
    name: ShownName | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    text: Words | UnsetType = UNSET
    pictures: Pictures | UnsetType = UNSET


class Helpful(Body, frozen=True, kw_only=True):
    """Whether the review helped; null takes the vote back."""

    helpful: bool | None


class NewReport(Body, frozen=True, kw_only=True):
    """Why staff should look at the review."""

    reason: Reasons
    note: Note = ""


class Decision(Body, frozen=True, kw_only=True):
    """What staff decide on the `edition` that they saw; a rejection needs its reason, and `other` a note."""

    edition: Annotated[int, Meta(ge=1, le=10**9)]
    publish: bool
    reason: Reasons | None = None
    note: Note = ""


class ShopAnswer(Body, frozen=True, kw_only=True):
    """What the shop says to it."""

    answer: Annotated[str, Meta(min_length=1, max_length=reviews.ANSWER_MOST, pattern=_NO_CONTROLS)]


class ReviewReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """How the review stands: `published`, `waiting` for staff, `rejected` or `withdrawn`. Holds none of its words."""

    review_id: UUID
    product_id: UUID
    status: str
    rating: int
    edition: int


class ReviewView(msgspec.Struct, frozen=True, kw_only=True):
    """A review. Who wrote it has received the product.

    Attributes:
        author: the name that the author chose; null where none was, or the author was erased with all words.
        edition: grows with every change by the author.
        reason, note: why staff do not show it; told to its author and to staff.
    """

    review_id: UUID
    product_id: UUID
    status: str
    edition: int
    rating: int
    author: str | None
    title: str | None
    text: str | None
    pictures: tuple[str, ...]
    written_at: datetime
    edited_at: datetime | None
    helpful: int
    unhelpful: int
    answer: str | None
    answered_at: datetime | None
    reason: str | None
    note: str | None


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader told staff of an edition."""

    edition: int
    reason: str
    note: str | None
    at: datetime


class QueuedReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review as staff see it: `flags` are what the first look found (link, repeated_text, monotonous, reported)."""

    review: ReviewView
    flags: tuple[str, ...]
    open_reports: int
    reports: list[ReportView]


class ReviewStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a review; what it did not touch is null."""

    at: datetime
    what: Literal["written", "edited", "withdrawn", "published", "rejected", "answered", "answer_removed"]
    rating: int | None = None
    author: str | None = None
    title: str | None = None
    text: str | None = None
    pictures: tuple[str, ...] = ()
    status: str | None = None
    reason: str | None = None
    note: str | None = None
    answer: str | None = None


class ReviewHistory(msgspec.Struct, frozen=True):
    """All that happened to a review, the oldest first."""

    items: list[ReviewStep]


class DueReview(msgspec.Struct, frozen=True, kw_only=True):
    """A product that has arrived with the order and that the caller has not reviewed."""

    product_id: UUID
    title: str
    sku: str
    order_number: str


class DueReviews(msgspec.Struct, frozen=True):
    """What can be reviewed, the last order first."""

    items: list[DueReview]


class VoteView(msgspec.Struct, frozen=True):
    """The caller's vote on a review."""

    review_id: UUID
    helpful: bool | None


class ReviewPicture(msgspec.Struct, frozen=True):
    """The path of a picture that a review may hold."""

    path: str


class ReportTaken(msgspec.Struct, frozen=True):
    """The report is with staff."""

    review_id: UUID


class ReviewController(Controller):
    """Reviews."""

    path = "/reviews"
    tags = ["reviews"]

    @get("/", opt={"tagged": True, "models": ("reviews",)})
    async def list_reviews(
        self,
        request: Request,
        product: ProductParameter,
        sort: FromQuery[ReviewSort] = "newest",
        rating: Annotated[int | None, QueryParameter(ge=1, le=5, description="Only with so many stars.")] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Reply[Listing[ReviewView]]:
        """The reviews of a product."""
        await includes(request, REVIEWS.name)
        product_id = await _product(request, product)
        page = await request.services.reads.run(
            lambda connection: rows.of_product(
                connection, product_id, sort=sort, rating=rating, limit=limit, cursor=cursor
            )
        )
        return tagged(request, await _listed(request, page), cache=PUBLIC)

    @get("/summary", opt={"tagged": True, "models": ("reviews",)})
    async def summary(self, request: Request, product: ProductParameter) -> Reply[Rating]:
        """How a product is rated: fair to few votes, plainly, and how many gave how many stars."""
        await includes(request, REVIEWS.name)
        product_id = await _product(request, product)
        found = await request.services.reads.run(lambda connection: rows.ratings(connection, [product_id]))
        return tagged(request, found.get(product_id, rows.NOTHING), cache=PUBLIC)

    @get("/mine", opt={"tagged": True, "models": ("reviews",)}, guards=[signed_in])
    async def mine(self, request: Request, limit: Limit = 20, cursor: Cursor = None) -> Reply[Listing[ReviewView]]:
        """What the caller has written, and how it stands."""
        session = await request.customer()
        await includes(request, REVIEWS.name)
        page = await request.services.reads.run(
            lambda connection: rows.of_customer(connection, session.customer, limit=limit, cursor=cursor)
        )
        return tagged(request, await _listed(request, page))

    @get("/due", opt={"tagged": True, "models": ("order_history", "reviews")}, guards=[signed_in])
    async def due(
        self,
        request: Request,
        order: Annotated[
            str | None, QueryParameter(max_length=64, description="Only what came with this order, by its number.")
        ] = None,
    ) -> Reply[DueReviews]:
        """What the caller has received and not reviewed yet; where invitations to review lead."""
        session = await request.customer()
        number = None if order is None else parse_order_number(order)
        await includes(request, ORDER_HISTORY.name, REVIEWS.name)
        reads, customer_id = request.services.reads, session.customer
        lines = await reads.run(lambda connection: order_history.arrived(connection, customer_id, number))
        offers = await request.services.shop.offers.offers(
            list({sku for _, sku in lines}), request.services.shop.currency
        )
        products = list({one.product_id for one in offers.values()})
        done = await reads.run(lambda connection: rows.reviewed(connection, customer_id, products))
        found: dict[UUID, DueReview] = {}
        for placed, sku in lines:
            offer = offers.get(sku)
            if offer is not None and offer.product_id not in done and offer.product_id not in found:
                found[offer.product_id] = DueReview(
                    product_id=offer.product_id, title=offer.title, sku=sku, order_number=placed
                )
        return tagged(request, DueReviews(list(found.values())))

    @get("/queue", opt={"tagged": True, "models": ("reviews",)}, guards=[staff(*MODERATORS)])
    async def queue(self, request: Request, limit: Limit = 50, cursor: Cursor = None) -> Reply[Listing[QueuedReview]]:
        """What waits for staff: not shown yet, or reported; what waits longest comes first."""
        await includes(request, REVIEWS.name)
        reads = request.services.reads
        page = await reads.run(lambda connection: rows.queue(connection, limit=limit, cursor=cursor))
        reported = await reads.run(
            lambda connection: rows.reports(connection, [one.state.review_id for one in page.items])
        )
        subjects = {one.note.subject for some in reported.values() for one in some if one.note is not None}
        vault = request.services.shop.vault
        await vault.load_keys([*subjects, *(one.state.customer_id for one in page.items)])
        return tagged(
            request, listing(request, page, lambda row: _queued(vault, row, reported.get(row.state.review_id, ())))
        )

    @post("/", status_code=201, guards=[person], opt={"idempotent": True})
    async def write(self, request: Request, data: JSONBody[NewReview]) -> Reply[ReviewReceipt]:
        """Reviews a product that the caller has received. One review per product; it can be changed."""
        session = await request.customer()
        shop, customer_id = request.services.shop, session.customer
        product_id = await _product(request, data.product, published_only=False)
        pictures = await _pictures(request, data.pictures)
        words = reviews.Words(name=data.name, title=data.title, text=data.text, pictures=pictures)

        return await once(
            request,
            reviews.LOG,
            actor_of(session),
            lambda after: _answer(after, 201),
            lambda keep: reviews.write(
                shop,
                customer_id=customer_id,
                product_id=product_id,
                find=_finder(request, customer_id),
                rating=data.rating,
                words=words,
                cause=request.cause(actor_of(session), customer_id),
                hold=_holder(request, customer_id),
                keep=keep,
            ),
        )

    @post("/pictures", status_code=201, guards=[person], opt={"upload": "image/*", "longest_body": LONGEST_PICTURE})
    async def upload_review_picture(self, request: Request, product: ProductParameter) -> Reply[ReviewPicture]:
        """Stores the picture that is the body, for a review of a product that the caller has received.

        JPEG, PNG, WebP or GIF, up to 10 MB. What is not seen of it, such as where it was taken, is removed. The same
        picture again is the same.
        """
        session = await request.customer()
        services = request.services
        product_id = await _product(request, product, published_only=False)
        find = _finder(request, session.customer)
        if await reviews.received(services.shop, session.customer, product_id, find) is None:
            raise reviews.NOT_RECEIVED()

        async def note(path: str) -> None:
            await services.reads.run(
                lambda connection: picture_owners.note(connection, session.customer, [path], used=False)
            )

        path = await reviews.keep_picture(services.pictures, services.media, await request.body(), note)
        return Reply.of(ReviewPicture(path), 201, [(b"location", path.encode())])

    @get("/{review_id:uuid}", opt={"tagged": True, "models": ("reviews",)})
    async def show(self, request: Request, review_id: ReviewId) -> Reply[ReviewView]:
        """A review; one that is not shown only for its author and for staff."""
        await includes(request, REVIEWS.name)
        row = await request.services.reads.run(lambda connection: rows.by_id(connection, review_id))
        if row is None or row.state.status == WITHDRAWN:
            raise NO_SUCH_REVIEW()
        if row.state.status != PUBLISHED:
            await _check_may_see(request, row.state)
        vault = request.services.shop.vault
        await vault.load_keys([row.state.customer_id])
        return tagged(request, _view(vault, row), cache=PUBLIC if row.state.status == PUBLISHED else PRIVATE)

    @get("/{review_id:uuid}/history", opt={"tagged": True}, guards=[signed_in])
    async def history(self, request: Request, review_id: ReviewId) -> Reply[ReviewHistory]:
        """All editions and decisions, for the review's author and for staff."""
        await request.customer()
        shop = request.services.shop
        state, _ = await shop.logs[reviews.LOG].load(REVIEW, review_id, fresh=True)
        if state is None:
            raise NO_SUCH_REVIEW()
        await _check_may_see(request, state)
        events = await shop.logs[reviews.LOG].stream(review_id)
        await shop.vault.load_keys([state.customer_id])
        steps = [_step(shop.vault, review_id, one.at, one.event) for one in events]
        return tagged(request, ReviewHistory([step for step in steps if step is not None]))

    @patch("/{review_id:uuid}", guards=[person])
    async def change(
        self, request: Request, review_id: ReviewId, data: JSONBody[ReviewChanges]
    ) -> Reply[ReviewReceipt]:
        """Changes the caller's own review."""
        session = await request.customer()
        pictures = UNSET if data.pictures is UNSET else await _pictures(request, data.pictures)
        changes = reviews.Changes(
            rating=data.rating, name=data.name, title=data.title, text=data.text, pictures=pictures
        )
        after, committed = await reviews.edit(
            request.services.shop,
            review_id=review_id,
            customer_id=session.customer,
            changes=changes,
            cause=request.cause(actor_of(session), session.customer),
            hold=_holder(request, session.customer),
        )
        return dressed(request, _answer(after), reviews.LOG, committed.position)

    @delete("/{review_id:uuid}", status_code=200, guards=[person])
    async def withdraw(self, request: Request, review_id: ReviewId) -> Reply[ReviewReceipt]:
        """Takes the caller's own review back."""
        session = await request.customer()
        after, committed = await reviews.withdraw(
            request.services.shop,
            review_id=review_id,
            customer_id=session.customer,
            cause=request.cause(actor_of(session), session.customer),
        )
        return dressed(request, _answer(after), reviews.LOG, committed.position)

    @post("/{review_id:uuid}/helpful", status_code=200, guards=[person], opt={"idempotent": True})
    async def vote(self, request: Request, review_id: ReviewId, data: JSONBody[Helpful]) -> Reply[VoteView]:
        """Says whether another person's review helped; each account has one vote, which it can change."""
        session = await request.customer()
        return await once(
            request,
            reviews.LOG,
            actor_of(session),
            lambda helpful: Answer.of(VoteView(review_id, helpful), 200),
            lambda keep: reviews.vote(
                request.services.shop,
                review_id=review_id,
                voter=session.customer,
                helpful=data.helpful,
                cause=request.cause(actor_of(session), session.customer),
                keep=keep,
            ),
        )

    @post("/{review_id:uuid}/reports", status_code=201, guards=[person], opt={"idempotent": True})
    async def report(self, request: Request, review_id: ReviewId, data: JSONBody[NewReport]) -> Reply[ReportTaken]:
        """Tells staff of a review, once per account."""
        session = await request.customer()
        return await once(
            request,
            reviews.LOG,
            actor_of(session),
            lambda after: Answer.of(ReportTaken(after.review_id), 201),
            lambda keep: reviews.report(
                request.services.shop,
                review_id=review_id,
                reporter=session.customer,
                reason=data.reason,
                note=data.note,
                cause=request.cause(actor_of(session), session.customer),
                keep=keep,
            ),
        )

    @post("/{review_id:uuid}/decision", status_code=200, guards=[staff(*MODERATORS)], opt={"idempotent": True})
    async def decide(self, request: Request, review_id: ReviewId, data: JSONBody[Decision]) -> Reply[ReviewReceipt]:
        """Shows the review, which settles what was reported of it, or rejects it for a reason."""
        if data.publish:
            return await _by_staff(request, PublishReview(review_id=review_id, edition=data.edition))
        if data.reason is None:
            raise KINDS.invalid_body(errors=[Wrong("A rejection needs its reason.", pointer="/reason")])
        session, reason = await request.customer(), data.reason
        return await once(
            request,
            reviews.LOG,
            actor_of(session),
            _answer,
            lambda keep: reviews.reject(
                request.services.shop,
                review_id=review_id,
                edition=data.edition,
                reason=reason,
                note=data.note,
                cause=request.cause(actor_of(session), ""),
                keep=keep,
            ),
        )

    @put("/{review_id:uuid}/answer", guards=[staff(*MODERATORS)])
    async def answer(self, request: Request, review_id: ReviewId, data: JSONBody[ShopAnswer]) -> Reply[ReviewReceipt]:
        """Answers a review in the shop's name, in place of an earlier answer."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "")
        after, committed = await reviews.answer(
            request.services.shop, review_id=review_id, text=data.answer, cause=cause
        )
        return dressed(request, _answer(after), reviews.LOG, committed.position)

    @delete("/{review_id:uuid}/answer", status_code=200, guards=[staff(*MODERATORS)])
    async def remove_answer(self, request: Request, review_id: ReviewId) -> Reply[ReviewReceipt]:
        """Takes the shop's answer away."""
        return await _by_staff(request, RemoveAnswer(review_id=review_id))


async def _by_staff(request: Request, command: Command) -> Reply[ReviewReceipt]:
    session = await request.customer()
    return await once(
        request,
        reviews.LOG,
        actor_of(session),
        _answer,
        lambda keep: reviews.act(request.services.shop, command, cause=request.cause(actor_of(session), ""), keep=keep),
    )


async def _product(request: Request, text: str, *, published_only: bool = True) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        page = await request.services.reads.run(
            lambda connection: catalog_pages.product_page(connection, text, published_only=published_only)
        )
    if page is None:
        raise KINDS.not_found("There is no such product.")
    return page.product_id


def _finder(request: Request, customer_id: UUID) -> reviews.Find:
    """Where to look for orders of the customer's that hold a SKU."""

    async def find(skus: Sequence[str], fresh: bool) -> Sequence[UUID]:
        if fresh:
            await _all_orders(request)
        return await request.services.reads.run(
            lambda connection: order_history.orders_with(connection, customer_id, skus)
        )

    return find


def _holder(request: Request, customer_id: UUID) -> reviews.Hold:
    """Makes pictures the customer's, each of which is still there then."""

    async def hold(paths: Sequence[str]) -> None:
        if paths:
            await request.services.reads.run(
                lambda connection: picture_owners.note(connection, customer_id, paths, used=True)
            )
            await _pictures(request, paths)

    return hold


async def _pictures(request: Request, given: Sequence[str]) -> tuple[str, ...]:
    """The pictures, each of which is there. Raises Problem (invalid_body)."""
    media = request.services.media
    wrong = [
        Wrong("There is no such picture: upload it first.", pointer=f"/pictures/{n}")
        for n, path in enumerate(given)
        if await asyncio.to_thread(media.get, path.removeprefix("/media/")) is None
    ]
    if wrong:
        raise KINDS.invalid_body(errors=wrong)
    return tuple(dict.fromkeys(given))


async def _all_orders(request: Request) -> None:
    """Waits until the list of orders has all up to this moment. Raises Problem (not_yet_visible)."""
    log = request.services.shop.logs["ordering"]
    if not await request.services.waiter.wait([ORDER_HISTORY.name], token_of(log, await log.head()), PATIENCE):
        raise KINDS.not_yet_visible(headers={"Retry-After": "1"})


async def _check_may_see(request: Request, state: ReviewState) -> None:
    session = await request.caller()
    roles = frozenset(("admin", *MODERATORS))
    if session is None or (session.customer != state.customer_id and roles.isdisjoint(session.roles)):
        raise NO_SUCH_REVIEW()


def _answer(after: ReviewState, status: int = 200) -> Answer:
    receipt = ReviewReceipt(
        review_id=after.review_id,
        product_id=after.product_id,
        status=after.status,
        rating=after.rating,
        edition=after.edition,
    )
    return Answer.of(receipt, status, location=f"/api/v1/reviews/{after.review_id}" if status == 201 else None)


async def _listed(request: Request, page: Page[ReviewRow]) -> Listing[ReviewView]:
    vault = request.services.shop.vault
    await vault.load_keys([row.state.customer_id for row in page.items])
    return listing(request, page, lambda row: _view(vault, row))


def _view(vault: Vault, row: ReviewRow) -> ReviewView:
    state = row.state
    words = reviews.words_of(vault, state.words, state.review_id)
    return ReviewView(
        review_id=state.review_id,
        product_id=state.product_id,
        status=state.status,
        edition=state.edition,
        rating=state.rating,
        author=None if words is None else words.name or None,
        title=None if words is None else words.title,
        text=None if words is None else words.text,
        pictures=() if words is None else words.pictures,
        written_at=row.written_at,
        edited_at=row.edited_at,
        helpful=row.helpful,
        unhelpful=row.unhelpful,
        answer=reviews.said(vault, state.answer, state.review_id, "answer"),
        answered_at=row.answered_at,
        reason=state.reason,
        note=reviews.said(vault, state.note, state.review_id, "note"),
    )


def _queued(vault: Vault, row: ReviewRow, reported: Sequence[rows.ReportRow]) -> QueuedReview:
    return QueuedReview(
        review=_view(vault, row),
        flags=row.state.flags,
        open_reports=row.state.open_reports,
        reports=[
            ReportView(
                edition=one.edition,
                reason=one.reason,
                note=None if one.note is None else vault.unseal(one.note, row.state.review_id, "note"),
                at=one.at,
            )
            for one in reported
        ],
    )


def _step(vault: Vault, review_id: UUID, at: datetime, event: Any) -> ReviewStep | None:
    match event:
        case ReviewWritten() | ReviewEdited():
            words = None if event.words is None else reviews.words_of(vault, event.words, review_id)
            return ReviewStep(
                at=at,
                what="written" if isinstance(event, ReviewWritten) else "edited",
                rating=event.rating,
                author=None if words is None else words.name or None,
                title=None if words is None else words.title,
                text=None if words is None else words.text,
                pictures=() if words is None else words.pictures,
                status=event.status,
            )
        case ReviewWithdrawn():
            return ReviewStep(at=at, what="withdrawn")
        case ReviewPublished():
            return ReviewStep(at=at, what="published")
        case ReviewRejected():
            note = reviews.said(vault, event.note, review_id, "note")
            return ReviewStep(at=at, what="rejected", reason=event.reason, note=note)
        case ReviewAnswered():
            return ReviewStep(at=at, what="answered", answer=reviews.said(vault, event.answer, review_id, "answer"))
        case ReviewAnswerRemoved():
            return ReviewStep(at=at, what="answer_removed")
    return None  # who reported it is nobody's business
