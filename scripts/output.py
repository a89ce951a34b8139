"""How the command line shows what it found: as JSON for programs, in lines for people, nothing personal in clear."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from emporium.domain.base import Money, Sealed

__all__ = ["SEALED", "brief", "moment", "plain", "print_json", "print_json_line"]

SEALED = "[sealed]"


def plain(value: Any) -> Any:
    """The value as JSON knows it, with every sealed field as `[sealed]`."""
    match value:
        case Sealed():
            return SEALED
        case Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return {name: plain(field) for name, field in fields if field is not UNSET}
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=str)
        case list() | tuple():
            return [plain(item) for item in value]
    return msgspec.to_builtins(value)


def brief(value: Any, most: int = 120) -> str:
    """The value for a line: money as `1250 GBP` (minor units), structures as JSON, cut after `most` characters."""
    match value:
        case Sealed():
            text = SEALED
        case Money(amount=amount, currency=currency):
            text = f"{amount} {currency}"
        case _:
            shown = plain(value)
            text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def moment(at: datetime) -> str:
    """A time in UTC to the millisecond."""
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def print_json(value: Any) -> None:
    """One document, for a program or to read."""
    print(msgspec.json.format(msgspec.json.encode(plain(value))).decode())


def print_json_line(value: Any) -> None:
    """One document in one line, at once."""
    print(msgspec.json.encode(plain(value)).decode(), flush=True)
