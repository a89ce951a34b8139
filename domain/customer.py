"""A customer's account, and a member of staff's: who they are (sealed), how they log in, their roles, their erasure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from emporium.domain.base import Aggregate, Command, Event, Reason, Sealed, State
from emporium.domain.text import check_shape, check_text

REASON_MOST: Final = 500
MAX_ADDRESSES: Final = 20
MAX_PAYMENT_METHODS: Final = 10

ACTIVE, ERASED = "active", "erased"

SHIPPING, BILLING = "shipping", "billing"
"""What an address may be the default for."""

OLD, NEW = "old", "new"
"""The two ends of a change of e-mail address, each of which has to confirm it."""

CHANNELS: Final = ("email", "sms", "push")
TOPICS: Final = ("orders", "reviews", "reminders", "watched", "offers")
"""What a customer may want to be told by a channel. Messages that an account or a law needs are no topic."""

DEFAULT_PREFERENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("orders", "reviews", "reminders", "watched"),
    "sms": (),
    "push": (),
}
"""What a customer is told who has not said anything: offers only go to those who asked for them."""

QUIET: Final = timedelta(hours=1)
"""How often the owner of an address is told at most that somebody wants to register with it."""

ROLES: Final = ("customer", "support", "catalog_manager", "warehouse", "analyst", "auditor", "admin")
"""What an account may be allowed to do; an account can have several roles."""


# --- events ----------------------------------------------------------------------------------------


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """An account exists. `password` is the sealed argon2 hash, None where nobody can log in (an imported customer)."""

    customer_id: UUID
    email: Sealed
    name: Sealed | None = None
    password: Sealed | None = None
    roles: tuple[str, ...]
    at: datetime
    language: str = "en"


class RegistrationRepeated(Event, frozen=True, kw_only=True):
    """Somebody wants to register with the address of this account; its owner is told, at most once an hour.

    Attributes:
        email: where to; missing where the owner was told a short time ago.
    """

    customer_id: UUID
    email: Sealed | None = None
    at: datetime


class EmailVerificationRequested(Event, frozen=True, kw_only=True):
    """A link is to be sent by which the owner of the address proves to be that."""

    customer_id: UUID
    request_id: UUID
    email: Sealed
    expires_at: datetime


class EmailVerified(Event, frozen=True, kw_only=True):
    """Whoever has the account reads the mail of its address."""

    customer_id: UUID
    at: datetime


class PasswordResetRequested(Event, frozen=True, kw_only=True):
    """A link is to be sent by which the owner of the address sets another password."""

    customer_id: UUID
    request_id: UUID
    email: Sealed
    expires_at: datetime


class EmailChangeRequested(Event, frozen=True, kw_only=True):
    """A link is to be sent to the new address, which then has to confirm it.

    Attributes:
        email: the new address.
    """

    customer_id: UUID
    request_id: UUID
    email: Sealed
    expires_at: datetime


class EmailChangeAnnounced(Event, frozen=True, kw_only=True):
    """A link is to be sent to the old address, which has to confirm the new one too.

    Attributes:
        email: the old address.
    """

    customer_id: UUID
    request_id: UUID
    email: Sealed
    expires_at: datetime


class EmailChangeConfirmed(Event, frozen=True, kw_only=True):
    """One end of a change of address agrees: `old` or `new`. ProfileChanged follows when both did."""

    customer_id: UUID
    request_id: UUID
    end: str
    at: datetime


class NewDeviceSeen(Event, frozen=True, kw_only=True):
    """Somebody logged in with a device that the account had not been used with before; its owner is told.

    Attributes:
        device: what it calls itself.
    """

    customer_id: UUID
    email: Sealed
    device: Sealed | None = None
    at: datetime


class PasswordChanged(Event, frozen=True, kw_only=True):
    """From now on this sealed argon2 hash is the password's; older sessions end."""

    customer_id: UUID
    password: Sealed
    at: datetime


class ProfileChanged(Event, frozen=True, kw_only=True):
    """The customer has another e-mail address, name, phone number or language; carries only what changed."""

    customer_id: UUID
    email: Sealed | UnsetType = UNSET
    name: Sealed | UnsetType | None = UNSET
    phone: Sealed | UnsetType | None = UNSET
    language: str | UnsetType = UNSET


