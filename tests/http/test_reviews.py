"""/reviews: only by who received the product, once; looked at, voted on, answered; seen on pages and in the search."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio
from PIL import Image

from emporium.application.ports import Meta, Unavailable
from emporium.domain.base import Money
from emporium.domain.customer import EmailVerificationRequested
from emporium.domain.helpful_vote import HelpfulVoteCast
from emporium.domain.order import CompleteOrder, OrderCreated, RecordDispatch, RecordPayment, RecordReservation
from emporium.domain.product import (
    AddVariant,
    ChangePrice,
    CreateProduct,
    PublishProduct,
    RemoveVariant,
    product_id_of,
)
from emporium.domain.reservation import Allocation
from emporium.domain.review import ReviewAnswered, ReviewWritten
from emporium.domain.shipment import PrepareShipment, RecordDelivery, RecordLabel, RecordLoss, ShipParcel
from emporium.infra.settings import Settings
from emporium.projections import picture_owners
from emporium.projections.traces import Traces
from tests import servers
from tests.http.client import API, PASSWORD, Caller, House
from tests.http.conftest import running
from tests.http.test_pictures import from_a_phone

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("server", ["pg18"], indirect=True, scope="module"),
]

STAFF = Meta("test", "request:test", "staff:test")
LONG = "It lights the whole kitchen, and after two winters it still looks like new."


async def buys(house: House, caller: Caller, *skus: str) -> UUID:
    """The id of a fresh order."""
    for sku in skus or ("MUG",):
        assert (await caller.add(sku)).status_code == 201
    placed = await caller.check_out()
    assert placed.status_code == 202, placed.text
    number = placed.json()["order_number"]
    [order_id] = [one.order_id for one in await house.events("ordering", OrderCreated) if one.number == number]
    return order_id


async def arrives(house: House, order_id: UUID, *parcels: str, lost: str = "") -> None:
    """What is in the order reaches its buyer, a parcel for each SKU."""
    items = tuple(Allocation(sku, f"W{n}", 1) for n, sku in enumerate(parcels or ("MUG",)))
    shipping: list[Any] = [PrepareShipment(order_id=order_id, allocations=items)]
    for number, sku in enumerate(parcels or ("MUG",), 1):
        shipping += [
            RecordLabel(
                order_id=order_id,
                parcel=number,
                carrier="c",
                tracking_number="1",
                tracking_url="https://c/1",
                pack=True,
            ),
            ShipParcel(order_id=order_id, parcel=number),
            (RecordLoss if sku == lost else RecordDelivery)(order_id=order_id, parcel=number),
        ]
    for command in shipping:
        await house.shop.execute(command, STAFF)


async def owner(house: House, *skus: str) -> Caller:
    """A customer who has received something."""
    customer = await house.register()
    await arrives(house, await buys(house, customer, *skus), *skus)
    return customer


async def reviewed(caller: Caller, product: str = "mug", rating: int = 5, **more: Any) -> str:
    """The id of a review of the caller's."""
    answer = await caller.post("/reviews", {"product": product, "rating": rating, **more})
    assert answer.status_code == 201, answer.text
    review_id: str = answer.json()["review_id"]
    return review_id


