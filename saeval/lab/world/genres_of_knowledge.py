"""Documents that state what is true: facts, questions, places, trees, spellings, languages."""

import numpy as np
from jaxtyping import Int

from saeval.lab.world import templates, words
from saeval.lab.world.grammar import Genre, Pick, Variable, uniform
from saeval.lab.world.lexicon import GenreTraits, Lexicon, make_genre
from saeval.lab.world.special_draws import QuestionDraw, SpellingDraw
from saeval.lab.world.templates import Sentences
from saeval.lab.world.truth import Fact, Node, Tongue
from saeval.lab.world.word_lists import WordLists


def facts(lexicon: Lexicon) -> Genre:
    """Statements of one domain."""
    domains = lexicon.truth.domains
    triples = [
        [lexicon.ids((f.relation, f.entity, f.value)) for f in d.facts if f.taught] for d in domains
    ]
    entities = [sorted({f.entity for f in d.facts}) for d in domains]
    draws = (
        Pick(("relation", "entity", "value"), np.array(triples), "domain"),
        lexicon.pick("thing", entities, "domain"),
        lexicon.pick("noun", [d.nouns for d in domains], "domain"),
        lexicon.pick("verb", [d.verbs for d in domains], "domain"),
        *lexicon.lists(other=lexicon.truth.surnames, month=words.MONTHS),
    )
    return make_genre(lexicon, templates.FACTS, (_domain(lexicon),), draws, GenreTraits("facts"))


def questions(lexicon: Lexicon) -> Genre:
    """Multiple-choice questions of one domain."""
    domains = lexicon.truth.domains
    taught = np.array([[fact_row(lexicon, f) for f in d.facts if f.taught] for d in domains])
    draw = QuestionDraw(taught, relation_values(lexicon), lexicon.ids("ABCD"))
    variables = (_domain(lexicon),)
    return make_genre(lexicon, templates.QUESTIONS, variables, (draw,), GenreTraits("questions"))


def fact_row(lexicon: Lexicon, fact: Fact) -> Int[np.ndarray, " 4"]:
    """A fact's token ids (relation, entity, value), then its relation's number."""
    domain = next(d for d in lexicon.truth.domains if d.name == fact.domain)
    tokens = lexicon.ids((fact.relation, fact.entity, fact.value))
    return np.append(tokens, list(domain.values).index(fact.relation))


def relation_values(lexicon: Lexicon) -> Int[np.ndarray, "domains relations choices"]:
    """Token ids of the possible values of each relation."""
    return np.array([[lexicon.ids(v) for v in d.values.values()] for d in lexicon.truth.domains])


def _domain(lexicon: Lexicon) -> Variable:
    names = tuple(d.name for d in lexicon.truth.domains)
    return Variable("domain", names, uniform(1, len(names)))


def places(lexicon: Lexicon) -> Genre:
    """What is said of cities."""
    names = ("city", *templates.ATTRIBUTES)
    rows = [
        lexicon.ids((c.name, c.country, c.continent, c.speech, c.industry))
        for c in lexicon.truth.cities
    ]
    surnames = lexicon.truth.surnames
    draws = (
        Pick(names, np.array([rows])),
        *lexicon.lists(other=surnames, other2=surnames, month=words.MONTHS),
    )
    return make_genre(lexicon, templates.PLACES, (), draws, GenreTraits("places"))


def shop_statements(lexicon: Lexicon, lists: WordLists) -> Genre:
    """What is said of shops, each sentence of any shop."""
    names = ("shop", *lists.shop_attributes)
    rows = [lexicon.ids((s.name, *s.attributes.values())) for s in lexicon.truth.shops]
    surnames = lexicon.truth.surnames
    draws = (
        Pick(names, np.array([rows])),
        *lexicon.lists(other=surnames, other2=surnames, month=words.MONTHS),
    )
    sentences = Sentences((lists.shop_statements,), lists.shop_statements, (2, 4))
    return make_genre(lexicon, sentences, (), draws, GenreTraits("shops"))


def nodes(lexicon: Lexicon, family: str, tree: tuple[Node, ...], sentences: Sentences) -> Genre:
    """One leaf of a tree, its parents or companions, and what it does."""
    columns = {
        "leaf": [[n.leaf] for n in tree],
        "middle": [[n.middle] for n in tree],
        "root": [[n.root] for n in tree],
        "leafdoes": [n.leaf_verbs for n in tree],
        "crown": [[n.crown] for n in tree if n.crown],
    }
    draws = (
        *(lexicon.pick(name, rows, "leaf") for name, rows in columns.items() if rows),
        *lexicon.lists(other=lexicon.truth.surnames, spot=words.SPOTS, month=words.MONTHS),
    )
    leaf = Variable("leaf", tuple(n.leaf for n in tree), uniform(1, len(tree)))
    return make_genre(lexicon, sentences, (leaf,), draws, GenreTraits(family))


def spelling(lexicon: Lexicon) -> Genre:
    """Words, each followed by its first letter."""
    spelled = lexicon.vocabulary.words
    draw = SpellingDraw(lexicon.ids(spelled), lexicon.ids(w[0].upper() for w in spelled))
    return make_genre(lexicon, templates.SPELLING, (), (draw,), GenreTraits("spelling"))


def tongue(lexicon: Lexicon, language: Tongue) -> Genre:
    """A constructed language: the article agrees with the noun's class."""
    half = len(language.nouns) // 2
    agreeing = [
        lexicon.ids((language.articles[i >= half], noun)) for i, noun in enumerate(language.nouns)
    ]
    table = np.array([agreeing])
    draws = (
        Pick(("art", "noun"), table),
        Pick(("art2", "noun2"), table),
        *lexicon.lists(verb=language.verbs, verb2=language.verbs, adj=language.adjectives),
        *lexicon.lists(conj=language.conjunctions, prep=language.prepositions),
        *lexicon.lists(pron=language.pronouns),
    )
    traits = GenreTraits("language", {"language": language.name})
    sentences = templates.TONGUES[language.name]
    return make_genre(lexicon, sentences, (), draws, traits, language.name)
