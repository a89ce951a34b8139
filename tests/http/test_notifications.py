"""What staff see of messages, and how people end them: over HTTP, without a mail server."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from emporium.application import bootstrap
from emporium.application.notifications import KINDS
from emporium.application.together import end
from emporium.infra.letters import TemplateLetters
from emporium.infra.settings import Settings
from tests.http.client import Caller, House
from tests.http.conftest import running


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A gateway and what makes messages; nothing else moves the orders."""
    async with running(settings) as house, bootstrap.notifier(house.opened, name="test") as notifier:
        task = asyncio.create_task(notifier.run())
        try:
            yield house
        finally:
            await end([task])


async def bought(buyer: Caller) -> str:
    await buyer.add()
    placed = await buyer.check_out()
    assert placed.status_code == 202, placed.text
    number: str = placed.json()["order_number"]
    return number


async def test_staff_find_the_mail_about_an_order_and_read_it(house: House) -> None:
    number = await bought(house.guest())
    support = await house.staff("support")
    found = await house.until(support, f"/notifications?order={number}", lambda body: len(body["items"]) == 1)
    [row] = found["items"]
    assert (row["status"], row["kind"], row["channel"], row["via"]) == ("sent", "order_created", "email", "outbox")
    detail = (await support.get(f"/notifications/{row['notification_id']}")).json()
    assert detail["rendered"]["to"] == "ada@example.org"
    assert number in detail["rendered"]["subject"]
    assert "1 × Mug: £5.00" in detail["rendered"]["text"]
    assert "••••••" in detail["rendered"]["text"], "the guest's token is not support's"
    admin = await house.staff("admin")
    shown = (await admin.get(f"/notifications/{row['notification_id']}")).json()["rendered"]["text"]
    assert "••••••" not in shown
    for state, count in (("sent", 1), ("failed", 0), ("set_aside", 0)):
        page = await support.get(f"/notifications?order={number}&status={state}")
        assert len(page.json()["items"]) == count


async def test_pages_of_messages_follow_each_other(house: House) -> None:
    numbers = [await bought(house.guest()) for _ in range(3)]
    support = await house.staff("support")
    await house.until(support, "/notifications", lambda body: len(body["items"]) == len(numbers))
    first = (await support.get("/notifications?limit=2")).json()
    second = (await support.call("GET", first["next"])).json()
    ids = [one["notification_id"] for one in first["items"] + second["items"]]
    assert len(set(ids)) == 3
    assert second["next"] is None


async def test_staff_send_a_message_again_once_for_a_key(house: House) -> None:
    number = await bought(house.guest())
    support = await house.staff("support")
    found = await house.until(support, f"/notifications?order={number}", lambda body: len(body["items"]) == 1)
    path = f"/notifications/{found['items'][0]['notification_id']}"
    for _ in range(2):
        answer = await support.post(f"{path}/send", idempotency_key="again")
        assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    again = await house.until(support, path, lambda body: body["status"] == "sent")
    assert again["attempts"] == 1
    log = house.shop.logs["notifications"]
    names = [type(one.event).__name__ for one in await log.stream(UUID(again["notification_id"]))]
    assert names == ["NotificationSent", "NotificationAskedFor", "NotificationSent"]


async def test_staff_let_a_message_of_an_order_go_out_again_as_one_of_its_own(house: House) -> None:
    number = await bought(house.guest())
    support = await house.staff("support")
    path = f"/notifications?order={number}"
    [first] = (await house.until(support, path, lambda body: len(body["items"]) == 1))["items"]
    desk = f"/admin/orders/{number}/messages"
    for _ in range(2):
        asked = await support.post(desk, {"message": "order_created"}, idempotency_key="once")
        assert (asked.status_code, asked.json()["channel"]) == (202, "email")
    both = (await house.until(support, path, lambda body: len(body["items"]) == 2))["items"]
    [again] = [one for one in both if one["notification_id"] != first["notification_id"]]
    assert (again["kind"], again["status"], again["via"]) == ("order_created", "sent", "outbox")
    shown = (await support.get(f"/notifications/{again['notification_id']}")).json()["rendered"]
    assert shown == (await support.get(f"/notifications/{first['notification_id']}")).json()["rendered"]
    # A guest is only written to by mail: by another channel nobody is.
    assert (await support.post(desk, {"message": "order_created", "channel": "sms"})).status_code == 202
    for never in ("payment_failed", "order_shipped", "order_refunded"):
        refused = await support.post(desk, {"message": never})
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/message_never_made")
    assert (await support.post(desk, {"message": "password_reset"})).status_code == 422


