"""The rows of a read model depend on its events alone: not on batches, on how logs interleave, nor on a rebuild."""

import random
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import psycopg
import pytest

from emporium.application.ports import Recorded
from emporium.projections import generations
from emporium.projections.follower import Follower
from emporium.projections.generations import LIVE, NEXT
from emporium.projections.model import ReadModel
from emporium.projections.registry import MODELS
from tests.integration.projections.shop import Shop, rows
from tests.support.stories import recorded, year

EVERY_MODEL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


class Drops:
    """A source that gives out one log in batches of any size, now and then nothing at all."""

    def __init__(self, events: Sequence[Recorded], rng: random.Random, largest: int) -> None:
        self.incarnation = uuid4()
        self._events = events
        self._rng = rng
        self._largest = largest

    async def read(self, after: int) -> tuple[Sequence[Recorded], int]:
        ahead = [one for one in self._events if one.position > after]
        if not ahead:
            return [], after
        if self._rng.random() < 0.3:
            # Positions move over what does not matter, too.
            return [], after + self._rng.randrange(2) if ahead[0].position > after + 1 else after
        batch = ahead[: self._rng.randint(1, self._largest)]
        return batch, batch[-1].position


async def fold_in_drops(dsn: str, model: ReadModel, told: Mapping[str, Sequence[Recorded]], seed: int) -> None:
    rng = random.Random(seed)
    largest = rng.choice((1, 3, 40, 1_000))
    sources = {
        log: Drops([one for one in told.get(log, ()) if isinstance(one.event, types)], rng, largest)
        for log, types in model.logs.items()
    }
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await generations.install(connection, [model])
        follower = Follower(model, LIVE, connection, sources, epoch=1)
        await follower.claim()
        ends = {log: source._events[-1].position for log, source in sources.items() if source._events}
        while any(follower.positions[log] < end for log, end in ends.items()):
            await follower.advance()


@EVERY_MODEL
async def test_any_batches_and_any_interleaving_give_the_same_rows(model: ReadModel, dsn: str) -> None:
    told = recorded(year(60))
    schema = generations.schema_of(model.name, LIVE)
    seen = []
    for seed in range(4):
        await fold_in_drops(dsn, model, told, seed)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            seen.append(await rows(connection, schema))
            parked = await connection.execute("SELECT log, position, error FROM emporium_parked")
            assert await parked.fetchall() == []
            async with connection.transaction():
                await generations.drop(connection, model.name, LIVE)
    assert sum(map(len, seen[0].values())) > 20
    assert seen[1:] == seen[:1] * 3


@EVERY_MODEL
async def test_a_rebuild_gives_the_rows_that_live_folding_gave(model: ReadModel, shop: Shop) -> None:
    told = year(80)
    async with shop.engine([model]), shop.waiter([model]) as waiter:
        for start in range(0, len(told), 97):
            token = await shop.write(told[start : start + 97])
            assert await waiter.wait([model.name], token, 30)
    live = await shop.rows(model)
    done = await shop.rebuild(model)
    assert done.parked == 0
    assert await shop.rows(model) == live
    assert await shop.rows(model, generations.PREVIOUS) == live
    assert done.compared is not None
    assert all(table.equal and table.live_rows == table.next_rows for table in done.compared)
    assert await generations.generation(shop.connection, model.name, NEXT) is None


def test_stories_tell_the_same_twice() -> None:
    assert recorded(year(30)) == recorded(year(30))
    assert isinstance(recorded(year(5))["ordering"][0].id, UUID)
