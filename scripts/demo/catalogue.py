"""The demo catalogue: what a first start puts on the shelves, as plain tables."""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from itertools import product
from typing import Final

import msgspec

from emporium.domain.product import AttributeValue
from emporium.domain.text import slug_of
from emporium.scripts.demo.goods import entries

__all__ = [
    "AHEAD",
    "CATEGORIES",
    "CHOICES",
    "LOW",
    "MARK",
    "PRODUCTS",
    "SETS",
    "SOLD_OUT",
    "WAREHOUSES",
    "Article",
    "Shelf",
    "Variant",
    "euro",
    "homes_of",
    "label_of",
    "spread",
    "units_of",
]

AttributeTable = Mapping[str, AttributeValue]


class Variant(msgspec.Struct, frozen=True):
    """One way in which an article can be had; prices in minor units by currency."""

    sku: str
    options: dict[str, str]
    prices: dict[str, int]


class Article(msgspec.Struct, frozen=True, dict=True):
    """One demo product.

    Attributes:
        code: of the article, such as `mug`; its ids and SKUs are made of it.
        price: of its plainest variant, in pence.
        options: option → its values; every combination is a variant.
        surcharges: option value → pence that it costs more.
        shelf: the slug of its category.
        german: title and blurb in German; empty where nobody has translated it.
        related: codes of what goes with it.
    """

    code: str
    title: str
    brand: str
    price: int
    blurb: str
    attributes: AttributeTable
    options: Mapping[str, tuple[str, ...]] = {}
    surcharges: Mapping[str, int] = {}
    shelf: str = ""
    german: tuple[str, str] = ("", "")
    related: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What the product page tells, in Markdown."""
        facts = [
            f"- **{label_of(name)[0].capitalize()}:** {_said(name, value)}"
            for name, value in self.attributes.items()
            if name != "demo"
        ]
        facts += [f"- **{name.capitalize()}:** {', '.join(values)}" for name, values in self.options.items()]
        care = _CARE.get(next((word for word in str(self.attributes.get("material", "")).split() if word in _CARE), ""))
        parts = [self.blurb, f"## {_HEADINGS[spread(self.code) % len(_HEADINGS)]}", "\n".join(facts)]
        if care is not None:
            parts += ["## Care", care]
        parts.append("*Demo product: made up to show the shop; there is no such article.*")
        return "\n\n".join(parts)

    @property
    def german_description(self) -> str:
        """The same in German, shorter."""
        return f"{self.german[1]}\n\n*Vorführware: erfunden, um den Laden zu zeigen; diesen Artikel gibt es nicht.*"

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Every combination of option values, in the order of the table."""
        made = []
        for values in product(*self.options.values()):
            sku = "-".join(["DEMO", self.code.upper(), *(slug_of(value).upper() for value in values)])
            pence = self.price + sum(self.surcharges.get(value, 0) for value in values)
            prices = {"GBP": pence, "EUR": euro(pence)}
            made.append(Variant(sku, dict(zip(self.options, values, strict=True)), prices))
        return tuple(made)


class Shelf(msgspec.Struct, frozen=True):
    """A category; `parent` is the slug of the one above."""

    slug: str
    name: str
    parent: str | None = None


UNITS: Final = {one.lower(): one for one in ("ml", "l", "mm", "cm", "g", "kg", "W", "K", "Hz", "dB", "years")} | {
    "c": "°C",
    "minutes": "min",
    "hours": "h",
    "lumens": "lm",
}
"""The units of numbers, by the word at the end of an attribute's name, as in `volume_ml`."""


def label_of(name: str) -> tuple[str, str | None]:
    """An attribute's name for people, and its unit."""
    first, _, last = name.rpartition("_")
    unit = UNITS.get(last)
    return (first if first and unit is not None else name).replace("_", " "), unit


