"""How fast product pages are answered; see `browse`."""

from emporium.scripts.bench.browse import page_results as results

__all__ = ["results"]
