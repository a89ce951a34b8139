"""What an address or an account may ask for, who it is taken to be, and the edge's other cares."""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpx
import msgspec
import pytest

from emporium.application import bootstrap
from emporium.application.ports import Unavailable
from emporium.http.app import create_app
from emporium.http.limits import Limit, Limiter, Limits, class_of, client_of
from emporium.http.problems import Problem
from emporium.infra.eventstore.database import Database
from emporium.infra.rates import SharedRates
from emporium.infra.settings import Settings
from tests.http.client import House
from tests.http.conftest import running

SECRET = bytes(32)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/v1/products", "read"),
        ("HEAD", "/api/v1/products", "read"),
        ("POST", "/api/v1/account/login", "auth"),
        ("POST", "/api/v1/account/register", "auth"),
        ("POST", "/api/v1/checkout", "checkout"),
        ("POST", "/api/v1/checkout/quotes", "checkout"),
        ("POST", "/api/v1/cart/items", "write"),
        ("DELETE", "/api/v1/cart", "write"),
        ("GET", "/health/ready", None),
        ("GET", "/metrics", None),
        ("POST", "/api/v1/payments/webhooks/stripe", None),
    ],
)
def test_every_request_has_its_class(method: str, path: str, name: str | None) -> None:
    assert class_of(method, path) == name


PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        # What a stranger says of others is not believed.
        ("203.0.113.7", b"198.51.100.1", "203.0.113.7"),
        ("10.1.2.3", b"198.51.100.1", "198.51.100.1"),
        ("::1", b"2001:db8::1", "2001:db8::1"),
        # What stands left of the first stranger may be made up.
        ("10.1.2.3", b"192.0.2.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.1.2.3", b"nonsense, 10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", b"10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", b"", "10.1.2.3"),
    ],
)
def test_the_client_is_the_last_who_is_no_trusted_proxy(peer: str, forwarded: bytes | None, client: str) -> None:
    assert client_of({"client": (peer, 1)}, forwarded, PROXIES) == ip_address(client)


def test_nobody_is_the_client_of_a_request_without_a_peer() -> None:
    assert client_of({"client": None}, None, ()) is None
    assert client_of({"client": ("unix", 0)}, None, ()) is None


async def spent(limiter: Limiter, who: str, tries: int) -> int:
    """How many of so many requests are admitted."""
    admitted = 0
    for _ in range(tries):
        try:
            await limiter.admit("write", who)
            admitted += 1
        except Problem as problem:
            assert problem.status == 429
            assert int(problem.headers["Retry-After"]) >= 1
    return admitted


@pytest.mark.parametrize("processes", [1, 4])
async def test_several_processes_admit_what_one_would(database: str, processes: int) -> None:
    limits = Limits(write=Limit(200, 3600))
    databases = [Database(database, pool=2, patience=5) for _ in range(processes)]
    for one in databases:
        await one.open()
    try:
        limiters = [Limiter(SharedRates(one), limits, SECRET, processes) for one in databases]
        admitted = await asyncio.gather(*(spent(limiter, "203.0.113.7", 300) for limiter in limiters))
        others = await spent(limiters[0], "203.0.113.8", 10)
    finally:
        for one in databases:
            await one.close()
    assert 200 <= sum(admitted) <= 202  # a token may have come back while they asked
    assert others == 10


async def test_tokens_come_back_with_time(database: str) -> None:
    base = Database(database, pool=1, patience=5)
    await base.open()
    try:
        limiter = Limiter(SharedRates(base), Limits(write=Limit(4, 1)), SECRET)
        assert await spent(limiter, "a", 10) == 4
        with pytest.raises(Problem) as refused:
            await limiter.admit("write", "a")
        assert refused.value.headers["RateLimit-Policy"] == '"write";q=4;w=1'

        async def again() -> None:
            while True:
                try:
                    await limiter.admit("write", "a")
                    return
                except Problem:
                    await asyncio.sleep(0.02)

        async with asyncio.timeout(5):
            await again()
    finally:
        await base.close()


async def test_who_cannot_be_counted_is_admitted() -> None:
    class Away:
        async def draw(self, key: bytes, want: int, amount: int, seconds: float) -> object:
            raise Unavailable("away")

    limiter = Limiter(Away(), Limits(write=Limit(1, 60)), SECRET)  # type: ignore[arg-type]
    assert await spent(limiter, "a", 5) == 5


async def test_what_is_full_again_is_forgotten(database: str) -> None:
    base = Database(database, pool=1, patience=5)
    await base.open()
    try:
        rates = SharedRates(base)
        await rates.draw(b"old", 1, 10, 1.0)
        await rates.draw(b"new", 1, 10, 3600.0)
        await base.query(
            "UPDATE emporium_rates SET tat = now() - interval '2 minutes' WHERE key = %b RETURNING 1", [b"old"]
        )
        assert await rates.forget() == 1
        assert await base.query("SELECT key FROM emporium_rates", []) == [(b"new",)]
    finally:
        await base.close()


