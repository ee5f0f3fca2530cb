"""Rows for the preflight if no task prepared any: the lab's texts, or a page of English."""

from collections.abc import Sequence

from saeval.activations import ActivationSource, TokenRows
from saeval.errors import ModelError
from saeval.lab import DOCUMENT_PARTS, part_of, text

PASSAGES = tuple(
    """\
The ferry left the harbour a little after six, when the lamps along the quay were still lit. Maria
counted eleven passengers, most of them carrying baskets for the market on the other side of the
bay. She had taken this boat every Thursday for nine years and knew each of the islands by the
shape of its trees.

Interest rates rose again in March, for the third time in a year. Analysts at two large banks had
expected a pause, since prices of food and fuel fell slightly over the winter. The ministry said
that it would publish a new forecast before the end of the month, and that wages in the public
sector would follow it.

To make the dough, mix five hundred grams of flour with a spoonful of salt and a little yeast. Add
warm water slowly, stirring with one hand, until nothing sticks to the bowl. Cover it and leave it
in a warm place for two hours. Bake at 220 degrees until the crust sounds hollow.

A cell copies its genetic material before it divides. Proteins unwind the double strand, and an
enzyme moves along each half, adding the matching bases one after another. Mistakes are rare, about
one in ten million, and most of them are found and repaired within minutes.

def mean(values):
    total = 0.0
    for value in values:
        total += value
    if not values:
        raise ValueError("no values")
    return total / len(values)

print(mean([1.5, 2.5, 8]))  # prints 4.0; for i in range(3): print(i, mean([i, 2 * i]))

The second half began badly for the visitors. A long pass from the left found Okafor alone in front
of the goal, and he scored his fourteenth of the season. Ten minutes later the referee sent off a
defender, and from then on the home side hardly lost the ball.

Dear Mr. Lindqvist, thank you for your letter of 12 April. We regret that the chairs arrived
damaged, and will collect them at our own cost. Please let us know which day suits you best; our
driver is in your part of the city on Mondays and Wednesdays. Yours sincerely, H. Brandt

In 1872 the council decided to drain the marsh south of the old wall. The work took eleven years
and cost four times what had been planned, but the fever that had returned every summer was gone.
Streets were laid out in straight lines, and the first school opened in 1886.
""".split("\n\n")
)
"""Short texts of several kinds, about six hundred tokens in all."""
SAMPLE_CONTEXT = 128
"""Maximum number of tokens per passage."""
LAB_DOCUMENTS = 16
"""Number of the lab's documents that its own models read, since they know no English."""


def rows_to_look_at(
    source: ActivationSource, texts: Sequence[str] | None = None
) -> TokenRows | None:
    """Rows for the preflight if no task prepared any; None if the source can read no text.

    Args:
        source: The source that is to read the rows.
        texts: The user's texts; None: the lab's for a model of the lab, else `PASSAGES`.
    """
    if source.stored_rows is not None:
        return source.stored_rows
    context = min(SAMPLE_CONTEXT, source.context)
    passages = texts or _lab_texts(source.name) or PASSAGES
    try:
        return source.tokenize(passages, name="passages", context=context, overflow="truncate")
    except ModelError:  # the source has no tokenizer
        return None


def _lab_texts(model: str) -> Sequence[str] | None:
    """Texts for a model of the lab; None for all other models."""
    part = part_of(model)
    return text(part, documents=LAB_DOCUMENTS) if part in (*DOCUMENT_PARTS, "othello") else None
