"""Search on an Elasticsearch cluster: an alias on an index of whole documents, each with its version from outside.

The words of documents and queries are taken apart by us (`words`), not by the cluster: both engines find the same, and
the mapping needs nothing that any server of versions 8 and 9 might lack.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import elasticsearch
from elasticsearch import AsyncElasticsearch

from emporium.application.search import Answer, Document, EngineDown, Hit, Query, Rules, Suggestion
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
from emporium.infra.search.words import MOST_WORDS, folded, highlighter, spoken, stems, typos

__all__ = ["ElasticSearch"]

T = TypeVar("T")
Json = dict[str, Any]

LAYOUT: Final = 2
"""Raised with every change of the mapping: an index of another layout is made anew."""

_ANSWER: Final = 3.0
_WRITE: Final = 30.0
"""Seconds until a question, or a write, counts as not answered."""

_PAUSE: Final = 1.0
"""Seconds for which a cluster that did not answer is asked nothing."""

_TRIES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds before another attempt where the cluster has too much to do or is late."""

_BULK: Final = 500
_ORPHAN_MS: Final = 3_600_000
"""An index that was being made and has come to nothing goes after so long."""

_WORDS: Final = {"type": "text", "analyzer": "whitespace", "index_options": "freqs"}
_KEY: Final = {"type": "keyword"}

_MAPPING: Final[Json] = {
    "dynamic": "strict",
    "_meta": {"layout": LAYOUT},
    "properties": {
        "slug": {"type": "keyword", "index": False, "doc_values": False},
        "shown": {"type": "keyword", "index": False, "doc_values": False},
        "shown_in": {"type": "object", "enabled": False},
        "title": _WORDS,
        "title_words": _WORDS,
        "names": _WORDS,
        "text": _WORDS,
        "all_words": _WORDS,
        "sku": _KEY,
        "brand": _KEY,
        "category": _KEY,
        "attribute": _KEY,
        "numbers": {"type": "nested", "properties": {"name": _KEY, "value": {"type": "double"}}},
        "prices": {"type": "object", "dynamic": True, "properties": {}},
        "available": {"type": "boolean"},
        "popularity": {"type": "double"},
        "rating": {"type": "double"},
        "published": {"type": "long"},
        "tie": {"type": "long"},
    },
    "dynamic_templates": [{"price": {"path_match": "prices.*", "mapping": {"type": "long"}}}],
}

_SETTINGS: Final[Json] = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    # A deletion is remembered longer than any older write can be on its way.
    "gc_deletes": "1h",
    "max_result_window": 10_000,
}


class _Silent(EngineDown):
    """The cluster does not answer, or has no time: whoever asks next would wait in vain as well."""


