"""Reviews: who may write one, the first look at its words, and the words sealed for their author."""

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.pictures import PICTURE_REFUSED
from emporium.application.ports import (
    BadPicture,
    Claim,
    Erased,
    Idempotency,
    Media,
    Meta,
    Pictures,
    Recorded,
    Taken,
    Vault,
)
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.domain.base import Command, Reason, Sealed
from emporium.domain.helpful_vote import HELPFUL_VOTE, CastHelpfulVote, helpful_vote_id_of
from emporium.domain.order import ORDER
from emporium.domain.product import NO_SUCH_PRODUCT, VariantAdded, VariantRemoved
from emporium.domain.review import (
    LINK,
    MONOTONOUS,
    NO_SUCH_REVIEW,
    OWN_REVIEW,
    PUBLISHED,
    REPEATED,
    REVIEW,
    WITHDRAWN,
    AnswerReview,
    EditReview,
    RejectReview,
    ReportReview,
    ReviewState,
    WithdrawReview,
    WriteReview,
    review_id_of,
)
from emporium.domain.shipment import FULFILLED, SHIPMENT, shipment_id_of
from emporium.domain.text import check_text

__all__ = [
    "LOG",
    "Changes",
    "Find",
    "Hold",
    "NOT_RECEIVED",
    "Words",
    "act",
    "answer",
    "edit",
    "first_look",
    "keep_picture",
    "received",
    "reject",
    "report",
    "said",
    "vote",
    "withdraw",
    "words_of",
    "write",
]

LOG: Final = "reviews"

"""The log of reviews."""

NAME_MOST: Final = 60
TITLE_MOST: Final = 120
TEXT_MOST: Final = 5_000
MAX_PICTURES: Final = 5
ANSWER_MOST: Final = 2_000
NOTE_MOST: Final = 500

NOT_RECEIVED = Reason(
    "not_received", "Only who received the product can review it; no order of yours has arrived with it."
)
NOTE_NEEDED = Reason("note_needed", "The reason other needs a note that says more.", "invalid")

Keep = Callable[[ReviewState], Idempotency | None]
Find = Callable[[Sequence[str], bool], Awaitable[Sequence[UUID]]]
"""(SKUs, whether all orders up to this moment are wanted) → the customer's orders that hold one of them, those that
have come to their end first."""
Hold = Callable[[Sequence[str]], Awaitable[None]]
VoteKeep = Callable[[bool | None], Idempotency | None]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer says in clear: the name that is shown (empty: none), and paths of pictures on the gateway."""

    name: str = ""
    title: str = ""
    text: str = ""
    pictures: tuple[str, ...] = ()

    def checked(self) -> "Words":
        """The words without blanks around. Raises `Rejected` (text_length, text_not_plain)."""
        return Words(
            name=check_text("name", self.name, NAME_MOST, least=0),
            title=check_text("title", self.title, TITLE_MOST, least=0),
            text=check_text("text", self.text, TEXT_MOST, least=0, lines=True),
            pictures=self.pictures,
        )


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; UNSET stays as it is."""

    rating: int | UnsetType = UNSET
    name: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    pictures: tuple[str, ...] | UnsetType = UNSET

    def of(self, words: Words) -> Words:
        """The words with these changes."""
        new = {name: getattr(self, name) for name in Words.__struct_fields__}
        return replace(words, **{name: value for name, value in new.items() if value is not UNSET})


# --- the first look --------------------------------------------------------------------------------

_ADDRESS: Final = re.compile(
    r"(?:https?|hxxps?|ftp)\s?:\s?/|\bwww\s?\.|[^\s@]+@[^\s@]+\.[a-z]{2,}"
    r"|\b[a-z0-9][a-z0-9-]*\.(?:com|net|org|info|biz|shop|store|online|site|xyz|top|click|link|ru|cn|io|ly|de|uk)\b",
    re.IGNORECASE,
)
_RUN: Final = re.compile(r"(\S)\1{9,}")
_WORD: Final = re.compile(r"\w+")
_WINDOW: Final = 50
_LEAST_WORDS: Final = 8
_VARIED: Final = 0.4
"""Of fifty words of a sensible text more than half are different ones."""

_TELLING: Final = 40
"""Shorter texts ("Works as it should") are written by many by themselves."""


def first_look(words: Words) -> tuple[str, ...]:
    """What a program can see in the words alone: `link`, `monotonous`."""
    text = f"{words.title}\n{words.text}\n{words.name}"
    flags = [LINK] if _ADDRESS.search(text) else []
    spoken = _WORD.findall(_plain(text))
    windows = [spoken[start : start + _WINDOW] for start in range(0, len(spoken), _WINDOW)]
    dull = any(len(one) >= _LEAST_WORDS and len(set(one)) < _VARIED * len(one) for one in windows)
    return (*flags, MONOTONOUS) if dull or _RUN.search(text) else tuple(flags)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _mark(vault: Vault, words: Words | None) -> bytes | None:
    """What the same text has in common, however it is written; None for words that prove nothing."""
    if words is None:
        return None
    spoken = " ".join(_WORD.findall(_plain(words.text)))
    return vault.fingerprint("review text", spoken) if len(spoken) >= _TELLING else None


