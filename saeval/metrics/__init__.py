"""What is measured of an SAE: pure functions over tensors, each with one definition.

Statistics of single tokens carry the quantity's name with `token_` or end in `error`, `deviation`
or `entropy`; a function without such a name reduces a whole sample to one number. Tasks add the
statistics of tokens up row by row, so that the same number comes out with an interval.
"""

from saeval.metrics.geometry import nearest_cosines
from saeval.metrics.loss import (
    ce_loss_score,
    cross_entropy,
    kl_div_score,
    kl_divergence,
    logit_chunk,
    losses_in_place,
)
from saeval.metrics.reconstruction import (
    cosine_similarity,
    explained_variance,
    fvu,
    l2_ratio,
    mse,
    relative_reconstruction_bias,
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
    frac_alive,
    freq_over,
    l0,
    l1,
    token_l1,
)

__all__ = [
    "DENSITY_BINS",
    "active_counts",
    "ce_loss_score",
    "cosine_similarity",
    "cross_entropy",
    "density_histogram",
    "explained_variance",
    "frac_alive",
    "freq_over",
    "fvu",
    "kl_div_score",
    "kl_divergence",
    "l0",
    "l1",
    "l2_ratio",
    "logit_chunk",
    "losses_in_place",
    "mse",
    "nearest_cosines",
    "relative_reconstruction_bias",
    "squared_deviation",
    "squared_error",
    "squared_norm",
    "token_cosines",
    "token_dot",
    "token_l1",
    "token_l2_ratios",
]
