"""A person's data can be read with the person's key only, and with nobody's once the key is destroyed."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from emporium.application.ports import Erased, Unavailable
from emporium.domain.base import Sealed
from emporium.infra.revocable import TRUST, connected
from emporium.infra.vault import KeyNotAtHand, KeyVault, MasterKey, MasterKeyError, Masters, open_vault

STREAM = UUID("0f6f2b4e-4a6b-4f8e-9a59-0c3f2f1f1a11")
MASTER = MasterKey(bytes(range(32)))
OTHER_MASTER = MasterKey(bytes(32))

MakeVault = Callable[..., AbstractAsyncContextManager[KeyVault]]


@pytest.fixture
def vault_of(dsn: str, seconds: Callable[[], float]) -> MakeVault:
    """Makes vaults as different processes would have them; nothing follows erasures but `catch_up`."""

    @asynccontextmanager
    async def make(*masters: MasterKey, capacity: int = 1000) -> AsyncIterator[KeyVault]:
        async with connected(dsn) as both:
            vault = KeyVault(*both, Masters(*(masters or (MASTER,))), capacity=capacity, clock=seconds)
            await vault.start()
            yield vault

    return make


@pytest.fixture
async def vault(vault_of: MakeVault) -> AsyncIterator[KeyVault]:
    async with vault_of() as made:
        yield made


@pytest.fixture
async def other(vault_of: MakeVault) -> AsyncIterator[KeyVault]:
    async with vault_of() as made:
        yield made


def seal(vault: KeyVault, subject: UUID, value: Any = "Ada Lovelace") -> Sealed:
    return vault.seal(subject, "CustomerRegistered", STREAM, "name", value)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(value=json)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_json_value_comes_back(vault: KeyVault, value: Any) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    assert vault.unseal(seal(vault, subject, value), STREAM, "name") == value


async def test_a_box_shows_nothing_of_its_value_and_no_two_are_alike(vault: KeyVault) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    one, two = seal(vault, subject), seal(vault, subject)
    assert b"Ada" not in one.box
    assert one.box != two.box


async def test_another_process_reads_what_was_sealed(vault: KeyVault, other: KeyVault) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    sealed = seal(vault, subject)
    await other.load_keys([subject])
    assert other.unseal(sealed, STREAM, "name") == "Ada Lovelace"


async def test_a_box_opens_nowhere_but_where_it_was_sealed(vault: KeyVault) -> None:
    subject, neighbour = uuid4(), uuid4()
    await vault.key_for_many([subject, neighbour])
    sealed = seal(vault, subject)
    with pytest.raises(ValueError, match="moved or altered"):
        vault.unseal(sealed, uuid4(), "name")
    with pytest.raises(ValueError, match="moved or altered"):
        vault.unseal(sealed, STREAM, "email")
    with pytest.raises(ValueError, match="moved or altered"):
        vault.unseal(Sealed(subject, "OrderCreated", sealed.box), STREAM, "name")
    assert vault.unseal(Sealed(neighbour, sealed.event, sealed.box), STREAM, "name") == "[key missing]"


async def test_event_and_field_cannot_be_cut_elsewhere(vault: KeyVault) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    sealed = vault.seal(subject, "Renamed", STREAM, "name", "Ada")
    with pytest.raises(ValueError, match="moved or altered"):
        vault.unseal(Sealed(subject, "Rename", sealed.box), STREAM, "dname")


async def test_no_bit_of_a_box_can_be_changed_unnoticed(vault: KeyVault) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    sealed = seal(vault, subject)
    for bit in range(len(sealed.box) * 8):
        box = bytearray(sealed.box)
        box[bit // 8] ^= 1 << bit % 8
        altered = Sealed(subject, sealed.event, bytes(box))
        with suppress(ValueError):
            assert vault.unseal(altered, STREAM, "name") == "[key missing]"
    for length in range(len(sealed.box)):
        with pytest.raises(ValueError, match=r"altered|format"):
            vault.unseal(Sealed(subject, sealed.event, sealed.box[:length]), STREAM, "name")


async def test_the_key_is_committed_when_key_for_returns(
    vault: KeyVault, sql: psycopg.AsyncConnection[Any], dsn: str
) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    row = await (
        await sql.execute("SELECT wrapped, master FROM emporium_keys WHERE subject = %s", (subject,))
    ).fetchone()
    assert row is not None
    assert len(row[0]) == 12 + 32 + 16
    assert row[1] == MASTER.id


async def test_keys_and_erasures_are_on_the_disk_even_where_the_server_does_not_wait_for_it(
    dsn: str, sql: psycopg.AsyncConnection[Any]
) -> None:
    async def on_disk() -> bool:
        cursor = await sql.execute("SELECT pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn()")
        return (await cursor.fetchone()) == (True,)

    async with open_vault(make_conninfo(dsn, options="-csynchronous_commit=off"), Masters(MASTER)) as vault:
        made, erased = [], []
        for _ in range(20):
            subject = uuid4()
            await vault.key_for(subject)
            made.append(await on_disk())
            await vault.erase(subject)
            erased.append(await on_disk())
    # Others may write between: what is not waited for is hardly ever there, what is waited for hardly ever not.
    assert made.count(True) > 10
    assert erased.count(True) > 10


async def test_all_who_ask_at_once_get_the_same_key(vault: KeyVault, other: KeyVault) -> None:
    for _ in range(20):
        subjects = [uuid4() for _ in range(20)]
        await asyncio.gather(
            vault.key_for_many(subjects),
            other.key_for_many(subjects[::-1]),
            *(each.key_for(subject) for each in (vault, other) for subject in subjects),
        )
        for subject in subjects:
            assert other.unseal(seal(vault, subject), STREAM, "name") == "Ada Lovelace"


RACER = """
import asyncio, sys
from uuid import UUID
from emporium.infra.vault import Masters, MasterKey, open_vault

