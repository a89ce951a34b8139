"""The processes that a shop consists of, and what a single command starts where no shop runs."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from emporium.infra import postgres
from emporium.infra.datafolder import held, writable
from emporium.infra.settings import PREFIX, Settings, StartupProblem, environment

__all__ = [
    "Child",
    "answers",
    "child_environment",
    "cli",
    "free_port",
    "leading_to",
    "outfit",
    "sandbox_child",
    "stop_all",
]

_log = logging.getLogger(__name__)

_SETTLED: Final = 10.0
"""Seconds after which a child that ends is started again at once, not after a growing pause."""

_STDERR: Final = 2
"""Where a child's words go: standard output belongs to the command's own facts."""

_SANDBOX_URL: Final = "sandbox.url"


class Child:
    """A process that is started again when it ends, after a pause that doubles from 0.1 to 10 s.

    It leads a session of its own, so that Ctrl-C reaches the supervisor only, and gets SIGTERM when the
    supervisor ends, however that ends.

    Args:
        name: for people, such as `worker`.
        arguments: what follows the Python interpreter.
        settings: handed over as environment.
        quiet: what it writes to standard output is for nobody here.
        once: it has done its work when it ends with status 0.
    """

    def __init__(
        self, name: str, arguments: list[str], settings: Settings, *, quiet: bool = False, once: bool = False
    ) -> None:
        self.name = name
        self._once = once
        self._stdout = subprocess.DEVNULL if quiet else _STDERR
        self._arguments = arguments
        self._environ = child_environment(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due = 0.0
        self._pause = 0.1
        self.ends = 0
        self.status: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def done(self) -> bool:
        """Whether it had something to do once, and has done it."""
        return self._once and self._process is None and self.status == 0

    def tend(self) -> None:
        """Starts it where it is due; notices where it has ended (`ends` counts, `status` as Popen's returncode)."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due and not self.done:
                self._start(now)
            return
        self.status = self._process.poll()
        if self.status is None:
            return
        self._signal(signal.SIGKILL)
        self._process = None
        self.ends += 1
        if self.done:
            return
        self._pause = 0.1 if now - self._started > _SETTLED else min(self._pause * 2, 10.0)
        self._due = now + self._pause
        how = f"by signal {-self.status}" if self.status < 0 else f"with status {self.status}"
        _log.warning("the %s ended %s; it starts again in %.1f s", self.name, how, self._pause)

    def _start(self, now: float) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                start_new_session=True,
                preexec_fn=postgres.die_with_parent(signal.SIGTERM),
            )
        except OSError as error:
            # No memory or no process to be had at this moment must not end those that run.
            self._pause = min(self._pause * 2, 10.0)
            self._due = now + self._pause
            _log.warning("the %s cannot be started: %s; tried again in %.1f s", self.name, error, self._pause)
            return
        self._started = now

    def ask_to_stop(self) -> None:
        """Sends SIGTERM."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Waits until it has ended; kills it at the deadline (of time.monotonic())."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: what a child that was killed leaves behind would keep its port."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def stop_all(children: list[Child], patience: float) -> None:
    """Asks all of them to stop, then kills those that still run after `patience` seconds."""
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + patience
    for child in children:
        child.wait(deadline)


def cli(*arguments: str) -> list[str]:
    """The arguments of the interpreter that run an `emporium` command."""
    return ["-m", "emporium.scripts.cli", *arguments]


def sandbox_child(settings: Settings) -> tuple[Child, str]:
    """The sandbox, not yet started, and its URL, which other commands find in the data folder."""
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "emporium.infra.sandbox", "--port", str(port)]
    arguments += ["--data", str(settings.data_dir / "sandbox.sqlite")]
    arguments += ["--latency-ms", str(settings.sandbox_latency_ms)]
    arguments += ["--delivery-seconds", str(settings.sandbox_delivery_s)]
    if settings.sandbox_webhook_secret is not None:
        shop = f"http://127.0.0.1:{settings.port}/api/v1/payments/webhooks/sandbox"
        arguments += ["--webhook-url", shop, "--webhook-secret", settings.sandbox_webhook_secret]
    (settings.data_dir / _SANDBOX_URL).write_text(url)
    return Child("sandbox", arguments, settings, quiet=True), url


@contextmanager
def outfit(settings: Settings, purpose: str) -> Iterator[Settings]:
    """All that a single command needs: the settings with a database, a provider and a carrier that answer.

    What a running shop in this data folder has is used; else it is started for the block.

    Args:
        purpose: the command, told to whoever finds the data folder in use.

    Raises StartupProblem.
    """
    with postgres.database(settings, purpose) as ready:
        if ready.provider_url and ready.carrier_url:
            yield ready
            return
        found = _running_sandbox(ready.data_dir)
        if found is not None:
            yield leading_to(ready, found)
            return
        with writable(ready.data_dir):
            ready.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            child, url = sandbox_child(ready)
        try:
            child.tend()
            deadline = time.monotonic() + 10
            while not answers(url):
                child.tend()
                if child.ends or time.monotonic() > deadline:
                    raise StartupProblem("The embedded sandbox did not start.", "What it said is above.")
                time.sleep(0.02)
            yield leading_to(ready, url)
        finally:
            stop_all([child], 2.0)


def free_port(host: str) -> int:
    """A TCP port that nobody listens on at present."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether somebody accepts connections at a URL."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1.0).close()
    except OSError:
        return False
    return True


def leading_to(settings: Settings, sandbox: str) -> Settings:
    """The settings, with the sandbox's URL for the provider and the carrier where they are not set."""
    return msgspec.structs.replace(
        settings, provider_url=settings.provider_url or sandbox, carrier_url=settings.carrier_url or sandbox
    )


def child_environment(settings: Settings) -> Mapping[str, str]:
    """This process's environment with exactly these settings, those of the caller replaced."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**ours, **environment(settings)}


def _running_sandbox(data_dir: Path) -> str | None:
    """The URL of a running shop's sandbox. Where none runs, the port may be a stranger's by now."""
    try:
        url = (data_dir / _SANDBOX_URL).read_text()
    except FileNotFoundError:
        return None
    return url if held(data_dir) and answers(url) else None
