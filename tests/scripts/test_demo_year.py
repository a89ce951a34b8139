"""The demo's year as a plan: plausible, the same every time, and possible to carry out."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from emporium.scripts.demo.catalogue import LOW, PRODUCTS, SETS, SOLD_OUT
from emporium.scripts.demo.year import CANCELLED, DECLINED, FORTNIGHTS, launched, plan, travel

BEGINS = datetime(2025, 3, 9, 11, 30, tzinfo=UTC)
YEAR = plan(BEGINS, 1_500)
OF_SKU = {variant.sku: article for article in PRODUCTS for variant in article.variants}
SAYINGS = [saying for fortnight in YEAR.fortnights for saying in fortnight.sayings]


def test_it_is_the_same_every_time() -> None:
    assert plan(BEGINS, 1_500) == YEAR


def test_it_is_spread_over_the_days_of_a_year_up_to_now() -> None:
    assert abs(len(YEAR.purchases) - 1_500) < 100
    assert all(before.at <= after.at for before, after in pairwise(YEAR.purchases))
    assert YEAR.purchases[0].at < BEGINS + timedelta(days=6)
    assert YEAR.ends - timedelta(days=3) < YEAR.purchases[-1].at < YEAR.ends == BEGINS + timedelta(days=365)
    months = Counter(one.at.month for one in YEAR.purchases)
    assert months[12] > 1.3 * months[7]
    evening = sum(18 <= one.at.hour <= 21 for one in YEAR.purchases)
    assert evening > 3 * sum(one.at.hour < 6 for one in YEAR.purchases)


def test_nobody_orders_twice_in_a_fortnight_and_checkouts_are_counted() -> None:
    assert len(YEAR.fortnights) == FORTNIGHTS
    attempts: Counter[int] = Counter()
    for fortnight in YEAR.fortnights:
        buyers = [one.customer for one in fortnight.purchases if one.customer is not None]
        assert len(set(buyers)) == len(buyers)
        for one in fortnight.purchases:
            assert fortnight.starts_at < one.at < fortnight.ends_at
            if one.customer is not None:
                assert one.attempt == attempts[one.customer] + 1
                attempts[one.customer] += one.attempts
    assert sum(times > 2 for times in attempts.values()) > 100, "customers come again"


def test_only_what_is_sold_by_then_and_lies_there_is_bought() -> None:
    for one in YEAR.purchases:
        for sku, units in one.lines:
            assert sku not in LOW | SOLD_OUT
            assert 1 <= units <= 3
            assert one.at > BEGINS + launched(OF_SKU[sku])


def test_what_goes_together_is_bought_together() -> None:
    pairs = [
        (OF_SKU[a].code, OF_SKU[b].code)
        for one in YEAR.purchases
        for a, _ in one.lines
        for b, _ in one.lines
        if OF_SKU[a].code < OF_SKU[b].code
    ]
    fitting = sum(any(a in codes and b in codes for codes in SETS.values()) for a, b in pairs)
    assert fitting > 0.6 * len(pairs)


def test_some_are_cancelled_declined_or_come_back() -> None:
    fates = Counter(one.fate for one in YEAR.purchases)
    assert 15 < fates[CANCELLED] < 100
    assert 15 < fates[DECLINED] < 100
    back = [one for one in YEAR.purchases if one.returned is not None]
    assert 20 < len(back) < 150
    returns = [pair for fortnight in YEAR.fortnights for pair in fortnight.returns]
    assert sorted(one.number for _, one in returns) == [one.number for one in back]
    longest = max((sum(travel(str(n), 1), timedelta(0)) for n in range(2_000)), default=timedelta(0))
    for at, one in returns:
        assert one.at + longest < at < YEAR.ends


def test_reviews_come_from_who_received_it_once_each_with_votes_of_others() -> None:
    assert 300 < len(SAYINGS) < 1_000
    seen = set()
    for saying in SAYINGS:
        one = YEAR.purchases[saying.purchase]
        assert one.customer is not None
        assert one.fate != CANCELLED
        assert saying.code in {OF_SKU[sku].code for sku, _ in one.lines}
        assert one.at + timedelta(days=6) < saying.at < YEAR.ends
        assert (one.customer, saying.code) not in seen
        seen.add((one.customer, saying.code))
        assert one.customer not in {voter for voter, _ in saying.votes}
    stars = Counter(saying.rating for saying in SAYINGS)
    assert set(stars) == {1, 2, 3, 4, 5}
    assert stars[4] + stars[5] > len(SAYINGS) / 2
    texts = [saying.text for saying in SAYINGS if saying.text]
    assert len(set(texts)) == len(texts) > 0.6 * len(SAYINGS)
    assert sum("www." in text for text in texts) == 3, "staff have something to look at"
    assert any(saying.answer for saying in SAYINGS)


def test_prices_move_and_end_at_the_lists_with_sales_that_run_and_are_to_come() -> None:
    percents: dict[str, list[int]] = {}
    for fortnight in YEAR.fortnights:
        for move in fortnight.moves:
            percents.setdefault(move.code, []).append(move.percent)
    assert len(percents) > 40
    assert all(some[-1] == 100 for some in percents.values())
    sales = [sale for fortnight in YEAR.fortnights for sale in fortnight.sales]
    assert {"mug", "charger"}.isdisjoint({sale.code for sale in sales} | percents.keys())
    assert sum(sale.ends_at is not None and sale.ends_at < YEAR.ends for sale in sales) > 30
    assert any(sale.starts_at < YEAR.ends and sale.ends_at is not None and sale.ends_at > YEAR.ends for sale in sales)
    assert any(sale.starts_at > YEAR.ends and sale.ends_at is not None for sale in sales)
    assert any(sale.starts_at > YEAR.ends and sale.ends_at is None for sale in sales)


def test_a_small_year_is_one_too() -> None:
    small = plan(BEGINS, 30)
    assert 10 < len(small.purchases) < 50
    assert len(small.fortnights) == FORTNIGHTS
