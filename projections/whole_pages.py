"""Product pages with all that stands on them: ratings, and the products beside; many of them with a few queries."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from emporium.projections import catalog_pages, reviews
from emporium.projections.catalog_pages import Listed, ProductPage
from emporium.projections.model import Connection
from emporium.projections.reviews import Rating

__all__ = ["Asked", "WholePage", "around", "whole_pages"]

Asked = tuple[UUID | str, str]
"""Id or slug, and the currency of what stands beside."""


class WholePage(msgspec.Struct, frozen=True):
    """A page; by id those related products that can be had, and the ratings of all of them that have one."""

    page: ProductPage
    related: Mapping[UUID, Listed]
    rated: Mapping[UUID, Rating]


async def whole_pages(connection: Connection, asked: Sequence[Asked]) -> dict[Asked, WholePage]:
    """The pages of published products."""
    pages = await catalog_pages.product_pages(connection, [wanted for wanted, _ in asked])
    there = {one: pages[one[0]] for one in asked if one[0] in pages}
    made: dict[Asked, WholePage] = {}
    for currency in {currency for _, currency in there}:
        these = {one: page for one, page in there.items() if one[1] == currency}
        for one, whole in zip(these, await around(connection, list(these.values()), currency), strict=True):
            made[one] = whole
    return made


async def around(connection: Connection, pages: Sequence[ProductPage], currency: str) -> list[WholePage]:
    """The pages with what stands on them now, in their order."""
    beside = {related for page in pages for related in page.related}
    listed = await catalog_pages.listed(connection, list(beside), currency) if beside else {}
    rated = await reviews.ratings(connection, list({*listed, *(page.product_id for page in pages)}))
    return [WholePage(page, listed, rated) for page in pages]
