"""Other programs are told of events: registered over HTTP, called for real, with signatures that they can check."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from emporium.application import bootstrap
from emporium.application.together import end
from emporium.infra.settings import Settings
from emporium.infra.webhook_http import HttpWebhooks, is_public
from tests.http.client import Caller, House
from tests.http.conftest import running
from tests.support.counterparts import HttpTarget
from tests.support.saga import until


@pytest.fixture
def target() -> Any:
    with HttpTarget().serving() as one:
        yield one


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A gateway whose webhooks may go to this machine, and what sends them."""
    settings = msgspec.structs.replace(settings, private_webhooks=True)
    async with running(settings) as house, bootstrap.webhook_caller(house.opened, name="test") as caller:
        task = asyncio.create_task(caller.run())
        try:
            yield house
        finally:
            await end([task])


async def registered(admin: Caller, target: HttpTarget, *topics: str) -> tuple[str, bytes]:
    body = {"url": f"http://127.0.0.1:{target.port}/hook", "topics": list(topics or ("ordering.OrderCreated",))}
    made = await admin.post("/webhooks", body, idempotency_key="first")
    again = await admin.post("/webhooks", body, idempotency_key="first")
    assert made.status_code == 201, made.text
    assert made.json() == again.json()
    return made.json()["endpoint_id"], base64.b64decode(made.json()["secret"].removeprefix("whsec_"))


async def arrived(house: House, target: HttpTarget, count: int = 1) -> None:
    async def look() -> bool:
        return len(target.requests) >= count

    await until(look, house.shop.logs["notifications"], 20)


async def order(house: House) -> str:
    buyer = house.guest()
    await buyer.add()
    number: str = (await buyer.check_out()).json()["order_number"]
    return number


def verified(secret: bytes, headers: dict[str, str], body: bytes) -> bool:
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
    return wanted in headers["webhook-signature"].split()


async def test_an_event_is_told_signed_and_without_personal_data(house: House, target: HttpTarget) -> None:
    admin = await house.staff("admin")
    endpoint, secret = await registered(admin, target)
    number = await order(house)
    await arrived(house, target)
    [(path, headers, body)] = target.requests
    told = json.loads(body)
    assert (path, told["type"], told["data"]["number"]) == ("/hook", "ordering.OrderCreated", number)
    assert verified(secret, headers, body)
    assert not verified(b"x" * 32, headers, body)
    for personal in (b"ada", b"King", b"Square", b"SW1Y", b"subject", b"box"):
        assert personal not in body
    shown = await house.until(
        admin, f"/webhooks/{endpoint}/deliveries/{headers['webhook-id']}", lambda one: one["status"] == "delivered"
    )
    assert (shown["code"], shown["attempts"]) == (200, 1)
    rows = await house.opened.reads.query("SELECT state FROM notifications_events", [])
    assert not [row for row in rows if base64.b64encode(secret) in row[0]]


async def test_a_refused_delivery_is_shown_and_repeated_under_its_id(house: House, target: HttpTarget) -> None:
    target.statuses = [500]
    admin = await house.staff("admin")
    endpoint, _ = await registered(admin, target)
    await order(house)
    await arrived(house, target)
    path = f"/webhooks/{endpoint}/deliveries/{target.requests[0][1]['webhook-id']}"
    failed = await house.until(admin, path, lambda one: one["status"] == "failed")
    assert (failed["code"], failed["attempts"], failed["error"]) == (500, 1, "HTTP 500")
    done = await house.until(admin, path, lambda one: one["status"] == "delivered")
    assert done["attempts"] == 2
    assert len({headers["webhook-id"] for _, headers, _ in target.requests}) == 1
    assert [(one["outcome"], one["code"], one["error"]) for one in done["tries"]] == [
        ("failed", 500, "HTTP 500"), ("delivered", 200, None),
    ]  # fmt: skip
    assert done["tries"][0]["at"] < done["tries"][0]["next_at"] <= done["tries"][1]["at"]
    assert (await admin.post(f"{path}/send")).status_code == 202
    again = await house.until(admin, path, lambda one: len(one["tries"]) == 4)
    assert again["tries"][2]["actor"] == f"staff:{await house.customer_id(admin)}"


