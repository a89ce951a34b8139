"""Search without a server: a tantivy index in the data folder, written by one worker and read by every gateway."""

import asyncio
import difflib
import hashlib
import itertools
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import msgspec
import tantivy
from tantivy import FieldType, Occur
from tantivy import Query as Condition

from emporium.application.search import Answer, Document, EngineDown, Hit, Misfit, Query, Rules, Suggestion
from emporium.infra.search import plan
from emporium.infra.search.facets import (
    ATTRIBUTE,
    MOST_BUCKETS,
    MOST_NUMBERS,
    NUMBER,
    PLAIN,
    RATINGS,
    Counts,
    attribute_key,
    facets,
    tie_of,
)
from emporium.infra.search.words import MOST_WORDS, analyzer, folded, highlighter, spoken, stems, typos

__all__ = ["LAYOUT", "EmbeddedSearch"]

T = TypeVar("T")

LAYOUT: Final = 4
"""Raised with every change of the fields: an index of another layout is made anew."""

_HEAP: Final = 32_000_000
_THREADS: Final = 2
_TOGETHER: Final = 8
_FEW: Final = 256
"""So many products are counted and filtered by us, in less time than the library needs for its aggregations."""

_FACTS: Final = 12_000
_ANSWERS: Final = 1_000
"""The most products, and answers, that are kept in memory."""

_TINIEST, _GREATEST = 1e-15, 1e15

_MENDED: Final = 10_000
"""The most words of which is known what they mean, or how they are asked for."""

_MARGIN: Final = 16
_FARTHEST: Final = 500
"""Hits beyond a page that are looked at for such as are like its last one."""


