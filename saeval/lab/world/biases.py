"""How far one attribute of a text follows from another, for studies of spurious correlation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Biases:
    """One number for each correlated pair of attributes, from -1 to 1.

    At 0 the two are independent. At 1 every second value of the first attribute goes with one half
    of the second's values alone, and the others with the other half.
    """

    gender: float = 0.0
    """Gender from profession, in biographies."""
    rating: float = 0.0
    """Rating (below or above the middle one) from product category, in reviews."""
    place: float = 0.0
    """Continent from topic, in the town's dispatches."""
    mood: float = 0.0
    """The buyer's mood from the price, at the town's markets."""
    feeling: float = 0.0
    """Who is acted upon, a woman or a man, from what is done, in the town's deeds."""


UNBIASED = Biases()
"""All attributes are independent."""
