"""Every metric of `probing`: its formula in words, its unit, its direction, its anchors.

Every label of every data set is one problem: this label against all others; two labels that exclude
each other are one problem together. A metric is computed in each problem by itself; without part it
is the mean over problems, each counting the same. All is about test rows, of which nothing was
chosen.
"""

from saeval.evidence import NULL_SAE, Metric

POPULATION = (
    "new texts (documents, activations) of the same kind under the same labels, with latents, "
    "thresholds and probes chosen on the training texts of this seed"
)

AUC_TOP = Metric(
    "auc_top_{k}",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Area under the ROC curve of a logistic probe on the k latents that correlate best "
    "with the label: the share of pairs of a row with the label and a row without in which the "
    "first has the higher log-odds, ties counting half. 0.5 knows nothing, 1 orders all rows "
    "rightly.",
    functions=("saeval_tasks.probing.scoring:auc_components",),
    distrust="as a score of SAEs: where words give the label away, random directions come near 1, "
    "and on synthetic worlds it follows neither the true directions nor the true firing.",
    floor=NULL_SAE,
    ceiling=1,
    groups="labels, each counting the same however many rows it has",
)
ACCURACY_TOP = Metric(
    "accuracy_top_{k}",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="Share of rows on which a logistic probe on the k latents that correlate best with "
    "the label is right: log-odds above 0 mean yes.",
    functions=("saeval_tasks.probing.scoring:is_right",),
    distrust="as a score of SAEs: on lab/town half of the trained ones know no more than random "
    "directions. Nor where the label is rare: always saying no is then right most of the time.",
    floor=NULL_SAE,
    ceiling=1,
    groups="labels, each counting the same however many rows it has",
)
AUC_FULL_WIDTH = Metric(
    "auc_full_width",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `auc_top_{k}`, of a logistic probe on all latents.",
    functions=("saeval_tasks.probing.scoring:auc_components",),
    distrust="as a score of SAEs: a wide random one keeps most of what the activations know.",
    floor=NULL_SAE,
    ceiling=1,
    where="not on synthetic worlds",
    groups="labels, each counting the same however many rows it has",
)
ACCURACY_FULL_WIDTH = Metric(
    "accuracy_full_width",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `accuracy_top_{k}`, of a logistic probe on all latents.",
    functions=("saeval_tasks.probing.scoring:is_right",),
    distrust="as a score of SAEs: a wide random one keeps most of what the activations know.",
    floor=NULL_SAE,
    ceiling=1,
    where="not on synthetic worlds",
    groups="labels, each counting the same however many rows it has",
)
AUC_DENSE = Metric(
    "auc_dense",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `auc_top_{k}`, of a logistic probe on the activations themselves: what a "
    "linear reader of them knows, beside which to read the others. It is no ceiling: latents are "
    "not linear in the activations, and a few of them overfit less.",
    functions=("saeval_tasks.probing.scoring:auc_components",),
    distrust="as a score: it does not depend on the SAE.",
    floor=0.5,
    ceiling=1,
    where="not on synthetic worlds",
    groups="labels, each counting the same however many rows it has",
)
ACCURACY_DENSE = Metric(
    "accuracy_dense",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `accuracy_top_{k}`, of a logistic probe on the activations themselves, "
    "beside which to read the others. It is no ceiling: see `auc_dense`.",
    functions=("saeval_tasks.probing.scoring:is_right",),
    distrust="as a score: it does not depend on the SAE.",
    floor="the share of rows that always saying what most rows are gets right",
    ceiling=1,
    where="not on synthetic worlds",
    groups="labels, each counting the same however many rows it has",
)
AUC_PERMUTED_LABELS = Metric(
    "auc_permuted_labels",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `auc_top_{k}` with the largest k, of probes for labels that were put in random "
    "order among the fit rows, and among the validation rows, before latents, regularisation and "
    "probe were chosen just as for the true ones; mean over 3 orders, or fewer where a data set "
    "has 48 labels or more.",
    functions=("saeval_tasks.probing.scoring:auc_components",),
    distrust="to three digits: an order may fit a real label by chance.",
    floor=0.5,
    groups="labels, each counting the same however many rows it has",
    population="no interval: three random orders of the labels say little of others",
)
BEST_LATENT_F1 = Metric(
    "best_latent_f1",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="F1 of one latent above a threshold as a detector of the label: 2 TP / (2 TP + FP + "
    "FN), each summed over rows before the division. Of the 16 latents that correlate best with "
    "the label and the one of `best_latent_f1_untuned`, the latent and threshold with the highest "
    "F1 on train rows. A latent that can be negative has two sides, acts above 0 and acts below 0, "
    "which count as two latents. Rows are tokens on the lab's texts, activations of a synthetic "
    "world, texts elsewhere.",
    functions=(
        "saeval_tasks._f1:f1_hits",
        "saeval_tasks._f1:f1_total",
        "saeval_tasks.probing.f1:tuned",
    ),
    distrust="where a label has a handful of rows: its interval says so.",
    floor=NULL_SAE,
    ceiling=1,
    groups="labels, each counting the same however many rows it has",
)
BEST_LATENT_F1_UNTUNED = Metric(
    "best_latent_f1_untuned",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="F1 of one latent's mere activity as a detector of the label: 2 TP / (2 TP + FP + FN), "
    "each summed over rows before the division. Of all latents, the one with the highest F1 on "
    "train rows. Active means above 0; a latent that can be negative is asked twice, about acts "
    "above 0 and about acts below 0, and the better of the two counts. Rows are tokens on the "
    "lab's texts, activations of a synthetic world, texts elsewhere; labels have their natural "
    "rate.",
    functions=(
        "saeval_tasks._f1:f1_hits",
        "saeval_tasks._f1:f1_total",
        "saeval_tasks.probing.f1:untuned",
    ),
    distrust="on texts, in which almost every latent is active somewhere.",
    floor=NULL_SAE,
    ceiling=1,
    groups="labels, each counting the same however many rows it has",
)