async def listed(house: House, product: str, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = await house.guest().get(f"/reviews?product={product}{query}", **headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One shop for the module; every test has products or customers of its own."""
    folder: Path = tmp_path_factory.mktemp("reviews")
    with servers.made(server, "reviews_over_http", template=template) as url:
        there = msgspec.structs.replace(Settings(), database_url=url, data_dir=folder, limit_account="9999999/1")
        async with running(there, search=True) as opened:
            yield opened


async def test_only_who_received_it_reviews_it_and_once(house: House) -> None:
    customer = await house.register()
    body = {"product": "mug", "rating": 4, "name": "Ada", "title": "Good", "text": LONG}
    refused = await customer.post("/reviews", body)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not_received")
    order_id = await buys(house, customer)
    assert (await customer.post("/reviews", body)).json()["type"] == "/problems/not_received"
    await arrives(house, order_id)
    # The read model knows nothing of the parcel: the logs do.
    made = await customer.post("/reviews", body, idempotency_key="r1")
    assert made.status_code == 201, made.text
    review_id = made.json()["review_id"]
    assert made.json()["status"] == "published" and made.headers["location"] == f"/api/v1/reviews/{review_id}"
    again = await customer.post("/reviews", body, idempotency_key="r1")
    assert (again.status_code, again.json()) == (201, made.json())
    twice = await customer.post("/reviews", {**body, "rating": 1})
    assert (twice.status_code, twice.json()["type"]) == (409, "/problems/review_exists")
    assert (await customer.post("/reviews", {**body, "product": "tea"})).json()["type"] == "/problems/not_received"
    assert (await customer.post("/reviews", {**body, "product": "no-such"})).status_code == 404
    assert (await customer.post("/reviews", {**body, "product": str(uuid4())})).status_code == 404
    wrong = await customer.post("/reviews", {**body, "rating": 6, "stars": 5})
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"/rating", "/stars"}
    shown = (await customer.get(f"/reviews/{review_id}")).json()
    assert (shown["author"], shown["title"], shown["text"], shown["rating"]) == ("Ada", "Good", LONG, 4)
    assert review_id in [one["review_id"] for one in (await customer.get("/reviews/mine")).json()["items"]]


async def complete(house: House, order_id: UUID, parcels: int) -> None:
    """The order itself hears of what happened to its parcels."""
    position = 0
    for command in (
        RecordPayment(order_id=order_id, amount=Money(0, "GBP")),
        RecordReservation(order_id=order_id),
        *(
            RecordDispatch(order_id=order_id, parcel=n, of=parcels, carrier="c", tracking_number="1", tracking_url="")
            for n in range(1, parcels + 1)
        ),
        CompleteOrder(order_id=order_id),
    ):
        position = (await house.shop.execute(command, STAFF)).position
    await house.shows("ordering", position, "order_history")


async def test_what_arrived_waits_for_a_word(house: House) -> None:
    customer = await house.register()
    order_id = await buys(house, customer, "MUG", "TEA")
    await arrives(house, order_id, "MUG", "TEA")
    due = (await customer.get("/reviews/due")).json()["items"]
    assert due == [], "the order itself knows nothing of the parcels yet, for no saga runs here"
    await complete(house, order_id, 2)
    due = (await customer.get("/reviews/due")).json()["items"]
    assert {one["sku"] for one in due} == {"MUG", "TEA"}
    await reviewed(customer, "mug")
    [left] = (await customer.get(f"/reviews/due?order={due[0]['order_number']}")).json()["items"]
    assert (left["title"], left["product_id"]) == ("Tea", str(product_id_of("TEA")))
    other = await house.register()
    assert (await other.get(f"/reviews/due?order={left['order_number']}")).json()["items"] == []
    assert (await other.get("/reviews/due?order=nonsense")).status_code == 422


async def test_a_lost_parcel_brought_nothing(house: House) -> None:
    customer = await house.register()
    await arrives(house, await buys(house, customer, "MUG", "POT"), "MUG", "POT", lost="POT")
    assert (await customer.post("/reviews", {"product": "pot", "rating": 1})).json()["type"] == "/problems/not_received"
    await reviewed(customer, "mug")


async def test_a_sku_counts_for_the_product_that_it_was_part_of(house: House) -> None:
    lamp, heir = product_id_of("LAMP-S"), product_id_of("HEIR")
    position = 0
    for command in (
        CreateProduct(product_id=lamp, title="Lamp", slug="lamp", options=("size",)),
        *(AddVariant(product_id=lamp, sku=f"LAMP-{size}", options={"size": size}) for size in "SL"),
        *(ChangePrice(product_id=lamp, sku=f"LAMP-{size}", price=Money(900, "GBP")) for size in "SL"),
        PublishProduct(product_id=lamp),
        CreateProduct(product_id=heir, title="Heir", slug="heir"),
    ):
        position = (await house.shop.execute(command, STAFF)).position
    await house.shows("catalog", position, "catalog_pages")
    await house.receive("LAMP-S", 5)
    customer = await house.register()
    await arrives(house, await buys(house, customer, "LAMP-S"), "LAMP-S")
    await house.shop.execute(RemoveVariant(product_id=lamp, sku="LAMP-S"), STAFF)
    await house.shop.execute(AddVariant(product_id=heir, sku="LAMP-S"), STAFF)
    refused = await customer.post("/reviews", {"product": str(heir), "rating": 1})
    assert refused.json()["type"] == "/problems/not_received"
    await reviewed(customer, "lamp")


async def test_a_guests_order_counts_once_the_account_has_it(house: House) -> None:
    guest = house.guest()
    await guest.add("TEA")
    placed = await guest.check_out(email="guest.of.tea@example.org")
    number = placed.json()["order_number"]
    [order_id] = [one.order_id for one in await house.events("ordering", OrderCreated) if one.number == number]
    await arrives(house, order_id, "TEA")
    customer = await house.register("guest.of.tea@example.org")
    assert (await customer.post("/reviews", {"product": "tea", "rating": 3})).json()["type"] == "/problems/not_received"
    token = await house.link(EmailVerificationRequested)
    assert (await house.guest().post("/account/verification", {"token": token})).json()["orders_claimed"] == 1
    await reviewed(customer, "tea", 3)


async def test_two_at_once_are_one(house: House) -> None:
    customer = await owner(house)
    body = {"product": "mug", "rating": 5, "text": "Twice at once, word by word, and long enough to be told."}
    before = len(await house.events("reviews", ReviewWritten))
    answers = await asyncio.gather(*(customer.post("/reviews", body) for _ in range(6)))
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409, 409, 409]
    assert len(await house.events("reviews", ReviewWritten)) == before + 1
    [made] = [one.json() for one in answers if one.status_code == 201]
    reader = await house.register()
    path = f"/reviews/{made['review_id']}/helpful"
    votes = await asyncio.gather(*(reader.post(path, {"helpful": True}) for _ in range(6)))
    assert {one.status_code for one in votes} == {200}
    mixed = await asyncio.gather(*(reader.post(path, {"helpful": n % 2 == 0}) for n in range(6)))
    assert {one.status_code for one in mixed} == {200}
    await reader.post(path, {"helpful": False})
    shown = (await reader.get(f"/reviews/{made['review_id']}")).json()
    assert (shown["helpful"], shown["unhelpful"]) == (0, 1)
    cast = [one for one in await house.events("reviews", HelpfulVoteCast) if str(one.review_id) == made["review_id"]]
    assert [one.previous for one in cast] == [None, *(one.helpful for one in cast[:-1])]
    await reader.post(path, {"helpful": None})
    shown = (await reader.get(f"/reviews/{made['review_id']}")).json()
    assert (shown["helpful"], shown["unhelpful"]) == (0, 0)
    own = await customer.post(path, {"helpful": True})
    assert (own.status_code, own.json()["type"]) == (409, "/problems/own_review")


async def test_the_same_text_from_two_at_once_is_one_persons(house: House) -> None:
    one, other = await owner(house), await owner(house)
    text = "Ein wirklich guter Becher, den ich jedem sofort empfehlen kann!"
    answers = await asyncio.gather(
        one.post("/reviews", {"product": "mug", "rating": 5, "text": text}),
        other.post("/reviews", {"product": "mug", "rating": 5, "text": text.upper() + "!!"}),
    )
    assert sorted(answer.json()["status"] for answer in answers) == ["published", "waiting"]
    # Whoever says something else, or nothing any more, leaves the text to others.
    first = one if answers[0].json()["status"] == "published" else other
    [mine] = (await first.get("/reviews/mine")).json()["items"]
    third, fourth = await owner(house), await owner(house)
    await first.call("PATCH", f"/api/v1/reviews/{mine['review_id']}", {"text": "Anything else is better than nothing."})
    theirs = await third.post("/reviews", {"product": "mug", "rating": 5, "text": text})
    assert theirs.json()["status"] == "published"
    await third.call("DELETE", f"/api/v1/reviews/{theirs.json()['review_id']}")
    again = await fourth.post("/reviews", {"product": "mug", "rating": 5, "text": text})
    assert again.json()["status"] == "published"


async def test_the_author_edits_and_the_history_stays(house: House) -> None:
    customer, other = await owner(house), await owner(house)
    review_id = await reviewed(customer, rating=2, title="Hm", text="Not yet sure what to make of it.")
    path = f"/reviews/{review_id}"
    assert (await other.call("PATCH", f"/api/v1{path}", {"rating": 1})).status_code == 404
    changed = await customer.call("PATCH", f"/api/v1{path}", {"rating": 4, "title": "Well"})
    assert changed.status_code == 200, changed.text
    shown = (await customer.get(path)).json()
    assert (shown["rating"], shown["title"], shown["text"]) == (4, "Well", "Not yet sure what to make of it.")
    linked = await customer.call("PATCH", f"/api/v1{path}", {"text": "Better at www.example.com!"})
    assert linked.json()["status"] == "waiting"
    assert (await customer.get(path)).json()["status"] == "waiting"
    assert (await house.guest().get(path)).status_code == 404
    steps = (await customer.get(f"{path}/history")).json()["items"]
    assert [(one["what"], one["rating"], one["title"]) for one in steps] == [
        ("written", 2, "Hm"), ("edited", 4, "Well"), ("edited", 4, "Well"),
    ]  # fmt: skip
    assert (await other.get(f"{path}/history")).status_code == 404
    gone = await customer.call("DELETE", f"/api/v1{path}")
    assert (gone.status_code, gone.json()["status"]) == (200, "withdrawn")
    assert (await customer.get(path)).status_code == 404
    assert (await customer.call("DELETE", f"/api/v1{path}")).status_code == 200
    assert await reviewed(customer, rating=5) == review_id


async def test_pictures_are_those_that_are_there(house: House) -> None:
    customer = await owner(house)
    path = house.opened.media.put(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg")
    body = {"product": "mug", "rating": 5, "pictures": [path, "/media/none.svg"]}
    wrong = await customer.post("/reviews", body)
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/pictures/1"]
    review_id = await reviewed(customer, pictures=[path, path])
    assert (await customer.get(f"/reviews/{review_id}")).json()["pictures"] == [path]
    await customer.call("PATCH", f"/api/v1/reviews/{review_id}", {"pictures": []})
    assert (await customer.get(f"/reviews/{review_id}")).json()["pictures"] == []


async def test_a_picture_is_cleaned_before_it_is_kept_and_only_of_who_received_the_product(house: House) -> None:
    customer, stranger = await owner(house), await house.register()
    url, headers = f"{API}/reviews/pictures?product=mug", {"content-type": "image/jpeg"}
    refused = await house.client.post(url, content=from_a_phone(), headers={**headers, **stranger.headers})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not_received")
    made = await house.client.post(url, content=from_a_phone(), headers={**headers, **customer.headers})
    assert made.status_code == 201, made.text
    path = made.json()["path"]
    shown = await house.client.get(path)
    assert shown.status_code == 200 and b"Exif" not in shown.content
    review_id = await reviewed(customer, pictures=[path])
    assert (await customer.get(f"/reviews/{review_id}")).json()["pictures"] == [path]
    bad = await house.client.post(url, content=b"<svg/>", headers={**headers, **customer.headers})
    assert (bad.status_code, bad.json()["type"]) == (422, "/problems/picture_refused")


async def test_a_picture_goes_with_the_last_one_who_has_it(house: House) -> None:
    one, other = await house.register(), await owner(house)
    order_id = await buys(house, one)
    await arrives(house, order_id)
    media, traces = house.opened.media, house.services.traces

    async def uploaded(caller: Caller, shade: int) -> str:
        url, headers = f"{API}/reviews/pictures?product=mug", {"content-type": "image/png"}
        made = await house.client.post(url, content=plain(shade), headers={**headers, **caller.headers})
        assert made.status_code == 201, made.text
        path: str = made.json()["path"]
        return path

    def there(path: str) -> bool:
        return media.get(path.removeprefix("/media/")) is not None

    shared, lone, unused, sold = [await uploaded(one, shade) for shade in (1, 2, 3, 4)]
    # The other has never uploaded it, but shows it.
    theirs = await reviewed(other)
    await other.call("PATCH", f"{API}/reviews/{theirs}", {"pictures": [shared]})
    await reviewed(one, pictures=[shared, lone, sold])
    clerk = await house.staff("catalog_manager")
    same = await house.client.post(
        f"{API}/admin/pictures", content=plain(4), headers={"content-type": "image/png", **clerk.headers}
    )
    assert same.json()["url"] == sold
    held = (await one.get("/account/export")).json()["pictures"]
    assert set(held) == {shared, lone, unused, sold}
    # What was uploaded and never shown is kept for a week.
    assert isinstance(traces, Traces)
    now = house.shop.clock.now()
    assert await traces.purge(now) == 0 and there(unused)
    await traces.purge(now + timedelta(days=8))
    assert not there(unused) and all(map(there, (shared, lone, sold)))
    assert await uploaded(one, 3) == unused and there(unused), "it can be uploaded again"
    await complete(house, order_id, 1)
    erased = await house.customer_id(one)
    assert (await one.post("/account/erasure", {"password": PASSWORD})).status_code == 204
    assert [there(path) for path in (shared, lone, unused, sold)] == [True, False, False, True]
    assert (await house.client.get(lone)).status_code == 404
    await traces.forget([await house.customer_id(other), erased])
    assert [there(path) for path in (shared, sold)] == [False, True]


async def test_who_takes_a_picture_waits_for_who_lets_it_go(house: House) -> None:
    one, other, path = uuid4(), uuid4(), f"/media/{'1' * 64}.jpg"
    reads, going, gone = house.services.reads, asyncio.Event(), asyncio.Event()
    takes = partial(picture_owners.note, owner=other, paths=[path], used=False)
    await reads.run(partial(picture_owners.note, owner=one, paths=[path], used=True))

    async def delete(_: str) -> None:
        going.set()
        await gone.wait()

    letting = asyncio.create_task(reads.run(partial(picture_owners.let_go, path=path, owner=one, delete=delete)))
    await going.wait()
    taking = asyncio.create_task(reads.run(takes))
    done, _ = await asyncio.wait([taking], timeout=0.2)
    assert not done, "what it puts there before the other has deleted it would be lost"
    gone.set()
    await asyncio.gather(letting, taking)
    assert await reads.run(partial(picture_owners.held, owner=one)) == []
    assert await reads.run(partial(picture_owners.held, owner=other)) == [path]

    async def fails(_: str) -> None:
        raise Unavailable("the disk is away")

    with pytest.raises(Unavailable, match="away"):
        await reads.run(partial(picture_owners.let_go, path=path, owner=other, delete=fails))
    assert await reads.run(partial(picture_owners.held, owner=other)) == [path], "it is tried again"


def plain(shade: int) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


async def test_staff_look_at_what_is_odd_or_reported(house: House) -> None:
    support = await house.staff("support")
    customer, reader = await owner(house), await house.register()
    review_id = await reviewed(customer, text="Buy at https://example.com instead")
    path = f"/reviews/{review_id}"
    support.headers |= {"consistency-token": customer.headers["consistency-token"]}
    waiting = {one["review"]["review_id"]: one for one in (await support.get("/reviews/queue")).json()["items"]}
    assert waiting[review_id]["flags"] == ["link"]
    assert waiting[review_id]["review"]["text"].startswith("Buy at")
    nothing = await support.post(f"{path}/decision", {"edition": 1, "publish": False})
    assert [error["pointer"] for error in nothing.json()["errors"]] == ["/reason"]
    other = await support.post(f"{path}/decision", {"edition": 1, "publish": False, "reason": "other"})
    assert (other.status_code, other.json()["type"]) == (422, "/problems/note_needed")
    spam = {"edition": 1, "publish": False, "reason": "spam", "note": "No shops, please."}
    assert (await support.post(f"{path}/decision", spam)).json()["status"] == "rejected"
    customer.headers |= {"consistency-token": support.headers["consistency-token"]}
    told = (await customer.get(path)).json()
    assert (told["status"], told["reason"], told["note"]) == ("rejected", "spam", "No shops, please.")
    again = await customer.call("PATCH", f"/api/v1{path}", {"text": "A mug that keeps the coffee warm."})
    assert again.json()["status"] == "waiting", "who was rejected is looked at"
    stale = await support.post(f"{path}/decision", {"edition": 1, "publish": True})
    assert (stale.status_code, stale.json()["type"]) == (409, "/problems/review_changed")
    assert (await support.post(f"{path}/decision", {"edition": 2, "publish": True})).json()["status"] == "published"
    for _ in range(2):
        taken = await reader.post(f"{path}/reports", {"reason": "offensive", "note": "Read the second word."})
        assert taken.status_code == 201, taken.text
    assert (await customer.post(f"{path}/reports", {"reason": "spam"})).json()["type"] == "/problems/own_review"
    support.headers |= {"consistency-token": reader.headers["consistency-token"]}
    [entry] = [
        one for one in (await support.get("/reviews/queue")).json()["items"] if one["review"]["review_id"] == review_id
    ]
    assert (entry["open_reports"], [one["note"] for one in entry["reports"]]) == (1, ["Read the second word."])
    await support.post(f"{path}/decision", {"edition": 2, "publish": True})
    ids = [one["review"]["review_id"] for one in (await support.get("/reviews/queue")).json()["items"]]
    assert review_id not in ids
    answered = await support.call("PUT", f"/api/v1{path}/answer", {"answer": "Thank you!"})
    assert answered.status_code == 200, answered.text
    assert (await support.get(path)).json()["answer"] == "Thank you!"
    written = len(await house.events("reviews", ReviewAnswered))
    await support.call("PUT", f"/api/v1{path}/answer", {"answer": " Thank you! "})
    assert len(await house.events("reviews", ReviewAnswered)) == written
    await support.call("PUT", f"/api/v1{path}/answer", {"answer": "Thank you, Grace!"})
    told = [one for one in (await customer.get(f"{path}/history")).json()["items"] if one["what"] == "answered"]
    assert [one["answer"] for one in told] == ["Thank you!", "Thank you, Grace!"]
    await support.call("DELETE", f"/api/v1{path}/answer")
    assert (await support.get(path)).json()["answer"] is None


async def test_the_rating_is_fair_and_everywhere(house: House) -> None:
    guest = house.guest()
    assert (await guest.get("/products/pot")).json()["rating"]["reviews"] == 0
    for rating in (5, 5, 1):
        customer = await owner(house, "POT")
        await reviewed(customer, "pot", rating)
        guest.headers |= {"consistency-token": customer.headers["consistency-token"]}
    rated = (await guest.get("/reviews/summary?product=pot")).json()
    assert (rated["reviews"], rated["histogram"], rated["mean"]) == (3, [1, 0, 0, 0, 2], 3.67)
    page = await guest.get("/products/pot")
    assert page.json()["rating"] == rated
    [summary] = [one for one in (await guest.get("/products")).json()["items"] if one["slug"] == "pot"]
    assert (summary["rating"], summary["reviews"]) == (rated["rating"], 3)
    for sort, order in (("highest", [5, 5, 1]), ("lowest", [1, 5, 5])):
        assert [one["rating"] for one in await listed(house, "pot", f"&sort={sort}")] == order
    assert [one["rating"] for one in await listed(house, "pot", "&rating=1")] == [1]
    for sort in ("newest", "helpful", "highest", "lowest"):
        everything = [one["review_id"] for one in await listed(house, "pot", f"&sort={sort}")]
        seen, path = [], f"/reviews?product=pot&sort={sort}&limit=1"
        while path is not None:
            body = (await guest.get(path.removeprefix("/api/v1"))).json()
            seen += [one["review_id"] for one in body["items"]]
            path = body["next"]
        assert seen == everything, sort
    least = rated["rating"] - 0.01
    found = await house.until(guest, f"/search?q=pot&rating_from={least}", lambda body: body["total"] == 1)
    assert found["items"][0]["rating"] == rated["rating"]
    # A better rating reaches the index by itself.
    await reviewed(await owner(house, "POT"), "pot", 5)
    await house.until(guest, f"/search?q=pot&rating_from={rated['rating'] + 0.01}", lambda body: body["total"] == 1)


async def test_erasure_leaves_the_stars_and_the_export_holds_the_words(house: House) -> None:
    customer = await owner(house)
    review_id = await reviewed(customer, rating=3, name="Grace", text="Grace was here and drank her tea.")
    reader = await house.register()
    await reader.post(f"/reviews/{review_id}/reports", {"reason": "other", "note": "Why tea?"})
    support = await house.staff("support")
    await support.call("PUT", f"/api/v1/reviews/{review_id}/answer", {"answer": "Dear Grace, thank you."})
    held = (await customer.get("/account/export")).json()["reviews"]
    assert [one["name"] for one in held] == ["ReviewWritten", "ReviewAnswered"]
    assert held[0]["facts"]["words"]["text"] == "Grace was here and drank her tea."
    assert held[1]["facts"]["answer"]["text"] == "Dear Grace, thank you."
    reported = (await reader.get("/account/export")).json()["reviews"]
    assert [one["facts"]["note"] for one in reported] == ["Why tea?"]
    await house.shop.vault.erase(await house.customer_id(customer))
    shown = (await house.guest().get(f"/reviews/{review_id}")).json()
    assert (shown["rating"], shown["author"], shown["title"], shown["text"]) == (3, None, None, None)
    assert shown["answer"] is None
    late = await support.call("PUT", f"/api/v1/reviews/{review_id}/answer", {"answer": "Still there?"})
    assert late.status_code < 500 and late.json()["type"] == "/problems/customer_erased"
    gone = await customer.call("PATCH", f"/api/v1/reviews/{review_id}", {"text": "It is me."})
    assert gone.json()["type"] == "/problems/customer_erased"
    odd = {"edition": 1, "publish": False, "reason": "other", "note": "Nobody reads this."}
    assert (await support.post(f"/reviews/{review_id}/decision", odd)).json()["status"] == "rejected"
    events, _ = await house.shop.logs["reviews"].read(0, 10_000)
    assert not any(b"Grace" in msgspec.json.encode(one.event) for one in events)
