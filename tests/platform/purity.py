"""Finds in a module's text what the domain may not do: import others, read a clock, draw lots, look around."""

import ast
import sys
from collections.abc import Iterator

__all__ = ["impurities"]

ALLOWED_OURS = "emporium.domain"
ALLOWED_OTHERS = {"msgspec"}

FORBIDDEN_MODULES = {
    "asyncio", "concurrent", "ctypes", "fcntl", "getpass", "glob", "http", "importlib", "inspect", "io", "locale",
    "logging", "multiprocessing", "os", "pathlib", "pickle", "platform", "posix", "pwd", "random", "resource",
    "secrets", "select", "selectors", "shutil", "signal", "site", "socket", "sqlite3", "ssl", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib", "zoneinfo",
}  # fmt: skip

FORBIDDEN_NAMES = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "datetime.date.fromtimestamp",
    "datetime.datetime.fromtimestamp",
    "uuid.getnode",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid.uuid6",
    "uuid.uuid7",
    "uuid.uuid8",
}

# `hash` differs from process to process for text, `id` from run to run.
FORBIDDEN_BUILTINS = {
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "globals", "hash", "id", "input", "locals",
    "open", "print", "setattr", "vars",
}  # fmt: skip

# Whoever holds one of these could reach a forbidden name without writing it.
HOLDERS = {name.rpartition(".")[0] for name in FORBIDDEN_NAMES} | {"datetime", "uuid"}


def impurities(source: str) -> list[str]:
    """One sentence per finding, with its line; [] for a pure module."""
    tree = ast.parse(source)
    names = _bound_names(tree)
    return [f"line {line}: {what}" for line, what in (*_imports(tree), *_uses(tree, names))]


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import hides where it leads"
                continue
            module = node.module or ""
            yield from _module(node.lineno, module)
            for alias in node.names:
                if alias.name == "*":
                    yield node.lineno, f"imports everything from {module}"
                elif f"{module}.{alias.name}" in FORBIDDEN_NAMES:
                    yield node.lineno, f"imports {module}.{alias.name}"


def _module(line: int, module: str) -> Iterator[tuple[int, str]]:
    top = module.partition(".")[0]
    ours = module == ALLOWED_OURS or module.startswith(ALLOWED_OURS + ".")
    if top in FORBIDDEN_MODULES or not (ours or top in ALLOWED_OTHERS or top in sys.stdlib_module_names):
        yield line, f"imports {module}"


def _bound_names(tree: ast.AST) -> dict[str, str]:
    """What each name stands for, by imports and plain assignments: `d` → `datetime.datetime`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) else None
        meant = _dotted(value, names) if value is not None else None
        if meant is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
        names.update({target.id: meant for target in targets if isinstance(target, ast.Name)})
    return names


def _dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """`d.now` → `datetime.datetime.now`, where `d` is known."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return f"{base}.{node.attr}" if base else None
    return None


def _uses(tree: ast.AST, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (meant := _dotted(node, names)) in FORBIDDEN_NAMES:
            yield node.lineno, f"uses {meant}"
        elif (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in FORBIDDEN_BUILTINS - set(names)
        ):
            yield node.lineno, f"uses {node.id}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and node.args:
            held = _dotted(node.args[0], names)
            if held in HOLDERS:
                yield node.lineno, f"reaches into {held}"