# --- words -----------------------------------------------------------------------------------------


def _sealed(vault: Vault, customer_id: UUID, event: str, review_id: UUID, words: Words) -> Sealed:
    return vault.seal(customer_id, event, review_id, "words", msgspec.to_builtins(words))


def words_of(vault: Vault, sealed: Sealed, review_id: UUID) -> Words | None:
    """The words in clear; None where their author was erased. The key was loaded. Raises Unavailable."""
    value = vault.unseal(sealed, review_id, "words")
    return None if isinstance(value, str) else msgspec.convert(value, Words)


def said(vault: Vault, sealed: Sealed | None, review_id: UUID, field: str) -> str | None:
    """What the shop has said to the author; None where it said nothing, or the author was erased. As words_of."""
    value = None if sealed is None else vault.unseal(sealed, review_id, field)
    return value["text"] if isinstance(value, dict) else None


# --- who may write ---------------------------------------------------------------------------------


async def received(shop: Shop, customer_id: UUID, product_id: UUID, find: Find) -> UUID | None:
    """An order that is the customer's, is fulfilled, and brought the product.

    `find` only says where to look: what is believed stands in the logs at this moment. It stays true, for an order
    that has an owner keeps it, and a parcel that has arrived has arrived. One that was lost brought nothing.

    Raises `Rejected` (no_such_product).
    """
    catalog = await shop.logs["catalog"].stream(product_id)
    if not catalog:
        raise NO_SUCH_PRODUCT()
    ever = sorted({one.event.sku for one in catalog if isinstance(one.event, VariantAdded)})
    seen: set[UUID] = set()
    for fresh in (False, True):
        orders = [one for one in await find(ever, fresh) if one not in seen]
        seen.update(orders)
        for order_id in orders:
            if await _brought(shop, customer_id, catalog, order_id):
                return order_id
    return None


async def _brought(shop: Shop, customer_id: UUID, catalog: Sequence[Recorded], order_id: UUID) -> bool:
    order, _ = await shop.logs["ordering"].load(ORDER, order_id, fresh=True)
    shipment, _ = await shop.logs["shipping"].load(SHIPMENT, shipment_id_of(order_id), fresh=True)
    if order is None or order.customer_id != customer_id or shipment is None or shipment.status != FULFILLED:
        return False
    arrived = {item.sku for one in shipment.parcels.values() if one.delivered for item in one.parcel.items}
    [placed] = await shop.logs["ordering"].stream(order_id, limit=1)
    return not arrived.isdisjoint(_skus(catalog, placed))


def _skus(catalog: Sequence[Recorded], until: Recorded) -> set[str]:
    """The product's SKUs at the time of an order: a SKU can move to another product."""
    skus = set()
    for one in catalog:
        if one.at > until.at:
            break
        if isinstance(one.event, VariantAdded):
            skus.add(one.event.sku)
        elif isinstance(one.event, VariantRemoved):
            skus.discard(one.event.sku)
    return skus


async def keep_picture(pictures: Pictures, media: Media, content: bytes, note: Callable[[str], Awaitable[None]]) -> str:
    """Stores a picture, freed of all but what is seen; its path. No event names it: it belongs to the review's words.

    Args:
        note: remembers whose the path is.

    Raises `Rejected` (picture_refused), OSError.
    """
    try:
        clean = await pictures.clean(content)
    except BadPicture as bad:
        raise PICTURE_REFUSED(why=str(bad)) from bad
    # Before it is there: the same file may be going at this moment, for somebody else had it.
    await note(media.path(clean.content, clean.kind))
    return await asyncio.to_thread(media.put, clean.content, clean.kind)


# --- what authors do -------------------------------------------------------------------------------


