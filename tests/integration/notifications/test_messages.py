"""Messages from the event to the mail server, on a real database and with a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from emporium.application import bootstrap
from emporium.application.ports import Meta, Recorded
from emporium.application.together import end
from emporium.domain import notification as n
from emporium.domain.backorder import AllowBackorder
from emporium.domain.base import Money
from emporium.domain.cancellations import CancelLines
from emporium.domain.cart import CART, AddCartItem, CartAbandoned, CheckOutCart, cart_id_of
from emporium.domain.customer import (
    ChangePreferences,
    ChangeProfile,
    RegisterCustomer,
    RequestPasswordReset,
    VerifyEmail,
)
from emporium.domain.order import Agreement, OrderLine, PlaceOrder, RequestCancellation
from emporium.domain.shop_settings import Changes, ChangeShopSettings
from emporium.domain.stock import ReceiveUnits, SetLowStockMark
from emporium.domain.subscription import SubscribeStaff
from emporium.infra.clock import SystemClock
from tests.support.counterparts import HttpTarget, MailServer
from tests.support.saga import Saga, running, until

PERSON = Meta("test", "request:test", "customer:1")


class Ahead(SystemClock):
    """The system's clock, put forward."""

    def __init__(self, by: timedelta = timedelta(0)) -> None:
        self.by = by

    def now(self) -> datetime:
        return super().now() + self.by

    def following(self, at: datetime) -> datetime:
        return self.now()


@asynccontextmanager
async def telling(
    database: str, folder: Path, *, clock: Any = None, read_models: bool = False, **settings: Any
) -> AsyncIterator[Saga]:
    """A shop with all process managers, and its read models where wanted."""
    async with (
        running(database, folder, clock=clock, settings=settings) as saga,
        bootstrap.notifier(saga.opened, name="test", ttl=2.0) as notifier,
    ):
        runners = [notifier.run()]
        if read_models:
            runners.append(bootstrap.projections(saga.opened, name="test").run())
        tasks = [asyncio.create_task(runner) for runner in runners]
        try:
            yield saga
        finally:
            await end(tasks)


async def place(saga: Saga, *, customer_id: UUID | None = None, language: str = "en", method: str = "pm_ok") -> UUID:
    """An order of two mugs by a guest, or by a customer."""
    order_id, vault = uuid4(), saga.shop.vault
    subject = customer_id or order_id
    await vault.key_for(subject)
    address = {"name": "Ada <b>King</b>", "lines": ["12 Square"], "city": "London", "postcode": "SW1", "country": "GB"}
    none = Money(0, "GBP")
    command = PlaceOrder(
        order_id=order_id, number=order_id.hex[:12].upper(), customer_id=customer_id, subject=subject,
        lines=(OrderLine(line=1, sku="MUG", title="Mug & <more>", quantity=2, unit_price=Money(500, "GBP"),
                         total=Money(1000, "GBP")),),
        shipping=none, country="GB", payment_method=method, at=saga.shop.clock.now(),
        email=vault.seal(subject, "OrderCreated", order_id, "email", "ada@example.org"),
        ship_to=vault.seal(subject, "OrderCreated", order_id, "ship_to", address),
        agreement=Agreement(discount=none, shipping_discount=none, tax=none, language=language),
    )  # fmt: skip
    await saga.shop.execute(command, Meta(str(order_id), "request:test", "guest:1"))
    return order_id


async def register(saga: Saga, *roles: str, phone: str | None = None, verified: bool = True) -> UUID:
    customer_id, vault, now = uuid4(), saga.shop.vault, saga.shop.clock.now()
    await vault.key_for(customer_id)

    def seal(event: str, field: str, value: str) -> Any:
        return vault.seal(customer_id, event, customer_id, field, value)

    await saga.shop.execute(
        RegisterCustomer(
            customer_id=customer_id, email=seal("CustomerRegistered", "email", f"{customer_id.hex[:8]}@example.org"),
            roles=roles or ("customer",), at=now,
        ),
        PERSON,
    )  # fmt: skip
    if verified:
        await saga.shop.execute(VerifyEmail(customer_id=customer_id, at=now), PERSON)
    if phone is not None:
        change = ChangeProfile(customer_id=customer_id, phone=seal("ProfileChanged", "phone", phone))
        await saga.shop.execute(change, PERSON)
    return customer_id


