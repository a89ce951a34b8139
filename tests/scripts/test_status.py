"""What counts as wrong, and that all of it fits a screen."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from emporium.application.policies import POLICIES
from emporium.domain.registry import LOGS
from emporium.infra.monitor import (
    Database,
    FollowerState,
    Lease,
    LogState,
    ModelState,
    ParkedTask,
    Picture,
    RefusedProducts,
)
from emporium.projections.registry import MODELS
from emporium.projections.saga_monitor import OpenSagas
from emporium.scripts.status import LAG, SILENCE, judge, told

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAGAS = OpenSagas(
    open=3, by_status={"paid": 1, "pending": 2}, oldest=NOW - timedelta(minutes=5), refunds_owed=1,
    refunds_refused=0, parcels_refused=0,
)  # fmt: skip
MODEL = ModelState(
    model="order_history", generation="live", version=1, state="running", paused=False, error=None, owner="host:1",
    heartbeat_age=0.4, parked=0, parked_error=None, positions={"ordering": 50_000, "payments": 50_000},
)  # fmt: skip
WELL = Picture(
    databases=(Database(url="postgresql://db/shop", logs=LOGS, server="PostgreSQL 18.4", schema={"store": 1}),),
    logs=tuple(
        LogState(log=log, head=50_000, incarnation=UUID(int=1), waiting=2, due=0, parked=0, oldest_due=None)
        for log in LOGS
    ),
    followers=tuple(
        FollowerState(log=name, name=name, upstream=upstream, position=50_000)
        for name, upstream in (
            ("payments", "ordering"),
            ("payments", "inventory"),
            ("inventory", "payments"),
            ("inventory", "ordering"),
            ("inventory", "shipping"),
            ("shipping", "inventory"),
            ("shipping", "payments"),
            ("shipping", "ordering"),
            ("ordering", "payments"),
            ("ordering", "inventory"),
            ("ordering", "shipping"),
        )
    ),
    leases=tuple(Lease(log=p.name, name=p.name, owner="host:1", held=True, age=-3.0) for p in POLICIES),
    parked_tasks=(),
    models=tuple(replace(MODEL, model=one.name) for one in MODELS),
)


def problems(picture: Picture = WELL, sagas: OpenSagas | None = SAGAS, mismatch: str | None = None) -> tuple[str, ...]:
    status = judge(picture, sagas, mismatch, NOW)
    assert status.ok == (not status.problems)
    return status.problems


def model(**changes: Any) -> Picture:
    others = [one for one in WELL.models if one.model != MODEL.model]
    return replace(WELL, models=(replace(MODEL, **changes), *others))


def leases(**changes: Any) -> Picture:
    first, *others = WELL.leases
    return replace(WELL, leases=(replace(first, **changes), *others))


def behind(events: int) -> Picture:
    first, *others = WELL.followers
    return replace(WELL, followers=(replace(first, position=50_000 - events), *others))


def test_a_shop_that_works_has_no_problems() -> None:
    assert problems() == ()
    assert problems(sagas=None) == ()


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            replace(WELL, databases=(Database(url="postgresql://db/shop", logs=LOGS, error="refused"),)),
            "postgresql://db/shop cannot be reached: refused",
        ),
        (replace(WELL, logs=(replace(WELL.logs[0], parked=2), *WELL.logs[1:])), "2 tasks of catalog must be seen to"),
        (replace(WELL, models=WELL.models[1:]), f"do not exist yet: {MODELS[0].name};"),
        (replace(WELL, leases=WELL.leases[1:]), f"Nobody leads {POLICIES[0].name}:"),
        (leases(held=False, owner=None, age=SILENCE + 1), f"Nobody leads {POLICIES[0].name}:"),
        (behind(LAG + 1), f"payments is {LAG + 1} events of ordering behind"),
        (replace(WELL, followers=WELL.followers[1:]), "payments is 50000 events of ordering behind"),
        (model(parked=3, parked_error="KeyError: 'x'"), "order_history has set 3 events aside: KeyErr"),
        (model(state="stopped", error="no column"), "order_history has stopped: no column"),
        (model(heartbeat_age=SILENCE + 5), "order_history is silent for 20 s"),
        (model(heartbeat_age=None), "order_history was never led"),
        (model(positions={"ordering": 0, "payments": 50_000}), "order_history is 50000 events behind"),
        (model(generation="next", parked=1, parked_error="x"), "order_history (next) has set 1 event aside"),
    ],
)
def test_what_is_a_problem(picture: Picture, words: str) -> None:
    [problem] = problems(picture)
    assert words in problem


def test_a_shop_that_has_just_been_stopped_does_not_run() -> None:
    status = judge(WELL, SAGAS, None, NOW, at_work=False)
    assert status.problems == ("Nothing runs: start the shop with `emporium up`.",)
    nowhere = replace(WELL, logs=(), followers=(), leases=(), models=())
    assert judge(nowhere, None, "there is none", NOW, at_work=False).problems == ("There is none.",)


@pytest.mark.parametrize(
    "picture",
    [
        leases(held=False, age=SILENCE - 1),
        behind(LAG),
        model(paused=True, positions={"ordering": 0}),
        model(state="outdated", heartbeat_age=500.0),
        model(generation="next", heartbeat_age=None, positions={"ordering": 0}),
    ],
    ids=["being taken over", "a little behind", "paused by a person", "being rebuilt", "a rebuild"],
)
def test_what_is_none(picture: Picture) -> None:
    assert problems(picture) == ()


def test_a_schema_that_does_not_fit_and_what_only_staff_can_settle_are_problems() -> None:
    assert problems(mismatch="the tables are newer") == ("The tables are newer.",)
    assert "refuses 1 refund:" in problems(sagas=replace(SAGAS, refunds_refused=1))[0]
    assert "refuses 2 parcels:" in problems(sagas=replace(SAGAS, parcels_refused=2))[0]


def test_it_fits_a_screen_and_says_what_matters() -> None:
    task = ParkedTask(
        log="payments", id=UUID(int=3), kind="effect.charge", stream=UUID(int=4), correlation="order-1", attempts=5,
        error="no answer",
    )  # fmt: skip
    full = replace(
        WELL,
        models=tuple(replace(MODEL, model=one.name) for one in MODELS),
        parked_tasks=(task,),
    )
    lines = told(judge(full, SAGAS, None, NOW))
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120
    text = "\n".join(lines)
    assert "3 open orders (1 paid, 2 pending; the oldest waits for 5 min), 1 refund owed." in text
    assert "effect.charge" in text and "no answer" in text
    assert lines[-1] == "All is well."


def test_nothing_is_shown_of_what_cannot_be_reached() -> None:
    down = Picture(
        databases=(Database(url="postgresql://db/shop", logs=LOGS, error="connection refused"),),
        logs=(), followers=(), leases=(), parked_tasks=(), models=(),
    )  # fmt: skip
    status = judge(down, None, None, NOW)
    assert len(status.problems) == 1
    assert "connection refused" in "\n".join(told(status))


def test_what_a_search_engine_refuses_is_told() -> None:
    refused = RefusedProducts(engine="elasticsearch", products=2, error="immense term")
    (problem,) = problems(replace(WELL, refused=(refused,)))
    assert problem.startswith("The search engine elasticsearch refuses 2 products: immense term")
