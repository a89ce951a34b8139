"""Stripe's stand-ins as processes of a test: localstripe for behaviour, stripe-mock for the form of every request."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.servers import lack

__all__ = ["CARDS", "KEY", "SECRET", "LocalStripe", "local_stripe", "stripe_mock"]

KEY = "sk_test_emporium"
SECRET = "whsec_test"

CARDS = {
    "ok": "4242424242424242",
    "declined": "4000000000000341",
    "refused_to_keep": "4000000000000002",
    "3ds": "4000002500003155",
    "3ds_declined": "4000008260003178",
}
"""Stripe's test cards that localstripe knows."""

_STRIPE_MOCK = "github.com/stripe/stripe-mock@latest"
_GO = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go")
_FETCHES_ITSELF = (1, 21)
"""The first Go that fetches whichever newer one a module asks for."""
_TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.24.9"
_BUILD = 400
"""Seconds for fetching and building on a machine that is busy."""


class LocalStripe:
    """A running localstripe, spoken to past the adapter."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, **form: str) -> tuple[int, Any]:
        """One call as Stripe's own scripts would make it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, urlencode(form) or None, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def card(self, name: str = "ok") -> str:
        """A payment method as Stripe's script in the customer's browser makes it."""
        form = {"card[number]": CARDS[name], "card[exp_month]": "12", "card[exp_year]": "2030", "card[cvc]": "123"}
        status, answer = self.ask("POST", "/v1/payment_methods", type="card", **form)
        assert status == 200, answer
        return str(answer["id"])

    def authenticate(self, intent: str, secret: str, *, success: bool = True) -> None:
        """The customer does (or refuses) what the bank asks for."""
        form = {"client_secret": secret, "success": str(success).lower()}
        status, answer = self.ask("POST", f"/v1/payment_intents/{intent}/_authenticate", **form)
        assert status in (200, 402), answer

    def tell(self, url: str) -> None:
        """Signed webhooks go to this address from now on."""
        status, _ = self.ask("POST", "/_config/webhooks/test", url=url, secret=SECRET)
        assert status == 200


@contextmanager
def local_stripe(folder: Path) -> Iterator[LocalStripe]:
    """localstripe on a free port."""
    if find_spec("localstripe") is None:
        lack("localstripe is not installed")
    with _running([sys.executable, "-m", "localstripe", "--from-scratch", "--port"], folder) as port:
        yield LocalStripe(port)


@contextmanager
def stripe_mock(folder: Path) -> Iterator[str]:
    """The address of stripe-mock, which refuses whatever Stripe's own schema does not allow."""
    program = _stripe_mock()
    with _running([str(program), "-http-port"], folder) as port:
        yield f"http://127.0.0.1:{port}"


def _stripe_mock() -> Path:
    """The program: on the PATH, or built once and kept outside the checkout."""
    found = shutil.which("stripe-mock")
    if found is not None:
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emporium-tests" / "bin"
    program = cache / "stripe-mock"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # Another worker of this run may be building it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            go = shutil.which("go") or next((one for one in _GO if Path(one).is_file()), None)
            if go is None:
                lack("there is neither stripe-mock nor Go to build it with: apt-get install golang-go")
            _said(_recent(Path(go)), "install", _STRIPE_MOCK, GOBIN=str(cache), CGO_ENABLED="0")
    return program


def _recent(go: Path) -> Path:
    """This Go, or a newer one that it fetches as a module, checked by its sum, where it is too old to do so itself."""
    version, system, processor = _said(go, "env", "GOVERSION", "GOOS", "GOARCH").split()
    number = re.match(r"go(\d+)\.(\d+)", version)
    if number is None or (int(number[1]), int(number[2])) >= _FETCHES_ITSELF:
        return go
    with tempfile.TemporaryDirectory(prefix="emporium-go-") as empty:
        (Path(empty) / "go.mod").write_text("module fetch\n")
        said = _said(go, "mod", "download", "-json", f"{_TOOLCHAIN}.{system}-{processor}", folder=empty)
    fetched = Path(json.loads(said)["Dir"])
    for program in (*(fetched / "bin").iterdir(), *(fetched / "pkg" / "tool").rglob("*")):
        # Modules are kept as files that nobody runs.
        program.chmod(program.stat().st_mode | 0o111)
    return fetched / "bin" / "go"


def _said(go: Path, *arguments: str, folder: str | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(go), *arguments],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_BUILD,
        check=False,
    )
    if done.returncode:
        lack(f"stripe-mock cannot be built: go {arguments[0]}: {(done.stderr or done.stdout)[-300:]}")
    return done.stdout


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with (folder / "stripe.log").open("wb") as log:
        process = subprocess.Popen([*command, str(port)], cwd=folder, stdout=log, stderr=log)
        try:
            _answers(port, process)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer")
