"""The composition root: the only place that knows which implementation stands behind each port."""

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from email.utils import parseaddr
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psycopg

from emporium.application import catalog, catalog_bulk, erasure, pictures, watches, webhooks
from emporium.application.effects import Effects
from emporium.application.housekeeping import Chore, Housekeeping
from emporium.application.notifications import NAME as NOTIFICATIONS
from emporium.application.notifications import UPSTREAMS, Composer, NoticeFollower, performers
from emporium.application.policies import POLICIES
from emporium.application.ports import (
    Address,
    Clock,
    EventLog,
    Notices,
    ParcelNotices,
    Pictures,
    ProviderRecord,
    Sender,
)
from emporium.application.runner import BATCH, Follower, ProcessManager, TaskRunner
from emporium.application.schedules import TimeLimits, scheduler
from emporium.application.search import Search, SearchEngine
from emporium.application.shop import Offer, Shop
from emporium.application.terms import Terms, fresh_shop
from emporium.domain.base import Money
from emporium.domain.notification import EMAIL, PUSH, SMS
from emporium.domain.registry import AGGREGATES, LOGS, SCHEMAS, UPCASTERS
from emporium.infra.attempts import Attempts
from emporium.infra.breaker import Breaker
from emporium.infra.carrier_http import HttpCarrier, SandboxNotices
from emporium.infra.clock import SystemClock
from emporium.infra.eventstore import (
    Connected,
    EventStore,
    Limits,
    Migration,
    Overtaken,
    Registry,
    SchemaMismatch,
    apply_migrations,
    check,
    connected,
    migrate,
)
from emporium.infra.eventstore import restored as lead_over
from emporium.infra.eventstore.database import Database
from emporium.infra.letters import TemplateLetters
from emporium.infra.mail import SmtpSender
from emporium.infra.media import MediaFolder, MediaStore
from emporium.infra.monitor import ModelState, Picture, look
from emporium.infra.papers import PdfPapers, open_papers
from emporium.infra.passwords import Passwords
from emporium.infra.pictures import PillowPictures
from emporium.infra.provider_http import HttpProvider
from emporium.infra.push import AppriseSender
from emporium.infra.rates import MIGRATIONS as RATE_MIGRATIONS
from emporium.infra.rates import SharedRates
from emporium.infra.search.either import Either
from emporium.infra.search.embedded import EmbeddedSearch
from emporium.infra.sessions import MIGRATIONS as SESSION_MIGRATIONS
from emporium.infra.sessions import CartTokens, Sessions, end_sessions, open_sessions
from emporium.infra.settings import Settings, StartupProblem
from emporium.infra.tracing import open_traces
from emporium.infra.vault import MIGRATIONS as VAULT_MIGRATIONS
from emporium.infra.vault import Masters, masters_from_file, masters_from_text, masters_in_folder, open_vault
from emporium.infra.webhook_http import HttpWebhooks
from emporium.projections import catalog_pages, saga_monitor, search_log, views
from emporium.projections.engine import Engine
from emporium.projections.generations import MIGRATIONS as PROJECTION_MIGRATIONS
from emporium.projections.recommendations import Teacher
from emporium.projections.registry import MODELS
from emporium.projections.search_index import Indexer
from emporium.projections.traces import Traces

if TYPE_CHECKING:
    from emporium.infra.carrier_easypost import EasyPostCarrier
    from emporium.infra.provider_stripe import StripeProvider

__all__ = [
    "Doors",
    "Limits",
    "ModelState",
    "Observation",
    "Opened",
    "Picture",
    "Revived",
    "catalog_keeper",
    "housekeeping",
    "indexers",
    "limits_of",
    "main_dsn",
    "composer",
    "migrate_all",
    "notifier",
    "observe",
    "open_doors",
    "open_shop",
    "owner",
    "process_managers",
    "programs_at_work",
    "projections",
    "provider_record",
    "registry",
    "restored",
    "rewrap_keys",
    "silent_managers",
    "watcher",
    "webhook_addresses",
    "webhook_caller",
]

