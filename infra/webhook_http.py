"""Outgoing webhooks by HTTP: one bounded try each, never to an address inside, whatever a name resolves to."""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from emporium.application.ports import Undelivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientSession

__all__ = ["HttpWebhooks", "is_public"]

_TIMEOUT: Final = 15.0
_CONNECTIONS: Final = 64
_PER_HOST: Final = 8

_NAT64: Final = ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, also behind the disguises that IPv6 has for IPv4."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


class HttpWebhooks:
    """`ports.Webhooks` over aiohttp; for one event loop.

    Args:
        private: addresses inside may be called too.
        timeout: seconds for a whole try.
    """

    def __init__(self, *, private: bool, timeout: float = _TIMEOUT) -> None:
        self._private = private
        self._timeout = timeout
        self._session: ClientSession | None = None

    async def check(self, url: str) -> None:
        """See the port."""
        import asyncio

        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise Undelivered("its port is none") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password:
            raise Undelivered("it is no https:// address, or names a user")
        if self._private:
            return
        if parts.scheme != "https":
            raise Undelivered("it is no https:// address")
        try:
            async with asyncio.timeout(self._timeout):
                found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise Undelivered("its name cannot be found") from None
        if not all(is_public(str(one[4][0])) for one in found):
            raise Undelivered("its address is private")

    async def post(self, url: str, headers: "Mapping[str, str]", body: bytes) -> int:
        """See the port."""
        import aiohttp

        # An address that is written as one never comes by the resolver.
        if not self._private and _literal(url) is False:
            raise Undelivered("its address is private")
        session = self._session = self._session or self._open()
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except aiohttp.ClientConnectorDNSError as error:
            said = "its address is private" if _INSIDE in str(error) else "its name cannot be found"
            raise Undelivered(said) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Undelivered(f"no answer: {type(error).__name__}") from None

    def _open(self) -> "ClientSession":
        # Only processes that call somebody pay for the library.
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
        from aiohttp.abc import AbstractResolver, ResolveResult
        from aiohttp.resolver import ThreadedResolver

        class Checked(AbstractResolver):
            """Answers with addresses outside only; what it gives is what is connected to."""

            def __init__(self) -> None:
                self._inner = ThreadedResolver()

            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                found = await self._inner.resolve(host, port, family)
                if not all(is_public(one["host"]) for one in found):
                    raise OSError(errno.EACCES, _INSIDE)
                return found

            async def close(self) -> None:
                await self._inner.close()

        more: dict[str, Any] = {} if self._private else {"resolver": Checked()}
        connector = TCPConnector(limit=_CONNECTIONS, limit_per_host=_PER_HOST, use_dns_cache=False, **more)
        return ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=self._timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()


_INSIDE: Final = "an address inside"


def _literal(url: str) -> bool | None:
    """Whether the address in the URL is public; None for a name."""
    try:
        return is_public(urlsplit(url).hostname or "")
    except ValueError:
        return None
