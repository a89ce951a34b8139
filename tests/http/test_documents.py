"""An order's documents at the gateway: listed, read as PDF by whom they concern, in its language, and erased."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emporium.application import orders
from emporium.application.ports import Meta
from emporium.domain.order import HoldOrder, OrderCreated
from emporium.infra.settings import Settings
from tests.http.client import Caller, House
from tests.http.conftest import running
from tests.support.pdf import text
from tests.support.sandbox import SandboxProcess

NAME = {
    "name": "Łukasz Žižek",
    "lines": ["Świętokrzyska 12"],
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "GB",
}


@pytest.fixture
async def busy(settings: Settings, folder: Path) -> AsyncIterator[House]:
    """A shop whose saga runs, with a provider and a carrier."""
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        urls = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(urls, saga=True) as house:
            yield house


async def shipped(house: House, caller: Caller, warehouse: Caller, **more: Any) -> str:
    """An order of two mugs and a tea whose parcel has left and arrived; its number."""
    await caller.add("MUG", 2)
    await caller.add("TEA", 1)
    await caller.call("PATCH", "/api/v1/cart", {"language": "de"})
    placed = await caller.check_out(shipping_address=NAME, **more)
    assert placed.status_code == 202, placed.text
    number: str = placed.json()["order_number"]
    await house.order_is(caller, number, "confirmed")
    assert (await caller.get(f"/orders/{number}/documents")).json()["items"] == []
    await house.labelled(warehouse, number)
    for step in ("ship", "deliver"):
        moved = await warehouse.post(f"/shipments/{number}/parcels/1/{step}", {})
        assert moved.status_code == 200, moved.text
    await house.order_is(caller, number, "fulfilled")
    return number


async def test_what_staff_keep_to_themselves_is_not_told(busy: House) -> None:
    customer, support = await busy.register(), await busy.staff("support")
    await customer.add()
    number = (await customer.check_out()).json()["order_number"]
    await busy.order_is(customer, number, "confirmed")
    order_id = (await orders.find(busy.shop, number)).order_id  # type: ignore[union-attr]
    cause = Meta(str(order_id), "request:test", "staff:sam")
    await busy.shop.execute(HoldOrder(order_id=order_id, reason="looks like fraud"), cause)
    await busy.until(support, f"/orders/{number}", lambda body: body["held"] == "looks like fraud")
    assert (await customer.get(f"/orders/{number}")).json()["held"] is None
    stopped = await support.post(f"/orders/{number}/cancel", {"reason": "stolen card"})
    assert stopped.status_code == 202, stopped.text
    await busy.order_is(support, number, "cancelled")
    refunded = await busy.until(
        support, f"/orders/{number}", lambda body: [o["status"] for o in body["refunds"]] == ["done"]
    )
    assert (refunded["reason"], refunded["refunds"][0]["reason"]) == ("stolen card", "own_words")
    # An order that nobody got has no invoice, so its refund needs no credit note.
    assert refunded["documents"] == []
    for path in (f"/orders/{number}", f"/orders/{number}/timeline", "/orders", f"/payments/{number}"):
        answer = await customer.get(path)
        assert answer.status_code == 200
        for secret in ("fraud", "stolen", "staff:", "sam", "OrderHeld"):
            assert secret not in answer.text.replace("same", ""), (path, secret)
    order = (await customer.get(f"/orders/{number}")).json()
    assert (order["reason"], order["refunds"][0]["reason"]) == (None, "order_cancelled")


async def test_documents_from_shipment_to_erasure(busy: House) -> None:
    admin, warehouse = await busy.staff("admin"), await busy.staff("warehouse")
    changed = await admin.call(
        "PATCH", "/api/v1/admin/settings", {"legal_name": "Mugs & Söhne Ltd", "vat_id": "GB123456789"}
    )
    assert changed.status_code == 200, changed.text
    email = "lukasz@example.org"
    customer, guest = await busy.register(email), busy.guest()
    number = await shipped(busy, customer, warehouse)
    payer = {
        "name": "Meyer & Söhne", "lines": ["Deichstr. 1"], "city": "Hamburg", "postcode": "20459", "country": "DE",
    }  # fmt: skip
    other = await shipped(busy, guest, warehouse, billing_address=payer)

    back = await warehouse.post(
        f"/orders/{number}/returns", {"lines": [{"line": 1, "quantity": 1}], "reason": "chipped"}
    )
    assert back.status_code == 201, back.text
    listed = await busy.until(customer, f"/orders/{number}/documents", lambda body: len(body["items"]) == 2)
    invoice, note = listed["items"]
    year = invoice["issued_at"][:4]
    assert (invoice["number"], invoice["kind"]) == (f"INV-{year}-000001", "invoice")
    assert (note["number"], note["kind"]) == (f"CN-{year}-000001", "credit_note")
    assert (note["corrects"], note["refund_id"]) == (invoice["number"], back.json()["return_id"])
    assert note["amount"] == back.json()["amount"]

    # The customer, the guest with the order's token, and staff read the PDF; nobody else does.
    got = await customer.call("GET", invoice["href"])
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["content-disposition"] == f'attachment; filename="{invoice["number"]}.pdf"'
    shown = text(got.content)
    for words in ("Mugs & Söhne Ltd", "GB123456789", "Łukasz Žižek", "Rechnung", number, "13,50 £"):
        assert words in shown
    kept = await customer.call("GET", invoice["href"], if_none_match=got.headers["etag"])
    assert (kept.status_code, kept.content) == (304, b"")
    [theirs] = (await busy.until(guest, f"/orders/{other}/documents", lambda body: body["items"]))["items"]
    for reader, path, status in (
        (guest, theirs["href"], 200),
        (admin, theirs["href"], 200),
        (customer, theirs["href"], 404),
        (guest, invoice["href"], 404),
        (busy.guest(), invoice["href"], 404),
        # A number belongs to its order only.
        (customer, f"/api/v1/orders/{number}/documents/{theirs['number']}", 404),
        (customer, f"/api/v1/orders/{number}/documents/INV-1-1", 404),
    ):
        assert (await reader.call("GET", path)).status_code == status, path
    credit = text((await customer.call("GET", note["href"])).content)
    assert "Rechnungskorrektur" in credit and invoice["number"] in credit and "5,00 £" in credit

    # The guest's is invoiced to somebody else, and sent where it shall go.
    invoiced = text((await guest.call("GET", theirs["href"])).content)
    assert "Meyer & Söhne" in invoiced and "20459 Hamburg" in invoiced and "Žižek" not in invoiced
    sent = text((await warehouse.get(f"/shipments/{other}/parcels/1/packing-slip")).content)
    assert "Žižek" in sent and "Meyer" not in sent
    seen = (await guest.get(f"/orders/{other}")).json()
    assert (seen["billing_address"]["name"], seen["shipping_address"]["name"]) == ("Meyer & Söhne", "Łukasz Žižek")
    assert (await customer.get(f"/orders/{number}")).json()["billing_address"] is None
    for event in await busy.events("ordering", OrderCreated):
        assert b"Meyer" not in msgspec.json.encode(event)
    await guest.add()
    wrong = await guest.check_out(billing_address={**payer, "postcode": "1"})
    assert wrong.json()["errors"][0]["pointer"] == "/billing_address/postcode"

    slip = f"/shipments/{number}/parcels/1/packing-slip"
    packed = text((await warehouse.get(slip)).content)
    assert "Lieferschein" in packed and "Łukasz Žižek" in packed and "MUG" in packed and "£" not in packed
    assert (await warehouse.get(f"/shipments/{number}/parcels/9/packing-slip")).status_code == 404
    assert (await customer.get(slip)).status_code == 403

    # The whole picture: everything adds up, and the words are the customer's.
    order = (await customer.get(f"/orders/{number}")).json()
    amounts = {name: order[name]["amount"] for name in ("goods", "discount", "shipping", "shipping_discount", "total")}
    assert amounts == {"goods": 1_350, "discount": 0, "shipping": 495, "shipping_discount": 0, "total": 1_845}
    assert sum(part["gross"]["amount"] for part in order["taxes"]) == 1_845
    assert sum(part["tax"]["amount"] for part in order["taxes"]) == order["tax"]["amount"] == 308
    assert [part["rate"] for part in order["taxes"]] == ["20"]
    assert [one["number"] for one in order["documents"]] == [invoice["number"], note["number"]]
    assert [(one["amount"]["amount"], one["status"], one["reason"]) for one in order["refunds"]] == [
        (500, "done", "returned")
    ]
    assert order["parcels"][0]["tracking_number"] and order["parcels"][0]["label_url"] == ""
    told = (await customer.get(f"/orders/{number}/timeline")).json()
    assert told["language"] == "de"
    assert {(one["actor"], one["context"]) for one in told["entries"]} == {(None, None)}
    words = [one["text"] for one in told["entries"]]
    assert words[0] == "Ihre Bestellung ist bei uns eingegangen."
    assert f"Ihre Rechnung {invoice['number']} liegt bereit." in words
    assert "5,00\N{NO-BREAK SPACE}£ wurden Ihnen erstattet." in words
    assert not any("chipped" in str(one) for one in told["entries"])
    english = (await customer.get(f"/orders/{number}/timeline?language=en")).json()["entries"]
    assert english[0]["text"] == "We have your order."
    whole = (await admin.get(f"/orders/{number}/timeline")).json()["entries"]
    assert {"StockReserved", "ParcelLabelled", "PaymentProcessed"} <= {one["name"] for one in whole}
    assert any(one["actor"].startswith("staff:") for one in whole) and len(whole) > len(words)

    # After the erasure the books stand, without the person.
    gone = await customer.post("/account/erasure", {"password": "correct horse battery"})
    assert gone.status_code < 300, gone.text
    after = await admin.call("GET", invoice["href"], if_none_match=got.headers["etag"])
    assert after.status_code == 200
    shown = text(after.content)
    assert "[erased]" in shown and "Žižek" not in shown and "13,50 £" in shown
