"""Every metric of `synthetic`: its formula in words, its unit, its direction, its anchors.

Matched latents and features are those of the one pairing with the largest sum of |cosine|. Fires
means not 0, whatever the sign.
"""

from saeval.evidence import NULL_SAE, Metric

POPULATION = "other features (or latents) like those of this world, and of this one SAE"

MCC = Metric(
    "mcc",
    unit="|cosine|",
    better="higher",
    bounds=(0, 1),
    formula="|cosine| between the decoder direction of each latent and the planted direction of "
    "the feature it is matched with, mean over matched features.",
    functions=("saeval.metrics.recovery:match", "saeval.metrics.recovery:cosines"),
    distrust="across widths or worlds, where random directions score differently, nor alone: it "
    "says nothing about when latents fire.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="No feature is matched with a latent.",
    source="the mean correlation coefficient of nonlinear ICA and of SynthSAEBench, arXiv "
    "2602.14687 (Hungarian algorithm)",
)
F1 = Metric(
    "f1",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="F1 of each matched latent as a detector of its feature, 2 TP / (2 TP + FP + FN) over "
    "all activations, mean over matched features.",
    functions=("saeval.metrics.recovery:firing", "saeval.metrics.recovery:Firing.f1"),
    distrust="at different `l0`: an SAE forced to fire more often than the features do has many "
    "false alarms, however good its directions.",
    floor=NULL_SAE,
    ceiling=1,
    undefined="No feature is matched with a latent.",
)
COVERAGE = Metric(
    "coverage",
    unit="fraction of features",
    better="higher",
    bounds=(0, 1),
    formula="Share of the features to which some latent's decoder direction comes closer than a "
    "|cosine| of `synthetic.covered_from`, 0.8.",
    functions=("saeval.metrics.recovery:covered", "saeval.metrics.recovery:cosines"),
    distrust="for SAEs near the threshold, where a little more training moves many features across "
    "it at once.",
    floor=NULL_SAE,
    ceiling="1, or latents per feature where there are fewer of them",
    source="arXiv 2602.14111",
)
UNIQUENESS = Metric(
    "uniqueness",
    unit="fraction of latents",
    better="higher",
    bounds=(0, 1),
    formula="Number of different features that are the nearest one, by |cosine|, of some latent, "
    "divided by the number of latents.",
    functions=(
        "saeval.metrics.recovery:distinctness",
        "saeval.metrics.recovery:nearest_feature",
    ),
    distrust="without its floor: random directions score high.",
    floor=NULL_SAE,
    ceiling="1, or features per latent where there are fewer of them",
)
F1_NEAREST = Metric(
    "f1_nearest",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="F1 of each latent as a detector of the feature that its direction comes closest to, "
    "mean over latents; several may share one.",
    functions=(
        "saeval.metrics.recovery:firing",
        "saeval.metrics.recovery:Firing.f1",
        "saeval.metrics.recovery:nearest_feature",
    ),
    distrust="alone: an SAE that finds one feature many times over scores as well as one that "
    "finds them all.",
    floor=NULL_SAE,
    ceiling=1,
    source="SynthSAEBench, arXiv 2602.14687",
)
DEAD = Metric(
    "dead",
    unit="fraction of latents",
    better="none",
    bounds=(0, 1),
    formula="Share of the latents that fire on none of the activations.",
    functions=("saeval.metrics.recovery:Firing.dead",),
    distrust="to rank SAEs: random latents are never silent, and where latents outnumber the "
    "world's features silent ones are what is right.",
)
SHRINKAGE = Metric(
    "shrinkage",
    unit="fraction of magnitude",
    better="none",
    formula="Over all activations on which a matched latent and its feature both fire: the sum of "
    "the feature's magnitude less |act| times the length of the decoder row, divided by the sum of "
    "the feature's magnitude. 0 is right on average, 1 is all lost, below 0 is too large.",
    functions=("saeval.metrics.recovery:magnitudes", "saeval.metrics.recovery:Magnitudes.lost"),
    distrust="for latents whose directions are wrong, which add up to the activation in other "
    "ways, nor where the SAE scales its input.",
    floor=NULL_SAE,
    ceiling=0,
    undefined="No latent ever fires together with its feature, so nothing could shrink.",
)