@pytest.fixture
def cares(database: str, folder: Path) -> Callable[..., Settings]:
    """Settings of a shop in a fresh database."""

    def make(**more: object) -> Settings:
        return msgspec.structs.replace(Settings(), database_url=database, data_dir=folder, **more)

    return make


def calling_from(house: House, address: str) -> httpx.AsyncClient:
    """A client of the gateway from elsewhere."""
    edge = create_app(house.services)
    transport = httpx.ASGITransport(app=edge, client=(address, 1), raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://shop")


async def test_an_address_that_asks_too_often_is_told_when_to_come_back(cares: Callable[..., Settings]) -> None:
    async with running(cares(limit_auth="3/600", trusted_proxies="127.0.0.0/8")) as house:
        body = {"email": "nobody@example.org", "password": "wrong horse battery"}
        async with calling_from(house, "203.0.113.7") as client:
            answers = [await client.post("/api/v1/account/login", json=body) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
            assert answers[0].headers["ratelimit"].startswith('"auth";r=2;t=')
            assert answers[0].headers["ratelimit-policy"] == '"auth";q=3;w=600'
            assert answers[3].json()["type"] == "/problems/too_many_requests"
            assert 1 <= int(answers[3].headers["retry-after"]) <= 200
            assert (await client.get("/api/v1/products")).status_code == 200
        # A proxy on this machine speaks for the address behind it, another one is not touched.
        for behind, status in (("203.0.113.7", 429), ("203.0.113.9", 401)):
            answer = await house.client.post("/api/v1/account/login", json=body, headers={"x-forwarded-for": behind})
            assert answer.status_code == status


async def test_an_account_has_an_allowance_wherever_it_calls_from(cares: Callable[..., Settings]) -> None:
    async with running(cares(limit_account="5/600")) as house:
        customer = await house.register()
        statuses = [(await customer.get("/cart")).status_code for _ in range(7)]
        assert statuses.count(200) >= 4 and statuses[-1] == 429
        assert (await (await house.register()).get("/cart")).status_code == 200


async def test_what_takes_too_long_ends_in_a_problem(cares: Callable[..., Settings]) -> None:
    async with running(cares(request_timeout_s=0.2)) as house:
        never = asyncio.Event()

        async def stuck(work: object) -> object:
            await never.wait()

        house.services.reads.run = stuck  # type: ignore[method-assign, assignment]
        answer = await house.client.get("/api/v1/products")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/timed_out")
        assert answer.headers["retry-after"] == "1"


async def test_every_answer_protects_its_reader(cares: Callable[..., Settings]) -> None:
    async with running(cares()) as house:
        for path in ("/api/v1/products", "/api/v1/docs", "/nowhere"):
            headers = (await house.client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "strict-transport-security" not in headers
        secure = await house.client.get("https://shop/api/v1/products")
        assert secure.headers["strict-transport-security"] == "max-age=31536000"


async def test_pages_of_named_origins_may_call_and_others_not(cares: Callable[..., Settings]) -> None:
    async with running(cares(cors_origins="https://shop.example, https://other.example")) as house:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}
        answer = await house.client.options("/api/v1/cart/items", headers={"origin": "https://shop.example", **asked})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "idempotency-key" in answer.headers["access-control-allow-headers"].lower()
        stranger = await house.client.get("/api/v1/products", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
        known = await house.client.get("/api/v1/products", headers={"origin": "https://other.example"})
        assert known.headers["access-control-allow-origin"] == "https://other.example"
        assert "consistency-token" in known.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize("value", ["fast", "0/60", "10", "10/0", "-1/60", "1/60/2"])
def test_a_limit_that_is_none_is_refused_by_name(value: str) -> None:
    from emporium.infra.settings import SettingsProblem, load

    with pytest.raises(SettingsProblem, match="EMPORIUM_LIMIT_AUTH"):
        load({"EMPORIUM_LIMIT_AUTH": value})


def test_a_proxy_that_is_no_network_is_refused_by_name() -> None:
    from emporium.infra.settings import SettingsProblem, load

    with pytest.raises(SettingsProblem, match="EMPORIUM_TRUSTED_PROXIES"):
        load({"EMPORIUM_TRUSTED_PROXIES": "10.0.0.0/8, the office"})
    assert load({"EMPORIUM_TRUSTED_PROXIES": "10.0.0.0/8"}).trusted_proxies == "10.0.0.0/8"


async def test_the_shop_opens_its_allowances(cares: Callable[..., Settings]) -> None:
    async with bootstrap.open_shop(cares()) as opened, bootstrap.open_doors(opened) as doors:
        assert (await doors.rates.draw(b"k", 2, 10, 60.0)).granted == 2