# --- SAEBench's own

SAEBENCH_SAE_TOP = Metric(
    "saebench_sae_top_{k}_test_accuracy",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="Accuracy of a logistic probe (C = 1) on the k latents whose means differ most between "
    "rows with and without the label, on pairs of rows of which half have it; mean over the labels "
    "of a data set, then over data sets.",
    functions=("saeval_tasks.probing.scoring:is_right",),
    distrust="but to compare with SAEBench's published figures.",
    floor=0.5,
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/sparse_probing",
    groups="data sets, each counting the same however many labels it has, and in each its labels",
)
SAEBENCH_SAE = Metric(
    "saebench_sae_test_accuracy",
    unit="fraction",
    better="higher",
    bounds=(0, 1),
    formula="Accuracy of a linear layer on all latents, trained by AdamW, in the epoch with the "
    "best accuracy on the test rows themselves, which is too good; mean over the labels of a data "
    "set, then over data sets.",
    functions=("saeval_tasks.probing.saebench:trained",),
    distrust="but to compare with SAEBench's published figures.",
    floor=0.5,
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/sparse_probing",
    groups="data sets, each counting the same however many labels it has, and in each its labels",
)
SAEBENCH_LLM_TOP = Metric(
    "saebench_llm_top_{k}_test_accuracy",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `saebench_sae_top_{k}_test_accuracy`, of a probe on k channels of the activation.",
    functions=("saeval_tasks.probing.scoring:is_right",),
    distrust="as a score: it does not depend on the SAE.",
    floor=0.5,
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/sparse_probing",
    groups="data sets, each counting the same however many labels it has, and in each its labels",
)
SAEBENCH_LLM = Metric(
    "saebench_llm_test_accuracy",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="As `saebench_sae_test_accuracy`, of a linear layer on the activation.",
    functions=("saeval_tasks.probing.saebench:trained",),
    distrust="as a score: it does not depend on the SAE.",
    floor=0.5,
    ceiling=1,
    where="with --compat saebench",
    source="SAEBench 0.6.0, evals/sparse_probing",
    groups="data sets, each counting the same however many labels it has, and in each its labels",
)
