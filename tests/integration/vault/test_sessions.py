"""A token lets its bearer in until it is revoked or expires, and its theft from the database is worth nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emporium.application.ports import Unavailable
from emporium.infra.revocable import TRUST, connected
from emporium.infra.sessions import CartTokens, Sessions, open_sessions

CUSTOMER = uuid4()
IDLE = timedelta(hours=1)
LONGEST = timedelta(hours=3)

MakeSessions = Callable[[], AbstractAsyncContextManager[Sessions]]


@pytest.fixture
def sessions_of(dsn: str, seconds: Callable[[], float]) -> MakeSessions:
    @asynccontextmanager
    async def make() -> AsyncIterator[Sessions]:
        async with connected(dsn) as both:
            sessions = Sessions(*both, idle=IDLE, longest=LONGEST, clock=seconds)
            await sessions.start()
            yield sessions

    return make


@pytest.fixture
async def sessions(sessions_of: MakeSessions) -> AsyncIterator[Sessions]:
    async with sessions_of() as made:
        yield made


@pytest.fixture
async def other(sessions_of: MakeSessions) -> AsyncIterator[Sessions]:
    async with sessions_of() as made:
        yield made


async def test_a_token_resolves_to_its_session_in_every_process(sessions: Sessions, other: Sessions) -> None:
    token = await sessions.create(CUSTOMER, ["customer", "admin"])
    for each in (sessions, other):
        session = await each.resolve(token)
        assert session is not None
        assert session.customer == CUSTOMER
        assert session.roles == ("customer", "admin")
        assert session.expires_at - session.created_at == IDLE


async def test_the_database_does_not_know_the_token(sessions: Sessions, sql: psycopg.AsyncConnection[Any]) -> None:
    token = await sessions.create(CUSTOMER, [])
    stored = await (
        await sql.execute("SELECT s::text, encode(token_hash, 'escape') FROM emporium_sessions s")
    ).fetchall()
    assert token not in str(stored)
    assert len(token) == 43


@pytest.mark.parametrize("token", ["", "x", "ü", "\ud800", "\x00", "a" * 1_000_000])
async def test_a_token_that_nobody_made_is_nobodys(sessions: Sessions, token: str) -> None:
    assert await sessions.resolve(token) is None


async def test_a_known_session_needs_no_query(
    sessions: Sessions, seconds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await sessions.create(CUSTOMER, [])
    await sessions.resolve(token)
    for _ in range(10):
        seconds.now += TRUST * 0.9
        await sessions.catch_up()
        with monkeypatch.context() as patched:
            patched.setattr(sessions, "_database", None)
            assert await sessions.resolve(token) is not None


class TestRevocation:
    """Who is logged out stays out."""

    async def test_in_the_same_process_at_once(self, sessions: Sessions) -> None:
        token = await sessions.create(CUSTOMER, [])
        session = await sessions.resolve(token)
        assert session is not None
        await sessions.revoke(CUSTOMER, session.id)
        assert await sessions.resolve(token) is None

    async def test_in_another_process_within_the_bound(self, sessions: Sessions, other: Sessions, seconds: Any) -> None:
        token = await sessions.create(CUSTOMER, [])
        session = await other.resolve(token)
        assert session is not None
        await sessions.revoke(CUSTOMER, session.id)
        seconds.now += TRUST + 0.01
        assert await other.resolve(token) is None

    async def test_in_another_process_that_follows(self, sessions: Sessions, other: Sessions) -> None:
        token = await sessions.create(CUSTOMER, [])
        await other.resolve(token)
        await sessions.revoke_all(CUSTOMER)
        await other.catch_up()
        assert await other.resolve(token) is None

    async def test_open_sessions_follow_by_themselves(self, dsn: str) -> None:
        async with open_sessions(dsn, IDLE, LONGEST) as sessions, open_sessions(dsn, IDLE, LONGEST) as other:
            token = await sessions.create(CUSTOMER, [])
            await other.resolve(token)
            await sessions.revoke_all(CUSTOMER)
            deadline = asyncio.get_running_loop().time() + TRUST + 0.5
            while await other.resolve(token):
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.01)

    async def test_of_all_leaves_other_customers_alone(self, sessions: Sessions) -> None:
        mine = [await sessions.create(CUSTOMER, []) for _ in range(3)]
        theirs = await sessions.create(uuid4(), [])
        for token in (*mine, theirs):
            await sessions.resolve(token)
        await sessions.revoke_all(CUSTOMER)
        assert [await sessions.resolve(token) for token in mine] == [None] * 3
        assert await sessions.resolve(theirs) is not None
        assert await sessions.list(CUSTOMER) == []

    async def test_of_a_session_that_is_not_ones_own_does_nothing(self, sessions: Sessions, other: Sessions) -> None:
        token = await sessions.create(CUSTOMER, [])
        session = await sessions.resolve(token)
        assert session is not None
        await sessions.revoke(uuid4(), session.id)
        for nonsense in ("", "xyz", "00", "é"):
            await sessions.revoke(CUSTOMER, nonsense)
        assert await sessions.resolve(token) is not None
        assert await other.resolve(token) is not None

    async def test_twice_does_no_harm(self, sessions: Sessions) -> None:
        token = await sessions.create(CUSTOMER, [])
        await sessions.revoke_all(CUSTOMER)
        await sessions.revoke_all(CUSTOMER)
        assert await sessions.resolve(token) is None

    async def test_is_numbered_in_the_order_of_the_commits(
        self, sessions: Sessions, other: Sessions, dsn: str, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        first, second = uuid4(), uuid4()
        tokens = [await sessions.create(customer, []) for customer in (first, second)]
        for token in tokens:
            await other.resolve(token)
        async with await psycopg.AsyncConnection.connect(dsn) as slow:
            await slow.execute("SELECT emporium_revoke(%s, NULL)", (first,))
            fast = asyncio.ensure_future(sessions.revoke_all(second))
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while (await (await sql.execute(waiting)).fetchone()) == (0,):
                assert not fast.done()
                await asyncio.sleep(0)
            await other.catch_up()
            await slow.commit()
            await fast
        await other.catch_up()
        assert [await other.resolve(token) for token in tokens] == [None, None]

    async def test_while_the_session_is_being_read_wins(
        self, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await sessions.create(CUSTOMER, [])
        read = sessions._find

        async def slow(keys: Any) -> Any:
            answer = await read(keys)
            await sessions.revoke_all(CUSTOMER)
            return answer

        monkeypatch.setattr(sessions, "_find", slow)
        assert await sessions.resolve(token) is None


async def test_living_sessions_are_listed(sessions: Sessions) -> None:
    tokens = [await sessions.create(CUSTOMER, []) for _ in range(3)]
    await sessions.create(uuid4(), [])
    resolved = [await sessions.resolve(token) for token in tokens]
    listed = await sessions.list(CUSTOMER)
    assert {session.id for session in listed} == {session.id for session in resolved if session}


class TestExpiry:
    """A session that is used goes on; one that is not, or is old, ends."""

    async def test_an_unused_session_ends_in_memory_and_in_the_database(
        self, sessions: Sessions, other: Sessions, seconds: Any, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        token = await sessions.create(CUSTOMER, [])
        await sql.execute("UPDATE emporium_sessions SET expires_at = now() + interval '30 s'")
        assert await sessions.resolve(token) is not None
        for _ in range(31):
            seconds.now += 1
            await sessions.catch_up()
        assert await sessions.resolve(token) is None
        await sql.execute("UPDATE emporium_sessions SET expires_at = now()")
        assert await other.resolve(token) is None
        assert await other.list(CUSTOMER) == []

    async def test_use_puts_the_end_off_with_few_writes(
        self, sessions: Sessions, seconds: Any, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        token = await sessions.create(CUSTOMER, [])
        await sql.execute("UPDATE emporium_sessions SET expires_at = now() + interval '30 s'")
        await sessions.resolve(token)
        await sessions.note_use()
        written = await self.expiry(sql)
        assert written > timedelta(minutes=59)
        for _ in range(50):
            seconds.now += 1
            await sessions.catch_up()
            assert await sessions.resolve(token) is not None
            await sessions.note_use()
        [[version]] = await (await sql.execute("SELECT xmin::text FROM emporium_sessions")).fetchall()
        await sessions.resolve(token)
        await sessions.note_use()
        [[later]] = await (await sql.execute("SELECT xmin::text FROM emporium_sessions")).fetchall()
        assert version == later

    async def test_no_use_puts_the_end_off_for_ever(
        self, sessions: Sessions, seconds: Any, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        token = await sessions.create(CUSTOMER, [])
        await sql.execute("UPDATE emporium_sessions SET created_at = now() - interval '2 h 59 min'")
        await sessions.resolve(token)
        await sessions.note_use()
        assert await self.expiry(sql) < timedelta(minutes=2)

    async def test_use_does_not_revive_what_was_revoked(
        self, sessions: Sessions, other: Sessions, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        token = await sessions.create(CUSTOMER, [])
        await other.resolve(token)
        await sessions.revoke_all(CUSTOMER)
        await other.note_use()
        assert await sessions.resolve(token) is None
        assert await other.list(CUSTOMER) == []

    async def test_what_ended_long_ago_is_forgotten(
        self, sessions: Sessions, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        old, present = await sessions.create(uuid4(), []), await sessions.create(CUSTOMER, [])
        old_one = await sessions.resolve(old)
        assert old_one is not None
        await sql.execute(
            "UPDATE emporium_sessions SET expires_at = now() - interval '31 days' WHERE customer = %s",
            (old_one.customer,),
        )
        await sessions.purge()
        counted = await (await sql.execute("SELECT count(*) FROM emporium_sessions")).fetchone()
        assert counted == (1,)
        assert await sessions.resolve(present) is not None

    @staticmethod
    async def expiry(sql: psycopg.AsyncConnection[Any]) -> timedelta:
        [[left]] = await (await sql.execute("SELECT expires_at - now() FROM emporium_sessions")).fetchall()
        assert isinstance(left, timedelta)
        return left


async def test_while_the_database_is_away_nobody_is_let_in_and_it_is_said_so(
    sessions: Sessions, seconds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await sessions.create(CUSTOMER, [])
    await sessions.resolve(token)
    await sessions._database.close()
    sessions._database._patience = 0.1
    assert await sessions.resolve(token) is not None
    seconds.now += TRUST + 0.01
    with pytest.raises(Unavailable):
        await sessions.resolve(token)


async def test_what_could_not_be_noted_is_noted_later(
    sessions: Sessions, sql: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await sessions.create(CUSTOMER, [])
    await sql.execute("UPDATE emporium_sessions SET last_seen_at = now() - interval '1 h'")
    await sessions.resolve(token)
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "_database", None)
        with pytest.raises(AttributeError):
            await sessions.note_use()
    await sessions.note_use()
    [session] = await sessions.list(CUSTOMER)
    assert session.last_seen_at > session.expires_at - IDLE - timedelta(minutes=1)


CARTS = CartTokens(b"s" * 32)


class TestCartTokens:
    """A cart's token names the cart; nobody can make one for a cart that is not theirs."""

    @given(st.uuids())
    def test_a_token_names_its_cart(self, cart: UUID) -> None:
        token = CARTS.sign_cart(cart)
        assert len(token) == 64
        assert CARTS.read_cart(token) == cart
        assert CartTokens(b"t" * 32).read_cart(token) is None

    @given(st.uuids(), st.integers(0, 63), st.characters())
    def test_no_character_can_be_changed(self, cart: UUID, place: int, character: str) -> None:
        token = CARTS.sign_cart(cart)
        changed = token[:place] + character + token[place + 1 :]
        assert CARTS.read_cart(changed) == (cart if changed == token else None)

    @given(st.text())
    def test_any_other_text_names_none(self, text: str) -> None:
        assert CARTS.read_cart(text) is None

    def test_a_weak_secret_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            CartTokens(b"short")


