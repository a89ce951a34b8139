"""Questions asked as one: together, never older than who asks, and one's end is not another's."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from emporium.application.gathered import AT_ONCE, Gathered


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.now = "first"

    async def ask(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        now = self.now
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        return {key: f"{key} {now}" for key in keys if key != "nothing"}


async def turn() -> None:
    """Lets everybody go on as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_is_asked_for_together_and_never_with_an_older_question() -> None:
    source = Source()
    gathered = Gathered(source.ask, most=3)
    early = [asyncio.create_task(gathered.get(key)) for key in ("a", "b", "a", "nothing")]
    await turn()
    assert source.asked == [["a", "b", "nothing"]]
    source.now = "second"
    late = [asyncio.create_task(gathered.get(key)) for key in ("a", "c", "d", "e", "f")]
    await turn()
    # At most three keys a question, and two questions at a time.
    assert source.asked[1:] == [["a", "c", "d"]] and len(source.waiting) == AT_ONCE
    source.waiting[0].set_result(None)
    assert [await one for one in early] == ["a first", "b first", "a first", None]
    await turn()
    assert source.asked[2:] == [["e", "f"]]
    for gate in source.waiting[1:]:
        gate.set_result(None)
    assert [await one for one in late] == [f"{key} second" for key in "acdef"]


async def test_who_gives_up_and_what_fails_hurt_nobody_else() -> None:
    source = Source()
    gathered = Gathered(source.ask)
    impatient, patient = (asyncio.create_task(gathered.get("a")) for _ in range(2))
    await turn()
    impatient.cancel()
    await turn()
    source.waiting[0].set_result(None)
    assert await patient == "a first" and impatient.cancelled()
    unlucky = [asyncio.create_task(gathered.get(key)) for key in ("a", "b")]
    await turn()
    source.waiting[1].set_exception(OSError("away"))
    for one in unlucky:
        with pytest.raises(OSError, match="away"):
            await one
    lucky = asyncio.create_task(gathered.get("a"))
    await turn()
    source.waiting[2].set_result(None)
    assert await lucky == "a first"
