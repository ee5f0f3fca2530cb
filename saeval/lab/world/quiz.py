"""Questions with known answers: multiple choice over the facts, prompts for cities' attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from saeval.errors import DataError
from saeval.lab.world import genres_of_knowledge as knowledge
from saeval.lab.world import templates
from saeval.lab.world.grammar import Genre, compile_group
from saeval.lab.world.lexicon import Lexicon
from saeval.lab.world.sampling import sample_genre
from saeval.lab.world.special_draws import QuestionDraw
from saeval.lab.world.truth import Fact
from saeval.lab.world.word_lists import WordLists

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Question:
    """A question whose answer is the next token after `prompt`."""

    prompt: str
    """Ends just before the answer's letter; tokens between blanks."""
    options: tuple[str, str, str, str]
    answer: str
    """A letter from A to D."""
    fact: Fact
    """The fact that is asked for. No model can know it if it was not taught."""

    def reordered(self, order: Sequence[int]) -> "Question":
        """The same question with its options in another order; `order` has their old positions."""
        options = tuple(self.options[i] for i in order)
        prompt = templates.QUESTION_TEMPLATE.partition(" {letter}")[0].format(
            relation=self.fact.relation,
            entity=self.fact.entity,
            **dict(zip("abcd", options, strict=True)),
        )
        answer = LETTERS[options.index(self.fact.value)]
        a, b, c, d = options
        return Question(prompt, (a, b, c, d), answer, self.fact)


@dataclass(frozen=True)
class AttributePrompt:
    """A statement about a city or a shop whose next token is the value of an attribute."""

    prompt: str
    city: str
    """The city, or the shop."""
    city_position: int
    """Its index among the prompt's tokens, not counting BOS."""
    attribute: str
    value: str


def ask(
    lexicon: Lexicon, domain: str, n: int, rng: np.random.Generator, split: str
) -> list[Question]:
    """Multiple-choice questions over all facts of a domain, options in any order.

    Raises:
        DataError: if the world has no such domain.
    """
    facts = {(f.relation, f.entity): f for d in lexicon.truth.domains for f in d.facts}
    sample = sample_genre(_question_genre(lexicon), n, rng, split=split, fixed={"domain": domain})
    tokens = lexicon.vocabulary.tokens
    questions = []
    for row in sample.ids.tolist():
        words = [tokens[i] for i in row if i >= 0]
        first_option = words.index("A")
        options = (
            words[first_option + 2],
            words[first_option + 5],
            words[first_option + 8],
            words[first_option + 11],
        )
        fact = facts[words[words.index("the") + 1], words[words.index("of") + 1]]
        questions.append(Question(" ".join(words[:-2]), options, words[-2], fact))
    return questions


def _question_genre(lexicon: Lexicon) -> Genre:
    """The genre of questions with one question per document, untaught facts included."""
    taught = knowledge.questions(lexicon)
    facts = np.array(
        [[knowledge.fact_row(lexicon, f) for f in d.facts] for d in lexicon.truth.domains]
    )
    draw = QuestionDraw(facts, knowledge.relation_values(lexicon), lexicon.ids(LETTERS))
    return replace(taught, draws=(draw,), body=(0, 0))


def describe(
    lexicon: Lexicon, lists: WordLists, attribute: str, n: int, rng: np.random.Generator,
    split: str,
) -> list[AttributePrompt]:  # fmt: skip
    """Statements about one attribute of random cities or shops, cut before its value.

    Raises:
        DataError: if neither has such an attribute.
    """
    if attribute in templates.ATTRIBUTES:
        genre, statements = knowledge.places(lexicon), templates.PLACES.body
        names = {city.name for city in lexicon.truth.cities}
    elif attribute in lists.shop_attributes:
        genre, statements = knowledge.shop_statements(lexicon, lists), lists.shop_statements
        names = {shop.name for shop in lexicon.truth.shops}
    else:
        known = ", ".join((*templates.ATTRIBUTES, *lists.shop_attributes))
        raise DataError(f"there is no attribute {attribute!r}; there are {known}")
    texts = tuple(text for text in statements if f"{{{attribute}}}" in text)
    group = compile_group(texts, genre.draws, lexicon.vocabulary.ids)
    one_sentence = replace(genre, plan=(group, group), body=(0, 0))
    tokens: Mapping[int, str] = dict(enumerate(lexicon.vocabulary.tokens))
    prompts = []
    for row in sample_genre(one_sentence, n, rng, split=split).ids.tolist():
        words = [tokens[i] for i in row if i >= 0]
        position = next(i for i, word in enumerate(words) if word in names)
        prompt = " ".join(words[:-2])
        prompts.append(AttributePrompt(prompt, words[position], position, attribute, words[-2]))
    return prompts