async def main(dsn):
    async with open_vault(dsn, Masters(MasterKey(bytes(range(32))))) as vault:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(1, 200):
            subject = UUID(int=number)
            await vault.key_for(subject)
            print(vault.seal(subject, "E", subject, "f", number).box.hex(), flush=True)

asyncio.run(main(sys.argv[1]))
"""


def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def test_two_processes_agree_on_every_key(vault: KeyVault, dsn: str) -> None:
    async with AsyncExitStack() as stack:
        racers = []
        for _ in range(2):
            racer = await asyncio.create_subprocess_exec(
                sys.executable, "-c", RACER, dsn,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            stack.callback(ended, racer)
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
            racers.append(racer)
        answers = await asyncio.gather(*(racer.communicate(b"\n") for racer in racers))
    for stdout, _ in answers:
        boxes = stdout.split()
        assert len(boxes) == 199
        for number, box in enumerate(boxes, start=1):
            subject = UUID(int=number)
            await vault.load_keys([subject])
            assert vault.unseal(Sealed(subject, "E", bytes.fromhex(box.decode())), subject, "f") == number


async def test_many_keys_are_one_statement(vault: KeyVault, dsn: str, sql: psycopg.AsyncConnection[Any]) -> None:
    subjects = [uuid4() for _ in range(300)]
    await vault.key_for_many(subjects)
    counted = await (await sql.execute("SELECT count(DISTINCT created_at), count(*) FROM emporium_keys")).fetchone()
    assert counted == (1 + 1, 300 + 1)  # the other one is the vault's own


async def test_a_key_that_is_not_at_hand_is_said_so(vault: KeyVault, seconds: Any) -> None:
    subject = uuid4()
    with pytest.raises(KeyNotAtHand):
        seal(vault, subject)
    await vault.key_for(subject)
    sealed = seal(vault, subject)
    seconds.now += TRUST + 0.01
    with pytest.raises(Unavailable):
        seal(vault, subject)
    with pytest.raises(Unavailable):
        vault.unseal(sealed, STREAM, "name")


async def test_while_erasures_are_followed_a_cached_key_needs_no_query(dsn: str, vault: KeyVault, seconds: Any) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    for _ in range(20):
        seconds.now += TRUST * 0.9
        await vault.catch_up()
        seal(vault, subject)
    seconds.now += 60
    await vault.catch_up()
    with pytest.raises(KeyNotAtHand):
        seal(vault, subject)


class TestAfterErasure:
    """What was sealed before reads as erased, and nothing more can be sealed."""

    async def test_in_the_same_process_at_once(self, vault: KeyVault) -> None:
        subject = uuid4()
        await vault.key_for(subject)
        sealed = seal(vault, subject)
        await vault.erase(subject)
        assert vault.unseal(sealed, STREAM, "name") == "[erased]"
        with pytest.raises(Erased):
            seal(vault, subject)
        with pytest.raises(Erased):
            await vault.key_for(subject)
        with pytest.raises(Erased):
            await vault.key_for_many([uuid4(), subject])

    async def test_in_another_process_that_has_the_key_within_the_bound(
        self, vault: KeyVault, other: KeyVault, seconds: Any
    ) -> None:
        subject = uuid4()
        await other.key_for(subject)
        sealed = seal(other, subject)
        await vault.erase(subject)
        seconds.now += TRUST + 0.01
        with pytest.raises(KeyNotAtHand):
            seal(other, subject)
        with pytest.raises(Erased):
            await other.key_for(subject)
        await other.load_keys([subject])
        assert other.unseal(sealed, STREAM, "name") == "[erased]"
        with pytest.raises(Erased):
            seal(other, subject)

    async def test_in_another_process_that_follows_the_erasures(self, vault: KeyVault, other: KeyVault) -> None:
        subject = uuid4()
        await other.key_for(subject)
        sealed = seal(other, subject)
        await vault.erase(subject)
        await other.catch_up()
        assert other.unseal(sealed, STREAM, "name") == "[erased]"
        with pytest.raises(Erased):
            seal(other, subject)

    async def test_an_open_vault_follows_by_itself(self, dsn: str) -> None:
        masters, subject = Masters(MASTER), uuid4()
        async with open_vault(dsn, masters) as vault, open_vault(dsn, masters) as other:
            await other.key_for(subject)
            sealed = seal(other, subject)
            await vault.erase(subject)
            deadline = asyncio.get_running_loop().time() + TRUST + 0.5
            while True:
                try:
                    if other.unseal(sealed, STREAM, "name") == "[erased]":
                        break
                except KeyNotAtHand:
                    break
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.01)

    async def test_a_key_that_is_being_fetched_meanwhile_is_not_believed(
        self, vault: KeyVault, other: KeyVault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = uuid4()
        await vault.key_for(subject)
        sealed = seal(vault, subject)
        read = other._load

        async def slow(subjects: Any) -> Any:
            answer = await read(subjects)
            await other.erase(subject)
            return answer

        monkeypatch.setattr(other, "_load", slow)
        await other.load_keys([subject])
        assert other.unseal(sealed, STREAM, "name") == "[erased]"

    async def test_of_a_subject_without_a_key(self, vault: KeyVault, other: KeyVault) -> None:
        subject = uuid4()
        await vault.erase(subject)
        with pytest.raises(Erased):
            await vault.key_for(subject)
        with pytest.raises(Erased):
            await other.key_for(subject)

    async def test_twice(self, vault: KeyVault, sql: psycopg.AsyncConnection[Any]) -> None:
        subject = uuid4()
        await vault.key_for(subject)
        await vault.erase(subject)
        await vault.erase(subject)
        counted = await (await sql.execute("SELECT count(*) FROM emporium_erasures")).fetchone()
        assert counted == (1,)

    async def test_no_statement_revives_the_key(
        self, vault: KeyVault, other: KeyVault, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        subject = uuid4()
        await vault.key_for(subject)
        backup = await (await sql.execute("SELECT * FROM emporium_keys WHERE subject = %s", (subject,))).fetchone()
        assert backup is not None
        await vault.erase(subject)
        await sql.execute(
            "UPDATE emporium_keys SET wrapped = %s, master = %s, erased_at = NULL WHERE subject = %s",
            (backup[1], backup[2], subject),
        )
        with pytest.raises(Erased):
            await other.key_for(subject)
        await sql.execute("DELETE FROM emporium_keys WHERE subject = %s", (subject,))
        await sql.execute("INSERT INTO emporium_keys VALUES (%s, %s, %s, %s, %s)", backup)
        with pytest.raises(Erased):
            await other.key_for(subject)
        for statement in ("DELETE FROM emporium_erasures", "TRUNCATE emporium_erasures"):
            with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
                await sql.execute(statement)

    async def test_while_others_ask_for_the_key(self, vault: KeyVault, other: KeyVault) -> None:
        for _ in range(20):
            subject = uuid4()
            asked = [each.key_for(subject) for each in (vault, other) for _ in range(3)]
            answers = await asyncio.gather(*asked, vault.erase(subject), return_exceptions=True)
            assert all(answer is None or isinstance(answer, Erased) for answer in answers)
            await other.catch_up()
            for each in (vault, other):
                with pytest.raises(Erased):
                    await each.key_for(subject)


class TestWithoutAKey:
    """Events whose keys were lost can be read; what was sealed shows as missing, and the log says so."""

    async def test_the_value_shows_as_missing(
        self, vault: KeyVault, other: KeyVault, sql: psycopg.AsyncConnection[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        lost, kept = uuid4(), uuid4()
        await vault.key_for_many([lost, kept])
        sealed, readable = seal(vault, lost), seal(vault, kept)
        await sql.execute("DELETE FROM emporium_keys WHERE subject = %s", (lost,))
        with caplog.at_level(logging.WARNING):
            await other.load_keys([lost, kept])
        assert other.unseal(sealed, STREAM, "name") == "[key missing]"
        assert other.unseal(readable, STREAM, "name") == "Ada Lovelace"
        assert str(lost) in caplog.text

    async def test_a_new_key_does_not_make_old_boxes_errors(
        self, vault: KeyVault, other: KeyVault, sql: psycopg.AsyncConnection[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        subject = uuid4()
        await vault.key_for(subject)
        old = seal(vault, subject)
        await sql.execute("DELETE FROM emporium_keys WHERE subject = %s", (subject,))
        await other.load_keys([subject])
        await other.key_for(subject)
        new = seal(other, subject)
        assert other.unseal(new, STREAM, "name") == "Ada Lovelace"
        assert other.unseal(old, STREAM, "name") == "[key missing]"
        assert "another key" in caplog.text

    async def test_a_key_that_was_made_since_is_not_missing_when_it_is_not_at_hand(
        self, vault: KeyVault, other: KeyVault, seconds: Any
    ) -> None:
        one, two = uuid4(), uuid4()
        await vault.load_keys([one, two])
        await vault.key_for(one)
        await other.key_for(two)
        await vault.load_keys([two])
        boxes = [seal(vault, subject) for subject in (one, two)]
        seconds.now += TRUST + 0.01
        for box in boxes:
            with pytest.raises(KeyNotAtHand):
                vault.unseal(box, STREAM, "name")

    async def test_an_altered_row_is_as_good_as_none(
        self, vault: KeyVault, other: KeyVault, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        thief, victim = uuid4(), uuid4()
        await vault.key_for_many([thief, victim])
        sealed = seal(vault, victim)
        await sql.execute(
            "UPDATE emporium_keys SET wrapped = (SELECT wrapped FROM emporium_keys WHERE subject = %s) "
            "WHERE subject = %s", (thief, victim),
        )  # fmt: skip
        await other.load_keys([victim])
        assert other.unseal(sealed, STREAM, "name") == "[key missing]"
        with pytest.raises(KeyNotAtHand):
            await other.key_for(victim)


async def test_the_cache_is_bounded_and_gives_up_what_was_used_least_recently(vault_of: MakeVault) -> None:
    async with vault_of(capacity=3) as vault:
        one, two, three, four = subjects = [uuid4() for _ in range(4)]
        for subject in (one, two, three):
            await vault.key_for(subject)
        seal(vault, one)
        await vault.key_for(four)
        for subject in (one, three, four):
            seal(vault, subject)
        with pytest.raises(KeyNotAtHand):
            seal(vault, two)
        with pytest.raises(ValueError, match="more than the 3"):
            await vault.load_keys(subjects)


class TestRotation:
    """Every key is wrapped by a new master key, while both are accepted."""

    async def test_all_keys_are_wrapped_anew_and_stay_the_same(
        self, vault: KeyVault, vault_of: MakeVault, sql: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("emporium.infra.vault.keys._BATCH", 7)
        subjects = [uuid4() for _ in range(50)]
        await vault.key_for_many(subjects)
        gone = uuid4()
        await vault.erase(gone)
        boxes = [seal(vault, subject) for subject in subjects]
        printed = vault.fingerprint("email", "ada@example.org")
        assert await vault.rotate(MASTER, OTHER_MASTER) == 51
        assert await vault.rotate(MASTER, OTHER_MASTER) == 0
        masters = await (await sql.execute("SELECT DISTINCT master FROM emporium_keys")).fetchall()
        assert set(masters) == {(OTHER_MASTER.id,), (None,)}
        async with vault_of(OTHER_MASTER) as later:
            await later.load_keys(subjects)
            assert [later.unseal(box, STREAM, "name") for box in boxes] == ["Ada Lovelace"] * 50
            assert later.fingerprint("email", "ada@example.org") == printed

    async def test_an_interrupted_one_goes_on(self, vault: KeyVault, vault_of: MakeVault, sql: Any) -> None:
        subjects = [uuid4() for _ in range(20)]
        await vault.key_for_many(subjects)
        boxes = [seal(vault, subject) for subject in subjects]
        for subject in subjects[:10]:
            row = await (await sql.execute("SELECT wrapped FROM emporium_keys WHERE subject=%s", (subject,))).fetchone()
            anew = OTHER_MASTER.wrap(subject, MASTER.unwrap(subject, row[0]))
            await sql.execute(
                "UPDATE emporium_keys SET wrapped=%s, master=%s WHERE subject=%s", (anew, OTHER_MASTER.id, subject)
            )
        async with vault_of(OTHER_MASTER, MASTER) as between:
            await between.load_keys(subjects)
            assert {between.unseal(box, STREAM, "name") for box in boxes} == {"Ada Lovelace"}
            assert await between.rotate(MASTER, OTHER_MASTER) == 11
        async with vault_of(OTHER_MASTER) as later:
            await later.load_keys(subjects)
            assert {later.unseal(box, STREAM, "name") for box in boxes} == {"Ada Lovelace"}

    async def test_the_old_master_key_is_accepted_still(self, vault: KeyVault, other: KeyVault) -> None:
        await vault.rotate(MASTER, OTHER_MASTER)
        subject = uuid4()
        await other.key_for(subject)
        sealed = seal(other, subject)
        await vault.load_keys([subject])
        assert vault.unseal(sealed, STREAM, "name") == "Ada Lovelace"
        assert await vault.rotate(MASTER, OTHER_MASTER) == 1

    async def test_keys_made_and_destroyed_meanwhile_are_right(
        self, vault: KeyVault, vault_of: MakeVault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("emporium.infra.vault.keys._BATCH", 3)
        before, during, erased = ([uuid4() for _ in range(30)] for _ in range(3))
        await vault.key_for_many([*before, *erased])
        async with vault_of(OTHER_MASTER, MASTER) as other:
            await asyncio.gather(
                vault.rotate(MASTER, OTHER_MASTER),
                *(other.key_for(subject) for subject in during),
                *(other.erase(subject) for subject in erased),
            )
        async with vault_of(OTHER_MASTER) as later:
            await later.key_for_many([*before, *during])
            for subject in erased:
                with pytest.raises(Erased):
                    await later.key_for(subject)

    async def test_a_vault_with_the_wrong_master_key_does_not_open(self, vault: KeyVault, vault_of: MakeVault) -> None:
        with pytest.raises(MasterKeyError, match=f"wrapped by master key {MASTER.id}, but only {OTHER_MASTER.id}"):
            async with vault_of(OTHER_MASTER):
                pass


class TestFingerprint:
    """A keyed hash: the same everywhere, telling nothing."""

    async def test_is_the_same_in_every_process_and_after_every_start(self, vault: KeyVault, other: KeyVault) -> None:
        assert vault.fingerprint("email", "ada@example.org") == other.fingerprint("email", "ada@example.org")
        assert len(vault.fingerprint("email", "ada@example.org")) == 32

    async def test_differs_by_scope_value_and_secret(
        self, vault: KeyVault, vault_of: MakeVault, sql: psycopg.AsyncConnection[Any]
    ) -> None:
        prints = {vault.fingerprint(scope, value) for scope in ("email", "phone") for value in ("", "ada@example.org")}
        await sql.execute("DELETE FROM emporium_keys")
        async with vault_of() as elsewhere:
            prints.add(elsewhere.fingerprint("email", "ada@example.org"))
        assert len(prints) == 5

    async def test_its_secret_is_no_subject(self, vault: KeyVault) -> None:
        own = UUID(int=0)
        for call in (vault.key_for(own), vault.key_for_many([uuid4(), own]), vault.erase(own)):
            with pytest.raises(ValueError, match="own subject"):
                await call


async def test_erasures_are_numbered_in_the_order_of_their_commits(
    vault: KeyVault, other: KeyVault, dsn: str, sql: psycopg.AsyncConnection[Any]
) -> None:
    first, second = uuid4(), uuid4()
    async with await psycopg.AsyncConnection.connect(dsn) as slow:
        await slow.execute("SELECT emporium_erase(%s)", (first,))
        fast = asyncio.ensure_future(vault.erase(second))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while (await (await sql.execute(waiting)).fetchone()) == (0,):
            assert not fast.done()
            await asyncio.sleep(0)
        await slow.commit()
        await fast
    numbered = await (await sql.execute("SELECT subject FROM emporium_erasures ORDER BY n")).fetchall()
    assert numbered == [(first,), (second,)]


async def test_lost_connections_are_made_anew(dsn: str, sql: psycopg.AsyncConnection[Any]) -> None:
    async with open_vault(dsn, Masters(MASTER)) as vault, open_vault(dsn, Masters(MASTER)) as other:
        subject = uuid4()
        await other.key_for(subject)
        await asyncio.gather(*(vault.key_for(uuid4()) for _ in range(20)))
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await vault.key_for(uuid4())
        sealed = seal(other, subject)
        await vault.erase(subject)
        await other.load_keys([subject])
        assert other.unseal(sealed, STREAM, "name") in ("[erased]", "Ada Lovelace")
        deadline = asyncio.get_running_loop().time() + TRUST + 0.5
        while other.unseal(sealed, STREAM, "name") != "[erased]":
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
            await other.load_keys([subject])


async def test_a_database_that_answers_too_late_is_not_believed(
    vault: KeyVault, seconds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = uuid4()
    await vault.key_for(subject)
    seconds.now += TRUST + 0.01
    read = vault._load

    async def slow(subjects: Any) -> Any:
        seconds.now += TRUST + 0.01
        return await read(subjects)

    monkeypatch.setattr(vault, "_load", slow)
    with pytest.raises(Unavailable, match="too long"):
        await vault.load_keys([subject])


async def test_a_database_that_cannot_be_reached_is_said_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("emporium.infra.revocable._PATIENCE", 0.1)
    with pytest.raises(Unavailable):
        async with open_vault(f"host={folder} user=nobody dbname=none", Masters(MASTER)):
            pass