NOWHERE: Final = "http://127.0.0.1:9"
"""Where a provider is looked for that was not named: the discard port, where nobody answers."""

PATIENCE: Final = 5.0
"""Seconds for which a read model's reader waits for a lost database."""

SESSION_IDLE: Final = timedelta(days=14)
SESSION_LONGEST: Final = timedelta(days=90)
"""A session ends when it was not used for so long, and in any case so long after its beginning."""


def registry() -> Registry:
    """All event types of the program, with their schemas and upcasters. Raises SchemaMismatch for a gap."""
    return Registry(AGGREGATES, SCHEMAS, UPCASTERS)


def main_dsn(settings: Settings) -> str:
    """The common database. Raises StartupProblem where none is named."""
    if settings.database_url is None:
        raise StartupProblem(
            "No database is named.", "Start the shop with `emporium up`, or set EMPORIUM_DATABASE_URL."
        )
    return settings.database_url


def log_dsns(settings: Settings) -> dict[str, str]:
    """Log → its database."""
    return {log: settings.context_database_url(log) or main_dsn(settings) for log in LOGS}


def limits_of(settings: Settings) -> TimeLimits:
    """The time limits of the saga."""
    return TimeLimits(
        payment=timedelta(seconds=settings.payment_timeout_s),
        action=timedelta(seconds=settings.payment_action_timeout_s),
        cart=timedelta(days=settings.cart_expiry_days),
        unshipped=timedelta(days=settings.reservation_expiry_days),
        tracking=timedelta(seconds=settings.tracking_interval_s),
    )


def _media(settings: Settings) -> MediaFolder | MediaStore:
    return MediaFolder(settings.data_dir) if settings.media_url is None else MediaStore(settings.media_url)


def owner() -> str:
    """Who this process is in leases: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def migrate_all(settings: Settings) -> list[Migration]:
    """Brings every database up to date; what was applied. Raises SchemaMismatch."""
    applied = list(await migrate(log_dsns(settings), registry()))
    for dsn, component, steps in (
        (settings.context_database_url("keys") or main_dsn(settings), "vault", VAULT_MIGRATIONS),
        (main_dsn(settings), "sessions", SESSION_MIGRATIONS),
        (main_dsn(settings), "projections", PROJECTION_MIGRATIONS),
        (main_dsn(settings), "rates", RATE_MIGRATIONS),
    ):
        numbered = [Migration(component, number, sql) for number, sql in enumerate(steps, start=1)]
        applied += await apply_migrations(dsn, numbered)
    return applied


class _CatalogOffers:
    """Prices and availability from the read model of the catalog."""

    def __init__(self, reads: Database) -> None:
        self._reads = reads

    async def offers(self, skus: Sequence[str], currency: str) -> Mapping[str, Offer]:
        rows = await self._reads.run(lambda connection: catalog_pages.offers(connection, skus, currency))
        return {
            sku: Offer(
                sku=sku,
                product_id=row.product_id,
                title=row.title,
                price=None if row.price is None else Money(row.price, currency),
                available=row.available,
                tax_class=row.tax_class,
                weight=row.weight,
                supplied=row.supplied,
                later=row.later,
                kind=row.kind,
                expected=row.expected,
            )
            for sku, row in rows.items()
        }


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A process's shop, its event store and its connections to the read models.

    Attributes:
        search: what answers; engines: the indexes behind it, the one that answers first.
    """

    settings: Settings
    shop: Shop
    store: EventStore
    reads: Database
    media: MediaFolder | MediaStore
    pictures: Pictures
    search: Search
    engines: tuple[SearchEngine, ...]


