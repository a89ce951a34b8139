"""More of the demo catalogue, as text that reads like a price list; `entries` makes articles of it.

A shelf begins with `#`. An article is: code; title; brand; pence. Then a line that tells of it, a line of its
attributes, and where it has them a line of options (`+400`: so many pence more) and one in German (`de:`).
"""

from collections.abc import Iterator
from typing import Final

from emporium.domain.product import AttributeValue

__all__ = ["GOODS", "Entry", "entries"]

Entry = tuple[
    str, str, str, str, int, str, dict[str, AttributeValue], dict[str, tuple[str, ...]], dict[str, int], tuple[str, str]
]
"""Shelf, code, title, brand, price, blurb, attributes, options, surcharges, title and blurb in German (or empty)."""


def entries() -> Iterator[Entry]:
    """Every article of the price list, in its order."""
    shelf = ""
    for block in GOODS.strip().split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("# "):
            shelf = lines.pop(0)[2:]
        code, title, brand, price = lines[0].split("; ")
        options: dict[str, tuple[str, ...]] = {}
        surcharges: dict[str, int] = {}
        german = ("", "")
        for line in lines[3:]:
            name, _, rest = line.partition(": ")
            if name == "de":
                first, _, second = rest.partition(" / ")
                german = first, second
                continue
            for option in line.split("; "):
                name, _, rest = option.partition(": ")
                values = []
                for written in rest.split(" | "):
                    value, _, more = written.partition(" +")
                    values.append(value)
                    if more:
                        surcharges[value] = int(more)
                options[name] = tuple(values)
        attributes = dict(_attribute(one) for one in lines[2].split(", "))
        yield shelf, code, title, brand, int(price), lines[1], attributes, options, surcharges, german


def _attribute(text: str) -> tuple[str, AttributeValue]:
    name, _, value = text.partition("=")
    if value in ("yes", "no"):
        return name, value == "yes"
    try:
        return name, float(value) if "." in value else int(value)
    except ValueError:
        return name, value


