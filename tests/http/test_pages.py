"""What is there beside the API: OpenAPI, its page, problems, health, measures, pictures."""

import asyncio
import json
import re

import pytest
from openapi_spec_validator import validate

from emporium.domain.base import Reason
from emporium.http.bodies import Body, decode
from emporium.http.examples import EXAMPLES
from emporium.http.problems import Kind
from emporium.infra.sandbox.scripts import ADDRESSES, METHODS
from emporium.projections.registry import MODELS
from tests.http.client import API, House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_openapi_document_is_accepted_and_complete(shared: House) -> None:
    document = (await shared.client.get(f"{API}/openapi.json")).json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    checkout = document["paths"]["/api/v1/checkout"]["post"]
    assert {one["name"] for one in checkout["parameters"]} == {"Idempotency-Key", "Cart-Token"}
    assert set(checkout["responses"]) == {"202", "400", "401", "404", "409", "413", "415", "422", "429", "503"}
    assert document["components"]["schemas"]["CheckOut"]["additionalProperties"] is False
    assert document["paths"]["/api/v1/inventory/receive"]["post"]["security"] == [{"bearer": []}]
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) > 20
    assert document["components"]["schemas"]["OrderView"]["x-statuses"]["fulfilled"]["terminal"] is True


async def test_every_body_has_an_example_that_is_one(shared: House) -> None:
    document = (await shared.client.get(f"{API}/openapi.json")).json()
    bodies = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]
        for path in document["paths"].values()
        for operation in path.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert sorted(name for name, body in bodies.items() if "examples" not in body) == []
    assert sorted(EXAMPLES.keys() - bodies.keys()) == []
    kinds = {kind.__name__: kind for kind in Body.__subclasses__()}
    for name, body in bodies.items():
        kind = kinds[body["schema"]["$ref"].rpartition("/")[2]]
        for example in body["examples"].values():
            assert isinstance(decode(json.dumps(example["value"]).encode(), kind), kind), name


async def test_the_document_tells_the_test_values_and_the_kinds_of_problems(shared: House) -> None:
    schemas = (await shared.client.get(f"{API}/openapi.json")).json()["components"]["schemas"]
    assert schemas["CheckOut"]["properties"]["payment_method"]["x-test-values"].keys() == METHODS.keys()
    assert schemas["ShippingAddress"]["properties"]["name"]["x-test-values"].keys() == ADDRESSES.keys()
    assert schemas["Problem"]["x-types"].keys() == {*Kind.known, *Reason.known}
    assert schemas["Problem"]["x-types"]["cart_empty"]["status"] == 409


async def test_the_page_needs_nothing_from_elsewhere(shared: House) -> None:
    page = await shared.client.get(f"{API}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/v1/checkout" in page.text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.text)


async def test_every_kind_of_problem_has_its_page(shared: House) -> None:
    listed = (await shared.client.get("/problems")).text
    for code in {*Kind.known, *Reason.known}:
        assert f"/problems/{code}" in listed
        assert (await shared.client.get(f"/problems/{code}")).status_code == 200
    assert (await shared.client.get("/problems/nothing")).status_code == 404


async def test_health_and_measures(shared: House) -> None:
    assert (await shared.client.get("/health/live")).json() == {"status": "ok", "problems": {}}
    assert await shared.services.waiter.wait([model.name for model in MODELS], None, 10.0)
    async with asyncio.timeout(10):
        # A read model can be read a moment before its leader first tells that it lives.
        while (await shared.client.get("/health/ready")).json() != {"status": "ok", "problems": {}}:
            await asyncio.sleep(0.05)
    await shared.guest().add()
    text = (await shared.client.get("/metrics")).text
    assert re.search(
        r'emporium_http_request_seconds_count\{method="POST",route="/api/v1/cart/items",status="201"\} \d', text
    )
    assert "emporium_event_loop_lag_seconds" in text
    assert re.search(r'emporium_commit_seconds_count\{log="ordering"\} \d', text)


async def test_pictures_are_served_as_they_are_and_nothing_else(shared: House) -> None:
    url = shared.services.media.put(b"<svg/>", "svg")  # type: ignore[attr-defined]
    picture = await shared.client.get(url)
    assert (picture.status_code, picture.content) == (200, b"<svg/>")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "immutable" in picture.headers["cache-control"]
    again = await shared.client.get(url, headers={"if-none-match": picture.headers["etag"]})
    assert again.status_code == 304
    for name in ("..%2f..%2fetc%2fpasswd", "x.svg", "master.key"):
        assert (await shared.client.get(f"/media/{name}")).status_code == 404


async def test_the_bare_address_leads_to_the_page_about_the_api(shared: House) -> None:
    answer = await shared.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/v1/docs")
