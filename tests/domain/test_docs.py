"""The documents that the code writes are current."""

import pytest

from emporium.domain.registry import AGGREGATES
from emporium.scripts.docs import DOCUMENTS, FOLDER, event_catalogue


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_is_current(name: str) -> None:
    current = (FOLDER / name).read_text(encoding="utf-8") == DOCUMENTS[name]()
    assert current, f"docs/{name} is not current: run python -m emporium.scripts.docs"


def test_every_event_is_in_the_catalogue() -> None:
    text = event_catalogue()
    for aggregate in AGGREGATES:
        for event in aggregate.events:
            assert f"#### {aggregate.log}.{event.__name__}" in text
