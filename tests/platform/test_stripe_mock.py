"""stripe-mock is built on a bare machine too, whose own Go is older than the one that it asks for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import stripe

Go = Callable[[Path, str, str], None]

FETCHED = "golang.org/toolchain@v0.0.1-go1.24.9.linux-amd64"


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Makes a program that answers like a Go of a version, and puts its name into what it builds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")

    def make(program: Path, version: str, answer: str = "") -> None:
        program.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "#!/bin/sh",
            'case "$*" in',
            f'"env "*) printf "{version}\\nlinux\\namd64\\n" ;;',
            f"\"mod download -json {FETCHED}\") test -f go.mod && echo '{answer}' ;;",
            f'"install "*) echo {version} > "$GOBIN/stripe-mock" ;;',
            "*) exit 1 ;;",
            "esac",
        ]
        program.write_text("\n".join(lines) + "\n")
        program.chmod(0o755)

    return make


def test_an_old_go_fetches_the_one_that_builds(go: Go, tmp_path: Path) -> None:
    newer = tmp_path / "module"
    go(newer / "bin" / "go", "go1.24.9", "")
    (newer / "pkg" / "tool").mkdir(parents=True)
    compiler = newer / "pkg" / "tool" / "compile"
    compiler.touch()
    for program in (newer / "bin" / "go", compiler):
        program.chmod(0o444)
    go(tmp_path / "path" / "go", "go1.19.8", json.dumps({"Dir": str(newer)}))
    assert stripe._stripe_mock().read_text() == "go1.24.9\n"
    assert compiler.stat().st_mode & 0o111


@pytest.mark.parametrize("version", ["go1.21.0", "go1.26.8", "devel"])
def test_a_recent_go_builds_itself(go: Go, tmp_path: Path, version: str) -> None:
    go(tmp_path / "path" / "go", version, "")
    assert stripe._stripe_mock().read_text() == f"{version}\n"


def test_a_go_that_cannot_fetch_is_said_to_lack(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(reason: str) -> None:
        raise LookupError(reason)

    monkeypatch.setattr(stripe, "lack", lack)
    go(tmp_path / "path" / "go", "go1.19.8", "")
    (tmp_path / "path" / "go").write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.19.8 linux arm && exit\nexit 1\n')
    with pytest.raises(LookupError, match="cannot be built: go mod"):
        stripe._stripe_mock()
