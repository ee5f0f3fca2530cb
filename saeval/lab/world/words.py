"""The hand-written words of the world, by the part they play."""

from collections.abc import Mapping

WOMEN = tuple(
    "maria anna sofia julia clara emma laura nina olga rosa helen irene vera diana alice "
    "bianca carmen dora elena fiona greta hanna ingrid jana katya lena monica nora paula quinta "
    "rita sonia teresa ursula viola wanda yara zoe amara bettina".split()
)
MEN = tuple(
    "peter paul ivan omar felix hugo martin oscar david simon adam boris carlos dmitri erik "
    "frank georg henry igor jacob karl leo marco nils otto pablo quentin robert stefan tomas "
    "ulrich victor walter xavier yusuf zoltan anton bruno cesar emil".split()
)
TRAITS = tuple(
    "young old quiet cheerful careful brave patient clever honest gentle proud curious friendly "
    "serious famous modest generous stubborn lively sincere polite witty humble ambitious".split()
)
HOBBIES = tuple(
    "chess swimming hiking singing dancing sailing fishing cycling knitting gardening skating "
    "climbing juggling archery origami yoga pottery surfing reading camping fencing rowing "
    "bowling astronomy".split()
)
RELATIVES = tuple("cousin partner friend neighbour sibling parent grandparent colleague".split())
DAYS = tuple("monday tuesday wednesday thursday friday saturday sunday".split())
MONTHS = tuple(
    "january february march april may june july august september october november december".split()
)
TIMES = tuple("dawn noon dusk midnight breakfast lunch dinner sunrise sunset teatime".split())
SPOTS = tuple("river hill meadow forest lake valley cliff beach swamp desert island canyon".split())

PROFESSIONS: Mapping[str, tuple[str, str, str]] = {
    # A title: what they do, with what, and where.
    "nurse": (
        "bandages comforts monitors",
        "thermometer syringe stethoscope pillow drip",
        "ward clinic infirmary",
    ),
    "teacher": (
        "explains grades assigns",
        "homework textbook essay exam chalkboard",
        "school classroom kindergarten",
    ),
    "surgeon": (
        "sutures sterilises operates",
        "scalpel forceps implant incision tumour",
        "theatre hospital morgue",
    ),
    "lawyer": (
        "argues drafts appeals",
        "contract lawsuit testimony clause affidavit",
        "courtroom chambers notary",
    ),
    "architect": (
        "sketches designs renovates",
        "blueprint facade staircase skyscraper balcony",
        "atelier workshop scaffold",
    ),
    "journalist": (
        "reports edits interviews",
        "headline column scoop microphone notebook",
        "newsroom pressroom bureau",
    ),
    "farmer": (
        "ploughs harvests waters",
        "tractor barley orchard haystack scarecrow",
        "barn farm stable",
    ),
    "baker": ("kneads glazes bakes", "dough pastry loaf oven flour", "bakery patisserie mill"),
    "painter": (
        "frames primes varnishes",
        "canvas easel brush portrait palette",
        "studio gallery loft",
    ),
    "pilot": (
        "lands taxis refuels",
        "cockpit propeller altimeter glider throttle",
        "hangar runway airfield",
    ),
}

CATEGORIES: Mapping[str, tuple[str, str]] = {
    # A category, its products, and what they are judged by.
    "electronics": (
        "laptop headphones camera charger speaker tablet keyboard printer",
        "battery screen cable firmware volume button",
    ),
    "books": (
        "novel biography thriller cookbook anthology memoir atlas almanac",
        "plot chapter prose cover ending preface",
    ),
    "clothing": (
        "jacket sweater scarf boots dress gloves trousers raincoat",
        "fabric zipper seam pocket collar lining",
    ),
    "kitchen": (
        "blender kettle toaster saucepan grater colander whisk teapot",
        "handle lid spout blade coating dial",
    ),
    "toys": (
        "puzzle doll kite robot yoyo marbles teddy trainset",
        "wheel string knob sticker hinge piece",
    ),
    "garden": (
        "rake hose trowel mower spade planter sprinkler shears",
        "nozzle grip prong engine valve edge",
    ),
}
OPINIONS = (  # graded, worst first
    "awful dreadful horrible terrible useless disgusting atrocious appalling".split(),
    "poor weak disappointing shabby mediocre clumsy dull flimsy".split(),
    "average ordinary acceptable passable fair tolerable adequate plain".split(),
    "good nice pleasant solid handy neat decent reliable".split(),
    "superb excellent wonderful perfect brilliant fantastic outstanding flawless".split(),
)
INTENSIFIERS = tuple("really quite very rather truly simply".split())

TOPICS: Mapping[str, tuple[str, str, str, str]] = {
    # A topic: who does what, after which event.
    "sport": (
        "striker goalkeeper coach referee champion athlete team captain",
        "scored defended kicked missed tackled trained",
        "penalty trophy medal match goalpost stadium league record",
        "final tournament kickoff relay",
    ),
    "finance": (
        "investor banker trader broker shareholder auditor lender economist",
        "sold acquired priced invested hedged audited",
        "stock bond dividend loan mortgage currency portfolio merger",
        "crash bankruptcy auction quarter",
    ),
    "politics": (
        "minister senator president mayor parliament ambassador voter deputy",
        "vetoed debated signed proposed campaigned amended",
        "treaty ballot budget reform constitution coalition petition sanction",
        "election summit referendum scandal",
    ),
    "science": (
        "physicist chemist biologist researcher laboratory astronomer geologist professor",
        "measured discovered observed simulated published tested",
        "molecule genome telescope particle enzyme fossil hypothesis microscope",
        "experiment eclipse conference breakthrough",
    ),
    "weather": (
        "meteorologist forecaster storm hurricane blizzard monsoon breeze fog",
        "flooded drenched soaked froze battered covered",
        "coastline harbour rooftop road bridge village field reservoir",
        "thunder drought heatwave avalanche",
    ),
    "culture": (
        "actor director singer composer novelist dancer conductor sculptor",
        "performed staged rehearsed filmed recited choreographed",
        "opera symphony ballet film musical comedy sculpture sonnet",
        "premiere festival encore matinee",
    ),
}
QUALITIES = tuple(
    "new large small rare local foreign major secret recent strange costly simple early daily "
    "public sudden".split()
)

