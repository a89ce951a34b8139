"""What a search may ask for: no caller can make one request cost as much as hundreds."""

import pytest

from tests.http.client import API, House


def several(name: str, values: list[str]) -> str:
    return "&".join(f"{name}={value}" for value in values)


@pytest.mark.parametrize(
    "query",
    [
        several("brand", [f"b{n}" for n in range(101)]),
        several("attribute", [f"colour:c{n}" for n in range(101)]),
        several("attribute", [f"a{n}:x" for n in range(11)]),
        several("between", [f"a{n}:1..2" for n in range(11)]),
        "between=width:nan..2",
        "between=width:1..inf",
        "between=width:1e999..",
    ],
)
async def test_a_search_has_few_filters_and_real_numbers(shared: House, query: str) -> None:
    refused = await shared.client.get(f"{API}/search?{query}")
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid_parameter"), refused.text
