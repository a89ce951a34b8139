"""Suggestions: what customers buy together and again, the same however the orders came in."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import numpy as np

from emporium.application.recommend import AGAIN, LIKE_BOUGHT, POPULAR, TOGETHER, Basket, Model, Taste, Trainer

TODAY = date(2026, 3, 1)


def product(number: int) -> UUID:
    return UUID(int=(number * 2654435761) % 2**128 + 1)


def basket(number: int, buyer: int, ago: int, *products: int) -> Basket:
    return Basket(
        UUID(int=10**12 + number), UUID(int=buyer + 1), TODAY - timedelta(ago), tuple(product(one) for one in products)
    )


def trained(baskets: Sequence[Basket]) -> Model:
    trainer = Trainer()
    trainer.update(baskets)
    return trainer.model()


def history(rng: random.Random, count: int) -> list[Basket]:
    """Orders by a few customers who each like one corner of the catalogue; some are corrected later."""
    made = []
    for number in range(count):
        buyer = rng.randrange(count // 4)
        corner = buyer % 5 * 20
        goods = {corner + min(int(rng.expovariate(0.2)), 19) for _ in range(rng.randint(1, 5))}
        made.append(basket(number, buyer, rng.randrange(100), *goods))
    for number in rng.sample(range(count), count // 10):
        one = made[number]
        made.append(Basket(one.order_id, one.buyer, one.day, one.products[: rng.randrange(len(one.products) + 1)]))
    for number in rng.sample(range(count), count // 20):
        one = made[number]
        # A guest's order was claimed by an account.
        made.append(Basket(one.order_id, UUID(int=rng.randrange(count // 4) + 1), one.day, one.products))
    return made


def test_piece_by_piece_gives_the_model_of_the_whole_history() -> None:
    for seed in range(6):
        rng = random.Random(seed)
        told = history(rng, 300)
        trainer = Trainer()
        start = 0
        while start < len(told):
            end = start + rng.choice((1, 3, 40))
            trainer.update(told[start:end])
            if rng.random() < 0.5:
                trainer.model()
            start = end
        last = list({one.order_id: one for one in told}.values())
        rng.shuffle(last)
        assert trainer.model().encode() == trained(last).encode(), seed


def test_an_unchanged_part_of_the_catalogue_is_not_computed_again() -> None:
    left = [basket(n, n, 5, 1, 2, 3) for n in range(4)]
    right = [basket(10 + n, 10 + n, 5, 11, 12, 13) for n in range(4)]
    trainer = Trainer()
    trainer.update([*left, *right])
    before = trainer.model()
    trainer.update([basket(20, 20, 0, 11, 12)])
    after = trainer.model()
    one, eleven = (after.place[product(n)] for n in (1, 11))
    assert after.alike[1][one].tolist() == before.alike[1][one].tolist()
    assert after.alike[1][eleven].tolist() != before.alike[1][eleven].tolist()


def test_what_is_bought_together_is_of_one_order() -> None:
    model = trained(
        [basket(n, n, 3, 1, 2) for n in range(4)]
        + [basket(10, 10, 3, 1, 3)]
        + [basket(20 + n, 0, 9, 7) for n in range(3)]
    )
    assert [(one.product_id, one.reason) for one in model.bought_with([product(1)], 5)] == [
        (product(2), TOGETHER),
        (product(3), TOGETHER),
    ]
    assert product(7) not in {one.product_id for one in model.bought_with([product(1), product(2)], 5)}


def test_only_what_customers_buy_again_is_suggested_again() -> None:
    orders = [basket(n, n // 2, 10, 1, 50 + n) for n in range(8)]  # 1 is bought twice by each
    orders += [basket(20 + n, n, 8, 2) for n in range(8)]  # 2 by nobody
    model = trained(orders)
    mine = Taste(bought={product(1): [TODAY - timedelta(10)], product(2): [TODAY - timedelta(8)]})
    found = {one.product_id: one.reason for one in model.personal(mine, TODAY, 20)}
    assert found[product(1)] == AGAIN
    assert product(2) not in found
    assert product(1) not in {one.product_id for one in model.personal(mine, TODAY, 20, again=False)}


def test_likes_come_before_what_is_popular_and_newcomers_get_the_latter() -> None:
    orders = [basket(n, n, 5, 1, 2) for n in range(3)] + [basket(10 + n, 10 + n, 1, 9) for n in range(20)]
    model = trained(orders)
    found = model.personal(Taste(bought={product(1): [TODAY]}), TODAY, 3)
    assert [(one.product_id, one.reason, one.because) for one in found] == [
        (product(2), LIKE_BOUGHT, product(1)),
        (product(9), POPULAR, None),
    ]
    assert model.personal(Taste(), TODAY, 1)[0].product_id == product(9)
    assert model.personal(Taste(viewed=[product(1)]), TODAY, 1)[0].product_id == product(2)


def test_popularity_decays() -> None:
    model = trained([basket(n, n, 40, 1) for n in range(10)] + [basket(20 + n, 20 + n, 1, 2) for n in range(3)])
    assert [one.product_id for one in model.popular(2)] == [product(2), product(1)]


def test_a_model_survives_its_transport() -> None:
    model = trained(history(random.Random(7), 100))
    again = Model.decode(model.encode())
    assert again.encode() == model.encode()
    assert np.array_equal(again.alike[0], model.alike[0])
    assert Model.decode(Model.empty().encode()).popular(5) == []
    assert trained([]).personal(Taste(), TODAY, 5) == []