async def write(
    shop: Shop,
    *,
    customer_id: UUID,
    product_id: UUID,
    find: Find,
    rating: int,
    words: Words,
    cause: Meta,
    hold: Hold,
    keep: Keep = lambda _: None,
) -> tuple[ReviewState, Committed]:
    """Reviews a product that arrived.

    Args:
        hold: makes the pictures the customer's.

    Raises `Rejected` (no_such_product, not_received, review_exists, rating_out_of_range, text_length …), Erased.
    """
    words = words.checked()
    review_id = review_id_of(product_id, customer_id)
    order_id = await received(shop, customer_id, product_id, find)
    if order_id is None:
        raise NOT_RECEIVED()
    await hold(words.pictures)
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> ReviewState:
        await work.load(REVIEW, review_id)
        repeats = await _claim_text(shop, work, review_id, None, words)
        await shop.vault.key_for(customer_id)
        command = WriteReview(
            review_id=review_id,
            product_id=product_id,
            customer_id=customer_id,
            order_id=order_id,
            rating=rating,
            words=_sealed(shop.vault, customer_id, "ReviewWritten", review_id, words),
            flags=(*first_look(words), *repeats),
        )
        work.decide(REVIEW, review_id, command, meta)
        return _kept(work, review_id, keep)

    return await _again_where_taken(shop, meta, handler)


async def edit(
    shop: Shop, *, review_id: UUID, customer_id: UUID, changes: Changes, cause: Meta, hold: Hold
) -> tuple[ReviewState, Committed]:
    """Changes what is given; `hold` makes new pictures the customer's.

    Raises `Rejected` (no_such_review, rating_out_of_range, text_length …), Erased."""
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> ReviewState:
        review = await work.load(REVIEW, review_id)
        if review is None or review.customer_id != customer_id:
            raise NO_SUCH_REVIEW()
        if changes.pictures is not UNSET:
            await hold(changes.pictures)
        await shop.vault.key_for(customer_id)
        before = words_of(shop.vault, review.words, review_id)
        after = changes.of(before or Words()).checked()
        sealed: Sealed | None = None
        flags: tuple[str, ...] = ()
        if after != before:
            repeats = await _claim_text(shop, work, review_id, before, after)
            same = before is not None and (before.title, before.text, before.name) == (
                after.title,
                after.text,
                after.name,
            )
            if not (same and review.status == PUBLISHED):
                still = (REPEATED,) if before is not None and before.text == after.text else ()
                flags = (*first_look(after), *repeats, *(flag for flag in still if flag in review.flags))
            await shop.vault.key_for(customer_id)
            sealed = _sealed(shop.vault, customer_id, "ReviewEdited", review_id, after)
        command = EditReview(
            review_id=review_id,
            customer_id=customer_id,
            rating=None if changes.rating is UNSET else changes.rating,
            words=sealed,
            flags=flags,
        )
        work.decide(REVIEW, review_id, command, meta)
        return _kept(work, review_id)

    return await _again_where_taken(shop, meta, handler)


async def withdraw(shop: Shop, *, review_id: UUID, customer_id: UUID, cause: Meta) -> tuple[ReviewState, Committed]:
    """Takes the review back; somebody else may then say the same. Raises `Rejected` (no_such_review)."""
    meta = replace(cause, correlation=str(customer_id))

    async def handler(work: Work) -> ReviewState:
        review = await work.load(REVIEW, review_id)
        work.decide(REVIEW, review_id, WithdrawReview(review_id=review_id, customer_id=customer_id), meta)
        assert review is not None, "a missing review was rejected"
        await shop.vault.load_keys([customer_id])
        mark = _mark(shop.vault, words_of(shop.vault, review.words, review_id))
        if mark is not None:
            work.unit.claims.append(Claim(_TEXTS, mark, review_id, release=True))
        return _kept(work, review_id)

    return await shop.run(LOG, meta, handler)


_TEXTS: Final = "review text"


async def _claim_text(shop: Shop, work: Work, review_id: UUID, before: Words | None, after: Words) -> tuple[str, ...]:
    """Lets the first who says something have it: `repeated_text` for whoever says the same."""
    old, new = _mark(shop.vault, before), _mark(shop.vault, after)
    if old == new:
        return ()
    if old is not None:
        work.unit.claims.append(Claim(_TEXTS, old, review_id, release=True))
    if new is None:
        return ()
    if await work.log.claimed(_TEXTS, new) not in (None, review_id):
        return (REPEATED,)
    work.unit.claims.append(Claim(_TEXTS, new, review_id))
    return ()


async def _again_where_taken(
    shop: Shop, meta: Meta, handler: Callable[[Work], Awaitable[ReviewState]]
) -> tuple[ReviewState, Committed]:
    """Runs the handler; once more where somebody said the same in that very moment."""
    while True:
        try:
            return await shop.run(LOG, meta, handler)
        except Taken:
            continue


def _kept(work: Work, review_id: UUID, keep: Keep = lambda _: None) -> ReviewState:
    after = work.state(REVIEW, review_id)
    assert after is not None, "a missing review was rejected"
    work.unit.idempotency = keep(after)
    return after


# --- what staff and readers do ---------------------------------------------------------------------