def _said(name: str, value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    unit = None if isinstance(value, str) else label_of(name)[1]
    return str(value) if unit is None else f"{value} {unit}"


_HEADINGS: Final = ("At a glance", "In short", "The details", "Good to know", "What to expect")

_CARE: Final = {
    "wool": "Air it rather than wash it; where it must be washed, by hand and cool.",
    "lambswool": "Wash by hand in cool water, press it in a towel, dry it flat.",
    "merino": "Machine wash at 30 °C on the wool cycle. No softener: it takes the spring out.",
    "cashmere": "Fold it, never hang it. A comb takes off what rubs up in the first weeks.",
    "linen": "Wash at 40 °C and hang it up damp: most creases leave by themselves.",
    "cotton": "Wash at 40 °C with similar colours. It shrinks a little once, and that is in the size.",
    "cast": "Rinse with hot water, dry it on the hob, rub it with a drop of oil.",
    "carbon": "Wipe it dry after use. A little oil keeps the rust away.",
    "oak": "A damp cloth is enough; a spoonful of oil in spring keeps the grain alive.",
    "walnut": "Wipe with a dry cloth and keep it out of the midday sun.",
    "acacia": "Wash it by hand, dry it standing, oil it when it looks thirsty.",
    "beech": "Wipe with a damp cloth. Splinters are sanded off, never cut.",
    "birch": "Wipe with a damp cloth; soap leaves marks.",
    "brass": "Leave it to darken, or bring it back with vinegar and salt.",
    "leather": "Brush off the dust and give it a little wax twice a year.",
    "stainless": "Scouring powder scratches. Vinegar takes off the lime.",
    "terracotta": "Water it before the first planting, and bring it in when the ground freezes.",
    "cork": "Wipe with soapy water; it dries within the hour.",
}
"""What keeps an article fit, by a word of its material."""

CHOICES: Final = {
    "fit": ("close", "regular", "relaxed", "slim"),
    "roast": ("light", "medium", "dark"),
    "energy_class": ("A", "B", "C", "D", "E", "F", "G"),
    "fitting": ("E14", "E27", "GU10"),
    "water_resistance": ("IPX4", "IPX5", "IP67"),
}
"""Attributes of which only these values can be chosen."""


@cache
def spread(text: str, salt: str = "") -> int:
    """A number that looks like chance and is always the same for a text."""
    value = 2_166_136_261
    for byte in f"{salt}/{text}".encode():
        value = (value ^ byte) * 16_777_619 % 2**32
    return value >> 3


def euro(pence: int) -> int:
    """A price in cents as shops write it: about 1.17 times as much, just below a round amount."""
    step = 10 if pence < 1_000 else 100
    return -(-pence * 117 // (100 * step)) * step - 1


def homes_of(article: Article) -> tuple[str, ...]:
    """The warehouses that stock an article: both, or Hamburg alone where it comes from there."""
    skus = {variant.sku for variant in article.variants}
    both = spread(article.code, "home") % 4 or skus & (LOW | SOLD_OUT) or article.code in _EVERYWHERE
    return tuple(code for code, *_ in WAREHOUSES if both or code == "DE-HAMBURG")


def units_of(sku: str, warehouse: str) -> int:
    """How many units a warehouse that stocks it has at first: none of what is sold out, a few of what is low."""
    if sku in SOLD_OUT:
        return 0
    number = sum(map(ord, sku + warehouse))
    return 1 + number % 3 if sku in LOW else 20 + number * 7 % 61


_EVERYWHERE: Final = frozenset({"mug", "charger"})
"""What the guides buy lies in both."""

WAREHOUSES: Final = (("GB-LEEDS", "Leeds", "GB", 1), ("DE-HAMBURG", "Hamburg", "DE", 2))
"""Code, name, country, priority."""

MARK: Final = 5
"""From so many available units down the stock of a SKU in a warehouse is low."""

_TREE: Final = {
    "Kitchen": ("Cups & Mugs", "Cookware", "Coffee & Tea"),
    "Home": ("Lighting", "Textiles", "Storage"),
    "Garden": ("Garden Tools", "Planters", "Outdoor Living"),
    "Clothing": ("T-Shirts", "Knitwear", "Jackets"),
    "Electronics": ("Headphones", "Speakers", "Desk & Power"),
    "Stationery": ("Notebooks", "Pens & Pencils", "Desk Organisers"),
    "Toys & Games": ("Board Games", "Wooden Toys", "Puzzles"),
    "Sports & Outdoors": ("Cycling", "Camping", "Yoga & Fitness"),
}

CATEGORIES: Final = tuple(
    shelf
    for top, below in _TREE.items()
    for shelf in (
        Shelf(f"demo-{slug_of(top)}", top),
        *(Shelf(f"demo-{slug_of(name)}", name, f"demo-{slug_of(top)}") for name in below),
    )
)
"""Every category after the one that it hangs under."""

_SIZES: Final = ("S", "M", "L", "XL")

_ARTICLES: Final[Mapping[str, tuple[Article, ...]]] = {
    "Cups & Mugs": (
        Article(
            "mug",
            "Tideline Stoneware Mug",
            "Harbour & Pine",
            1_250,
            "A generous mug with a reactive glaze, no two of which come out of the kiln alike. Stackable.",
            {"material": "stoneware", "capacity_ml": 350, "dishwasher_safe": True, "height_cm": 9.5},
            {"colour": ("Sand", "Sea Blue", "Moss")},
        ),
        Article(
            "espresso",
            "Piccolo Espresso Cups, Set of 4",
            "Casa Lume",
            2_400,
            "Thick-walled porcelain keeps a short coffee hot. Four cups with saucers in a gift box.",
            {"material": "porcelain", "capacity_ml": 80, "pieces": 8, "dishwasher_safe": True},
            {"colour": ("White", "Charcoal")},
        ),
        Article(
            "tumbler",
            "Wayfarer Insulated Tumbler",
            "Northfold",
            2_195,
            "Double-walled steel: hot for six hours, cold for twelve. The lid closes tight and comes apart to clean.",
            {"material": "stainless steel", "dishwasher_safe": False, "hours_hot": 6, "leakproof": True},
            {"colour": ("Slate", "Coral"), "size": ("350 ml", "500 ml")},
            {"500 ml": 400},
        ),
    ),
    "Cookware": (
        Article(
            "skillet",
            "Cast Iron Skillet",
            "Forge Lane",
            3_900,
            "Pre-seasoned and made to outlive its first owner. For every hob, the oven and the campfire.",
            {"material": "cast iron", "induction": True, "oven_safe_c": 260, "handles": 2},
            {"size": ("20 cm", "26 cm", "30 cm")},
            {"26 cm": 1_000, "30 cm": 1_900},
        ),
        Article(
            "saucepan",
            "Tri-Ply Saucepan with Lid",
            "Forge Lane",
            5_450,
            "An aluminium core between two layers of steel heats evenly up to the rim. Pours without dripping.",
            {"material": "stainless steel", "induction": True, "oven_safe_c": 230, "with_lid": True},
            {"size": ("16 cm", "20 cm")},
            {"20 cm": 1_100},
        ),
        Article(
            "board",
            "End-Grain Chopping Board",
            "Harbour & Pine",
            4_650,
            "Oiled acacia that is kind to knives. Rubber feet, and a groove that keeps the juice on the board.",
            {"material": "acacia", "length_cm": 40, "width_cm": 30, "weight_kg": 3.2, "dishwasher_safe": False},
        ),
    ),
    "Coffee & Tea": (
        Article(
            "dripper",
            "Pour-Over Coffee Dripper",
            "Casa Lume",
            1_890,
            "A cone with spiral ribs for a clean, bright cup. Takes standard size 2 papers.",
            {"material": "porcelain", "cups": 2, "dishwasher_safe": True},
            {"colour": ("White", "Matt Black")},
        ),
        Article(
            "teapot",
            "Glass Teapot with Infuser",
            "Casa Lume",
            2_950,
            "Watch the leaves open. The infuser lifts out when the tea is as strong as you like it.",
            {"material": "borosilicate glass", "dishwasher_safe": True, "drip_free": True},
            {"size": ("600 ml", "1 l")},
            {"1 l": 600},
        ),
        Article(
            "grinder",
            "Hand Coffee Grinder",
            "Northfold",
            6_400,
            "Conical steel burrs in 36 steps, from espresso to French press. Fits into the press for travelling.",
            {"material": "steel and walnut", "settings": 36, "capacity_g": 30, "weight_kg": 0.48},
        ),
    ),
    "Lighting": (
        Article(
            "desklamp",
            "Arc LED Desk Lamp",
            "Lumen Works",
            5_900,
            "Five brightness levels and three whites, remembered when it is switched off. USB-C socket in the base.",
            {"power_w": 9.5, "colour_temperature_k": 4000, "dimmable": True, "energy_class": "E"},
            {"colour": ("Black", "White")},
        ),
        Article(
            "pendant",
            "Pleated Paper Pendant Shade",
            "Lumen Works",
            3_450,
            "Folded by hand from one sheet of strong paper. Gives a soft, even light over a table.",
            {"material": "paper", "fitting": "E27", "bulb_included": False},
            {"size": ("30 cm", "45 cm", "60 cm")},
            {"45 cm": 1_200, "60 cm": 2_600},
        ),
        Article(
            "nightlight",
            "Moon Rechargeable Night Light",
            "Little Thicket",
            2_250,
            "A warm glow that fades after half an hour. Silicone, unbreakable, tap to change the brightness.",
            {"power_w": 1.2, "battery_hours": 12, "dimmable": True, "age_from_years": 0},
        ),
    ),
    "Textiles": (
        Article(
            "throw",
            "Herringbone Wool Throw",
            "Fell & Loom",
            7_800,
            "Woven from pure new wool with a hand-twisted fringe. Warm without being heavy.",
            {"material": "wool", "length_cm": 180, "width_cm": 130, "machine_washable": False},
            {"colour": ("Heather", "Oatmeal", "Forest")},
        ),
        Article(
            "cushion",
            "Linen Cushion Cover",
            "Fell & Loom",
            1_950,
            "Washed linen that softens with every year. Hidden zip; the cushion pad is sold separately.",
            {"material": "linen", "machine_washable": True, "pad_included": False},
            {"colour": ("Natural", "Rust", "Ink"), "size": ("45 cm", "60 cm")},
            {"60 cm": 700},
        ),
        Article(
            "towel",
            "Waffle Bath Towel",
            "Fell & Loom",
            2_400,
            "Dries fast and takes little room on the rail. Organic cotton, woven in a honeycomb.",
            {"material": "organic cotton", "length_cm": 140, "width_cm": 70, "grams_per_m2": 340},
            {"colour": ("White", "Sage", "Clay")},
        ),
    ),
    "Storage": (
        Article(
            "basket",
            "Seagrass Storage Basket",
            "Harbour & Pine",
            2_650,
            "Woven by hand around a strong rim. For blankets, toys or firewood.",
            {"material": "seagrass", "handles": 2, "max_load_kg": 12.5},
            {"size": ("Small", "Medium", "Large")},
            {"Medium": 900, "Large": 1_900},
        ),
        Article(
            "jars",
            "Airtight Kitchen Jars, Set of 3",
            "Casa Lume",
            2_790,
            "Clear glass with bamboo lids and a silicone seal. Write on the lids with chalk.",
            {"material": "glass and bamboo", "pieces": 3, "airtight": True, "dishwasher_safe": False},
        ),
        Article(
            "hooks",
            "Oak Peg Rail",
            "Harbour & Pine",
            3_200,
            "Turned oak pegs on a solid rail, with all screws and plugs for a brick wall.",
            {"material": "oak", "max_load_kg": 20, "fixings_included": True},
            {"pegs": ("4 pegs", "6 pegs")},
            {"6 pegs": 1_100},
        ),
    ),
    "Garden Tools": (
        Article(
            "trowel",
            "Forged Hand Trowel",
            "Greenway",
            1_850,
            "Carbon steel with a depth scale, riveted to an ash handle. Will not bend on stony ground.",
            {"material": "carbon steel", "length_cm": 32.5, "weight_kg": 0.31, "guarantee_years": 10},
        ),
        Article(
            "pruner",
            "Bypass Secateurs",
            "Greenway",
            2_990,
            "Clean cuts up to 22 mm, with a spring and blade that can be replaced.",
            {"material": "high-carbon steel", "cut_mm": 22, "replaceable_blade": True},
            {"hand": ("Right-handed", "Left-handed")},
        ),
        Article(
            "can",
            "Galvanised Watering Can",
            "Greenway",
            3_450,
            "Balanced to pour with one hand. The brass rose is soft enough for seedlings.",
            {"material": "galvanised steel", "brass_rose": True},
            {"size": ("5 l", "9 l")},
            {"9 l": 950},
        ),
    ),
    "Planters": (
        Article(
            "pot",
            "Terracotta Pot with Saucer",
            "Terra Nona",
            890,
            "Fired in Tuscany and frost-proof to minus ten. Lets roots breathe.",
            {"material": "terracotta", "drainage_hole": True, "frost_proof_c": -10},
            {"size": ("14 cm", "20 cm", "28 cm")},
            {"20 cm": 600, "28 cm": 1_500},
        ),
        Article(
            "trough",
            "Zinc Herb Trough",
            "Terra Nona",
            2_250,
            "Three inner pots for basil, thyme and mint on a kitchen sill.",
            {"material": "zinc", "pots": 3, "length_cm": 38, "drainage_hole": False},
        ),
        Article(
            "hanging",
            "Macramé Plant Hanger",
            "Fell & Loom",
            1_600,
            "Knotted from recycled cotton cord. Holds pots of 12 to 20 cm.",
            {"material": "recycled cotton", "max_load_kg": 5, "length_cm": 90},
            {"colour": ("Natural", "Grey")},
        ),
    ),
    "Outdoor Living": (
        Article(
            "lantern",
            "Storm Lantern",
            "Lumen Works",
            2_700,
            "A classic to hang or stand, for candles or its own rechargeable LED.",
            {"material": "steel and glass", "height_cm": 26, "weatherproof": True},
            {"light": ("Candle", "LED")},
            {"LED": 1_200},
        ),
        Article(
            "hammock",
            "Two-Person Cotton Hammock",
            "Northfold",
            5_400,
            "Wide enough to lie across. Ropes and tree straps are in the bag.",
            {"material": "cotton", "max_load_kg": 200, "length_cm": 340, "straps_included": True},
            {"colour": ("Stripes", "Natural")},
        ),
        Article(
            "firebowl",
            "Steel Fire Bowl",
            "Forge Lane",
            9_900,
            "Three millimetres of raw steel that rusts to a warm brown. Comes with a grill.",
            {"material": "steel", "weight_kg": 9.8, "grill_included": True},
            {"size": ("50 cm", "70 cm")},
            {"70 cm": 4_000},
        ),
    ),
    "T-Shirts": (
        Article(
            "tee",
            "Everyday Organic T-Shirt",
            "Plainfield",
            1_900,
            "Heavy jersey that keeps its shape, cut straight. The shirt you forget that you are wearing.",
            {"material": "organic cotton", "grams_per_m2": 180, "fit": "regular", "machine_washable": True},
            {"colour": ("White", "Navy", "Olive"), "size": _SIZES},
        ),
        Article(
            "stripe",
            "Breton Stripe Top",
            "Plainfield",
            2_900,
            "A boat neck, long sleeves and the right number of stripes.",
            {"material": "cotton", "grams_per_m2": 220, "fit": "relaxed", "long_sleeves": True},
            {"colour": ("Ecru and Navy", "Navy and Ecru"), "size": _SIZES},
        ),
        Article(
            "merinotee",
            "Merino Travel T-Shirt",
            "Northfold",
            5_500,
            "Fine merino that dries overnight and does not smell after a week on the trail.",
            {"material": "merino wool", "grams_per_m2": 150, "fit": "slim", "machine_washable": True},
            {"colour": ("Charcoal", "Rust"), "size": _SIZES},
        ),
    ),
    "Knitwear": (
        Article(
            "fisherman",
            "Fisherman's Jumper",
            "Fell & Loom",
            9_500,
            "Ribbed, close and nearly windproof, from wool with its lanolin left in.",
            {"material": "wool", "gauge": 5, "fit": "close", "machine_washable": False},
            {"colour": ("Navy", "Oatmeal"), "size": _SIZES},
        ),
        Article(
            "beanie",
            "Ribbed Beanie",
            "Fell & Loom",
            2_200,
            "A double brim over the ears. One size that fits nearly everybody.",
            {"material": "lambswool", "machine_washable": False, "one_size": True},
            {"colour": ("Mustard", "Grey", "Bottle Green")},
        ),
        Article(
            "scarf",
            "Lambswool Scarf",
            "Fell & Loom",
            3_900,
            "Brushed until it is soft. Long enough to go round twice.",
            {"material": "lambswool", "length_cm": 185, "width_cm": 30},
            {"colour": ("Red Check", "Blue Check")},
        ),
    ),
    "Jackets": (
        Article(
            "rainshell",
            "Packable Rain Shell",
            "Northfold",
            11_900,
            "Three layers, taped seams, and a hood that turns with your head. Packs into its own pocket.",
            {"material": "recycled nylon", "water_column_mm": 15000, "weight_kg": 0.32, "hood": True},
            {"colour": ("Ochre", "Night Blue"), "size": _SIZES},
        ),
        Article(
            "chore",
            "Cotton Chore Jacket",
            "Plainfield",
            7_900,
            "Three pockets, brass buttons, and a twill that fades where you work.",
            {"material": "cotton twill", "pockets": 3, "machine_washable": True},
            {"colour": ("French Blue", "Tobacco"), "size": _SIZES},
        ),
        Article(
            "gilet",
            "Quilted Gilet",
            "Northfold",
            6_900,
            "Recycled down under an outer that sheds a shower. For the days between coat and jumper.",
            {"material": "recycled polyester", "fill_power": 600, "weight_kg": 0.29, "hood": False},
            {"size": _SIZES},
        ),
    ),
    "Headphones": (
        Article(
            "overear",
            "Drift Wireless Over-Ear Headphones",
            "Auralis",
            14_900,
            "Noise cancelling that hushes a train, 40 hours on one charge, and pads that can be replaced.",
            {"bluetooth": 5.3, "battery_hours": 40, "noise_cancelling": True, "weight_kg": 0.254},
            {"colour": ("Graphite", "Ivory")},
        ),
        Article(
            "earbuds",
            "Pebble True Wireless Earbuds",
            "Auralis",
            7_900,
            "Six hours in the ear, 24 with the case. Four sizes of tips in the box.",
            {"bluetooth": 5.3, "battery_hours": 6, "noise_cancelling": False, "water_resistance": "IPX4"},
            {"colour": ("Black", "White", "Mint")},
        ),
        Article(
            "kids",
            "Safe-Volume Kids Headphones",
            "Little Thicket",
            2_950,
            "Limited to 85 decibels, with a socket to share the sound with a friend.",
            {"max_db": 85, "wired": True, "foldable": True, "age_from_years": 3},
            {"colour": ("Yellow", "Teal")},
        ),
    ),
    "Speakers": (
        Article(
            "pocket",
            "Pocket Bluetooth Speaker",
            "Auralis",
            4_500,
            "Small enough for a coat pocket, loud enough for a picnic. Floats.",
            {"bluetooth": 5.2, "battery_hours": 14, "power_w": 8, "water_resistance": "IP67"},
            {"colour": ("Red", "Blue", "Black")},
        ),
        Article(
            "shelfspeaker",
            "Bookshelf Speakers, Pair",
            "Auralis",
            22_900,
            "Silk domes and a long-throw woofer in a cabinet veneered with real wood.",
            {"power_w": 60, "frequency_from_hz": 48, "frequency_to_hz": 22000, "wired": True},
            {"finish": ("Walnut", "White Oak")},
        ),
        Article(
            "radio",
            "Kitchen DAB Radio",
            "Lumen Works",
            8_900,
            "Twenty presets, two alarms and one big knob.",
            {"dab": True, "bluetooth": 5.0, "presets": 20, "power_w": 10},
            {"colour": ("Cream", "Sage")},
        ),
    ),
    "Desk & Power": (
        Article(
            "charger",
            "65 W USB-C Charger",
            "Brightcell",
            3_900,
            "Three sockets, one of them enough for a laptop. Gallium nitride keeps it small and cool.",
            {"power_w": 65, "ports": 3, "weight_kg": 0.12},
            {"plug": ("UK", "EU")},
        ),
        Article(
            "powerbank",
            "Slim Power Bank",
            "Brightcell",
            2_950,
            "Charges a phone twice, and itself in ninety minutes.",
            {"fast_charging": True, "ports": 2, "allowed_on_aircraft": True},
            {"capacity": ("10 000 mAh", "20 000 mAh")},
            {"20 000 mAh": 1_500},
        ),
        Article(
            "cable",
            "Braided USB-C Cable",
            "Brightcell",
            990,
            "Tested to bend 20,000 times. Carries 100 W and data.",
            {"power_w": 100, "braided": True},
            {"length": ("1 m", "2 m"), "colour": ("Black", "Sand")},
            {"2 m": 400},
        ),
    ),
    "Notebooks": (
        Article(
            "notebook",
            "Lay-Flat Notebook A5",
            "Quill & Rule",
            1_150,
            "Thread-sewn, so that it opens flat on every page. Paper that fountain pens do not bleed through.",
            {"pages": 192, "paper_g_per_m2": 100, "acid_free": True},
            {"ruling": ("Lined", "Dotted", "Plain")},
        ),
        Article(
            "pocketbooks",
            "Pocket Notebooks, Set of 3",
            "Quill & Rule",
            850,
            "Three thin companions for shirt pockets, with rounded corners.",
            {"pages": 48, "pieces": 3, "paper_g_per_m2": 90, "acid_free": True},
            {"colour": ("Kraft", "Primary")},
        ),
        Article(
            "planner",
            "Undated Weekly Planner",
            "Quill & Rule",
            1_850,
            "Fifty-three weeks that begin when you do. A page for each month and pockets for tickets.",
            {"pages": 144, "undated": True, "paper_g_per_m2": 100},
            {"colour": ("Forest", "Blush")},
        ),
    ),
    "Pens & Pencils": (
        Article(
            "fountain",
            "Studio Fountain Pen",
            "Quill & Rule",
            3_600,
            "An aluminium barrel and a smooth steel nib. Takes cartridges or the converter in the box.",
            {"material": "aluminium", "converter_included": True, "weight_kg": 0.024},
            {"nib": ("Fine", "Medium", "Broad"), "colour": ("Graphite", "Petrol")},
        ),
        Article(
            "pencils",
            "Drawing Pencils, Tin of 12",
            "Quill & Rule",
            1_450,
            "Cedar pencils from 6B to 4H that sharpen to a long point.",
            {"pieces": 12, "softest": "6B", "hardest": "4H", "fsc_certified": True},
        ),
        Article(
            "rollerball",
            "Brass Rollerball",
            "Forge Lane",
            2_800,
            "Solid brass that darkens with use. Takes any standard refill.",
            {"material": "brass", "refillable": True, "weight_kg": 0.048},
        ),
    ),
    "Desk Organisers": (
        Article(
            "tray",
            "Stacking Letter Tray",
            "Quill & Rule",
            2_200,
            "Powder-coated wire for A4. Trays click together without tools.",
            {"material": "steel", "length_cm": 34, "stackable": True},
            {"colour": ("White", "Black")},
        ),
        Article(
            "penpot",
            "Cork Pen Pot",
            "Harbour & Pine",
            1_200,
            "Turned from one block of cork. Quiet, warm, and floats, should it ever have to.",
            {"material": "cork", "height_cm": 10.5, "vegan": True},
        ),
        Article(
            "monitorstand",
            "Walnut Monitor Stand",
            "Harbour & Pine",
            6_900,
            "Lifts a screen by eleven centimetres and hides the keyboard below.",
            {"material": "walnut", "max_load_kg": 25, "height_cm": 11, "length_cm": 55},
        ),
    ),
    "Board Games": (
        Article(
            "harvest",
            "Harvest Moon Board Game",
            "Table Nine",
            3_400,
            "Sow, trade and gather before the frost. Different every time, learnt in ten minutes.",
            {"players_from": 2, "players_to": 5, "minutes": 60, "age_from_years": 10, "cooperative": False},
            {"language": ("English", "German")},
        ),
        Article(
            "lighthouse",
            "The Last Lighthouse",
            "Table Nine",
            2_700,
            "You win together or the ship is lost: a cooperative game of signals and storms.",
            {"players_from": 1, "players_to": 4, "minutes": 45, "age_from_years": 8, "cooperative": True},
            {"language": ("English", "German")},
        ),
        Article(
            "dice",
            "Pocket Dice Set",
            "Table Nine",
            1_300,
            "Six wooden dice, a pad and a leather cup with the rules of twelve games.",
            {"pieces": 6, "players_from": 1, "players_to": 6, "age_from_years": 6},
        ),
    ),
    "Wooden Toys": (
        Article(
            "blocks",
            "Rainbow Building Blocks",
            "Little Thicket",
            3_200,
            "Beech blocks in twelve colours with water-based paint, in a cotton bag.",
            {"material": "beech", "age_from_years": 1, "fsc_certified": True},
            {"pieces": ("36 pieces", "72 pieces")},
            {"72 pieces": 2_400},
        ),
        Article(
            "train",
            "Wooden Train Set",
            "Little Thicket",
            4_500,
            "A figure of eight, a bridge, and an engine with magnets. Fits the tracks of other makers.",
            {"material": "beech", "pieces": 42, "age_from_years": 3, "batteries": False},
        ),
        Article(
            "duck",
            "Pull-Along Duck",
            "Little Thicket",
            1_850,
            "Waddles behind new walkers. Rubber tyres for quiet floors.",
            {"material": "lime wood", "age_from_years": 1, "height_cm": 14},
            {"colour": ("Yellow", "Blue")},
        ),
    ),
    "Puzzles": (
        Article(
            "jigsaw",
            "Coastal Map Jigsaw",
            "Table Nine",
            1_750,
            "An illustrated map with a lighthouse for every evening of the week. Linen finish.",
            {"material": "recycled board", "age_from_years": 10, "poster_included": True},
            {"pieces": ("500 pieces", "1000 pieces")},
            {"1000 pieces": 400},
        ),
        Article(
            "cube",
            "Speed Cube",
            "Table Nine",
            1_250,
            "Magnets and adjustable springs. No stickers to peel.",
            {"magnetic": True, "side_mm": 55.5, "age_from_years": 6},
        ),
        Article(
            "tangram",
            "Walnut Tangram",
            "Little Thicket",
            1_600,
            "Seven pieces, sixty cards, and more patience than you thought you had.",
            {"material": "walnut", "pieces": 7, "cards": 60, "age_from_years": 5},
        ),
    ),
    "Cycling": (
        Article(
            "helmet",
            "City Bike Helmet",
            "Velmark",
            6_500,
            "A light at the back, a peak in front, and one dial to make it fit.",
            {"certified": "EN 1078", "weight_kg": 0.34, "rear_light": True},
            {"colour": ("Matt Black", "Stone"), "size": ("S/M", "L/XL")},
        ),
        Article(
            "panniers",
            "Roll-Top Panniers, Pair",
            "Velmark",
            9_800,
            "Welded seams and a roll-top that keeps out any weather. Click on and off with one hand.",
            {"material": "recycled tarpaulin", "capacity_l": 40, "waterproof": True, "weight_kg": 1.7},
            {"colour": ("Yellow", "Black")},
        ),
        Article(
            "lights",
            "USB Bike Light Set",
            "Velmark",
            3_300,
            "Front and rear, seen from the side as well. Clamps on without tools.",
            {"lumens": 120, "battery_hours": 9, "pieces": 2, "water_resistance": "IPX5"},
        ),
    ),
    "Camping": (
        Article(
            "tent",
            "Ridge Trekking Tent",
            "Northfold",
            24_900,
            "Pitched in five minutes, inner and outer together. Two doors, so nobody climbs over anybody.",
            {"water_column_mm": 4000, "seasons": 3, "doors": 2, "freestanding": True},
            {"size": ("2 persons", "3 persons")},
            {"3 persons": 6_000},
        ),
        Article(
            "stove",
            "Folding Gas Stove",
            "Northfold",
            3_700,
            "Boils a litre in under four minutes and folds to the size of a fist.",
            {"power_w": 2600, "weight_kg": 0.085, "piezo_ignition": True, "gas_included": False},
        ),
        Article(
            "flask",
            "Expedition Flask 1 l",
            "Northfold",
            3_100,
            "Tea that is still hot on the second morning. The lid is two cups.",
            {"material": "stainless steel", "capacity_ml": 1000, "hours_hot": 30, "leakproof": True},
            {"colour": ("Forest", "Steel")},
        ),
    ),
    "Yoga & Fitness": (
        Article(
            "mat",
            "Natural Rubber Yoga Mat",
            "Still Point",
            5_600,
            "Grips when your hands are damp. Made without PVC, with lines that help you find the middle.",
            {"material": "natural rubber", "length_cm": 183, "width_cm": 66, "vegan": True},
            {"colour": ("Plum", "Ocean", "Stone"), "thickness": ("3 mm", "5 mm")},
            {"5 mm": 900},
        ),
        Article(
            "block",
            "Cork Yoga Block",
            "Still Point",
            1_500,
            "Firm, light and warm to the touch, with rounded edges.",
            {"material": "cork", "weight_kg": 0.65, "vegan": True},
        ),
        Article(
            "bands",
            "Resistance Bands, Set of 3",
            "Still Point",
            1_650,
            "Woven bands that neither roll up nor snap. Light, medium and strong, in a bag.",
            {"material": "cotton and latex", "pieces": 3, "machine_washable": True},
        ),
    ),
}

_GERMAN: Final = {
    "mug": ("Steinzeugbecher Tideline", "Ein großzügiger Becher mit Reaktivglasur; kein Brand gleicht dem anderen."),
    "skillet": ("Gusseiserne Pfanne", "Eingebrannt und gebaut, um ihren ersten Besitzer zu überleben."),
    "dripper": ("Kaffeefilter zum Aufgießen", "Ein Kegel mit Spiralrippen für eine klare, helle Tasse."),
    "teapot": ("Glaskanne mit Sieb", "Man sieht den Blättern beim Aufgehen zu."),
    "desklamp": ("LED-Schreibtischlampe Arc", "Ein Bogen, ein Dimmer und kein Flimmern."),
    "tent": ("Trekkingzelt Ridge", "In fünf Minuten aufgestellt, innen und außen zugleich."),
    "overear": ("Kabellose Kopfhörer Drift", "Macht aus einem Zug ein Flüstern und hält 40 Stunden durch."),
    "charger": ("USB-C-Ladegerät 65 W", "Drei Buchsen, von denen eine für einen Laptop reicht."),
    "notebook": ("Flach liegendes Notizbuch A5", "Fadengeheftet, damit es auf jeder Seite flach liegt."),
    "harvest": ("Erntemond", "Säen, tauschen und ernten vor dem Frost. Jedes Mal anders."),
    "train": ("Holzeisenbahn", "Eine Acht, eine Brücke und eine Lok mit Magneten."),
    "helmet": ("Stadthelm", "Hinten ein Licht, vorne ein Schirm, und ein Rad, damit er passt."),
    "mat": ("Yogamatte aus Naturkautschuk", "Greift auch bei feuchten Händen; ohne PVC."),
}

SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "coffee": ("dripper", "filters", "beans", "grinder", "kettle", "latte", "espressobeans", "espresso", "doublewall"),
    "tea": ("teapot", "sencha", "breakfast", "teacup", "mug", "candle"),
    "baking": ("proving", "loaftin", "bakingtray", "apron", "teatowel", "breadbin", "jars"),
    "cooking": ("skillet", "saucepan", "wok", "casserole", "knife", "board", "spicerack", "lunchbox"),
    "light": ("desklamp", "bulb", "pendant", "floorlamp", "clamp", "fairy", "wallsconce", "strip"),
    "bed and bath": ("bedset", "throw", "cushion", "towel", "bathmat", "laundry", "nightlight", "rug"),
    "garden": ("trowel", "pruner", "gloves", "seeds", "compost", "seedtray", "can", "twine", "spade", "pot", "hose"),
    "balcony": ("windowbox", "selfwater", "hanging", "mister", "trough", "plantstand", "lantern", "birdfeeder"),
    "barbecue": ("firebowl", "skewers", "picnicrug", "parasol", "deckchair", "hammock", "partybox", "campmug"),
    "wardrobe": ("tee", "stripe", "pocketee", "longtee", "polo", "henley", "denim", "chore", "tank"),
    "winter": ("fisherman", "cardigan", "beanie", "scarf", "mittens", "socks", "snood", "vest", "parka"),
    "hiking": ("rainshell", "softshell", "fleece", "merinotee", "gilet", "socks", "flask", "headlamp"),
    "listening": ("overear", "earbuds", "onear", "studio", "case", "pads", "headstand", "shelfspeaker", "speakercable"),
    "vinyl": ("turntable", "shelfspeaker", "speakercable", "soundbar", "radio"),
    "desk": ("charger", "hub", "keyboard", "mouse", "cable", "wireless", "deskmat", "monitorstand", "cableclips"),
    "writing": ("fountain", "ink", "notebook", "fivebook", "writingpad", "rollerball", "letteropener", "travel"),
    "drawing": ("sketchbook", "pencils", "brush", "eraser", "sharpener", "mechanical"),
    "games night": ("harvest", "lighthouse", "railways", "botanist", "cards", "wordgame", "sleeves", "dice"),
    "puzzles": ("jigsaw", "alpine", "puzzlemat", "burr", "logic", "maze", "tangram"),
    "small children": ("blocks", "duck", "sorter", "xylophone", "kidscup", "blanket", "babycardi", "floor"),
    "play": ("train", "bridge", "kitchen", "foodset", "ark", "crayons", "kidstee", "kidsrain", "kids"),
    "cycling": ("helmet", "lock", "lights", "pump", "bell", "repairkit", "panniers", "cyclinggloves", "windbreaker"),
    "camping": ("tent", "sleepingbag", "sleepmat", "stove", "cookset", "headlamp", "campchair", "drybag", "campmug"),
    "yoga": ("mat", "block", "strap", "bolster", "cushionzafu", "roller", "bands", "tumbler", "sleep"),
}
"""What people buy together, the first ones the most: baskets and related products are made of it."""


def _priced() -> Iterator[tuple[str, Article]]:
    for name, articles in _ARTICLES.items():
        yield from ((name, article) for article in articles)
    for name, code, title, brand, price, blurb, attributes, options, surcharges, german in entries():
        yield name, Article(code, title, brand, price, blurb, attributes, options, surcharges, german=german)


def _companions(code: str) -> tuple[str, ...]:
    found = dict.fromkeys(other for codes in SETS.values() if code in codes for other in codes if other != code)
    return tuple(found)[:4]


PRODUCTS: Final = tuple(
    msgspec.structs.replace(
        article,
        shelf=f"demo-{slug_of(name)}",
        brand=f"{article.brand} (Demo)",
        attributes={"demo": True, **article.attributes},
        german=_GERMAN.get(article.code, article.german),
        related=_companions(article.code),
    )
    for name, article in _priced()
)
"""Every demo product."""

LOW: Final = frozenset(
    {
        "DEMO-MUG-MOSS",
        "DEMO-SKILLET-30-CM",
        "DEMO-PENDANT-60-CM",
        "DEMO-TEE-OLIVE-XL",
        "DEMO-FISHERMAN-NAVY-S",
        "DEMO-OVEREAR-IVORY",
        "DEMO-SHELFSPEAKER-WALNUT",
        "DEMO-FOUNTAIN-BROAD-PETROL",
        "DEMO-TENT-3-PERSONS",
        "DEMO-TRAIN",
    }
)
"""SKUs of which only a few are left."""

SOLD_OUT: Final = frozenset(
    {
        "DEMO-FIREBOWL-70-CM",
        "DEMO-RAINSHELL-OCHRE-M",
        "DEMO-EARBUDS-MINT",
        "DEMO-GRINDER",
        "DEMO-CUBE",
    }
)
"""SKUs of which nothing is left."""

AHEAD: Final[Mapping[str, tuple[str, int]]] = {"DEMO-EARBUDS-MINT": ("preorder", 45), "DEMO-GRINDER": ("backorder", 20)}
"""Those of them that can be ordered all the same: how, and in how many days they are there."""
