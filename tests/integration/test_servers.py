"""The fixtures give what they promise: a fresh database on each server."""

from collections.abc import Callable

import psycopg
import pytest


def test_a_database_is_new_for_every_test_and_call(
    make_database: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    urls = [make_database(), make_database()]
    for url in urls:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE mark (a text)")
    assert len(set(urls)) == 2


def test_the_server_is_the_one_asked_for_and_sorts_by_code_point(database: str, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["server"]
    with psycopg.connect(database) as connection:
        if kind != "url":
            assert connection.info.server_version // 10000 == int(kind)
        row = connection.execute("SELECT 'b' < 'ä', 'B' < 'a', lower('Ä')").fetchone()
    assert row == (True, True, "ä")
