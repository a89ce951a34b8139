"""`emporium up`: everything the shop needs, started in order, watched, and stopped within five seconds."""

import errno
import http.client
import logging
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec

from emporium.infra.datafolder import locked, writable
from emporium.infra.postgres import EmbeddedPostgres, check_server, die_with_parent
from emporium.infra.settings import Settings, StartupProblem
from emporium.scripts.prepare import Prepared
from emporium.scripts.processes import (
    Child,
    answers,
    child_environment,
    cli,
    free_port,
    leading_to,
    sandbox_child,
    stop_all,
)

__all__ = ["run"]

_log = logging.getLogger(__name__)

_GRACE: Final = 2.5
"""Seconds that gateways and workers have to finish what they are at; the database has 1.5 s after them."""

_OPENING: Final = 60.0
"""Seconds within which the gateway must answer for the first time."""

OPENAPI_PAGE: Final = "/api/v1/docs"
_HEALTH: Final = "/health/ready"


class _Stopped(Exception):  # noqa: N818
    """Somebody asked for the end."""


def run(settings: Settings, *, as_json: bool) -> int:
    """Runs the shop until SIGINT or SIGTERM; 0. Raises StartupProblem where it cannot start."""
    settings = _with_free_port(settings)
    with locked(settings.data_dir, "emporium up"), _signals() as pause:
        shop = _Shop(settings, pause)
        try:
            shop.open()
            shop.tell(as_json)
            shop.watch()
        except _Stopped:
            _log.info("stopping")
        finally:
            shop.close()
    return 0