def _provider(settings: Settings) -> "tuple[HttpProvider | StripeProvider, Notices | None]":
    """The payment provider, and who reads what it tells by itself. Stripe's SDK is loaded only where it is used."""
    at_once = settings.payment_capture == "at_once"
    if settings.payment_provider == "sandbox" or settings.stripe_api_key is None:
        sandbox = HttpProvider(settings.provider_url or NOWHERE, capture=at_once)
        if settings.sandbox_webhook_secret is None:
            return sandbox, None
        from emporium.infra.sandbox_notices import SandboxNotices

        return sandbox, SandboxNotices(sandbox, settings.sandbox_webhook_secret)
    from emporium.infra.provider_stripe import StripeNotices, StripeProvider

    provider = StripeProvider(settings.stripe_api_key, base=settings.stripe_api_base, capture=at_once)
    secret = settings.stripe_webhook_secret
    return provider, None if secret is None else StripeNotices(provider, secret)


def _carrier(
    settings: Settings, reads: Database, terms: Terms, ordering: EventLog
) -> "tuple[HttpCarrier | EasyPostCarrier, ParcelNotices | None]":
    """The carrier, and who reads what it tells by itself. EasyPost's SDK is loaded only where it is used."""
    secret = settings.carrier_webhook_secret
    if settings.carrier == "sandbox" or settings.easypost_api_key is None:
        sandbox = HttpCarrier(settings.carrier_url or NOWHERE)
        return sandbox, None if secret is None else SandboxNotices(sandbox, secret)
    from emporium.infra.carrier_easypost import EasyPostCarrier, EasyPostNotices

    async def sender() -> Address | None:
        home = (await terms.now(ordering)).sender_address
        return None if home is None else Address(home.name, home.lines, home.city, home.postcode, home.country)

    async def weigh(skus: Sequence[str]) -> Mapping[str, int]:
        try:
            return await reads.run(lambda connection: catalog_pages.weights(connection, skus))
        except psycopg.errors.UndefinedTable:
            return {}  # the read model is not there yet: the weight is assumed

    carrier = EasyPostCarrier(settings.easypost_api_key, sender=sender, weigh=weigh, base=settings.easypost_api_base)
    return carrier, None if secret is None else EasyPostNotices(carrier, secret)


def _masters(settings: Settings) -> Masters:
    """The master keys: of the setting, else of the named file, else of the data folder. Raises MasterKeyError."""
    if settings.master_key is not None:
        return masters_from_text(settings.master_key, "EMPORIUM_MASTER_KEY")
    if settings.master_key_file is not None:
        return masters_from_file(settings.master_key_file)
    return masters_in_folder(settings.data_dir)


def _erasures(settings: Settings) -> Path:
    """The list of erasures outside the database."""
    return settings.erasures_file or settings.data_dir / "erasures.txt"


async def rewrap_keys(settings: Settings) -> int:
    """Wraps anew with the first master key whatever the others that are configured have wrapped; how many keys.

    May be interrupted and called again. Raises MasterKeyError, Unavailable.
    """
    masters = _masters(settings)
    async with open_vault(
        settings.context_database_url("keys") or main_dsn(settings), masters, _erasures(settings)
    ) as vault:
        return sum([await vault.rotate(old, masters.current) for old in masters.all[1:]])


class Revived(msgspec.Struct, frozen=True, kw_only=True):
    """What was done after a restore.

    Attributes:
        logs: those that began another life.
        overtaken: followers that had read more than the logs hold now.
        sessions: log-ins that were ended.
    """

    logs: tuple[str, ...]
    overtaken: tuple[Overtaken, ...]
    sessions: int


async def programs_at_work(settings: Settings) -> list[Connected]:
    """Who is connected to the shop's databases at present, which is whoever runs, where no pooler stands between.

    Raises SchemaMismatch, psycopg.Error.
    """
    await check(log_dsns(settings), registry())
    keys = settings.context_database_url("keys") or main_dsn(settings)
    return await connected([main_dsn(settings), keys, *log_dsns(settings).values()])


