"""/api/v1/account: the address book, saved payment methods, and what the customer wants to be told."""

from functools import partial
from typing import Annotated, Any, Protocol
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType

from emporium.application import addresses, payment_methods
from emporium.application.addresses import SavedAddress
from emporium.application.payment_methods import MethodView
from emporium.application.ports import Address
from emporium.application.ports import Meta as CauseMeta
from emporium.application.work import Committed
from emporium.domain.cart import cart_id_of
from emporium.domain.customer import CUSTOMER, ChangePreferences, ChangeViewsConsent
from emporium.http.auth import person
from emporium.http.bodies import Body, Line
from emporium.http.caching import tagged
from emporium.http.consistency import token_after
from emporium.http.idempotency import Answer, once
from emporium.http.problems import KINDS
from emporium.http.reply import Headers, Reply
from emporium.http.request import Request, actor_of

__all__ = ["BookController"]

AddressId = Annotated[UUID, PathParameter(description="An address of the book.")]
MethodId = Annotated[UUID, PathParameter(description="A saved payment method.")]
Uses = Annotated[
    list[Annotated[str, Meta(pattern="^(shipping|billing)$")]], Meta(max_length=2, description="`shipping`, `billing`.")
]
Topics = Annotated[
    list[Annotated[str, Meta(pattern="^(orders|reviews|reminders|watched|offers)$")]],
    Meta(max_length=5, description="`orders`, `reviews`, `reminders`, `watched`, `offers`."),
]


class AddressBody(Body, frozen=True, kw_only=True):
    """An address, as its country writes it: what it must have is checked. `country` is ISO 3166 alpha-2."""

    name: Line
    lines: Annotated[list[Line], Meta(min_length=1, max_length=4)]
    city: Annotated[str, Meta(max_length=100)] = ""
    postcode: Annotated[str, Meta(max_length=20)] = ""
    region: Annotated[str, Meta(max_length=100, description="State, province or the like.")] = ""
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$", examples=["GB"])]
    default_for: Uses = []


class AddressList(msgspec.Struct, frozen=True, kw_only=True):
    """The address book."""

    items: list[SavedAddress]


class AddressMade(msgspec.Struct, frozen=True, kw_only=True):
    """The address that was put into the book."""

    address_id: UUID


class MethodBody(Body, frozen=True, kw_only=True):
    """A payment method by the token that the provider's script gave. Card numbers are refused."""

    method: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[!-~ ]*$", examples=["pm_ok"])]


class MethodMade(msgspec.Struct, frozen=True, kw_only=True):
    """The payment method that was saved."""

    method_id: UUID


class MethodList(msgspec.Struct, frozen=True, kw_only=True):
    """The saved payment methods."""

    items: list[MethodView]


class Preferences(Body, frozen=True, kw_only=True):
    """What the customer wants to be told, by channel. Messages that an account needs come in any case, by e-mail.

    `views` says whether what the customer looks at may be remembered for suggestions; left out where the customer has
    not said (then it is as the shop has it), and in a change to leave it as it is. False also forgets what there is.
    """

    email: Topics
    sms: Topics
    push: Topics
    views: bool | UnsetType = UNSET


