"""What an account does beside registering: links, the book, preferences, the second factor."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from emporium.domain.base import Command, Event, Rejected
from emporium.domain.customer import (
    BILLING,
    CODE_USED,
    CUSTOMER_ERASED,
    DEFAULT_PREFERENCES,
    LINK_USED,
    MAX_ADDRESSES,
    MAX_PAYMENT_METHODS,
    NEW,
    NO_EMAIL,
    NO_SUCH_ADDRESS,
    NO_SUCH_CUSTOMER,
    NO_SUCH_PAYMENT_METHOD,
    NOT_VERIFIED,
    OLD,
    QUIET,
    SHIPPING,
    TOO_MANY_ADDRESSES,
    TOO_MANY_PAYMENT_METHODS,
    TWO_FACTOR_NOT_PREPARED,
    TWO_FACTOR_OFF,
    TWO_FACTOR_ON,
    UNKNOWN_PREFERENCE,
    AddressRemoved,
    AddressSaved,
    ChangePassword,
    ChangePreferences,
    ChangeViewsConsent,
    ChooseDefaultAddress,
    ChooseDefaultPaymentMethod,
    ConfirmEmailChange,
    CustomerErased,
    CustomerRegistered,
    DefaultAddressChosen,
    DefaultPaymentMethodChosen,
    DisableTwoFactor,
    EmailChangeAnnounced,
    EmailChangeConfirmed,
    EmailChangeRequested,
    EmailVerificationRequested,
    EmailVerified,
    EnableTwoFactor,
    NewDeviceSeen,
    NoteNewDevice,
    NoteRegistration,
    PassTwoFactor,
    PasswordChanged,
    PasswordResetRequested,
    PaymentMethodRemoved,
    PaymentMethodSaved,
    PreferencesChanged,
    PrepareTwoFactor,
    ProfileChanged,
    RecoveryCodesRenewed,
    RecoveryCodeUsed,
    RegistrationRepeated,
    RemoveAddress,
    RemovePaymentMethod,
    RenewRecoveryCodes,
    RequestEmailChange,
    RequestEmailVerification,
    RequestPasswordReset,
    SaveAddress,
    SavePaymentMethod,
    TwoFactorDisabled,
    TwoFactorEnabled,
    TwoFactorPassed,
    TwoFactorPrepared,
    VerifyEmail,
    ViewsConsentChanged,
    decide,
)
from emporium.domain.text import WRONG_SHAPE
from tests.domain.spec import LATER, NOW, given, sealed, uid

ID, LINK, OTHER = uid(1), uid(2), uid(3)
SOON = NOW + timedelta(hours=1)
EMAIL, NEW_EMAIL = sealed("ann@example.org"), sealed("ann@king.example", "EmailChangeRequested")
HASH = sealed("$argon2id$2", "PasswordChanged")
REGISTERED = CustomerRegistered(customer_id=ID, email=EMAIL, roles=("customer",), at=NOW)
VERIFIED = EmailVerified(customer_id=ID, at=NOW)
GONE = CustomerErased(customer_id=ID, reason="asked for it")


def link(kind: type[Event], email: Any = EMAIL, request: Any = LINK) -> Any:
    fields: dict[str, Any] = {"customer_id": ID, "request_id": request, "email": email, "expires_at": SOON}
    return kind(**fields)


def asks(kind: type[Command], **more: Any) -> Any:
    fields: dict[str, Any] = {"customer_id": ID, "request_id": LINK, "expires_at": SOON, **more}
    return kind(**fields)


ASKED = link(EmailVerificationRequested)
RESET = link(PasswordResetRequested)
CHANGE = (link(EmailChangeRequested, NEW_EMAIL), link(EmailChangeAnnounced))


# --- links -----------------------------------------------------------------------------------------


def test_an_address_is_proved_by_the_newest_link_in_time_and_once() -> None:
    given(REGISTERED).when(asks(RequestEmailVerification)).then(ASKED)
    verify = VerifyEmail(customer_id=ID, request_id=LINK, at=NOW)
    given(REGISTERED, ASKED).when(verify).then(VERIFIED).leads_to(verified=True, pending={})
    given(REGISTERED, ASKED, VERIFIED).when(verify).rejected(LINK_USED)
    newer = link(EmailVerificationRequested, request=OTHER)
    given(REGISTERED, ASKED, newer).when(verify).rejected(LINK_USED)
    given(REGISTERED, ASKED).when(VerifyEmail(customer_id=ID, request_id=LINK, at=SOON)).rejected(LINK_USED)
    given(REGISTERED, RESET).when(verify).rejected(LINK_USED)
    given(REGISTERED, VERIFIED).when(asks(RequestEmailVerification)).then()


def test_an_address_is_proved_without_a_link_where_somebody_vouches() -> None:
    given(REGISTERED).when(VerifyEmail(customer_id=ID, at=NOW)).then(VERIFIED)
    given(REGISTERED, VERIFIED).when(VerifyEmail(customer_id=ID, at=NOW)).then()


def test_a_password_is_reset_by_the_link_once_which_proves_the_address_too() -> None:
    given(REGISTERED).when(asks(RequestPasswordReset)).then(RESET)
    reset = ChangePassword(customer_id=ID, password=HASH, at=NOW, request_id=LINK)
    changed = PasswordChanged(customer_id=ID, password=HASH, at=NOW)
    given(REGISTERED, RESET).when(reset).then(changed, VERIFIED).leads_to(pending={}, password=HASH, verified=True)
    given(REGISTERED, VERIFIED, RESET).when(reset).then(changed)
    given(REGISTERED, RESET, changed).when(reset).rejected(LINK_USED)
    given(REGISTERED).when(reset).rejected(LINK_USED)


def test_an_address_changes_when_both_ends_agree_in_either_order() -> None:
    given(REGISTERED).when(asks(RequestEmailChange, email=NEW_EMAIL)).then(*CHANGE)
    for first, second in ((OLD, NEW), (NEW, OLD)):
        agrees = EmailChangeConfirmed(customer_id=ID, request_id=LINK, end=first, at=NOW)
        one = ConfirmEmailChange(customer_id=ID, request_id=LINK, end=first, at=NOW)
        two = ConfirmEmailChange(customer_id=ID, request_id=LINK, end=second, at=NOW)
        given(REGISTERED, *CHANGE).when(one).then(agrees).leads_to(email=EMAIL)
        given(REGISTERED, *CHANGE, agrees).when(one).rejected(LINK_USED)
        given(REGISTERED, *CHANGE, agrees).when(two).then(
            EmailChangeConfirmed(customer_id=ID, request_id=LINK, end=second, at=NOW),
            ProfileChanged(customer_id=ID, email=NEW_EMAIL),
            VERIFIED,
        ).leads_to(email=NEW_EMAIL, verified=True, pending={})


def test_another_password_ends_a_change_of_address_that_a_thief_may_have_begun() -> None:
    changed = PasswordChanged(customer_id=ID, password=HASH, at=NOW)
    confirm = ConfirmEmailChange(customer_id=ID, request_id=LINK, end=OLD, at=NOW)
    given(REGISTERED, *CHANGE, changed).when(confirm).rejected(LINK_USED)


def test_the_owner_of_an_address_is_told_of_registrations_once_an_hour() -> None:
    told = RegistrationRepeated(customer_id=ID, email=EMAIL, at=NOW)
    given(REGISTERED).when(NoteRegistration(customer_id=ID, at=NOW)).then(told)
    soon = NOW + QUIET - timedelta(seconds=1)
    given(REGISTERED, told).when(NoteRegistration(customer_id=ID, at=soon)).then(
        RegistrationRepeated(customer_id=ID, email=None, at=soon)
    ).leads_to(told_at=NOW)
    later = NOW + QUIET
    given(REGISTERED, told).when(NoteRegistration(customer_id=ID, at=later)).then(
        RegistrationRepeated(customer_id=ID, email=EMAIL, at=later)
    )


def test_a_new_device_is_told_of() -> None:
    device = sealed("Firefox", "NewDeviceSeen")
    given(REGISTERED).when(NoteNewDevice(customer_id=ID, device=device, at=NOW)).then(
        NewDeviceSeen(customer_id=ID, email=EMAIL, device=device, at=NOW)
    )


# --- the book --------------------------------------------------------------------------------------

HOME = AddressSaved(customer_id=ID, address_id=uid(10), address=sealed("home", "AddressSaved"), country="GB")
SAVE = SaveAddress(customer_id=ID, address_id=uid(10), address=HOME.address, country="GB")


def chosen(number: int, use: str) -> DefaultAddressChosen:
    return DefaultAddressChosen(customer_id=ID, address_id=uid(number), use=use)


def test_the_first_address_is_the_default_and_others_are_when_chosen() -> None:
    given(REGISTERED).when(SAVE).then(HOME, chosen(10, SHIPPING), chosen(10, BILLING))
    work = SaveAddress(customer_id=ID, address_id=uid(11), address=HOME.address, country="US")
    saved = AddressSaved(customer_id=ID, address_id=uid(11), address=HOME.address, country="US")
    both = (HOME, chosen(10, SHIPPING), chosen(10, BILLING), saved)
    given(REGISTERED, *both[:3]).when(work).then(saved)
    choose = ChooseDefaultAddress(customer_id=ID, address_id=uid(11), use=BILLING)
    given(REGISTERED, *both).when(choose).then(chosen(11, BILLING)).leads_to(
        defaults={SHIPPING: uid(10), BILLING: uid(11)}
    )
    given(REGISTERED, *both, chosen(11, BILLING)).when(choose).then()
    remove = RemoveAddress(customer_id=ID, address_id=uid(10))
    given(REGISTERED, *both, chosen(11, BILLING)).when(remove).then(
        AddressRemoved(customer_id=ID, address_id=uid(10))
    ).leads_to(defaults={BILLING: uid(11)})
    given(REGISTERED).when(remove).rejected(NO_SUCH_ADDRESS)
    given(REGISTERED).when(choose).rejected(NO_SUCH_ADDRESS)
    wrong = ChooseDefaultAddress(customer_id=ID, address_id=uid(10), use="holidays")
    given(REGISTERED, HOME).when(wrong).rejected(UNKNOWN_PREFERENCE, field="use")


def test_the_book_has_an_end_but_what_is_in_it_can_change() -> None:
    full = [
        AddressSaved(customer_id=ID, address_id=uid(10 + n), address=HOME.address, country="GB")
        for n in range(MAX_ADDRESSES)
    ]
    more = SaveAddress(customer_id=ID, address_id=uid(99), address=HOME.address, country="GB")
    given(REGISTERED, *full).when(more).rejected(TOO_MANY_ADDRESSES, most=MAX_ADDRESSES)
    given(REGISTERED, *full).when(SAVE).then(HOME)
    nowhere = SaveAddress(customer_id=ID, address_id=uid(10), address=HOME.address, country="gb")
    given(REGISTERED).when(nowhere).rejected(WRONG_SHAPE, field="country")


def test_payment_methods_come_and_go_with_their_default() -> None:
    details = sealed("token", "PaymentMethodSaved")
    save = SavePaymentMethod(customer_id=ID, method_id=uid(20), details=details)
    saved = PaymentMethodSaved(customer_id=ID, method_id=uid(20), details=details)
    default = DefaultPaymentMethodChosen(customer_id=ID, method_id=uid(20))
    given(REGISTERED).when(save).then(saved, default).leads_to(default_method=uid(20))
    given(REGISTERED, saved, default).when(save).then()
    remove = RemovePaymentMethod(customer_id=ID, method_id=uid(20))
    given(REGISTERED, saved, default).when(remove).then(
        PaymentMethodRemoved(customer_id=ID, method_id=uid(20))
    ).leads_to(methods={}, default_method=None)
    choose = ChooseDefaultPaymentMethod(customer_id=ID, method_id=uid(20))
    given(REGISTERED, saved).when(choose).then(default)
    given(REGISTERED, saved, default).when(choose).then()
    for command in (remove, choose):
        given(REGISTERED).when(command).rejected(NO_SUCH_PAYMENT_METHOD)
    full = [
        PaymentMethodSaved(customer_id=ID, method_id=uid(30 + n), details=details) for n in range(MAX_PAYMENT_METHODS)
    ]
    given(REGISTERED, *full).when(save).rejected(TOO_MANY_PAYMENT_METHODS)


def test_preferences_are_kept_by_channel_in_one_order() -> None:
    assert given(REGISTERED).state.preferences == dict(DEFAULT_PREFERENCES)
    change = ChangePreferences(customer_id=ID, channel="sms", topics=("offers", "orders"), at=NOW)
    changed = PreferencesChanged(customer_id=ID, channel="sms", topics=("orders", "offers"), at=NOW)
    given(REGISTERED).when(change).then(changed).leads_to(
        preferences={**DEFAULT_PREFERENCES, "sms": ("orders", "offers")}
    )
    given(REGISTERED, changed).when(change).then()
    for wrong in (
        ChangePreferences(customer_id=ID, channel="telex", topics=(), at=NOW),
        ChangePreferences(customer_id=ID, channel="sms", topics=("gossip",), at=NOW),
    ):
        given(REGISTERED).when(wrong).rejected(UNKNOWN_PREFERENCE)


def test_consent_to_views_is_kept_as_it_was_said_last() -> None:
    assert given(REGISTERED).state.views_consent is None
    change = ChangeViewsConsent(customer_id=ID, consent=False, at=NOW)
    changed = ViewsConsentChanged(customer_id=ID, consent=False, at=NOW)
    given(REGISTERED).when(change).then(changed).leads_to(views_consent=False)
    given(REGISTERED, changed).when(change).then()


# --- the second factor -----------------------------------------------------------------------------

SECRET = sealed("secret", "TwoFactorPrepared")
PREPARED = TwoFactorPrepared(customer_id=ID, secret=SECRET)
ENABLED = TwoFactorEnabled(customer_id=ID, recovery=(b"a", b"b"), step=5, at=NOW)
PREPARE = PrepareTwoFactor(customer_id=ID, secret=SECRET)
ENABLE = EnableTwoFactor(customer_id=ID, recovery=(b"a", b"b"), step=5, at=NOW)
ON = (REGISTERED, VERIFIED, PREPARED, ENABLED)


def test_a_secret_counts_once_a_code_was_shown() -> None:
    given(REGISTERED).when(PREPARE).rejected(NOT_VERIFIED)
    given(REGISTERED, VERIFIED).when(PREPARE).then(PREPARED)
    given(REGISTERED, VERIFIED).when(ENABLE).rejected(TWO_FACTOR_NOT_PREPARED)
    given(REGISTERED, VERIFIED, PREPARED).when(ENABLE).then(ENABLED)
    given(REGISTERED, VERIFIED, PREPARED).when(PREPARE).then(PREPARED)
    for command in (PREPARE, ENABLE):
        given(*ON).when(command).rejected(TWO_FACTOR_ON)


def test_a_code_counts_once_and_no_older_one_after_it() -> None:
    passed = TwoFactorPassed(customer_id=ID, step=7)
    given(*ON).when(PassTwoFactor(customer_id=ID, step=7)).then(passed)
    for step in (5, 6, 7):
        given(*ON, passed).when(PassTwoFactor(customer_id=ID, step=step)).rejected(CODE_USED)
    given(*ON).when(PassTwoFactor(customer_id=ID)).rejected(CODE_USED)
    given(REGISTERED, PREPARED).when(PassTwoFactor(customer_id=ID, step=7)).rejected(TWO_FACTOR_OFF)


def test_a_recovery_code_counts_once_until_there_are_others() -> None:
    use = PassTwoFactor(customer_id=ID, recovery=b"a")
    used = RecoveryCodeUsed(customer_id=ID, code=b"a", left=1)
    given(*ON).when(use).then(used)
    given(*ON, used).when(use).rejected(CODE_USED)
    renewed = RecoveryCodesRenewed(customer_id=ID, recovery=(b"c",))
    given(*ON).when(RenewRecoveryCodes(customer_id=ID, recovery=(b"c",))).then(renewed)
    given(*ON, renewed).when(use).rejected(CODE_USED)
    given(REGISTERED).when(RenewRecoveryCodes(customer_id=ID, recovery=(b"c",))).rejected(TWO_FACTOR_OFF)


def test_the_second_factor_can_be_given_up() -> None:
    off = TwoFactorDisabled(customer_id=ID, at=LATER)
    given(*ON).when(DisableTwoFactor(customer_id=ID, at=LATER)).then(off).leads_to(two_factor=None)
    given(*ON, off).when(DisableTwoFactor(customer_id=ID, at=LATER)).rejected(TWO_FACTOR_OFF)


# --- the end ---------------------------------------------------------------------------------------

COMMANDS: list[Command] = [
    asks(RequestEmailVerification),
    asks(RequestPasswordReset),
    asks(RequestEmailChange, email=NEW_EMAIL),
    VerifyEmail(customer_id=ID, at=NOW),
    ConfirmEmailChange(customer_id=ID, request_id=LINK, end=OLD, at=NOW),
    NoteRegistration(customer_id=ID, at=NOW),
    NoteNewDevice(customer_id=ID, at=NOW),
    SAVE,
    PREPARE,
    ENABLE,
    ChangePreferences(customer_id=ID, channel="sms", topics=(), at=NOW),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_what_was_erased_or_never_was_does_nothing(command: Command) -> None:
    given(REGISTERED, GONE).when(command).rejected(CUSTOMER_ERASED)
    given().when(command).rejected(NO_SUCH_CUSTOMER)


def test_nothing_of_an_erased_account_is_remembered() -> None:
    details = sealed("token", "PaymentMethodSaved")
    method = PaymentMethodSaved(customer_id=ID, method_id=uid(20), details=details)
    state = given(*ON, RESET, *CHANGE, HOME, chosen(10, SHIPPING), method, GONE).state
    assert (state.email, state.addresses, state.defaults, state.methods, state.pending, state.two_factor) == (
        None, {}, {}, {}, {}, None,
    )  # fmt: skip


def test_an_account_without_an_address_gets_no_mail() -> None:
    # Only what was erased has none today; the guard keeps it so.
    state = replace(given(REGISTERED).state, email=None)
    with pytest.raises(Rejected) as refused:
        decide(asks(RequestPasswordReset), state)
    assert refused.value.code == NO_EMAIL.code
