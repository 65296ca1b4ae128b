"""The words of the synthetic demo shop: departments, brands and kinds of product.

Everything here is made up for this project. The brand names are invented; a likeness to a real one is chance.
One line of a department's `products` is one kind of product:

    noun; third category level ("-" for none); lowest-highest price; variants; what it is for

A noun with a star comes in no choice of `options` (coffee beans have no colour).
A line that ends with a colon opens a category (the second level). `demo_catalogue.py` parses it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Department:
    """One department: `brands` run from cheap to dear; `option` names the attribute that takes `options`."""

    name: str
    brands: tuple[str, ...]
    option: str
    options: tuple[str, ...]
    features: tuple[str, ...]
    products: str


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


COLOURS = _words("moss, slate, rust, sand, navy, charcoal, cream, brick")

DEPARTMENTS = (
    Department(
        "Outdoor",
        _words("Tarnholt, Fellwicke, Ovrane, Skarrowby, Dunvarra, Ljosmarke, Peregrane, Stonquist"),
        "colour",
        COLOURS,
        _words("recycled material, a repair promise, a small packed size, a low weight, a tidy finish"),
        """
        Shelter:
        tent; Tents; 70-480; 1-person/2-person/4-person/tunnel; for nights under the sky
        tarp; Tarps; 20-130; small/large/hexagonal; that keeps rain off the camp
        bivvy bag; Bivvy Bags; 40-220; short/long/winter; for sleeping out without a tent
        hammock; Hammocks; 25-160; single/double/with mosquito net; slung between two trees
        Sleeping:
        sleeping mat; Sleeping Mats; 20-190; inflatable/foam/self-inflating; that keeps the cold ground away
        sleeping bag; Sleeping Bags; 40-420; summer/three-season/winter/down; for a warm night
        camping pillow; Camping Pillows; 8-45; inflatable/stuffable; that packs to the size of a fist
        Camp Cooking:
        camping stove; Stoves; 25-170; gas/spirit/multi-fuel; that boils water in minutes
        mess kit; Mess Kits; 15-90; solo/two-person/family; of nesting pots and bowls
        water filter; Water Filters; 20-120; squeeze/pump/gravity; for streams and lakes
        vacuum flask; Flasks; 12-60; half-litre/one-litre; for soup at the summit
        Packs & Light:
        hiking backpack; Backpacks; 50-320; 28-litre/45-litre/65-litre; with a breathing back
        headlamp; Headlamps; 15-110; rechargeable/battery/ultralight; for trails after dusk
        trekking poles; Trekking Poles; 20-150; folding/telescopic/fixed; that save the knees
        map case; -; 8-35; A5/A4; that keeps maps dry
        """,
    ),
    Department(
        "Kitchen",
        _words("Marrowby, Copperlune, Ondellette, Brasmere, Panquist, Sauverick, Hearthanne, Vellomar"),
        "colour",
        COLOURS,
        _words("an easy-to-clean finish, a pleasant weight, a timeless shape, a ten-year guarantee"),
        """
        Cookware:
        frying pan; Pans; 18-160; 20 cm/24 cm/28 cm; for eggs and pancakes
        saucepan; Pans; 15-140; 1-litre/2-litre/3-litre; with a pouring rim
        casserole; Casseroles; 35-290; round/oval/shallow; for slow Sunday stews
        wok; Woks; 20-130; flat-bottomed/round-bottomed; for a hot and quick stir-fry
        Knives & Boards:
        chef's knife; Knives; 20-240; 18 cm/20 cm/24 cm; that keeps its edge
        paring knife; Knives; 8-90; straight/curved; for peeling and small cuts
        chopping board; Boards; 10-95; beech/bamboo/end-grain; with a juice groove
        knife sharpener; Sharpeners; 10-120; whetstone/pull-through/steel; for blunt blades
        Baking:
        mixing bowl; Bowls; 8-60; small/medium/large; with a non-slip foot
        loaf tin; Tins; 8-50; one-pound/two-pound/lidded; for sandwich bread
        proving basket; Proving Baskets; 12-40; round/oval; for sourdough
        kitchen scale; Scales; 12-80; digital/mechanical; accurate to the gram
        Table:
        dinner plate; Plates; 6-45; flat/deep/coupe; for every day
        water glass; Glasses; 4-30; tumbler/stemmed/stacking; that stands a fall
        serving spoon; Serving; 5-40; slotted/solid; for the middle of the table
        """,
    ),
    Department(
        "Audio",
        _words("Sonderly, Humquist, Wavelark, Tonebarrow, Echolume, Resonelle, Cantorix, Aurivane"),
        "colour",
        _words("black, white, silver, walnut, oak, midnight blue"),
        _words("spare parts for ten years, an understated look, a solid feel, a five-year guarantee"),
        """
        Headphones:
        over-ear headphones; Over-Ear; 40-480; closed/open/wireless/noise-cancelling; for long listening
        earbuds; In-Ear; 20-260; wireless/wired/sport; that stay put
        headphone stand; Accessories; 12-80; single/double; for a tidy desk
        headphone amplifier; Amplifiers; 60-520; portable/desktop/valve; that wakes up a quiet source
        Hi-Fi:
        turntable; Turntables; 110-900; belt-drive/direct-drive/manual; for a shelf of records
        phono cartridge*; Cartridges; 30-350; moving-magnet/moving-coil; with a fine elliptical tip
        bookshelf speakers; Speakers; 90-850; two-way/active/compact; for small rooms
        integrated amplifier; Amplifiers; 120-980; 40-watt/60-watt/100-watt; for two speakers
        Record Care:
        record brush; Care; 8-40; carbon-fibre/velvet; that lifts dust from the groove
        record sleeves*; Care; 6-30; inner/outer/anti-static; in a pack of fifty
        record crate; Storage; 20-110; stacking/rolling; for eighty albums
        Portable & Studio:
        wireless speaker; Wireless; 30-320; pocket/garden/shower/shelf; for music anywhere
        studio microphone; Microphones; 50-460; condenser/dynamic/ribbon; for voice and guitar
        microphone arm; Studio; 20-110; desk/floor; that holds still
        audio interface; Studio; 60-420; two-channel/four-channel/eight-channel; for home recording
        """,
    ),
    Department(
        "Photography",
        _words("Lumarrow, Iriscombe, Obscurelle, Shutterfen, Focaline, Silvergrane, Aperthorn, Clarivoss"),
        "colour",
        _words("black, silver, graphite, tan, olive"),
        _words("a solid feel, quiet looks, a weatherproof finish, a three-year guarantee"),
        """
        Cameras:
        mirrorless camera; Mirrorless; 380-2400; crop-sensor/full-frame/compact-body; for travel and family
        instant camera; Instant; 60-190; square/wide/mini; that prints on the spot
        film camera; Film; 70-520; 35 mm/half-frame/medium-format; for the slow way
        action camera; Action; 90-460; waterproof/360-degree; for the handlebar
        Lenses:
        portrait lens; Prime; 150-1100; 50 mm/85 mm/105 mm; with a soft background
        wide-angle lens; Prime; 170-1200; 16 mm/24 mm/28 mm; for landscapes and rooms
        zoom lens; Zoom; 160-1600; 24-70 mm/70-200 mm/18-135 mm; for the whole day
        lens filter*; Filters; 12-120; polarising/neutral-density/ultraviolet; against glare
        Supports & Bags:
        tripod; Tripods; 35-420; travel/studio/tabletop; that does not shake
        camera bag; Bags; 25-240; shoulder/sling/backpack; with movable dividers
        camera strap; Straps; 10-80; neck/wrist/cross-body; for all-day carrying
        Storage & Power:
        memory card*; Memory; 10-140; 64 GB/128 GB/256 GB; fast enough for bursts
        spare battery*; Batteries; 15-85; standard/high-capacity; for a second day
        instant film pack*; Film; 9-30; colour/monochrome; of twenty sheets
        photo album; Albums; 12-65; slip-in/black-page/ring-bound; for the best of the year
        """,
    ),
    Department(
        "Stationery",
        _words("Inkwhistle, Paperfenn, Quillarrow, Foliobrook, Scrivelle, Nibsworth, Vellumere, Graphenholm"),
        "colour",
        _words("ink blue, forest, burgundy, sand, black, rose"),
        _words("careful details, a linen-like finish, a solid feel, plain packaging, a long life"),
        """
        Writing:
        fountain pen; Fountain Pens; 15-320; fine/medium/broad/stub; for letters by hand
        bottled ink; Ink; 6-38; 30 ml/50 ml/shimmering; with a calm flow
        rollerball pen; Pens; 4-60; 0.5 mm/0.7 mm; that never skips
        mechanical pencil; Pencils; 4-70; 0.3 mm/0.5 mm/0.9 mm; for drafts and sums
        Paper:
        notebook; Notebooks; 5-42; ruled/dotted/squared/plain; for thoughts on the way
        letter paper*; Letter Paper; 8-45; A5/A4; with matching envelopes
        planner; Planners; 12-60; weekly/daily/undated; for the year ahead
        sketchbook; Sketchbooks; 8-55; smooth/rough/toned; that takes ink and wash
        Art:
        watercolour set*; Colour; 12-160; 12-pan/24-pan/travel; with clean pigments
        brush set; Brushes; 8-90; round/flat/mixed; that keeps a point
        coloured pencils*; Colour; 8-110; 12-piece/24-piece/48-piece; that blend
        Desk:
        pen case; Cases; 8-70; roll/zipped/three-pen; for the good ones
        desk lamp; Lamps; 25-210; clamp/dimmable/reading; with a warm light
        letter tray; Desk Order; 10-65; single/stacking; for what has to wait
        blotter; Desk Order; 9-70; rocker/desk-size; that dries a fresh page
        """,
    ),
    Department(
        "Garden",
        _words("Hoeworth, Loamwick, Greendarrow, Thistlemoor, Sproutelle, Orchardene, Rakenholm, Verdamaine"),
        "colour",
        COLOURS,
        _words("frost-proof materials, a handmade look, a five-year guarantee, a long life"),
        """
        Tools:
        hand trowel; Hand Tools; 6-48; narrow/wide/transplanting; for planting out
        pruning shears; Cutting; 12-95; bypass/anvil/ratchet; for clean cuts
        garden fork; Digging; 18-110; border/digging/hand; for heavy soil
        leaf rake; Raking; 12-65; fan/wooden/folding; for autumn lawns
        Growing:
        seed collection*; Seeds; 4-30; herb/salad/wildflower/tomato; for a first spring
        seed tray; Propagation; 5-35; 24-cell/40-cell/lidded; for the windowsill
        potting compost*; Compost; 5-28; 10-litre/20-litre/40-litre; for young roots
        plant feed*; Feed; 5-32; liquid/granular/seaweed; for a long summer
        Pots & Beds:
        terracotta pot; Pots; 4-70; 14 cm/22 cm/32 cm; that breathes
        raised bed; Raised Beds; 30-260; square/long/tall; for vegetables by the door
        hanging basket; Baskets; 9-55; wire/woven/self-watering; for trailing flowers
        Water & Wildlife:
        watering can; Watering; 9-80; 2-litre/5-litre/10-litre; with a fine rose
        garden hose; Watering; 18-130; 15-metre/30-metre/expanding; that does not kink
        bird feeder; Wildlife; 8-60; seed/suet/window; for winter mornings
        nesting box; Wildlife; 12-75; open-fronted/small-hole; for garden birds
        """,
    ),
    Department(
        "Bicycle",
        _words("Spokeswell, Cadenbury, Pedalwyn, Rollendale, Velmarrow, Crankhaven, Gravellune, Pelotonix"),
        "colour",
        _words("black, red, slate, olive, high-visibility yellow, white"),
        _words("a reflective trim, a low weight, weatherproof materials, a two-year guarantee"),
        """
        Riding:
        bicycle helmet; Helmets; 25-240; small/medium/large; with a good airflow
        cycling gloves; Clothing; 12-75; fingerless/winter/padded; against numb hands
        rain cape; Clothing; 25-150; long/short; for the ride to work
        cycling shorts; Clothing; 25-160; bib/waist/touring; with a seamless pad
        Lights & Locks:
        front light; Lights; 15-160; 40-lux/70-lux/rechargeable; that shows the road
        rear light; Lights; 9-80; seatpost/clip-on/brake-sensing; that is seen from afar
        bicycle lock; Locks; 18-140; folding/chain/U-shaped; for the station
        bicycle bell; Bells; 5-40; ding-dong/single-strike; with a friendly tone
        Parts & Care:
        bicycle tyre; Tyres; 15-85; road/gravel/city/winter; with puncture protection
        inner tube*; Tubes; 4-22; 26-inch/28-inch/light; with a long valve
        floor pump; Pumps; 20-130; steel/compact; with a clear gauge
        chain oil*; Care; 5-28; dry-weather/wet-weather; for a silent drive
        puncture kit*; Care; 4-30; pocket/workshop; for the roadside
        Carrying:
        pannier; Bags; 30-210; single/pair/roll-top; that clicks on
        handlebar bag; Bags; 20-140; small/bikepacking/quick-release; for snacks and phone
        child seat; Child Seats; 60-220; rear/front; for the smallest passenger
        """,
    ),
    Department(
        "Board Games",
        _words("Meeplewick, Dicenholm, Rookerdale, Pawnshire, Tallymoor, Gambrelle, Hexandria, Cardamere"),
        "language",
        _words("English, German, French, Spanish, without words"),
        _words("clear symbols, a linen finish, a sturdy box, rules on two pages, much replay value"),
        """
        Strategy:
        farming strategy game; -; 25-95; two-player/2-4 players/1-5 players; about fields and seasons
        railway strategy game; -; 28-110; 2-4 players/3-5 players; about lines and freight
        trading strategy game; -; 22-90; 2-4 players/3-6 players; about spices and harbours
        expansion box; -; 12-55; small/large; with new roads to the old game
        Family:
        tile-laying game; -; 15-55; 2-4 players/2-6 players; for a rainy afternoon
        cooperative game; -; 15-60; 2-4 players/1-5 players; against the game together
        dexterity game*; -; 12-48; wooden/travel; for steady hands
        memory game*; -; 8-35; picture/sound; for all ages
        Cards & Party:
        trick-taking card game; -; 7-28; 3-5 players/2-player; that fits a pocket
        party word game; -; 12-42; 4-8 players/team; that ends in laughter
        drawing party game; -; 14-45; 4-8 players/3-10 players; for those who cannot draw
        Extras:
        card sleeves*; -; 3-18; standard/square/mini; in a pack of a hundred
        dice set*; -; 5-60; seven-piece/six-sided/metal; with easily read numbers
        game mat*; -; 15-75; 60 cm/90 cm; for quiet dice
        jigsaw puzzle*; -; 10-48; 500-piece/1000-piece/2000-piece; for long evenings
        """,
    ),
    Department(
        "Skin Care",
        _words("Dewmarrow, Calendine, Softhaven, Petalune, Claremoss, Oliveraine, Serenthyl, Auroveil"),
        "scent",
        _words("unscented, rose, citrus, lavender, green tea, cedar"),
        _words("refillable packaging, gentle plant oils, a light feel, short lists of ingredients"),
        """
        Cleansing:
        cleansing foam; Cleansers; 6-42; 100 ml/150 ml/sensitive; for the morning
        cleansing oil; Cleansers; 8-58; 100 ml/200 ml; that lifts make-up
        facial toner; Toners; 7-48; balancing/hydrating/clarifying; for after washing
        facial scrub; Exfoliants; 7-40; fine/enzyme; for once a week
        Moisture:
        day cream; Creams; 9-95; light/rich/tinted; with a matt finish
        night cream; Creams; 12-140; repairing/rich/firming; that works while you sleep
        face serum; Serums; 12-160; brightening/hydrating/calming; to wear under the cream
        eye cream; Creams; 10-98; cooling/smoothing; for short nights
        Sun & Lips:
        sun lotion; Sun Care; 8-46; factor 30/factor 50/children's; that leaves no white film
        after-sun gel; Sun Care; 6-32; cooling/soothing; for warm evenings
        lip balm; Lips; 3-22; stick/pot/tinted; against dry wind
        Body & Hands:
        body lotion; Body; 6-52; 200 ml/400 ml/rich; for dry legs
        hand cream; Hands; 4-30; 50 ml/75 ml/gardener's; that does not stick
        bath salts; Bath; 5-36; relaxing/muscle; for a slow evening
        bar soap; Bath; 3-18; oat/olive/charcoal; that lasts a month
        """,
    ),
    Department(
        "Tea & Coffee",
        _words("Brewhollow, Steepwick, Roastmere, Leafarrow, Cremalune, Portafenn, Infuselle, Caravelline"),
        "colour",
        _words("white, black, celadon, copper, sand, cobalt"),
        _words("an easy-to-clean surface, a repairable design, a timeless shape, a pleasant weight"),
        """
        Coffee:
        coffee beans*; Beans; 7-38; light roast/medium roast/dark roast/decaffeinated; from a small harvest
        coffee grinder; Grinders; 30-420; hand/electric/espresso; with steel burrs
        coffee dripper; Filter Coffee; 8-55; one-cup/two-cup/four-cup; for a clear cup
        paper filters*; Filter Coffee; 3-14; small/large; in a pack of a hundred
        espresso maker; Espresso; 25-680; stovetop/lever/single-boiler; for a short strong cup
        milk jug; Espresso; 10-60; 350 ml/600 ml; for fine foam
        Tea:
        black tea*; Leaf Tea; 5-40; breakfast/smoky/single-garden; for the first pot
        green tea*; Leaf Tea; 6-52; steamed/roasted/jasmine; for the quiet hour
        herbal tea*; Leaf Tea; 4-26; mint/camomile/ginger; for the hour before bed
        teapot; Teapots; 15-150; glass/cast-iron/porcelain; for two or four cups
        Kettles & Cups:
        gooseneck kettle; Kettles; 28-210; stovetop/electric/temperature-controlled; for a steady pour
        tea strainer; Strainers; 4-30; basket/ball/bamboo; for loose leaves
        coffee mug; Cups; 6-42; 250 ml/350 ml/handleless; that holds the heat
        storage tin; Storage; 6-40; 100 g/250 g/airtight; against light and air
        travel cup; Cups; 10-48; 300 ml/450 ml; for the train
        """,
    ),
)
