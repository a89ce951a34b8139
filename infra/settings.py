"""The one settings object: every `EMPORIUM_*` variable, typed, checked and explained in one line each."""

import difflib
import os
import re
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import Meta

import emporium

__all__ = [
    "CONTEXTS",
    "PREFIX",
    "Fact",
    "Settings",
    "SettingsProblem",
    "StartupProblem",
    "environment",
    "facts",
    "load",
    "markdown",
    "masked",
]

PREFIX: Final = "EMPORIUM_"

CONTEXTS: Final = (
    "catalog",
    "inventory",
    "ordering",
    "payments",
    "shipping",
    "accounts",
    "reviews",
    "notifications",
)
"""The contexts, each of which may have a database of its own."""

_CHECKOUT: Final = Path(emporium.__file__).resolve().parents[2]


class StartupProblem(Exception):  # noqa: N818 - it is a circumstance, told to a person
    """Something outside the program keeps it from starting.

    Attributes:
        text: one sentence that says what is wrong.
        remedy: one sentence that says what to do about it.
    """

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"{text} {remedy}")
        self.text = text
        self.remedy = remedy


class SettingsProblem(StartupProblem):
    """Variables that are unknown, malformed or contradict each other; the text names each of them."""


def _home() -> Path:
    """`var` in the checkout; for an installed program the user's data folder (XDG)."""
    if (_CHECKOUT / "pyproject.toml").is_file():
        return _CHECKOUT / "var"
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "emporium"


def _year() -> Path:
    return _CHECKOUT.parent / "shared" / "data" / "online-retail.parquet"


