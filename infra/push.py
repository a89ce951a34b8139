"""SMS and push messages through Apprise, in a few threads of their own: its services are called synchronously."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import quote
from uuid import UUID

from emporium.application.ports import Letter, Undelivered

__all__ = ["AppriseSender"]

_THREADS: Final = 4
_TIMEOUT: Final = 60.0


class AppriseSender:
    """`ports.Sender` by any service that Apprise knows.

    Args:
        url: the service's Apprise URL, in which `{to}` stands for the phone number or device.
        shop: the title of the messages at this moment.
        timeout: seconds after which a call counts as failed.
    """

    name = "apprise"

    def __init__(
        self, url: str, shop: Callable[[], str], *, timeout: float = _TIMEOUT, threads: int = _THREADS
    ) -> None:
        self._url = url
        self._shop = shop
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="apprise")
        self._slots = asyncio.Semaphore(threads)

    async def send(self, key: UUID, to: str, letter: Letter, unsubscribe: str | None = None) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    taken = await loop.run_in_executor(self._threads, self._notify, to, letter.short)
            except TimeoutError:
                raise Undelivered("the service did not answer in time") from None
        if not taken:
            raise Undelivered("the service did not take the message")

    def _notify(self, to: str, text: str) -> bool:
        # Heavy, and needed only where such a channel is set up.
        from apprise import Apprise

        service = Apprise()
        if not service.add(self._url.replace("{to}", quote(to, safe=""))):
            return False
        return bool(service.notify(body=text, title=self._shop()))

    def close(self) -> None:
        """Waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
