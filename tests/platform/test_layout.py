"""The house: a pure domain, imports that point one way, links under src/emporium, no package named http."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.platform.purity import impurities

ROOT = Path(__file__).parents[2]
PACKAGES = ("application", "domain", "http", "infra", "projections", "scripts")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("module", modules("domain"), ids=lambda path: path.name)
def test_the_domain_is_pure(module: Path) -> None:
    assert impurities(module.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import time as harmless",
        "import os.path",
        "from random import choice",
        "import secrets",
        "def late():\n    import time",
        "from emporium.infra import settings",
        "import emporium.application.ports",
        "from emporium import application",
        "from . import base",
        "import psycopg",
        "from datetime import *",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime as d\nd.now",
        "import datetime as dt\nmoment = dt.datetime.utcnow",
        "import datetime\nd = datetime.datetime\nd.today()",
        "from datetime import date as day\nclock = day.today",
        "from datetime import datetime\ngetattr(datetime, 'n' + 'ow')()",
        "from uuid import uuid4",
        "from uuid import uuid1 as make",
        "import uuid as u\nu.uuid4()",
        "__import__('os')",
        "open('/etc/hosts')",
        "x = hash('text')",
        "eval('1')",
    ],
)
def test_impure_code_is_found(source: str) -> None:
    assert impurities(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime, timedelta\n\ndef due(at: datetime) -> datetime:\n    return at + timedelta(1)",
        "def decide(command):\n    return command.now",
        "from uuid import UUID, uuid5",
        "import msgspec\nfrom emporium.domain.base import Event\nfrom emporium.domain import order",
        "class Stock(dict):\n    id: int\n\ndef first(stock):\n    return stock.id",
    ],
)
def test_pure_code_passes(source: str) -> None:
    assert impurities(source) == []


def test_no_package_is_named_http() -> None:
    assert not (ROOT / "http" / "__init__.py").exists(), "it would shadow the standard library's http"


def test_the_import_name_leads_to_the_folders_at_the_top() -> None:
    for package in PACKAGES:
        link = ROOT / "src" / "emporium" / package
        assert link.is_symlink()
        assert os.readlink(link) == f"../../{package}"


def copy_of_the_house(place: Path) -> None:
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", *PACKAGES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, place / name)


def test_a_wheel_holds_the_whole_program(tmp_path: Path) -> None:
    copy_of_the_house(tmp_path)
    for package in PACKAGES:
        (tmp_path / package / "below").mkdir(parents=True)
        (tmp_path / package / "below" / "probe.py").touch()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=tmp_path, check=True, capture_output=True
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"emporium/{package}/below/probe.py" for package in PACKAGES} < set(names)
    assert "emporium/__init__.py" in names


def imported(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def under(names: set[str], *packages: str) -> set[str]:
    return {name for name in names for package in packages if name == package or name.startswith(package + ".")}


def test_the_gateway_names_no_implementation_and_no_script() -> None:
    for module in modules("http"):
        forbidden = under(
            imported(module), "emporium.infra", "emporium.scripts", "psycopg", "psycopg_pool", "eventsourcing"
        )
        assert not forbidden, f"{module} imports {forbidden}"


def test_only_scripts_name_the_gateway() -> None:
    for package in ("application", "domain", "infra", "projections"):
        for module in modules(package):
            assert not under(imported(module), "emporium.http"), module


def lint_imports(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_point_one_way() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("domain/base.py", "import emporium.application.ports"),
        ("domain/base.py", "import psycopg"),
        ("application/ports.py", "import emporium.infra.settings"),
        ("application/ports.py", "import emporium.projections"),
        ("application/ports.py", "import psycopg"),
        ("projections/__init__.py", "import emporium.infra.postgres"),
        ("infra/postgres.py", "import emporium.scripts.cli"),
        ("infra/postgres.py", "import emporium.application"),
        ("scripts/cli.py", "import emporium.infra"),
    ],
)
def test_a_wrong_import_is_found(module: str, line: str, tmp_path: Path) -> None:
    copy_of_the_house(tmp_path)
    (tmp_path / module).write_text((tmp_path / module).read_text() + f"\n{line}\n")
    assert "BROKEN" in lint_imports(tmp_path).stdout