class ElasticSearch:
    """See `emporium.application.search.SearchEngine`.

    Args:
        url: with its port; user and password may stand in it.
        alias: the name under which the index that answers is found.
    """

    name: Final = "elasticsearch"

    def __init__(self, url: str, alias: str, *, api_key: str | None = None, answer: float = _ANSWER) -> None:
        # It would tell of every request, and of every failure that we tell ourselves.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        self._client = AsyncElasticsearch(url, api_key=api_key, max_retries=0, request_timeout=answer)
        self._writing = self._client.options(request_timeout=_WRITE)
        self._alias = alias
        self._silent_until = 0.0

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def vanish(self) -> None:
        """Throws all that is there away."""
        for name in await self._called(lambda: self._indexes(f"{self._alias}-*")):
            await self.drop(name)

    async def identity(self) -> str | None:
        """See the port."""
        found = await self._called(lambda: self._indexes(self._alias))
        if len(found) != 1:
            return None
        ((_, one),) = found.items()
        if one["mappings"].get("_meta", {}).get("layout") != LAYOUT or self._alias not in one["aliases"]:
            return None
        return str(one["settings"]["index"]["uuid"])

    async def index(self, documents: Sequence[Document], gone: Sequence[UUID], version: int) -> Mapping[UUID, str]:
        """See the port."""
        return await self.write(self._alias, documents, gone, version, live=True)

    async def rest(self) -> None:
        """See the port: the cluster takes documents from whoever sends them."""

    async def rebuild(self, currencies: Sequence[str]) -> "_Rebuild":
        """See the port; prices in other currencies fit as well."""
        name = f"{self._alias}-{uuid4().hex}"
        await self._clear_orphans()
        settings = {**_SETTINGS, "refresh_interval": "-1"}
        await self._called(
            lambda: self._writing.indices.create(index=name, mappings=_MAPPING, settings={"index": settings})
        )
        return _Rebuild(self, name)

    async def search(self, query: Query, rules: Rules) -> Answer:
        """See the port."""
        self._check_pause()
        body = _Asked(query, rules)
        for care in body.cares:
            found = await self._asked(body.question(care))
            # Where filters alone let nothing through, other words are no help.
            if found["aggregations"]["found"]["doc_count"]:
                break
        return body.answer(found, care)

    async def suggest(self, typed: str, currency: str, limit: int) -> Sequence[Suggestion]:
        """See the port."""
        self._check_pause()
        words = folded(typed)[-MOST_WORDS:]
        if not words:
            return []
        conditions: list[Json] = [{"term": {"title_words": word}} for word in words[:-1]]
        conditions.append({"prefix": {"title_words": words[-1]}})
        conditions.append({"exists": {"field": f"prices.{currency}"}})
        found = await self._asked(
            {
                "query": {"bool": {"filter": conditions}},
                "size": limit,
                "sort": [{"popularity": "desc"}, {"tie": "asc"}],
                "_source": ["shown", "slug"],
                "track_total_hits": False,
            }
        )
        hits = (hit["_source"] for hit in found["hits"]["hits"])
        return [Suggestion(kind="product", text=one["shown"], target=one["slug"]) for one in hits]

    async def write(
        self, target: str, documents: Sequence[Document], gone: Sequence[UUID], version: int, *, live: bool
    ) -> dict[UUID, str]:
        """Writes to an index; those that it refuses. `live`: what was written is found when this returns.

        Raises EngineDown where not all of the others are known to be written.
        """
        meta = {"version": version, "version_type": "external_gte"}
        actions: list[tuple[UUID, Json, Json | None]] = []
        actions += [(key, {"delete": {"_id": str(key), **meta}}, None) for key in gone]
        actions += [
            (one.product_id, {"index": {"_id": str(one.product_id), **meta}}, _fields(one)) for one in documents
        ]
        refused: dict[UUID, str] = {}
        for start in range(0, len(actions), _BULK):
            await self._bulk(target, actions[start : start + _BULK], refused, live=live)
        return refused

    async def _bulk(
        self, target: str, actions: list[tuple[UUID, Json, Json | None]], refused: dict[UUID, str], *, live: bool
    ) -> None:
        for pause in (*_TRIES, None):
            operations = [part for _, action, document in actions for part in (action, document) if part is not None]
            answer = await self._called(
                lambda operations=operations: self._writing.bulk(  # type: ignore[misc]
                    index=target, operations=operations, refresh=live, require_alias=live, filter_path=_OUTCOMES
                )
            )
            again = []
            for one, item in zip(actions, answer.get("items", ()), strict=True):
                (outcome,) = item.values()
                status = int(outcome["status"])
                # 409: something newer is there. 404: what shall go is not there.
                if status < 300 or status == 409 or (status == 404 and one[2] is None and "error" not in outcome):
                    continue
                if status == 400:
                    refused[one[0]] = _why(outcome["error"])
                elif status == 429 or status >= 500:
                    again.append(one)
                else:
                    raise EngineDown(f"the cluster refuses to write: {_why(outcome['error'])}")
            if not again:
                return
            if pause is None:
                raise EngineDown("the cluster has too much to do")
            await asyncio.sleep(pause)
            actions = again

    async def adopt(self, name: str) -> str:
        """Lets another index answer in place of the present one, which goes; its identity."""
        settings = {"index": {"refresh_interval": None}}
        await self._called(lambda: self._writing.indices.put_settings(index=name, settings=settings))
        await self._called(lambda: self._writing.indices.refresh(index=name))
        old = [other for other in await self._called(lambda: self._indexes(self._alias)) if other != name]
        # In one step: nobody ever finds none, or two.
        actions: list[Json] = [{"remove_index": {"index": other}} for other in old]
        actions.append({"add": {"index": name, "alias": self._alias}})
        await self._called(lambda: self._writing.indices.update_aliases(actions=actions))
        found = await self._called(lambda: self._indexes(name))
        return str(found[name]["settings"]["index"]["uuid"])

    async def drop(self, name: str) -> None:
        """Throws an index away."""
        await self._called(lambda: self._writing.indices.delete(index=name, ignore_unavailable=True))

    async def _clear_orphans(self) -> None:
        oldest = time.time() * 1000 - _ORPHAN_MS
        for name, one in (await self._called(lambda: self._indexes(f"{self._alias}-*"))).items():
            if not one["aliases"] and int(one["settings"]["index"]["creation_date"]) < oldest:
                await self.drop(name)

    async def _indexes(self, name: str) -> Mapping[str, Any]:
        found = await self._client.indices.get(index=name, ignore_unavailable=True, allow_no_indices=True)
        return dict(found.body)

    async def _asked(self, body: Json) -> Any:
        try:
            return await self._called(lambda: self._client.search(index=self._alias, **body), patient=False)
        except _Silent:
            self._silent_until = time.monotonic() + _PAUSE
            raise

    def _check_pause(self) -> None:
        if time.monotonic() < self._silent_until:
            raise EngineDown("the cluster did not answer a moment ago")

    async def _called(self, call: Callable[[], Awaitable[T]], *, patient: bool = True) -> T:
        """What a call returns; tried again where the cluster is late or has too much to do. Raises EngineDown."""
        why: Exception
        for pause in (*(_TRIES if patient else ()), None):
            try:
                return await call()
            except elasticsearch.ConnectionTimeout as late:
                why = late
            except elasticsearch.ApiError as error:
                if error.status_code not in (429, 502, 503, 504):
                    raise EngineDown(f"the cluster refuses: {error}") from error
                why = error
            except elasticsearch.TransportError as error:
                raise _Silent(f"the cluster cannot be reached: {error}") from error
            if pause is None:
                raise _Silent(f"the cluster does not answer: {why}") from why
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


