"""Processes killed at random moments of a run, again and again: no order is lost, none is charged or shipped twice."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest

from tests.faults.buyers import Buyer
from tests.faults.conftest import Run, run_of
from tests.faults.ledger import STEPS
from tests.support.fleet import Fleet, until

pytestmark = pytest.mark.xdist_group("fleet")

LEAST: Final = 20
"""Orders that are in the middle of their saga at every kill."""

WINDOW: Final = 32
"""Orders that are under way at once."""

EVENTS_PER_ORDER: Final = 17
"""About as many events an order leaves in the logs of the saga."""

SKUS: Final = tuple(f"PLENTY-{number}" for number in range(10))
SCARCE: Final = tuple(f"SCARCE-{number}" for number in range(10))

RUSH: Final = 0.06
"""How often several customers come at once for the last units of something."""

CANCELS: Final = 0.25
"""How often a customer cancels."""

METHODS: Final = {
    "pm_ok": 60, "pm_declined": 6, "pm_slow": 4, "pm_late": 4, "pm_fail_once": 4, "pm_garbage_once": 4,
    "pm_answer_twice": 4, "pm_timeout_after": 2,
}  # fmt: skip


class Kill(NamedTuple):
    """One kill: what was killed, and which steps how many orders stood before when it was."""

    what: str
    open: int
    waiting: Counter[str]


class Storm:
    """A run of customers during which processes are killed.

    Args:
        orders: at least so many are accepted.
        kills: so many there are.
    """

    def __init__(self, run: Run, seed: int, orders: int, kills: int) -> None:
        self._run = run
        self._ledger = run.ledger
        self._chance = random.Random(seed)
        self._orders = orders
        self._wanted = kills
        self._scarce = list(SCARCE)
        self._buying = 0
        self._accepting = asyncio.Event()
        self.accepted: list[str] = []
        self.kills: list[Kill] = []

    async def rage(self) -> None:
        """Buys and kills until there were enough of both."""
        await self._run.stock(**dict.fromkeys(SKUS, 10_000), **dict.fromkeys(SCARCE, 5))
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(self._kill_all())
            while not killing.done() or len(self.accepted) + self._buying < self._orders:
                await self._ledger.read()
                while len(self._ledger.open_orders()) + self._buying < WINDOW:
                    self._start(group)
                await asyncio.sleep(0.01)

    def _start(self, group: asyncio.TaskGroup) -> None:
        if self._scarce and self._chance.random() < RUSH:
            buyers, work = 5, self._rush(self._scarce.pop(), 5)
        else:
            buyers, work = 1, self._buy()
        self._buying += buyers

        def over(_: asyncio.Task[None]) -> None:
            self._buying -= buyers

        group.create_task(work).add_done_callback(over)

    async def _buy(self) -> None:
        """One customer, who perhaps changes his mind."""
        chance, buyer = self._chance, self._run.buyer()
        [method] = chance.choices(list(METHODS), list(METHODS.values()))
        cancels = method == "pm_ok" and chance.random() < CANCELS
        pause = chance.uniform(0, 0.5)
        await buyer.fill(dict.fromkeys(chance.sample(SKUS, chance.randint(1, 3)), 1))
        number = await self._check_out(buyer, method)
        if cancels:
            await asyncio.sleep(pause)
            answer = await buyer.surely("POST", f"/orders/{number}/cancel", {})
            assert answer.status_code in (202, 409), answer.text

    async def _rush(self, sku: str, count: int) -> None:
        """Customers buy the last units, and while they are charged, slowly, most of the units break."""
        buyers = [self._run.buyer() for _ in range(count)]
        await asyncio.gather(*(buyer.fill({sku: 1}) for buyer in buyers))
        await asyncio.gather(*(self._check_out(buyer, "pm_slow") for buyer in buyers))
        await self._run.lose(sku, 3)

    async def _check_out(self, buyer: Buyer, method: str) -> str:
        placed = await buyer.check_out(method)
        if placed.status_code == httpx.codes.CONFLICT:
            assert placed.json()["type"] == "/problems/not_available", placed.text
            return ""
        assert placed.status_code == httpx.codes.ACCEPTED, placed.text
        number: str = placed.json()["order_number"]
        self.accepted.append(number)
        self._accepting.set()
        return number

    # --- killing -----------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        kinds = (["worker", "postgres", "gateway"] * self._wanted)[: self._wanted]
        self._chance.shuffle(kinds)
        mean = self._orders * EVENTS_PER_ORDER // 2 // self._wanted
        for kind in kinds:
            role = self._chance.choice(["gateway", "server"]) if kind == "gateway" else kind
            since = len(self._ledger.entries) + self._chance.randint(1, 2 * mean)
            await until(lambda since=since: len(self._ledger.entries) >= since, 120.0, self._why, pause=0.005)
            await self._reach_new_step(kind)
            await until(lambda role=role: self._kill(role), 120.0, self._why, pause=0.005)

    async def _reach_new_step(self, kind: str) -> None:
        """Where there are steps at which nothing was killed yet, waits up to two seconds until some order stands
        before one of them."""
        missing = STEPS.keys() - self.hit()
        patience = time.monotonic() + (2.0 if kind != "gateway" else 0.0)
        while missing and time.monotonic() < patience:
            if not missing.isdisjoint(self._ledger.waiting()) and len(self._ledger.open_orders()) >= LEAST:
                return
            await asyncio.sleep(0.005)

    async def _kill(self, role: str) -> bool:
        """Kills one process of the role, if there is one and enough orders are under way."""
        pids = await self._leaders() if role == "worker" else self._run.fleet.pids(role)
        number = signal.SIGKILL
        if role == "postgres":
            number = self._chance.choice([signal.SIGKILL, signal.SIGQUIT])
            if self._chance.random() < 0.5:
                # What was accepted a moment ago is what a lax commit would lose.
                await self._acceptance()
        count = len(self._ledger.open_orders())
        if not pids or count < LEAST:
            return False
        self._run.fleet.kill(self._chance.choice(pids), number)
        self.kills.append(Kill(f"{role} by {number.name}", count, self._ledger.waiting()))
        return True

    async def _leaders(self) -> list[int]:
        """The workers that lead a process manager: the others are not missed."""
        rows = await self._ledger.query(
            # A process manager's lease is called after its log, twice; others are a read model's or a chore's.
            "SELECT owner FROM emporium_leases WHERE owner IS NOT NULL"
            " AND split_part(name, '/', 1) = split_part(name, '/', 2)"
        )
        return sorted({int(owner.rpartition(":")[2]) for (owner,) in rows} & set(self._run.fleet.pids("worker")))

    async def _acceptance(self) -> None:
        """Waits until an order is accepted, for up to two seconds."""
        self._accepting.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._accepting.wait()

    def _why(self) -> str:
        open_orders, waiting = self._ledger.open_orders(), self._ledger.waiting()
        return f"{len(open_orders)} orders are open, {self._buying} buying, {waiting}: {self._run.fleet.said()}"

    # --- what came of it ---------------------------------------------------------------------------

    def hit(self) -> set[str]:
        """The steps before which an order stood when a worker or the database was killed."""
        return {step for kill in self.kills if kill.what.startswith(("worker", "postgres")) for step in kill.waiting}

    def told(self) -> str:
        """The run as a table."""
        kinds = Counter(kill.what for kill in self.kills)
        lines = [f"{len(self.accepted)} orders, {len(self.kills)} kills: {dict(kinds)}"]
        lines.append(f"orders in mid-saga at a kill: {min(kill.open for kill in self.kills)} at least")
        for step in STEPS:
            hits = Counter(kill.what.split()[0] for kill in self.kills if step in kill.waiting)
            most = max((kill.waiting[step] for kill in self.kills), default=0)
            lines.append(f"  {step:50} {dict(hits)}, up to {most} orders")
        return "\n".join(lines)


async def storm(folder: Path, orders: int, kills: int, **settings: object) -> Storm:
    """A storm over a shop of its own, everything checked at its end. FAULTS_SEED repeats the choices of a run."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nFAULTS_SEED={seed}")
    with Fleet.up(folder, sandbox_latency_ms=150, **settings) as fleet:
        async with run_of(fleet) as run:
            storm = Storm(run, seed, orders, kills)
            await storm.rage()
            await run.ledger.settled(150)
            print(storm.told())
            created = [entry.data["number"] for entry in run.ledger.named("OrderCreated")]
            assert sorted(created) == sorted(storm.accepted)
            assert len(storm.kills) == kills
            assert all(kill.open >= LEAST for kill in storm.kills)
    return storm


@pytest.mark.timeout(300)
async def test_six_kills_in_sixty_orders(folder: Path) -> None:
    await storm(folder, orders=60, kills=6)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_fifty_kills_in_two_hundred_orders(folder: Path) -> None:
    done = await storm(folder, orders=200, kills=50)
    assert STEPS.keys() - done.hit() == set()
