"""Search without a server: a tantivy index in the data folder, written by one worker and read by every gateway."""

import asyncio
import difflib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import tantivy
from tantivy import FieldType, Occur
from tantivy import Query as Condition

from emporium.application.search import Answer, Document, EngineDown, Hit, Misfit, Query, Rules, Suggestion
from emporium.infra.search import plan
from emporium.infra.search.facets import (
    ATTRIBUTE,
    MOST_BUCKETS,
    PLAIN,
    RATINGS,
    Counts,
    attribute_key,
    facets,
    tie_of,
)
from emporium.infra.search.words import MOST_WORDS, analyzer, folded, highlighter, stems, typos

__all__ = ["LAYOUT", "EmbeddedSearch"]

T = TypeVar("T")

LAYOUT: Final = 2
"""Raised with every change of the fields: an index of another layout is made anew."""

_HEAP: Final = 32_000_000
_THREADS: Final = 2
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
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")
        self._index: _Index | None = None
        self._writer: tuple[_Index, Any] | None = None

    async def identity(self) -> str | None:
        """See the port."""
        index = await self.run(self._current)
        return None if index is None else index.identity

    async def index(self, documents: Sequence[Document], gone: Sequence[UUID], version: int) -> Mapping[UUID, str]:
        """See the port. Only the leader writes, in order: the version is not looked at."""
        await self.run(self._write, documents, gone)
        return {}

    async def rebuild(self, currencies: Sequence[str]) -> "_Rebuild":
        """See the port."""
        return await self.run(_Rebuild, self, self._folder, tuple(currencies))

    async def search(self, query: Query, rules: Rules) -> Answer:
        """See the port."""
        return await self.run(self._search, query, rules)

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        """See the port."""
        return await self.run(self._suggest, typed, currency, limit)

    async def aclose(self) -> None:
        """Ends the threads; what was committed stays."""
        await asyncio.to_thread(self._pool.shutdown)

    async def run(self, work: Callable[..., T], *values: object) -> T:
        """Does `work` in a thread. Raises EngineDown."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *values))
        except (OSError, ValueError) as error:
            raise EngineDown(f"the index in the data folder cannot be used: {error}") from error

    def _current(self) -> "_Index | None":
        link = self._folder / "current"
        try:
            name = os.readlink(link)
        except OSError:
            return None
        if self._index is None or self._index.identity != name:
            opened = _Index.open(self._folder / name)
            if opened is None:
                return None
            self._index = opened
        return self._index

    def _write(self, documents: Sequence[Document], gone: Sequence[UUID]) -> None:
        index = self._current()
        if index is None:
            raise EngineDown("there is no index yet")
        if any(not document.prices.keys() <= set(index.currencies) for document in documents):
            raise Misfit("a document has prices in a new currency")
        if self._writer is None or self._writer[0] is not index:
            self._writer = index, index.writer()
        writer = self._writer[1]
        for product_id in (*gone, *(document.product_id for document in documents)):
            writer.delete_documents_by_term("product_id", str(product_id))
        for document in documents:
            writer.add_document(index.document(document))
        writer.commit()

    def _search(self, query: Query, rules: Rules) -> Answer:
        index = self._current()
        if index is None:
            raise EngineDown("there is no index yet")
        return _Asked(index, query, rules).answer()

    def _suggest(self, typed: str, currency: str, limit: int) -> list[Suggestion]:
        index = self._current()
        words = folded(typed)[-MOST_WORDS:]
        if index is None or not words or currency not in index.currencies:
            return []
        searcher = index.searcher()
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
        await self._engine.run(self._add, documents)
        return {}

    async def finish(self) -> str:
        """See the port."""
        await self._engine.run(self._finish)
        return self._path.name

    async def abandon(self) -> None:
        """See the port."""
        await self._engine.run(shutil.rmtree, self._path)

    def _add(self, documents: Sequence[Document]) -> None:
        for document in documents:
            if not document.prices.keys() <= set(self._index.currencies):
                raise Misfit("a document has prices in a new currency")
            self._writer.add_document(self._index.document(document))

    def _finish(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._engine.adopt(self._path.name)


class _Index:
    """One index on disk."""

    def __init__(self, path: Path, index: tantivy.Index, currencies: tuple[str, ...]) -> None:
        self.identity = path.name
        self.currencies = currencies
        self.schema = index.schema
        self._meta = path / "meta.json"
        self._seen = 0
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

    def searcher(self) -> tantivy.Searcher:
        """Sees the last commit, of whichever process."""
        seen = self._meta.stat().st_mtime_ns
        if seen != self._seen:
            self._index.reload()
            self._seen = seen
        return self._index.searcher()

    def parse(self, text: str) -> Condition:
        """A condition in tantivy's own language, for what has no other form."""
        return self._index.parse_query(text, ["title"])

    def document(self, one: Document) -> tantivy.Document:
        """The document in the index's fields."""
        names = [*one.category_names, *([one.brand] if one.brand else [])]
        values = [value for several in one.attributes.values() for value in several]
        fields: dict[str, Any] = {
            "product_id": str(one.product_id),
            "slug": one.slug,
            "title": one.title,
            "title_words": one.title,
            "names": " / ".join([*names, *values]),
            "text": one.description,
            "all_words": " / ".join([one.title, *names, *values]),
            "sku": [sku.casefold() for sku in one.skus],
            "category": [str(category) for category in one.categories],
            "attribute": [attribute_key(name, value) for name, several in one.attributes.items() for value in several],
            "numbers": dict(one.numbers),
            "available": one.available,
            "popularity": one.popularity,
            "rating": one.rating if one.rating is not None else -1.0,
            "published": int(one.published_at.timestamp() * 1e6),
            "tie": tie_of(one.product_id),
        }
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


