"""A whole shop for tests: `emporium up` with its processes, each of which can be found, stopped, killed and watched."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from emporium.application.bootstrap import Opened, open_shop
from emporium.infra.postgres import EmbeddedPostgres
from emporium.infra.settings import Settings
from emporium.scripts.processes import child_environment, cli
from tests.support.sandbox import SandboxProcess

__all__ = ["Fleet", "until"]

_ROLES = {
    "gateway": b"\0emporium.scripts.cli\0serve\0",
    "worker": b"\0emporium.scripts.cli\0work\0",
    "sandbox": b"\0emporium.infra.sandbox\0",
    "postgres": b"/postgres\0-D\0",
}


class Fleet:
    """One running `emporium up` on an empty catalogue. `Fleet.up(folder)` starts and stops it.

    Attributes:
        address: of the gateway.
        settings: with which another process can open the same shop.
        sandbox: the sandbox, to be asked and ordered about; it is started by the shop.
        log: everything that the processes have said.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", facts: dict[str, Any], settings: Settings, log: Path
    ) -> None:
        self._process = process
        self.address: str = facts["address"]
        self.password: str = facts["first_password"]
        url = facts["sandbox"]
        self.settings = msgspec.structs.replace(
            settings,
            database_url=EmbeddedPostgres(settings.data_dir).dsn,
            provider_url=url,
            carrier_url=url,
        )
        self.sandbox = SandboxProcess(settings.data_dir / "sandbox.sqlite", port=urlsplit(url).port or 0)
        self.log = log

    @classmethod
    @contextmanager
    def up(cls, folder: Path, **settings: Any) -> Iterator["Fleet"]:
        """Two gateways and two workers, unless the settings say otherwise; parcels arrive at once."""
        usual: dict[str, Any] = {
            "data_dir": folder / "var", "port": 0, "empty": True, "gateways": 2, "workers": 2, "log_requests": False,
            "sandbox_delivery_s": 0.1, "tracking_interval_s": 0.1,
        }  # fmt: skip
        wanted = msgspec.structs.replace(Settings(), **{**usual, **settings})
        folder.mkdir(exist_ok=True)
        log = folder / "up.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, *cli("up", "--json")],
                env={**child_environment(wanted), "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        too_late = threading.Timer(90, process.kill)
        too_late.start()
        try:
            facts = _facts(process)
            too_late.cancel()
            assert facts is not None, f"the shop did not start: {log.read_text()[-3000:]}"
            yield cls(process, facts, wanted, log)
        finally:
            too_late.cancel()
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Opened]:
        """The shop, opened in this process too: one more client of its databases."""
        async with open_shop(self.settings) as shop:
            yield shop

    def said(self) -> str:
        """The last of what the processes have said."""
        return self.log.read_text(errors="replace")[-4000:]

    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self._process.poll() is None

    def pids(self, role: str) -> list[int]:
        """The processes at present: `worker`, `gateway` (the one that the supervisor started), `server` (a gateway's
        own processes, which answer), `sandbox`, `postgres`."""
        mark = _ROLES["gateway" if role == "server" else role]
        parents = self.pids("gateway") if role == "server" else [self._process.pid]
        return sorted(pid for parent in parents for pid in _children(parent) if mark in _command(pid))

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one of the shop's processes; one that has just ended gets none."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    async def whole(self, within: float = 30.0) -> None:
        """Waits until all processes run and the gateway answers that it is ready."""
        async with httpx.AsyncClient(base_url=self.address, timeout=5, verify=False) as client:

            async def ready() -> bool:
                assert self.alive(), f"the shop has ended: {self.said()}"
                wanted = {"gateway": 1, "server": self.settings.gateways, "worker": self.settings.workers}
                if any(len(self.pids(role)) != count for role, count in {**wanted, "postgres": 1}.items()):
                    return False
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, within, lambda: f"the shop is not whole: {self.said()}")


async def until(look: Callable[[], Any], within: float, otherwise: Callable[[], str], pause: float = 0.05) -> Any:
    """The first true answer of `look` (a function or a coroutine function), asked every `pause` seconds.

    Raises AssertionError with what `otherwise` says after `within` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert loop.time() < deadline, otherwise()
        await asyncio.sleep(pause)


def _facts(process: "subprocess.Popen[bytes]") -> dict[str, Any] | None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    return None


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, above = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(above) == parent and state != "Z":
                found.append(int(folder.name))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
