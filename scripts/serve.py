"""`emporium serve`: granian with the gateway's processes, which end within three seconds when asked to."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from emporium.application import bootstrap
from emporium.application.ports import Unavailable
from emporium.application.together import end
from emporium.http.edge import RequestLog, to_file
from emporium.http.main import Gateway, NotStarted, open_services
from emporium.http.services import Services
from emporium.infra.eventstore import EventStore, StoreError
from emporium.infra.postgres import die_with_parent
from emporium.infra.settings import Settings, StartupProblem, environment, load
from emporium.scripts.processes import free_port

__all__ = ["application", "run"]

_log = logging.getLogger(__name__)

_GRACE: Final = 2
"""Seconds that requests under way have to end, out of the three that a stop may take."""

_BACKLOG: Final = 2048

_LONGEST_LOG: Final = 100_000_000
"""Bytes of the log of requests from which a start begins another one and keeps only the last."""

_LIMITS: Final = bootstrap.Limits(pace=0.002)

_LOGGING: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": False}},
}
"""granian's own lines go where all others go."""


def application() -> Gateway:
    """The application of one gateway process, for granian; its settings come from the environment."""
    # A killed supervisor must not leave a process behind that holds the port.
    die_with_parent(signal.SIGTERM)()
    # What was imported stays; requests and states live shortly and form few cycles.
    gc.freeze()
    gc.set_threshold(50_000)
    # The event loop waits at most so long for a thread that computes, as a search does.
    sys.setswitchinterval(0.0005)
    settings = load()

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        async with AsyncExitStack() as stack:
            try:
                opened = await stack.enter_async_context(bootstrap.open_shop(settings, limits=_LIMITS, follows=False))
                doors = await stack.enter_async_context(bootstrap.open_doors(opened))
                ready = await stack.enter_async_context(open_services(opened, doors))
            except (StartupProblem, StoreError, Unavailable) as problem:
                raise NotStarted(str(problem)) from problem
            async with _unless_restored(opened.store):
                yield ready

    return Gateway(services, requests=_requests(settings))


def _requests(settings: Settings) -> RequestLog | None:
    if not settings.log_requests:
        return None
    return RequestLog(None if settings.request_log is None else to_file(settings.request_log))


@asynccontextmanager
async def _unless_restored(store: EventStore) -> AsyncIterator[None]:
    """Ends this process, for another to take its place, when a log is not the one that it remembers any more."""

    async def watch() -> None:
        try:
            await store.watch()
        except Exception as error:
            _log.error("this process ends: %s", error)
            os.kill(os.getpid(), signal.SIGTERM)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        await end((watching,))


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; 0, or 1 where the processes kept failing. Raises StartupProblem."""
    settings = msgspec.structs.replace(settings, port=settings.port or free_port(settings.host))
    _check_address(settings)
    _check_tls(settings)
    _check_log(settings)
    os.environ.update(environment(settings))
    with ExitStack() as stack:
        if settings.gateways > 1:
            # Where the processes keep their measures, so that any of them can tell those of all.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="emporium-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        server = Server(
            target="emporium.scripts.serve:application",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.gateways,
            loop=Loops.uvloop,
            http=HTTPModes.http1 if settings.tls_certificate is None else HTTPModes.auto,
            websockets=False,
            backlog=_BACKLOG,
            log_level=LogLevels.warning,
            log_dictconfig=_LOGGING,
            ssl_cert=settings.tls_certificate,
            ssl_key=settings.tls_key,
            workers_kill_timeout=_GRACE,
            respawn_failed_workers=True,
            respawn_interval=0.1,
        )
        _log.debug("serving on %s:%s with %s processes", settings.host, settings.port, settings.gateways)
        try:
            server.serve(target_loader=application, wrap_loader=False)
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def _check_address(settings: Settings) -> None:
    """granian shares its port with whoever asks: a port in use has to be noticed before."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupProblem(
                f"Port {settings.port} on {settings.host} is taken by another program.",
                "Stop that one, or choose another port with EMPORIUM_PORT.",
            ) from None
        raise StartupProblem(
            f"The gateway cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            "Correct EMPORIUM_HOST and EMPORIUM_PORT.",
        ) from None


def _check_log(settings: Settings) -> None:
    path = settings.request_log
    if not settings.log_requests or path is None:
        return
    try:
        if path.exists() and path.stat().st_size > _LONGEST_LOG:
            path.replace(path.with_name(f"{path.name}.1"))
        to_file(path)
    except OSError as error:
        raise StartupProblem(
            f"Requests cannot be logged to {path}: {error.strerror}.", "Correct EMPORIUM_REQUEST_LOG."
        ) from None


def _check_tls(settings: Settings) -> None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    for path in (certificate, key):
        if not os.access(path, os.R_OK):
            raise StartupProblem(f"{path} cannot be read.", "Correct EMPORIUM_TLS_CERTIFICATE and EMPORIUM_TLS_KEY.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise StartupProblem(
            f"{certificate} and {key} are no certificate with its key in PEM format: {error.reason or error}.",
            "Correct EMPORIUM_TLS_CERTIFICATE and EMPORIUM_TLS_KEY.",
        ) from None
    if "BEGIN PRIVATE KEY" not in Path(key).read_text():
        raise StartupProblem(
            f"{key} is not in PKCS#8 format.", f"Convert it: openssl pkcs8 -topk8 -nocrypt -in {key} -out key.pem"
        )
