"""Fills the demo's year: the second time that it tries."""

import sys

from emporium.infra.settings import load

if __name__ == "__main__":
    folder = load().data_dir
    tried = folder / "tried"
    if not tried.exists():
        tried.touch()
        sys.exit(1)
    with (folder / "year").open("a") as year:
        year.write("filled ")