class BookController(Controller):
    """What an account keeps for the next order."""

    path = "/account"
    tags = ["account"]
    guards = [person]

    @get("/addresses", opt={"tagged": True})
    async def list_addresses(self, request: Request) -> Reply[AddressList]:
        """The address book."""
        session = await request.customer()
        return tagged(request, AddressList(items=await addresses.book(request.services.shop, session.customer)))

    @post("/addresses", status_code=201, opt={"idempotent": True})
    async def add_address(self, request: Request, data: JSONBody[AddressBody]) -> Reply[AddressMade]:
        """Puts an address into the book; the first one is the default for everything."""
        session = await request.customer()
        address_id = uuid4()
        return await once(
            request,
            "accounts",
            actor_of(session),
            lambda made: Answer.of(AddressMade(address_id=made), location=f"/api/v1/account/addresses/{made}"),
            lambda keep: addresses.save(
                request.services.shop,
                customer_id=session.customer,
                address_id=address_id,
                address=_address(data),
                default_for=tuple(data.default_for),
                cause=request.cause(actor_of(session), ""),
                new=True,
                keep=keep,
            ),
        )

    @get("/addresses/{address_id:uuid}", opt={"tagged": True})
    async def show_address(self, request: Request, address_id: AddressId) -> Reply[SavedAddress]:
        """One address of the book."""
        session = await request.customer()
        for one in await addresses.book(request.services.shop, session.customer):
            if one.address_id == address_id:
                return tagged(request, one)
        raise KINDS.not_found("There is no such address in the book.")

    @put("/addresses/{address_id:uuid}")
    async def change_address(
        self, request: Request, address_id: AddressId, data: JSONBody[AddressBody]
    ) -> Reply[AddressMade]:
        """Writes another address in this one's place."""
        session = await request.customer()
        _, committed = await addresses.save(
            request.services.shop,
            customer_id=session.customer,
            address_id=address_id,
            address=_address(data),
            default_for=tuple(data.default_for),
            cause=request.cause(actor_of(session), ""),
            new=False,
        )
        return Reply.of(AddressMade(address_id=address_id), 200, _written(request, committed))

    @delete("/addresses/{address_id:uuid}", status_code=204)
    async def remove_address(self, request: Request, address_id: AddressId) -> Reply[None]:
        """Takes an address out of the book."""
        return await _done(request, partial(addresses.remove, request.services.shop, address_id=address_id))

    @get("/payment-methods", opt={"tagged": True})
    async def list_methods(self, request: Request) -> Reply[MethodList]:
        """The saved payment methods."""
        session = await request.customer()
        return tagged(request, MethodList(items=await payment_methods.methods(request.services.shop, session.customer)))

    @post("/payment-methods", status_code=201, opt={"idempotent": True})
    async def add_method(self, request: Request, data: JSONBody[MethodBody]) -> Reply[MethodMade]:
        """Lets the provider keep a payment method for the customer; the first one is the default."""
        session = await request.customer()
        return await once(
            request,
            "accounts",
            actor_of(session),
            lambda made: Answer.of(MethodMade(method_id=made), location="/api/v1/account/payment-methods"),
            lambda keep: payment_methods.save(
                request.services.shop,
                customer_id=session.customer,
                method=data.method,
                cause=request.cause(actor_of(session), ""),
                keep=keep,
            ),
        )

    @put("/payment-methods/{method_id:uuid}/default", status_code=204)
    async def choose_method(self, request: Request, method_id: MethodId) -> Reply[None]:
        """Takes this one unless another is named."""
        return await _done(request, partial(payment_methods.choose, request.services.shop, method_id=method_id))

    @delete("/payment-methods/{method_id:uuid}", status_code=204)
    async def remove_method(self, request: Request, method_id: MethodId) -> Reply[None]:
        """Forgets a payment method."""
        return await _done(request, partial(payment_methods.remove, request.services.shop, method_id=method_id))

    @get("/preferences", opt={"tagged": True})
    async def preferences(self, request: Request) -> Reply[Preferences]:
        """What the customer wants to be told, by channel."""
        session = await request.customer()
        return tagged(request, await _preferences(request, session.customer))

    @put("/preferences")
    async def change_preferences(self, request: Request, data: JSONBody[Preferences]) -> Reply[Preferences]:
        """All of them at once."""
        session = await request.customer()
        shop = request.services.shop
        position = 0
        for channel, topics in (("email", data.email), ("sms", data.sms), ("push", data.push)):
            command = ChangePreferences(
                customer_id=session.customer, channel=channel, topics=tuple(topics), at=shop.clock.now()
            )
            committed = await shop.execute(command, request.cause(actor_of(session), session.customer))
            position = committed.position or position
        if data.views is not UNSET:
            consent = ChangeViewsConsent(customer_id=session.customer, consent=data.views, at=shop.clock.now())
            committed = await shop.execute(consent, request.cause(actor_of(session), session.customer))
            position = committed.position or position
        if data.views is False:
            # Also where it was said before: the first time may have been cut off here.
            await request.services.adviser.forget(cart_id_of(session.customer))
        headers = Headers()
        if position:
            headers.append((b"consistency-token", token_after(request, "accounts", position)))
        return Reply.of(await _preferences(request, session.customer), 200, headers)


async def _preferences(request: Request, customer_id: UUID) -> Preferences:
    customer, _ = await request.services.shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        raise KINDS.not_found()
    known: dict[str, Any] = {channel: list(topics) for channel, topics in customer.preferences.items()}
    return Preferences(**known, views=UNSET if customer.views_consent is None else customer.views_consent)


def _address(data: AddressBody) -> Address:
    return Address(data.name, tuple(data.lines), data.city, data.postcode, data.country, data.region)


class _Change(Protocol):
    async def __call__(self, *, customer_id: UUID, cause: CauseMeta) -> Committed: ...


async def _done(request: Request, change: _Change) -> Reply[None]:
    """Carries out a change of the caller's own that answers nothing."""
    session = await request.customer()
    committed = await change(customer_id=session.customer, cause=request.cause(actor_of(session), ""))
    return Reply(b"", 204, _written(request, committed))


def _written(request: Request, committed: Committed) -> Headers:
    if not committed.position:
        return []
    return [(b"consistency-token", token_after(request, "accounts", committed.position))]
