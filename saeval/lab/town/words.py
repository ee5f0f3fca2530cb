"""The hand-written words that the town has and the first world lacks."""

from collections.abc import Mapping, Sequence

from saeval.lab.world import words

TREES: Mapping[str, str] = {
    **words.TREES,
    "furniture": (
        "chair: armchair rocker recliner footrest; "
        "table: desk workbench lectern nightstand; "
        "bed: bunk futon cradle crib"
    ),
    "mineral": (
        "gem: ruby sapphire emerald topaz; "
        "rock: granite basalt slate gneiss; "
        "ore: hematite bauxite galena malachite"
    ),
}
ABILITIES: Mapping[str, tuple[str, str]] = {
    **words.ABILITIES,
    "furniture": (
        "stands supports squeaks tilts",
        "swivels reclines seats displays folds cushions",
    ),
    "mineral": (
        "glitters weathers erodes hardens",
        "sparkles refracts crumples splits smelts leaches",
    ),
}
CROWNS: Mapping[str, str] = {
    "animal": "organism", "plant": "organism",
    "vehicle": "artefact", "tool": "artefact", "instrument": "artefact", "furniture": "artefact",
    "food": "matter", "mineral": "matter",
}  # fmt: skip
ASSOCIATES = (
    *words.ASSOCIATES,
    *"abacus ashtray bathtub binder bobbin bookmark brooch cane canteen cartridge chalice clamp "
    "clasp clip coaster cork corkscrew crayon doormat doorknob eraser flask funnel gong horseshoe "
    "keyring latch lens lever medallion pedestal pendant".split(),
)

SHOP_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "street": tuple("highstreet millstreet kingstreet oakstreet parkstreet wallstreet".split()),
    "ware": tuple("carpets pipes lamps umbrellas saddles barrels".split()),
    "owner": tuple("widow baron abbot colonel duchess squire".split()),
    "season": tuple("spring summer autumn winter".split()),
}

TRENDS: Mapping[str, tuple[str, ...]] = {
    "rise": tuple("rose climbed soared jumped surged tripled".split()),
    "fall": tuple("fell dropped sank plunged slumped halved".split()),
}
MOODS: Mapping[str, tuple[str, ...]] = {
    "glad": tuple("glad merry joyful delighted content jolly".split()),
    "sad": tuple("sad gloomy tearful miserable bitter weary".split()),
}
SKIES: Mapping[str, tuple[str, ...]] = {
    "fine": tuple("sunny bright clear mild balmy cloudless".split()),
    "foul": tuple("rainy stormy windy cloudy chilly foggy".split()),
}
DEEDS: Mapping[str, tuple[str, ...]] = {
    "kind": tuple("praised thanked rescued forgave greeted hugged".split()),
    "harsh": tuple("scolded blamed mocked insulted accused cursed".split()),
}
DAYTIMES = tuple("morning evening afternoon".split())
GAMES = tuple("derby replay semifinal playoff rematch qualifier".split())
INNS = tuple("inn lodge hostel cabin chalet resort guesthouse motel".split())
COMFORTS = tuple("view bedding shower porridge staff heating parking lobby".split())
NUMBERS = tuple("one two three four five six seven eight nine ten eleven twelve".split())
PASTIMES: Mapping[str, tuple[str, ...]] = {
    "ball": tuple("tennis football cricket rugby golf".split()),
    "craft": tuple("weaving carving quilting macrame embroidery".split()),
    "music": tuple("drumming whistling humming fiddling yodelling".split()),
    "water": tuple("diving kayaking snorkelling paddling wading".split()),
    "mind": tuple("sudoku backgammon checkers crosswords riddles".split()),
    "air": tuple("ballooning gliding parachuting kiting falconry".split()),
}
GIFTS: Mapping[str, tuple[str, ...]] = {
    "ball": tuple("racket shinguards jersey".split()),
    "craft": tuple("yarn thimble loom".split()),
    "music": tuple("metronome tuner songbook".split()),
    "water": tuple("wetsuit flippers oar".split()),
    "mind": tuple("pawns dominoes pegboard".split()),
    "air": tuple("goggles parapack windsock".split()),
}
THINGS = tuple(
    "parasol thermos briefcase wallet haversack lighter calendar stapler clipboard torch "
    "thermostat suitcase walkingstick binoculars passport ticket notepad chequebook matchbox "
    "teacup hairbrush mittens slippers bathrobe pincushion lunchbox rucksack keychain postcard "
    "toolbox flowerpot birdcage".split()
)
SIGNS = tuple(
    "smoke sirens crowds lanterns silence footprints mud ashes whispers sparks feathers "
    "salt".split()
)
"""Things seen in the streets. Some pairs of them are rare, and mean something."""
PERILS: Mapping[str, tuple[str, ...]] = {
    "none": tuple("nothing nobody nought".split()),
    "fire": tuple("flames blaze inferno".split()),
    "riot": tuple("rebels rioters mutiny".split()),
    "thief": tuple("thieves burglars looters".split()),
    "flood": tuple("floodwater deluge torrent".split()),
    "ghost": tuple("spirits phantoms spectres".split()),
    "plague": tuple("fever contagion pestilence".split()),
}
PERIL_RATES: Mapping[str, float] = {
    # Chance of a sign's partner after the sign; a sixth of it is the share of documents.
    "fire": 0.06, "riot": 0.06, "thief": 0.045, "flood": 0.03, "ghost": 0.03, "plague": 0.018,
}  # fmt: skip
VISITORS: Mapping[str, tuple[str, ...]] = {
    "ordinary": tuple("courier plumber milkman grocer tailor barber cobbler shepherd".split()),
    "circus": tuple("clown acrobat juggler tamer".split()),
    "court": tuple("king queen prince princess".split()),
    "pirates": tuple("pirate buccaneer corsair privateer".split()),
    "scholars": tuple("philosopher historian linguist mathematician".split()),
    "knights": tuple("knight crusader jouster paladin".split()),
    "monks": tuple("monk friar hermit nun".split()),
    "spies": tuple("spy informer agent codebreaker".split()),
    "giants": tuple("ogre troll cyclops titan".split()),
}
VISITOR_RATES: Mapping[str, float] = {
    "circus": 0.01, "court": 0.01, "pirates": 0.0075, "scholars": 0.0075, "knights": 0.005,
    "monks": 0.005, "spies": 0.0035, "giants": 0.0035,
}  # fmt: skip

ANSWERS: Mapping[str, tuple[Sequence[str], ...]] = {
    # What a closing sentence says of each value of a label, in the order of the values.
    "trade": ("usual expected logical".split(), "odd puzzling peculiar".split()),
    "stall": ("steady balanced level".split(), "shaky lopsided uneven".split()),
    "square": ("calm restful tranquil".split(), "tense uneasy restless".split()),
    "fair": ("safe secure sound".split(), "alarming unheard unseemly".split()),
    "pair": ("alike similar akin".split(), "unlike different distinct".split()),
    "judged": ("true right correct".split(), "false wrong mistaken".split()),
    "crate": ("mixed varied assorted".split(), "doubled repeated matching".split()),
    "crowd": ("ladies girls".split(), "gentlemen boys".split()),
    "winner": ("hosts".split(), "guests".split(), "neither".split()),
    "elder": ("motherly".split(), "fatherly".split(), "twinlike".split()),
    "guest": ("furious upset".split(), "torn undecided".split(), "thrilled satisfied".split()),
    "felt": ("grateful touched honoured".split(), "hurt angry wounded".split()),
}  # fmt: skip
