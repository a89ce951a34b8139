"""Lists a page at a time: an opaque cursor, and `next` as a link to follow."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar.params import QueryParameter

from emporium.http.request import Request
from emporium.projections.paging import Page

__all__ = ["Cursor", "Limit", "Listing", "listing"]

T = TypeVar("T")
V = TypeVar("V")

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="The most items of a page.")]
Cursor = Annotated[str | None, QueryParameter(max_length=1000, description="Where to go on: from `next` of a page.")]


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list; `next` is the path of the next page, null on the last one."""

    items: list[T]
    next: str | None


def listing(request: Request, page: Page[V], show: Callable[[V], T]) -> Listing[T]:
    """The page, with the link that has all of this request's parameters but its cursor."""
    link = None
    if page.next is not None:
        parameters: list[tuple[str, Any]] = [
            (name, value) for name, value in request.query_params.multi_items() if name != "cursor"
        ]
        link = f"{request.scope['path']}?{urlencode([*parameters, ('cursor', page.next)])}"
    return Listing([show(item) for item in page.items], link)
