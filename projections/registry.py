"""All read models of the program."""

from typing import Final

from emporium.projections.accounts import ACCOUNTS
from emporium.projections.catalog_pages import CATALOG_PAGES
from emporium.projections.deliveries import DELIVERIES
from emporium.projections.messages import MESSAGES
from emporium.projections.model import ReadModel
from emporium.projections.order_history import ORDER_HISTORY
from emporium.projections.reviews import REVIEWS
from emporium.projections.saga_monitor import SAGA_MONITOR
from emporium.projections.sales import SALES
from emporium.projections.stock_levels import STOCK_LEVELS

__all__ = ["MODELS"]

MODELS: Final[tuple[ReadModel, ...]] = (
    ORDER_HISTORY,
    CATALOG_PAGES,
    STOCK_LEVELS,
    SAGA_MONITOR,
    ACCOUNTS,
    MESSAGES,
    DELIVERIES,
    REVIEWS,
    SALES,
)
