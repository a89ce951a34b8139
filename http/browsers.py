"""A browser's session: a cookie that no page can read, and a token without which the cookie changes nothing."""

import hmac
import re
from typing import Final

from emporium.http.problems import KINDS

__all__ = ["check", "clearing", "csrf_token", "refuse_foreign", "setting", "token_of"]

COOKIE: Final = "__Host-session"

_VALUE: Final = re.compile(rb"(?:^|;)\s*__Host-session=([A-Za-z0-9_-]{43})\s*(?:;|$)")
_ATTRIBUTES: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


def token_of(cookies: bytes) -> str | None:
    """The session's token among the cookies of a request."""
    found = _VALUE.search(cookies)
    return None if found is None else found[1].decode()


def setting(token: str, seconds: int) -> bytes:
    """The header `Set-Cookie` that begins a session."""
    return f"{COOKIE}={token}; Max-Age={seconds}".encode() + _ATTRIBUTES


def clearing() -> bytes:
    """The header `Set-Cookie` that ends it in the browser."""
    return f"{COOKIE}=; Max-Age=0".encode() + _ATTRIBUTES


def csrf_token(secret: bytes, session_id: str) -> str:
    """What a page of the shop knows of its session, and a page from elsewhere does not."""
    return hmac.digest(secret, b"emporium csrf " + session_id.encode(), "sha256").hex()


def check(secret: bytes, session_id: str, given: bytes | None) -> None:
    """Raises Problem (cross_site) unless the header X-CSRF-Token is the session's."""
    if given is None or not hmac.compare_digest(given, csrf_token(secret, session_id).encode()):
        raise KINDS.cross_site()


def refuse_foreign(site: bytes | None) -> None:
    """Raises Problem (cross_site) where the browser says (Sec-Fetch-Site) that another site asks."""
    if site == b"cross-site":
        raise KINDS.cross_site("A page of another site cannot log anybody in here.")