class AddressSaved(Event, frozen=True, kw_only=True):
    """The customer's address book has this address, new or changed.

    Attributes:
        address: the whole of it as one object.
        country: in clear, for taxes and statistics.
    """

    customer_id: UUID
    address_id: UUID
    address: Sealed
    country: str


class AddressRemoved(Event, frozen=True, kw_only=True):
    """The address is not in the book any more."""

    customer_id: UUID
    address_id: UUID


class DefaultAddressChosen(Event, frozen=True, kw_only=True):
    """This address is taken for `shipping` or `billing` unless another is named."""

    customer_id: UUID
    address_id: UUID
    use: str


class PaymentMethodSaved(Event, frozen=True, kw_only=True):
    """A payment method of the provider can be used again.

    Attributes:
        details: the provider's token, brand, last four digits and expiry, as one object.
    """

    customer_id: UUID
    method_id: UUID
    details: Sealed


class PaymentMethodRemoved(Event, frozen=True, kw_only=True):
    """The payment method is not to be used any more."""

    customer_id: UUID
    method_id: UUID


class DefaultPaymentMethodChosen(Event, frozen=True, kw_only=True):
    """This payment method is taken unless another is named."""

    customer_id: UUID
    method_id: UUID


class PreferencesChanged(Event, frozen=True, kw_only=True):
    """By this channel the customer wants to be told of these topics, and of no others."""

    customer_id: UUID
    channel: str
    topics: tuple[str, ...]
    at: datetime


class ViewsConsentChanged(Event, frozen=True, kw_only=True):
    """What the customer looks at may be remembered for suggestions, or may not."""

    customer_id: UUID
    consent: bool
    at: datetime


class TwoFactorPrepared(Event, frozen=True, kw_only=True):
    """A secret was made, which counts when a code made with it was shown. It replaces one that does not count yet."""

    customer_id: UUID
    secret: Sealed


class TwoFactorEnabled(Event, frozen=True, kw_only=True):
    """From now on a log-in needs a code as well.

    Attributes:
        recovery: keyed hashes of the codes that each replace the device once.
        step: the half minute whose code was shown, which is not taken again.
    """

    customer_id: UUID
    recovery: tuple[bytes, ...]
    step: int
    at: datetime


class TwoFactorPassed(Event, frozen=True, kw_only=True):
    """The code of this half minute was used, and is not taken again."""

    customer_id: UUID
    step: int


class RecoveryCodeUsed(Event, frozen=True, kw_only=True):
    """A recovery code was used up.

    Attributes:
        code: its keyed hash.
        left: how many there are still.
    """

    customer_id: UUID
    code: bytes
    left: int


class RecoveryCodesRenewed(Event, frozen=True, kw_only=True):
    """Other recovery codes count from now on, as keyed hashes."""

    customer_id: UUID
    recovery: tuple[bytes, ...]


class TwoFactorDisabled(Event, frozen=True, kw_only=True):
    """A log-in needs the password alone again."""

    customer_id: UUID
    at: datetime


class RoleGranted(Event, frozen=True, kw_only=True):
    """The account has one more role."""

    customer_id: UUID
    role: str


class RoleRevoked(Event, frozen=True, kw_only=True):
    """The account has lost a role."""

    customer_id: UUID
    role: str


class CustomerErased(Event, frozen=True, kw_only=True):
    """The customer's key is destroyed, or will be at once: nothing sealed with it can be read again."""

    customer_id: UUID
    reason: str


