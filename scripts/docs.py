"""The documents that the code writes itself: the event catalogue and the statuses of an order.

`python -m emporium.scripts.docs` writes them; a test fails while they are not current.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

from emporium.domain.base import Event
from emporium.domain.order import BESIDE, PENDING, TERMINAL, TRANSITIONS, OrderCreated
from emporium.domain.registry import AGGREGATES, LOGS, SCHEMAS

__all__ = ["DOCUMENTS", "write"]

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs"

_NOTE: Final = "<!-- Written by scripts/docs.py from the code; change the code instead. -->\n"

_NAMES: Final[dict[type[mi.Type], str]] = {
    mi.BoolType: "yes/no",
    mi.BytesType: "bytes (base64)",
    mi.DateTimeType: "time (UTC)",
    mi.DateType: "date",
    mi.FloatType: "number",
    mi.IntType: "whole number",
    mi.NoneType: "nothing",
    mi.StrType: "text",
    mi.UUIDType: "UUID",
}


def event_catalogue() -> str:
    """Every event with its log, meaning and fields, and the values that events are made of."""
    values: dict[str, mi.StructType] = {}
    parts = [
        "# Events\n",
        _NOTE,
        "Every event is a JSON object in its log, under the topic `log.EventName`. Fields that may be left out "
        "have a default; an event never has other fields than these. Beside it stand its id, stream, version, "
        "time, correlation, causation, actor, request and schema version.\n",
    ]
    for log in LOGS:
        aggregates = [aggregate for aggregate in AGGREGATES if aggregate.log == log]
        if aggregates:
            parts.append(f"## {log}\n")
        for aggregate in aggregates:
            parts.append(f"### {aggregate.name}\n\n{_first_line(inspect.getmodule(aggregate.decide))}\n")
            parts.extend(_event(log, event, values) for event in aggregate.events)
    parts.append("## Values in events\n")
    shown: set[str] = set()
    while missing := sorted(values.keys() - shown):
        for name in missing:
            shown.add(name)
            kind = values[name]
            parts.append(f"### {name}\n\n{_first_line(kind.cls)}\n\n{_fields(kind, values)}")
    return "\n".join(parts)


def _event(log: str, event: type[Event], values: dict[str, mi.StructType]) -> str:
    kind = mi.type_info(event)
    assert isinstance(kind, mi.StructType)
    schema = SCHEMAS.get(event, 1)
    version = f" (schema {schema})" if schema > 1 else ""
    return f"#### {log}.{event.__name__}{version}\n\n{_first_line(event)}\n\n{_fields(kind, values)}"


def _fields(kind: mi.StructType, values: dict[str, mi.StructType]) -> str:
    meanings = _meanings(kind.cls)
    rows = ["| field | type | |", "|---|---|---|"]
    for field in kind.fields:
        notes = [note for note in (meanings.get(field.name), _default(field)) if note]
        rows.append(f"| `{field.encode_name}` | {_type(field.type, values)} | {'; '.join(notes)} |")
    return "\n".join(rows) + "\n"


def _default(field: mi.Field) -> str:
    if field.required:
        return ""
    if field.default_factory is not msgspec.NODEFAULT or field.default == ():
        return "may be left out: empty"
    if field.default is msgspec.NODEFAULT:
        return "left out where it did not change"
    if field.default in (None, ""):
        return "may be left out"
    return f"may be left out: `{msgspec.json.encode(field.default).decode()}`"


def _type(kind: mi.Type, values: dict[str, mi.StructType]) -> str:
    match kind:
        case mi.StructType():
            name = kind.cls.__name__
            values[name] = kind
            return f"[{name}](#{name.lower()})"
        case mi.UnionType():
            return " or ".join(_type(one, values) for one in kind.types)
        case mi.VarTupleType():
            return f"list of {_type(kind.item_type, values)}"
        case mi.DictType():
            return f"object: {_type(kind.key_type, values)} → {_type(kind.value_type, values)}"
        case _:
            return _NAMES[type(kind)]


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")


def _meanings(cls: type) -> dict[str, str]:
    """What the class's docstring says of its attributes."""
    attributes = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = attributes.replace("\n        ", " ").splitlines()
    return {name.strip(): text.strip(" .") for name, _, text in (entry.partition(":") for entry in entries)}


def order_statuses() -> str:
    """The statuses of an order, which are terminal, and every transition."""
    rows = [
        f"| {status} | {'yes' if status in TERMINAL else ''} | "
        + "<br>".join(f"{event.__name__} → {', '.join(_sorted(to))}" for event, to in after.items())
        + " |"
        for status, after in TRANSITIONS.items()
    ]
    arrows = [
        f"    [*] --> {PENDING}: {OrderCreated.__name__}",
        *_arrows(),
        *(f"    {s} --> [*]" for s in _sorted(TERMINAL)),
    ]
    return "\n".join(
        [
            "# The statuses of an order\n",
            _NOTE,
            "An order begins as pending, with OrderCreated. In a terminal status its saga has ended; "
            "returns and refunds may still follow.\n",
            "| status | terminal | what may follow |",
            "|---|---|---|",
            *rows,
            "\nWithout the events that leave the status as it is:\n",
            "```mermaid",
            "stateDiagram-v2",
            *arrows,
            "```\n",
            "What may happen beside, and leaves the status as it is:\n",
            "| event | in which statuses |",
            "|---|---|",
            *(
                f"| {event.__name__} | {'all' if len(statuses) == len(TRANSITIONS) else ', '.join(_sorted(statuses))} |"
                for event, statuses in BESIDE.items()
            ),
            "",
        ]
    )


def _arrows() -> Iterator[str]:
    for status, after in TRANSITIONS.items():
        for target in TRANSITIONS:
            names = [event.__name__ for event, to in after.items() if target in to and target != status]
            if names:
                yield f"    {status} --> {target}: {', '.join(names)}"


def _sorted(statuses: frozenset[str]) -> list[str]:
    return [status for status in TRANSITIONS if status in statuses]


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "events.md": event_catalogue,
    "order-statuses.md": order_statuses,
}
"""Every written document by its name in docs/."""


def write(folder: Path = FOLDER) -> None:
    """Writes all documents into the folder."""
    for name, make in DOCUMENTS.items():
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    write()