async def restored(settings: Settings, logs: Sequence[str]) -> Revived:
    """To be called once after a restore of these logs, before anything runs; again where it was interrupted.

    Raises psycopg.Error.
    """
    dsns = log_dsns(settings)
    overtaken = await lead_over(dsns, logs)
    sessions = await end_sessions(main_dsn(settings))
    return Revived(logs=tuple(logs), overtaken=tuple(overtaken), sessions=sessions)


@asynccontextmanager
async def open_shop(
    settings: Settings,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    reads: int = 4,
    follows: bool = True,
) -> AsyncIterator[Opened]:
    """Everything that a process works with, closed in order at the end.

    Args:
        clock: another one than the system's, for imports and tests.
        limits: of the event store.
        reads: connections to the read models at most.
        follows: whether this process waits for events; one that does not need not hear of them.

    Raises:
        StartupProblem: a database cannot be used; SchemaMismatch: it does not fit the program.
    """
    clock = clock or SystemClock()
    dsns = log_dsns(settings)
    listen = {log: settings.listen_database_url or dsn for log, dsn in dsns.items()} if follows else None
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await EventStore.open(dsns, registry(), listen=listen, limits=limits))
        masters = _masters(settings)
        keys_dsn = settings.context_database_url("keys") or main_dsn(settings)
        vault = await stack.enter_async_context(open_vault(keys_dsn, masters, _erasures(settings)))
        database = Database(main_dsn(settings), pool=reads, patience=PATIENCE)
        await database.open()
        stack.push_async_callback(database.close)
        provider, notices = _provider(settings)
        stack.push_async_callback(provider.aclose)
        passwords = Passwords()
        stack.callback(passwords.close)
        time_limits = limits_of(settings)
        terms = Terms(
            fresh_shop(
                fee=settings.shipping_fee,
                free_from=settings.free_shipping_from,
                cart_days=settings.cart_expiry_days,
                payment_seconds=settings.payment_timeout_s,
                sender=parseaddr(settings.mail_from),
            )
        )
        carrier, parcel_notices = _carrier(settings, database, terms, store["ordering"])
        stack.push_async_callback(carrier.aclose)
        shop = Shop(
            logs={log: store[log] for log in LOGS},
            leases={log: store[log].leases for log in LOGS},
            clock=clock,
            vault=vault,
            passwords=passwords,
            provider=Breaker(provider),
            notices=notices,
            carrier=carrier,
            parcel_notices=parcel_notices,
            offers=_CatalogOffers(database),
            schedule=scheduler(
                time_limits,
                lambda: timedelta(days=terms.seen.cart_days),
                lambda: timedelta(hours=terms.seen.cart_left_hours),
            ),
            limits=time_limits,
            traces=await stack.enter_async_context(open_traces(settings.otlp_endpoint, "emporium")),
            terms=terms,
        )
        embedded = EmbeddedSearch(settings.data_dir / "search")
        stack.push_async_callback(embedded.aclose)
        search: Search = embedded
        engines: tuple[SearchEngine, ...] = (embedded,)
        if settings.elasticsearch_url is not None:
            # The client is loaded only where it is used.
            from emporium.infra.search.elastic import ElasticSearch

            elastic = ElasticSearch(
                settings.elasticsearch_url, settings.elasticsearch_index, api_key=settings.elasticsearch_api_key
            )
            stack.push_async_callback(elastic.aclose)
            search, engines = Either(elastic, embedded), (elastic, embedded)
        media = _media(settings)
        looking = PillowPictures()
        stack.callback(looking.close)
        yield Opened(
            settings=settings,
            shop=shop,
            store=store,
            reads=database,
            media=media,
            pictures=looking,
            search=search,
            engines=engines,
        )


