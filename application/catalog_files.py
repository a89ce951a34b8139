"""Products as rows of files: NDJSON, a product a line; CSV, a variant a line, with columns for what it has."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from emporium.domain.catalog_import import RefusedRow
from emporium.domain.category import CategoriesState
from emporium.domain.product import AttributeValue, Image, ProductState, Translation

__all__ = ["BadFile", "ProductRow", "VariantRow", "columns", "csv_rows", "header", "ndjson", "read", "row_of"]

MOST_ROWS: Final = 200_000

_PATH: Final = " - at `$"
_PRICE, _OPTION, _ATTRIBUTE = "price.", "option.", "attribute."
_PLAIN: Final = ("slug", "title", "description", "brand", "category", "tax_class", "status", "sku")


class BadFile(Exception):  # noqa: N818
    """The file as a whole cannot be read; the text says why."""


class VariantRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SKU; prices are minor units by currency."""

    sku: str
    options: dict[str, str] = {}
    prices: dict[str, int] = {}


class ProductRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A product, known by its slug. What is left out stays as it is; `category` is a category's slug."""

    slug: str
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    brand: str | UnsetType | None = UNSET
    category: str | UnsetType | None = UNSET
    tax_class: str | UnsetType = UNSET
    status: Literal["draft", "published", "archived"] | UnsetType = UNSET
    options: tuple[str, ...] | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    images: tuple[Image, ...] | UnsetType = UNSET
    translations: dict[str, Translation] | UnsetType = UNSET
    variants: tuple[VariantRow, ...] = ()


Row = tuple[int, ProductRow | RefusedRow]
"""The line (of a product's first variant), and what stands there."""

_DECODER: Final = msgspec.json.Decoder(ProductRow)


def read(content: bytes, kind: str, tree: CategoriesState) -> list[Row]:
    """All rows of a file. Takes a while: not for the event loop. Raises BadFile.

    Args:
        tree: says how a CSV's attributes are meant: numbers, yes or no.
    """
    try:
        rows = list(_ndjson(content) if kind == "ndjson" else _csv(content.decode("utf-8-sig"), tree))
    except UnicodeDecodeError as error:
        raise BadFile(f"it is not UTF-8 (byte {error.start})") from None
    except csv.Error as error:
        raise BadFile(str(error)) from None
    if len(rows) > MOST_ROWS:
        raise BadFile(f"it has {len(rows)} products; {MOST_ROWS} are the most")
    return rows


def _ndjson(content: bytes) -> Iterator[Row]:
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                yield number, _DECODER.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield number, _refused(number, error)


def _refused(line: int, error: Exception) -> RefusedRow:
    reason, _, path = str(error).partition(_PATH)
    return RefusedRow(line=line, field=path.rstrip("`").lstrip("."), reason=reason[:500])


def _csv(text: str, tree: CategoriesState) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""))
    names = next(reader, None)
    if not names or "slug" not in names:
        raise BadFile("its first line must name the columns, slug among them")
    for name in names:
        if name not in _PLAIN and not name.startswith((_PRICE, _OPTION, _ATTRIBUTE)):
            raise BadFile(f"it has a column {name!r} that means nothing here")
    if len(set(names)) < len(names):
        raise BadFile("it has a column twice")
    first, group = 0, list[dict[str, str]]()
    for cells in reader:
        if not any(cells):
            continue
        # The line where the record ends is known; its first differs only where a cell holds line breaks.
        line = reader.line_num - sum(cell.count("\n") for cell in cells)
        if len(cells) != len(names):
            if group:
                yield first, _product(first, group, tree)
                group = []
            reason = f"there are {len(cells)} cells for {len(names)} columns"
            yield line, RefusedRow(line=line, field="", reason=reason)
            continue
        record = dict(zip(names, cells, strict=True))
        if group and record["slug"] != group[0]["slug"]:
            yield first, _product(first, group, tree)
            group = []
        if not group:
            first = line
        group.append(record)
    if group:
        yield first, _product(first, group, tree)


