"""Whatever a stranger sends, the answer is a problem that blames the request, never an internal error."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emporium.projections.paging import encode_cursor
from tests.http.client import API, House

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEEP = b'{"sku":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

BODIES = {
    "empty": b"",
    "not json": b"sku=MUG",
    "cut off": b'{"sku": "MU',
    "trailing": b'{"sku": "MUG"} x',
    "byte order mark": b'\xef\xbb\xbf{"sku": "MUG"}',
    "invalid utf-8": b'{"sku": "\xff\xfe"}',
    "overlong utf-8": b'{"sku": "\xc0\xaf"}',
    "surrogate in utf-8": b'{"sku": "\xed\xa0\x80"}',
    "lone surrogate": rb'{"sku": "\ud800"}',
    "lone surrogate in a known text": rb'{"email": "a\udfff@example.org", "password": "12345678"}',
    "nul": rb'{"sku": "MUG\u0000"}',
    "nul in a key": rb'{"sk\u0000u": "MUG"}',
    "deep": DEEP,
    "deep unknown": b'{"x":' + DEEP + b"}",
    "deep array": b"[" * 100_000 + b"]" * 100_000,
    "array": b"[]",
    "null": b"null",
    "number": b"1",
    "string": b'"x"',
    "wrong types": b'{"sku": 1, "quantity": "2"}',
    "quantity as text": b'{"sku": "MUG", "quantity": "1"}',
    "quantity as float": b'{"sku": "MUG", "quantity": 1.0}',
    "quantity as bool": b'{"sku": "MUG", "quantity": true}',
    "huge": b'{"sku": "MUG", "quantity": ' + b"9" * 5_000 + b"}",
    "beyond 64 bits": b'{"sku": "MUG", "quantity": 18446744073709551616}',
    "negative": b'{"sku": "MUG", "quantity": -1}',
    "exponent": b'{"sku": "MUG", "quantity": 1e400}',
    "nan": b'{"sku": "MUG", "quantity": NaN}',
    "infinity": b'{"sku": "MUG", "quantity": -Infinity}',
    "long text": b'{"sku": "' + b"x" * 900_000 + b'"}',
    "controls": rb'{"sku": "M\u0007G"}',
    "too large": b'{"sku": "' + b"x" * 10_000_000 + b'"}',
}

PATHS = ("/cart/items", "/account/register", "/account/login", "/checkout")


async def test_hostile_bodies_are_refused(shared: House) -> None:
    guest = shared.guest()
    await guest.add()
    admin = await shared.staff()
    callers = [(guest, path) for path in PATHS]
    callers += [(admin, path) for path in ("/inventory/receive", "/inventory/adjust")]
    for name, body in BODIES.items():
        for caller, path in callers:
            answer = await caller.client.post(
                API + path, content=body, headers={**caller.headers, "content-type": "application/json"}
            )
            assert 400 <= answer.status_code < 500, (name, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json", (name, path)
            assert answer.json()["status"] == answer.status_code
            assert len(answer.content) < 20_000, (name, path)
            if name == "too large":
                assert answer.status_code == 413


ADDRESSES = (
    "/api/v1/orders/%00",
    "/api/v1/orders/%FF%FE",
    "/api/v1/orders/%F0%9F%92%A9",
    "/api/v1/orders/" + "9" * 5_000,
    "/api/v1/orders/..%2f..%2f",
    "/api/v1/products/%00",
    "/api/v1/products/%ED%A0%80",
    "/api/v1/products?cursor=%00",
    "/api/v1/products?cursor=%ff%fe",
    "/api/v1/products?category=%00",
    "/api/v1/products?limit=1&limit=2",
    "/api/v1/products?limit=" + "9" * 4_000,
    "/api/v1/products?limit=1e3",
    "/api/v1/products?limit=-0",
    f"/api/v1/products?cursor={encode_cursor(chr(0), UUID(int=0))}",
    f"/api/v1/products?sort=price&cursor={encode_cursor(2**80, UUID(int=0))}",
    f"/api/v1/products?sort=newest&cursor={encode_cursor('0001-01-01T00:00:00', UUID(int=0))}",
    "/api/v1/inventory/levels?sku=%00",
    "/api/v1/inventory/levels?warehouse=%ed%a0%80",
    "/api/v1/payments/%00",
    "/problems/%00",
    "/media/%00",
)


async def test_hostile_addresses_are_no_internal_error(shared: House) -> None:
    admin = await shared.staff()
    for path in ADDRESSES:
        answer = await admin.call("GET", path)
        assert 200 <= answer.status_code < 500, (path, answer.text)


HEADERS: tuple[dict[str, Any], ...] = (
    {"authorization": "Bearer"},
    {"authorization": "Bearer " + "x" * 10_000},
    {"authorization": b"Bearer \xff\xfe"},
    {"authorization": "Basic YTpi"},
    {"cart-token": "x"},
    {"cart-token": b"\xff" * 64},
    {"cart-token": "A" * 64},
    {"idempotency-key": ""},
    {"idempotency-key": "x" * 256},
    {"idempotency-key": b"\xff"},
    {"content-length": "999999999999"},
    {"content-length": "-1"},
)


async def test_hostile_headers_are_refused(shared: House) -> None:
    for headers in HEADERS:
        answer = await shared.client.post(f"{API}/cart/items", json={"sku": "MUG"}, headers=headers)
        assert 400 <= answer.status_code < 500, (headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for token in ("x", b"\xff", "ordering.zzzzzzzzzzzzz.000000000000", "-", "a.1.000000000000" * 100):
        answer = await shared.client.get(f"{API}/cart", headers={"consistency-token": token})
        assert 400 <= answer.status_code < 500, (token, answer.text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["sku", "quantity", "currency", "email", "password", "name", "shipping_address", "lines", "country", "reason"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(path=st.sampled_from(PATHS), body=st.dictionaries(FIELDS, JSON, max_size=6) | JSON | st.binary(max_size=200))
async def test_no_body_is_an_internal_error(shared: House, path: str, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await shared.client.post(API + path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