DatabaseUrl = Annotated[str, Meta(pattern="^postgres(ql)?://", title="a postgresql:// URL")]
HttpUrl = Annotated[str, Meta(pattern="^https?://[^/]", title="an http:// or https:// URL")]
Rate = Annotated[str, Meta(pattern="^[1-9][0-9]{0,6}/[1-9][0-9]{0,4}$", title="requests/seconds, such as 30/60")]
SmtpUrl = Annotated[str, Meta(pattern="^smtps?://[^/]", title="an smtp:// or smtps:// URL")]
Email = Annotated[str, Meta(pattern="^[^@\\s]+@[^@\\s]+$", title="an e-mail address")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What this program can be told. A field `port` is the variable `EMPORIUM_PORT`; its default is a working one.

    To add a setting, add one field with its description, then run `emporium settings --markdown >docs/settings.md`.
    """

    # Where it answers
    host: Annotated[str, Meta(description="Address on which the gateway listens.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the gateway; 0 takes a free one.")] = 8000
    tls_certificate: Annotated[
        Path | None, Meta(description="PEM file with the certificate (chain) for HTTPS; needs the key as well.")
    ] = None
    tls_key: Annotated[Path | None, Meta(description="PEM file with the private key for HTTPS.")] = None
    gateways: Annotated[int, Meta(ge=1, le=64, description="Number of gateway processes.")] = 1
    workers: Annotated[int, Meta(ge=1, le=64, description="Number of worker processes.")] = 1
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important log line that is written.")
    ] = "info"

    log_requests: Annotated[bool, Meta(description="Whether every request leaves a line.")] = True
    request_log: Annotated[
        Path | None,
        Meta(description="File to which those lines are appended. Default: standard error; with `emporium up`"
             " `log/requests.log` in the data folder."),
    ] = None  # fmt: skip
    otlp_endpoint: Annotated[
        HttpUrl | None,
        Meta(description="Where OpenTelemetry traces go, by OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`."),
    ] = None

    # How it treats its callers
    trusted_proxies: Annotated[
        str,
        Meta(description="Networks of the proxies whose X-Forwarded-For is believed: `10.0.0.0/8,127.0.0.1/32`."),
    ] = ""
    cors_origins: Annotated[
        str, Meta(description="Web origins whose pages may call the API, separated by commas; `*`: every one.")
    ] = ""
    request_timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds that a request may take before it is answered with 503.")
    ] = 30.0
    streams: Annotated[
        int, Meta(ge=1, le=100_000, description="Streams of order events that one gateway process keeps open.")
    ] = 500
    streams_each: Annotated[int, Meta(ge=1, le=10_000, description="Those of them that one caller may have.")] = 10
    stream_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds after which a stream ends and the client comes again.")
    ] = 900.0
    limit_auth: Annotated[
        Rate, Meta(description="What one address may do of log-ins, registrations and the like: requests/seconds.")
    ] = "30/60"
    limit_checkout: Annotated[Rate, Meta(description="Quotes and orders of one address: requests/seconds.")] = "120/60"
    limit_write: Annotated[Rate, Meta(description="Other changes by one address: requests/seconds.")] = "1200/60"
    limit_read: Annotated[Rate, Meta(description="Reads by one address: requests/seconds.")] = "6000/60"
    limit_account: Annotated[Rate, Meta(description="Everything that one account does: requests/seconds.")] = "30000/60"

    # Where the data lies
    data_dir: Annotated[
        Path,
        Meta(description="Folder of the embedded database, keys and logs. Default: `var` in the checkout, "
             "else `emporium` in the user's data folder."),
    ] = msgspec.field(default_factory=_home)  # fmt: skip
    media_url: Annotated[
        str | None,
        Meta(description="Store of pictures, such as `s3://bucket/folder`, `gs://…` or `az://…`; keys in that store's "
             "own environment variables. Default: the data folder."),
    ] = None  # fmt: skip
    database_url: Annotated[
        DatabaseUrl | None,
        Meta(description="PostgreSQL ≥ 15 for everything; unset: an embedded one in the data folder."),
    ] = None
    catalog_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for the catalog.")] = None
    inventory_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for the inventory.")] = (
        None
    )
    ordering_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for carts and orders.")] = (
        None
    )
    payments_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for payments.")] = None
    shipping_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for shipments.")] = None
    accounts_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for accounts.")] = None
    reviews_database_url: Annotated[DatabaseUrl | None, Meta(description="Another database for reviews.")] = None
    notifications_database_url: Annotated[
        DatabaseUrl | None, Meta(description="Another database for notifications.")
    ] = None
    keys_database_url: Annotated[
        DatabaseUrl | None, Meta(description="Another database for the keys of personal data.")
    ] = None
    listen_database_url: Annotated[
        DatabaseUrl | None,
        Meta(description="Direct connection for LISTEN and leases where the others go through a transaction pooler."),
    ] = None

    # Search
    elasticsearch_url: Annotated[
        HttpUrl | None,
        Meta(
            description="Elasticsearch 8 or 9, with its port, and `user:password@` where it wants that; unset: the "
            "embedded engine alone.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    elasticsearch_api_key: Annotated[
        str | None, Meta(description="API key for Elasticsearch.", extra_json_schema={"secret": True})
    ] = None
    elasticsearch_index: Annotated[
        str,
        Meta(pattern="^[a-z0-9][a-z0-9_.-]{0,100}$", title="a name in lower case",
             description="Name of the alias there, one for each shop; its indexes are called like it and a number."),
    ] = "emporium-products"  # fmt: skip

    search_log_days: Annotated[
        int, Meta(ge=1, le=3_650, description="Days for which searches are counted; they go by whole months.")
    ] = 90

    # Personal data
    master_key: Annotated[
        str | None,
        Meta(
            description="Master key of the customers' keys: 32 bytes in base64 or hexadecimal.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    master_key_file: Annotated[
        Path | None, Meta(description="File with the master key. Default: `master.key` in the data folder.")
    ] = None

    erasures_file: Annotated[
        Path | None,
        Meta(description="List of the persons who were erased, outside the database and its backups; one for all "
             "machines. Default: `erasures.txt` in the data folder."),
    ] = None  # fmt: skip
    staff_two_factor: Annotated[
        bool, Meta(description="Whether staff must log in with two factors to do more than a customer.")
    ] = False

    # The outside
    payment_provider: Annotated[
        Literal["sandbox", "stripe"], Meta(description="Who takes the money: `stripe` needs a key and real cards.")
    ] = "sandbox"
    payment_capture: Annotated[
        Literal["at_once", "when_reserved"],
        Meta(description="When money is taken: at once, or only secured and taken once the stock is reserved."),
    ] = "at_once"
    stripe_api_key: Annotated[
        str | None, Meta(description="Secret API key of Stripe.", extra_json_schema={"secret": True})
    ] = None
    stripe_webhook_secret: Annotated[
        str | None,
        Meta(
            description="Signing secret of the webhook endpoint at Stripe; unset: webhooks are refused.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    stripe_api_base: Annotated[
        HttpUrl | None, Meta(description="Another address of Stripe's API, for stand-ins in tests.")
    ] = None
    provider_url: Annotated[HttpUrl | None, Meta(description="Sandbox payment provider; unset: the embedded one.")] = (
        None
    )
    carrier: Annotated[
        Literal["sandbox", "easypost"], Meta(description="Who takes the parcels: `easypost` needs a key.")
    ] = "sandbox"
    easypost_api_key: Annotated[
        str | None, Meta(description="API key of EasyPost.", extra_json_schema={"secret": True})
    ] = None
    easypost_api_base: Annotated[
        HttpUrl | None, Meta(description="Another address of EasyPost's API, for stand-ins in tests.")
    ] = None
    carrier_webhook_secret: Annotated[
        str | None,
        Meta(
            description="Secret with which the carrier signs its webhooks; unset: they are refused.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    carrier_url: Annotated[HttpUrl | None, Meta(description="Sandbox parcel carrier; unset: the embedded one.")] = None
    sandbox_webhook_secret: Annotated[
        str | None,
        Meta(
            description="Signs what the sandbox tells by itself when a payment changes later; unset: it tells nothing.",
        ),
    ] = None
    sandbox_latency_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="How long the embedded sandbox takes for an answer, in milliseconds.")
    ] = 5
    sandbox_delivery_s: Annotated[
        float, Meta(ge=0, le=86_400, description="How long a parcel of the embedded sandbox travels, in seconds.")
    ] = 5.0

    # Messages
    public_url: Annotated[
        HttpUrl | None, Meta(description="Where people reach the shop, for links in messages. Default: host and port.")
    ] = None
    smtp_url: Annotated[
        SmtpUrl | None,
        Meta(
            description="Mail server, `smtp://` or `smtps://`, with `user:password@` where it wants that; unset: mails "
            "stay in the outbox, which staff see.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    mail_from: Annotated[str, Meta(pattern="^[^<>\\r\\n]+<[^<>@\\s]+@[^<>@\\s]+>$", title="`Name <address>`",
        description="Who writes the mails.")] = "Emporium <shop@emporium.example>"  # fmt: skip
    sms_url: Annotated[
        str | None,
        Meta(
            description="Apprise URL of the SMS service, with `{to}` for the phone number; unset: no SMS.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    push_url: Annotated[
        str | None,
        Meta(
            description="Apprise URL of the push service, with `{to}` for the customer's id; unset: no push.",
            extra_json_schema={"secret": True},
        ),
    ] = None
    private_webhooks: Annotated[
        bool, Meta(description="Whether outgoing webhooks may go to private and loopback addresses; for development.")
    ] = False

    # How the shop behaves
    fulfilment: Annotated[
        Literal["auto", "manual"],
        Meta(description="`auto`: parcels are booked and delivered without people; `manual`: staff ship and deliver."),
    ] = "auto"
    payment_timeout_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds until an unanswered payment fails; staff may set others.")
    ] = 60.0
    payment_action_timeout_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Seconds that a customer has for what the bank asks for (3-D Secure)."),
    ] = 900.0
    cart_expiry_days: Annotated[
        float, Meta(gt=0, le=3650, description="Days until a cart left alone expires; staff may set others.")
    ] = 30.0
    tracking_interval_s: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds between two looks at a parcel on its way.")
    ] = 5.0
    reservation_expiry_days: Annotated[
        float, Meta(gt=0, le=3650, description="Days after which a reservation that nobody ships is given back.")
    ] = 14.0
    idempotency_days: Annotated[
        float, Meta(gt=0, le=3650, description="Days for which the answer to an Idempotency-Key is remembered.")
    ] = 7.0
    shipping_fee: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Standard shipping in minor units, until staff set rates.")
    ] = 495
    free_shipping_from: Annotated[
        int,
        Meta(ge=0, le=10**12, description="Free from this value of goods on, until staff set rates; 0: never."),
    ] = 5000
    admin_email: Annotated[
        Email, Meta(description="E-mail address of the administrator that the first start makes.")
    ] = "admin@emporium.example"
    empty: Annotated[bool, Meta(description="Whether the first start leaves the demo out.")] = False
    demo_orders: Annotated[
        int, Meta(ge=0, le=20_000, description="Orders of the year that the demo's shop looks back on, about; 0: none.")
    ] = 1_200

    # Tests and measurements
    require_real: Annotated[
        bool, Meta(description="Tests: a missing server or tool is a failure instead of a skip.")
    ] = False
    test_database_url: Annotated[
        DatabaseUrl | None, Meta(description="Tests: one more PostgreSQL server on which the integration tests run.")
    ] = None
    test_elasticsearch_url: Annotated[
        HttpUrl | None, Meta(description="Tests: an Elasticsearch to be used instead of one that is started.")
    ] = None
    fuzz_calls: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Tests: made-up requests with which the whole API is tried.")
    ] = 5_000
    bench_online_retail: Annotated[
        Path,
        Meta(description="Measurements: the year of invoices. Default: `shared/data/online-retail.parquet` beside "
             "the checkout."),
    ] = msgspec.field(default_factory=_year)  # fmt: skip
    bench_products: Annotated[
        int, Meta(ge=1_000, le=1_000_000, description="Measurements: products of the shop that is browsed.")
    ] = 10_000

    @property
    def shop_url(self) -> str:
        """Where people reach the shop, without a slash at the end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return f"http{'s' if self.tls_certificate else ''}://{self.host}:{self.port}"

    def __repr__(self) -> str:
        shown = (f"{fact.name}={fact.value!r}" for fact in facts(self) if fact.source != "default")
        return f"Settings({', '.join(shown)})"

    def context_database_url(self, context: str) -> str | None:
        """The database of one of CONTEXTS (or of `keys`): its own, else the common one, else None (embedded)."""
        own: str | None = getattr(self, f"{context}_database_url")
        return own or self.database_url


class Fact(msgspec.Struct, frozen=True):
    """One setting as `emporium settings` shows it; `value` is masked where it is secret."""

    name: str
    variable: str
    value: Any
    source: Literal["default", "environment", "command line"]
    description: str


_NAMES: Final = tuple(Settings.__struct_fields__)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of an environment (default: the process's). A variable set to nothing counts as unset.

    Raises SettingsProblem with one sentence per unknown, malformed or contradictory variable.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        name, text = variable.removeprefix(PREFIX).lower(), environ[variable]
        if name not in _NAMES or variable != variable.upper():
            problems.append(_unknown(variable))
        elif text:
            try:
                values[name] = _parse(name, text)
            except ValueError as error:
                problems.append(f"{variable} must be {error}{_given(name, text)}.")
    if not problems:
        settings = Settings(**values)
        problems = _contradictions(settings)
        if not problems:
            return settings
    raise SettingsProblem(" ".join(problems), "Run `emporium settings --help` or read docs/settings.md.")


def facts(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Fact]:
    """Every setting, masked, with where it came from, in the order of the fields."""
    environ = os.environ if environ is None else environ
    defaults = Settings()
    found = []
    for name in _NAMES:
        value, variable = getattr(settings, name), PREFIX + name.upper()
        source: Literal["default", "environment", "command line"] = "default"
        if environ.get(variable) and _same(name, environ[variable], value):
            source = "environment"
        elif value != getattr(defaults, name):
            source = "command line"
        shown = "***" if _is_secret(name) and value is not None else masked(value)
        found.append(Fact(name, variable, shown, source, _schema()[name]["description"]))
    return found


def environment(settings: Settings) -> dict[str, str]:
    """The variables with which a child process has these same settings: those that differ from the defaults."""
    defaults = Settings()
    changed = ((name, getattr(settings, name)) for name in _NAMES if getattr(settings, name) != getattr(defaults, name))
    return {PREFIX + name.upper(): _text(value) for name, value in changed}


def masked(value: Any) -> Any:
    """A value that may be shown: paths as text, passwords within URLs as `***`."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        value = re.sub(r"://([^:@/?#]*):.*@", r"://\1:***@", value)
        return re.sub(r"(\w*password)=[^&\s]*", r"\1=***", value, flags=re.IGNORECASE)
    return value


def markdown() -> str:
    """The text of docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable; `emporium settings` shows the effective ones and where each came",
        "from. This page is made by `emporium settings --markdown`.",
        "",
        "| variable | must be | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in _schema().items():
        default = f"`{_text(field['default'])}`" if field.get("default") is not None else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {_expected(name)} | {default} | {field['description']} |")
    return "\n".join(lines) + "\n"


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        problems.append("EMPORIUM_TLS_CERTIFICATE and EMPORIUM_TLS_KEY must be set together.")
    if settings.master_key is not None and settings.master_key_file is not None:
        problems.append("EMPORIUM_MASTER_KEY and EMPORIUM_MASTER_KEY_FILE exclude each other.")
    for part in filter(None, map(str.strip, settings.trusted_proxies.split(","))):
        try:
            ip_network(part)
        except ValueError:
            problems.append(f"EMPORIUM_TRUSTED_PROXIES must name networks such as 10.0.0.0/8, not {part!r}.")
    if settings.payment_provider == "stripe" and settings.stripe_api_key is None:
        problems.append("EMPORIUM_PAYMENT_PROVIDER=stripe needs EMPORIUM_STRIPE_API_KEY.")
    if settings.carrier == "easypost" and settings.easypost_api_key is None:
        problems.append("EMPORIUM_CARRIER=easypost needs EMPORIUM_EASYPOST_API_KEY.")
    return problems


def _unknown(variable: str) -> str:
    close = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), _NAMES, 1, 0.7)
    return f"{variable} is not a setting" + (f"; did you mean {PREFIX}{close[0].upper()}?" if close else ".")


