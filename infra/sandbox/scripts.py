"""The documented test values: which payment method and which address behaves how."""

from enum import StrEnum
from math import inf
from typing import Final

import msgspec

__all__ = ["ADDRESSES", "METHODS", "SLOW_SECONDS", "Fault", "Script"]


class Fault(StrEnum):
    """What goes wrong with a call; with the `before` ones nothing has happened, with the others it has."""

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR = "error"
    GARBAGE = "garbage"
    DOWN = "down"
    SLOW = "slow"

    @property
    def before(self) -> bool:
        """Whether the call fails before it is carried out."""
        return self in (Fault.TIMEOUT_BEFORE, Fault.ERROR, Fault.DOWN)


SLOW_SECONDS: Final = 1.0
"""How long a slow answer takes."""


class Script(msgspec.Struct, frozen=True):
    """How calls with one test value go.

    Attributes:
        fault: what goes wrong, with the first `times` calls of a key.
        code: the reason of a refusal; None where the call succeeds.
        delay: seconds until the answer, beside the stated latency.
        settles: seconds for which a charge stays pending.
        twice: the answer is sent twice and the charge is found twice.
        fate: what becomes of the parcel: delivered, lost, or returned.
        waits: a charge waits until the customer has authenticated; only then `code` counts.
        capture_code: the reason why what was secured cannot be taken.
    """

    fault: Fault | None = None
    times: float = 0
    code: str | None = None
    delay: float = 0.0
    settles: float = 0.0
    twice: bool = False
    fate: str = "delivered"
    waits: bool = False
    capture_code: str | None = None


METHODS: Final = {
    "pm_ok": Script(),
    "pm_declined": Script(code="card_declined"),
    "pm_insufficient_funds": Script(code="insufficient_funds"),
    "pm_timeout_before": Script(fault=Fault.TIMEOUT_BEFORE, times=2),
    "pm_timeout_after": Script(fault=Fault.TIMEOUT_AFTER, times=1),
    "pm_fail_once": Script(fault=Fault.ERROR, times=1),
    "pm_garbage_once": Script(fault=Fault.GARBAGE, times=1),
    "pm_answer_twice": Script(twice=True),
    "pm_slow": Script(delay=2.0),
    "pm_never": Script(fault=Fault.TIMEOUT_BEFORE, times=inf),
    "pm_late": Script(settles=1.0),
    "pm_pending_forever": Script(settles=inf),
    "pm_3ds": Script(waits=True),
    "pm_3ds_declined": Script(waits=True, code="card_declined"),
    "pm_capture_refused": Script(capture_code="authorisation_expired"),
}
"""What the provider does, by the payment method of a charge."""

ADDRESSES: Final = {
    "FAIL-ONCE": Script(fault=Fault.ERROR, times=1),
    "REFUSED": Script(code="address_refused"),
    "TIMEOUT-AFTER": Script(fault=Fault.TIMEOUT_AFTER, times=1),
    "LOST": Script(fate="lost"),
    "RETURNED": Script(fate="returned"),
}
"""What the carrier does, by the name or the postcode of the address."""
