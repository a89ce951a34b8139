"""The demo catalogue in a real database: quick, once, and whole after a kill."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from emporium.infra.media import MediaFolder
from emporium.infra.settings import Settings, environment
from emporium.scripts import seed
from emporium.scripts.demo import catalogue as demo

CONTENTS = """
SELECT topic, stream::text, version, data FROM catalog_log
UNION ALL SELECT topic, stream::text, version, data FROM inventory_log ORDER BY 2, 3
"""
PROGRAM = "import sys; from emporium.infra.settings import load; from emporium.scripts import seed; seed.run(load())"


def contents(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(CONTENTS).fetchall()


def test_a_second_start_finds_everything(settings: Settings) -> None:
    assert seed.run(settings) == seed.Seeded(len(demo.PRODUCTS), True)
    before = contents(str(settings.database_url))
    assert seed.run(settings).products == 0
    assert contents(str(settings.database_url)) == before
    pictures = {row[3]["images"][0]["url"] for row in before if row[0] == "catalog.ProductCreated"}  # type: ignore[index]
    assert len(pictures) == len(demo.PRODUCTS)
    for url in pictures:
        assert MediaFolder(settings.data_dir).get(url.removeprefix("/media/")) is not None


@pytest.mark.parametrize("events", [1, 700, 2500])
def test_a_run_that_was_killed_is_completed_by_the_next(settings: Settings, tmp_path: Path, events: int) -> None:
    url = str(settings.database_url)
    environ = {**os.environ, **environment(settings)}
    with psycopg.connect(url, autocommit=True) as connection:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environ)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM catalog_events) + (SELECT count(*) FROM inventory_events)"
            ).fetchone()
            if row is not None and row[0] >= events:
                process.kill()
        process.wait()
    done = {row[1] for row in contents(url) if row[0] == "catalog.ProductCreated"}
    assert seed.run(settings).products == len(demo.PRODUCTS) - len(done)
    found = contents(url)
    assert len({row[:3] for row in found}) == len(found)
    units = [row[3]["sku"] + row[3]["warehouse"] for row in found if row[0] == "inventory.UnitsReceived"]  # type: ignore[index]
    assert len(units) == len(set(units))
    assert sum(row[0] == "catalog.ProductPublished" for row in found) == len(demo.PRODUCTS)
    assert seed.run(settings).products == 0
