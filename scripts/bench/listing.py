"""How fast listings are answered; see `browse`."""

from emporium.scripts.bench.browse import listing_results as results

__all__ = ["results"]
