"""What every aggregate is made of: events, commands, states, reasons, money, sealed values and ids."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

__all__ = [
    "MAX_AMOUNT",
    "MAX_QUANTITY",
    "Aggregate",
    "Command",
    "Event",
    "Money",
    "Reason",
    "Rejected",
    "Sealed",
    "State",
    "check_quantity",
    "stream_id",
]

MAX_QUANTITY: Final = 1_000_000
"""The most units that one line, receipt or adjustment may name."""

MAX_AMOUNT: Final = 10**13
"""The largest amount of money in minor units, either sign."""

_NAMESPACE: Final = UUID("6f1d3f0e-5b0a-5c55-9d0e-7f6e7a3f2c11")
_VERSION_5: Final = (5 << 76) | (2 << 62)
_FREE: Final = ~((0xF << 76) | (3 << 62))


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact, named in the past tense. Immutable, stored as JSON under `log.ClassName`."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A wish, named in the imperative. What it needs to know of time or chance arrives in its fields."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What an aggregate must remember to decide. Never stored but as a snapshot."""


class Rejected(Exception):
    """A command that the aggregate refuses: a named reason and the values that made it.

    Attributes:
        code: the reason's stable name, such as `out_of_stock`.
        values: what the decision saw, JSON-compatible.
    """

    def __init__(self, code: str, text: str, values: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.values = dict(values)


class Reason:
    """A named reason for which commands are rejected: `raise OUT_OF_STOCK(sku=…, wanted=…, available=…)`.

    Args:
        code: stable name, snake_case, unique in the program.
        text: a sentence for people, with `{placeholders}` for the values.
        kind: `conflict` (the state forbids it, HTTP 409), `invalid` (the command is wrong in
            itself, HTTP 422) or `missing` (what it names does not exist, HTTP 404).
    """

    known: Final[dict[str, "Reason"]] = {}

    def __init__(self, code: str, text: str, kind: str = "conflict") -> None:
        if code in Reason.known:
            raise ValueError(f"the reason {code} is declared twice")
        self.code = code
        self.text = text
        self.kind = kind
        Reason.known[code] = self

    def __call__(self, **values: Any) -> Rejected:
        return Rejected(self.code, self.text.format(**values), values)


CURRENCY_MISMATCH = Reason(
    "currency_mismatch", "An amount in {left} and one in {right} cannot be taken together.", "invalid"
)
QUANTITY_OUT_OF_RANGE = Reason(
    "quantity_out_of_range", "A quantity is a whole number from 1 to {most}, not {quantity}.", "invalid"
)
AMOUNT_OUT_OF_RANGE = Reason("amount_out_of_range", "The amount {amount} is out of range.", "invalid")


class Money(msgspec.Struct, frozen=True, order=False):
    """An amount in minor units (pennies, cents) of one currency (ISO 4217, upper case)."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, times: int) -> "Money":
        return Money(self.amount * times, self.currency)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount <= other.amount

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CURRENCY_MISMATCH(left=self.currency, right=other.currency)


class Sealed(msgspec.Struct, frozen=True):
    """A person's data, readable only with the person's key.

    Attributes:
        subject: whose key: a customer, or an order for a guest.
        event: the name of the event type that it was sealed for; bound with the stream and the
            field as associated data, so that a box cannot be moved elsewhere.
        box: nonce and ciphertext (AES-256-GCM).
    """

    subject: UUID
    event: str
    box: bytes


S = TypeVar("S", bound=State)


class Aggregate(msgspec.Struct, Generic[S], frozen=True):
    """One kind of aggregate: where it is stored and how it decides and evolves.

    Attributes:
        name: such as `Order`; also the topic of its snapshots.
        log: the context whose log holds its streams.
        state: the class of its state; a stream without events has the state None.
        events: every event type that may stand in its stream.
        decide: `(command, state) -> events`; raises `Rejected`.
        evolve: `(state, event) -> state`.
        state_version: raised when the shape or meaning of the state changes, so that old
            snapshots are not used.
    """

    name: str
    log: str
    state: type[S]
    events: tuple[type[Event], ...]
    decide: Callable[[Any, S | None], Sequence[Event]]
    evolve: Callable[[S | None, Any], S]
    state_version: int = 1


@lru_cache(maxsize=65_536)
def stream_id(kind: str, *parts: object) -> UUID:
    """The id of a stream that can exist once: uuid5 (RFC 9562) of its kind and what it belongs to."""
    # As uuid.uuid5, which takes three times as long; each order asks for a dozen.
    digest = sha1(_NAMESPACE.bytes + "\x1f".join((kind, *map(str, parts))).encode(), usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16]) & _FREE | _VERSION_5)


def check_quantity(quantity: int) -> int:
    """The quantity itself. Raises `Rejected` (quantity_out_of_range) unless 1 ≤ quantity ≤ MAX_QUANTITY."""
    if not 1 <= quantity <= MAX_QUANTITY:
        raise QUANTITY_OUT_OF_RANGE(quantity=quantity, most=MAX_QUANTITY)
    return quantity