# --- state -----------------------------------------------------------------------------------------


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A link that was asked for and not used yet.

    Attributes:
        email: the address that it is about, of a change of address the new one.
        ends: which ends of a change of address have confirmed it.
    """

    request_id: UUID
    expires_at: datetime
    email: Sealed
    ends: frozenset[str] = frozenset()


class SavedAddress(msgspec.Struct, frozen=True):
    """An address of the book."""

    address: Sealed
    country: str


class TwoFactor(msgspec.Struct, frozen=True, kw_only=True):
    """The second factor: its secret, whether it counts, the recovery codes left, the half minute of the last code."""

    secret: Sealed
    enabled: bool = False
    recovery: tuple[bytes, ...] = ()
    step: int = 0


VERIFY, RESET, CHANGE = "verify", "reset", "change"
"""The kinds of `Pending`; of each there is one at most."""


class CustomerState(State, frozen=True, kw_only=True):
    """What an account remembers.

    Attributes:
        password_at: when the password was last set; older sessions do not count.
        verified: its owner reads the mail of its address.
        pending: links by kind.
        defaults: the default address for each use.
        preferences: topics by channel.
        views_consent: whether views may be remembered; None: nothing was said.
        told_at: when the owner was last told that somebody wants to register with the address.
    """

    customer_id: UUID
    status: str
    email: Sealed | None
    name: Sealed | None
    password: Sealed | None
    password_at: datetime
    roles: frozenset[str]
    phone: Sealed | None = None
    language: str = "en"
    verified: bool = False
    pending: dict[str, Pending] = {}
    addresses: dict[UUID, SavedAddress] = {}
    defaults: dict[str, UUID] = {}
    methods: dict[UUID, Sealed] = {}
    default_method: UUID | None = None
    preferences: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: dict(DEFAULT_PREFERENCES))
    views_consent: bool | None = None
    two_factor: TwoFactor | None = None
    told_at: datetime | None = None

    @property
    def is_staff(self) -> bool:
        """The account may do more than a customer."""
        return bool(self.roles - {"customer"})


# --- commands --------------------------------------------------------------------------------------


class RegisterCustomer(Command, frozen=True, kw_only=True):
    """The handler claims the address by its keyed hash."""

    customer_id: UUID
    email: Sealed
    name: Sealed | None = None
    password: Sealed | None = None
    roles: tuple[str, ...] = ("customer",)
    at: datetime
    language: str = "en"


class NoteRegistration(Command, frozen=True, kw_only=True):
    """Somebody wants to register with the account's address."""

    customer_id: UUID
    at: datetime


class RequestEmailVerification(Command, frozen=True, kw_only=True):
    customer_id: UUID
    request_id: UUID
    expires_at: datetime


class VerifyEmail(Command, frozen=True, kw_only=True):
    """With the link of a request, or without one where the address was proved in another way."""

    customer_id: UUID
    request_id: UUID | None = None
    at: datetime


class RequestPasswordReset(Command, frozen=True, kw_only=True):
    customer_id: UUID
    request_id: UUID
    expires_at: datetime


class ChangePassword(Command, frozen=True, kw_only=True):
    """With the link of a request, or without one where the old password was shown."""

    customer_id: UUID
    password: Sealed
    at: datetime
    request_id: UUID | None = None


class RequestEmailChange(Command, frozen=True, kw_only=True):
    customer_id: UUID
    request_id: UUID
    email: Sealed
    expires_at: datetime


class ConfirmEmailChange(Command, frozen=True, kw_only=True):
    """When both ends have confirmed, the handler moves the claim."""

    customer_id: UUID
    request_id: UUID
    end: str
    at: datetime


class NoteNewDevice(Command, frozen=True, kw_only=True):
    customer_id: UUID
    device: Sealed | None = None
    at: datetime


class ChangeProfile(Command, frozen=True, kw_only=True):
    """Fields that are not given stay as they are."""

    customer_id: UUID
    name: Sealed | UnsetType | None = UNSET
    phone: Sealed | UnsetType | None = UNSET
    language: str | UnsetType = UNSET


class SaveAddress(Command, frozen=True, kw_only=True):
    customer_id: UUID
    address_id: UUID
    address: Sealed
    country: str


class RemoveAddress(Command, frozen=True, kw_only=True):
    customer_id: UUID
    address_id: UUID


class ChooseDefaultAddress(Command, frozen=True, kw_only=True):
    customer_id: UUID
    address_id: UUID
    use: str


class SavePaymentMethod(Command, frozen=True, kw_only=True):
    customer_id: UUID
    method_id: UUID
    details: Sealed


class RemovePaymentMethod(Command, frozen=True, kw_only=True):
    customer_id: UUID
    method_id: UUID


class ChooseDefaultPaymentMethod(Command, frozen=True, kw_only=True):
    customer_id: UUID
    method_id: UUID


class ChangePreferences(Command, frozen=True, kw_only=True):
    customer_id: UUID
    channel: str
    topics: tuple[str, ...]
    at: datetime


class ChangeViewsConsent(Command, frozen=True, kw_only=True):
    customer_id: UUID
    consent: bool
    at: datetime