GOODS: Final = """
# Cups & Mugs
latte; Ribbed Latte Bowl; Casa Lume; 1490
Wide enough to dip a croissant, with ribs that keep your fingers cool.
material=stoneware, capacity_ml=450, dishwasher_safe=yes, height_cm=7.5
colour: Oat | Rust
de: Gerippte Milchkaffeeschale / Breit genug für ein Croissant, und die Rippen halten die Finger kühl.

campmug; Enamel Camp Mug; Northfold; 995
Chips are not flaws but stories. Goes over the fire and into the sink.
material=enamelled steel, capacity_ml=380, dishwasher_safe=yes, weight_kg=0.14
colour: White | Navy | Forest
de: Emaillebecher für unterwegs / Macken sind keine Fehler, sondern Geschichten. Darf übers Feuer und in die Spüle.

teacup; Thin-Rimmed Tea Cup and Saucer; Casa Lume; 1850
Bone china so thin that the light shines through. Tea tastes better from a thin rim, we are told.
material=bone china, capacity_ml=220, pieces=2, dishwasher_safe=no
colour: White | Celadon

doublewall; Double-Walled Glasses, Pair; Casa Lume; 1990
The coffee seems to float, and the outside stays cool enough to hold.
material=borosilicate glass, capacity_ml=250, pieces=2, dishwasher_safe=yes

kidscup; Unbreakable Kids Cup; Little Thicket; 790
Survives the high chair. Made of plant fibres, with a rim for small mouths.
material=bamboo fibre, capacity_ml=200, dishwasher_safe=yes, height_cm=8.2
colour: Fox | Owl | Whale

stein; Salt-Glazed Stoneware Stein; Harbour & Pine; 2650
A litre of grey stoneware with a cobalt band, thrown on the wheel one by one.
material=stoneware, capacity_ml=1000, dishwasher_safe=no, height_cm=17.0
de: Steinzeugkrug mit Salzglasur / Ein Liter graues Steinzeug mit kobaltblauem Band, Stück für Stück gedreht.

# Cookware
wok; Carbon Steel Wok; Forge Lane; 4200
Light enough to toss with one hand. Arrives blue from the seasoning and turns black with use.
material=carbon steel, induction=yes, handles=1, weight_kg=1.5
size: 30 cm | 34 cm +700
de: Wok aus Kohlenstoffstahl / Leicht genug für eine Hand. Kommt blau vom Einbrennen und wird mit der Zeit schwarz.

casserole; Enamelled Cast Iron Casserole; Forge Lane; 11900
A heavy lid that rains the steam back on the roast. From hob to oven to table.
material=cast iron, induction=yes, oven_safe_c=240, handles=2, with_lid=yes
size: 24 cm | 28 cm +2500; colour: Cherry | Slate | Cream

bakingtray; Rimmed Baking Tray; Forge Lane; 1650
Heavy aluminium that does not warp at any heat your oven has.
material=aluminium, oven_safe_c=250, length_cm=46, width_cm=33, dishwasher_safe=no

loaftin; Two-Pound Loaf Tin; Forge Lane; 1450
Folded, not welded, so that nothing sticks in a corner.
material=aluminised steel, oven_safe_c=230, length_cm=23, dishwasher_safe=no
de: Kastenform für zwei Pfund Brot / Gefaltet statt geschweißt, damit in keiner Ecke etwas klebt.

proving; Cane Proving Basket; Harbour & Pine; 1790
Gives the loaf its rings and lets it breathe overnight. With a linen cloth.
material=rattan, length_cm=25, dishwasher_safe=no, with_lid=no
shape: Round | Oval

knife; Chef's Knife 20 cm; Forge Lane; 7900
One knife for nearly everything. Holds an edge for months and takes a new one in a minute.
material=damascus steel, length_cm=33, weight_kg=0.21, dishwasher_safe=no
handle: Walnut | Olive wood +1000

# Coffee & Tea
beans; Daybreak Coffee Beans; Morning Ledger; 950
Chocolate and hazelnut, roasted on Mondays and sent on Tuesdays.
origin=Brazil, roast=medium, organic=yes, content_g=250
grind: Whole beans | Filter | Espresso; pack: 250 g | 1 kg +2300
de: Kaffeebohnen Tagesanbruch / Schokolade und Haselnuss, montags geröstet und dienstags verschickt.

espressobeans; Nightshift Espresso Beans; Morning Ledger; 1090
Dark without being bitter: cocoa, dried fig, and a crema that stands.
origin=Guatemala, roast=dark, organic=no, content_g=250
pack: 250 g | 1 kg +2600
de: Espressobohnen Nachtschicht / Dunkel, aber nicht bitter: Kakao, getrocknete Feige und eine Crema, die steht.

filters; Unbleached Filter Papers, 100; Casa Lume; 390
Size 2 cones of unbleached paper. They go on the compost with the grounds.
material=paper, pieces=100, compostable=yes, cups=2

sencha; First Flush Sencha; Morning Ledger; 1250
Grass, sea air, and a sweetness that comes back. Brew it cooler than you think.
origin=Japan, roast=light, organic=yes, content_g=100

breakfast; Strong Breakfast Tea; Morning Ledger; 690
Assam and Kenya for builders and for grandmothers. Takes milk as it should.
origin=Assam, roast=dark, organic=yes, content_g=200
pack: Loose | 80 bags
de: Kräftiger Frühstückstee / Assam und Kenia für Handwerker und Großmütter. Verträgt Milch, wie es sich gehört.

kettle; Gooseneck Pouring Kettle; Casa Lume; 5490
A thin stream that goes where you point it, and a thermometer in the lid.
material=stainless steel, capacity_ml=900, induction=yes, weight_kg=0.7
colour: Steel | Matt Black +500

# Lighting
bulb; Warm LED Filament Bulb; Lumen Works; 750
Looks like the bulbs of old and costs a tenth to burn.
power_w=6.5, colour_temperature_k=2700, dimmable=yes, energy_class=D, fitting=E27
shape: Pear | Globe +200 | Candle
de: Warme LED-Fadenlampe / Sieht aus wie früher und braucht ein Zehntel.

floorlamp; Oak Tripod Floor Lamp; Lumen Works; 14900
Three legs of oiled oak and a shade of undyed linen, at the height of an armchair.
material=oak, height_cm=148, fitting=E27, bulb_included=no
shade: Natural | Charcoal

strip; Under-Cabinet Light Strip; Lumen Works; 2900
Cut it where you like; it stays put and lights the chopping board, not your eyes.
power_w=12.0, colour_temperature_k=3000, dimmable=yes, energy_class=F
length: 1 m | 2 m +900

clamp; Clip-On Reading Light; Lumen Works; 1690
Clips to a headboard or a hardback, and looks away from whoever sleeps beside you.
power_w=2.4, colour_temperature_k=3500, dimmable=yes, battery_hours=20
colour: Black | Cream

fairy; Copper Fairy Lights; Lumen Works; 1350
A hundred warm points on a wire so thin that it vanishes.
power_w=3.0, colour_temperature_k=2400, dimmable=no, weatherproof=yes
length: 10 m | 20 m +700

wallsconce; Brass Swing-Arm Wall Light; Lumen Works; 8900
Turns from the pillow to the page. Solid brass that may be polished or left alone.
material=brass, fitting=E14, bulb_included=yes, energy_class=E

# Textiles
bedset; Washed Linen Bed Set; Fell & Loom; 13900
Already soft on the first night. A duvet cover and two pillowcases with coconut buttons.
material=linen, pieces=3, machine_washable=yes
size: Double | King +2500; colour: White | Sage | Clay
de: Bettwäsche aus gewaschenem Leinen / Schon in der ersten Nacht weich. Ein Bezug und zwei Kissen mit Kokosknöpfen.

rug; Flat-Woven Wool Rug; Fell & Loom; 18900
Woven on both sides, so that it can be turned when one has been walked on long enough.
material=wool, length_cm=240, width_cm=170, machine_washable=no
colour: Indigo | Ochre

teatowel; Half-Linen Tea Towels, Set of 3; Fell & Loom; 1690
Thirstier every wash. With loops, because hooks were invented for a reason.
material=linen and cotton, pieces=3, machine_washable=yes
colour: Red Stripe | Blue Stripe

apron; Cross-Back Apron; Fell & Loom; 3490
Hangs from the shoulders, not the neck. Two pockets and nothing to tie.
material=linen, machine_washable=yes, pockets=2
colour: Charcoal | Sand

bathmat; Bouclé Bath Mat; Fell & Loom; 2950
Two centimetres of loops between you and the cold floor.
material=organic cotton, length_cm=80, width_cm=50, machine_washable=yes
colour: White | Fog | Moss

blanket; Baby Cellular Blanket; Little Thicket; 2400
Holes that hold the warmth and let the air through, as midwives have always said.
material=organic cotton, length_cm=100, width_cm=75, machine_washable=yes
colour: Milk | Duck Egg

# Storage
crate; Folding Market Crate; Harbour & Pine; 1590
Carries the shopping, then folds flat behind the door.
material=recycled plastic, max_load_kg=25, handles=2, capacity_l=32
colour: Mustard | Petrol | Grey

laundry; Divided Laundry Basket; Harbour & Pine; 5400
Light in one half, dark in the other: half the work is done before you begin.
material=bamboo and cotton, capacity_l=90, handles=4, airtight=no

breadbin; Bread Bin with Board; Casa Lume; 4450
The lid is the board. Air holes at the back, so that the crust stays a crust.
material=steel and beech, length_cm=34, airtight=no, dishwasher_safe=no
colour: Cream | Black

spicerack; Magnetic Spice Jars, Set of 6; Casa Lume; 3150
On the fridge or the extractor hood: you see what you have.
material=steel and glass, pieces=6, airtight=yes, dishwasher_safe=no

shoerack; Slatted Shoe Bench; Harbour & Pine; 7400
Sit down, tie your laces, and keep eight pairs out of the way.
material=birch, max_load_kg=120, length_cm=80, fixings_included=yes
de: Schuhbank mit Latten / Hinsetzen, Schuhe binden, und acht Paar sind aus dem Weg.

lunchbox; Two-Tier Lunch Box; Northfold; 2490
Leakproof below, dry above. Fits the bag you already have.
material=stainless steel, capacity_ml=1100, airtight=yes, dishwasher_safe=yes

# Garden Tools
spade; Ash-Handled Digging Spade; Greenway; 5900
A tread for your boot and a socket forged from one piece.
material=stainless steel, length_cm=110, weight_kg=2.1, guarantee_years=15
de: Spaten mit Eschenstiel / Ein Tritt für den Stiefel und eine Tülle aus einem Stück.

gloves; Goatskin Gardening Gloves; Greenway; 1990
Soft enough to feel a seedling, tough enough for the roses.
material=goatskin, machine_washable=no, guarantee_years=1
size: S | M | L

kneeler; Kneeling Pad and Seat; Greenway; 3950
Kneel on it, turn it over, sit on it. Handles help you up again.
material=steel and foam, max_load_kg=130, weight_kg=3.4, guarantee_years=5

hose; Kink-Free Garden Hose; Greenway; 4490
Turns corners without stopping. With the connectors, because nobody has the right ones.
material=PVC-free rubber, cut_mm=13, guarantee_years=20
length: 15 m | 30 m +2500

seeds; Kitchen Garden Seed Box; Greenway; 1490
Twelve packets for a bed by the back door, with a calendar that forgives.
pieces=12, organic=yes, guarantee_years=2
mix: Salads | Herbs | Flowers
de: Saatgutkiste für den Küchengarten / Zwölf Tütchen für ein Beet an der Hintertür, mit einem nachsichtigen Kalender.

twine; Jute Twine in a Tin; Greenway; 750
A hundred metres that rot away when their work is done. The cutter is in the lid.
material=jute, compostable=yes, length_cm=10000

# Planters
plantstand; Three-Tier Plant Stand; Harbour & Pine; 4900
A ladder for what is hungry for light. Folds away for the winter.
material=acacia, max_load_kg=30, height_cm=96, drainage_hole=no

selfwater; Self-Watering Planter; Terra Nona; 2690
Drinks from below for two weeks. A float tells you when it is thirsty.
material=recycled plastic, drainage_hole=no, frost_proof_c=-15, capacity_l=9
colour: Chalk | Basalt

windowbox; Cedar Window Box; Terra Nona; 3350
Weathers to silver and never rusts. With brackets for a sill or a railing.
material=cedar, length_cm=60, drainage_hole=yes, frost_proof_c=-20

seedtray; Reusable Seed Trays, Set of 5; Greenway; 1790
Thick enough to be used for ten springs. Push the plug out with a thumb.
material=natural rubber, pieces=5, drainage_hole=yes

mister; Brass Plant Mister; Terra Nona; 1950
A fine mist for ferns, and a shape that may stay on the sill.
material=brass, capacity_ml=300, height_cm=14

compost; Peat-Free Potting Compost; Terra Nona; 890
Bark, wool and nothing that took a thousand years to grow.
organic=yes, compostable=yes, capacity_l=20, drainage_hole=no

# Outdoor Living
parasol; Tilting Parasol 2.7 m; Northfold; 8900
Follows the sun with one crank. The cloth keeps its colour for summers.
material=aluminium, weatherproof=yes, height_cm=245, weight_kg=6.2
colour: Ecru | Terracotta

picnicrug; Waterproof Picnic Rug; Northfold; 3990
Wool above, dry below, and straps to carry it over a shoulder.
material=wool, weatherproof=yes, length_cm=180, width_cm=140

deckchair; Beech Deckchair; Harbour & Pine; 6900
Three heights, one of them for reading and one for pretending to.
material=beech, max_load_kg=120, weatherproof=no, weight_kg=4.1
cloth: Navy Stripe | Lemon | Plain

birdfeeder; Hanging Bird Feeder; Greenway; 2390
Sparrows at breakfast, tits all day, and a roof that beats the squirrel most of the time.
material=steel and glass, weatherproof=yes, height_cm=30
de: Hängendes Futterhaus / Spatzen zum Frühstück, Meisen den ganzen Tag, und ein Dach gegen das Eichhörnchen.

candle; Citronella Garden Candle; Terra Nona; 1190
Forty hours of lemon that mosquitoes do not care for.
material=plant wax, weatherproof=yes, burns_hours=40, height_cm=11

skewers; Flat Grill Skewers, Set of 6; Forge Lane; 1490
Flat, so that the vegetables turn when you do.
material=stainless steel, pieces=6, length_cm=38

# T-Shirts
pocketee; Heavyweight Pocket T-Shirt; Plainfield; 2600
A boxy cut and a cloth with some weight. The pocket holds a pencil.
material=organic cotton, grams_per_m2=240, fit=relaxed, machine_washable=yes
colour: White | Ink | Brick; size: S | M | L | XL

longtee; Long-Sleeved Waffle Top; Plainfield; 3200
A waffle that traps warmth, for under a shirt or instead of one.
material=cotton, grams_per_m2=230, fit=slim, long_sleeves=yes
colour: Ecru | Olive; size: S | M | L | XL

polo; Piqué Polo Shirt; Plainfield; 3900
Mother-of-pearl buttons and a collar that does not curl.
material=organic cotton, grams_per_m2=210, fit=regular, machine_washable=yes
colour: Navy | White; size: S | M | L | XL

kidstee; Kids Dinosaur T-Shirt; Little Thicket; 1400
A herd of hand-drawn dinosaurs, printed so that they survive the playground.
material=organic cotton, grams_per_m2=170, fit=regular, machine_washable=yes
age: 2 years | 4 years | 6 years

tank; Ribbed Tank Top; Still Point; 1800
Moves as you do and stays tucked in.
material=modal, grams_per_m2=190, fit=slim, machine_washable=yes
colour: Black | Plum; size: S | M | L

henley; Linen Henley; Plainfield; 4500
Three buttons and a breeze. Creases, and looks better for it.
material=linen, grams_per_m2=160, fit=relaxed, long_sleeves=yes
size: S | M | L | XL
de: Henley aus Leinen / Drei Knöpfe und ein Luftzug. Knittert, und das steht ihm.

# Knitwear
cardigan; Shawl-Collar Cardigan; Fell & Loom; 10900
A blanket with pockets. Leather buttons, sewn on for good.
material=lambswool, gauge=5, fit=relaxed, machine_washable=no
colour: Oatmeal | Bottle Green; size: S | M | L | XL
de: Strickjacke mit Schalkragen / Eine Decke mit Taschen. Lederknöpfe, fest angenäht.

socks; Boot Socks, 2 Pairs; Fell & Loom; 1890
Cushioned where it matters, thin where the boot is tight.
material=merino wool, machine_washable=yes, pieces=4
size: 36–40 | 41–46; colour: Peat | Heather

mittens; Fair Isle Mittens; Fell & Loom; 2900
Eight colours, two hands and a lining of fleece.
material=wool, one_size=yes, machine_washable=no

snood; Cashmere Snood; Fell & Loom; 5900
Goes round twice or over the ears. Weighs nothing, forgets nothing.
material=cashmere, one_size=yes, machine_washable=no
colour: Camel | Charcoal

vest; Cable-Knit Slipover; Plainfield; 5400
Warm in the middle, free at the elbows.
material=cotton, gauge=7, fit=regular, machine_washable=yes
size: S | M | L | XL

babycardi; Baby Moss-Stitch Cardigan; Little Thicket; 3200
Wooden buttons and cuffs that grow along for a winter.
material=merino wool, gauge=9, fit=regular, machine_washable=yes
age: 3 months | 6 months | 12 months

# Jackets
fleece; High-Pile Fleece; Northfold; 8400
Recycled bottles that you would like to stroke. A chest pocket that zips.
material=recycled polyester, pockets=3, weight_kg=0.48, hood=no
colour: Oat | Pine; size: S | M | L | XL

parka; Waxed Cotton Parka; Northfold; 18900
Waxed twice, lined once, and long enough to sit on.
material=waxed cotton, water_column_mm=5000, pockets=5, hood=yes
colour: Moss | Black; size: S | M | L | XL

windbreaker; Featherweight Windbreaker; Velmark; 6900
Stops the wind, folds into a fist and shines in headlights.
material=recycled nylon, weight_kg=0.11, hood=no, water_column_mm=1500
colour: Signal | Slate; size: S | M | L | XL

kidsrain; Kids Puddle Jacket; Little Thicket; 3900
Taped seams for those who jump in with both feet.
material=recycled polyester, water_column_mm=8000, hood=yes, machine_washable=yes
colour: Yellow | Frog; age: 2 years | 4 years | 6 years

denim; Unlined Denim Jacket; Plainfield; 8900
Raw denim that learns your elbows.
material=denim, pockets=4, machine_washable=yes, hood=no
size: S | M | L | XL

softshell; Stretch Soft Shell; Northfold; 9900
For the days that cannot decide. Breathes uphill and blocks the wind at the top.
material=nylon and elastane, water_column_mm=10000, weight_kg=0.52, hood=yes
colour: Graphite | Lake; size: S | M | L | XL

# Headphones
onear; Folding On-Ear Headphones; Auralis; 6900
Small in the bag, large in the bass. The cable comes off.
bluetooth=5.2, battery_hours=28, noise_cancelling=no, foldable=yes
colour: Black | Sand

sport; Open-Ear Sport Headphones; Auralis; 9900
Sits in front of the ear, so that you hear the car as well as the song.
bluetooth=5.3, battery_hours=9, noise_cancelling=no, water_resistance=IP67
colour: Black | Coral

studio; Closed-Back Studio Headphones; Auralis; 12900
What the microphone heard, no more and no less. Every part can be replaced.
wired=yes, foldable=no, max_db=110, weight_kg=0.27

case; Hard Headphone Case; Auralis; 1990
A shell that shrugs off a rucksack, with a pocket for the cable.
material=felt, wired=no, foldable=no, weight_kg=0.18

pads; Replacement Ear Pads; Auralis; 1690
Click off, click on, and the old headphones are new.
material=protein leather, pieces=2, wired=no
fits: Over-ear | On-ear

sleep; Sleep Headband; Still Point; 3400
Flat speakers in soft jersey, for those who lie on their side.
bluetooth=5.0, battery_hours=10, noise_cancelling=no, material=modal

# Speakers
soundbar; Compact Soundbar; Auralis; 15900
Makes speech clear and does not need a second box.
bluetooth=5.3, power_w=80, wired=yes, length_cm=60

turntable; Belt-Drive Turntable; Auralis; 27900
A heavy platter, a light arm, and a preamplifier for speakers that have none.
power_w=4, wired=yes, bluetooth=5.0, weight_kg=5.4
finish: Walnut | Black
de: Plattenspieler mit Riemenantrieb / Ein schwerer Teller, ein leichter Arm, und ein Vorverstärker für Boxen ohne.

partybox; Garden Party Speaker; Auralis; 19900
Loud enough for the end of the garden, with a handle and a sense of rhythm.
bluetooth=5.3, battery_hours=18, power_w=60, water_resistance=IPX5

showerspeaker; Shower Speaker; Auralis; 3400
Hangs on the tap and sings along.
bluetooth=5.1, battery_hours=10, power_w=5, water_resistance=IP67
colour: White | Aqua

speakercable; Oxygen-Free Speaker Cable; Auralis; 1490
Thick copper, clear sleeve, and a stripe so that plus finds plus.
wired=yes, material=copper, power_w=200
length: 3 m | 5 m +600

alarmclock; Sunrise Alarm Clock; Lumen Works; 7400
Dawn at whatever hour you say, and birds if you ask for them.
power_w=12, dab=no, presets=6, bluetooth=5.0

# Desk & Power
hub; Seven-in-One USB-C Hub; Brightcell; 4900
What the laptop has lost: card, screen, network, and three of the old sockets.
power_w=100, ports=7, weight_kg=0.09, braided=yes

wireless; Wireless Charging Stand; Brightcell; 3400
Upright, so that you see who calls. A light that goes out at night.
power_w=15, ports=1, fast_charging=yes, weight_kg=0.16
colour: Black | White

keyboard; Low-Profile Mechanical Keyboard; Brightcell; 9900
Quiet switches, loud satisfaction. Layouts for both sides of the Channel.
bluetooth=5.1, battery_hours=200, wired=yes, weight_kg=0.61
layout: UK | DE

mouse; Vertical Mouse; Brightcell; 4500
A handshake instead of a twist. The wrist will notice within a week.
bluetooth=5.1, battery_hours=90, wired=no, weight_kg=0.12
hand: Right | Left

batteries; Rechargeable AA Batteries, 8; Brightcell; 1990
Charged a thousand times and still not in the bin.
pieces=8, fast_charging=yes, allowed_on_aircraft=yes

cableclips; Leather Cable Ties, Set of 6; Brightcell; 890
A press stud and a strip of leather: the end of the tangle.
material=leather, pieces=6, braided=no

# Notebooks
sketchbook; Hardback Sketchbook; Quill & Rule; 1690
Paper with a tooth for charcoal and the weight for a wash.
pages=96, paper_g_per_m2=160, acid_free=yes
size: A5 | A4 +500

fivebook; Five-Year Journal; Quill & Rule; 2450
Five lines a day, five years on one page. The ribbon knows where you were.
pages=372, paper_g_per_m2=90, acid_free=yes, undated=yes
de: Fünfjahrestagebuch / Fünf Zeilen am Tag, fünf Jahre auf einer Seite. Das Band weiß, wo du warst.

stickies; Recycled Sticky Notes, 6 Pads; Quill & Rule; 790
They stick twice, and the third time too.
pages=600, pieces=6, acid_free=no

writingpad; Laid Writing Pad; Quill & Rule; 1290
For letters, which are what messages were when they took some effort.
pages=50, paper_g_per_m2=110, acid_free=yes
ruling: Lined | Plain

music; Manuscript Paper Book; Quill & Rule; 1150
Twelve staves a page, and a spine that lies flat on the stand.
pages=64, paper_g_per_m2=120, acid_free=yes

travel; Refillable Leather Travel Journal; Quill & Rule; 4600
A strap, an elastic and room for three booklets and a train ticket.
pages=192, pieces=3, material=leather, paper_g_per_m2=80
colour: Cognac | Black

# Pens & Pencils
ink; Bottled Fountain Pen Ink; Quill & Rule; 1250
Flows, dries and washes out of most things by Tuesday.
content_ml=50, refillable=yes, vegan=yes
colour: Midnight | Oxblood | Fern
de: Füllertinte im Glas / Fließt, trocknet und geht bis Dienstag aus den meisten Dingen wieder heraus.

brush; Brush Pens, Set of 6; Quill & Rule; 1890
Real bristles, from a whisper to a shout. The greys are the best part.
pieces=6, refillable=yes, vegan=yes
set: Greys | Garden

crayons; Beeswax Crayons, 12; Little Thicket; 1390
Fat enough for a fist, clean enough for a mouth.
pieces=12, material=beeswax, vegan=no, fsc_certified=no

mechanical; Drafting Pencil 0.5; Quill & Rule; 2200
Balanced at the tip, with a grip that remembers technical drawing.
material=aluminium, refillable=yes, weight_kg=0.021

eraser; Soft Erasers, 3; Quill & Rule; 450
Lift the line and leave the paper.
pieces=3, vegan=yes, refillable=no

sharpener; Brass Wedge Sharpener; Quill & Rule; 990
Two holes, two blades, one lifetime.
material=brass, refillable=yes, weight_kg=0.031

# Desk Organisers
deskmat; Felt Desk Mat; Harbour & Pine; 3400
Quiets the keyboard and warms the wrists.
material=wool felt, length_cm=90, width_cm=40, vegan=no
colour: Graphite | Oat

bookends; Folded Steel Bookends, Pair; Forge Lane; 2400
A single bend, a rubber sole, and forty volumes stay upright.
material=steel, pieces=2, height_cm=17, stackable=yes
colour: White | Brick

drawerbox; Three-Drawer Desk Box; Quill & Rule; 3900
One drawer for what you need, one for what you might, one for what you forgot.
material=birch, length_cm=33, stackable=yes, height_cm=24

clock; Silent Desk Clock; Lumen Works; 2950
No tick, no glow, no alarm: only the time.
material=walnut, height_cm=9, vegan=yes

letteropener; Brass Letter Opener; Forge Lane; 1850
For post that deserves better than a thumb.
material=brass, length_cm=18, vegan=yes

headstand; Walnut Headphone Stand; Harbour & Pine; 3600
Keeps the headphones off the desk and in shape.
material=walnut, height_cm=26, max_load_kg=2

# Board Games
railways; Narrow Gauge; Table Nine; 4200
Lay track through a valley that has room for one line fewer than there are players.
players_from=2, players_to=5, minutes=75, age_from_years=10, cooperative=no
language: English | German
de: Schmalspur / Verlegt Gleise durch ein Tal, in dem für eine Linie weniger Platz ist, als Spieler da sind.

botanist; The Botanist's Garden; Table Nine; 2900
A quiet game of pressed flowers and polite revenge.
players_from=1, players_to=4, minutes=40, age_from_years=8, cooperative=no
language: English | German

cards; Linen Playing Cards, 2 Packs; Table Nine; 1190
They shuffle like water and survive a holiday.
pieces=110, players_from=1, players_to=8, age_from_years=6

wordgame; Half a Word; Table Nine; 1650
You say the beginning, they say the end, nobody says please.
players_from=3, players_to=10, minutes=20, age_from_years=12, cooperative=yes
language: English | German

chess; Folding Chess Set; Table Nine; 4900
Walnut and maple, weighted and felted, with a lining for each piece.
material=walnut, players_from=2, players_to=2, age_from_years=6
de: Klappbares Schachspiel / Nussbaum und Ahorn, beschwert und befilzt, mit einem Bett für jede Figur.

sleeves; Card Sleeves, 100; Table Nine; 590
For the cards that everybody wants to touch.
material=recycled plastic, pieces=100, age_from_years=6

# Wooden Toys
kitchen; Wooden Play Kitchen; Little Thicket; 12900
Knobs that click, a tap that turns and an oven that never burns.
material=birch, age_from_years=3, fsc_certified=yes, height_cm=95

foodset; Market Vegetables with Knife; Little Thicket; 2400
Each cut makes a noise, and each half finds its other half.
material=beech, pieces=14, age_from_years=2, fsc_certified=yes

bridge; Train Track Bridge and Tunnel; Little Thicket; 2200
More ups, more downs, and somewhere to hide.
material=beech, pieces=9, age_from_years=3, batteries=no

ark; Noah's Ark with 20 Animals; Little Thicket; 5900
Two of each and a roof that comes off for loading.
material=lime wood, pieces=22, age_from_years=2, fsc_certified=yes

xylophone; Tuned Xylophone; Little Thicket; 2600
Actually in tune, which the whole house will thank us for.
material=maple, pieces=2, age_from_years=1, batteries=no
de: Gestimmtes Xylofon / Wirklich gestimmt, wofür das ganze Haus dankbar sein wird.

sorter; Shape Sorting House; Little Thicket; 2300
Eight shapes, eight doors, and the moment when it works.
material=beech, pieces=9, age_from_years=1, fsc_certified=yes

# Puzzles
alpine; Alpine Panorama Jigsaw; Table Nine; 2250
A hut, a train, and a great deal of sky for those who like it hard.
material=recycled board, age_from_years=12, poster_included=yes
pieces: 1000 pieces | 2000 pieces +900

floor; Giant Floor Puzzle; Little Thicket; 1690
A street with everything that has wheels. Pieces as big as a hand.
material=recycled board, age_from_years=3, poster_included=no

burr; Six-Piece Burr; Table Nine; 1450
Comes apart in a minute. That was the easy half.
material=oak, pieces=6, age_from_years=10

puzzlemat; Roll-Up Puzzle Mat; Table Nine; 2400
Dinner at seven, puzzle at eight: roll it up and nothing moves.
material=felt, age_from_years=6, cards=0

logic; Pocket Logic Cards; Table Nine; 990
A hundred problems for trains, queues and waiting rooms.
cards=100, age_from_years=8, pieces=100

maze; Marble Maze; Little Thicket; 2950
Two knobs, sixty holes, one marble and no mercy.
material=birch, age_from_years=6, pieces=3

# Cycling
lock; Folding Bike Lock; Velmark; 6900
Hardened links that fold to the frame. Three keys, one of them for your mother.
certified=Sold Secure Gold, weight_kg=1.2, material=hardened steel
length: 85 cm | 110 cm +1500

pump; Mini Floor Pump; Velmark; 3400
Stands on the ground like a big one, rides in the bag like a small one.
material=aluminium, weight_kg=0.19, pieces=1

bell; Brass Bike Bell; Velmark; 1450
One clear note that asks nicely.
material=brass, weight_kg=0.06
size: Small | Large +300
de: Fahrradklingel aus Messing / Ein klarer Ton, der höflich bittet.

repairkit; Puncture Repair Tin; Velmark; 890
Patches, levers and the little piece of sandpaper that is always missing.
pieces=14, weight_kg=0.11, waterproof=no

childseat; Rear Child Seat; Velmark; 10900
A view, a belt and somewhere to fall asleep.
certified=EN 14344, weight_kg=3.6, waterproof=yes
colour: Grey | Teal

cyclinggloves; Fingerless Cycling Gloves; Velmark; 2400
Padding where the road comes through.
material=recycled polyester, waterproof=no, weight_kg=0.05
size: S | M | L | XL

# Camping
sleepingbag; Three-Season Sleeping Bag; Northfold; 14900
Recycled down to minus five, and a zip that does not bite.
seasons=3, weight_kg=0.98, fill_power=650
length: Regular | Long +1500

sleepmat; Self-Inflating Mat; Northfold; 6900
Breathes in by itself. You may help.
seasons=3, weight_kg=0.75, length_cm=183
width: 51 cm | 63 cm +1200

headlamp; Rechargeable Head Torch; Northfold; 3900
Red for the map, white for the path, and a switch that gloves can find.
lumens=400, battery_hours=30, water_resistance=IPX5, weight_kg=0.08

cookset; Nesting Cook Set; Northfold; 4900
Two pots, a pan and a lid that drains, all in the space of one.
material=aluminium, pieces=4, capacity_ml=1800, weight_kg=0.52
de: Ineinandergestecktes Kochset / Zwei Töpfe, eine Pfanne und ein Deckel zum Abgießen, im Platz von einem.

campchair; Low Camp Chair; Northfold; 7400
Sits low, packs small, and refuses to sink into the sand.
max_load_kg=145, weight_kg=1.1, material=aluminium
colour: Ochre | Night Blue

drybag; Roll-Top Dry Bags, Set of 3; Northfold; 2900
Five litres, ten and twenty: socks, sleeping bag, and everything that must not get wet.
pieces=3, material=recycled nylon, leakproof=yes

# Yoga & Fitness
strap; Cotton Yoga Strap; Still Point; 1250
The length that your arms are missing.
material=organic cotton, length_cm=250, vegan=yes
colour: Plum | Stone

bolster; Buckwheat Bolster; Still Point; 5400
Heavy, quiet and on your side. The cover comes off.
material=organic cotton, weight_kg=2.8, machine_washable=yes
colour: Plum | Ocean

roller; Cork Massage Roller; Still Point; 3200
It hurts where it helps.
material=cork, length_cm=30, weight_kg=0.6, vegan=yes

kettlebell; Enamelled Kettlebell; Still Point; 3900
One piece of iron, no seam, no excuse.
material=cast iron, handles=1, vegan=yes
weight: 8 kg | 12 kg +1400 | 16 kg +2600

rope; Beaded Skipping Rope; Still Point; 1490
Finds its rhythm before you do. Cut it to your height.
material=nylon, length_cm=300, vegan=yes

cushionzafu; Meditation Cushion; Still Point; 4200
Filled with spelt husks that can be taken out until it is right.
material=linen, height_cm=15, machine_washable=yes, vegan=yes
colour: Indigo | Sand
de: Meditationskissen / Gefüllt mit Dinkelspelz, den man herausnehmen kann, bis es passt.
"""
