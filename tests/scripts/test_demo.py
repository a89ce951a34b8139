"""The demo catalogue's tables, and the pictures that are drawn of them."""

from xml.etree import ElementTree

import pytest

from emporium.scripts.demo import catalogue as demo
from emporium.scripts.demo.catalogue import Article
from emporium.scripts.pictures import picture

FLOORS = {shelf.slug: shelf.parent for shelf in demo.CATEGORIES}
VARIANTS = [variant for article in demo.PRODUCTS for variant in article.variants]


def drawn(article: Article) -> str:
    floor = FLOORS[article.shelf]
    assert floor is not None
    return picture(article.code, article.title, article.brand, floor)


def test_there_is_enough_of_it() -> None:
    assert len(demo.PRODUCTS) >= 200
    assert len({article.shelf for article in demo.PRODUCTS}) >= 8
    assert {country for _, _, country, _ in demo.WAREHOUSES} == {"GB", "DE"}


def test_the_tree_has_two_levels_and_every_product_stands_on_the_lower_one() -> None:
    tops = {slug for slug, parent in FLOORS.items() if parent is None}
    assert len(tops) >= 8
    assert all(parent in tops for parent in FLOORS.values() if parent is not None)
    assert all(FLOORS[article.shelf] in tops for article in demo.PRODUCTS)


@pytest.mark.parametrize("of", [lambda a: a.code, lambda a: a.title, lambda a: a.description])
def test_no_two_products_are_alike(of: object) -> None:
    values = [of(article) for article in demo.PRODUCTS]  # type: ignore[operator]
    assert len(set(values)) == len(values)


def test_every_product_says_that_it_is_a_demo() -> None:
    for article in demo.PRODUCTS:
        assert article.attributes["demo"] is True
        assert "Demo" in article.brand
        assert "Demo product" in article.description


def test_attributes_have_all_types() -> None:
    kinds = {type(value) for article in demo.PRODUCTS for value in article.attributes.values()}
    assert kinds == {str, int, float, bool}
    by_name: dict[str, set[type]] = {}
    for article in demo.PRODUCTS:
        for name, value in article.attributes.items():
            by_name.setdefault(name, set()).add(float if type(value) is int else type(value))
    assert {name: kinds for name, kinds in by_name.items() if len(kinds) > 1} == {}


def test_variants_have_skus_of_their_own_and_prices_in_both_currencies() -> None:
    assert len({variant.sku for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert variant.prices.keys() == {"GBP", "EUR"}
        assert 1.16 < variant.prices["EUR"] / variant.prices["GBP"] < 1.25
    assert any(len(article.options) == 2 for article in demo.PRODUCTS)
    mug, *_ = (a for a in demo.PRODUCTS if a.code == "tumbler")
    assert [v.prices["GBP"] for v in mug.variants] == [2195, 2595, 2195, 2595]


def test_some_stock_is_low_and_some_is_out() -> None:
    skus = {variant.sku for variant in VARIANTS}
    assert skus >= demo.LOW | demo.SOLD_OUT > demo.AHEAD.keys()
    for sku in skus:
        units = [demo.units_of(sku, code) for code, *_ in demo.WAREHOUSES]
        if sku in demo.SOLD_OUT:
            assert units == [0, 0]
        elif sku in demo.LOW:
            assert all(0 < one <= demo.MARK for one in units)
        else:
            assert all(one > demo.MARK for one in units)


def test_most_lie_in_both_warehouses_and_some_only_in_hamburg() -> None:
    homes = {article.code: demo.homes_of(article) for article in demo.PRODUCTS}
    alone = {code for code, places in homes.items() if places == ("DE-HAMBURG",)}
    assert 30 < len(alone) < 70
    assert all(homes[code] == ("GB-LEEDS", "DE-HAMBURG") for code in homes.keys() - alone)


def test_descriptions_are_markdown_that_tells_what_is_known_with_units() -> None:
    [skillet] = [article for article in demo.PRODUCTS if article.code == "skillet"]
    assert "- **Oven safe:** 260 °C" in skillet.description
    assert "- **Induction:** yes" in skillet.description
    assert "## Care" in skillet.description
    assert len({article.description.split("\n\n")[1] for article in demo.PRODUCTS}) > 3


def test_some_are_translated_and_most_go_with_others() -> None:
    assert sum(bool(article.german[0]) for article in demo.PRODUCTS) >= 30
    codes = {article.code for article in demo.PRODUCTS}
    assert sum(bool(article.related) for article in demo.PRODUCTS) > 150
    assert all(set(article.related) <= codes - {article.code} for article in demo.PRODUCTS)


def test_a_choice_is_one_of_its_values() -> None:
    chosen = [(n, v) for article in demo.PRODUCTS for n, v in article.attributes.items() if n in demo.CHOICES]
    assert len(chosen) > 30
    assert all(value in demo.CHOICES[name] for name, value in chosen)


def test_pictures_are_whole_and_carry_the_name() -> None:
    for article in demo.PRODUCTS:
        root = ElementTree.fromstring(drawn(article))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        words = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
        assert words == f"{article.title} {article.brand}"


def test_pictures_ask_for_nothing_and_run_nothing() -> None:
    for article in demo.PRODUCTS:
        svg = drawn(article)
        assert svg.count("http") == 1, "the namespace alone"
        assert "<script" not in svg
        assert "href" not in svg


def test_the_same_article_gives_the_same_picture_and_another_another() -> None:
    assert len({drawn(article) for article in demo.PRODUCTS}) == len(demo.PRODUCTS)
    assert drawn(demo.PRODUCTS[0]) == drawn(demo.PRODUCTS[0])


def test_what_a_title_holds_cannot_break_out_of_its_picture() -> None:
    svg = picture("x", "<script>&\"'", "B&B", "demo-home")
    assert ElementTree.fromstring(svg).attrib["aria-label"] == "<script>&\"'"