async def outcomes(saga: Saga) -> list[Recorded]:
    log = saga.shop.logs["notifications"]
    return (await log.read(0, 1_000))[0]


async def told(saga: Saga, kind: str, count: int = 1, event: type = n.NotificationSent) -> list[Any]:
    """Waits until so many messages of a kind have this outcome."""

    async def look() -> Sequence[Any]:
        found = [one.event for one in await outcomes(saga) if isinstance(one.event, event)]
        matching = [one for one in found if one.about.kind == kind]
        return matching if len(matching) >= count else []

    found: list[Any] = await until(look, saga.shop.logs["notifications"], 20)
    assert len(found) == count
    return found


async def test_an_order_is_told_of_by_mail_from_beginning_to_end(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url, mail_from="Tea Shop <tea@example.org>") as saga:
            await saga.stock(LON={"MUG": 5})
            order_id = await place(saga)
            await saga.becomes(order_id, "fulfilled")
            for kind in ("order_created", "order_confirmed", "order_shipped", "order_delivered"):
                [sent] = await told(saga, kind)
                assert (sent.via, sent.about.channel, sent.about.order_id) == ("smtp", "email", order_id)
            number = (await saga.state(order_id)).number
        subjects = {str(mail["Subject"]) for mail in server.mails}
        assert subjects == {
            f"We have received your order {number}", f"Your order {number} is confirmed",
            f"Your order {number} is on its way", f"A parcel of your order {number} has arrived",
        }  # fmt: skip
        [mail] = [one for one in server.mails if "received" in one["Subject"]]
        assert (mail["From"], mail["To"]) == ("Tea Shop <tea@example.org>", "ada@example.org")
        assert mail["List-Unsubscribe"] is None, "a guest is told of nothing but the order"
        text, page = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None
        assert page is not None
        assert "2 × Mug & <more>: £10.00" in text.get_content()
        assert "2 × Mug &amp; &lt;more&gt;" in page.get_content()
        assert "<b>King" not in page.get_content()


async def test_personal_data_stays_out_of_the_log(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url) as saga:
            await place(saga, method="pm_declined")
            await told(saga, "order_created")
            await told(saga, "payment_failed")
            rows = await saga.opened.reads.query("SELECT state FROM notifications_events", [])
            assert rows
            assert not [row for row in rows if b"ada@" in row[0] or b"King" in row[0]]


async def test_the_language_is_the_orders_and_the_sender_the_shops(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url) as saga:
            sender = Changes(sender_name="Tea, Mugs & more", sender_email="hello@tea.example")
            await saga.shop.execute(ChangeShopSettings(changes=sender, at=saga.shop.clock.now()), PERSON)
            await place(saga, language="de")
            [sent] = await told(saga, "order_created")
            assert sent.language == "de"
        # That it failed, for there is no mug, may be told already.
        [mail] = [one for one in server.mails if "Wir haben Ihre Bestellung" in one["Subject"]]
        assert mail["From"].addresses[0].display_name == "Tea, Mugs & more", "as staff have set it"
        assert mail["From"].addresses[0].addr_spec == "hello@tea.example"


async def test_without_a_mail_server_the_outbox_has_each_message_once(database: str, folder: Path) -> None:
    async with telling(database, folder) as saga:
        await saga.stock(LON={"MUG": 1})
        today = saga.shop.clock.now().date()
        allow = AllowBackorder(sku="MUG", kind="backorder", limit=1, expected=today, today=today)
        await saga.shop.execute(allow, PERSON)
        order_id = await place(saga)
        [waits] = await told(saga, "order_backordered")
        assert waits.about.facts == {"expected": today.isoformat()}
        await saga.shop.execute(ReceiveUnits(sku="MUG", warehouse="LON", quantity=1), PERSON)
        await saga.becomes(order_id, "fulfilled")
        for kind in ("order_created", "order_confirmed", "order_shipped", "order_delivered"):
            [sent] = await told(saga, kind)
            assert sent.via == "outbox"
        ids = [one.stream for one in await outcomes(saga)]
        assert len(ids) == len(set(ids)) == 5