async def test_a_device_is_new_after_others_and_an_update_of_one_is_not(sessions: Sessions) -> None:
    assert not await sessions.is_new_device(CUSTOMER, "Firefox/1.0")
    await sessions.create(CUSTOMER, [], "Firefox/1.0")
    assert not await sessions.is_new_device(CUSTOMER, "Firefox/2.1")
    assert await sessions.is_new_device(CUSTOMER, "curl/8")
    assert await sessions.is_new_device(CUSTOMER, None)
    assert not await sessions.is_new_device(uuid4(), "curl/8")


async def test_all_sessions_but_one_end(sessions: Sessions) -> None:
    tokens = [await sessions.create(CUSTOMER, []) for _ in range(3)]
    stays = await sessions.resolve(tokens[1])
    assert stays is not None
    await sessions.revoke_others(CUSTOMER, stays.id)
    assert [await sessions.resolve(token) is not None for token in tokens] == [False, True, False]


async def test_a_forgotten_customer_has_no_devices(sessions: Sessions, sql: psycopg.AsyncConnection[Any]) -> None:
    token = await sessions.create(CUSTOMER, [], "Ada's phone")
    await sessions.forget(CUSTOMER)
    assert await sessions.resolve(token) is None
    rows = await (await sql.execute("SELECT device, model FROM emporium_sessions")).fetchall()
    assert rows == [(None, None)]


async def test_a_machines_key_ends_at_its_time_however_much_it_is_used(
    sessions: Sessions, other: Sessions, sql: psycopg.AsyncConnection[Any]
) -> None:
    key_id, key = uuid4(), "emk_secret"
    ends = datetime.now(UTC) + timedelta(days=30)
    await sessions.admit(key_id, ["warehouse:read"], hashlib.sha256(key.encode()).digest(), ends)
    found = await other.resolve(key)
    assert found is not None
    assert (found.kind, found.customer, found.roles, found.expires_at) == ("key", key_id, ("warehouse:read",), ends)
    await sessions.revoke_all(key_id)
    await other.catch_up()
    assert await other.resolve(key) is None
