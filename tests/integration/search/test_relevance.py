"""Both engines find what was meant, and find the same: the measure of `emporium bench relevance`, on fewer queries."""

import msgspec

from emporium.infra.settings import Settings
from emporium.scripts.bench.relevance import catalogue, engines, measured
from tests.servers import RUN, lack


async def test_both_engines_find_what_was_meant_and_the_same(elasticsearch: str) -> None:
    file = RUN.bench_online_retail
    if not file.is_file():
        lack(f"there is no {file}")
    documents = catalogue(file)
    async with engines(msgspec.structs.replace(Settings(), elasticsearch_url=elasticsearch), documents) as both:
        results = {one.name: one for one in await measured(both, documents, 60)}
    assert len(both) == 2
    assert {name: one.value for name, one in results.items() if not one.ok} == {}
    assert results["overlap"].value >= 0.9