def _product(line: int, group: Sequence[Mapping[str, str]], tree: CategoriesState) -> ProductRow | RefusedRow:
    head = group[0]
    made: dict[str, Any] = {name: head[name] for name in _PLAIN if name != "sku" and head.get(name)}
    attributes = _of(head, _ATTRIBUTE)
    kinds = _kinds(tree, head.get("category") or None)
    try:
        if attributes:
            made["attributes"] = {name: _typed(name, text, kinds) for name, text in attributes.items()}
        variants = []
        for record in group:
            if record.get("sku"):
                prices = {currency: _whole(_PRICE + currency, text) for currency, text in _of(record, _PRICE).items()}
                variants.append({"sku": record["sku"], "options": _of(record, _OPTION), "prices": prices})
        made["variants"] = variants
        named = list(dict.fromkeys(name for one in variants for name in one["options"]))
        if named:
            made["options"] = named
        return msgspec.convert(made, ProductRow)
    except _Wrong as wrong:
        return RefusedRow(line=line, field=wrong.field, reason=str(wrong))
    except msgspec.ValidationError as error:
        return _refused(line, error)


class _Wrong(Exception):  # noqa: N818
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _of(record: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in record.items() if name.startswith(prefix) and text}


def _whole(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Wrong(field, f"{text!r} is no whole number of minor units") from None


def _kinds(tree: CategoriesState, slug: str | None) -> Mapping[str, str]:
    for category_id, category in tree.categories.items():
        if category.slug == slug:
            return {name: kind.kind for name, kind in tree.attributes(category_id).items()}
    return {}


def _typed(name: str, text: str, kinds: Mapping[str, str]) -> AttributeValue:
    kind = kinds.get(name, "number" if name.endswith(("_g", "_mm")) else "text")
    if kind == "yes_no":
        if text not in ("yes", "no"):
            raise _Wrong(f"attributes.{name}", f"{text!r} is neither yes nor no")
        return text == "yes"
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:
            raise _Wrong(f"attributes.{name}", f"{text!r} is no number") from None
    return text


# --- writing ---------------------------------------------------------------------------------------


def row_of(state: ProductState, tree: CategoriesState) -> ProductRow:
    """A product as a row, from which it can be made again."""
    category = tree.categories.get(state.category_id) if state.category_id is not None else None
    return ProductRow(
        slug=state.slug,
        title=state.title,
        description=state.description,
        brand=state.brand,
        category=None if category is None else category.slug,
        tax_class=state.tax_class,
        status=state.status,  # type: ignore[arg-type]
        options=state.options,
        attributes=state.attributes,
        images=state.images,
        translations=state.translations,
        variants=tuple(
            VariantRow(
                sku=one.sku,
                options=one.options,
                prices={currency: price.amount for currency, price in one.regular.items()},
            )
            for one in state.variants.values()
        ),
    )


def ndjson(rows: Iterable[ProductRow]) -> bytes:
    """A line for each."""
    return msgspec.json.Encoder().encode_lines(rows)


def columns(rows: Iterable[ProductRow]) -> set[str]:
    """The columns beside the plain ones that these rows need."""
    found: set[str] = set()
    for row in rows:
        found.update(_ATTRIBUTE + name for name in row.attributes or ())
        for variant in row.variants:
            found.update(_OPTION + name for name in variant.options)
            found.update(_PRICE + currency for currency in variant.prices)
    return found


def header(more: Iterable[str]) -> list[str]:
    """All columns, in their order."""
    return [*_PLAIN, *sorted(more)]


def csv_rows(rows: Iterable[ProductRow], names: Sequence[str]) -> bytes:
    """A line for each variant; the product's own cells stand in each."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in rows:
        plain = {name: getattr(row, name) or "" for name in _PLAIN if name != "sku"}
        plain |= {_ATTRIBUTE + name: _told(value) for name, value in (row.attributes or {}).items()}
        for variant in row.variants or (VariantRow(sku=""),):
            cells = {**plain, "sku": variant.sku}
            cells |= {_OPTION + name: value for name, value in variant.options.items()}
            cells |= {_PRICE + currency: str(amount) for currency, amount in variant.prices.items()}
            writer.writerow([cells.get(name, "") for name in names])
    return out.getvalue().encode()


def _told(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
