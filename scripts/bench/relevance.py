"""Whether the right products are found, on the titles of a real shop's year, and whether both engines find the same.

A query is two or three random words of a random title. It is good where the title is among the first ten that are
found: as it is, with one typing error, with a word begun only, with the words in another order, with a plural.
"""

import random
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import click
import msgspec

from emporium.application.search import Document, Price, Query, Rules, SearchEngine
from emporium.domain.product import product_id_of
from emporium.infra.search.embedded import EmbeddedSearch
from emporium.infra.search.words import folded
from emporium.infra.settings import Settings
from emporium.scripts.bench.result import Result, at_least
from emporium.scripts.retail.file import read
from emporium.scripts.retail.sorting import sort_out

__all__ = ["MAKERS", "catalogue", "engines", "measured", "results"]

QUERIES: Final = 500
FIRST: Final = 10
SEED: Final = 20_260_130
GOALS: Final = {"clean": 0.9, "typo": 0.8}

Words = list[str]


class Wanted(msgspec.Struct, frozen=True):
    """Words of a title, and whose title."""

    words: Words
    product_id: UUID


def catalogue(file: Path) -> list[Document]:
    """The year's goods as documents; price, stock, age and popularity are made up, but the same each time."""
    if not file.is_file():
        raise click.UsageError(f"There is no {file}: name the year's file with EMPORIUM_BENCH_ONLINE_RETAIL.")
    chance, first = random.Random(SEED), datetime(2025, 1, 1, tzinfo=UTC)
    return [
        Document(
            product_id=product_id_of(code),
            slug=code.lower(),
            title=title,
            skus=(code,),
            prices={"GBP": Price(lowest=(price := chance.randrange(50, 5_000)), highest=price)},
            available=chance.random() < 0.8,
            popularity=float(int(chance.paretovariate(1.1))),
            published_at=first + timedelta(minutes=chance.randrange(500_000)),
        )
        for code, title in sorted(sort_out(read(file)).titles.items())
    ]


@asynccontextmanager
async def engines(settings: Settings, documents: Sequence[Document]) -> AsyncIterator[list[SearchEngine]]:
    """The embedded engine, and Elasticsearch where one is named, each with these documents."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="emporium-bench-", ignore_cleanup_errors=True))
        embedded = EmbeddedSearch(Path(folder))
        stack.push_async_callback(embedded.aclose)
        found: list[SearchEngine] = [embedded]
        if settings.elasticsearch_url is not None:
            from emporium.infra.search.elastic import ElasticSearch

            alias = f"bench-{uuid4().hex}"
            elastic = ElasticSearch(settings.elasticsearch_url, alias, api_key=settings.elasticsearch_api_key)
            stack.push_async_callback(elastic.aclose)
            stack.push_async_callback(elastic.vanish)
            found.append(elastic)
        for engine in found:
            making = await engine.rebuild(["GBP"])
            for start in range(0, len(documents), 500):
                await making.add(documents[start : start + 500], 1)
            await making.finish()
        yield found


# --- the query makers ------------------------------------------------------------------------------


def wanted(documents: Sequence[Document], chance: random.Random) -> Wanted:
    """Two or three random words of a random title, in their order."""
    while True:
        one = chance.choice(documents)
        words = list(dict.fromkeys(word for word in folded(one.title) if len(word) > 1 and word.isalpha()))
        if len(words) >= 2:
            count = min(len(words), chance.choice((2, 3)))
            places = sorted(chance.sample(range(len(words)), count))
            return Wanted([words[place] for place in places], one.product_id)


def clean(words: Words, chance: random.Random) -> Words:
    """As it is."""
    return words


def typo(words: Words, chance: random.Random) -> Words:
    """One letter of one word is wrong, missing, too many or in its neighbour's place; short words are spared."""
    long = [n for n, word in enumerate(words) if len(word) >= 4]
    if not long:
        return words
    n = chance.choice(long)
    word, at = words[n], chance.randrange(1, len(words[n]) - 1)
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
    wrong = chance.choice(
        (
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        )
    )
    return [*words[:n], wrong, *words[n + 1 :]]


