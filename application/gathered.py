"""Questions that come at the same time, asked as one: for where the way to the answer costs more than the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["Gathered"]

K = TypeVar("K")
V = TypeVar("V")

AT_ONCE: Final = 2
"""Questions that are under way at the same time; who comes meanwhile is in the next one."""


class Gathered(Generic[K, V]):
    """Asks for what several wait for, together. Nobody is given what was asked for before he came.

    Args:
        ask: the answers to several different keys, without those that have none.
        most: keys of one question.
    """

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], most: int = 32) -> None:
        self._ask = ask
        self._most = most
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._begins = False

    async def get(self, key: K) -> V | None:
        """The answer; None where there is none. Raises what `ask` raises."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._go_on()
        # Others may wait for the same: who gives up does not take it from them.
        return await asyncio.shield(answer)

    def _go_on(self) -> None:
        if self._waiting and not self._begins and len(self._asking) < AT_ONCE:
            # It takes in who comes before it has begun.
            self._begins = True
            task = asyncio.create_task(self._ask_for_some())
            self._asking.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._go_on()

    async def _ask_for_some(self) -> None:
        self._begins = False
        some = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._most]}
        self._go_on()
        try:
            answers = await self._ask(list(some))
        except BaseException as error:
            for future in some.values():
                if isinstance(error, Exception):
                    future.set_exception(error)
                    # Not a complaint where all who asked have gone.
                    future.exception()
                else:
                    future.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for key, future in some.items():
                future.set_result(answers.get(key))