async def test_a_message_that_is_not_there_is_not_found(house: House) -> None:
    support = await house.staff("support")
    assert (await support.get(f"/notifications/{uuid4()}")).status_code == 404
    assert (await support.post(f"/notifications/{uuid4()}/send")).status_code == 404
    assert (await support.get("/notifications?order=EM-1")).status_code in (404, 422)
    assert (await support.get("/notifications?status=odd")).status_code == 400


async def test_every_template_can_be_looked_at_in_every_language(house: House) -> None:
    support = await house.staff("support")
    kinds = {one["kind"]: one["languages"] for one in (await support.get("/notifications/templates")).json()["items"]}
    assert set(kinds) == set(KINDS) <= set(TemplateLetters().kinds)
    subjects = set()
    for kind, languages in kinds.items():
        assert len(languages) >= 2
        for language in languages:
            preview = (await support.get(f"/notifications/templates/{kind}?language={language}")).json()
            assert f'lang="{language}"' in preview["html"]
            assert "<" not in preview["subject"]
            assert preview["text"]
            subjects.add(preview["subject"])
            page = await support.get(f"/notifications/templates/{kind}/page?language={language}")
            assert page.headers["content-type"].startswith("text/html")
            assert "sandbox" in page.headers["content-security-policy"]
            assert page.text == preview["html"]
    assert len(subjects) == len(kinds) * 2
    assert (await support.get("/notifications/templates/odd")).status_code == 404


async def test_staff_choose_to_hear_of_low_stock(house: House) -> None:
    keeper = await house.staff("warehouse")
    me = str(await house.customer_id(keeper))
    answer = await keeper.call("PUT", "/api/v1/notifications/subscriptions", {"channels": ["push", "email"]})
    assert answer.json()["items"] == [{"staff_id": me, "channels": ["email", "push"], "skus": []}]
    some = {"channels": ["email"], "skus": ["TEA", "MUG", "TEA"]}
    answer = await keeper.call("PUT", "/api/v1/notifications/subscriptions", some)
    assert answer.json()["items"] == [{"staff_id": me, "channels": ["email"], "skus": ["MUG", "TEA"]}]
    wrong = await keeper.call("PUT", "/api/v1/notifications/subscriptions", {"channels": ["pigeon"]})
    assert wrong.json()["errors"][0]["pointer"] == "/channels/0"
    await keeper.call("PUT", "/api/v1/notifications/subscriptions", {"channels": []})
    assert (await keeper.get("/notifications/subscriptions")).json() == {"items": []}


async def test_one_click_ends_a_kind_of_messages_without_a_log_in(house: House) -> None:
    buyer = await house.register()
    me = await house.customer_id(buyer)
    token = house.services.composer.unsubscribe.token(me, "email", "orders")
    page = await house.client.get(f"/api/v1/unsubscribe/{token}")
    assert page.status_code == 200
    assert '<form method="post">' in page.text
    await house.shop.logs["accounts"].head()

    async def topics() -> tuple[str, ...]:
        from emporium.domain.customer import CUSTOMER

        state, _ = await house.shop.logs["accounts"].load(CUSTOMER, me, fresh=True)
        assert state is not None
        return state.preferences["email"]

    assert "orders" in await topics(), "a program that only looks ends nothing"
    for _ in range(2):
        done = await house.client.post(
            f"/api/v1/unsubscribe/{token}",
            content=b"List-Unsubscribe=One-Click",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert (done.status_code, done.json()) == (200, {"channel": "email", "topic": "orders"})
    assert "orders" not in await topics()
    assert "reviews" in await topics()


@pytest.mark.parametrize(
    "change", [lambda t: "A" + t[1:] if t[0] != "A" else "B" + t[1:], lambda t: t[:-4], lambda t: "é"]
)
async def test_a_forged_link_ends_nothing(house: House, change: object) -> None:
    assert callable(change)
    token = change(house.services.composer.unsubscribe.token(uuid4(), "email", "orders"))
    assert (await house.client.get(f"/api/v1/unsubscribe/{token}")).status_code == 404
    assert (await house.client.post(f"/api/v1/unsubscribe/{token}")).status_code == 404
