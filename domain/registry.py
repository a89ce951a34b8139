"""Every aggregate of the program, the schema version of every event, and the upcasters between versions."""

from collections.abc import Callable
from typing import Any, Final

from emporium.domain.api_key import API_KEY
from emporium.domain.backorder import BACKORDERS
from emporium.domain.base import Aggregate, Event
from emporium.domain.cart import CART
from emporium.domain.catalog_import import CATALOG_IMPORT
from emporium.domain.category import CATEGORIES
from emporium.domain.customer import CUSTOMER
from emporium.domain.helpful_vote import HELPFUL_VOTE
from emporium.domain.invitation import INVITATION
from emporium.domain.invoice import NUMBERS
from emporium.domain.notification import NOTIFICATION
from emporium.domain.order import ORDER
from emporium.domain.payment import PAYMENT
from emporium.domain.picture import PICTURE
from emporium.domain.product import PRODUCT
from emporium.domain.promotion import PROMOTIONS
from emporium.domain.quote import QUOTE
from emporium.domain.reservation import RESERVATION
from emporium.domain.review import REVIEW
from emporium.domain.search_rules import SEARCH_RULES
from emporium.domain.shipment import SHIPMENT
from emporium.domain.shop_settings import SHOP_SETTINGS
from emporium.domain.stock import STOCK
from emporium.domain.stock_count import STOCK_COUNT
from emporium.domain.subscription import SUBSCRIPTIONS
from emporium.domain.transfer import TRANSFER
from emporium.domain.warehouse import WAREHOUSES
from emporium.domain.watch import WATCHES
from emporium.domain.webhook import WEBHOOKS
from emporium.domain.webhook_delivery import DELIVERY

LOGS: Final = (
    "catalog",
    "inventory",
    "ordering",
    "payments",
    "shipping",
    "accounts",
    "reviews",
    "notifications",
)
"""The contexts; each has one log."""

AGGREGATES: Final[tuple[Aggregate[Any], ...]] = (
    PRODUCT,
    CATEGORIES,
    PICTURE,
    CATALOG_IMPORT,
    SEARCH_RULES,
    WAREHOUSES,
    STOCK,
    RESERVATION,
    CART,
    ORDER,
    NUMBERS,
    PAYMENT,
    SHIPMENT,
    CUSTOMER,
    SHOP_SETTINGS,
    PROMOTIONS,
    QUOTE,
    NOTIFICATION,
    SUBSCRIPTIONS,
    WEBHOOKS,
    DELIVERY,
    INVITATION,
    API_KEY,
    WATCHES,
    REVIEW,
    HELPFUL_VOTE,
    TRANSFER,
    STOCK_COUNT,
    BACKORDERS,
)

SCHEMAS: Final[dict[type[Event], int]] = {}
"""The current schema version of events that have changed since version 1."""

UPCASTERS: Final[dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""(topic, from version) → the payload one version up; the chain up to SCHEMAS must have no gap."""
