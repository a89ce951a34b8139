"""An order that is cancelled in part over HTTP, with its whole saga: goods, stock, money, papers and words add up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from emporium.application.reconcile import reconcile
from emporium.domain.payment import CaptureReduced, RefundRequested
from emporium.domain.stock import ReceiveUnits, UnitsReleased
from emporium.domain.warehouse import OpenWarehouse
from emporium.infra.provider_http import HttpProvider
from emporium.infra.settings import Settings
from tests.http.client import STAFF, Caller, House
from tests.http.conftest import running
from tests.support.pdf import text
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[SandboxProcess]:
    with SandboxProcess(folder / "sandbox.sqlite") as process:
        yield process


def there(settings: Settings, sandbox: SandboxProcess, **more: Any) -> Settings:
    return msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url, **more)


async def cancel(caller: Caller, number: str, *lines: tuple[int, int], reason: str = "changed_mind") -> Any:
    body = {"reason": reason, "lines": [{"line": line, "quantity": units} for line, units in lines]}
    return await caller.post(f"/orders/{number}/cancel", body)


async def settled(house: House, caller: Caller, number: str, status: str, known: str) -> Any:
    """The order, once a cancellation has this status and no money is on its way back."""
    return await house.until(
        caller,
        f"/orders/{number}",
        lambda body: (
            [one["status"] for one in body["cancellations"] if one["cancellation_id"] == known] == [status]
            and all(one["status"] == "done" for one in body["refunds"])
            and sum(one["amount"]["amount"] for one in body["cancellations"])
            == sum(one["amount"]["amount"] for one in body["refunds"] if one["reason"] == "cancelled_in_part")
        ),
    )


async def moved(house: House, warehouse: Caller, number: str, parcel: int, *steps: str) -> None:
    for step in steps:
        async with asyncio.timeout(10):
            # The parcel may just be getting another label.
            while (answer := await warehouse.post(f"/shipments/{number}/parcels/{parcel}/{step}")).status_code != 200:
                await house.shop.logs["shipping"].wait(await house.shop.logs["shipping"].head(), 0.05)
        assert answer.status_code == 200, answer.text


async def reconciled(house: House, sandbox: SandboxProcess) -> None:
    """Provider and shop tell the same of all money."""
    provider = HttpProvider(sandbox.url)
    try:
        found = await reconcile(house.shop.logs["payments"], provider, datetime.now(UTC).date())
    finally:
        await provider.aclose()
    assert found.compared > 0 and found.differences == ()


async def test_an_order_is_cancelled_piece_by_piece_and_everything_adds_up(
    settings: Settings, sandbox: SandboxProcess
) -> None:
    async with running(there(settings, sandbox), saga=True) as house:
        ada, eve = await house.register(), await house.register()
        support, warehouse = await house.staff("support"), await house.staff("warehouse")
        await house.shop.execute(OpenWarehouse(code="BER", name="Berlin", country="DE", priority=1), STAFF)
        await house.adjust("TEA", -100)
        received = await house.shop.execute(ReceiveUnits(sku="TEA", warehouse="BER", quantity=10), STAFF)
        await house.shows("inventory", received.position, "catalog_pages")
        # Three mugs at 5.00 and two teas at 3.50 from two warehouses; shipping is 4.95.
        await ada.add("MUG", 3)
        await ada.add("TEA", 2)
        number = (await ada.check_out()).json()["order_number"]
        await house.order_is(ada, number, "confirmed")
        assert (await cancel(eve, number, (1, 1))).status_code == 404
        assert (await cancel(house.guest(), number, (1, 1))).status_code == 404
        for wrong, status in (((3, 1), 422), ((1, 0), 422), ((1, 4), 409)):
            assert (await cancel(ada, number, wrong)).status_code == status
        # Two at once want two of three mugs not to come: one of them is told how many are left.
        first, second = await asyncio.gather(cancel(ada, number, (1, 2)), cancel(support, number, (1, 2)))
        assert sorted((first.status_code, second.status_code)) == [202, 409]
        done, refused = (first, second) if first.status_code == 202 else (second, first)
        assert refused.json()["type"] == "/problems/more_than_left"
        seen = await settled(house, ada, number, "cancelled", done.json()["cancellation_id"])
        [mug, tea] = seen["lines"]
        assert (mug["ordered"], mug["cancelled"], mug["quantity"], mug["total"]["amount"]) == (3, 2, 1, 500)
        assert (seen["goods"]["amount"], seen["total"]["amount"], tea["cancelled"]) == (1_200, 1_695, 0)
        assert (seen["payment"]["received"], seen["payment"]["refunded"]) == (2_695, 1_000)
        [listed] = (await ada.get("/orders")).json()["items"]
        assert (listed["total"]["amount"], listed["units"]) == (1_695, 3)
        freed = await house.events("inventory", UnitsReleased)
        assert [(one.sku, one.quantity) for one in freed] == [("MUG", 2)]
        words = [one["text"] for one in (await ada.get(f"/orders/{number}/timeline?language=en")).json()["entries"]]
        assert "Goods were cancelled (units: 2): £10.00 less is to be paid for the order." in words
        assert "£10.00 was paid back to you." in words

        # The mug's parcel leaves; what is not packed can then be cancelled by staff only.
        [parcel] = [
            one["parcel"]
            for one in (await house.labelled(warehouse, number))["parcels"]
            if one["items"] == [{"sku": "MUG", "warehouse": "LON", "quantity": 1}]
        ]
        await moved(house, warehouse, number, parcel, "ship")
        await house.order_is(ada, number, "partly_shipped")
        late = await cancel(ada, number, (2, 1))
        assert (late.status_code, late.json()["type"]) == (409, "/problems/too_late_to_cancel")
        for left in (1, 0):
            answer = await cancel(support, number, (2, 1), reason="broken in the warehouse")
            seen = await settled(house, support, number, "cancelled", answer.json()["cancellation_id"])
            assert seen["lines"][1]["quantity"] == left
        # Nothing is left in the other parcel: the first was all of it.
        assert (seen["status"], seen["total"]["amount"], len(seen["parcels"])) == ("shipped", 995, 1)
        await moved(house, warehouse, number, parcel, "deliver")
        await house.order_is(ada, number, "fulfilled")
        # The invoice is without what was cancelled before it; the rest was invoiced and is credited.
        papers = await house.until(ada, f"/orders/{number}/documents", lambda body: len(body["items"]) == 3)
        assert [one["amount"]["amount"] for one in papers["items"]] == [1_695, 350, 350]
        invoice, note = [
            text((await ada.call("GET", one["href"])).content).replace("\n", " ") for one in papers["items"][:2]
        ]
        assert "£16.95" in invoice and "£26.95" not in invoice
        assert "For goods that were cancelled." in note and "£3.50" in note

        # What comes back afterwards is what was sent, and no more money goes back than came.
        path = f"/orders/{number}/returns"
        for lines, status in (([{"line": 1, "quantity": 2}], 409), ([{"line": 2, "quantity": 1}], 409)):
            answer = await support.post(path, {"lines": lines, "reason": "chipped"})
            assert (answer.status_code, answer.json()["type"]) == (status, "/problems/more_than_bought")
        back = await support.post(path, {"lines": [{"line": 1, "quantity": 1}], "reason": "chipped"})
        assert back.json()["amount"]["amount"] == 500
        detail = await house.until(ada, f"/payments/{number}", lambda body: body["refunded"]["amount"] == 2_200)
        assert sorted(one["reason"] for one in detail["refunds"]) == ["cancelled_in_part"] * 3 + ["returned"]
        beyond = await support.post(f"/payments/{number}/refunds", {"amount": 496, "reason": "goodwill"})
        assert beyond.json()["type"] == "/problems/refund_too_high"
        for words_of_staff in ("broken", "staff:"):
            for path in (f"/orders/{number}", f"/orders/{number}/timeline", f"/payments/{number}"):
                assert words_of_staff not in (await ada.get(path)).text
        for sku, place, units in (("MUG", "LON", 100), ("TEA", "BER", 10)):
            [level] = (await warehouse.get(f"/inventory/levels?sku={sku}&warehouse={place}")).json()["items"]
            assert (level["on_hand"], level["reserved"]) == (units, 0)

        # Packed is packed; and who cancels all that is left cancels the order.
        await ada.add("POT", 2)
        other = (await ada.check_out()).json()["order_number"]
        await house.order_is(ada, other, "confirmed")
        await house.labelled(warehouse, other)
        await moved(house, warehouse, other, 1, "pack")
        answer = await cancel(ada, other, (1, 1))
        seen = await settled(house, ada, other, "refused", answer.json()["cancellation_id"])
        assert (seen["lines"][0]["quantity"], seen["total"]["amount"], seen["refunds"]) == (2, 4_495, [])
        assert "too late to cancel these goods" in (await ada.get(f"/orders/{other}/timeline?language=en")).text
        await ada.add("POT", 2)
        third = (await ada.check_out()).json()["order_number"]
        await house.order_is(ada, third, "confirmed")
        half = await cancel(ada, third, (1, 1))
        await settled(house, ada, third, "cancelled", half.json()["cancellation_id"])
        whole = await cancel(ada, third, (1, 1))
        assert (whole.json()["status"], whole.json()["cancellation_id"]) == ("cancelling", None)
        await house.order_is(ada, third, "cancelled")
        detail = await house.until(ada, f"/payments/{third}", lambda body: body["refunded"]["amount"] == 4_495)
        assert [one["amount"]["amount"] for one in detail["refunds"]] == [2_000, 2_495]
        await reconciled(house, sandbox)


async def test_what_is_cancelled_before_it_is_reserved_is_neither_reserved_nor_taken(
    settings: Settings, sandbox: SandboxProcess
) -> None:
    async with running(there(settings, sandbox, payment_capture="when_reserved"), saga=True) as house:
        guest, warehouse = house.guest(), await house.staff("warehouse")
        await guest.add("MUG", 3)
        number = (await guest.check_out(payment_method="pm_3ds")).json()["order_number"]
        detail = await house.until(guest, f"/payments/{number}", lambda body: body["status"] == "requires_action")
        answers = [await cancel(guest, number, (1, 1)) for _ in range(2)]
        assert [one.status_code for one in answers] == [202, 202]
        sandbox.ask("POST", urlsplit(detail["next_action"]["url"]).path, {"success": True})
        seen = await house.order_is(guest, number, "confirmed")
        seen = await house.until(guest, f"/orders/{number}", lambda body: body["payment"]["captured"])
        # The order is confirmed in the moment in which the first answer comes: the second may still be on its way.
        seen = await house.until(
            guest,
            f"/orders/{number}",
            lambda body: all(one["status"] == "cancelled" for one in body["cancellations"]),
        )
        assert (seen["total"]["amount"], seen["lines"][0]["quantity"]) == (995, 1)
        detail = await house.until(
            guest,
            f"/payments/{number}",
            lambda body: (
                body["captures"][-1]["captured"]
                and body["captures"][-1]["amount"]["amount"] - body["refunded"]["amount"] == 995
            ),
        )
        reduced = await house.events("payments", CaptureReduced)
        refunds = await house.events("payments", RefundRequested)
        assert len(reduced) >= 1 and len(reduced) + len(refunds) == 2
        # Nothing was reserved that had to be given back.
        assert await house.events("inventory", UnitsReleased) == []
        assert "less is taken from you" in (await guest.get(f"/orders/{number}/timeline?language=en")).text
        await house.labelled(warehouse, number)
        await moved(house, warehouse, number, 1, "ship", "deliver")
        await house.order_is(guest, number, "fulfilled")
        papers = await house.until(guest, f"/orders/{number}/documents", lambda body: body["items"])
        assert [one["amount"]["amount"] for one in papers["items"]] == [995]
        await reconciled(house, sandbox)


async def test_what_people_said_in_their_own_words_goes_with_the_person(
    settings: Settings, sandbox: SandboxProcess
) -> None:
    async with running(there(settings, sandbox), saga=True) as house:
        ada, support, warehouse = await house.verified(), await house.staff("support"), await house.staff("warehouse")
        await ada.add("MUG", 4)
        number = (await ada.check_out()).json()["order_number"]
        path, desk = f"/orders/{number}", f"/admin/orders/{number}"
        await house.order_is(ada, number, "confirmed")
        held = await support.post(f"{desk}/hold", {"reason": "Grace rang"})
        assert held.json()["held_because"] == "Grace rang"
        assert (await support.post(f"{desk}/release")).status_code == 200
        part = await cancel(ada, number, (1, 1), reason="Grace has one")
        await settled(house, ada, number, "cancelled", part.json()["cancellation_id"])
        await house.labelled(warehouse, number)
        await moved(house, warehouse, number, 1, "ship", "deliver")
        await house.order_is(ada, number, "fulfilled")
        lines = [
            {"line": 1, "quantity": 1, "reason": "Grace does not like it"},
            {"line": 1, "quantity": 1, "reason": "broken"},
        ]
        wanted = await ada.post(f"{path}/return-requests", {"lines": lines})
        assert wanted.status_code == 201, wanted.text
        [asked] = (await house.until(support, path, lambda body: body["returns"]))["returns"]
        assert [one["reason"] for one in asked["lines"]] == ["Grace does not like it", "broken"]
        decided = f"{path}/return-requests/{wanted.json()['return_id']}/decision"
        no = {"approved": False, "reason": "Grace used it"}
        assert (await support.post(decided, no)).status_code == 200
        [refused] = (await house.until(ada, path, lambda body: body["returns"][0]["note"]))["returns"]
        assert refused["note"] == "Grace used it"
        body = {"lines": [{"line": 1, "quantity": 1}], "reason": "Grace sent it back"}
        assert (await support.post(f"{path}/returns", body)).status_code == 201
        told = {"Grace rang", "Grace has one", "Grace used it", "Grace sent it back"}
        entries = (await support.get(f"{path}/timeline")).json()["entries"]
        assert told <= {one["facts"].get("reason") for one in entries}
        assert "Grace used it" in (await ada.get(f"{path}/timeline")).text
        assert "Grace rang" not in (await ada.get(f"{path}/timeline")).text
        # Whoever asks what is held about him is told, and it is nowhere in clear.
        export = (await ada.get("/account/export")).text
        assert all(words in export for words in (*told, "Grace does not like it"))
        for log in house.shop.logs.values():
            events, _ = await log.read(0, 10_000)
            assert not [one for one in events if b"Grace" in msgspec.json.encode(one.event)]
        await house.shop.vault.erase(await house.customer_id(ada))
        [asked] = (await support.get(path)).json()["returns"]
        assert [one["reason"] for one in asked["lines"]] == ["[erased]", "broken"]
        assert asked["note"] == "[erased]"
        assert "Grace" not in (await support.get(f"{path}/timeline")).text
        # Goods of somebody who was erased still come back; nothing more is written down.
        late = await support.post(f"{path}/returns", {**body, "reason": "Grace again"})
        assert late.status_code == 201, late.text
        events, _ = await house.shop.logs["ordering"].read(0, 10_000, topics=["ordering.OrderReturned"])
        assert [(one.event.reason, one.event.words is None) for one in events] == [  # type: ignore[attr-defined]
            ("own_words", False), ("own_words", True),
        ]  # fmt: skip