def _parse(name: str, text: str) -> Any:
    """The typed value. Raises ValueError with what is expected."""
    try:
        return msgspec.convert(text.strip(), _hints()[name], strict=False, dec_hook=_path)
    except msgspec.ValidationError:
        raise ValueError(_expected(name)) from None


def _path(kind: type, text: str) -> Path:
    return Path(text).expanduser().absolute()


def _same(name: str, text: str, value: Any) -> bool:
    try:
        return bool(_parse(name, text) == value)
    except ValueError:
        return False


def _given(name: str, text: str) -> str:
    return "" if _is_secret(name) or "://" in text else f", not {text!r}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_secret(name: str) -> bool:
    return bool(_schema()[name].get("secret"))


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Settings, include_extras=True)


@cache
def _schema() -> dict[str, dict[str, Any]]:
    """Every field's JSON schema: type, bounds, choices, description."""
    whole = msgspec.json.schema(Settings, schema_hook=lambda kind: {"type": "string", "title": "a path"})
    fields: dict[str, dict[str, Any]] = whole["$defs"]["Settings"]["properties"]
    for field in fields.values():
        for part in field.pop("anyOf", ()):
            if part != {"type": "null"}:
                field.update(part)
    return fields


def _expected(name: str) -> str:
    """What a value must be, in words: `a whole number from 0 to 65535`."""
    field = _schema()[name]
    if "title" in field:
        return str(field["title"])
    if "enum" in field:
        return " or ".join(f"`{choice}`" for choice in field["enum"])
    if field["type"] == "boolean":
        return "`true` or `false`"
    if field["type"] in ("integer", "number"):
        noun = "a whole number" if field["type"] == "integer" else "a number"
        low = f"from {field['minimum']}" if "minimum" in field else f"above {field['exclusiveMinimum']}"
        return f"{noun} {low} to {field['maximum']}"
    return "text"