@pytest.mark.parametrize("trouble", ["451 try later", "drop"])
async def test_a_failed_try_is_repeated_and_never_holds_up_the_order(database: str, folder: Path, trouble: str) -> None:
    clock = Ahead()
    with MailServer() as server:
        async with telling(database, folder, clock=clock, smtp_url=server.url) as saga:
            server.answers = [trouble] * 2
            await saga.stock(LON={"MUG": 5})
            await place(saga)
            [failed] = await told(saga, "order_created", event=n.NotificationFailed)
            assert failed.attempts == 1
            assert timedelta(0) < failed.again_at - clock.now() <= timedelta(minutes=1)
            assert "ada" not in failed.error
            server.answers = []
            clock.by += timedelta(minutes=2)
            [sent] = await told(saga, "order_created")
            assert sent.attempts == 2
        assert len([mail for mail in server.mails if "received" in mail["Subject"]]) == 1


async def test_a_refused_address_is_set_aside_at_once_and_staff_can_try_again(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url) as saga:
            server.refused = {"ada@example.org"}
            await place(saga)
            [aside] = await told(saga, "order_created", event=n.NotificationSetAside)
            assert aside.error == "the mail server answered 550"
            server.refused = set()
            await saga.execute(n.AskForNotification(notification_id=aside.notification_id))
            await told(saga, "order_created")
        assert len([one for one in server.mails if "received" in one["Subject"]]) == 1


async def test_a_server_that_is_not_there_is_set_aside_in_the_end(database: str, folder: Path) -> None:
    clock = Ahead()
    async with telling(database, folder, clock=clock, smtp_url="smtp://127.0.0.1:9") as saga:
        await place(saga)
        for tries, pause in enumerate(n.PAUSES, start=1):
            await told(saga, "order_created", tries, event=n.NotificationFailed)
            clock.by += pause
        [aside] = await told(saga, "order_created", event=n.NotificationSetAside)
        assert aside.attempts == len(n.PAUSES) + 1


async def test_what_a_customer_does_not_want_is_not_sent(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url) as saga:
            await saga.stock(LON={"MUG": 5})
            ada, bob = await register(saga), await register(saga)
            no = ChangePreferences(customer_id=ada, channel="email", topics=(), at=saga.shop.clock.now())
            await saga.shop.execute(no, PERSON)
            first, second = await place(saga, customer_id=ada), await place(saga, customer_id=bob)
            await saga.becomes(first, "fulfilled")
            await saga.becomes(second, "fulfilled")
            await told(saga, "order_created", 2)
            [no_mail] = await told(saga, "order_shipped", event=n.NotificationSuppressed)
            assert (no_mail.about.order_id, no_mail.reason) == (first, "not_wanted")
            [sent] = await told(saga, "order_shipped")
            assert sent.about.order_id == second
        [mail] = [one for one in server.mails if "on its way" in one["Subject"]]
        assert mail["List-Unsubscribe"].startswith("<http://127.0.0.1:8000/api/v1/unsubscribe/")
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_the_wishes_count_for_the_outbox_too(database: str, folder: Path) -> None:
    async with telling(database, folder) as saga:
        await saga.stock(LON={"MUG": 5})
        ada = await register(saga)
        no = ChangePreferences(customer_id=ada, channel="email", topics=("reviews",), at=saga.shop.clock.now())
        await saga.shop.execute(no, PERSON)
        order_id = await place(saga, customer_id=ada)
        await saga.becomes(order_id, "fulfilled")
        await told(saga, "order_created")
        [no_mail] = await told(saga, "order_shipped", event=n.NotificationSuppressed)
        assert no_mail.reason == "not_wanted"


async def test_an_invitation_to_review_comes_as_late_as_the_shop_says_to_customers_alone(
    database: str, folder: Path
) -> None:
    clock = Ahead()
    async with telling(database, folder, clock=clock) as saga:
        await saga.stock(LON={"MUG": 5})
        ada = await register(saga)
        days = ChangeShopSettings(changes=Changes(review_days=4.0), at=clock.now())
        await saga.shop.execute(days, PERSON)
        order_id, guests = await place(saga, customer_id=ada), await place(saga)
        await saga.becomes(order_id, "fulfilled")
        await saga.becomes(guests, "fulfilled")
        await told(saga, "order_delivered", 2)
        assert not [one for one in await outcomes(saga) if one.event.about.kind == "review_invitation"]  # type: ignore[attr-defined]
        clock.by += timedelta(days=4, minutes=1)
        [invited] = await told(saga, "review_invitation")
        assert invited.about.order_id == order_id
        clock.by += timedelta(days=30)
        await saga.shop.execute(RequestPasswordReset(
            customer_id=ada, request_id=uuid4(), expires_at=clock.now() + timedelta(hours=1)
        ), PERSON)  # fmt: skip
        await told(saga, "password_reset")
        assert len(await told(saga, "review_invitation")) == 1