class PrepareTwoFactor(Command, frozen=True, kw_only=True):
    customer_id: UUID
    secret: Sealed


class EnableTwoFactor(Command, frozen=True, kw_only=True):
    """`step` is the half minute of a code that fits the secret."""

    customer_id: UUID
    recovery: tuple[bytes, ...]
    step: int
    at: datetime


class PassTwoFactor(Command, frozen=True, kw_only=True):
    """A code that fits was shown: of the half minute `step`, or a recovery code by its keyed hash."""

    customer_id: UUID
    step: int | None = None
    recovery: bytes | None = None


class RenewRecoveryCodes(Command, frozen=True, kw_only=True):
    customer_id: UUID
    recovery: tuple[bytes, ...]


class DisableTwoFactor(Command, frozen=True, kw_only=True):
    customer_id: UUID
    at: datetime


class GrantRole(Command, frozen=True, kw_only=True):
    customer_id: UUID
    role: str


class RevokeRole(Command, frozen=True, kw_only=True):
    customer_id: UUID
    role: str


class EraseCustomer(Command, frozen=True, kw_only=True):
    """The handler destroys the key afterwards and gives the address's claim back."""

    customer_id: UUID
    reason: str


# --- reasons ---------------------------------------------------------------------------------------

NO_SUCH_CUSTOMER = Reason("no_such_customer", "There is no such account.", "missing")
CUSTOMER_EXISTS = Reason("customer_exists", "The account exists already.")
CUSTOMER_ERASED = Reason("customer_erased", "The account was erased.")
UNKNOWN_ROLE = Reason("unknown_role", "There is no role {role}.", "invalid")
LINK_USED = Reason("link_used", "The link was used already, or a newer one was asked for: ask for another.", "invalid")
NO_EMAIL = Reason("no_email", "The account has no e-mail address.")
NO_SUCH_ADDRESS = Reason("no_such_address", "There is no such address in the book.", "missing")
TOO_MANY_ADDRESSES = Reason("too_many_addresses", "The address book has room for {most} addresses.")
NO_SUCH_PAYMENT_METHOD = Reason("no_such_payment_method", "There is no such payment method.", "missing")
TOO_MANY_PAYMENT_METHODS = Reason("too_many_payment_methods", "At most {most} payment methods can be kept.")
UNKNOWN_PREFERENCE = Reason("unknown_preference", "{field} cannot be {value}.", "invalid")
NOT_VERIFIED = Reason("not_verified", "The e-mail address of the account has to be verified first.")
TWO_FACTOR_ON = Reason("two_factor_on", "Two-factor log-in is on already.")
TWO_FACTOR_OFF = Reason("two_factor_off", "Two-factor log-in is not on.")
TWO_FACTOR_NOT_PREPARED = Reason("two_factor_not_prepared", "Ask for a secret first.")
CODE_USED = Reason("code_used", "This code was used already: wait for the next one.", "invalid")


# --- decide ----------------------------------------------------------------------------------------


def decide(command: Command, customer: CustomerState | None) -> Sequence[Event]:
    """The events that the command makes of this account. Raises Rejected."""
    if isinstance(command, RegisterCustomer):
        return _register(command, customer)
    if customer is None:
        raise NO_SUCH_CUSTOMER()
    if customer.status == ERASED:
        if isinstance(command, EraseCustomer):
            return []
        raise CUSTOMER_ERASED()
    make = _DECISIONS.get(type(command))
    if make is None:
        raise TypeError(f"a customer does not know {type(command).__name__}")
    return make(command, customer)


def _register(command: RegisterCustomer, customer: CustomerState | None) -> Sequence[Event]:
    if customer is not None:
        raise CUSTOMER_ERASED() if customer.status == ERASED else CUSTOMER_EXISTS()
    for role in command.roles:
        check_role(role)
    return [
        CustomerRegistered(
            customer_id=command.customer_id,
            email=command.email,
            name=command.name,
            password=command.password,
            roles=tuple(role for role in ROLES if role in command.roles),
            at=command.at,
            language=command.language,
        )
    ]


def check_role(role: str) -> str:
    """The role itself. Raises `Rejected` (unknown_role)."""
    if role not in ROLES:
        raise UNKNOWN_ROLE(role=role, field="roles")
    return role


