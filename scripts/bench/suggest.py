"""How fast what is being typed is completed; see `search`."""

from emporium.scripts.bench.search import suggestions as results

__all__ = ["results"]
