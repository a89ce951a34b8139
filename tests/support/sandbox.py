"""The sandbox provider and carrier as a process of a test: started, killed, restarted, ordered to fail."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, cast

__all__ = ["SandboxProcess"]


class SandboxProcess:
    """One sandbox on a file; keeps its port over restarts. A context manager that starts and stops it.

    Args:
        data: the SQLite file (an attribute too).
        port: where it listens; 0: wherever the first start finds room.
        options: further options of the program, by name: `latency_ms`, `delivery_seconds`, `host`.
    """

    def __init__(self, data: Path, *, port: int = 0, **options: float | str) -> None:
        self.data = data
        self._options = {"latency_ms": 1, "delivery_seconds": 5, **options}
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, once it was started."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, once it was started."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError where it does not run."""
        if self._process is None:
            raise RuntimeError("the sandbox does not run")
        return self._process.pid

    def start(self) -> None:
        """Returns when it listens. Raises RuntimeError where it ends instead."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._options.items()]
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "emporium.infra.sandbox",
                f"--port={self._port}", f"--data={self.data}", *options,
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end(signal.SIGKILL)
            raise RuntimeError("the sandbox did not start; its standard error says why")
        self._port = int(line.rpartition(":")[2])

    def stop(self) -> None:
        """Ends it in good order, if it runs."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and waits for the end; the exit code (0 where it does not run)."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        with process:
            process.send_signal(number)
            return process.wait(10)

    def restart(self) -> None:
        """Kills it and starts it again on the same file and port."""
        self.kill()
        self.start()

    def faults(self, fault: str, count: int = 1, operation: str | None = None) -> None:
        """The next `count` calls (of one operation) go wrong; see docs/sandbox.md."""
        status, answer = self.ask("POST", "/debug/faults", {"fault": fault, "count": count, "operation": operation})
        assert status == HTTPStatus.OK, answer

    def state(self) -> dict[str, Any]:
        """Counts and sums, in total and by order; see docs/sandbox.md."""
        status, answer = self.ask("GET", "/debug/state")
        assert status == HTTPStatus.OK, answer
        return cast(dict[str, Any], answer)

    def ask(self, method: str, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        """One call past the adapters: status and decoded answer."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Idempotency-Key": key} if key else {})
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def __enter__(self) -> "SandboxProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