class _Asked:
    """One search of one index."""

    def __init__(self, index: _Index, query: Query, rules: Rules) -> None:
        self._index = index
        self._query = query
        self._rules = rules
        self._schema = index.schema
        self._words = folded(query.words)[:MOST_WORDS]
        self._searcher = index.searcher()

    def answer(self) -> Answer:
        """Finds, counts, mends."""
        query = self._query
        if query.currency not in self._index.currencies:
            return Answer(hits=(), total=0, engine=EmbeddedSearch.name)
        filters = self._filters()
        matching = self._said(plan.wanted(query, self._rules))
        hits, total = self._find(_all([self._ranked(matching), *filters.values()]))
        if total == 0 and len(self._words) > 1:
            # All but one of the words are better than nothing.
            matching = self._said(plan.wanted(query, self._rules, forgiving=True))
            hits, total = self._find(_all([self._ranked(matching), *filters.values()]))
        mark = highlighter(plan.asked_for(query, self._rules))
        shown = []
        for score, address in hits:
            doc = self._searcher.doc(address)
            product_id, title = UUID(doc.get_first("product_id")), mark(str(doc.get_first("title")))
            shown.append(Hit(product_id=product_id, title=title, score=score))
        return Answer(
            hits=tuple(shown),
            total=total,
            facets=facets(self._counts(self._or_pinned(matching), filters)) if query.facets else (),
            meant=self._meant(),
            engine=EmbeddedSearch.name,
        )

    def _find(self, condition: Condition) -> tuple[list[tuple[float, tantivy.DocAddress]], int]:
        """The page's hits and how many there are. What is alike is in the order of `popularity` and `tie`."""
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
        end = query.offset + query.limit
        reach = end + _MARGIN
        while True:
            found: Any = self._searcher.search(condition, reach, count=True, order_by_field=field, order=order)
            hits: list[tuple[float, tantivy.DocAddress]] = [(float(value or 0.0), where) for value, where in found.hits]
            # As long as the page's last is like the last that was looked at, another one may belong before it.
            if len(hits) < reach or hits[end - 1][0] != hits[-1][0] or reach > end + _FARTHEST:
                break
            reach = end + _FARTHEST + 1
        if any(one[0] == other[0] for one, other in itertools.pairwise(hits[: end + 1])):
            hits = self._told_apart(hits, rising=order is tantivy.Order.Asc)
        return hits[query.offset : end], int(found.count)

    def _told_apart(
        self, hits: list[tuple[float, tantivy.DocAddress]], *, rising: bool
    ) -> list[tuple[float, tantivy.DocAddress]]:
        where = [address for _, address in hits]
        popularity = self._searcher.fast_field_values("popularity", where)
        ties = self._searcher.fast_field_values("tie", where)
        sign = 1 if rising else -1
        keys = [(sign * hit[0], -(p or 0.0), t or 0) for hit, p, t in zip(hits, popularity, ties, strict=True)]
        return [hits[n] for n in sorted(range(len(hits)), key=keys.__getitem__)]

    # --- words -------------------------------------------------------------------------------------

    def _said(self, node: plan.Node) -> Condition:
        """A part of the plan in tantivy's language."""
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
        mended = [self._mend(word) for word in self._words]
        return " ".join(mended) if mended != self._words else None

    def _mend(self, word: str) -> str:
        searcher = self._searcher
        if not typos(word) or searcher.terms_with_prefix("all_words", word, limit=1):
            return word
        if any(searcher.doc_freq(field, stem) for stem in stems(word) for field in ("title", "names", "text")):
            return word
        known = searcher.terms_with_prefix("all_words", word[:1], limit=20_000)
        near = set(difflib.get_close_matches(word, [one for one, _ in known], n=5, cutoff=0.7))
        return plan.closest(word, [one for one in known if one[0] in near])

    # --- filters and facets ------------------------------------------------------------------------

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
            chosen[f"range.{name}"] = self._index.parse(f"numbers.{_escaped(name)}:[{_bound(least)} TO {_bound(most)}]")
        if query.rating_from is not None:
            chosen["rating"] = Condition.range_query(schema, "rating", FieldType.Float, float(query.rating_from), None)
        if query.available is not None:
            chosen["available"] = Condition.term_query(schema, "available", query.available)
        return {name: Condition.const_score_query(condition, 0.0) for name, condition in chosen.items()}

    def _counts(self, matching: Condition, filters: Mapping[str, Condition]) -> Counts:
        """Every facet, counted without what is chosen of itself, so that more of it can be chosen."""
        counts = Counts()

        def count(names: Sequence[str], without: str | None) -> dict[str, Any]:
            wanted = [condition for name, condition in filters.items() if name != without]
            if without == "price":
                wanted.append(_priced(self._schema, self._query.currency))
            return self._searcher.aggregate(_all([matching, *wanted]), {name: self._counting(name) for name in names})

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


def _rows(counted: Mapping[str, Any]) -> dict[str, int]:
    return {str(row.get("key_as_string", row["key"])): int(row["doc_count"]) for row in counted["buckets"]}


def _escaped(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\{letter}" for letter in name)


def _bound(value: float | None) -> str:
    return "*" if value is None else repr(float(value))