def _address(customer: CustomerState) -> Sealed:
    if customer.email is None:
        raise NO_EMAIL()
    return customer.email


def _used(customer: CustomerState, kind: str, request_id: UUID, at: datetime) -> Pending:
    """The link that is used now: the newest of its kind, not expired."""
    pending = customer.pending.get(kind)
    if pending is None or pending.request_id != request_id or pending.expires_at <= at:
        raise LINK_USED()
    return pending


def _note_registration(command: NoteRegistration, customer: CustomerState) -> Sequence[Event]:
    told = customer.told_at is not None and command.at < customer.told_at + QUIET
    return [
        RegistrationRepeated(customer_id=customer.customer_id, email=None if told else customer.email, at=command.at)
    ]


def _request_verification(command: RequestEmailVerification, customer: CustomerState) -> Sequence[Event]:
    if customer.verified:
        return []
    return [
        EmailVerificationRequested(
            customer_id=customer.customer_id,
            request_id=command.request_id,
            email=_address(customer),
            expires_at=command.expires_at,
        )
    ]


def _verify(command: VerifyEmail, customer: CustomerState) -> Sequence[Event]:
    if command.request_id is not None:
        _used(customer, VERIFY, command.request_id, command.at)
    return [] if customer.verified else [EmailVerified(customer_id=customer.customer_id, at=command.at)]


def _request_reset(command: RequestPasswordReset, customer: CustomerState) -> Sequence[Event]:
    return [
        PasswordResetRequested(
            customer_id=customer.customer_id,
            request_id=command.request_id,
            email=_address(customer),
            expires_at=command.expires_at,
        )
    ]


def _change_password(command: ChangePassword, customer: CustomerState) -> Sequence[Event]:
    changed = PasswordChanged(customer_id=customer.customer_id, password=command.password, at=command.at)
    if command.request_id is None:
        return [changed]
    _used(customer, RESET, command.request_id, command.at)
    # Who has the link reads the mail of the address.
    verified = [] if customer.verified else [EmailVerified(customer_id=customer.customer_id, at=command.at)]
    return [changed, *verified]


def _request_change(command: RequestEmailChange, customer: CustomerState) -> Sequence[Event]:
    both: dict[str, Any] = {
        "customer_id": customer.customer_id,
        "request_id": command.request_id,
        "expires_at": command.expires_at,
    }
    return [
        EmailChangeRequested(email=command.email, **both),
        EmailChangeAnnounced(email=_address(customer), **both),
    ]


def _confirm_change(command: ConfirmEmailChange, customer: CustomerState) -> Sequence[Event]:
    pending = _used(customer, CHANGE, command.request_id, command.at)
    if command.end in pending.ends:
        raise LINK_USED()
    confirmed = EmailChangeConfirmed(
        customer_id=customer.customer_id, request_id=command.request_id, end=command.end, at=command.at
    )
    if not pending.ends:
        return [confirmed]
    changed = ProfileChanged(customer_id=customer.customer_id, email=pending.email)
    verified = [] if customer.verified else [EmailVerified(customer_id=customer.customer_id, at=command.at)]
    return [confirmed, changed, *verified]


def _note_device(command: NoteNewDevice, customer: CustomerState) -> Sequence[Event]:
    return [
        NewDeviceSeen(customer_id=customer.customer_id, email=_address(customer), device=command.device, at=command.at)
    ]


def _change_profile(command: ChangeProfile, customer: CustomerState) -> Sequence[Event]:
    changed = _changed(command, customer)
    return [ProfileChanged(customer_id=customer.customer_id, **changed)] if changed else []


def _changed(command: ChangeProfile | ProfileChanged, customer: CustomerState) -> dict[str, Any]:
    given = {"name": command.name, "phone": command.phone, "language": command.language}
    return {field: value for field, value in given.items() if value is not UNSET and value != getattr(customer, field)}


def _save_address(command: SaveAddress, customer: CustomerState) -> Sequence[Event]:
    known = customer.addresses
    if command.address_id not in known and len(known) >= MAX_ADDRESSES:
        raise TOO_MANY_ADDRESSES(most=MAX_ADDRESSES)
    saved = AddressSaved(
        customer_id=customer.customer_id,
        address_id=command.address_id,
        address=command.address,
        country=check_shape("country", command.country, "country"),
    )
    if known:
        return [saved]
    # The first one is the default for everything.
    return [
        saved,
        *(
            DefaultAddressChosen(customer_id=customer.customer_id, address_id=command.address_id, use=use)
            for use in (SHIPPING, BILLING)
        ),
    ]


