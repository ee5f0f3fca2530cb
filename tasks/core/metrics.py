"""Every metric of `core`: its formula in words, its unit, its direction, its anchors.

Sums run over all tokens that count (not BOS, EOS or padding) before any ratio is taken. y is the
activation that the SAE reconstructs, y_hat its reconstruction.
"""

from saeval.evidence import NULL_SAE, Metric

POPULATION = "new rows of the same kind: texts of the same source, or activations"
LATENTS = "no interval of one seed, as every latent is counted; of three or more: what seeds move"
NEIGHBOURS = "all latents of this SAE, where only a sample of them is compared"

# --- reconstruction and sparsity

L0 = Metric(
    "l0",
    unit="latents per token",
    better="none",
    bounds=(0, None),
    formula="Number of active latents (not 0) of each token, mean over all tokens.",
    functions=("saeval.metrics.sparsity:token_l0",),
    distrust="to rank SAEs: compare other scores at equal `l0`.",
)
L1 = Metric(
    "l1",
    unit="summed |acts| per token",
    better="none",
    bounds=(0, None),
    formula="Sum of |acts| of each token, mean over all tokens, in the units of the library that "
    "wrote the SAE.",
    functions=("saeval.metrics.sparsity:token_l1",),
    distrust="across SAEs, which scale their latents differently.",
)
FVU = Metric(
    "fvu",
    unit="fraction",
    better="lower",
    bounds=(0, None),
    formula="Fraction of variance unexplained: sum of |y - y_hat|^2 over all tokens, divided by "
    "the sum of |y - mean of y|^2. One ratio of two sums, never a mean of ratios. 0 is exact, 1 "
    "is the mean alone, above 1 is worse than the mean.",
    functions=(
        "saeval.metrics.reconstruction:squared_error",
        "saeval.metrics.reconstruction:squared_deviation",
    ),
    distrust="at different `l0`, or where a few huge dimensions are most of the variance.",
    floor=NULL_SAE,
    ceiling=0,
    undefined="all activations are equal",
    source="https://en.wikipedia.org/wiki/Fraction_of_variance_unexplained, for vectors",
)
EXPLAINED_VARIANCE = Metric(
    "explained_variance",
    unit="fraction",
    better="higher",
    bounds=(None, 1),
    formula="1 - fvu: sum of |y - mean of y|^2 - |y - y_hat|^2 over all tokens, divided by the sum "
    "of |y - mean of y|^2.",
    functions=(
        "saeval.metrics.reconstruction:explained",
        "saeval.metrics.reconstruction:squared_error",
        "saeval.metrics.reconstruction:squared_deviation",
    ),
    distrust="at different `l0`, or where a few huge dimensions are most of the variance.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="all activations are equal",
)
MSE = Metric(
    "mse",
    unit="squared activation per dimension",
    better="lower",
    bounds=(0, None),
    formula="Sum of |y - y_hat|^2 over all tokens, divided by the number of tokens times the "
    "number of dimensions.",
    functions=("saeval.metrics.reconstruction:squared_error",),
    distrust="across models or sites: it scales with the activations.",
    floor=NULL_SAE,
    ceiling=0,
)
COSINE_SIMILARITY = Metric(
    "cosine_similarity",
    unit="cosine",
    better="higher",
    bounds=(-1, 1),
    formula="Cosine of the angle between y and y_hat of each token, mean over the tokens whose y "
    "is not zero; 0 where y_hat is zero.",
    functions=(
        "saeval.metrics.reconstruction:token_cosines",
        "saeval.metrics.reconstruction:directed",
    ),
    distrust="where activations share a large mean: any SAE comes near 1.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="all activations are zero",
)
L2_RATIO = Metric(
    "l2_ratio",
    unit="ratio",
    better="none",
    bounds=(0, None),
    formula="|y_hat| / |y| of each token, mean over the tokens whose y is not zero. Below 1 the "
    "SAE shrinks.",
    functions=(
        "saeval.metrics.reconstruction:token_l2_ratios",
        "saeval.metrics.reconstruction:directed",
    ),
    distrust="alone: pure noise of the right length has 1.",
    undefined="all activations are zero",
)
RELATIVE_RECONSTRUCTION_BIAS = Metric(
    "relative_reconstruction_bias",
    unit="ratio",
    better="none",
    formula="Sum of |y_hat|^2 over all tokens, divided by the sum of the inner products of y and "
    "y_hat. 1 is no bias, below 1 the reconstruction is too short; the inverse is the factor that "
    "would make it fit best.",
    functions=(
        "saeval.metrics.reconstruction:squared_norm",
        "saeval.metrics.reconstruction:token_dot",
    ),
    distrust="alone: no bias does not mean small error.",
    undefined="the reconstruction does not point along the activations",
    source="https://arxiv.org/abs/2404.16014 (gated SAEs; there called gamma)",
)