def process_managers(
    shop: Shop, *, automatic: bool, name: str, ttl: float = 5.0, batch: int = BATCH
) -> list[ProcessManager]:
    """All process managers of the saga, ready to run in this process.

    Args:
        automatic: parcels are packed and handed over without people.
        name: this process in the leases.
        ttl: seconds after which another process may take a silent leader's place.
        batch: events that a follower handles in one commit.
    """
    log_of = {event: aggregate.log for aggregate in AGGREGATES for event in aggregate.events}
    effects = Effects(
        shop.logs,
        shop.provider,
        shop.carrier,
        shop.vault,
        shop.clock,
        shop.limits,
        automatic=automatic,
        terms=shop.terms,
    )
    managers = []
    for policy in POLICIES:
        log = shop.logs[policy.name]
        followers = [
            Follower(
                policy, log, shop.logs[upstream], shop.logs["ordering"], shop.clock, shop.schedule, batch, shop.traces
            )
            for upstream in dict.fromkeys(log_of[event] for event in policy.table)
        ]
        performers = dict(effects.performers.get(policy.name, {}))
        performers |= {follower.later_kind: follower.again for follower in followers}
        tasks = TaskRunner(log, performers, shop.clock, shop.schedule, shop.traces)
        managers.append(ProcessManager(policy.name, followers, tasks, shop.leases[policy.name], name, ttl))
    return managers


def composer(opened: Opened) -> Composer:
    """Puts messages into words."""
    shop, settings = opened.shop, opened.settings
    return Composer(
        shop.logs,
        shop.vault,
        TemplateLetters(),
        shop.clock,
        order_token=CartTokens(shop.vault.fingerprint("secret", "order tokens")).sign_cart,
        offers=shop.offers,
        public_url=settings.shop_url,
        terms=shop.terms,
    )


@asynccontextmanager
async def notifier(opened: Opened, *, name: str, ttl: float = 5.0) -> AsyncIterator[ProcessManager]:
    """What makes messages of events and sends them; `name` is this process in the leases."""
    shop, settings = opened.shop, opened.settings
    senders: dict[str, Sender] = {}
    writer = composer(opened)
    async with AsyncExitStack() as stack:
        if settings.smtp_url is not None:
            senders[EMAIL] = mail = SmtpSender(settings.smtp_url, lambda: writer.sender)
            stack.push_async_callback(mail.aclose)
        for channel, url in ((SMS, settings.sms_url), (PUSH, settings.push_url)):
            if url is not None:
                senders[channel] = apprise = AppriseSender(url, lambda: writer.sender[0])
                stack.callback(apprise.close)
        channels = (EMAIL, *(channel for channel in (SMS, PUSH) if channel in senders))
        followers = [
            NoticeFollower(
                shop.logs,
                log,
                shop.clock,
                shop.schedule,
                channels=channels,
                terms=shop.terms,
                outbox=EMAIL not in senders,
                traces=shop.traces,
            )
            for log in UPSTREAMS
        ]
        sending = performers(writer, senders, shop.clock) | {one.later_kind: one.again for one in followers}
        tasks = TaskRunner(shop.logs[NOTIFICATIONS], sending, shop.clock, shop.schedule, shop.traces)
        yield ProcessManager(NOTIFICATIONS, followers, tasks, shop.leases[NOTIFICATIONS], name, ttl)


def silent_managers(shop: Shop, *, name: str) -> list[ProcessManager]:
    """Pass over all events without telling anybody, for a playback of history."""
    tell = [NoticeFollower(shop.logs, log, shop.clock, shop.schedule, silent=True) for log in UPSTREAMS]
    call = [webhooks.WebhookFollower(shop.logs, log, shop.clock, shop.schedule, silent=True) for log in webhooks.LOGS]
    watch = [watches.WatchFollower(shop.logs, log, shop.clock, shop.schedule, silent=True) for log in watches.UPSTREAMS]
    log, lease = shop.logs[NOTIFICATIONS], shop.leases[NOTIFICATIONS]
    accounts = shop.logs["accounts"]
    return [
        ProcessManager(NOTIFICATIONS, tell, TaskRunner(log, {}, shop.clock, shop.schedule), lease, name),
        ProcessManager(webhooks.NAME, call, TaskRunner(log, {}, shop.clock, shop.schedule), lease, name),
        ProcessManager(
            watches.NAME, watch, TaskRunner(accounts, {}, shop.clock, shop.schedule), shop.leases["accounts"], name
        ),
    ]


