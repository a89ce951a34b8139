"""What can be searched, how it is asked and answered, and the port of the engines that do it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

__all__ = [
    "Answer",
    "Bucket",
    "Document",
    "EngineDown",
    "Facet",
    "Hit",
    "Misfit",
    "MOST_HITS",
    "Price",
    "Query",
    "Rules",
    "Search",
    "SearchEngine",
    "SearchSort",
    "Suggestion",
    "Text",
]

SearchSort = Literal["relevance", "price", "price_desc", "newest", "rating", "popularity"]

MOST_HITS: Final = 1_000
"""How deep pages of an answer go: nobody looks further, and every engine pays for depth."""


class EngineDown(Exception):
    """The engine does not answer; try again later."""


class Misfit(Exception):
    """A document does not fit into the index as it was made: all are wanted anew."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a product's variants cost in a currency, in minor units."""

    lowest: int
    highest: int


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What a product is called and how it is described in another language."""

    title: str
    description: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A published product as engines know it: always whole.

    Attributes:
        categories: the ids of its category and of all above it.
        category_names: their names, from the top down.
        attributes: name → values as text, of the product and its variants, for filters.
        numbers: name → value, for ranges.
        translations: language → what it is called there.
        available: whether a unit of any variant can be had.
        rating: 0 to 5, as it is shown; None without reviews.
        popularity: higher the more units were sold lately, those of a week earlier counting half; comparable at any
            time.
    """

    product_id: UUID
    slug: str
    title: str
    description: str = ""
    brand: str | None = None
    categories: tuple[UUID, ...] = ()
    category_names: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = {}
    numbers: Mapping[str, float] = {}
    prices: Mapping[str, Price] = {}
    translations: Mapping[str, Text] = {}
    available: bool = False
    rating: float | None = None
    reviews: int = 0
    popularity: float = 0.0
    published_at: datetime


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What staff have laid down for a query at this moment.

    Attributes:
        synonyms: groups of words that mean the same.
        pins: products that come first, in this order, where the filters let them.
        boosts: product → factor by which it counts more (above 1) or less.
    """

    synonyms: tuple[tuple[str, ...], ...] = ()
    pins: Sequence[UUID] = ()
    boosts: Mapping[UUID, float] = {}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One search. Values of one filter are alternatives; filters of different names all have to hold.

    Attributes:
        words: as they were typed; empty asks for everything.
        language: in which titles are shown where there is a translation, and whose endings do not matter beside the
            shop's own; None: the shop's own. Words of all translations are found in any case.
        currency: prices are filtered, sorted and counted in it; products without a price in it are not found.
        attributes: name → wanted values.
        ranges: name of a number → least and most (None: open).
        facets: whether facets are counted.
    """

    words: str = ""
    language: str | None = None
    currency: str
    brands: tuple[str, ...] = ()
    category: UUID | None = None
    price_from: int | None = None
    price_to: int | None = None
    attributes: Mapping[str, tuple[str, ...]] = {}
    ranges: Mapping[str, tuple[float | None, float | None]] = {}
    rating_from: float | None = None
    available: bool | None = None
    sort: SearchSort = "relevance"
    offset: int = 0
    limit: int = 24
    facets: bool = True


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A product that was found; `title` has the words that matched between `<mark>` tags, all else escaped."""

    product_id: UUID
    title: str
    score: float


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a facet, and how many products would be found with it (whatever else of the facet is chosen)."""

    value: str
    count: int


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """A filter that would narrow the answer; `name` is `brand`, `category`, `rating`, `available`, `price`,
    `attribute.<name>` or `number.<name>`.

    Of a price and of a number there are two values, the least and the greatest; a rating's are "this and more"."""

    name: str
    buckets: tuple[Bucket, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        total: how many products match.
        meant: the words with the spelling mended, where few or none were found as typed.
        engine: which engine answered.
    """

    hits: tuple[Hit, ...]
    total: int
    facets: tuple[Facet, ...] = ()
    meant: str | None = None
    engine: str


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A completion: of a product (with its slug), a category (with its id) or a past query."""

    kind: Literal["product", "category", "query"]
    text: str
    target: str | None = None


class Search(Protocol):
    """Finds products. All raise EngineDown."""

    async def search(self, query: Query, rules: Rules) -> Answer: ...

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        """Products of which a word begins like the last word typed, and which have the others; the most popular
        first."""
        ...


class SearchEngine(Search, Protocol):
    """An index of all published products. All raise EngineDown."""

    @property
    def name(self) -> str:
        """What the engine is called: `embedded` or `elasticsearch`."""
        ...

    async def identity(self) -> str | None:
        """Names the index that answers; another one after every rebuild. None where there is none that this program
        can use: all documents are wanted anew."""
        ...

    async def index(self, documents: Sequence[Document], gone: Sequence[UUID], version: int) -> Mapping[UUID, str]:
        """Makes the documents searchable and those that are gone unsearchable. Twice the same does no harm, nor does
        what is older than what is there.

        Args:
            version: of all of them; it grows with every change of the documents, within one identity.

        Returns:
            Those that the engine will never take, and why.

        Raises:
            Misfit: the index must be made anew for one of them.
        """
        ...

    async def rest(self) -> None:
        """This process indexes no more for now: another one may."""
        ...

    async def rebuild(self, currencies: Sequence[str]) -> "Rebuild":
        """A new index beside the one that answers, for prices in these currencies."""
        ...


class Rebuild(Protocol):
    """An index in the making. All raise EngineDown."""

    async def add(self, documents: Sequence[Document], version: int) -> Mapping[UUID, str]:
        """As `SearchEngine.index`."""
        ...

    async def finish(self) -> str:
        """From here on it answers, in place of the old one; its identity."""
        ...

    async def abandon(self) -> None: ...
