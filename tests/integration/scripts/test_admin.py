"""`emporium admin`: accounts that can log in with what was printed, and only with that."""

import asyncio
import json
from typing import Any

import click
import psycopg
import pytest

from emporium.application import accounts, bootstrap
from emporium.application.ports import Meta
from emporium.infra.settings import Settings
from emporium.scripts import admin


def roles(settings: Settings, email: str, password: str) -> set[str] | None:
    """Of whoever logs in so; None where nobody can."""

    async def main() -> set[str] | None:
        async with bootstrap.open_shop(settings) as opened:
            customer = await accounts.log_in(opened.shop, email=email, password=password)
            return None if customer is None else set(customer.roles)

    return asyncio.run(main())


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_the_first_start_makes_the_administrator_once(settings: Settings) -> None:
    made = admin.first(settings)
    assert made is not None
    email, password = made
    assert email == settings.admin_email
    assert len(password) == 20
    assert roles(settings, email, password) == {"admin"}
    assert admin.first(settings) is None


def test_customers_that_came_before_do_not_stand_in_for_an_administrator(settings: Settings) -> None:
    async def main() -> None:
        async with bootstrap.open_shop(settings) as opened:
            await accounts.register(
                opened.shop, email="c@shop.example", password="long enough", name=None, cause=Meta("", "request:1", "")
            )

    asyncio.run(main())
    assert admin.first(settings) is not None


def test_two_first_starts_at_once_make_one_administrator(settings: Settings) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(admin.first, settings) for _ in range(2)))

    found = asyncio.run(main())
    assert sum(one is not None for one in found) == 1


def test_an_account_is_made_with_its_role(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.create(settings, "ben@shop.example", role="warehouse", as_json=True) == 0
    found = printed(capsys)
    assert roles(settings, found["email"], found["password"]) == {"warehouse"}
    assert roles(settings, found["email"], found["password"] + "x") is None
    assert admin.create(settings, "eve@shop.example", as_json=False) == 0
    words = capsys.readouterr().out.split()
    assert roles(settings, "eve@shop.example", words[words.index("password") + 1]) == {"admin"}


@pytest.mark.parametrize(
    ("email", "role", "says"),
    [
        ("not an address", "admin", "is not an e-mail address"),
        ("a@shop.example", "king", "There is no role king"),
        ("taken@shop.example", "admin", "There is an account with this e-mail address"),
    ],
)
def test_what_is_refused_is_a_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str], email: str, role: str, says: str
) -> None:
    admin.create(settings, "taken@shop.example", as_json=True)
    with pytest.raises(click.ClickException, match=says):
        admin.create(settings, email, role=role, as_json=True)
    with pytest.raises(click.ClickException, match="There is no account"):
        admin.reset_password(settings, "nobody@shop.example", as_json=True)


def test_another_password_replaces_the_old_one_and_ends_the_sessions(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.create(settings, "ann@shop.example", as_json=True)
    old = printed(capsys)["password"]

    async def log_in() -> str:
        async with bootstrap.open_shop(settings) as opened, bootstrap.open_doors(opened) as doors:
            customer = await accounts.log_in(opened.shop, email="ann@shop.example", password=old)
            assert customer is not None
            return await doors.sessions.create(customer.customer_id, ["admin"])

    async def resolve(token: str) -> object:
        async with bootstrap.open_shop(settings) as opened, bootstrap.open_doors(opened) as doors:
            return await doors.sessions.resolve(token)

    token = asyncio.run(log_in())
    assert asyncio.run(resolve(token)) is not None
    assert admin.reset_password(settings, "ann@shop.example", as_json=True) == 0
    new = printed(capsys)["password"]
    assert roles(settings, "ann@shop.example", old) is None
    assert roles(settings, "ann@shop.example", new) == {"admin"}
    assert asyncio.run(resolve(token)) is None


def test_no_password_is_stored_in_clear_and_its_origin_is_known(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.create(settings, "ann@shop.example", as_json=True)
    password = printed(capsys)["password"]
    with psycopg.connect(str(settings.database_url)) as connection:
        rows = connection.execute("SELECT payload::text, causation, actor FROM accounts_log").fetchall()
    assert rows
    for text, causation, actor in rows:
        assert password not in text
        assert "ann@shop.example" not in text
        assert causation.startswith("request:cli-")
        assert actor == "staff:command-line"