def prefix(words: Words, chance: random.Random) -> Words:
    """The last word is not finished."""
    last = words[-1]
    return [*words[:-1], last[: chance.randint(min(3, len(last)), len(last))]]


def order(words: Words, chance: random.Random) -> Words:
    """The words stand in another order."""
    turned = chance.sample(words, len(words))
    return turned if turned != words else words[::-1]


def plural(words: Words, chance: random.Random) -> Words:
    """One of them is many, or one of many."""
    n = chance.randrange(len(words))
    word = words[n]
    if word.endswith("s") and not word.endswith("ss"):
        changed = word[:-1]
    elif word.endswith(("s", "x", "ch", "sh")):
        changed = f"{word}es"
    else:
        changed = f"{word}s"
    return [*words[:n], changed, *words[n + 1 :]]


MAKERS: Final[Mapping[str, Callable[[Words, random.Random], Words]]] = {
    "clean": clean,
    "typo": typo,
    "prefix": prefix,
    "order": order,
    "plural": plural,
}


def fixed(documents: Sequence[Document]) -> list[Query]:
    """The queries on which the engines shall agree, half of them with filters."""
    chance = random.Random(SEED)
    queries = []
    for n in range(QUERIES):
        words = " ".join(wanted(documents, chance).words)
        query = Query(words=words, currency="GBP", limit=FIRST, facets=False)
        if n % 4 == 1:
            query = msgspec.structs.replace(query, available=True)
        elif n % 4 == 3:
            least = chance.randrange(50, 2_000)
            query = msgspec.structs.replace(query, price_from=least, price_to=least + 2_000)
        queries.append(query)
    return queries


# --- the measure -----------------------------------------------------------------------------------


async def results(settings: Settings) -> list[Result]:
    """Parts of queries, 0 to 1: in how many the product was found, by engine and maker; and how alike they answer."""
    documents = catalogue(settings.bench_online_retail)
    async with engines(settings, documents) as both:
        return await measured(both, documents)


async def measured(both: Sequence[SearchEngine], documents: Sequence[Document], queries: int = QUERIES) -> list[Result]:
    """See `results`, of so many queries of each kind."""
    found = []
    for engine in both:
        for name, maker in MAKERS.items():
            hit, rank = await _known_items(engine, documents, maker, queries)
            found.append(at_least(f"{engine.name} {name}", hit, "of queries", GOALS.get(name, 0.0)))
            found.append(at_least(f"{engine.name} {name} MRR", rank, "", 0.0))
    if len(both) > 1:
        alike = [await _overlap(both[0], both[1], query) for query in fixed(documents)[:queries]]
        found.append(at_least("overlap", sum(alike) / len(alike), "of first ten", 0.9))
    return found


async def _known_items(
    engine: SearchEngine, documents: Sequence[Document], maker: Callable[[Words, random.Random], Words], queries: int
) -> tuple[float, float]:
    chance = random.Random(SEED)
    hits, reciprocal = 0, 0.0
    for _ in range(queries):
        one = wanted(documents, chance)
        ids = await _first(engine, Query(words=" ".join(maker(one.words, chance)), currency="GBP", facets=False))
        if one.product_id in ids:
            hits += 1
            reciprocal += 1 / (ids.index(one.product_id) + 1)
    return hits / queries, reciprocal / queries


async def _overlap(one: SearchEngine, other: SearchEngine, query: Query) -> float:
    left, right = await _first(one, query), await _first(other, query)
    return len(set(left) & set(right)) / max(len(left), len(right)) if left or right else 1.0


async def _first(engine: SearchEngine, query: Query) -> list[UUID]:
    answer = await engine.search(msgspec.structs.replace(query, limit=FIRST), Rules())
    return [hit.product_id for hit in answer.hits]