class _Shop:
    """The processes of one shop.

    Args:
        pause: waits up to so many seconds, or until a child ends; raises _Stopped where the end is asked for.
    """

    def __init__(self, settings: Settings, pause: Callable[[float], None]) -> None:
        self._settings = settings
        self._pause = pause
        self._postgres: EmbeddedPostgres | None = None
        self._sandbox: list[Child] = []
        self._children: list[Child] = []
        self._demo: list[Child] = []
        self._prepared = Prepared(None, 0)
        self._plays = False

    def open(self) -> None:
        """Starts everything in order and returns when the gateway answers."""
        settings = self._settings
        sandbox = None
        # A year that never was is nothing to tell a real provider or carrier of, or somebody else's.
        ours = settings.provider_url is None and settings.carrier_url is None
        sandboxes = settings.payment_provider == settings.carrier == "sandbox"
        self._plays = ours and sandboxes and settings.fulfilment == "auto"
        if settings.provider_url is None or settings.carrier_url is None:
            child, sandbox = sandbox_child(settings)
            self._sandbox = [child]
            child.tend()
            settings = leading_to(settings, sandbox)
        if settings.database_url is None:
            self._postgres = EmbeddedPostgres(settings.data_dir)
            self._postgres.launch()
            self._until(self._postgres.ready, 600.0, "The embedded PostgreSQL does not answer.")
            settings = msgspec.structs.replace(settings, database_url=self._postgres.dsn)
        else:
            check_server(settings.database_url)
        if settings.request_log is None:
            settings = msgspec.structs.replace(settings, request_log=settings.data_dir / "log" / "requests.log")
            self._make_log_folder()
        self._settings = settings
        self._prepared = self._prepare()
        if sandbox is not None:
            self._until(lambda: answers(sandbox), 10.0, "The sandbox does not answer.")
        numbered = [f" {number}" if settings.workers > 1 else "" for number in range(1, settings.workers + 1)]
        self._children = [
            Child("gateway", cli("serve"), settings),
            *(Child(f"worker{number}", cli("work"), settings) for number in numbered),
        ]
        self._until(self._gateway_answers, _OPENING, "The gateway does not answer.")
        if self._prepared.year and self._plays:
            self._demo = [Child("demo", ["-m", "emporium.scripts.demo.filling"], settings, once=True)]

    def tell(self, as_json: bool) -> None:
        """Prints what was done and where everything is."""
        settings, prepared = self._settings, self._prepared
        facts: dict[str, Any] = {
            "address": _address(settings),
            "openapi": _address(settings) + OPENAPI_PAGE,
            "admin": settings.admin_email if prepared.admin is None else prepared.admin[0],
            "first_password": None if prepared.admin is None else prepared.admin[1],
            "data_dir": str(settings.data_dir),
            "demo_products": prepared.products,
            "sandbox": settings.provider_url if self._sandbox else None,
            "request_log": str(settings.request_log) if settings.log_requests else None,
            "database": "embedded" if self._postgres else "server",
            "processes": {child.name: child.pid for child in (*self._sandbox, *self._children)},
        }
        if self._postgres is not None:
            facts["processes"]["postgres"] = self._postgres.pid
        if as_json:
            print(msgspec.json.encode(facts).decode(), flush=True)
            return
        lines = ["Emporium is open.", f"  shop      {facts['address']}", f"  OpenAPI   {facts['openapi']}"]
        password = "; password lost: emporium admin reset-password"
        if prepared.admin:
            password = f", first password {facts['first_password']} (shown only now)"
        lines.append(f"  admin     {facts['admin']}{password}")
        lines.append(f"  data      {facts['data_dir']}" + (" (embedded PostgreSQL)" if self._postgres else ""))
        if prepared.products:
            lines.append(f"  goods     {prepared.products} demo products; with --empty a first start leaves them out")
        if self._demo:
            lines.append(
                "  past      a year of demo orders is being made beside; stopped, it goes on at the next start"
            )
        if facts["request_log"]:
            lines.append(f"  requests  {facts['request_log']}")
        if self._sandbox:
            lines.append("  sandbox   payments and parcels are played by a sandbox: no money moves")
        print("\n".join([*lines, "Ctrl-C stops it."]), flush=True)

    def watch(self) -> None:
        """Starts again what ends, until somebody asks for the end."""
        while True:
            self._tend()
            self._pause(0.5)

    def close(self) -> None:
        """Stops everything: first who writes, then what they write to."""
        with suppress(KeyboardInterrupt):
            stop_all([*self._demo, *self._children], _GRACE)
            stop_all(self._sandbox, 0.5)
        if self._postgres is not None:
            self._postgres.stop(patience=1.5)

    def _tend(self) -> None:
        if self._postgres is not None and not self._postgres.alive():
            _log.warning("the embedded PostgreSQL ended; it starts again")
            self._postgres.launch()
            self._until(self._postgres.ready, 600.0, "The embedded PostgreSQL does not answer.")
        for child in (*self._sandbox, *self._children, *self._demo):
            child.tend()

    def _until(self, condition: Callable[[], bool], patience: float, otherwise: str) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise StartupProblem(otherwise, "What it said is above.")
            self._pause(0.02)

    def _gateway_answers(self) -> bool:
        """Whether the gateway is ready. A process that gives up before that would give up again: so do we."""
        for child in (*self._sandbox, *self._children):
            child.tend()
            if child.status is not None and child.status > 0:
                raise StartupProblem(f"The {child.name} ended with status {child.status}.", "What it said is above.")
        return _ready(self._settings)

    def _make_log_folder(self) -> None:
        folder = self._settings.data_dir / "log"
        with writable(self._settings.data_dir):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _prepare(self) -> Prepared:
        process = subprocess.Popen(
            [sys.executable, "-m", "emporium.scripts.prepare"],
            env=child_environment(self._settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        try:
            while process.poll() is None:
                self._pause(0.5)
        finally:
            if process.poll() is None:
                process.terminate()
            said, _ = process.communicate()
        if process.returncode != 0:
            raise StartupProblem("The database could not be prepared.", "What it said is above.")
        return msgspec.json.decode(said, type=Prepared)


@contextmanager
def _signals() -> Iterator[Callable[[float], None]]:
    """A pause that ends early when a child ends, and with _Stopped where SIGINT or SIGTERM came."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    wake = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def pause(seconds: float) -> None:
        if not asked:
            select.select([reader], [], [], seconds)
            with suppress(BlockingIOError):
                reader.recv(4096)
        if asked:
            raise _Stopped

    try:
        yield pause
    finally:
        signal.set_wakeup_fd(wake)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _with_free_port(settings: Settings) -> Settings:
    """The settings with a port that can be had. Raises StartupProblem where it cannot."""
    host, port = settings.host, settings.port
    try:
        if port == 0:
            return msgspec.structs.replace(settings, port=free_port(host))
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupProblem(
                f"Port {port} on {host} is taken by another program.",
                f"Stop that one, or choose another port: emporium up --port {port + 1 if port < 65535 else 8000}",
            ) from None
        if error.errno == errno.EACCES:
            raise StartupProblem(
                f"This user may not open port {port}.", "Choose a port above 1023: emporium up --port 8000"
            ) from None
        raise StartupProblem(
            f"The gateway cannot listen on {host}: {error.strerror}.", "Correct EMPORIUM_HOST; 127.0.0.1 always works."
        ) from None
    return settings


def _address(settings: Settings) -> str:
    scheme = "http" if settings.tls_certificate is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}"


def _ready(settings: Settings) -> bool:
    """Whether the gateway says that it is ready."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection: http.client.HTTPConnection
    if settings.tls_certificate is None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=1.0)
    else:
        # The name in the certificate is for the world; here only the readiness counts.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, settings.port, timeout=1.0, context=context)
    try:
        connection.request("GET", _HEALTH)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