async def test_deliveries_are_listed_by_what_became_of_them_page_by_page(house: House, target: HttpTarget) -> None:
    target.statuses = [410, 200, 200]
    admin = await house.staff("admin")
    endpoint, _ = await registered(admin, target)
    for _ in range(3):
        await order(house)
    path = f"/webhooks/{endpoint}/deliveries"
    page = await house.until(admin, path, lambda body: len(body["items"]) == 3)
    assert page["next"] is None
    first = (await admin.get(f"{path}?limit=2")).json()
    rest = (await admin.get(first["next"].removeprefix("/api/v1"))).json()
    assert first["items"] + rest["items"] == page["items"]
    assert rest["next"] is None
    assert [one["topic"] for one in page["items"]] == ["ordering.OrderCreated"] * 3
    [aside] = (await admin.get(f"{path}?status=set_aside")).json()["items"]
    assert (aside["code"], aside["attempts"], aside["log"]) == (410, 1, "ordering")
    assert len((await admin.get(f"{path}?status=delivered")).json()["items"]) == 2
    assert (await admin.get(f"{path}?status=lost")).status_code == 400
    other = "00000000-0000-4000-8000-000000000000"
    assert (await admin.get(f"/webhooks/{other}/deliveries")).json()["type"] == "/problems/no_such_webhook"
    # From the position of any of them on.
    after = min(one["position"] for one in page["items"])
    wish = {"log": "ordering", "after": after}
    replayed = [await admin.post(f"/webhooks/{endpoint}/replay", wish, idempotency_key="r") for _ in range(2)]
    assert replayed[0].json() == replayed[1].json()
    assert replayed[0].json()["after"] == after
    await arrived(house, target, 5)
    ids = [headers["webhook-id"] for _, headers, _ in target.requests]
    assert sorted(ids[3:]) == sorted(one["event_id"] for one in page["items"] if one["position"] > after)


async def test_a_rotated_secret_overlaps_with_the_old_one(house: House, target: HttpTarget) -> None:
    admin = await house.staff("admin")
    endpoint, old = await registered(admin, target)
    rotated = await admin.post(f"/webhooks/{endpoint}/rotate", {"overlap_hours": 1})
    new = base64.b64decode(rotated.json()["secret"].removeprefix("whsec_"))
    await order(house)
    await arrived(house, target)
    [(_, headers, body)] = target.requests
    assert new != old
    assert verified(old, headers, body)
    assert verified(new, headers, body)


async def test_the_past_is_replayed_under_the_same_ids(house: House, target: HttpTarget) -> None:
    admin = await house.staff("admin")
    await order(house)
    endpoint, _ = await registered(admin, target)
    await order(house)
    await arrived(house, target)
    assert len(target.requests) == 1, "what happened before is not owed"
    replayed = await admin.post(f"/webhooks/{endpoint}/replay", {"log": "ordering", "after": 0})
    assert replayed.status_code == 202, replayed.text
    await arrived(house, target, 3)
    ids = [headers["webhook-id"] for _, headers, _ in target.requests]
    assert len(set(ids)) == 2


async def test_an_endpoint_that_is_removed_hears_nothing_more(house: House, target: HttpTarget) -> None:
    admin = await house.staff("admin")
    endpoint, _ = await registered(admin, target)
    assert (await admin.call("DELETE", f"/api/v1/webhooks/{endpoint}")).status_code == 204
    assert (await admin.get(f"/webhooks/{endpoint}")).status_code == 404
    assert (await admin.get("/webhooks")).json()["items"] == []


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://169.254.1.1/"],
)
async def test_addresses_inside_are_refused(url: str) -> None:
    with pytest.raises(Exception, match=r"private|https"):
        await HttpWebhooks(private=False).check(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
async def test_addresses_inside_are_refused_when_they_are_called_too(target: HttpTarget, host: str) -> None:
    calls = HttpWebhooks(private=False)
    try:
        with pytest.raises(Exception, match=r"private|no answer"):
            await calls.post(f"http://{host}:{target.port}/", {}, b"{}")
    finally:
        await calls.aclose()
    assert target.requests == []


def test_which_addresses_are_public() -> None:
    assert all(map(is_public, ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")))
    inside = ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0",
              "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::")  # fmt: skip
    assert not any(map(is_public, inside))
