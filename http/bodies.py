"""Bodies as strict as their types: no unknown field, no coercion, and a JSON pointer for every wrong field."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from emporium.domain.base import MAX_QUANTITY
from emporium.domain.cart import MAX_UNITS
from emporium.http.problems import KINDS, Wrong

__all__ = [
    "Body",
    "CartQuantity",
    "Code",
    "Country",
    "Currency",
    "Language",
    "Line",
    "Quantity",
    "Reference",
    "Sku",
    "Text",
    "decode",
]

_WRONG_PLACES: Final = 50
"""The most wrong fields that one answer lists."""

_PATH: Final = re.compile(r" - at `\$.*`$")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body."""


_NO_CONTROLS: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

Sku = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="A SKU.", examples=["MUG-01-BLUE"])]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$", description="A short code.")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["GBP"])]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166 alpha-2.", examples=["GB"])]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}(-[A-Z]{2})?$", description="ISO 639-1.", examples=["en"])]
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
CartQuantity = Annotated[int, Meta(ge=1, le=MAX_UNITS)]
Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
Reference = Annotated[str, Meta(max_length=200, pattern=_NO_CONTROLS)]
Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=_NO_CONTROLS)]


@cache
def _decoder(kind: type) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def decode(body: bytes, kind: type) -> Any:
    """The body as an instance of its type. Raises Problem (malformed_body, invalid_body)."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise KINDS.invalid_body(errors=_every_error(body, kind) or [Wrong(_plain(error), pointer="")]) from None
    except msgspec.DecodeError as error:
        raise KINDS.malformed_body(f"The body is not valid JSON: {error}.") from None
    except UnicodeDecodeError:
        raise KINDS.malformed_body("The body is not valid UTF-8.") from None
    except RecursionError:
        raise KINDS.malformed_body("The body is nested too deeply.") from None


def _plain(error: msgspec.ValidationError) -> str:
    return _PATH.sub("", str(error))


def _every_error(body: bytes, kind: type) -> list[Wrong]:
    """msgspec ends at the first wrong field; this goes on, field by field."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return []
    found = []
    for wrong in _errors(value, kind, ""):
        found.append(wrong)
        if len(found) == _WRONG_PLACES:
            break
    return found


def _errors(value: Any, kind: Any, pointer: str) -> Iterator[Wrong]:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    origin, arguments = get_origin(bare), get_args(bare)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(value, dict):
        yield from _struct_errors(value, bare, pointer)
        return
    if origin in (UnionType, Union) and value is not None:
        [other] = [one for one in arguments if one not in (NoneType, msgspec.UnsetType)]
        yield from _errors(value, other, pointer)
        return
    if origin is Literal and isinstance(value, str):
        if value not in arguments:
            yield Wrong(f"Must be one of: {', '.join(map(str, arguments))}.", pointer=pointer)
        return
    inside = False
    if origin in (list, tuple) and isinstance(value, list):
        for index, item in enumerate(value):
            for wrong in _errors(item, arguments[0], f"{pointer}/{index}"):
                inside = True
                yield wrong
    if not inside:
        try:
            msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            yield Wrong(_plain(error), pointer=pointer)


def _struct_errors(value: Mapping[str, Any], kind: type[msgspec.Struct], pointer: str) -> Iterator[Wrong]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in value:
        if name not in fields:
            yield Wrong("This field is not known.", pointer=f"{pointer}/{_escaped(name)}")
    for name, field in fields.items():
        if name in value:
            yield from _errors(value[name], field.type, f"{pointer}/{name}")
        elif field.required:
            yield Wrong("This field is needed.", pointer=f"{pointer}/{name}")


def _escaped(name: str) -> str:
    return name[:200].replace("~", "~0").replace("/", "~1")
