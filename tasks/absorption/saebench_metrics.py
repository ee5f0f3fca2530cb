"""SAEBench's own figures of `absorption`: their formulas in words, units and directions."""

from saeval.evidence import Metric

POPULATION = (
    "other letters like these, with new words, and with probes and latents chosen on the training "
    "words of this seed"
)

MEAN_ABSORPTION_FRACTION = Metric(
    "saebench_mean_absorption_fraction_score",
    unit="fraction",
    better="lower",
    bounds=(0, 1),
    formula="As `mean_absorption_fraction`, but nothing is taken relative to other words, so the "
    "mean activation counts as letter, and decoder rows count as if they had length 1.",
    functions=("saeval_tasks.absorption.projections:absorption_fraction",),
    distrust="but to compare with SAEBench's published figures.",
    ceiling=0,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
MEAN_FULL_ABSORPTION = Metric(
    "saebench_mean_full_absorption_score",
    unit="fraction of words",
    better="lower",
    bounds=(0, 1),
    formula="As `full_absorption_rate`, but nothing is taken relative to other words, decoder rows "
    "count as if they had length 1, and only the latent that adds most is asked.",
    functions=("saeval_tasks.absorption.saebench:absorbed_whole_by_top",),
    distrust="but to compare with SAEBench's published figures.",
    ceiling=0,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
MEAN_NUM_SPLIT_FEATURES = Metric(
    "saebench_mean_num_split_features",
    unit="latents per letter",
    better="lower",
    bounds=(1, 10),
    formula="Number of a letter's main latents, mean over letters: taken by weight in one "
    "penalised probe on all latents, and kept by F1 on the very test words that are then scored.",
    functions=("saeval_tasks.absorption.saebench:few_latents_f1",),
    distrust="but to compare with SAEBench's published figures.",
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
PROBE_F1 = Metric(
    "saebench_probe_f1",
    unit="F1",
    better="none",
    bounds=(0, 1),
    formula="F1 of a linear probe of each letter on test words, mean over all 26 letters: trained "
    "by Adam for 50 epochs with weighted positives, with a threshold at even odds.",
    functions=("saeval_tasks._f1:f1_score",),
    distrust="as a score: it does not depend on the SAE.",
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
LETTERS_ABOVE_MIN_F1 = Metric(
    "saebench_letters_above_min_f1",
    unit="letters",
    better="none",
    bounds=(0, 26),
    formula="Number of the letters whose probe has an F1 above `absorption.min_probe_f1` on the "
    "test words.",
    functions=("saeval_tasks._f1:f1_score",),
    distrust="as a score: it does not depend on the SAE.",
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
SAE_K1_F1 = Metric(
    "saebench_sae_k1_f1",
    unit="F1",
    better="higher",
    bounds=(0, 1),
    formula="F1 on test words of a class-balanced logistic probe on each letter's first latent, "
    "mean over all 26 letters.",
    functions=(
        "saeval_tasks.absorption.saebench:few_latents_f1",
        "saeval_tasks._f1:f1_score",
    ),
    distrust="but to compare with SAEBench's published figures.",
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/absorption",
    groups="letters, each counting the same however many words it has",
)