def _remove_address(command: RemoveAddress, customer: CustomerState) -> Sequence[Event]:
    if command.address_id not in customer.addresses:
        raise NO_SUCH_ADDRESS()
    return [AddressRemoved(customer_id=customer.customer_id, address_id=command.address_id)]


def _choose_address(command: ChooseDefaultAddress, customer: CustomerState) -> Sequence[Event]:
    if command.address_id not in customer.addresses:
        raise NO_SUCH_ADDRESS()
    if command.use not in (SHIPPING, BILLING):
        raise UNKNOWN_PREFERENCE(field="use", value=command.use)
    if customer.defaults.get(command.use) == command.address_id:
        return []
    return [DefaultAddressChosen(customer_id=customer.customer_id, address_id=command.address_id, use=command.use)]


def _save_method(command: SavePaymentMethod, customer: CustomerState) -> Sequence[Event]:
    known = customer.methods
    if command.method_id in known:
        return []
    if len(known) >= MAX_PAYMENT_METHODS:
        raise TOO_MANY_PAYMENT_METHODS(most=MAX_PAYMENT_METHODS)
    saved = PaymentMethodSaved(
        customer_id=customer.customer_id,
        method_id=command.method_id,
        details=command.details,
    )
    chosen = DefaultPaymentMethodChosen(customer_id=customer.customer_id, method_id=command.method_id)
    return [saved] if known else [saved, chosen]


def _remove_method(command: RemovePaymentMethod, customer: CustomerState) -> Sequence[Event]:
    if command.method_id not in customer.methods:
        raise NO_SUCH_PAYMENT_METHOD()
    return [PaymentMethodRemoved(customer_id=customer.customer_id, method_id=command.method_id)]


def _choose_method(command: ChooseDefaultPaymentMethod, customer: CustomerState) -> Sequence[Event]:
    if command.method_id not in customer.methods:
        raise NO_SUCH_PAYMENT_METHOD()
    if customer.default_method == command.method_id:
        return []
    return [DefaultPaymentMethodChosen(customer_id=customer.customer_id, method_id=command.method_id)]


def _change_preferences(command: ChangePreferences, customer: CustomerState) -> Sequence[Event]:
    if command.channel not in CHANNELS:
        raise UNKNOWN_PREFERENCE(field="channel", value=command.channel)
    for topic in command.topics:
        if topic not in TOPICS:
            raise UNKNOWN_PREFERENCE(field=command.channel, value=topic)
    topics = tuple(topic for topic in TOPICS if topic in command.topics)
    if customer.preferences.get(command.channel) == topics:
        return []
    return [PreferencesChanged(customer_id=customer.customer_id, channel=command.channel, topics=topics, at=command.at)]


def _change_views_consent(command: ChangeViewsConsent, customer: CustomerState) -> Sequence[Event]:
    if customer.views_consent is command.consent:
        return []
    return [ViewsConsentChanged(customer_id=customer.customer_id, consent=command.consent, at=command.at)]


def _prepare_two_factor(command: PrepareTwoFactor, customer: CustomerState) -> Sequence[Event]:
    # Else whoever registers with another's address first could keep its owner out.
    if not customer.verified:
        raise NOT_VERIFIED()
    if customer.two_factor is not None and customer.two_factor.enabled:
        raise TWO_FACTOR_ON()
    return [TwoFactorPrepared(customer_id=customer.customer_id, secret=command.secret)]


def _enable_two_factor(command: EnableTwoFactor, customer: CustomerState) -> Sequence[Event]:
    if customer.two_factor is None:
        raise TWO_FACTOR_NOT_PREPARED()
    if customer.two_factor.enabled:
        raise TWO_FACTOR_ON()
    return [
        TwoFactorEnabled(customer_id=customer.customer_id, recovery=command.recovery, step=command.step, at=command.at)
    ]


def _enabled(customer: CustomerState) -> TwoFactor:
    if customer.two_factor is None or not customer.two_factor.enabled:
        raise TWO_FACTOR_OFF()
    return customer.two_factor