# --- the model's predictions. Cross-entropy (CE) is taken at counted tokens that
# a counted one follows, KL at every counted token.

CE_LOSS_WITH_SAE = Metric(
    "ce_loss_with_sae",
    unit="nats",
    better="lower",
    bounds=(0, None),
    formula="Next-token cross-entropy, -log q(next token), with the activation replaced by its "
    "reconstruction at every token that counts; mean over the tokens that count and that another "
    "one that counts follows.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="across models or texts.",
    floor=NULL_SAE,
)
CE_LOSS_WITHOUT_SAE = Metric(
    "ce_loss_without_sae",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="Next-token cross-entropy of the untouched model, mean over the same tokens as "
    "`ce_loss_with_sae`.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="as a score: it does not depend on the SAE.",
)
CE_LOSS_WITH_ABLATION = Metric(
    "ce_loss_with_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="Next-token cross-entropy with the activation replaced by zeros at every token that "
    "counts, mean over the same tokens as `ce_loss_with_sae`.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="as a score: it does not depend on the SAE.",
)
CE_LOSS_WITH_MEAN_ABLATION = Metric(
    "ce_loss_with_mean_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="Next-token cross-entropy with the activation replaced by its mean over all tokens at "
    "every token that counts, mean over the same tokens as `ce_loss_with_sae`.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="as a score: it does not depend on the SAE.",
)
CE_LOSS_SCORE = Metric(
    "ce_loss_score",
    unit="fraction",
    better="higher",
    formula="Of the loss that zeros at the site would add, the share that the SAE avoids: (CE with "
    "zeros - CE with the reconstruction) / (CE with zeros - CE of the untouched model), each "
    "summed over the same tokens before the division. 1 costs nothing, 0 is as bad as zeros. 1 is "
    "no bound: a reconstruction may happen to predict better, as on texts the model never learnt.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:harm_at_stake",
        "saeval.metrics.loss:cross_entropy",
    ),
    distrust="near 1: zeros in a residual stream do so much harm that poor SAEs score high too. "
    "Look at `ce_loss_score_mean_ablation` and at a null beside it.",
    floor=NULL_SAE,
    undefined="zero ablation does not raise the loss",
    source="SAEBench, evals/core/main.py (`ce_loss_score`)",
)
CE_LOSS_SCORE_MEAN_ABLATION = Metric(
    "ce_loss_score_mean_ablation",
    unit="fraction",
    better="higher",
    formula="Of the loss that the mean activation at the site would add, the share that the SAE "
    "avoids: (CE with the mean - CE with the reconstruction) / (CE with the mean - CE of the "
    "untouched model), each summed over the same tokens before the division. 1 costs nothing, "
    "and is no bound, as of `ce_loss_score`.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:harm_at_stake",
        "saeval.metrics.loss:cross_entropy",
    ),
    distrust="where mean ablation hardly hurts: the denominator is then noise.",
    floor=NULL_SAE,
    undefined="mean ablation does not raise the loss",
)
KL_DIV_WITH_SAE = Metric(
    "kl_div_with_sae",
    unit="nats",
    better="lower",
    bounds=(0, None),
    formula="KL divergence, sum of p (log p - log q) over the vocabulary, from the untouched "
    "model's predictions p to those with the reconstruction in place, q; mean over all tokens.",
    functions=("saeval.metrics.loss:kl_divergence_in_place",),
    distrust="across models or texts.",
    floor=NULL_SAE,
    ceiling=0,
)
KL_DIV_WITH_ABLATION = Metric(
    "kl_div_with_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="KL divergence from the untouched model's predictions to those with zeros in place of "
    "the activation, mean over all tokens.",
    functions=("saeval.metrics.loss:kl_divergence_in_place",),
    distrust="as a score: it does not depend on the SAE.",
)
KL_DIV_WITH_MEAN_ABLATION = Metric(
    "kl_div_with_mean_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="KL divergence from the untouched model's predictions to those with the mean "
    "activation in place, mean over all tokens.",
    functions=("saeval.metrics.loss:kl_divergence_in_place",),
    distrust="as a score: it does not depend on the SAE.",
)
KL_DIV_SCORE = Metric(
    "kl_div_score",
    unit="fraction",
    better="higher",
    bounds=(None, 1),
    formula="(KL with zeros - KL with the reconstruction) / KL with zeros, each summed over the "
    "same tokens before the division. 1 leaves predictions as they are, 0 is as bad as zeros.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:kl_divergence_in_place",
    ),
    distrust="near 1: zeros in a residual stream do so much harm that poor SAEs score high too.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="zero ablation changes no prediction",
    source="SAEBench, evals/core/main.py (`kl_div_score`)",
)
KL_DIV_SCORE_MEAN_ABLATION = Metric(
    "kl_div_score_mean_ablation",
    unit="fraction",
    better="higher",
    bounds=(None, 1),
    formula="(KL with the mean activation - KL with the reconstruction) / KL with the mean "
    "activation, each summed over the same tokens before the division.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:kl_divergence_in_place",
    ),
    distrust="where mean ablation hardly changes predictions: the denominator is then noise.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="mean ablation changes no prediction",
)

