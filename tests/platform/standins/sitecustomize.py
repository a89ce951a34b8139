"""Puts the stand-ins of this folder in the place of the shop's own parts, for tests of the supervisor alone."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).parent
_PLACES = {f"emporium.scripts.{name}": name for name in ("admin", "migrate", "seed", "serve", "work")}
_PLACES["emporium.infra.sandbox"] = "sandbox"
_PLACES["emporium.scripts.demo.filling"] = "filling"


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _PLACES:
            return None
        return importlib.util.spec_from_file_location(name, _HERE / f"{_PLACES[name]}.py")


sys.meta_path.insert(0, _Finder())