def _pass_two_factor(command: PassTwoFactor, customer: CustomerState) -> Sequence[Event]:
    factor = _enabled(customer)
    if command.recovery is not None:
        if command.recovery not in factor.recovery:
            raise CODE_USED(field="code")
        return [
            RecoveryCodeUsed(customer_id=customer.customer_id, code=command.recovery, left=len(factor.recovery) - 1)
        ]
    if command.step is None or command.step <= factor.step:
        raise CODE_USED(field="code")
    return [TwoFactorPassed(customer_id=customer.customer_id, step=command.step)]


def _renew_recovery(command: RenewRecoveryCodes, customer: CustomerState) -> Sequence[Event]:
    _enabled(customer)
    return [RecoveryCodesRenewed(customer_id=customer.customer_id, recovery=command.recovery)]


def _disable_two_factor(command: DisableTwoFactor, customer: CustomerState) -> Sequence[Event]:
    _enabled(customer)
    return [TwoFactorDisabled(customer_id=customer.customer_id, at=command.at)]


def _grant(command: GrantRole, customer: CustomerState) -> Sequence[Event]:
    if check_role(command.role) in customer.roles:
        return []
    return [RoleGranted(customer_id=customer.customer_id, role=command.role)]


def _revoke(command: RevokeRole, customer: CustomerState) -> Sequence[Event]:
    if check_role(command.role) not in customer.roles:
        return []
    return [RoleRevoked(customer_id=customer.customer_id, role=command.role)]


def _erase(command: EraseCustomer, customer: CustomerState) -> Sequence[Event]:
    reason = check_text("reason", command.reason, REASON_MOST)
    return [CustomerErased(customer_id=customer.customer_id, reason=reason)]


_DECISIONS: Final[dict[type[Command], Callable[[Any, CustomerState], Sequence[Event]]]] = {
    NoteRegistration: _note_registration,
    RequestEmailVerification: _request_verification,
    VerifyEmail: _verify,
    RequestPasswordReset: _request_reset,
    ChangePassword: _change_password,
    RequestEmailChange: _request_change,
    ConfirmEmailChange: _confirm_change,
    NoteNewDevice: _note_device,
    ChangeProfile: _change_profile,
    SaveAddress: _save_address,
    RemoveAddress: _remove_address,
    ChooseDefaultAddress: _choose_address,
    SavePaymentMethod: _save_method,
    RemovePaymentMethod: _remove_method,
    ChooseDefaultPaymentMethod: _choose_method,
    ChangePreferences: _change_preferences,
    ChangeViewsConsent: _change_views_consent,
    PrepareTwoFactor: _prepare_two_factor,
    EnableTwoFactor: _enable_two_factor,
    PassTwoFactor: _pass_two_factor,
    RenewRecoveryCodes: _renew_recovery,
    DisableTwoFactor: _disable_two_factor,
    GrantRole: _grant,
    RevokeRole: _revoke,
    EraseCustomer: _erase,
}


# --- evolve ----------------------------------------------------------------------------------------


def evolve(customer: CustomerState | None, event: Event) -> CustomerState:
    """The account after the event."""
    if isinstance(event, CustomerRegistered):
        return CustomerState(
            customer_id=event.customer_id,
            status=ACTIVE,
            email=event.email,
            name=event.name,
            password=event.password,
            password_at=event.at,
            roles=frozenset(event.roles),
            language=event.language,
        )
    if customer is None:
        raise ValueError("an account begins with CustomerRegistered")
    follow = _CHANGES.get(type(event))
    if follow is None:
        raise TypeError(f"a customer does not know {type(event).__name__}")
    return replace(customer, **follow(event, customer))


def _asked(kind: str) -> Callable[[Any, CustomerState], dict[str, Any]]:
    def asked(event: Any, customer: CustomerState) -> dict[str, Any]:
        link = Pending(request_id=event.request_id, expires_at=event.expires_at, email=event.email)
        return {"pending": customer.pending | {kind: link}}

    return asked


def _without(pending: Mapping[str, Pending], *kinds: str) -> dict[str, Pending]:
    return {kind: link for kind, link in pending.items() if kind not in kinds}


def _confirmed(event: EmailChangeConfirmed, customer: CustomerState) -> dict[str, Any]:
    link = customer.pending[CHANGE]
    return {"pending": customer.pending | {CHANGE: replace(link, ends=link.ends | {event.end})}}