async def fill(saga: Saga, customer_id: UUID, sku: str = "MUG") -> UUID:
    """Puts something into a customer's cart."""
    cart_id = cart_id_of(customer_id)
    add = AddCartItem(
        cart_id=cart_id, customer_id=customer_id, sku=sku, quantity=1, unit_price=Money(500, "GBP"),
        at=saga.shop.clock.now(),
    )  # fmt: skip
    await saga.execute(add)
    return cart_id


async def test_who_left_a_cart_is_reminded_once_unless_the_cart_was_ordered_or_nobody_wants_it(
    database: str, folder: Path
) -> None:
    clock = Ahead()
    with MailServer() as server:
        async with telling(database, folder, clock=clock, read_models=True, smtp_url=server.url) as saga:
            ada, bob, quiet = [await register(saga) for _ in range(3)]
            unproved = await register(saga, verified=False)
            no = ChangePreferences(customer_id=quiet, channel="email", topics=("orders",), at=clock.now())
            await saga.shop.execute(no, PERSON)
            for one in (ada, bob, quiet, unproved):
                await fill(saga, one)
            clock.by += timedelta(hours=20)
            await fill(saga, ada, "TEA")
            out = CheckOutCart(cart_id=cart_id_of(bob), order_id=uuid4(), order_number="A-1", attempt=1, at=clock.now())
            await saga.execute(out)
            clock.by += timedelta(hours=5)
            refused = await told(saga, "cart_left", 2, event=n.NotificationSuppressed)
            assert {one.about.customer_id: one.reason for one in refused} == {
                quiet: "not_wanted", unproved: "not_verified",
            }  # fmt: skip
            assert not server.mails, "she came back five hours ago"
            clock.by += timedelta(hours=20)
            [sent] = await told(saga, "cart_left")
            assert sent.about.customer_id == ada
            clock.by += timedelta(hours=48)
            await fill(saga, ada)
            clock.by += timedelta(hours=25)
            await told(saga, "cart_left", 2)
            left = [
                one
                for one in (await saga.shop.logs["ordering"].read(0, 1_000))[0]
                if isinstance(one.event, CartAbandoned)
            ]
            assert [one.event.customer_id for one in left].count(ada) == 2  # type: ignore[attr-defined]
        assert [str(mail["Subject"]) for mail in server.mails] == ["You left something in your cart"] * 2
        assert "unsubscribe" in server.mails[0]["List-Unsubscribe"]


async def test_a_reminder_is_not_sent_where_the_cart_was_ordered_after_it_was_left(database: str, folder: Path) -> None:
    clock = Ahead()
    async with running(database, folder, clock=clock) as saga:
        ada = await register(saga)
        cart_id = await fill(saga, ada)
        clock.by += timedelta(hours=25)

        async def left() -> bool:
            state, _ = await saga.shop.logs["ordering"].load(CART, cart_id, fresh=True)
            return state is not None and state.abandoned

        await until(left, saga.shop.logs["ordering"], 20)
        await saga.execute(
            CheckOutCart(cart_id=cart_id, order_id=uuid4(), order_number="A-1", attempt=1, at=clock.now())
        )
        async with bootstrap.notifier(saga.opened, name="test", ttl=2.0) as notifier:
            task = asyncio.create_task(notifier.run())
            try:
                [refused] = await told(saga, "cart_left", event=n.NotificationSuppressed)
            finally:
                await end([task])
        assert refused.reason == "overtaken"


async def test_a_cancelled_order_is_told_of_with_its_refund(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url, fulfilment="manual") as saga:
            await saga.stock(LON={"MUG": 5})
            order_id = await place(saga)
            await saga.becomes(order_id, "confirmed")
            await saga.execute(
                CancelLines(order_id=order_id, cancellation_id=uuid4(), lines=((1, 1),), reason="one will do")
            )
            await told(saga, "order_lines_cancelled")
            await told(saga, "order_refunded")
            [less] = [one for one in server.mails if "Goods of your order" in one["Subject"]]
            body = less.get_body(("plain",))
            assert body is not None
            assert "1 unit was cancelled. It costs £5.00 less" in body.get_content()
            await saga.execute(RequestCancellation(order_id=order_id, reason="changed my mind"))
            await told(saga, "order_cancelled")
            await told(saga, "order_refunded", 2)
        assert len([one for one in server.mails if "refunded £5.00" in one["Subject"]]) == 2


