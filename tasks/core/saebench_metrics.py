"""Every metric that `core` reports with `--compat saebench`: SAEBench's own, faults included."""

from saeval.evidence import Metric

POPULATION = "new rows of the same kind: texts of the same source, or activations"
LATENTS = "no interval of one seed, as every latent is counted; of three or more: what seeds move"
NEIGHBOURS = "all latents of this SAE, where only a sample of them is compared"

L0 = Metric(
    "saebench_l0",
    unit="latents per token",
    better="none",
    bounds=(0, None),
    formula="Number of active latents (not 0) of each token, mean over the tokens of SAEBench's "
    "rows: those after the ones that serve its losses.",
    functions=("saeval.metrics.sparsity:token_l0",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
L1 = Metric(
    "saebench_l1",
    unit="summed acts per token",
    better="none",
    formula="Sum of acts, with their sign, of each token, mean over the tokens of SAEBench's rows.",
    functions=("saeval.metrics.sparsity:token_sums",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
L2_NORM_IN = Metric(
    "saebench_l2_norm_in",
    unit="activation units",
    better="none",
    bounds=(0, None),
    formula="|y| of each token, mean over the tokens of SAEBench's rows.",
    functions=("saeval.metrics.reconstruction:squared_norm",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
L2_NORM_OUT = Metric(
    "saebench_l2_norm_out",
    unit="activation units",
    better="none",
    bounds=(0, None),
    formula="|y_hat| of each token, mean over the tokens of SAEBench's rows.",
    functions=("saeval.metrics.reconstruction:squared_norm",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
L2_RATIO = Metric(
    "saebench_l2_ratio",
    unit="ratio",
    better="none",
    bounds=(0, None),
    formula="|y_hat| / |y| of each token, mean over all tokens of SAEBench's rows; |y_hat| alone "
    "where |y| is below 0.0001.",
    functions=("saeval_tasks.core.saebench:length_ratio",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
COSSIM = Metric(
    "saebench_cossim",
    unit="cosine",
    better="higher",
    bounds=(-1, 1),
    formula="Cosine between y and y_hat of each token, mean over all tokens of SAEBench's rows; "
    "tokens of no length count as 0.",
    functions=("saeval.metrics.reconstruction:token_cosines",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
EXPLAINED_VARIANCE_LEGACY = Metric(
    "saebench_explained_variance_legacy",
    unit="fraction",
    better="higher",
    bounds=(None, 1),
    formula="1 - |y - y_hat|^2 / |y - mean of the batch|^2 of each token, mean over tokens: a "
    "mean of ratios, about the mean of a batch of 16 rows.",
    functions=("saeval_tasks.core.saebench:legacy_explained",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
RELATIVE_RECONSTRUCTION_BIAS = Metric(
    "saebench_relative_reconstruction_bias",
    unit="ratio",
    better="none",
    formula="Sum of |y_hat|^2 over the sum of inner products of y and y_hat, in each batch of 16 "
    "rows; mean over batches: a mean of ratios.",
    functions=("saeval_tasks.core.saebench:bias_of_batches",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    groups="batches of 16 rows, each counting the same however many tokens it has",
)
EXPLAINED_VARIANCE = Metric(
    "saebench_explained_variance",
    unit="fraction",
    better="higher",
    formula="1 - error / total, where error is the mean of |y - y_hat|^2, and total the mean of "
    "|y|^2, each over the tokens of a batch and then over batches, less the square of that mean "
    "over d_out: squares stand where the mean activation should, so it is wrong unless activations "
    "are small.",
    groups="batches of 16 rows, each counting the same however many tokens it has",
    functions=("saeval_tasks.core.saebench:variance_about_squares",),
    distrust="but to compare with SAEBench's published figures.",
    undefined="its total variance is not above 0",
    where="with --compat saebench",
    population="no interval: SAEBench's formula is no sum over units",
)
CE_LOSS_WITH_SAE = Metric(
    "saebench_ce_loss_with_sae",
    unit="nats",
    better="lower",
    bounds=(0, None),
    formula="Next-token cross-entropy with the reconstruction in place, mean over the tokens that "
    "another one follows, a special one too, of the rows that serve SAEBench's losses.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
CE_LOSS_WITHOUT_SAE = Metric(
    "saebench_ce_loss_without_sae",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="Next-token cross-entropy of the untouched model, mean over the same tokens as "
    "`saebench_ce_loss_with_sae`.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
CE_LOSS_WITH_ABLATION = Metric(
    "saebench_ce_loss_with_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="Next-token cross-entropy with zeros at every token, special ones too, mean over the "
    "same tokens as `saebench_ce_loss_with_sae`.",
    functions=("saeval.metrics.loss:cross_entropy",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
CE_LOSS_SCORE = Metric(
    "saebench_ce_loss_score",
    unit="fraction",
    better="higher",
    formula="(CE with zeros - CE with the reconstruction) / (CE with zeros - CE of the untouched "
    "model), where zeros replace every token, special ones too.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:harm_at_stake",
        "saeval.metrics.loss:cross_entropy",
    ),
    distrust="but to compare with SAEBench's published figures.",
    floor=0,
    undefined="zero ablation does not raise the loss",
    where="with --compat saebench",
)
KL_DIV_WITH_SAE = Metric(
    "saebench_kl_div_with_sae",
    unit="nats",
    better="lower",
    bounds=(0, None),
    formula="KL divergence from the untouched model's predictions to those with the "
    "reconstruction in place, mean over the rows that serve SAEBench's losses.",
    functions=("saeval.metrics.loss:kl_divergence_in_place",),
    distrust="but to compare with SAEBench's published figures.",
    ceiling=0,
    where="with --compat saebench",
)
KL_DIV_WITH_ABLATION = Metric(
    "saebench_kl_div_with_ablation",
    unit="nats",
    better="none",
    bounds=(0, None),
    formula="KL divergence from the untouched model's predictions to those with zeros at every "
    "token, special ones too.",
    functions=("saeval.metrics.loss:kl_divergence_in_place",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
)
KL_DIV_SCORE = Metric(
    "saebench_kl_div_score",
    unit="fraction",
    better="higher",
    bounds=(None, 1),
    formula="(KL with zeros - KL with the reconstruction) / KL with zeros, where zeros replace "
    "every token, special ones too.",
    functions=(
        "saeval.metrics.loss:harm_avoided",
        "saeval.metrics.loss:kl_divergence_in_place",
    ),
    distrust="but to compare with SAEBench's published figures.",
    floor=0,
    ceiling=1,
    undefined="zero ablation changes no prediction",
    where="with --compat saebench",
)
FRAC_ALIVE = Metric(
    "saebench_frac_alive",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are above 0 on at least one token; negative acts do not "
    "count.",
    functions=("saeval.metrics.sparsity:is_alive",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    population=LATENTS,
)
FREQ_OVER_1_PERCENT = Metric(
    "saebench_freq_over_1_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are above 0 on more than 1 % of the tokens; negative acts "
    "do not count.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    population=LATENTS,
)
FREQ_OVER_10_PERCENT = Metric(
    "saebench_freq_over_10_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that are above 0 on more than 10 % of the tokens; negative acts "
    "do not count.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    population=LATENTS,
)
NORMALIZED_FREQ_OVER_1_PERCENT = Metric(
    "saebench_normalized_freq_over_1_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Of all pairs of a latent and a token on which it is above 0, the share whose latent "
    "is above 0 on more than 1 % of the tokens.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="but to compare with SAEBench's published figures.",
    undefined="no latent is active",
    where="with --compat saebench",
    population=LATENTS,
)
NORMALIZED_FREQ_OVER_10_PERCENT = Metric(
    "saebench_normalized_freq_over_10_percent",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Of all pairs of a latent and a token on which it is above 0, the share whose latent "
    "is above 0 on more than 10 % of the tokens.",
    functions=("saeval.metrics.sparsity:is_denser",),
    distrust="but to compare with SAEBench's published figures.",
    undefined="no latent is active",
    where="with --compat saebench",
    population=LATENTS,
)
AVERAGE_MAX_ENCODER_COSINE_SIM = Metric(
    "saebench_average_max_encoder_cosine_sim",
    unit="cosine",
    better="none",
    bounds=(-1, 1),
    formula="As `average_max_encoder_cosine_sim`: SAEBench defines it alike.",
    functions=("saeval.metrics.geometry:nearest_cosines",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    population=NEIGHBOURS,
)
AVERAGE_MAX_DECODER_COSINE_SIM = Metric(
    "saebench_average_max_decoder_cosine_sim",
    unit="cosine",
    better="none",
    bounds=(-1, 1),
    formula="As `average_max_decoder_cosine_sim`: SAEBench defines it alike.",
    functions=("saeval.metrics.geometry:nearest_cosines",),
    distrust="but to compare with SAEBench's published figures.",
    where="with --compat saebench",
    population=NEIGHBOURS,
)
