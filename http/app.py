"""The Litestar application: every controller, every refusal as a problem, and the edge around it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Final, TypeVar

import msgspec
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State

from emporium.application.ports import Meta
from emporium.application.shop import Shop
from emporium.application.work import Committed, Work
from emporium.http.account import AccountController
from emporium.http.account_book import BookController
from emporium.http.account_data import DataController
from emporium.http.account_security import SecurityController
from emporium.http.backorders import BackorderController
from emporium.http.cart import CartController
from emporium.http.catalog import CatalogController
from emporium.http.catalog_bulk import BulkController
from emporium.http.categories import CategoryController
from emporium.http.checkout import CheckoutController
from emporium.http.documents import DocumentController, SlipController
from emporium.http.edge import Edge, RequestLog
from emporium.http.health import HealthController
from emporium.http.inventory import InventoryController
from emporium.http.links import LinkController
from emporium.http.metrics import Metrics
from emporium.http.notifications import NotificationController
from emporium.http.order_desk import OrderDeskController
from emporium.http.order_events import OrderEventsController
from emporium.http.orders import OrderController
from emporium.http.pages import Documents, PageController
from emporium.http.payments import PaymentController
from emporium.http.pictures import PictureController
from emporium.http.problems import answer_to
from emporium.http.products import ProductController
from emporium.http.promotions import PromotionController
from emporium.http.recommendations import RecommendationController
from emporium.http.reports import ReportController
from emporium.http.request import Request, refuse_unknown_parameters
from emporium.http.reviews import ReviewController
from emporium.http.search import SearchController
from emporium.http.search_rules import SearchRulesController
from emporium.http.services import Services
from emporium.http.shipments import CarrierController, RefusedController, ShipmentController
from emporium.http.shop_settings import ShopSettingsController
from emporium.http.staff import StaffController
from emporium.http.unsubscribe import UnsubscribeController
from emporium.http.watches import WatchController
from emporium.http.webhooks import WebhookController

__all__ = ["create_app"]

R = TypeVar("R")

_API: Final = (
    Router(
        "/api/v1",
        route_handlers=[
            AccountController,
            SecurityController,
            BookController,
            WatchController,
            DataController,
            StaffController,
            ProductController,
            CatalogController,
            BulkController,
            CategoryController,
            PictureController,
            SearchController,
            ReviewController,
            SearchRulesController,
            RecommendationController,
            ReportController,
            CartController,
            CheckoutController,
            OrderController,
            DocumentController,
            OrderDeskController,
            OrderEventsController,
            PaymentController,
            InventoryController,
            BackorderController,
            ShipmentController,
            RefusedController,
            CarrierController,
            SlipController,
            ShopSettingsController,
            PromotionController,
            NotificationController,
            UnsubscribeController,
            WebhookController,
        ],
    ),
    HealthController,
)


_ASKED: Final = [
    "authorization", "cart-token", "consistency-token", "content-type", "idempotency-key", "if-match",
    "if-none-match", "last-event-id", "order-token", "x-request-id",
]  # fmt: skip
_TOLD: Final = [
    "cart-token", "consistency-token", "content-disposition", "etag", "idempotency-replayed", "location",
    "order-token", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id",
]  # fmt: skip


def create_app(services: Services, *, requests: RequestLog | None = None) -> Edge:
    """The gateway as an ASGI application. Who made the services closes them.

    Args:
        requests: where every request leaves a line; None: nowhere.
    """
    metrics = Metrics()
    measured = msgspec.structs.replace(services, shop=_measured(services.shop, metrics))
    return Edge(_routes(services.cares.origins), measured, metrics, requests)


@cache
def _routes(origins: tuple[str, ...]) -> Litestar:
    """Holds nothing of any shop: what belongs to one comes with each request's scope. To make it takes long."""
    return Litestar(
        route_handlers=[*_API, PageController, LinkController],
        request_class=Request,
        before_request=refuse_unknown_parameters,
        exception_handlers={Exception: answer_to},
        openapi_config=None,
        cors_config=_cors(origins),
        state=State({"documents": Documents(_API)}),
        logging_config=None,
    )


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_ASKED,
        expose_headers=_TOLD,
        max_age=600,
    )


class _MeasuredShop(Shop, frozen=True, kw_only=True):
    """Tells how long commands take."""

    metrics: Metrics

    async def run(self, log: str, cause: Meta, handler: Callable[[Work], Awaitable[R]]) -> tuple[R, Committed]:
        began = time.perf_counter()
        try:
            return await super().run(log, cause, handler)
        finally:
            self.metrics.commit(log, time.perf_counter() - began)


def _measured(shop: Shop, metrics: Metrics) -> Shop:
    fields = {name: getattr(shop, name) for name in shop.__struct_fields__}
    return _MeasuredShop(**fields, metrics=metrics)
