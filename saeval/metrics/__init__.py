"""What is measured of an SAE: pure functions over tensors, each with one definition.

They return statistics of single tokens, units or latents, never a finished score. A task stores
their sums as evidence, and a score is the ratio of two sums. So the function that is tested is the
one that is reported. A metric's record in `tasks/<task>/metrics.py`, and `saeval describe METRIC`,
name the functions that it uses.
"""

from saeval.metrics.geometry import nearest_cosines
from saeval.metrics.loss import (
    cross_entropy,
    harm_at_stake,
    harm_avoided,
    kl_divergence_in_place,
    logit_chunk,
    losses_in_place,
)
from saeval.metrics.reconstruction import (
    directed,
    explained,
    squared_deviation,
    squared_error,
    squared_norm,
    token_cosines,
    token_dot,
    token_l2_ratios,
)
from saeval.metrics.sparsity import (
    DENSITY_BINS,
    active_counts,
    density_histogram,
    is_alive,
    is_denser,
    token_l0,
    token_l1,
    token_sums,
)

__all__ = [
    "DENSITY_BINS",
    "active_counts",
    "cross_entropy",
    "density_histogram",
    "directed",
    "explained",
    "harm_at_stake",
    "harm_avoided",
    "is_alive",
    "is_denser",
    "kl_divergence_in_place",
    "logit_chunk",
    "losses_in_place",
    "nearest_cosines",
    "squared_deviation",
    "squared_error",
    "squared_norm",
    "token_cosines",
    "token_dot",
    "token_l0",
    "token_l1",
    "token_l2_ratios",
    "token_sums",
]
