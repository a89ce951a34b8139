"""What memory a gateway needs; see `browse`."""

from emporium.scripts.bench.browse import memory_results as results

__all__ = ["results"]
