"""E-mail by SMTP: a few connections that stay open, one message at a time on each, and what became of it."""

import asyncio
from collections.abc import Callable
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from emporium.application.ports import Letter, Undelivered

if TYPE_CHECKING:
    from aiosmtplib import SMTP

__all__ = ["SmtpSender", "message"]

_CONNECTIONS: Final = 4
_TIMEOUT: Final = 30.0


class SmtpSender:
    """`ports.Sender` over an SMTP server.

    Args:
        url: `smtp://[user:password@]host[:port]` (STARTTLS where the server offers it; `?starttls=never` or
            `=always`), or `smtps://…` for TLS from the beginning.
        sender: who writes at this moment: name and address.
        timeout: seconds for each step of the conversation.

    Raises ValueError for another kind of URL.
    """

    name = "smtp"

    def __init__(
        self,
        url: str,
        sender: Callable[[], tuple[str, str]],
        *,
        timeout: float = _TIMEOUT,
        connections: int = _CONNECTIONS,
    ) -> None:
        parts = urlsplit(url)
        starttls = parse_qs(parts.query).get("starttls", ["auto"])[0]
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or starttls not in _STARTTLS:
            raise ValueError("the address of a mail server is smtp://host:port or smtps://host:port")
        tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if tls else 25)
        self._tls = tls
        self._starttls = False if tls else _STARTTLS[starttls]
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[SMTP] = []

    async def send(self, key: UUID, to: str, letter: Letter, unsubscribe: str | None = None) -> None:
        """See the port."""
        import aiosmtplib

        mail = _written(key, self._sender(), to, letter, unsubscribe)
        async with self._slots:
            client = None
            try:
                client = await self._connected()
                await client.send_message(mail)
            except aiosmtplib.SMTPRecipientsRefused as refused:
                codes = [one.code for one in refused.recipients]
                raise Undelivered(_said(codes[0]), permanent=all(code >= _PERMANENT for code in codes)) from None
            except aiosmtplib.SMTPAuthenticationError as refused:
                # A mistake of ours, not of the message: it is worth another try once that is corrected.
                raise Undelivered(_said(refused.code)) from None
            except aiosmtplib.SMTPResponseException as refused:
                raise Undelivered(_said(refused.code), permanent=refused.code >= _PERMANENT) from None
            except (aiosmtplib.SMTPException, OSError) as lost:
                raise Undelivered(f"the mail server did not answer: {type(lost).__name__}") from None
            except ValueError as odd:
                raise Undelivered(f"the message cannot be written: {type(odd).__name__}", permanent=True) from None
            else:
                self._idle.append(client)
                client = None
            finally:
                if client is not None:
                    client.close()

    async def _connected(self) -> "SMTP":
        from aiosmtplib import SMTP, SMTPException

        while self._idle:
            client = self._idle.pop()
            try:
                if client.is_connected:
                    await client.rset()
                    return client
            except (SMTPException, OSError):
                # The server closes what was idle for long.
                client.close()
        client = SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls,
            start_tls=self._starttls,
            timeout=self._timeout,
        )
        await client.connect()
        return client

    async def aclose(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()


_PERMANENT: Final = 500

_STARTTLS: Final[dict[str, bool | None]] = {"auto": None, "always": True, "never": False}


def _said(code: int) -> str:
    """The server's code alone: its words often hold the address."""
    return f"the mail server answered {code}"


def _written(key: UUID, sender: tuple[str, str], to: str, letter: Letter, unsubscribe: str | None) -> EmailMessage:
    """The mail. Raises Undelivered where a header cannot be written."""
    try:
        return message(key, sender, to, letter, unsubscribe)
    except ValueError as odd:
        raise Undelivered(f"the message cannot be written: {type(odd).__name__}", permanent=True) from None


def message(key: UUID, sender: tuple[str, str], to: str, letter: Letter, unsubscribe: str | None) -> EmailMessage:
    """The letter as a mail with both forms. Raises ValueError where a header cannot be written."""
    name, address = sender
    mail = EmailMessage()
    mail["Subject"] = letter.subject
    mail["From"] = Address(display_name=name, addr_spec=address)
    mail["To"] = Address(addr_spec=to)
    mail["Date"] = formatdate(usegmt=True)
    # The same for every try: who got it twice after a lost answer shows it once.
    mail["Message-ID"] = f"<{key}@{address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    if unsubscribe is not None:
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(letter.text)
    mail.add_alternative(letter.html, subtype="html")
    return mail