async def test_a_password_is_reset_by_a_link_that_no_log_holds(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url, public_url="https://shop.example/") as saga:
            ada = await register(saga)
            wish = RequestPasswordReset(
                customer_id=ada, request_id=uuid4(), expires_at=saga.shop.clock.now() + timedelta(hours=1)
            )
            await saga.shop.execute(wish, PERSON)
            await told(saga, "password_reset")
            [mail] = server.mails
            assert mail["To"] == f"{ada.hex[:8]}@example.org"
            body = mail.get_body(("plain",))
            assert body is not None
            text = body.get_content()
            token = text.partition("token=")[2].split()[0]
            assert "https://shop.example/account/reset-password?token=" in text
            for table in ("accounts_events", "notifications_events"):
                rows = await saga.opened.reads.query(f"SELECT state FROM {table}", [])
                assert not [row for row in rows if token.encode() in row[0]]


async def test_low_stock_is_told_to_the_staff_who_asked_for_it(database: str, folder: Path) -> None:
    with MailServer() as server:
        async with telling(database, folder, smtp_url=server.url) as saga:
            await saga.stock(LON={"MUG": 5})
            keeper, other, tea = [await register(saga, "warehouse") for _ in range(3)]
            await saga.shop.execute(SubscribeStaff(staff_id=tea, channels=("email",), skus=("TEA",)), PERSON)
            await saga.shop.execute(SubscribeStaff(staff_id=keeper, channels=("email",), skus=("MUG",)), PERSON)
            await saga.shop.execute(SetLowStockMark(sku="MUG", warehouse="LON", mark=3), PERSON)
            await place(saga)
            [sent] = await told(saga, "stock_low")
            assert sent.about.customer_id == keeper != other
        [mail] = [one for one in server.mails if "low" in one["Subject"]]
        assert mail["Subject"] == "Stock is low: MUG in LON"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_sms_go_to_who_wants_them_through_apprise(database: str, folder: Path) -> None:
    with HttpTarget().serving() as target:
        async with telling(database, folder, sms_url=f"json://127.0.0.1:{target.port}/sms/{{to}}") as saga:
            await saga.stock(LON={"MUG": 5})
            ada, bob = await register(saga, phone="+441234"), await register(saga, phone="+449999")
            yes = ChangePreferences(customer_id=ada, channel="sms", topics=("orders",), at=saga.shop.clock.now())
            await saga.shop.execute(yes, PERSON)
            for customer_id in (ada, bob):
                await saga.becomes(await place(saga, customer_id=customer_id), "fulfilled")

            async def arrived() -> bool:
                return any(b"on its way" in body for _, _, body in target.requests)

            await until(arrived, saga.shop.logs["notifications"], 20)
            found = [one.event for one in await outcomes(saga)]
            by_sms = [one for one in found if one.about.channel == "sms"]  # type: ignore[attr-defined]
            assert {path for path, _, _ in target.requests} == {"/sms/+441234"}
            assert {one.about.order_id for one in by_sms} == {one.about.order_id for one in by_sms[:1]}  # type: ignore[attr-defined]
            assert bob != ada


async def test_old_news_is_no_news(database: str, folder: Path) -> None:
    clock = Ahead(timedelta(days=-4))
    async with running(database, folder, clock=clock) as saga:
        await place(saga)
    async with telling(database, folder) as saga:
        await place(saga)
        await told(saga, "order_created")


async def test_history_is_passed_over_in_silence(database: str, folder: Path) -> None:
    async with running(database, folder) as saga:
        await place(saga)
        [manager, *_] = bootstrap.silent_managers(saga.shop, name="import")
        task = asyncio.create_task(manager.run())
        head = await saga.shop.logs["ordering"].head()

        async def passed() -> bool:
            return await saga.shop.logs["notifications"].tracking("notifications", "ordering") >= head

        await until(passed, saga.shop.logs["notifications"], 10)
        await end([task])
    async with telling(database, folder) as saga:
        order_id = await place(saga)
        [sent] = await told(saga, "order_created")
        assert sent.about.order_id == order_id
