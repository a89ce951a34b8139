"""/api/v1/recommendations: what else, what again, what was looked at and what is popular, each with its reason."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, put
from litestar.params import FromQuery, PathParameter, QueryParameter

from emporium.application.accounts import remembers_views
from emporium.application.recommend import (
    AGAIN,
    LIKE_BOUGHT,
    LIKE_CART,
    LIKE_VIEWED,
    POPULAR,
    TOGETHER,
    VIEWED,
)
from emporium.domain.cart import CART
from emporium.http.caching import PRIVATE, PUBLIC, tagged
from emporium.http.cart import Owner, owner_of
from emporium.http.consistency import includes
from emporium.http.problems import KINDS
from emporium.http.products import CurrencyParameter, ProductSummary, summary
from emporium.http.reply import ENCODER, Nothing, Reply
from emporium.http.request import Request
from emporium.projections import catalog_pages
from emporium.projections.adviser import Offered
from emporium.projections.catalog_pages import CATALOG_PAGES

__all__ = ["RecommendationController"]

Tongue = Literal["en", "de"]

TEXTS: Final[Mapping[str, Mapping[Tongue, str]]] = {
    AGAIN: {"en": "You bought this before, and many buy it again", "de": "Schon gekauft – viele kaufen es wieder"},
    TOGETHER: {"en": "Often bought together with {title}", "de": "Oft zusammen gekauft mit {title}"},
    LIKE_BOUGHT: {"en": "Because you bought {title}", "de": "Weil Sie {title} gekauft haben"},
    LIKE_VIEWED: {"en": "Because you looked at {title}", "de": "Weil Sie {title} angesehen haben"},
    LIKE_CART: {"en": "Goes with {title}", "de": "Passt zu {title}"},
    POPULAR: {"en": "Popular now", "de": "Gerade beliebt"},
    VIEWED: {"en": "You looked at this lately", "de": "Kürzlich angesehen"},
}
_UNNAMED: Final[Mapping[Tongue, str]] = {"en": "what you chose", "de": "Ihrer Auswahl"}

Few = Annotated[int, QueryParameter(ge=1, le=50, description="The most suggestions.")]
Spoken = Annotated[Tongue, QueryParameter(description="The language of the reasons.")]
ProductName = Annotated[str, PathParameter(max_length=120, description="Id or slug of a product.")]


class Why(msgspec.Struct, frozen=True):
    """Why something is suggested: a code for programs, a text for people."""

    code: str
    text: str


class Recommended(ProductSummary, frozen=True, kw_only=True):
    """A product that can be had, and why it is suggested."""

    reason: Why


class RecommendedItems(msgspec.Struct, frozen=True):
    """Suggestions, the best first."""

    items: Sequence[Recommended]


class RecommendationController(Controller):
    """Suggestions."""

    path = "/recommendations"
    tags = ["recommendations"]

    @get("/products/{product:str}", opt={"tagged": True, "models": (CATALOG_PAGES.name,)})
    async def with_product(
        self,
        request: Request,
        product: ProductName,
        currency: CurrencyParameter = None,
        language: Spoken = "en",
        limit: Few = 10,
    ) -> Reply[RecommendedItems]:
        """What is often bought together with a product."""
        await _fresh(request)
        wanted = await _product_of(request, product)
        found = await request.services.adviser.together([wanted], _money(request, currency), limit)
        return tagged(request, _shown(found, language), cache=PUBLIC)

    @get("/cart", opt={"tagged": True, "cart": True, "models": (CATALOG_PAGES.name,)})
    async def with_cart(
        self, request: Request, currency: CurrencyParameter = None, language: Spoken = "en", limit: Few = 10
    ) -> Reply[RecommendedItems]:
        """What is often bought together with what is in the cart."""
        await _fresh(request)
        skus = await _in_cart(request, await owner_of(request))
        products = await request.services.adviser.products_of(skus)
        found = await request.services.adviser.together(products, _money(request, currency), limit)
        return tagged(request, _shown(found, language), cache=PRIVATE)

    @get("/me", opt={"tagged": True, "cart": True, "models": (CATALOG_PAGES.name, "sales")})
    async def personal(
        self,
        request: Request,
        currency: CurrencyParameter = None,
        language: Spoken = "en",
        limit: Few = 10,
        again: FromQuery[bool] = True,
    ) -> Reply[RecommendedItems]:
        """For the caller: by orders, views and cart. `again=false` leaves out what was bought before."""
        await _fresh(request, "sales")
        owner = await owner_of(request)
        adviser, money, cart = request.services.adviser, _money(request, currency), await _in_cart(request, owner)

        async def make() -> bytes:
            found = await adviser.personal(owner.customer, owner.cart, cart, money, limit, again=again)
            return ENCODER.encode(_shown(found, language))

        key = (owner.customer, owner.cart, tuple(cart), money, language, limit, again)
        return tagged(request, msgspec.Raw(await adviser.same(key, make)), cache=PRIVATE)

    @get("/popular", opt={"tagged": True, "models": (CATALOG_PAGES.name,)})
    async def popular(
        self, request: Request, currency: CurrencyParameter = None, language: Spoken = "en", limit: Few = 10
    ) -> Reply[RecommendedItems]:
        """What sells best now."""
        await _fresh(request)
        found = await request.services.adviser.popular(_money(request, currency), limit)
        return tagged(request, _shown(found, language), cache=PUBLIC)

    @get("/viewed", opt={"tagged": True, "cart": True, "models": (CATALOG_PAGES.name,)})
    async def viewed(
        self, request: Request, currency: CurrencyParameter = None, language: Spoken = "en", limit: Few = 10
    ) -> Reply[RecommendedItems]:
        """What the caller looked at lately and can be had, the last first."""
        await _fresh(request)
        owner = await owner_of(request)
        found = await request.services.adviser.viewed(owner.customer, owner.cart, _money(request, currency), limit)
        return tagged(request, _shown(found, language), cache=PRIVATE)

    @put("/viewed/{product:str}", opt={"cart": True}, status_code=200)
    async def view(self, request: Request, product: ProductName) -> Reply[Nothing]:
        """Tells that the caller looks at a product: the only way a view is known. It is kept for 30 days, and not at
        all where the caller has refused it, where the shop needs a consent that the caller has not given (as somebody
        without an account cannot), and of an anonymous caller without a cart."""
        owner = await owner_of(request)
        wanted = await _product_of(request, product)
        if owner.cart is not None and await remembers_views(request.services.shop, owner.customer):
            request.services.adviser.saw(owner.cart, wanted)
        return Reply.of(Nothing())

    @delete("/viewed", opt={"cart": True}, status_code=200)
    async def forget(self, request: Request) -> Reply[Nothing]:
        """Forgets what the caller looked at."""
        owner = await owner_of(request)
        if owner.cart is not None:
            await request.services.adviser.forget(owner.cart)
        return Reply.of(Nothing())


async def _fresh(request: Request, *models: str) -> None:
    """What a token asks for is in the answer; without one it may be a moment behind."""
    await includes(request, CATALOG_PAGES.name, *models)
    if request.header(b"consistency-token") is not None:
        await request.services.adviser.refresh()


def _money(request: Request, currency: str | None) -> str:
    return currency or request.services.shop.currency


async def _in_cart(request: Request, owner: Owner) -> list[str]:
    if owner.cart is None:
        return []
    state, _ = await request.services.shop.logs["ordering"].load(CART, owner.cart)
    return [] if state is None else list(state.items)


async def _product_of(request: Request, text: str) -> UUID:
    try:
        wanted: UUID | str = UUID(text)
    except ValueError:
        wanted = text
    page = await request.services.reads.run(lambda connection: catalog_pages.product_page(connection, wanted))
    if page is None:
        raise KINDS.not_found("There is no such product.")
    return page.product_id


def _shown(found: Sequence[Offered], language: Tongue) -> RecommendedItems:
    return RecommendedItems(
        [
            Recommended(
                **msgspec.structs.asdict(summary(one.row)),
                reason=Why(
                    one.suggested.reason,
                    TEXTS[one.suggested.reason][language].format(title=one.because or _UNNAMED[language]),
                ),
            )
            for one in found
        ]
    )
