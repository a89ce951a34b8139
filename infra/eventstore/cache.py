"""The states of the streams last used: bounded, and never ahead of what is committed."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from emporium.application.ports import NewEvent, Recorded
from emporium.domain.base import Aggregate, Event, State

__all__ = ["Cached", "StateCache"]


class Cached(msgspec.Struct, frozen=True):
    """The state of a stream as of a version (None as of 0)."""

    aggregate: Aggregate[Any]
    state: State | None
    version: int


class StateCache:
    """Least recently used states of one log.

    An entry only moves forward, one version after the other, and only by events that are committed: no lock
    per stream is needed, as states are immutable and every step here is one turn of the event loop.

    Args:
        size: how many streams are remembered.
        interval: an entry that passes a multiple of it is reported to `passed`, for a snapshot.
        begins: the aggregate whose streams can begin with an event; None where that is not known.
    """

    def __init__(
        self,
        size: int,
        interval: int,
        passed: Callable[[UUID, Cached], None],
        begins: Callable[[Event], Aggregate[Any] | None],
    ) -> None:
        self._size: Final = size
        self._interval: Final = interval
        self._passed = passed
        self._begins = begins
        self._entries: OrderedDict[int, Cached] = OrderedDict()

    def get(self, aggregate: Aggregate[Any], stream: UUID) -> Cached | None:
        """The entry, if it was made by this aggregate's evolve."""
        entry = self._entries.get(stream.int)
        if entry is None or entry.aggregate is not aggregate:
            return None
        self._entries.move_to_end(stream.int)
        return entry

    def put(self, stream: UUID, entry: Cached) -> None:
        """Remembers what was loaded, unless something newer is known already."""
        known = self._entries.get(stream.int)
        if known is not None and known.aggregate is entry.aggregate and known.version >= entry.version:
            return
        self._entries[stream.int] = entry
        self._entries.move_to_end(stream.int)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def advance(
        self, events: Iterable[NewEvent | Recorded], begins: Mapping[UUID, Aggregate[Any]] | None = None
    ) -> None:
        """Takes in committed events: only where they follow what is known; else the entry stays as it is.

        Args:
            begins: new streams that are worth remembering; None where it is any of them.
        """
        entries = self._entries
        for event in events:
            known = entries.get(event.stream.int)
            if known is None and event.version == 1:
                aggregate = self._begins(event.event) if begins is None else begins.get(event.stream)
                known = None if aggregate is None else Cached(aggregate, None, 0)
            if known is None or known.version != event.version - 1:
                continue
            try:
                state = known.aggregate.evolve(known.state, event.event)
            except Exception:
                # What cannot be folded is told to whoever loads the stream, not to the writer.
                entries.pop(event.stream.int, None)
                continue
            entries[event.stream.int] = entry = Cached(known.aggregate, state, event.version)
            if len(entries) > self._size:
                entries.popitem(last=False)
            if event.version % self._interval == 0:
                self._passed(event.stream, entry)

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()