def _profile(event: ProfileChanged, customer: CustomerState) -> dict[str, Any]:
    changed = _changed(event, customer)
    if event.email is UNSET:
        return changed
    # Links that were sent to the old address are worth nothing any more.
    return changed | {"email": event.email, "pending": {}}


def _address_gone(event: AddressRemoved, customer: CustomerState) -> dict[str, Any]:
    return {
        "addresses": {key: one for key, one in customer.addresses.items() if key != event.address_id},
        "defaults": {use: key for use, key in customer.defaults.items() if key != event.address_id},
    }


def _method_gone(event: PaymentMethodRemoved, customer: CustomerState) -> dict[str, Any]:
    left = {key: one for key, one in customer.methods.items() if key != event.method_id}
    default = None if customer.default_method == event.method_id else customer.default_method
    return {"methods": left, "default_method": default}


def _factor(customer: CustomerState, **changes: Any) -> dict[str, Any]:
    assert customer.two_factor is not None, "a secret was prepared before"
    return {"two_factor": replace(customer.two_factor, **changes)}


def _code_gone(event: RecoveryCodeUsed, customer: CustomerState) -> dict[str, Any]:
    assert customer.two_factor is not None, "a secret was prepared before"
    left = tuple(code for code in customer.two_factor.recovery if code != event.code)
    return _factor(customer, recovery=left)


_GONE: Final[dict[str, Any]] = {
    "status": ERASED,
    "email": None,
    "name": None,
    "password": None,
    "roles": frozenset(),
    "phone": None,
    "verified": False,
    "pending": {},
    "addresses": {},
    "defaults": {},
    "methods": {},
    "default_method": None,
    "two_factor": None,
}

_CHANGES: Final[dict[type[Event], Callable[[Any, CustomerState], dict[str, Any]]]] = {
    RegistrationRepeated: lambda e, c: {} if e.email is None else {"told_at": e.at},
    EmailVerificationRequested: _asked(VERIFY),
    EmailVerified: lambda e, c: {"verified": True, "pending": _without(c.pending, VERIFY)},
    PasswordResetRequested: _asked(RESET),
    EmailChangeRequested: _asked(CHANGE),
    EmailChangeAnnounced: lambda e, c: {},
    EmailChangeConfirmed: _confirmed,
    NewDeviceSeen: lambda e, c: {},
    PasswordChanged: lambda e, c: {
        "password": e.password,
        "password_at": e.at,
        "pending": _without(c.pending, RESET, CHANGE),
    },
    ProfileChanged: _profile,
    AddressSaved: lambda e, c: {"addresses": c.addresses | {e.address_id: SavedAddress(e.address, e.country)}},
    AddressRemoved: _address_gone,
    DefaultAddressChosen: lambda e, c: {"defaults": c.defaults | {e.use: e.address_id}},
    PaymentMethodSaved: lambda e, c: {"methods": c.methods | {e.method_id: e.details}},
    PaymentMethodRemoved: _method_gone,
    DefaultPaymentMethodChosen: lambda e, c: {"default_method": e.method_id},
    PreferencesChanged: lambda e, c: {"preferences": c.preferences | {e.channel: e.topics}},
    ViewsConsentChanged: lambda e, c: {"views_consent": e.consent},
    TwoFactorPrepared: lambda e, c: {"two_factor": TwoFactor(secret=e.secret)},
    TwoFactorEnabled: lambda e, c: _factor(c, enabled=True, recovery=e.recovery, step=e.step),
    TwoFactorPassed: lambda e, c: _factor(c, step=e.step),
    RecoveryCodeUsed: _code_gone,
    RecoveryCodesRenewed: lambda e, c: _factor(c, recovery=e.recovery),
    TwoFactorDisabled: lambda e, c: {"two_factor": None},
    RoleGranted: lambda e, c: {"roles": c.roles | {e.role}},
    RoleRevoked: lambda e, c: {"roles": c.roles - {e.role}},
    CustomerErased: lambda e, c: _GONE,
}


CUSTOMER: Final = Aggregate(
    name="Customer",
    log="accounts",
    state=CustomerState,
    events=(CustomerRegistered, *_CHANGES),
    decide=decide,
    evolve=evolve,
    state_version=2,
)
