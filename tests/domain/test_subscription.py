"""Which staff hear of low stock."""

from emporium.domain.subscription import (
    MOST,
    MOST_SKUS,
    TOO_MANY_SKUS,
    TOO_MANY_SUBSCRIPTIONS,
    UNKNOWN_CHANNEL,
    StaffSubscribed,
    SubscribeStaff,
)
from tests.domain.spec import given, uid

SAM, EVE = uid(1), uid(2)


def subscribe(*channels: str, staff: int = 1, skus: tuple[str, ...] = ()) -> SubscribeStaff:
    return SubscribeStaff(staff_id=uid(staff), channels=channels, skus=skus)


def subscribed(*channels: str, staff: int = 1, skus: tuple[str, ...] = ()) -> StaffSubscribed:
    return StaffSubscribed(staff_id=uid(staff), channels=channels, skus=skus)


def test_staff_choose_their_channels_and_can_end_it() -> None:
    given().when(subscribe("push", "email", "push")).then(subscribed("email", "push"))
    given(subscribed("email")).when(subscribe("email")).then()
    given(subscribed("email")).when(subscribe()).then(subscribed()).leads_to(channels={}, skus={})
    given().when(subscribe()).then()
    given().when(subscribe("pigeon")).rejected(UNKNOWN_CHANNEL, channel="pigeon")


def test_they_hear_of_all_skus_or_of_those_they_name() -> None:
    some = subscribed("email", skus=("MUG", "TEA"))
    given().when(subscribe("email", skus=("TEA", "MUG", "TEA"))).then(some).leads_to(skus={SAM: ("MUG", "TEA")})
    both = given(some, subscribed("sms", staff=2)).state
    assert both.of("MUG") == {SAM: ("email",), EVE: ("sms",)}
    assert both.of("POT") == {EVE: ("sms",)}
    given(some).when(subscribe("email")).then(subscribed("email")).leads_to(skus={})
    given(some).when(subscribe("email", skus=("MUG", "TEA"))).then()
    given(some).when(subscribe(skus=("MUG",))).then(subscribed()).leads_to(channels={}, skus={})


def test_there_can_only_be_so_many() -> None:
    many = [subscribed("email", staff=n) for n in range(1, MOST + 1)]
    given(*many).when(subscribe("email", staff=MOST + 1)).rejected(TOO_MANY_SUBSCRIPTIONS, most=MOST)
    given(*many).when(subscribe("sms", staff=1)).then(subscribed("sms"))
    given(*many, subscribed(staff=7)).when(subscribe("email", staff=MOST + 1)).then(subscribed("email", staff=MOST + 1))
    skus = tuple(f"SKU-{n}" for n in range(MOST_SKUS + 1))
    given().when(subscribe("email", skus=skus)).rejected(TOO_MANY_SKUS, most=MOST_SKUS, field="skus")