def watcher(shop: Shop, *, name: str, ttl: float = 5.0) -> ProcessManager:
    """What notices that something which customers watch has happened; `name` is this process in the leases."""
    followers = [watches.WatchFollower(shop.logs, log, shop.clock, shop.schedule) for log in watches.UPSTREAMS]
    performing = watches.performers(shop) | {one.later_kind: one.again for one in followers}
    tasks = TaskRunner(shop.logs["accounts"], performing, shop.clock, shop.schedule, shop.traces)
    return ProcessManager(watches.NAME, followers, tasks, shop.leases["accounts"], name, ttl)


def webhook_addresses(opened: Opened) -> HttpWebhooks:
    """Knows which addresses other programs may have; opens nothing."""
    return HttpWebhooks(private=opened.settings.private_webhooks)


@asynccontextmanager
async def webhook_caller(opened: Opened, *, name: str, ttl: float = 5.0) -> AsyncIterator[ProcessManager]:
    """What tells other programs of events; `name` is this process in the leases."""
    shop = opened.shop
    calls = HttpWebhooks(private=opened.settings.private_webhooks)
    followers = [webhooks.WebhookFollower(shop.logs, log, shop.clock, shop.schedule) for log in webhooks.LOGS]
    performing = webhooks.performers(shop.logs, shop.vault, calls, shop.clock)
    performing |= {one.later_kind: one.again for one in followers}
    tasks = TaskRunner(shop.logs[NOTIFICATIONS], performing, shop.clock, shop.schedule, shop.traces)
    try:
        yield ProcessManager(webhooks.NAME, followers, tasks, shop.leases[NOTIFICATIONS], name, ttl)
    finally:
        await calls.aclose()


def catalog_keeper(opened: Opened, *, name: str, ttl: float = 5.0) -> ProcessManager:
    """What lets prices change at their time, makes pictures smaller, and writes files of products.

    `name` is this process in the leases.
    """
    shop = opened.shop
    log = shop.logs[catalog.LOG]
    performing = catalog.performers(shop.clock) | pictures.performers(log, opened.pictures, opened.media)
    performing |= catalog_bulk.performers(shop, opened.media)
    tasks = TaskRunner(log, performing, shop.clock, shop.schedule, shop.traces)
    return ProcessManager(catalog.NAME, [], tasks, shop.leases[catalog.LOG], name, ttl)


@asynccontextmanager
async def provider_record(settings: Settings) -> AsyncIterator[ProviderRecord]:
    """The payment provider's own record, to reconcile with."""
    provider, _ = _provider(settings)
    try:
        yield provider
    finally:
        await provider.aclose()


def housekeeping(opened: Opened, *, name: str) -> Housekeeping:
    """What is to be thrown away in time; `name` is this process in the leases."""
    age = timedelta(days=opened.settings.idempotency_days)
    sessions = Sessions(opened.reads, opened.reads, idle=SESSION_IDLE, longest=SESSION_LONGEST)
    answers = [
        Chore("answers", opened.store[log].leases, partial(opened.store[log].forget_answers, age)) for log in LOGS
    ]
    leases = opened.shop.leases["accounts"]
    traces = Traces(opened.reads, opened.media)
    chores = [
        Chore("sessions", leases, sessions.purge),
        Chore("allowances", leases, SharedRates(opened.reads).forget),
        Chore("searches", leases, partial(_forget_searches, opened)),
        Chore("attempts", leases, Attempts(opened.reads).purge),
        Chore("views", leases, partial(_forget_views, opened)),
        Chore("erasures", leases, partial(erasure.complete, opened.shop, sessions, traces)),
        Chore("pictures", leases, lambda: traces.purge(opened.shop.clock.now())),
    ]
    return Housekeeping([*answers, *chores], name)


