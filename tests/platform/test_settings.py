"""Settings: typed, checked, explained, masked, and the page about them current."""

from pathlib import Path

import pytest

from emporium.infra import settings as configuration
from emporium.infra.settings import CONTEXTS, Settings, SettingsProblem, environment, facts, load, masked

ROOT = Path(__file__).parents[2]


def test_without_variables_everything_has_a_working_default() -> None:
    settings = load({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8000, None)
    assert settings.data_dir == ROOT / "var"


def test_values_are_typed() -> None:
    settings = load(
        {
            "EMPORIUM_PORT": " 8080 ",
            "EMPORIUM_EMPTY": "1",
            "EMPORIUM_PAYMENT_TIMEOUT_S": "2.5",
            "EMPORIUM_DATA_DIR": "relative",
            "EMPORIUM_FULFILMENT": "manual",
            "EMPORIUM_TLS_KEY": "",
            "PATH": "/bin",
        }
    )
    assert (settings.port, settings.empty, settings.payment_timeout_s) == (8080, True, 2.5)
    assert settings.data_dir == Path.cwd() / "relative"
    assert settings.fulfilment == "manual"
    assert settings.tls_key is None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EMPORIUM_PORT", "many", "EMPORIUM_PORT must be a whole number from 0 to 65535, not 'many'."),
        ("EMPORIUM_PORT", "70000", "EMPORIUM_PORT must be a whole number from 0 to 65535, not '70000'."),
        ("EMPORIUM_GATEWAYS", "0", "EMPORIUM_GATEWAYS must be a whole number from 1 to 64, not '0'."),
        ("EMPORIUM_CART_EXPIRY_DAYS", "0", "EMPORIUM_CART_EXPIRY_DAYS must be a number above 0 to 3650, not '0'."),
        ("EMPORIUM_CART_EXPIRY_DAYS", "nan", "EMPORIUM_CART_EXPIRY_DAYS must be a number above 0 to 3650, not 'nan'."),
        ("EMPORIUM_EMPTY", "perhaps", "EMPORIUM_EMPTY must be `true` or `false`, not 'perhaps'."),
        ("EMPORIUM_FULFILMENT", "never", "EMPORIUM_FULFILMENT must be `auto` or `manual`, not 'never'."),
        ("EMPORIUM_DATABASE_URL", "mysql://u:hidden@h/d", "EMPORIUM_DATABASE_URL must be a postgresql:// URL."),
        ("EMPORIUM_ADMIN_EMAIL", "me", "EMPORIUM_ADMIN_EMAIL must be an e-mail address, not 'me'."),
        ("EMPORIUM_PRT", "1", "EMPORIUM_PRT is not a setting; did you mean EMPORIUM_PORT?"),
        ("EMPORIUM_Port", "1", "EMPORIUM_Port is not a setting; did you mean EMPORIUM_PORT?"),
        ("EMPORIUM_XYZZY", "1", "EMPORIUM_XYZZY is not a setting."),
        ("EMPORIUM_", "1", "EMPORIUM_ is not a setting."),
        ("EMPORIUM_TLS_KEY", "k.pem", "EMPORIUM_TLS_CERTIFICATE and EMPORIUM_TLS_KEY must be set together."),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsProblem) as caught:
        load({variable: value})
    assert caught.value.text == said


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsProblem) as caught:
        load({"EMPORIUM_PORT": "x", "EMPORIUM_GATEWAY": "2"})
    assert "EMPORIUM_PORT" in caught.value.text
    assert "did you mean EMPORIUM_GATEWAYS?" in caught.value.text


def test_two_master_keys_contradict_each_other() -> None:
    with pytest.raises(SettingsProblem, match="exclude each other"):
        load({"EMPORIUM_MASTER_KEY": "a", "EMPORIUM_MASTER_KEY_FILE": "b"})


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("postgresql://u:***@h/d", "postgresql://u:secret@h/d"),
        ("postgresql://u:***@h/d", "postgresql://u:se:c@r/e?t@h/d"),
        ("postgresql://:***@h/d", "postgresql://:secret@h/d"),
        ("postgresql://u@h/d?password=***&x=1", "postgresql://u@h/d?password=secret&x=1"),
        ("postgresql://u@h/d?sslpassword=***", "postgresql://u@h/d?sslpassword=secret"),
        ("https://k:***@provider.example/v1", "https://k:secret@provider.example/v1"),
        ("postgresql://u@/d?host=%2Ftmp", "postgresql://u@/d?host=%2Ftmp"),
    ],
)
def test_passwords_within_urls_are_masked(shown: str, value: str) -> None:
    assert masked(value) == shown


def test_no_way_of_showing_settings_shows_a_secret() -> None:
    environ = {"EMPORIUM_MASTER_KEY": "c2VjcmV0", "EMPORIUM_DATABASE_URL": "postgresql://u:secret@h/d"}
    settings = load(environ)
    for shown in (repr(settings), str(settings), str(facts(settings, environ))):
        assert "c2VjcmV0" not in shown
        assert "secret@" not in shown
        assert "u:***@h" in shown


def test_each_fact_tells_where_it_came_from() -> None:
    environ = {"EMPORIUM_PORT": "8080", "EMPORIUM_EMPTY": ""}
    sources = {fact.name: fact.source for fact in facts(load(environ), environ)}
    assert sources["port"] == "environment"
    assert sources["empty"] == sources["host"] == "default"
    given = {fact.name: fact.source for fact in facts(Settings(port=9000), environ)}
    assert given["port"] == "command line"


def test_a_child_process_gets_the_same_settings() -> None:
    settings = Settings(
        port=1, empty=True, data_dir=Path("/x"), database_url="postgresql://u:p@h/d", fulfilment="manual"
    )
    assert load(environment(settings)) == settings


def test_each_context_may_have_its_own_database() -> None:
    settings = Settings(database_url="postgresql://common/d", ordering_database_url="postgresql://orders/d")
    assert settings.context_database_url("ordering") == "postgresql://orders/d"
    assert {settings.context_database_url(name) for name in (*CONTEXTS, "keys")} == {
        "postgresql://orders/d",
        "postgresql://common/d",
    }


def test_the_page_about_settings_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == configuration.markdown(), "run: emporium settings --markdown >docs/settings.md"