_OUTCOMES: Final = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class _Rebuild:
    """See `emporium.application.search.Rebuild`."""

    def __init__(self, engine: ElasticSearch, name: str) -> None:
        self._engine = engine
        self._name = name

    async def add(self, documents: Sequence[Document], version: int) -> Mapping[UUID, str]:
        """See the port."""
        return await self._engine.write(self._name, documents, (), version, live=False)

    async def finish(self) -> str:
        """See the port."""
        return await self._engine.adopt(self._name)

    async def abandon(self) -> None:
        """See the port."""
        await self._engine.drop(self._name)


def _why(error: Mapping[str, Any]) -> str:
    cause = error.get("caused_by", {}).get("reason")
    return f"{error.get('type')}: {error.get('reason')}" + (f" ({cause})" if cause else "")


def _fields(one: Document) -> Json:
    names = [*one.category_names, *([one.brand] if one.brand else [])]
    values = [value for several in one.attributes.values() for value in several]
    elsewhere = one.translations.items()
    titles = [text.title for _, text in elsewhere]
    return {
        "slug": one.slug,
        "shown": one.title,
        "shown_in": {language: text.title for language, text in elsewhere},
        "title": _joined(stems, one.title, *(spoken(text.title, language) for language, text in elsewhere)),
        "title_words": _joined(folded, one.title, *titles),
        "names": _joined(stems, *names, *values),
        "text": _joined(stems, one.description, *(spoken(text.description, language) for language, text in elsewhere)),
        "all_words": _joined(folded, one.title, *titles, *names, *values),
        "sku": [sku.casefold() for sku in one.skus],
        "brand": one.brand,
        "category": [str(category) for category in one.categories],
        "attribute": [attribute_key(name, value) for name, several in one.attributes.items() for value in several],
        "numbers": [{"name": name, "value": value} for name, value in one.numbers.items()],
        "prices": {currency: price.lowest for currency, price in one.prices.items()},
        "available": one.available,
        "popularity": one.popularity,
        "rating": one.rating if one.rating is not None else -1.0,
        "published": int(one.published_at.timestamp() * 1e6),
        "tie": tie_of(one.product_id),
    }


def _joined(split: Callable[[str], list[str]], *texts: str) -> str:
    return " ".join(word for text in texts for word in split(text))