# --- latents

FRAC_ALIVE = Metric(
    "frac_alive",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are active on at least one token.",
    functions=("saeval.metrics.sparsity:is_alive",),
    distrust="to rank SAEs: random latents are all alive. On few tokens a rare latent looks dead.",
    population=LATENTS,
)
FREQ_OVER_1_PERCENT = Metric(
    "freq_over_1_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are active on more than 1 % of the tokens.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="to rank SAEs: it rises with `l0` and falls with width.",
    population=LATENTS,
)
FREQ_OVER_10_PERCENT = Metric(
    "freq_over_10_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are active on more than 10 % of the tokens.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="as a fault in itself: some dense latents are meaningful.",
    population=LATENTS,
)
DENSITY_HISTOGRAM = Metric(
    "density_histogram",
    unit="fraction of latents",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents whose density, the share of tokens they are active on, lies in "
    "a bin; the bin is the part.",
    functions=("saeval.metrics.sparsity:density_histogram",),
    distrust="in its rarest bins on few tokens.",
    population=LATENTS,
)
AVERAGE_MAX_ENCODER_COSINE_SIM = Metric(
    "average_max_encoder_cosine_sim",
    unit="cosine",
    better="none",
    bounds=(-1, 1),
    formula="Largest cosine of each latent's encoder direction with that of another latent, mean "
    "over all latents; of an SAE wider than `core.exact_neighbours` over a sample of 4,096.",
    functions=("saeval.metrics.geometry:nearest_cosines",),
    distrust="as redundancy: it is tied to how the encoder was trained. Objects without `W_enc` "
    "have none.",
    source="SAEBench, evals/core/main.py (`max_encoder_cosine_sim`)",
    population=NEIGHBOURS,
)
AVERAGE_MAX_DECODER_COSINE_SIM = Metric(
    "average_max_decoder_cosine_sim",
    unit="cosine",
    better="none",
    bounds=(-1, 1),
    formula="Largest cosine of each latent's decoder direction with that of another latent, mean "
    "over all latents; of an SAE wider than `core.exact_neighbours` over a sample of 4,096. High "
    "where latents duplicate each other.",
    functions=("saeval.metrics.geometry:nearest_cosines",),
    distrust="across widths: more directions lie closer together even at random.",
    source="SAEBench, evals/core/main.py (`max_decoder_cosine_sim`)",
    population=NEIGHBOURS,
)