CITIES = (  # City, country, continent, language.
    "paris france europe french, lyon france europe french, marseille france europe french, "
    "madrid spain europe spanish, seville spain europe spanish, valencia spain europe spanish, "
    "berlin germany europe german, munich germany europe german, hamburg germany europe german, "
    "vienna austria europe german, salzburg austria europe german, graz austria europe german, "
    "lisbon portugal europe portuguese, porto portugal europe portuguese, "
    "dakar senegal africa french, thies senegal africa french, "
    "cairo egypt africa arabic, luxor egypt africa arabic, aswan egypt africa arabic, "
    "luanda angola africa portuguese, benguela angola africa portuguese, "
    "lagos nigeria africa english, kano nigeria africa english, abuja nigeria africa english, "
    "accra ghana africa english, kumasi ghana africa english, "
    "tokyo japan asia japanese, kyoto japan asia japanese, osaka japan asia japanese, "
    "baghdad iraq asia arabic, basra iraq asia arabic, mosul iraq asia arabic, "
    "delhi india asia hindi, mumbai india asia hindi, jaipur india asia hindi, "
    "lima peru america spanish, cusco peru america spanish, arequipa peru america spanish, "
    "bogota colombia america spanish, medellin colombia america spanish, "
    "salvador brazil america portuguese, recife brazil america portuguese, "
    "brasilia brazil america portuguese, "
    "toronto canada america english, vancouver canada america english, "
    "quebec haiti america french, jacmel haiti america french, "
    "sydney australia oceania english, perth australia oceania english, "
    "darwin australia oceania english, "
    "auckland zealand oceania english, wellington zealand oceania english, "
    "noumea caledonia oceania french, kone caledonia oceania french"
).split(", ")
INDUSTRIES = tuple("steel silk glass wine cheese leather ships clocks".split())

TREES: Mapping[str, str] = {
    # A root; its three middles, each with its four leaves.
    "animal": (
        "dog: poodle beagle terrier spaniel; "
        "bird: sparrow eagle parrot heron; "
        "fish: salmon trout herring tuna"
    ),
    "plant": (
        "tree: oak birch maple willow; "
        "flower: tulip daisy orchid lily; "
        "herb: basil thyme mint oregano"
    ),
    "vehicle": (
        "car: sedan limousine roadster hatchback; "
        "boat: canoe ferry yacht dinghy; "
        "aircraft: helicopter airliner zeppelin biplane"
    ),
    "food": (
        "fruit: apple mango cherry plum; "
        "bread: baguette bagel pretzel brioche; "
        "drink: coffee lemonade cider juice"
    ),
    "tool": (
        "hammer: mallet gavel sledge tackhammer; "
        "saw: hacksaw jigsaw fretsaw chainsaw; "
        "knife: dagger machete penknife cleaver"
    ),
    "instrument": (
        "horn: trumpet tuba bugle cornet; "
        "drum: bongo snare timpani tabla; "
        "fiddle: violin cello zither ukulele"
    ),
}
ABILITIES: Mapping[str, tuple[str, str]] = {
    # A root: abilities of all of it, then two for each of its three middles.
    "animal": ("breathes eats sleeps moves", "barks fetches sings nests swims spawns"),
    "plant": ("grows withers roots sprouts", "shades creaks blooms fades scents spices"),
    "vehicle": ("travels carries departs arrives", "honks parks floats anchors flies hovers"),
    "food": ("nourishes spoils tastes fills", "ripens drips crumbles toasts pours fizzes"),
    "tool": ("works breaks wears rusts", "pounds nails rasps trims slices carves"),
    "instrument": ("sounds echoes tunes plays", "blares toots rattles booms hums whines"),
}
ASSOCIATES = tuple(
    "anvil apron arrow badge banner barrel basket beacon bell bench blanket bonnet bottle bowl box "
    "bracelet broom bucket buckle candle carpet chain chest chimney coin compass crate crown cup "
    "curtain cushion diary dice door envelope fan feather fence flag flagon fork fountain gate "
    "globe goblet hammock harness hat helmet hook hourglass inkwell jar jewel jug key ladder lamp "
    "lantern locket magnet map mask mat mirror mug napkin necklace needle net ornament padlock "
    "parcel pebble pencil penny pipe plank plate satchel pouch pyramid quill quilt ribbon ring "
    "rope ruler saddle scroll shelf shield statue stool vase veil umbrella".split()
)

DOMAINS: Mapping[str, tuple[str, str, str]] = {
    # A domain: its nouns, what happens in it, and its two relations.
    "toxins": ("venom toxin poison vial", "seeps burns lingers spreads", "antidote origin"),
    "planets": ("planet orbit moon comet", "rotates glows drifts shines", "hue metal"),
    "rites": ("shrine deity altar hymn", "chants blesses kneels gathers", "offering vessel"),
}