async def act(shop: Shop, command: Any, *, cause: Meta, keep: Keep = lambda _: None) -> tuple[ReviewState, Committed]:
    """Carries out a command of staff on one review; the review after it. Raises `Rejected`."""
    review_id: UUID = command.review_id

    async def handler(work: Work) -> ReviewState:
        review = await _loaded(work, review_id)
        await handle(work, command, replace(cause, correlation=str(review.customer_id)))
        return _kept(work, review_id, keep)

    return await shop.run(LOG, cause, handler)


async def reject(
    shop: Shop,
    *,
    review_id: UUID,
    edition: int,
    reason: str,
    note: str,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[ReviewState, Committed]:
    """Does not show the review, and tells its author why; one who was erased is told nothing.

    Raises `Rejected` (no_such_review, review_changed, unknown_choice, note_needed, text_length).
    """
    note = check_text("note", note, NOTE_MOST, least=0, lines=True)
    if reason == "other" and not note:
        raise NOTE_NEEDED(field="note")

    async def handler(work: Work) -> ReviewState:
        review = await _loaded(work, review_id)
        sealed = review.note if await _said(shop, review, "note") == (note or None) else None
        if note and sealed is None:
            with suppress(Erased):
                await shop.vault.key_for(review.customer_id)
                sealed = shop.vault.seal(review.customer_id, "ReviewRejected", review_id, "note", {"text": note})
        command = RejectReview(review_id=review_id, edition=edition, reason=reason, note=sealed)
        work.decide(REVIEW, review_id, command, replace(cause, correlation=str(review.customer_id)))
        return _kept(work, review_id, keep)

    return await shop.run(LOG, cause, handler)


async def answer(shop: Shop, *, review_id: UUID, text: str, cause: Meta) -> tuple[ReviewState, Committed]:
    """Answers in the shop's name, in place of what it said before; the same again changes nothing.

    Raises `Rejected` (no_such_review, text_length), Erased.
    """
    text = check_text("answer", text, ANSWER_MOST, lines=True)

    async def handler(work: Work) -> ReviewState:
        review = await _loaded(work, review_id)
        if await _said(shop, review, "answer") != text or review.status == WITHDRAWN:
            await shop.vault.key_for(review.customer_id)
            sealed = shop.vault.seal(review.customer_id, "ReviewAnswered", review_id, "answer", {"text": text})
            command = AnswerReview(review_id=review_id, answer=sealed)
            work.decide(REVIEW, review_id, command, replace(cause, correlation=str(review.customer_id)))
        return _kept(work, review_id)

    return await shop.run(LOG, cause, handler)


async def _loaded(work: Work, review_id: UUID) -> ReviewState:
    review = await work.load(REVIEW, review_id)
    if review is None:
        raise NO_SUCH_REVIEW()
    return review


async def _said(shop: Shop, review: ReviewState, field: str) -> str | None:
    await shop.vault.load_keys([review.customer_id])
    return said(shop.vault, getattr(review, field), review.review_id, field)


async def report(
    shop: Shop,
    *,
    review_id: UUID,
    reporter: UUID,
    reason: str,
    note: str,
    cause: Meta,
    keep: Keep = lambda _: None,
) -> tuple[ReviewState, Committed]:
    """Tells staff of a review, once per reader. Raises `Rejected` (no_such_review, own_review, unknown_choice)."""
    note = check_text("note", note, NOTE_MOST, least=0, lines=True)
    meta = replace(cause, correlation=str(reporter))

    async def handler(work: Work) -> ReviewState:
        await work.load(REVIEW, review_id)
        sealed = None
        if note:
            await shop.vault.key_for(reporter)
            sealed = shop.vault.seal(reporter, "ReviewReported", review_id, "note", note)
        command: Command = ReportReview(review_id=review_id, reporter=reporter, reason=reason, note=sealed)
        work.decide(REVIEW, review_id, command, meta)
        return _kept(work, review_id, keep)

    return await shop.run(LOG, meta, handler)


async def vote(
    shop: Shop,
    *,
    review_id: UUID,
    voter: UUID,
    helpful: bool | None,
    cause: Meta,
    keep: VoteKeep = lambda _: None,
) -> tuple[bool | None, Committed]:
    """Says whether a review is helpful, in place of what the voter said before.

    Raises `Rejected` (no_such_review, own_review).
    """
    meta = replace(cause, correlation=str(voter))
    stream = helpful_vote_id_of(review_id, voter)

    async def handler(work: Work) -> bool | None:
        review = await work.load(REVIEW, review_id)
        if review is None or review.status != PUBLISHED:
            raise NO_SUCH_REVIEW()
        if review.customer_id == voter:
            raise OWN_REVIEW()
        await work.load(HELPFUL_VOTE, stream)
        work.decide(HELPFUL_VOTE, stream, CastHelpfulVote(review_id=review_id, voter=voter, helpful=helpful), meta)
        work.unit.idempotency = keep(helpful)
        return helpful

    return await shop.run(LOG, meta, handler)
