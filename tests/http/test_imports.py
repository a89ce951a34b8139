"""`http/` has no `__init__.py`, so import-linter does not see it: its rules are checked here."""

import ast
from pathlib import Path

HTTP = Path(__file__).parents[2] / "http"
FORBIDDEN = ("emporium.infra", "emporium.scripts", "psycopg", "psycopg_pool", "eventsourcing", "aiohttp")


def _imported(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_gateway_knows_no_implementation() -> None:
    modules = list(HTTP.glob("*.py"))
    assert len(modules) > 15
    for module in modules:
        wrong = {name for name in _imported(module) if name.startswith(FORBIDDEN)}
        assert not wrong, f"{module.name} imports {wrong}"


def test_the_folder_is_no_package_of_its_own() -> None:
    assert not (HTTP / "__init__.py").exists()
