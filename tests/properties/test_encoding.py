"""What goes into the log comes out of it: encode → decode is the identity, for every event and every state."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emporium.domain.base import Event, State
from emporium.domain.registry import AGGREGATES
from tests.properties.types import values

EVENTS = [event for aggregate in AGGREGATES for event in aggregate.events]
STATES = [aggregate.state for aggregate in AGGREGATES]


@pytest.mark.parametrize("event_type", EVENTS, ids=lambda event_type: event_type.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_event_is_read_as_it_was_written(event_type: type[Event], data: st.DataObject) -> None:
    event: Any = data.draw(values(event_type))
    written = msgspec.json.encode(event)
    read = msgspec.json.decode(written, type=event_type)
    assert read == event
    assert msgspec.json.encode(read) == written


@pytest.mark.parametrize("state_type", STATES, ids=lambda state_type: state_type.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_every_state_is_read_as_it_was_written(state_type: type[State], data: st.DataObject) -> None:
    state: Any = data.draw(values(state_type))
    assert msgspec.json.decode(msgspec.json.encode(state), type=state_type) == state