class EmbeddedSearch:
    """See `emporium.application.search.SearchEngine`. Every method's work is done in a thread of its own pool.

    Args:
        folder: where indexes lie, each in a folder of its own; `current` points at the one that answers.
    """

    name: Final = "embedded"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current_link = str(folder / "current")
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")
        self._index: _Index | None = None
        self._writer: tuple[_Index, Any] | None = None
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def identity(self) -> str | None:
        """See the port."""
        index = await self.run(self._current)
        return None if index is None else index.identity

    async def index(self, documents: Sequence[Document], gone: Sequence[UUID], version: int) -> Mapping[UUID, str]:
        """See the port. Only the leader writes, in order: the version is not looked at."""
        return await self.run(self._write, documents, gone)

    async def rest(self) -> None:
        """See the port."""
        await self.run(self._let_go)

    async def rebuild(self, currencies: Sequence[str]) -> "_Rebuild":
        """See the port."""
        return await self.run(_Rebuild, self, self._folder, tuple(currencies))

    async def search(self, query: Query, rules: Rules) -> Answer:
        """See the port."""
        return await self._answered(partial(self._search, query, rules))

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        """See the port."""
        return await self._answered(partial(self._suggest, typed, currency, limit))

    async def _answered(self, work: Callable[[], T]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        return await answer

    async def _answer(self) -> None:
        """Answers whoever waits, several at a time: each way into a thread and back costs like a third of a search."""
        while self._waiting:
            some, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            answers: list[Any]
            try:
                answers = await self.run(self._each, [work for work, _ in some])
            except (EngineDown, RuntimeError) as error:
                # The second: the threads have ended.
                answers = [error if isinstance(error, EngineDown) else EngineDown(str(error))] * len(some)
            for (_, future), answer in zip(some, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _each(self, asked: Sequence[Callable[[], Any]]) -> list[Any]:
        answers: list[Any] = []
        for work in asked:
            try:
                answers.append(self._steady(work))
            except Exception as error:
                answers.append(error)
        return answers

    async def aclose(self) -> None:
        """Ends the threads; what was committed stays."""
        await asyncio.to_thread(self._pool.shutdown)

    async def run(self, work: Callable[..., T], *values: object) -> T:
        """Does `work` in a thread. Raises EngineDown."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(_sound, work, *values))

    def _steady(self, work: Callable[..., T], *values: object) -> T:
        """What `work` finds; once more where another index has taken the place of the one that it looked at."""
        before = self._name()
        try:
            return _sound(work, *values)
        except EngineDown:
            if self._name() == before:
                raise
            return _sound(work, *values)

    def _name(self) -> str | None:
        try:
            return os.readlink(self._current_link)
        except OSError:
            return None

    def _current(self) -> "_Index | None":
        name = self._name()
        if name is None:
            return None
        if self._index is None or self._index.identity != name:
            opened = _Index.open(self._folder / name)
            if opened is None:
                return None
            self._index = opened
        return self._index

    def _let_go(self) -> None:
        # The writer's lock on the folder goes with it.
        self._writer = None

    def _write(self, documents: Sequence[Document], gone: Sequence[UUID]) -> dict[UUID, str]:
        index = self._current()
        if index is None:
            raise EngineDown("there is no index yet")
        if any(not document.prices.keys() <= set(index.currencies) for document in documents):
            raise Misfit("a document has prices in a new currency")
        if self._writer is None:
            self._writer = index, index.writer()
        elif self._writer[0] is not index:
            # What is to be written was read before: the one that answers now may have something newer.
            self._writer = None
            raise EngineDown("another index has taken the place of this one")
        writer = self._writer[1]
        made, refused = index.documents(documents)
        for product_id in (*gone, *made):
            writer.delete_documents_by_term("product_id", str(product_id))
        for document in made.values():
            writer.add_document(document)
        writer.commit()
        return refused

    def _search(self, query: Query, rules: Rules) -> Answer:
        index = self._current()
        if index is None:
            raise EngineDown("there is no index yet")
        view, key = index.view(), msgspec.json.encode((query, rules))
        answer = view.answers.get(key)
        if answer is None:
            answer = _Asked(index, view, query, rules).answer()
            if len(view.answers) < _ANSWERS:
                view.answers[key] = answer
        return answer

    def _suggest(self, typed: str, currency: str, limit: int) -> list[Suggestion]:
        index = self._current()
        words = folded(typed)[-MOST_WORDS:]
        if index is None or not words or currency not in index.currencies:
            return []
        view, key = index.view(), (" ".join(words), currency, limit)
        known = view.completed.get(key)
        if known is None:
            known = self._complete(index, view.searcher, words, currency, limit)
            if len(view.completed) < _ANSWERS:
                view.completed[key] = known
        return known

    def _complete(
        self, index: "_Index", searcher: tantivy.Searcher, words: Sequence[str], currency: str, limit: int
    ) -> list[Suggestion]:
        schema = index.schema
        wanted = [(Occur.Must, Condition.term_query(schema, "title_words", word)) for word in words[:-1]]
        wanted.append((Occur.Must, Condition.fuzzy_term_query(schema, "title_words", words[-1], 0, prefix=True)))
        wanted.append((Occur.Must, _priced(schema, currency)))
        found = searcher.search(Condition.boolean_query(wanted), limit, count=False, order_by_field="popularity")
        shown = (searcher.doc(address) for _, address in found.hits)
        return [
            Suggestion(kind="product", text=str(doc.get_first("title")), target=str(doc.get_first("slug")))
            for doc in shown
        ]

    def adopt(self, name: str) -> None:
        """Lets another index answer, and throws the others away."""
        fresh = self._folder / f"current.{uuid4().hex}"
        os.symlink(name, fresh)
        os.replace(fresh, self._folder / "current")
        self._writer = None
        for other in self._folder.iterdir():
            if other.is_dir() and not other.is_symlink() and other.name != name:
                shutil.rmtree(other, ignore_errors=True)


def _sound(work: Callable[..., T], *values: object) -> T:
    """What `work` returns. Raises EngineDown where the index cannot be used; a panic of the library is no Exception."""
    try:
        return work(*values)
    except (OSError, ValueError) as error:
        raise _unusable(error) from error
    except Exception:
        raise
    except BaseException as panic:
        raise _unusable(panic) from panic


def _unusable(error: BaseException) -> EngineDown:
    return EngineDown(f"the index in the data folder cannot be used: {error}")


class _Rebuild:
    """See `emporium.application.search.Rebuild`."""

    def __init__(self, engine: EmbeddedSearch, folder: Path, currencies: tuple[str, ...]) -> None:
        self._engine = engine
        self._path = folder / uuid4().hex
        self._path.mkdir(parents=True)
        self._index = _Index.make(self._path, currencies)
        self._writer = self._index.writer()

    async def add(self, documents: Sequence[Document], version: int) -> Mapping[UUID, str]:
        """See the port."""
        return await self._engine.run(self._add, documents)

    async def finish(self) -> str:
        """See the port."""
        await self._engine.run(self._finish)
        return self._path.name

    async def abandon(self) -> None:
        """See the port."""
        await self._engine.run(shutil.rmtree, self._path)

    def _add(self, documents: Sequence[Document]) -> dict[UUID, str]:
        if any(not document.prices.keys() <= set(self._index.currencies) for document in documents):
            raise Misfit("a document has prices in a new currency")
        made, refused = self._index.documents(documents)
        for document in made.values():
            self._writer.add_document(document)
        return refused

    def _finish(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._engine.adopt(self._path.name)


class _View:
    """One commit of an index."""

    def __init__(self, seen: int, searcher: tantivy.Searcher) -> None:
        self.seen = seen
        self.searcher = searcher
        self.answers: dict[bytes, Answer] = {}
        self.mended: dict[str, str] = {}
        self.completed: dict[tuple[str, str, int], list[Suggestion]] = {}


class _Index:
    """One index on disk."""

    def __init__(self, path: Path, index: tantivy.Index, currencies: tuple[str, ...]) -> None:
        self.identity = path.name
        self.currencies = currencies
        self.schema = index.schema
        self.facts: dict[Any, _Facts] = {}
        self.conditions: dict[plan.Node, Condition] = {}
        self._meta = path / "meta.json"
        self._view: _View | None = None
        self._index = index
        for name, stemmed in (("words", False), ("stems", True)):
            index.register_tokenizer(name, analyzer(stemmed=stemmed))
        index.config_reader("manual")

    @classmethod
    def open(cls, path: Path) -> "_Index | None":
        """The index of a folder; None where it is of another layout."""
        try:
            made = json.loads((path / "emporium.json").read_bytes())
        except OSError:
            return None
        if made["layout"] != LAYOUT:
            return None
        return cls(path, tantivy.Index.open(str(path)), tuple(made["currencies"]))

    @classmethod
    def make(cls, path: Path, currencies: tuple[str, ...]) -> "_Index":
        """An empty one."""
        index = tantivy.Index(_schema(currencies), path=str(path))
        (path / "emporium.json").write_text(json.dumps({"layout": LAYOUT, "currencies": currencies}))
        return cls(path, index, currencies)

    def writer(self) -> Any:
        """There is one at a time."""
        return self._index.writer(heap_size=_HEAP, num_threads=1)

    def view(self) -> "_View":
        """The last commit, of whichever process, and what was answered on it."""
        seen = os.stat(self._meta).st_mtime_ns
        if self._view is None or seen != self._view.seen:
            self._index.reload()
            self._view = _View(seen, self._index.searcher())
        return self._view

    def parse(self, text: str) -> Condition:
        """A condition in tantivy's own language, for what has no other form."""
        return self._index.parse_query(text, ["title"])

    def documents(self, these: Sequence[Document]) -> tuple[dict[UUID, tantivy.Document], dict[UUID, str]]:
        """Those that the index can hold; of the others, why not: one that is odd must not keep all from being found."""
        made, refused = {}, {}
        for one in these:
            try:
                made[one.product_id] = self.document(one)
            except (ValueError, TypeError, OverflowError) as error:
                refused[one.product_id] = f"{type(error).__name__}: {error}"
        return made, refused

    def document(self, one: Document) -> tantivy.Document:
        """The document in the index's fields."""
        names = [*one.category_names, *([one.brand] if one.brand else [])]
        values = [value for several in one.attributes.values() for value in several]
        elsewhere = one.translations.items()
        titles = [text.title for _, text in elsewhere]
        fields: dict[str, Any] = {
            "product_id": str(one.product_id),
            "slug": one.slug,
            "title": [one.title, *(spoken(text.title, language) for language, text in elsewhere)],
            "title_words": [one.title, *titles],
            "names": " / ".join([*names, *values]),
            "text": [one.description, *(spoken(text.description, language) for language, text in elsewhere)],
            "all_words": " / ".join([one.title, *titles, *names, *values]),
            "sku": [sku.casefold() for sku in one.skus],
            "category": [str(category) for category in one.categories],
            "attribute": [attribute_key(name, value) for name, several in one.attributes.items() for value in several],
            "numbers": {_number_key(name): value for name, value in one.numbers.items()},
            "available": one.available,
            "popularity": one.popularity,
            "rating": one.rating if one.rating is not None else -1.0,
            "published": int(one.published_at.timestamp() * 1e6),
            "tie": tie_of(one.product_id),
        }
        facts = _Facts(
            product_id=one.product_id,
            title=one.title,
            titles={language: text.title for language, text in elsewhere},
            tie=tie_of(one.product_id),
            popularity=one.popularity,
            brand=one.brand,
            categories=tuple(fields["category"]),
            attributes=tuple(fields["attribute"]),
            numbers=dict(one.numbers),
            prices={currency: price.lowest for currency, price in one.prices.items()},
            available=one.available,
            rating=fields["rating"],
        )
        encoded = msgspec.msgpack.encode(facts)
        fields["facts"] = encoded
        fields["stamp"] = int.from_bytes(hashlib.blake2b(encoded, digest_size=7).digest(), "big")
        if one.brand is not None:
            fields["brand"] = one.brand
        for currency, price in one.prices.items():
            fields[f"price_{currency}"] = price.lowest
        return tantivy.Document.from_dict(fields, self.schema)


def _schema(currencies: Sequence[str]) -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("product_id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("slug", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("title", stored=True, tokenizer_name="stems")
    builder.add_text_field("title_words", tokenizer_name="words")
    builder.add_text_field("names", tokenizer_name="stems")
    builder.add_text_field("text", tokenizer_name="stems")
    builder.add_text_field("all_words", tokenizer_name="words", index_option="freq")
    builder.add_text_field("sku", tokenizer_name="raw", index_option="basic")
    for name in ("brand", "category", "attribute"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_json_field("numbers", fast=True)
    builder.add_boolean_field("available", indexed=True, fast=True)
    builder.add_float_field("popularity", fast=True)
    builder.add_float_field("rating", indexed=True, fast=True)
    builder.add_integer_field("published", fast=True)
    builder.add_integer_field("tie", fast=True)
    builder.add_bytes_field("facts", stored=True)
    builder.add_integer_field("stamp", fast=True)
    for currency in currencies:
        builder.add_integer_field(f"price_{currency}", indexed=True, fast=True)
    return builder.build()


def _priced(schema: tantivy.Schema, currency: str, least: int | None = None, most: int | None = None) -> Condition:
    condition = Condition.range_query(
        schema, f"price_{currency}", FieldType.Integer, 0 if least is None else least, most
    )
    return Condition.const_score_query(condition, 0.0)


def _all(conditions: Sequence[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return Condition.boolean_query([(Occur.Must, one) for one in conditions])


def _any(conditions: Sequence[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return Condition.boolean_query([(Occur.Should, one) for one in conditions])


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All of a product that answers need, as it is kept in memory; the fields as in the index."""

    product_id: UUID
    title: str
    titles: dict[str, str]
    tie: int
    popularity: float
    brand: str | None
    categories: tuple[str, ...]
    attributes: tuple[str, ...]
    numbers: dict[str, float]
    prices: dict[str, int]
    available: bool
    rating: float


_DECODER: Final = msgspec.msgpack.Decoder(_Facts)


class _Asked:
    """One search of one index."""

    def __init__(self, index: _Index, view: _View, query: Query, rules: Rules) -> None:
        self._index = index
        self._view = view
        self._query = query
        self._rules = rules
        self._schema = index.schema
        self._words = folded(query.words)[:MOST_WORDS]
        self._searcher = view.searcher

    def answer(self) -> Answer:
        """Finds, counts, mends."""
        query = self._query
        if query.currency not in self._index.currencies:
            return Answer(hits=(), total=0, engine=EmbeddedSearch.name)
        for care in plan.cares(self._words):
            hits, total, counts, there = self._found(care)
            if there:
                break
        mark = highlighter(plan.asked_for(query, self._rules), near=care.near)
        return Answer(
            hits=tuple(
                Hit(product_id=one.product_id, title=mark(self._title(one)), score=score) for score, one in hits
            ),
            total=total,
            facets=facets(counts()) if query.facets else (),
            meant=self._meant(),
            engine=EmbeddedSearch.name,
        )

    def _title(self, one: _Facts) -> str:
        return one.title if self._query.language is None else one.titles.get(self._query.language, one.title)

    def _found(self, care: plan.Care) -> tuple[list[tuple[float, _Facts]], int, Callable[[], Counts], bool]:
        """The page's hits, how many there are, how to count them, and whether the words find anything at all."""
        matching = self._said(plan.wanted(self._query, self._rules, care))
        price = _priced(self._schema, self._query.currency)
        if self._words:
            few = self._few(_all([self._ranked(matching), price]))
            if few is not None:
                tests = self._tests()
                hits = [one for one in few if all(test(one[1]) for test in tests.values())] if tests else few
                start = self._query.offset
                page = self._told_apart(hits)[start : start + self._query.limit]
                found, kept = [one for _, one in few], [one for _, one in hits]
                return page, len(hits), lambda: self._counts_of(found, kept, tests), bool(few)
        filters = self._filters()
        page, total = self._find(_all([self._ranked(matching), *filters.values()]))
        any_: Any = None if total else self._searcher.search(_all([matching, price]), 1)
        there = bool(total or any_.count)
        return page, total, lambda: self._counts(self._or_pinned(matching), filters), there

    def _few(self, condition: Condition) -> list[tuple[float, _Facts]] | None:
        """All that is found, whatever is filtered, by relevance or what else is wished; None where it is too much."""
        field, order = self._order()
        found: Any = self._searcher.search(condition, _FEW, count=True, order_by_field=field, order=order)
        return None if found.count > _FEW else self._facts(found.hits)

    def _facts(self, hits: Sequence[tuple[Any, tantivy.DocAddress]]) -> list[tuple[float, _Facts]]:
        known, searcher = self._index.facts, self._searcher
        stamps = searcher.fast_field_values("stamp", [address for _, address in hits])
        found = []
        for (value, address), stamp in zip(hits, stamps, strict=True):
            facts = known.get(stamp)
            if facts is None:
                stored: Any = searcher.doc(address).get_first("facts")
                facts = _DECODER.decode(bytes(stored))
                if len(known) >= _FACTS:
                    known.clear()
                known[stamp] = facts
            found.append((float(value or 0.0), facts))
        return found

    def _order(self) -> tuple[str | None, tantivy.Order]:
        query = self._query
        field, order = {
            "relevance": (None, tantivy.Order.Desc),
            "price": (f"price_{query.currency}", tantivy.Order.Asc),
            "price_desc": (f"price_{query.currency}", tantivy.Order.Desc),
            "newest": ("published", tantivy.Order.Desc),
            "rating": ("rating", tantivy.Order.Desc),
            "popularity": ("popularity", tantivy.Order.Desc),
        }[query.sort]
        if field is None and not self._words and not self._rules.pins:
            field = "popularity"
        return field, order

    def _find(self, condition: Condition) -> tuple[list[tuple[float, _Facts]], int]:
        """The page's hits and how many there are. What is alike is in the order of `popularity` and `tie`."""
        query = self._query
        field, order = self._order()
        end = query.offset + query.limit
        reach = end + _MARGIN
        while True:
            found: Any = self._searcher.search(condition, reach, count=True, order_by_field=field, order=order)
            hits: list[tuple[Any, tantivy.DocAddress]] = found.hits
            # As long as the page's last is like the last that was looked at, another one may belong before it.
            if len(hits) < reach or hits[end - 1][0] != hits[-1][0] or reach > end + _FARTHEST:
                break
            reach = end + _FARTHEST + 1
        # What stands before the page's first and is not like it can be no part of it.
        start = query.offset
        while 0 < start <= len(hits) and start < len(hits) and hits[start - 1][0] == hits[start][0]:
            start -= 1
        ordered = self._told_apart(self._facts(hits[start:]))
        return ordered[query.offset - start : end - start], int(found.count)

    def _told_apart(self, hits: list[tuple[float, _Facts]]) -> list[tuple[float, _Facts]]:
        sign = 1 if self._order()[1] is tantivy.Order.Asc else -1
        return sorted(hits, key=lambda one: (sign * one[0], -one[1].popularity, one[1].tie))

    # --- filters and counts, of few ----------------------------------------------------------------

    def _tests(self) -> dict[str, Callable[[_Facts], bool]]:
        """Facet → whether a product has what is chosen of it."""
        query = self._query
        tests: dict[str, Callable[[_Facts], bool]] = {}
        if query.price_from is not None or query.price_to is not None:
            least, most = query.price_from or 0, query.price_to
            tests["price"] = lambda one: (
                least <= one.prices[query.currency] and (most is None or one.prices[query.currency] <= most)
            )
        if query.brands:
            tests["brand"] = lambda one: one.brand in query.brands
        if query.category is not None:
            category = str(query.category)
            tests["category"] = lambda one: category in one.categories
        for name, values in query.attributes.items():
            keys = {attribute_key(name, value) for value in values}
            tests[f"{ATTRIBUTE}{name}"] = lambda one, keys=keys: not keys.isdisjoint(one.attributes)  # type: ignore[misc]
        for name, (low, high) in query.ranges.items():
            ends = -math.inf if low is None else low, math.inf if high is None else high
            tests[f"{NUMBER}{name}"] = lambda one, name=name, ends=ends: (  # type: ignore[misc]
                name in one.numbers and ends[0] <= one.numbers[name] <= ends[1]
            )
        if query.rating_from is not None:
            rating = query.rating_from
            tests["rating"] = lambda one: one.rating >= rating
        if query.available is not None:
            tests["available"] = lambda one: one.available is query.available
        return tests

    def _counts_of(
        self, found: Sequence[_Facts], kept: Sequence[_Facts], tests: Mapping[str, Callable[[_Facts], bool]]
    ) -> Counts:
        """As `_counts`, of products that are all at hand: those that were found, and those that all tests let pass."""
        counts = Counts()
        of = {}
        for name in tests:
            others = [test for other, test in tests.items() if other != name]
            of[name] = [one for one in found if all(test(one) for test in others)] if others else found
        counts.values["brand"] = Counter(one.brand for one in of.get("brand", kept) if one.brand is not None)
        counts.values["category"] = Counter(itertools.chain(*(one.categories for one in of.get("category", kept))))
        ratings = [one.rating for one in of.get("rating", kept)]
        counts.values["rating"] = {str(least): sum(rating >= least for rating in ratings) for least in RATINGS}
        available = of.get("available", kept)
        there = sum(one.available for one in available)
        counts.values["available"] = {"true": there, "false": len(available) - there}
        prices = [one.prices[self._query.currency] for one in of.get("price", kept)]
        counts.price = (len(prices), min(prices), max(prices)) if prices else None
        for key, number in Counter(itertools.chain(*(one.attributes for one in kept))).items():
            name, _, value = key.partition("=")
            if f"{ATTRIBUTE}{name}" not in of:
                counts.attributes.setdefault(name, {})[value] = number
        for one in kept:
            for name, measure in one.numbers.items():
                if f"{NUMBER}{name}" not in of:
                    counts.numbers[name] = _wider(counts.numbers.get(name), measure)
        for label, these in of.items():
            if label.startswith(NUMBER):
                own = label.removeprefix(NUMBER)
                for one in these:
                    if own in one.numbers:
                        counts.numbers[own] = _wider(counts.numbers.get(own), one.numbers[own])
            if label.startswith(ATTRIBUTE):
                own = label.removeprefix(ATTRIBUTE)
                begin = f"{own}="
                values = Counter(key for one in these for key in one.attributes if key.startswith(begin))
                counts.attributes[own] = {key.removeprefix(begin): number for key, number in values.items()}
        return counts

    # --- words -------------------------------------------------------------------------------------

    def _said(self, node: plan.Node) -> Condition:
        """A part of the plan in tantivy's language; that of single words is kept, for they come again and again."""
        if type(node) is plan.Best and type(node.ways[0]) is plan.Term:
            known = self._index.conditions
            said = known.get(node)
            if said is None:
                if len(known) >= _MENDED:
                    known.clear()
                said = known[node] = self._say(node)
            return said
        return self._say(node)

    def _say(self, node: plan.Node) -> Condition:
        schema = self._schema
        match node:
            case plan.Term(field, word, weight):
                return Condition.boost_query(Condition.term_query(schema, field, word), weight)
            case plan.Near(word, letters, weight):
                return Condition.boost_query(Condition.fuzzy_term_query(schema, "all_words", word, letters), weight)
            case plan.Begin(word, weight):
                begin = Condition.fuzzy_term_query(schema, "all_words", word, 0, prefix=True)
                return Condition.const_score_query(begin, weight)
            case plan.Sku(sku, weight):
                return Condition.const_score_query(Condition.term_query(schema, "sku", sku), weight)
            case plan.Best(ways, tie):
                return Condition.disjunction_max_query([self._said(one) for one in ways], tie)
            case plan.Every(parts, weight):
                return Condition.boost_query(_all([self._said(one) for one in parts]), weight)
            case plan.Some(parts, least):
                if least == len(parts):
                    # The same, found without a look at whatever has one of them only.
                    return _all([self._said(one) for one in parts])
                return Condition.boolean_query([(Occur.Should, self._said(one)) for one in parts], least)
            case plan.Everything():
                return Condition.const_score_query(Condition.all_query(), 1.0)

    def _ranked(self, matching: Condition) -> Condition:
        """What is found, counted as staff wish."""
        boosts, pins = self._rules.boosts, self._rules.pins
        if boosts:
            ours = Condition.term_set_query(self._schema, "product_id", [str(one) for one in boosts])
            parts = [Condition.boolean_query([(Occur.Must, matching), (Occur.MustNot, ours)])]
            for product_id, factor in boosts.items():
                parts.append(Condition.boost_query(_all([matching, self._only(product_id)]), factor))
            matching = _any(parts)
        if not pins or self._query.sort != "relevance":
            return self._or_pinned(matching)
        first = [
            Condition.const_score_query(self._only(product_id), plan.PIN - rank) for rank, product_id in enumerate(pins)
        ]
        return Condition.disjunction_max_query([matching, *first])

    def _or_pinned(self, matching: Condition) -> Condition:
        return _any([matching, *(self._only(product_id) for product_id in self._rules.pins)])

    def _only(self, product_id: UUID) -> Condition:
        term = Condition.term_query(self._schema, "product_id", str(product_id))
        return Condition.const_score_query(term, 0.0)

    def _meant(self) -> str | None:
        """The words with those mended that no product has; None where there is nothing to mend."""
        mended = [self._mended(word) for word in self._words]
        return " ".join(mended) if mended != self._words else None

    def _mended(self, word: str) -> str:
        known = self._view.mended
        meant = known.get(word)
        if meant is None:
            if len(known) >= _MENDED:
                known.clear()
            meant = known[word] = self._mend(word)
        return meant

    def _mend(self, word: str) -> str:
        searcher = self._searcher
        if not typos(word) or searcher.terms_with_prefix("all_words", word, limit=1):
            return word
        if any(searcher.doc_freq(field, stem) for stem in stems(word) for field in ("title", "names", "text")):
            return word
        known = searcher.terms_with_prefix("all_words", word[:1], limit=20_000)
        near = set(difflib.get_close_matches(word, [one for one, _ in known], n=5, cutoff=0.7))
        return plan.closest(word, [one for one in known if one[0] in near])

    # --- filters and counts, of many ------------------------------------------------------------------------

    def _filters(self) -> dict[str, Condition]:
        """Facet → what is chosen of it."""
        query, schema = self._query, self._schema
        chosen = {"price": _priced(schema, query.currency, query.price_from, query.price_to)}
        if query.brands:
            chosen["brand"] = Condition.term_set_query(schema, "brand", list(query.brands))
        if query.category is not None:
            chosen["category"] = Condition.term_query(schema, "category", str(query.category))
        for name, values in query.attributes.items():
            wanted = [attribute_key(name, value) for value in values]
            chosen[f"{ATTRIBUTE}{name}"] = Condition.term_set_query(schema, "attribute", wanted)
        for name, (least, most) in query.ranges.items():
            # Not `*`: of two open ends the library makes nothing.
            ends = -_GREATEST if least is None else least, _GREATEST if most is None else most
            between = f"[{_bound(ends[0])} TO {_bound(ends[1])}]"
            chosen[f"{NUMBER}{name}"] = self._index.parse(f"numbers.{_number_key(name)}:{between}")
        if query.rating_from is not None:
            chosen["rating"] = Condition.range_query(schema, "rating", FieldType.Float, float(query.rating_from), None)
        if query.available is not None:
            chosen["available"] = Condition.term_query(schema, "available", query.available)
        return {name: Condition.const_score_query(condition, 0.0) for name, condition in chosen.items()}

    def _counts(self, matching: Condition, filters: Mapping[str, Condition]) -> Counts:
        """Every facet, counted without what is chosen of itself, so that more of it can be chosen."""
        counts = Counts()

        def count(names: Sequence[str], without: str | None) -> dict[str, Any]:
            return count_of({name: self._counting(name) for name in names}, without)

        def count_of(what: Mapping[str, Any], without: str | None) -> dict[str, Any]:
            if not what:
                return {}
            wanted = [condition for name, condition in filters.items() if name != without]
            if without == "price":
                wanted.append(_priced(self._schema, self._query.currency))
            return self._searcher.aggregate(_all([matching, *wanted]), dict(what))

        counted = count([*(name for name in PLAIN if name not in filters), "attribute"], None)
        for key, number in _rows(counted.pop("attribute")).items():
            attribute, _, value = key.partition("=")
            counts.attributes.setdefault(attribute, {})[value] = number
        for name in filters:
            if name in PLAIN:
                counted |= count([name], name)
            elif name.startswith(ATTRIBUTE):
                own = name.removeprefix(ATTRIBUTE)
                rows = _rows(count(["attribute"], name)["attribute"])
                parted = {key.partition("=")[::2]: number for key, number in rows.items()}
                counts.attributes[own] = {value: number for (of, value), number in parted.items() if of == own}
        # What has only numbers for values may be one: the index does not say.
        told = [name for name, values in counts.attributes.items() if all(map(_is_number, values))][:MOST_NUMBERS]
        free = [name for name in told if f"{NUMBER}{name}" not in filters]
        for names, without in [(free, None), *(([name], f"{NUMBER}{name}") for name in self._query.ranges)]:
            ends = {name: {"stats": {"field": f"numbers.{_number_key(name)}"}} for name in names}
            for name, stats in count_of(ends, without).items():
                counts.numbers[name] = int(stats["count"]), float(stats["min"] or 0), float(stats["max"] or 0)
        price = counted.pop("price")
        counts.price = int(price["count"]), int(price["min"] or 0), int(price["max"] or 0)
        # "4 and more", "3 and more" …: who is in one is in all below it.
        rated = _rows(counted.pop("rating"))
        counts.values["rating"] = {
            str(least): sum(rated.get(str(more), 0) for more in RATINGS if more >= least) for least in RATINGS
        }
        counts.values.update((name, _rows(rows)) for name, rows in counted.items())
        return counts

    def _counting(self, name: str) -> dict[str, Any]:
        if name == "rating":
            pairs = itertools.pairwise([*RATINGS, None])
            ranges = [{"key": str(least), "from": least} | ({"to": most} if most else {}) for least, most in pairs]
            return {"range": {"field": "rating", "ranges": ranges}}
        if name == "price":
            return {"stats": {"field": f"price_{self._query.currency}"}}
        if name == "attribute":
            return {"terms": {"field": "attribute", "size": 1_000}}
        return {"terms": {"field": name, "size": MOST_BUCKETS}}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _wider(ends: tuple[int, float, float] | None, value: float) -> tuple[int, float, float]:
    """How many, the least and the greatest, with one more."""
    return (1, value, value) if ends is None else (ends[0] + 1, min(ends[1], value), max(ends[2], value))


def _rows(counted: Mapping[str, Any]) -> dict[str, int]:
    return {str(row.get("key_as_string", row["key"])): int(row["doc_count"]) for row in counted["buckets"]}


def _number_key(name: str) -> str:
    """The name of a number in the index: no sign in it means anything to the library's own language."""
    return f"n{name.encode().hex()}"


def _bound(value: float) -> str:
    # The library's language knows no exponents; and beyond these there are no numbers in a catalogue.
    near = 0.0 if abs(value) < _TINIEST else max(-_GREATEST, min(float(value), _GREATEST))
    return f"{Decimal(repr(near)):f}"