class _Asked:
    """One search as the cluster is asked, and its answer as we give it."""

    def __init__(self, query: Query, rules: Rules) -> None:
        self._query = query
        self._rules = rules
        self._words = folded(query.words)[:MOST_WORDS]
        self._filters = self._chosen()

    @property
    def cares(self) -> Sequence[plan.Care]:
        """With what care to ask, until something is found."""
        return plan.cares(self._words)

    def question(self, care: plan.Care) -> Json:
        """The body of the search."""
        query = self._query
        matching = _said(plan.wanted(query, self._rules, care))
        price = f"prices.{query.currency}"
        body: Json = {
            "query": {"bool": {"must": [self._ranked(matching)], "filter": [{"exists": {"field": price}}]}},
            "post_filter": _and(self._filters.values()),
            "from_": query.offset,
            "size": query.limit,
            "sort": self._order(price),
            "track_scores": True,
            "track_total_hits": True,
            "_source": ["shown", f"shown_in.{query.language}"],
        }
        aggregations: dict[str, Json] = {"found": {"filter": {"match_all": {}}}}
        if query.facets:
            aggregations |= self._counting(price)
        unsure = [word for word in self._words if typos(word)]
        if unsure:
            aggregations["known"] = {"global": {}, "aggs": {"words": {"filters": {"filters": _known(unsure)}}}}
            body["suggest"] = {
                "text": " ".join(unsure),
                "mend": {"term": {"field": "all_words", "analyzer": "whitespace", "suggest_mode": "missing",
                                  "max_edits": 2, "prefix_length": 1, "min_word_length": 4, "size": 5,
                                  "sort": "score", "string_distance": "damerau_levenshtein"}},
            }  # fmt: skip
        body["aggregations"] = aggregations
        return body

    def _order(self, price: str) -> list[Json]:
        sort = self._query.sort
        if sort == "relevance" and not self._words and not self._rules.pins:
            sort = "popularity"
        first: Json = {
            "relevance": {"_score": "desc"},
            "price": {price: "asc"},
            "price_desc": {price: "desc"},
            "newest": {"published": "desc"},
            "rating": {"rating": "desc"},
            "popularity": {"popularity": "desc"},
        }[sort]
        return [first, {"popularity": "desc"}, {"tie": "asc"}]

    def _ranked(self, matching: Json) -> Json:
        boosts, pins = self._rules.boosts, self._rules.pins
        if boosts:
            functions = [{"filter": _only(one), "weight": factor} for one, factor in boosts.items()]
            matching = {
                "function_score": {
                    "query": matching, "functions": functions, "score_mode": "multiply", "boost_mode": "multiply",
                }
            }  # fmt: skip
        if not pins:
            return matching
        first = self._query.sort == "relevance"
        ways = [_const(_only(one), plan.PIN - rank if first else 0.0) for rank, one in enumerate(pins)]
        return {"dis_max": {"queries": [matching, *ways]}}

    # --- filters and facets ------------------------------------------------------------------------

    def _chosen(self) -> dict[str, Json]:
        query = self._query
        chosen: dict[str, Json] = {}
        if query.price_from is not None or query.price_to is not None:
            chosen["price"] = {"range": {f"prices.{query.currency}": _bounds(query.price_from, query.price_to)}}
        if query.brands:
            chosen["brand"] = {"terms": {"brand": list(query.brands)}}
        if query.category is not None:
            chosen["category"] = {"term": {"category": str(query.category)}}
        for name, values in query.attributes.items():
            keys = [attribute_key(name, value) for value in values]
            chosen[f"{ATTRIBUTE}{name}"] = {"terms": {"attribute": keys}}
        for name, (least, most) in query.ranges.items():
            both = [{"term": {"numbers.name": name}}, {"range": {"numbers.value": _bounds(least, most)}}]
            chosen[f"{NUMBER}{name}"] = {"nested": {"path": "numbers", "query": {"bool": {"filter": both}}}}
        if query.rating_from is not None:
            chosen["rating"] = {"range": {"rating": {"gte": query.rating_from}}}
        if query.available is not None:
            chosen["available"] = {"term": {"available": query.available}}
        return chosen

    def _counting(self, price: str) -> dict[str, Json]:
        """Every facet, counted without what is chosen of itself."""
        inner: dict[str, Json] = {
            "brand": {"terms": {"field": "brand", "size": MOST_BUCKETS}},
            "category": {"terms": {"field": "category", "size": MOST_BUCKETS}},
            "available": {"terms": {"field": "available"}},
            "rating": {"filters": {"filters": {str(n): {"range": {"rating": {"gte": n}}} for n in RATINGS}}},
            "price": {"stats": {"field": price}},
            "attribute": {"terms": {"field": "attribute", "size": 1_000}},
            "number": {
                "nested": {"path": "numbers"},
                "aggs": {
                    "names": {
                        "terms": {"field": "numbers.name", "size": MOST_NUMBERS, "order": {"_key": "asc"}},
                        "aggs": {"ends": {"stats": {"field": "numbers.value"}}},
                    }
                },
            },
        }
        groups: dict[str, list[str]] = {"": [name for name in inner if name not in self._filters]}
        for chosen in self._filters:
            if chosen in inner:
                groups[chosen] = [chosen]
            elif chosen.startswith(ATTRIBUTE):
                groups[chosen] = ["attribute"]
            elif chosen.startswith(NUMBER):
                groups[chosen] = ["number"]
        return {
            f"count:{chosen}": {
                "filter": _and(one for name, one in self._filters.items() if name != chosen),
                "aggs": {name: inner[name] for name in names},
            }
            for chosen, names in groups.items()
        }

    def _counts(self, counted: Mapping[str, Any]) -> Counts:
        counts = Counts()
        for group, inner in counted.items():
            mark, _, chosen = group.partition(":")
            if mark != "count":
                continue
            for name, found in inner.items():
                if name == "number":
                    for one in found["names"]["buckets"]:
                        label = f"{NUMBER}{one['key']}"
                        if label == chosen if chosen else label not in self._filters:
                            ends = one["ends"]
                            counts.numbers[one["key"]] = int(ends["count"]), float(ends["min"]), float(ends["max"])
                    continue
                if name not in (*PLAIN, "attribute"):
                    continue
                if name == "price":
                    counts.price = int(found["count"]), int(found["min"] or 0), int(found["max"] or 0)
                elif name == "rating":
                    counts.values[name] = {key: int(one["doc_count"]) for key, one in found["buckets"].items()}
                else:
                    rows = {
                        str(one.get("key_as_string", one["key"])): int(one["doc_count"]) for one in found["buckets"]
                    }
                    if name != "attribute":
                        counts.values[name] = rows
                        continue
                    own = chosen.removeprefix(ATTRIBUTE)
                    for key, count in rows.items():
                        attribute, _, value = key.partition("=")
                        if attribute == own if chosen else f"{ATTRIBUTE}{attribute}" not in self._filters:
                            counts.attributes.setdefault(attribute, {})[value] = count
        return counts

    # --- the answer --------------------------------------------------------------------------------

    def answer(self, found: Any, care: plan.Care) -> Answer:
        """What the cluster found, as we say it."""
        mark = highlighter(plan.asked_for(self._query, self._rules), near=care.near)
        hits = tuple(
            Hit(product_id=UUID(hit["_id"]), title=mark(self._title(hit["_source"])), score=float(hit["_score"] or 0.0))
            for hit in found["hits"]["hits"]
        )
        counted = found["aggregations"]
        return Answer(
            hits=hits,
            total=int(found["hits"]["total"]["value"]),
            facets=facets(self._counts(counted)) if self._query.facets else (),
            meant=self._meant(found, counted),
            engine=ElasticSearch.name,
        )

    def _title(self, source: Json) -> str:
        return str(source.get("shown_in", {}).get(self._query.language, source["shown"]))

    def _meant(self, found: Any, counted: Mapping[str, Any]) -> str | None:
        if "suggest" not in found:
            return None
        known = counted["known"]["words"]["buckets"]
        mended = {
            one["text"]: [(choice["text"], int(choice["freq"])) for choice in one["options"]]
            for one in found["suggest"]["mend"]
        }
        words = [
            word if word not in mended or known[word]["doc_count"] else plan.closest(word, mended[word])
            for word in self._words
        ]
        return " ".join(words) if words != self._words else None


