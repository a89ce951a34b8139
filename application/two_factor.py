"""Two-factor log-in: a secret shared with an authenticator (RFC 6238), and codes that each replace it once."""

import hmac
import secrets
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from emporium.application.commands import handle
from emporium.application.ports import Meta
from emporium.application.shop import Shop
from emporium.application.work import Work
from emporium.domain.base import Reason, Rejected
from emporium.domain.customer import (
    CUSTOMER,
    NO_SUCH_CUSTOMER,
    TWO_FACTOR_NOT_PREPARED,
    TWO_FACTOR_OFF,
    CustomerState,
    DisableTwoFactor,
    EnableTwoFactor,
    PassTwoFactor,
    PrepareTwoFactor,
    RenewRecoveryCodes,
    TwoFactor,
)

__all__ = ["CODE_WRONG", "Prepared", "disable", "enable", "passes", "prepare", "renew_codes"]

ISSUER: Final = "Emporium"
STEP: Final = 30
"""Seconds for which a code counts; those just before and after count too, for clocks that differ."""

_CODES: Final = 10
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_SECRET: Final = "secret"

CODE_WRONG = Reason("code_wrong", "The code is wrong, or too old.", "invalid")


class Prepared(msgspec.Struct, frozen=True):
    """What an authenticator needs: the secret in base32, and the same as a URI for a QR code."""

    secret: str
    uri: str


async def prepare(shop: Shop, *, customer_id: UUID, cause: Meta) -> Prepared:
    """Makes a secret, which counts once a code of it was shown. Raises `Rejected` (not_verified, two_factor_on)."""
    import pyotp

    secret = pyotp.random_base32()
    customer = await _load(shop, customer_id)
    await shop.vault.key_for(customer_id)
    sealed = shop.vault.seal(customer_id, "TwoFactorPrepared", customer_id, _SECRET, secret)
    email = "" if customer.email is None else shop.vault.unseal(customer.email, customer_id, "email")
    command = PrepareTwoFactor(customer_id=customer_id, secret=sealed)
    await shop.execute(command, replace(cause, correlation=str(customer_id)))
    return Prepared(secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


async def enable(shop: Shop, *, customer_id: UUID, code: str, cause: Meta) -> list[str]:
    """Turns it on with a code of the secret; the recovery codes, which are shown only now.

    Raises `Rejected` (two_factor_not_prepared, code_wrong, two_factor_on).
    """
    customer = await _load(shop, customer_id)
    if customer.two_factor is None:
        raise TWO_FACTOR_NOT_PREPARED()
    step = await _step(shop, customer_id, customer.two_factor, code)
    if step is None:
        raise CODE_WRONG(field="code")
    codes = _new_codes()
    command = EnableTwoFactor(
        customer_id=customer_id, recovery=_hashes(shop, customer_id, codes), step=step, at=shop.clock.now()
    )
    await shop.execute(command, replace(cause, correlation=str(customer_id)))
    return codes


async def passes(shop: Shop, *, customer_id: UUID, code: str, cause: Meta) -> bool:
    """Whether the code is right, be it the authenticator's or for recovery; each is taken once."""
    customer = await _load(shop, customer_id)
    factor = customer.two_factor
    if factor is None or not factor.enabled:
        return False
    step = await _step(shop, customer_id, factor, code)
    if step is not None:
        command = PassTwoFactor(customer_id=customer_id, step=step)
    else:
        digest = _hash(shop, customer_id, code)
        if not any([hmac.compare_digest(digest, known) for known in factor.recovery]):
            return False
        command = PassTwoFactor(customer_id=customer_id, recovery=digest)
    meta = replace(cause, correlation=str(customer_id), actor=f"customer:{customer_id}")
    try:
        await shop.execute(command, meta)
    except Rejected:
        return False
    return True


async def renew_codes(shop: Shop, *, customer_id: UUID, code: str, cause: Meta) -> list[str]:
    """Other recovery codes instead of those that are left. Raises `Rejected` (two_factor_off, code_wrong)."""
    await _prove(shop, customer_id, code, cause)
    codes = _new_codes()
    command = RenewRecoveryCodes(customer_id=customer_id, recovery=_hashes(shop, customer_id, codes))
    await shop.execute(command, replace(cause, correlation=str(customer_id)))
    return codes


async def disable(shop: Shop, *, customer_id: UUID, code: str | None, cause: Meta) -> None:
    """Turns it off, with a code; without one only for an administrator. Raises `Rejected` (two_factor_off …)."""
    meta = replace(cause, correlation=str(customer_id))
    if code is not None:
        await _prove(shop, customer_id, code, cause)

    async def handler(work: Work) -> None:
        await handle(work, DisableTwoFactor(customer_id=customer_id, at=shop.clock.now()), meta)

    await shop.run("accounts", meta, handler)


async def _prove(shop: Shop, customer_id: UUID, code: str, cause: Meta) -> None:
    customer = await _load(shop, customer_id)
    if customer.two_factor is None or not customer.two_factor.enabled:
        raise TWO_FACTOR_OFF()
    if not await passes(shop, customer_id=customer_id, code=code, cause=cause):
        raise CODE_WRONG(field="code")


async def _load(shop: Shop, customer_id: UUID) -> CustomerState:
    customer, _ = await shop.logs["accounts"].load(CUSTOMER, customer_id, fresh=True)
    if customer is None:
        raise NO_SUCH_CUSTOMER()
    return customer


async def _step(shop: Shop, customer_id: UUID, factor: TwoFactor, code: str) -> int | None:
    """The half minute whose code this is; None where it is none of the present ones."""
    import pyotp

    await shop.vault.load_keys([customer_id])
    secret = shop.vault.unseal(factor.secret, customer_id, _SECRET)
    given = code.strip().replace(" ", "").encode()
    now = int(shop.clock.now().timestamp()) // STEP
    totp = pyotp.TOTP(secret)
    found = None
    for step in (now - 1, now, now + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), given):
            found = step
    return found


def _new_codes() -> list[str]:
    def part() -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(5))

    return [f"{part()}-{part()}" for _ in range(_CODES)]


def _hash(shop: Shop, customer_id: UUID, code: str) -> bytes:
    plain = "".join(character for character in code.casefold() if character in _ALPHABET)
    return shop.vault.fingerprint("recovery code", f"{customer_id} {plain}")


def _hashes(shop: Shop, customer_id: UUID, codes: list[str]) -> tuple[bytes, ...]:
    return tuple(_hash(shop, customer_id, code) for code in codes)
