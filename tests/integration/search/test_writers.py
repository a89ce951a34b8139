"""One process at a time writes the embedded index; who rests lets another one."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from emporium.application.search import Document, EngineDown, Price, Query, Rules
from emporium.infra.search.embedded import EmbeddedSearch


async def test_who_rests_lets_another_process_write(tmp_path: Path) -> None:
    mug = Document(
        product_id=uuid4(),
        slug="mug",
        title="Mug",
        prices={"GBP": Price(lowest=100, highest=100)},
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    one, other = EmbeddedSearch(tmp_path), EmbeddedSearch(tmp_path)
    try:
        await (await one.rebuild(["GBP"])).finish()
        await one.index([mug], [], 1)
        with pytest.raises(EngineDown):
            await other.index([mug], [], 2)
        await one.rest()
        await other.index([mug], [], 2)
        assert (await one.search(Query(words="mug", currency="GBP"), Rules())).total == 1
    finally:
        await one.aclose()
        await other.aclose()