async def _forget_searches(opened: Opened) -> int:
    before = opened.shop.clock.now() - timedelta(days=opened.settings.search_log_days)
    return await opened.reads.run(lambda connection: search_log.forget(connection, before))


async def _forget_views(opened: Opened) -> int:
    today = opened.shop.clock.now().date()
    return await opened.reads.run(lambda connection: views.expire(connection, today))


def projections(opened: Opened, *, name: str) -> Engine:
    """All read models, ready to run in this process; `name` is this process in the leases."""
    dsn = opened.settings.listen_database_url or main_dsn(opened.settings)
    return Engine(dsn, MODELS, opened.shop.logs, opened.shop.leases["ordering"], owner=name)


def indexers(opened: Opened, *, name: str) -> list[Indexer]:
    """What keeps every search index true, ready to run in this process; `name` is this process in the leases."""
    return [Indexer(opened.reads, engine, opened.shop.leases["catalog"], name) for engine in opened.engines]


def teacher(opened: Opened, *, name: str) -> Teacher:
    """What keeps the recommendations true, ready to run in this process; `name` is this process in the leases."""
    return Teacher(opened.reads, opened.shop.leases["ordering"], name)


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway needs beside the shop.

    Attributes:
        cart_tokens: name anonymous carts; order_tokens: guests' orders.
        secret: 32 bytes that all gateways share and that no database holds in clear.
        listen: the read models' database, not through a pooler.
    """

    sessions: Sessions
    attempts: Attempts
    cart_tokens: CartTokens
    order_tokens: CartTokens
    secret: bytes
    media: MediaFolder | MediaStore
    traces: Traces
    pictures: Pictures
    rates: SharedRates
    papers: PdfPapers
    listen: str


@asynccontextmanager
async def open_doors(opened: Opened) -> AsyncIterator[Doors]:
    """Opens what a gateway needs beside the shop. Raises Unavailable."""
    settings, fingerprint = opened.settings, opened.shop.vault.fingerprint
    dsn = main_dsn(settings)
    async with open_sessions(dsn, SESSION_IDLE, SESSION_LONGEST) as sessions, open_papers() as papers:
        yield Doors(
            sessions=sessions,
            attempts=Attempts(opened.reads),
            cart_tokens=CartTokens(fingerprint("secret", "cart tokens")),
            order_tokens=CartTokens(fingerprint("secret", "order tokens")),
            secret=fingerprint("secret", "idempotency"),
            media=opened.media,
            traces=Traces(opened.reads, opened.media),
            pictures=opened.pictures,
            rates=SharedRates(opened.reads),
            papers=papers,
            listen=settings.listen_database_url or dsn,
        )


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """How the shop is, seen from outside.

    Attributes:
        mismatch: why the databases do not fit the program; None where they do or cannot be asked.
        sagas: what is open; None before the read model exists.
        at_work: whether any other program is connected to one of the databases, or one of them cannot be asked.
    """

    picture: Picture
    mismatch: str | None
    sagas: saga_monitor.OpenSagas | None
    at_work: bool


async def observe(settings: Settings) -> Observation:
    """Looks at all databases without opening the shop, so that one that cannot be reached hides nothing else."""
    dsns, main = log_dsns(settings), main_dsn(settings)
    picture = await look(dsns, main)
    mismatch = sagas = None
    at_work = True
    if not any(database.error for database in picture.databases):
        at_work = bool(await connected([main, *dsns.values()]))
        try:
            await check(dsns, registry())
        except SchemaMismatch as error:
            mismatch = str(error)
    name = saga_monitor.SAGA_MONITOR.name
    if any(model.model == name and model.state != "outdated" for model in picture.models):
        async with await psycopg.AsyncConnection.connect(main, autocommit=True) as connection:
            sagas = await saga_monitor.summary(connection)
    return Observation(picture=picture, mismatch=mismatch, sagas=sagas, at_work=at_work)
