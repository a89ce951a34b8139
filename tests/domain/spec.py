"""Given some events, when a command, then these events or this rejection."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.domain.base import Aggregate, Command, Event, Money, Reason, Rejected, Sealed, State
from emporium.domain.order import ORDER
from emporium.domain.registry import AGGREGATES

__all__ = ["LATER", "NOW", "Given", "Outcome", "fold", "gbp", "given", "sealed", "uid"]

NOW: Final = datetime(2024, 3, 1, 12, tzinfo=UTC)
LATER: Final = NOW + timedelta(days=40)

_BY_MODULE: Final = {aggregate.decide.__module__: aggregate for aggregate in AGGREGATES}
_BY_MODULE["emporium.domain.returns"] = ORDER
_BY_MODULE["emporium.domain.cancellations"] = ORDER
_BY_EVENT: Final = {event: aggregate for aggregate in AGGREGATES for event in aggregate.events}


def uid(number: int) -> UUID:
    """A UUID that is easy to read in a failure."""
    return UUID(int=number)


def gbp(pence: int) -> Money:
    """Pence as money."""
    return Money(pence, "GBP")


def sealed(what: str, event: str = "CustomerRegistered") -> Sealed:
    """Something sealed; the domain never looks inside."""
    return Sealed(uid(9), event, what.encode())


def fold(aggregate: Aggregate[Any], events: Sequence[Event], state: State | None = None) -> State | None:
    """The state after the events; checks at each that a snapshot of the state is the state itself."""
    for event in events:
        state = aggregate.evolve(state, event)
        assert msgspec.json.decode(msgspec.json.encode(state), type=aggregate.state) == state
    return state


class Outcome:
    """What a command came to."""

    def __init__(self, aggregate: Aggregate[Any], state: State | None, command: Command) -> None:
        self._aggregate = aggregate
        self._before = state
        self.events: list[Event] = []
        self.rejection: Rejected | None = None
        try:
            self.events = list(aggregate.decide(command, state))
        except Rejected as rejection:
            self.rejection = rejection

    def then(self, *events: Event) -> "Outcome":
        """The command made exactly these events; none means that it was accepted and changed nothing."""
        assert self.rejection is None, f"rejected: {self.rejection}"
        assert self.events == list(events)
        return self

    def leads_to(self, **fields: object) -> "Outcome":
        """The state afterwards has these values."""
        state = self.state
        assert {name: getattr(state, name) for name in fields} == fields
        return self

    def rejected(self, reason: Reason, **values: object) -> None:
        """The command was refused for this reason, with (at least) these values; the sentence can be shown."""
        assert self.rejection is not None, f"accepted: {self.events}"
        assert self.rejection.code == reason.code
        assert {name: self.rejection.values[name] for name in values} == values
        assert "{" not in self.rejection.text
        msgspec.json.encode(self.rejection.values)

    @property
    def state(self) -> Any:
        """The state after the command."""
        assert self.rejection is None, f"rejected: {self.rejection}"
        return fold(self._aggregate, self.events, self._before)


class Given:
    """What has happened so far."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    def when(self, command: Command) -> Outcome:
        """Lets the aggregate of the command decide."""
        aggregate = _BY_MODULE[type(command).__module__]
        return Outcome(aggregate, fold(aggregate, self._events), command)

    @property
    def state(self) -> Any:
        """The state after the events."""
        return fold(_BY_EVENT[type(self._events[0])], self._events)


def given(*events: Event) -> Given:
    """The stream so far; none means that it has not begun."""
    return Given(events)
