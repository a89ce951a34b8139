"""The list of erasures outside the database: written before the key is destroyed, applied before anything else."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from emporium.infra.settings import StartupProblem
from emporium.infra.vault import MasterKey, Masters, open_vault
from emporium.infra.vault.erasures import ErasureList

MASTERS = Masters(MasterKey(bytes(32)))
STREAM = UUID(int=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "erasures.txt"


def listed(path: Path) -> str:
    return path.read_text()


def lost(path: Path) -> None:
    path.unlink()


def in_the_way(path: Path) -> None:
    path.mkdir()


async def test_a_restored_key_is_destroyed_again_before_anything_can_be_read(
    dsn: str, sql: psycopg.AsyncConnection[Any], path: Path
) -> None:
    who, other = uuid4(), uuid4()
    async with open_vault(dsn, MASTERS, path) as vault:
        await vault.key_for_many([who, other])
        sealed = {one: vault.seal(one, "CustomerRegistered", STREAM, "name", "Ada") for one in (who, other)}
        backup = await (await sql.execute("SELECT subject, wrapped, master FROM emporium_keys")).fetchall()
        await vault.erase(who)
        assert listed(path) == f"{who}\n"
    await sql.execute("ALTER TABLE emporium_erasures DISABLE TRIGGER only_grow")
    await sql.execute("DELETE FROM emporium_erasures")
    await sql.execute("DELETE FROM emporium_keys")
    async with sql.cursor() as cursor:
        await cursor.executemany("INSERT INTO emporium_keys (subject, wrapped, master) VALUES (%s, %s, %s)", backup)
    async with open_vault(dsn, MASTERS, path) as vault:
        await vault.load_keys([who, other])
        assert vault.unseal(sealed[who], STREAM, "name") == "[erased]"
        assert vault.unseal(sealed[other], STREAM, "name") == "Ada"
        assert [subject for _, subject in await vault.erasures(0)] == [who]


async def test_without_the_list_the_person_would_come_back(
    dsn: str, sql: psycopg.AsyncConnection[Any], path: Path
) -> None:
    who = uuid4()
    async with open_vault(dsn, MASTERS, path) as vault:
        await vault.key_for(who)
        sealed = vault.seal(who, "CustomerRegistered", STREAM, "name", "Ada")
        backup = await (
            await sql.execute("SELECT wrapped, master FROM emporium_keys WHERE subject = %s", [who])
        ).fetchone()
        await vault.erase(who)
    assert backup is not None
    await sql.execute("ALTER TABLE emporium_erasures DISABLE TRIGGER only_grow")
    await sql.execute("DELETE FROM emporium_erasures")
    await sql.execute("DELETE FROM emporium_keys WHERE subject = %s", [who])
    await sql.execute("INSERT INTO emporium_keys (subject, wrapped, master) VALUES (%s, %s, %s)", [who, *backup])
    lost(path)
    async with open_vault(dsn, MASTERS, path) as vault:
        await vault.load_keys([who])
        assert vault.unseal(sealed, STREAM, "name") == "Ada", "so the list is what keeps the promise"


def test_the_list_survives_a_torn_line_and_tells_each_subject_once(path: Path) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    erasures = ErasureList(path)
    assert erasures.read() == []
    erasures.add(one)
    erasures.add(two)
    path.write_text(path.read_text()[:-20])
    erasures.add(three)
    erasures.add(one)
    assert erasures.read() == [one, three]
    assert path.stat().st_mode & 0o077 == 0, "it is nobody else's business"


def test_a_list_that_cannot_be_read_stops_the_start(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StartupProblem, match="cannot be read"):
        ErasureList(path).read()


async def test_an_erasure_that_cannot_be_listed_does_not_happen(dsn: str, path: Path) -> None:
    who = uuid4()
    async with open_vault(dsn, MASTERS, path) as vault:
        await vault.key_for(who)
        in_the_way(path)
        with pytest.raises(OSError):
            await vault.erase(who)
        await vault.key_for(who)