def _known(words: Sequence[str]) -> dict[str, Json]:
    """Word → what has it, or begins with it."""
    return {
        word: {
            "bool": {
                "should": [
                    {"prefix": {"all_words": word}},
                    *({"term": {field: stem}} for stem in stems(word) for field in ("title", "names", "text")),
                ]
            }
        }
        for word in words
    }


def _said(node: plan.Node) -> Json:
    """A part of the plan in the cluster's language."""
    match node:
        case plan.Term(field, word, weight):
            return {"term": {field: {"value": word, "boost": weight * plan.BM25}}}
        case plan.Near(word, letters, weight):
            near = {"value": word, "fuzziness": letters, "transpositions": True, "prefix_length": 0}
            return _const({"fuzzy": {"all_words": near}}, weight)
        case plan.Begin(word, weight):
            return _const({"prefix": {"all_words": word}}, weight)
        case plan.Sku(sku, weight):
            return _const({"term": {"sku": sku}}, weight)
        case plan.Best(ways, tie):
            return {"dis_max": {"queries": [_said(one) for one in ways], "tie_breaker": tie}}
        case plan.Every(parts, weight):
            return {"bool": {"must": [_said(one) for one in parts], "boost": weight}}
        case plan.Some(parts, least):
            return {"bool": {"should": [_said(one) for one in parts], "minimum_should_match": least}}
        case plan.Everything():
            return _const({"match_all": {}}, 1.0)


def _const(condition: Json, score: float) -> Json:
    return {"constant_score": {"filter": condition, "boost": score}}


def _only(product_id: UUID) -> Json:
    return {"ids": {"values": [str(product_id)]}}


def _and(conditions: Iterable[Json]) -> Json:
    return {"bool": {"filter": list(conditions)}}


def _bounds(least: float | None, most: float | None) -> Json:
    return ({"gte": least} if least is not None else {}) | ({"lte": most} if most is not None else {})
