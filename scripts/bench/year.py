"""A year of a real shop's invoices through the whole saga: how long it takes, and what the largest process needs."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec

from emporium.infra.settings import Settings
from emporium.scripts.bench.result import Result, at_most
from emporium.scripts.processes import child_environment, cli

__all__ = ["family", "resident", "results"]


async def results(settings: Settings) -> list[Result]:
    """Seconds, and the peak of any single process in MB (what it does not share with others).

    Raises click.UsageError where the file is not there, RuntimeError where the import fails or does not reconcile.
    """
    file = settings.bench_online_retail
    if not file.is_file():
        raise click.UsageError(f"There is no {file}: name the year's file with EMPORIUM_BENCH_ONLINE_RETAIL.")
    with tempfile.TemporaryDirectory(prefix="emporium-bench-", ignore_cleanup_errors=True) as folder:
        own = msgspec.structs.replace(
            settings, data_dir=Path(folder), database_url=None, provider_url=None, carrier_url=None
        )
        with tempfile.TemporaryFile() as report:
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *cli("import", "online-retail", str(file), "--json"),
                env=child_environment(own),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=report,
            )
            ended = asyncio.create_task(process.wait())
            peaks: dict[int, float] = {}
            while not ended.done():
                for pid in family(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0.0), resident(pid))
                await asyncio.wait([ended], timeout=0.5)
            seconds = time.perf_counter() - began
            if process.returncode != 0:
                raise RuntimeError(f"the import ended with {process.returncode}")
    return [at_most("import", seconds, "s", 300), at_most("import memory", max(peaks.values()), "MB", 400)]


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [pid]
    for one in family:
        family += parents.get(one, [])
    return family


def resident(pid: int) -> float:
    """Memory of the process that is not shared with others, in MB; 0 where it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0.0
    return (int(pages[1]) - int(pages[2])) * 4096 / 1e6 if len(pages) > 2 else 0.0
