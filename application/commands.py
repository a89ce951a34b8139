"""Every command with its handler: the whole behaviour of the program on one page."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from emporium.application import admission
from emporium.application.coupons import give_back
from emporium.application.ports import Claim, Meta, Task
from emporium.application.schedules import delivery_task, fill_task, message_task
from emporium.application.work import Work
from emporium.domain import (
    api_key,
    backorder,
    cancellations,
    cart,
    catalog_import,
    category,
    customer,
    helpful_vote,
    invitation,
    notification,
    order,
    payment,
    picture,
    product,
    promotion,
    quote,
    returns,
    review,
    search_rules,
    shipment,
    shop_settings,
    stock,
    subscription,
    warehouse,
    watch,
    webhook,
    webhook_delivery,
)
from emporium.domain.api_key import API_KEY
from emporium.domain.backorder import (
    BACKORDERS,
    BackorderUnits,
    FillBackorder,
    ReleaseBackorder,
    backorder_id_of,
)
from emporium.domain.base import Aggregate, Command
from emporium.domain.cart import CART, CartItem
from emporium.domain.catalog_import import CATALOG_IMPORT
from emporium.domain.category import CATEGORIES, categories_id
from emporium.domain.customer import CUSTOMER
from emporium.domain.geography import distance
from emporium.domain.helpful_vote import HELPFUL_VOTE, helpful_vote_id_of
from emporium.domain.invitation import INVITATION
from emporium.domain.invoice import (
    NUMBERS,
    DocumentNumberTaken,
    TakeNumber,
    document_number,
    numbers_id,
    seller_of,
)
from emporium.domain.notification import NOTIFICATION, About, notification_id_of
from emporium.domain.order import ORDER, Backordered
from emporium.domain.payment import PAYMENT, payment_id_of
from emporium.domain.picture import PICTURE
from emporium.domain.product import PRODUCT
from emporium.domain.promotion import PROMOTIONS, promotions_id
from emporium.domain.quote import QUOTE
from emporium.domain.reservation import (
    RESERVATION,
    Allocation,
    ReduceReservation,
    ReleaseParcel,
    ReleaseReservation,
    ReserveStock,
    ReturnUnits,
    SetAside,
    ShipReservation,
    allocate,
    reservation_id_of,
)
from emporium.domain.review import REVIEW
from emporium.domain.search_rules import SEARCH_RULES, search_rules_id
from emporium.domain.shipment import SHIPMENT, shipment_id_of
from emporium.domain.shop_settings import SHOP_SETTINGS, ShopSettings, in_force, shop_settings_id
from emporium.domain.stock import STOCK, ReleaseUnits, ReserveUnits, ShipUnits, TakeBackUnits, stock_id_of
from emporium.domain.subscription import SUBSCRIPTIONS, subscriptions_id
from emporium.domain.warehouse import WAREHOUSES, Warehouse, warehouses_id
from emporium.domain.watch import BACK_IN_STOCK, WATCHES, WatchAdded, WatchMet, WatchRemoved, watches_id
from emporium.domain.webhook import WEBHOOKS, webhooks_id
from emporium.domain.webhook_delivery import DELIVERY, Delivery, delivery_id_of

__all__ = [
    "HANDLERS",
    "ROUTES",
    "Announce",
    "Deliver",
    "FillOrders",
    "IssueDocuments",
    "ReserveOrder",
    "handle",
    "log_of",
    "watch_scope",
]


class ReserveOrder(Command, frozen=True, kw_only=True):
    """Set aside all units of an order, in whatever warehouses have them; `wanted` is units by SKU.

    Of two ways with as many parcels, the one from warehouses nearer to `country` is taken. The units of the
    cancellations `without` are not wanted.
    """

    order_id: UUID
    payment_id: UUID
    wanted: dict[str, int]
    country: str = ""
    without: tuple[UUID, ...] = ()


class FillOrders(Command, frozen=True, kw_only=True):
    """Give the units of a SKU that are free to the orders that wait for them, the first first. Again, it does nothing
    more."""

    sku: str


class FailAndReopen(Command, frozen=True, kw_only=True):
    """The order came to nothing: fail it and give the cart its items back, together."""

    order_id: UUID
    reason: str
    detail: str | None = None


class IssueDocuments(Command, frozen=True, kw_only=True):
    """Issue whatever the order is due now: its invoice, a credit note for each refund. Again, it does nothing."""

    order_id: UUID


class Announce(Command, frozen=True, kw_only=True):
    """Somebody shall be told: a message is due, or has gone `via` the outbox with this, or is `refused` by a wish."""

    about: About
    due: datetime
    via: str | None = None
    refused: str | None = None


class Deliver(Command, frozen=True, kw_only=True):
    """Other programs shall be told of events: these deliveries are due, as part of a replay where one is named.

    `follow` is what is still to be done of the replay.
    """

    deliveries: tuple[Delivery, ...]
    due: datetime
    part: str = ""
    follow: tuple[Task, ...] = ()


Route = tuple[Aggregate[Any], Callable[[Any], UUID]]
Handler = Callable[[Work, Any, Meta], Awaitable[None]]


def _by_cart(command: Any) -> UUID:
    return command.cart_id  # type: ignore[no-any-return]


def _by_order(command: Any) -> UUID:
    return command.order_id  # type: ignore[no-any-return]


def _stock(command: Any) -> UUID:
    return stock_id_of(command.sku, command.warehouse)


def _backorder(command: Any) -> UUID:
    return backorder_id_of(command.sku)


def _payment(command: Any) -> UUID:
    return payment_id_of(command.order_id)


def _shipment(command: Any) -> UUID:
    return shipment_id_of(command.order_id)


def _product(command: Any) -> UUID:
    return command.product_id  # type: ignore[no-any-return]


def _customer(command: Any) -> UUID:
    return command.customer_id  # type: ignore[no-any-return]


def _invitation(command: Any) -> UUID:
    return command.invitation_id  # type: ignore[no-any-return]


def _api_key(command: Any) -> UUID:
    return command.key_id  # type: ignore[no-any-return]


def _picture(command: Any) -> UUID:
    return command.picture_id  # type: ignore[no-any-return]


def _import(command: Any) -> UUID:
    return command.import_id  # type: ignore[no-any-return]


def _categories(_: Any) -> UUID:
    return categories_id()


def _search_rules(_: Any) -> UUID:
    return search_rules_id()


def _warehouses(_: Any) -> UUID:
    return warehouses_id()


def _settings(_: Any) -> UUID:
    return shop_settings_id()


def _promotions(_: Any) -> UUID:
    return promotions_id()


def _quote(command: Any) -> UUID:
    return command.quote_id  # type: ignore[no-any-return]


def _notification(command: Any) -> UUID:
    return command.notification_id  # type: ignore[no-any-return]


def _review(command: Any) -> UUID:
    return command.review_id  # type: ignore[no-any-return]


def _vote(command: Any) -> UUID:
    return helpful_vote_id_of(command.review_id, command.voter)


def _subscriptions(_: Any) -> UUID:
    return subscriptions_id()


def _webhooks(_: Any) -> UUID:
    return webhooks_id()


def _delivery(command: Any) -> UUID:
    return command.delivery_id  # type: ignore[no-any-return]


ROUTES: Final[dict[type[Command], Route]] = {
    product.CreateProduct: (PRODUCT, _product),
    product.UpdateProduct: (PRODUCT, _product),
    product.AddVariant: (PRODUCT, _product),
    product.RemoveVariant: (PRODUCT, _product),
    product.ChangePrice: (PRODUCT, _product),
    product.SchedulePrice: (PRODUCT, _product),
    product.CancelPriceSchedule: (PRODUCT, _product),
    product.BeginPriceSchedule: (PRODUCT, _product),
    product.EndPriceSchedule: (PRODUCT, _product),
    product.PublishProduct: (PRODUCT, _product),
    product.ArchiveProduct: (PRODUCT, _product),
    picture.UploadPicture: (PICTURE, _picture),
    picture.RecordRenditions: (PICTURE, _picture),
    catalog_import.RequestImport: (CATALOG_IMPORT, _import),
    catalog_import.AdvanceImport: (CATALOG_IMPORT, _import),
    catalog_import.FinishImport: (CATALOG_IMPORT, _import),
    catalog_import.FailImport: (CATALOG_IMPORT, _import),
    catalog_import.RequestUndo: (CATALOG_IMPORT, _import),
    catalog_import.AdvanceUndo: (CATALOG_IMPORT, _import),
    catalog_import.FinishUndo: (CATALOG_IMPORT, _import),
    category.CreateCategory: (CATEGORIES, _categories),
    category.RenameCategory: (CATEGORIES, _categories),
    category.MoveCategory: (CATEGORIES, _categories),
    category.DefineAttribute: (CATEGORIES, _categories),
    category.RemoveAttribute: (CATEGORIES, _categories),
    search_rules.SetSynonyms: (SEARCH_RULES, _search_rules),
    search_rules.RemoveSynonyms: (SEARCH_RULES, _search_rules),
    search_rules.SetPlacement: (SEARCH_RULES, _search_rules),
    search_rules.RemovePlacement: (SEARCH_RULES, _search_rules),
    warehouse.OpenWarehouse: (WAREHOUSES, _warehouses),
    warehouse.CloseWarehouse: (WAREHOUSES, _warehouses),
    customer.RegisterCustomer: (CUSTOMER, _customer),
    customer.NoteRegistration: (CUSTOMER, _customer),
    customer.RequestEmailVerification: (CUSTOMER, _customer),
    customer.VerifyEmail: (CUSTOMER, _customer),
    customer.RequestPasswordReset: (CUSTOMER, _customer),
    customer.ChangePassword: (CUSTOMER, _customer),
    customer.RequestEmailChange: (CUSTOMER, _customer),
    customer.ConfirmEmailChange: (CUSTOMER, _customer),
    customer.NoteNewDevice: (CUSTOMER, _customer),
    customer.ChangeProfile: (CUSTOMER, _customer),
    customer.SaveAddress: (CUSTOMER, _customer),
    customer.RemoveAddress: (CUSTOMER, _customer),
    customer.ChooseDefaultAddress: (CUSTOMER, _customer),
    customer.SavePaymentMethod: (CUSTOMER, _customer),
    customer.RemovePaymentMethod: (CUSTOMER, _customer),
    customer.ChooseDefaultPaymentMethod: (CUSTOMER, _customer),
    customer.ChangePreferences: (CUSTOMER, _customer),
    customer.ChangeViewsConsent: (CUSTOMER, _customer),
    customer.PrepareTwoFactor: (CUSTOMER, _customer),
    customer.EnableTwoFactor: (CUSTOMER, _customer),
    customer.PassTwoFactor: (CUSTOMER, _customer),
    customer.RenewRecoveryCodes: (CUSTOMER, _customer),
    customer.DisableTwoFactor: (CUSTOMER, _customer),
    customer.GrantRole: (CUSTOMER, _customer),
    customer.RevokeRole: (CUSTOMER, _customer),
    customer.EraseCustomer: (CUSTOMER, _customer),
    invitation.InviteStaff: (INVITATION, _invitation),
    invitation.AcceptInvitation: (INVITATION, _invitation),
    invitation.WithdrawInvitation: (INVITATION, _invitation),
    api_key.CreateApiKey: (API_KEY, _api_key),
    api_key.RevokeApiKey: (API_KEY, _api_key),
    cart.AddCartItem: (CART, _by_cart),
    cart.ChangeCartItem: (CART, _by_cart),
    cart.RemoveCartItem: (CART, _by_cart),
    cart.ClearCart: (CART, _by_cart),
    cart.CheckOutCart: (CART, _by_cart),
    cart.ReopenCart: (CART, _by_cart),
    cart.ExpireCart: (CART, _by_cart),
    cart.AbandonCart: (CART, _by_cart),
    cart.MergeCart: (CART, _by_cart),
    cart.TakeOverItems: (CART, _by_cart),
    cart.AddCartCoupon: (CART, _by_cart),
    cart.RemoveCartCoupon: (CART, _by_cart),
    cart.ChangeCartNote: (CART, _by_cart),
    cart.ChooseCartLanguage: (CART, _by_cart),
    shop_settings.ChangeShopSettings: (SHOP_SETTINGS, _settings),
    promotion.CreatePromotion: (PROMOTIONS, _promotions),
    promotion.ChangePromotion: (PROMOTIONS, _promotions),
    promotion.EndPromotion: (PROMOTIONS, _promotions),
    quote.MakeQuote: (QUOTE, _quote),
    review.WriteReview: (REVIEW, _review),
    review.EditReview: (REVIEW, _review),
    review.WithdrawReview: (REVIEW, _review),
    review.PublishReview: (REVIEW, _review),
    review.RejectReview: (REVIEW, _review),
    review.AnswerReview: (REVIEW, _review),
    review.RemoveAnswer: (REVIEW, _review),
    review.ReportReview: (REVIEW, _review),
    helpful_vote.CastHelpfulVote: (HELPFUL_VOTE, _vote),
    order.PlaceOrder: (ORDER, _by_order),
    order.RecordPayment: (ORDER, _by_order),
    order.RecordBackorder: (ORDER, _by_order),
    order.RecordReservation: (ORDER, _by_order),
    order.RecordShortage: (ORDER, _by_order),
    order.RecordDispatch: (ORDER, _by_order),
    order.CompleteOrder: (ORDER, _by_order),
    order.FailOrder: (ORDER, _by_order),
    order.RequestCancellation: (ORDER, _by_order),
    order.RefuseCancellation: (ORDER, _by_order),
    order.ReturnLines: (ORDER, _by_order),
    order.GrantGoodwill: (ORDER, _by_order),
    order.RecordOrderRefund: (ORDER, _by_order),
    order.ClaimOrder: (ORDER, _by_order),
    order.HoldOrder: (ORDER, _by_order),
    order.ReleaseOrder: (ORDER, _by_order),
    order.ChangeAddress: (ORDER, _by_order),
    order.RestoreAddress: (ORDER, _by_order),
    order.AddNote: (ORDER, _by_order),
    order.RequestMessage: (ORDER, _by_order),
    cancellations.CancelLines: (ORDER, _by_order),
    cancellations.RefuseLinesCancellation: (ORDER, _by_order),
    returns.RequestReturn: (ORDER, _by_order),
    returns.ApproveReturn: (ORDER, _by_order),
    returns.RefuseReturn: (ORDER, _by_order),
    returns.ReceiveReturn: (ORDER, _by_order),
    payment.RequestPayment: (PAYMENT, _payment),
    payment.RecordCharge: (PAYMENT, _payment),
    payment.RecordDecline: (PAYMENT, _payment),
    payment.RequireAction: (PAYMENT, _payment),
    payment.TimeOutPayment: (PAYMENT, _payment),
    payment.CancelPayment: (PAYMENT, _payment),
    payment.RequestCapture: (PAYMENT, _payment),
    payment.RecordCapture: (PAYMENT, _payment),
    payment.RecordVoid: (PAYMENT, _payment),
    payment.RequestRefund: (PAYMENT, _payment),
    payment.RecordRefund: (PAYMENT, _payment),
    payment.RecordRefundFailure: (PAYMENT, _payment),
    payment.RecordDispute: (PAYMENT, _payment),
    backorder.AllowBackorder: (BACKORDERS, _backorder),
    backorder.EndBackorder: (BACKORDERS, _backorder),
    stock.SetLowStockMark: (STOCK, _stock),
    shipment.PrepareShipment: (SHIPMENT, _shipment),
    shipment.RecordLabel: (SHIPMENT, _shipment),
    shipment.RecordParcelRefusal: (SHIPMENT, _shipment),
    shipment.RetryParcel: (SHIPMENT, _shipment),
    shipment.GiveUpParcel: (SHIPMENT, _shipment),
    shipment.PackParcel: (SHIPMENT, _shipment),
    shipment.ShipParcel: (SHIPMENT, _shipment),
    shipment.RecordDelivery: (SHIPMENT, _shipment),
    shipment.RecordLoss: (SHIPMENT, _shipment),
    shipment.RecordReturnToSender: (SHIPMENT, _shipment),
    shipment.HoldShipment: (SHIPMENT, _shipment),
    shipment.ReleaseShipment: (SHIPMENT, _shipment),
    shipment.ReaddressShipment: (SHIPMENT, _shipment),
    shipment.ReduceShipment: (SHIPMENT, _shipment),
    shipment.CancelShipment: (SHIPMENT, _shipment),
    notification.AskForNotification: (NOTIFICATION, _notification),
    subscription.SubscribeStaff: (SUBSCRIPTIONS, _subscriptions),
    webhook.RegisterWebhook: (WEBHOOKS, _webhooks),
    webhook.ChangeWebhook: (WEBHOOKS, _webhooks),
    webhook.RotateWebhookSecret: (WEBHOOKS, _webhooks),
    webhook.RemoveWebhook: (WEBHOOKS, _webhooks),
    webhook.RequestReplay: (WEBHOOKS, _webhooks),
    webhook_delivery.AskForDelivery: (DELIVERY, _delivery),
}
"""The commands that one aggregate decides alone, with the stream that they go to."""


async def _reserve_order(work: Work, command: ReserveOrder, cause: Meta) -> None:
    reservation = reservation_id_of(command.order_id)
    if await work.load(RESERVATION, reservation) is not None:
        return
    directory = await work.load(WAREHOUSES, warehouses_id())
    warehouses = _nearest(directory.warehouses, command.country) if directory is not None else ()
    streams = {(sku, w): stock_id_of(sku, w) for sku in command.wanted for w in warehouses}
    queues = {sku: backorder_id_of(sku) for sku in command.wanted}
    await work.load_many(STOCK, streams.values())
    await work.load_many(BACKORDERS, queues.values())
    available = _unclaimed(work, command.wanted, streams)
    if any(sum(available[sku].values()) < units for sku, units in command.wanted.items()):
        # Short by the cache: believed only with the log's own word, and only while that stands.
        await work.refresh(STOCK, streams.values())
        await work.refresh(BACKORDERS, queues.values())
        for stream in (*streams.values(), *queues.values()):
            work.expect(stream)
        work.expect(warehouses_id())
        available = _unclaimed(work, command.wanted, streams)
    for queue in queues.values():
        if work.version(queue):
            # Nobody takes what those in front of him wait for.
            work.expect(queue)
    reserve = ReserveStock(
        order_id=command.order_id,
        payment_id=command.payment_id,
        wanted=command.wanted,
        available=available,
        without=command.without,
        beyond={sku: more for sku in command.wanted if (more := _beyond(work, sku)) is not None},
    )
    work.decide(RESERVATION, reservation, reserve, cause)
    state = work.state(RESERVATION, reservation)
    if state is None:
        return
    await _set_aside(work, command.order_id, state.held, cause)
    for sku, quantity in state.waiting.items():
        work.decide(
            BACKORDERS, queues[sku], BackorderUnits(sku=sku, order_id=command.order_id, quantity=quantity), cause
        )


@lru_cache(maxsize=1_024)
def _nearest(warehouses: tuple[Warehouse, ...], country: str) -> tuple[str, ...]:
    """Their codes, the nearest to the country first; of those as near, the preferred one."""
    return tuple(one.code for one in sorted(warehouses, key=lambda one: distance(one.country, country)))


def _waiting(work: Work, sku: str) -> int:
    """Units of the SKU that orders wait for."""
    queue = work.state(BACKORDERS, backorder_id_of(sku))
    return 0 if queue is None else queue.backordered


def _beyond(work: Work, sku: str) -> Backordered | None:
    """What may still be sold of the SKU that is not there."""
    queue = work.state(BACKORDERS, backorder_id_of(sku))
    if queue is None or queue.kind is None or queue.expected is None:
        return None
    return Backordered(sku=sku, quantity=queue.left, kind=queue.kind, expected=queue.expected)


def _unclaimed(work: Work, wanted: dict[str, int], streams: dict[tuple[str, str], UUID]) -> dict[str, dict[str, int]]:
    """What is available and is not about to go to an order that waits for it."""
    available = _available(work, wanted, streams)
    for sku, places in available.items():
        claimed = _waiting(work, sku)
        for place in reversed(places):
            taken = min(claimed, places[place])
            places[place] -= taken
            claimed -= taken
    return available


async def _set_aside(work: Work, order_id: UUID, allocations: tuple[Allocation, ...], cause: Meta) -> None:
    def reserve(one: Allocation) -> Command:
        return ReserveUnits(sku=one.sku, warehouse=one.warehouse, order_id=order_id, quantity=one.quantity)

    await _on_stocks(work, allocations, reserve, cause)


_FILLED_AT_ONCE: Final = 100
"""Orders that get their units in one commit."""


async def _call(work: Work, skus: Iterable[str], cause: Meta) -> None:
    """Units of these SKUs are free: orders that wait for them get them next."""
    queues = {sku: backorder_id_of(sku) for sku in skus}
    await work.load_many(BACKORDERS, queues.values())
    for sku, queue in queues.items():
        if _waiting(work, sku):
            event = f"event:{work.unit.events[-1].id}"
            work.unit.tasks.append(fill_task(sku, work.now, replace(cause, causation=event, actor="system:inventory")))
        else:
            # Whoever begins to wait at this moment must not be passed over.
            work.expect(queue)


async def _fill_orders(work: Work, command: FillOrders, cause: Meta) -> None:
    sku, queue = command.sku, backorder_id_of(command.sku)
    await work.refresh(BACKORDERS, [queue])
    state = work.state(BACKORDERS, queue)
    waiting = [] if state is None else list(state.waiting.items())
    if not waiting:
        return
    await work.refresh(WAREHOUSES, [warehouses_id()])
    directory = work.state(WAREHOUSES, warehouses_id())
    streams = {(sku, w): stock_id_of(sku, w) for w in (directory.in_order if directory is not None else ())}
    await work.refresh(STOCK, streams.values())
    reservations = {order_id: reservation_id_of(order_id) for order_id, _ in waiting[:_FILLED_AT_ONCE]}
    await work.refresh(RESERVATION, reservations.values())
    for order_id, units in waiting[:_FILLED_AT_ONCE]:
        reservation = work.state(RESERVATION, reservations[order_id])
        available = _available(work, {sku: units}, streams)
        free = sum(available[sku].values())
        if not free:
            return
        take = min(units, free, 0 if reservation is None else reservation.waiting.get(sku, 0))
        if not take:
            continue  # it was just cancelled, and its cancellation calls the next
        allocations, _ = allocate({sku: take}, available)
        meta = replace(cause, correlation=str(order_id))
        work.decide(RESERVATION, reservations[order_id], SetAside(order_id=order_id, allocations=allocations), meta)
        work.decide(BACKORDERS, queue, FillBackorder(sku=sku, order_id=order_id, quantity=take), meta)
        await _set_aside(work, order_id, allocations, meta)
    if len(waiting) > _FILLED_AT_ONCE:
        work.unit.tasks.append(fill_task(sku, work.now, cause))


async def _on_stock(
    work: Work, command: stock.ReceiveUnits | stock.AdjustStock | stock.TakeInUnits, cause: Meta
) -> None:
    stream = stock_id_of(command.sku, command.warehouse)
    before = await work.load(STOCK, stream)
    work.decide(STOCK, stream, command, cause)
    after = work.state(STOCK, stream)
    if after is not None and after.available > (0 if before is None else before.available):
        await _call(work, [command.sku], cause)


def _available(work: Work, wanted: dict[str, int], streams: dict[tuple[str, str], UUID]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {sku: {} for sku in wanted}
    for (sku, place), stream in streams.items():
        state = work.state(STOCK, stream)
        found[sku][place] = state.available if state is not None else 0
    return found


async def _on_stocks(
    work: Work, allocations: tuple[Allocation, ...], make: Callable[[Allocation], Command], cause: Meta
) -> None:
    streams = [stock_id_of(a.sku, a.warehouse) for a in allocations]
    await work.load_many(STOCK, streams)
    for one, stream in zip(allocations, streams, strict=True):
        work.decide(STOCK, stream, make(one), cause)


async def _release(work: Work, command: ReleaseReservation, cause: Meta) -> None:
    reservation = reservation_id_of(command.order_id)
    before = await work.load(RESERVATION, reservation)
    work.decide(RESERVATION, reservation, command, cause)

    if before is None:
        return

    def release(one: Allocation) -> Command:
        return ReleaseUnits(sku=one.sku, warehouse=one.warehouse, order_id=command.order_id, quantity=one.quantity)

    await _on_stocks(work, before.held, release, cause)
    queues = {sku: backorder_id_of(sku) for sku in before.waiting}
    await work.load_many(BACKORDERS, queues.values())
    for sku, queue in queues.items():
        work.decide(BACKORDERS, queue, ReleaseBackorder(sku=sku, order_id=command.order_id), cause)
    await _call(work, dict.fromkeys((*(one.sku for one in before.held), *before.waiting)), cause)


async def _ship(work: Work, command: ShipReservation, cause: Meta) -> None:
    reservation = reservation_id_of(command.order_id)
    await work.load(RESERVATION, reservation)
    if not work.decide(RESERVATION, reservation, command, cause):
        return

    def ship(one: Allocation) -> Command:
        return ShipUnits(sku=one.sku, warehouse=one.warehouse, order_id=command.order_id, quantity=one.quantity)

    await _on_stocks(work, command.allocations, ship, cause)


async def _free(work: Work, command: ReleaseParcel | ReduceReservation, cause: Meta) -> None:
    reservation = reservation_id_of(command.order_id)
    await work.load(RESERVATION, reservation)
    if not work.decide(RESERVATION, reservation, command, cause):
        return

    def release(one: Allocation) -> Command:
        return ReleaseUnits(sku=one.sku, warehouse=one.warehouse, order_id=command.order_id, quantity=one.quantity)

    await _on_stocks(work, command.allocations, release, cause)
    await _call(work, dict.fromkeys(one.sku for one in command.allocations), cause)


async def _return(work: Work, command: ReturnUnits, cause: Meta) -> None:
    reservation = reservation_id_of(command.order_id)
    await work.load(RESERVATION, reservation)
    back: dict[tuple[str, str], int] = defaultdict(int)
    for event in work.decide(RESERVATION, reservation, command, cause):
        for one in event.allocations:  # type: ignore[attr-defined]
            back[one.sku, one.warehouse] += one.quantity
    allocations = tuple(Allocation(sku, warehouse, units) for (sku, warehouse), units in back.items())

    def take_back(one: Allocation) -> Command:
        return TakeBackUnits(sku=one.sku, warehouse=one.warehouse, order_id=command.order_id, quantity=one.quantity)

    await _on_stocks(work, allocations, take_back, cause)
    await _call(work, dict.fromkeys(one.sku for one in allocations), cause)


async def _fail_and_reopen(work: Work, command: FailAndReopen, cause: Meta) -> None:
    state = await work.load(ORDER, command.order_id)
    fail = order.FailOrder(order_id=command.order_id, reason=command.reason, detail=command.detail)
    if not work.decide(ORDER, command.order_id, fail, cause) or state is None:
        return
    give_back(work, state)
    admission.give_back(work, state)
    if state.cart_id is None:
        return
    there = await work.load(CART, state.cart_id)
    cart_id = there.into if there is not None and there.into is not None else state.cart_id
    await work.load(CART, cart_id)
    kept = state.wanted
    items = tuple(
        CartItem(sku=line.sku, quantity=kept[line.line], unit_price=line.unit_price)
        for line in state.lines
        if kept[line.line]
    )
    coupons = () if state.agreement is None else state.agreement.coupons
    reopen = cart.ReopenCart(cart_id=cart_id, order_id=command.order_id, items=items, coupons=coupons)
    work.decide(CART, cart_id, reopen, cause)


async def _issue_documents(work: Work, command: IssueDocuments, cause: Meta) -> None:
    state = await work.load(ORDER, command.order_id)
    due = [] if state is None else state.documents_due()
    if not due:
        return
    shop = in_force(await work.load(SHOP_SETTINGS, shop_settings_id()), ShopSettings())
    work.expect(shop_settings_id())
    seller = seller_of(shop)
    for series, refund_id in due:
        # The time zone of the books is UTC. The number commits with its document or not at all.
        year = work.now.astimezone(UTC).year
        stream = numbers_id(series, year)
        await work.load(NUMBERS, stream)
        [taken] = work.decide(NUMBERS, stream, TakeNumber(series=series, year=year, order_id=command.order_id), cause)
        assert isinstance(taken, DocumentNumberTaken), "a number is taken as one event"
        number = document_number(series, year, taken.count)
        work.decide(
            ORDER,
            command.order_id,
            order.IssueInvoice(order_id=command.order_id, number=number, seller=seller, at=work.now)
            if refund_id is None
            else order.IssueCreditNote(
                order_id=command.order_id, number=number, refund_id=refund_id, seller=seller, at=work.now
            ),
            cause,
        )


async def _confirm_cancellation(work: Work, command: order.ConfirmCancellation, cause: Meta) -> None:
    state = await work.load(ORDER, command.order_id)
    if work.decide(ORDER, command.order_id, command, cause) and state is not None:
        give_back(work, state)
        admission.give_back(work, state)


async def _confirm_lines(work: Work, command: cancellations.ConfirmLinesCancellation, cause: Meta) -> None:
    state = await work.load(ORDER, command.order_id)
    for event in work.decide(ORDER, command.order_id, command, cause):
        if isinstance(event, cancellations.OrderLinesCancelled) and state is not None:
            units: dict[str, int] = defaultdict(int)
            for line in event.lines:
                units[line.sku] += line.quantity
            admission.give_back_units(work, state, units)


async def _write_off(work: Work, command: order.WriteOffParcel, cause: Meta) -> None:
    state = await work.load(ORDER, command.order_id)
    for event in work.decide(ORDER, command.order_id, command, cause):
        if isinstance(event, order.OrderReturned) and command.reason == order.GIVEN_UP and state is not None:
            units: dict[str, int] = defaultdict(int)
            for line in event.lines:
                units[line.sku] += line.quantity
            admission.give_back_units(work, state, units)


async def _announce(work: Work, command: Announce, cause: Meta) -> None:
    if command.refused is not None:
        await _on_message(work, notification.RecordSuppression(about=command.about, reason=command.refused), cause)
    elif command.via is not None:
        await _on_message(work, notification.RecordSent(about=command.about, via=command.via), cause)
    else:
        work.unit.tasks.append(message_task(command.about, command.due, cause))


async def _on_message(work: Work, command: Any, cause: Meta) -> None:
    stream = notification_id_of(command.about)
    # Nearly every outcome is the first and last of its stream: where it is not, the commit conflicts.
    work.begin(NOTIFICATION, stream)
    await work.load(NOTIFICATION, stream)
    work.decide(NOTIFICATION, stream, command, cause)


async def _deliver(work: Work, command: Deliver, cause: Meta) -> None:
    work.unit.tasks.extend(delivery_task(one, command.due, cause, command.part) for one in command.deliveries)
    work.unit.tasks.extend(command.follow)


async def _on_delivery(work: Work, command: Any, cause: Meta) -> None:
    stream = delivery_id_of(command.delivery)
    work.begin(DELIVERY, stream)
    await work.load(DELIVERY, stream)
    work.decide(DELIVERY, stream, command, cause)


def watch_scope(sku: str, kind: str) -> str:
    """The scope of the claims by which those are found who watch a SKU."""
    return f"watch {kind} {sku}"


async def _watch(work: Work, command: Any, cause: Meta) -> None:
    stream = watches_id(command.customer_id)
    await work.load(WATCHES, stream)
    for event in work.decide(WATCHES, stream, command, cause):
        ended = isinstance(event, WatchRemoved) or (isinstance(event, WatchMet) and event.kind == BACK_IN_STOCK)
        if ended or isinstance(event, WatchAdded):
            scope, who = watch_scope(command.sku, command.kind), command.customer_id
            work.unit.claims.append(Claim(scope, who.bytes, who, release=ended))


HANDLERS: Final[dict[type[Command], tuple[str, Handler]]] = {
    ReserveOrder: ("inventory", _reserve_order),
    ReleaseReservation: ("inventory", _release),
    ReleaseParcel: ("inventory", _free),
    ReduceReservation: ("inventory", _free),
    ShipReservation: ("inventory", _ship),
    ReturnUnits: ("inventory", _return),
    FillOrders: ("inventory", _fill_orders),
    stock.ReceiveUnits: ("inventory", _on_stock),
    stock.AdjustStock: ("inventory", _on_stock),
    stock.TakeInUnits: ("inventory", _on_stock),
    FailAndReopen: ("ordering", _fail_and_reopen),
    IssueDocuments: ("ordering", _issue_documents),
    order.ConfirmCancellation: ("ordering", _confirm_cancellation),
    order.WriteOffParcel: ("ordering", _write_off),
    cancellations.ConfirmLinesCancellation: ("ordering", _confirm_lines),
    Announce: ("notifications", _announce),
    notification.RecordSent: ("notifications", _on_message),
    notification.RecordSendFailure: ("notifications", _on_message),
    notification.RecordSuppression: ("notifications", _on_message),
    Deliver: ("notifications", _deliver),
    webhook_delivery.RecordDelivered: ("notifications", _on_delivery),
    webhook_delivery.RecordDeliveryFailure: ("notifications", _on_delivery),
    watch.AddWatch: ("accounts", _watch),
    watch.RemoveWatch: ("accounts", _watch),
    watch.MeetWatch: ("accounts", _watch),
}
"""The commands that touch several streams of one log, or streams that may not have begun."""


def log_of(command: Command) -> str:
    """The log in which the command commits."""
    kind = type(command)
    return ROUTES[kind][0].log if kind in ROUTES else HANDLERS[kind][0]


async def handle(work: Work, command: Command, cause: Meta | None = None) -> None:
    """Carries the command out in the unit of work. Raises Rejected."""
    kind = type(command)
    if kind in ROUTES:
        aggregate, stream_of = ROUTES[kind]
        stream = stream_of(command)
        await work.load(aggregate, stream)
        work.decide(aggregate, stream, command, cause)
    else:
        await HANDLERS[kind][1](work, command, cause or work.cause)
