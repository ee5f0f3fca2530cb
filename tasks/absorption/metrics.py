"""Every metric of `absorption` itself: its formula in words, its unit, its direction, its anchors.

A letter's main latents are those that best say "this letter" by being active, any of them; a
scored word is a test word whose letter the model's own probe recognises. Metrics of letters are
means over letters, each counting the same.
"""

from saeval.evidence import NULL_SAE, Metric

POPULATION = (
    "other letters like these, with new words, and with probes and latents chosen on the training "
    "words of this seed"
)
FAMILIES = (
    "other families of words like these, with new sentences, and with latents chosen on the "
    "training sentences of this seed"
)
ALL_WORDS = "no interval: every word, or family, was looked at"

# --- what the model itself knows

PROBE_F1 = Metric(
    "probe_f1",
    unit="F1",
    better="none",
    bounds=(0, 1),
    formula="F1 of the model's own linear probe of each letter on test words, mean over the "
    "letters that begin one.",
    functions=("saeval_tasks._f1:f1_score",),
    distrust="as a score: it does not depend on the SAE, and where it is low no SAE can be judged.",
    floor="F1 of saying yes to everything",
    ceiling=1,
    groups="letters, each counting the same however many words it has",
)
USABLE_LETTERS = Metric(
    "usable_letters",
    unit="fraction of letters",
    better="none",
    bounds=(0, 1),
    formula="Share of the letters of test words that are judged by: their probe reaches an F1 of "
    "`absorption.min_probe_f1` on validation words, and says yes to one of their test words or "
    "more.",
    functions=("saeval_tasks._f1:f1_score", "saeval_tasks.absorption.letters:is_recognised"),
    distrust="as a score: it does not depend on the SAE.",
    groups="letters, each counting the same however many words it has",
)
SCORED_WORDS = Metric(
    "scored_words",
    unit="fraction of words",
    better="none",
    bounds=(0, 1),
    formula="Share of the test words that are scored: their letter is usable and its probe says "
    "yes to them.",
    functions=("saeval_tasks.absorption.letters:is_scored",),
    distrust="as a score: it does not depend on the SAE. Where it is low, the words left are the "
    "easy ones.",
)
CUT_WORDS = Metric(
    "cut_words",
    unit="fraction of words",
    better="none",
    bounds=(0, 1),
    formula="Share of the words that the tokenizer cuts otherwise within the prompt, and which "
    "are left out.",
    distrust="as a score: it does not depend on the SAE.",
    where="where the tokenizer cuts some",
    population=ALL_WORDS,
)

# --- first letters

KEPT_LETTER_F1 = Metric(
    "kept_letter_f1",
    unit="F1",
    better="higher",
    bounds=(0, 1),
    formula="2 K / (K + S + A), mean over letters. S is the number of the letter's scored words; K "
    "that of those on which a main latent is active and the main latents add at least 0.4 of the "
    "activation's projection on the letter's probe, each an excess over the training words of "
    "other letters, once all latents are scaled by the one factor with which reconstructions of "
    "training words fit best; A that of test words of other letters on which a main latent is "
    "active.",
    functions=(
        "saeval_tasks.absorption.letters:kept_letter_f1",
        "saeval_tasks.absorption.projections:kept",
        "saeval_tasks.absorption.projections:excess",
        "saeval_tasks.absorption.projections:best_scale",
    ),
    distrust="at different `l0`: it falls where more latents are active. Why a word is not kept is "
    "told by `full_absorption_rate` and `lost_rate`.",
    floor=NULL_SAE,
    ceiling=1,
    groups="letters, each counting the same however many words it has",
)
MEAN_ABSORPTION_FRACTION = Metric(
    "mean_absorption_fraction",
    unit="fraction",
    better="none",
    bounds=(0, 1),
    formula="On each scored word, a / (a + m). m is what the main latents add along the direction "
    "of the letter's probe, a what up to three other latents add that point along it (cosine of "
    "0.1 or more), but no more than the main ones leave of the activation's projection. 0 where "
    "they leave nothing, or the others carry less than 0.4 of the projection. Each is an excess "
    "over the training words of other letters. Mean over words, then over letters.",
    functions=("saeval_tasks.absorption.projections:absorption_fraction",),
    distrust="as a score: an SAE that knows no letters has none to absorb, so read it beside "
    "`kept_letter_f1`. Partial shares also come from latents that merely correlate with the "
    "letter.",
    floor=NULL_SAE,
    source="SAEBench, absorption, `mean_absorption_fraction`; Chanin et al. 2024, arXiv 2409.14507",
    groups="letters, each counting the same however many words it has",
)
FULL_ABSORPTION_RATE = Metric(
    "full_absorption_rate",
    unit="fraction of words",
    better="none",
    bounds=(0, 1),
    formula="Share of the scored words on which all main latents are silent and one other latent "
    "(cosine with the letter's probe of 0.025 or more) by itself adds at least 0.4 of the "
    "activation's projection on the probe; mean over letters.",
    functions=("saeval_tasks.absorption.projections:absorbed_whole",),
    distrust="as a score: an SAE that knows no letters has none to absorb, so read it beside "
    "`kept_letter_f1`. Latents of single words decide it, so compare equal widths.",
    floor=NULL_SAE,
    source="SAEBench, absorption, `mean_full_absorption`; Chanin et al. 2024, arXiv 2409.14507",
    groups="letters, each counting the same however many words it has",
)
LOST_RATE = Metric(
    "lost_rate",
    unit="fraction of words",
    better="none",
    bounds=(0, 1),
    formula="Share of the scored words on which all main latents are silent and no other latent by "
    "itself adds 0.4 of the activation's projection on the letter's probe; mean over letters.",
    functions=("saeval_tasks.absorption.projections:lost",),
    distrust="as a score, nor as absorption: mostly it is plain failure to represent the letter. "
    "It moves with the number of active latents, so compare equal `l0`.",
    floor=NULL_SAE,
    groups="letters, each counting the same however many words it has",
)
SPLIT_LATENTS = Metric(
    "split_latents",
    unit="latents per letter",
    better="none",
    bounds=(1, 10),
    formula="Number of a letter's main latents, mean over letters: the one with the largest F1 on "
    "training words, and further ones as long as F1 on validation words rises by more than 0.03; "
    "10 at most.",
    functions=("saeval_tasks.absorption.letters:main_latents",),
    distrust="on few words: a split must show on the validation words. More latents need not be "
    "worse ones.",
    floor=NULL_SAE,
    source="SAEBench, absorption (`tau_fs` 0.03)",
    groups="letters, each counting the same however many words it has",
)
MAIN_LATENT_F1 = Metric(
    "main_latent_f1",
    unit="F1",
    better="none",
    bounds=(0, 1),
    formula='F1 of "some main latent is active" as a detector of the letter on test words, 2 TP / '
    "(2 TP + FP + FN); mean over letters.",
    functions=("saeval_tasks._f1:f1_score",),
    distrust="as a score: what the latents write is not asked, and random ones come near trained "
    "ones. Latents that are always faintly active score low although larger acts tell the letter.",
    floor=NULL_SAE,
    ceiling="F1 of the model's own probes, which a supervised dictionary may exceed",
    groups="letters, each counting the same however many words it has",
)

# --- the planted hierarchy

KEPT_PARENT_F1 = Metric(
    "kept_parent_f1",
    unit="F1",
    better="higher",
    bounds=(0, 1),
    formula="2 K / (K + S + A), each summed over families. S is the number of occurrences of "
    "children that the model takes for their parent; K that of those on which a latent of the "
    "parent is active, chosen without this child, and the parent's latents add at least 0.4 of "
    "the activation's projection on the parent's discriminant that leaves this child out, each an "
    "excess over words of other families, once all latents are scaled by the one factor with "
    "which reconstructions of the choosing rows fit best; A that of scored words of other "
    "families on which a latent of the parent is active, averaged over the children.",
    functions=(
        "saeval_tasks.absorption.kept_parents:kept_sums",
        "saeval_tasks.absorption.projections:kept",
        "saeval_tasks.absorption.discriminants:seen_as_parent",
    ),
    distrust="to rank SAEs that are all near 0, as most of the lab's are: it tells those that keep "
    "parents from those that do not. 18 families of one small world are few.",
    floor=NULL_SAE,
    ceiling=1,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
HIERARCHY_ABSORPTION = Metric(
    "hierarchy_absorption",
    unit="difference of rates",
    better="none",
    bounds=(-1, 1),
    formula="P(the parent's latents are silent and the model takes the word for its parent, at a "
    "child such as poodle) - P(the parent's latents are silent, at its own word, dog), over "
    "occurrences of words of true families.",
    functions=(
        "saeval_tasks.absorption.pairs:absorbed_child",
        "saeval_tasks.absorption.pairs:silent_at",
    ),
    distrust="where its interval reaches that of `hierarchy_false_alarm`, nor without "
    "`kept_parent_f1`. 18 families of one small world are few.",
    floor=NULL_SAE,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
HIERARCHY_SILENCE = Metric(
    "hierarchy_silence",
    unit="difference of rates",
    better="none",
    bounds=(-1, 1),
    formula="P(the parent's latents are silent, at a child) - P(they are silent, at its own word), "
    "over occurrences of words of true families, whatever the model takes the child for.",
    functions=("saeval_tasks.absorption.pairs:silent_at",),
    distrust="without `companion_silence` and `kept_parent_f1` beside it: silence at a child "
    "that the model does not take for its parent counts too.",
    floor=NULL_SAE,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
HIERARCHY_FALSE_ALARM = Metric(
    "hierarchy_false_alarm",
    unit="difference of rates",
    better="none",
    bounds=(-1, 1),
    formula="As `hierarchy_absorption`, on pairs of words that merely occur together, where there "
    "is nothing to absorb.",
    functions=(
        "saeval_tasks.absorption.pairs:absorbed_child",
        "saeval_tasks.absorption.pairs:silent_at",
    ),
    distrust="as a score: the model hardly ever mistakes one word for the other, so that no SAE "
    "gets more than some 0.03.",
    floor=NULL_SAE,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
COMPANION_SILENCE = Metric(
    "companion_silence",
    unit="difference of rates",
    better="none",
    bounds=(-1, 1),
    formula="As `hierarchy_silence`, on pairs of words that merely occur together, where silence "
    "is right.",
    functions=("saeval_tasks.absorption.pairs:silent_at",),
    distrust="as a false-alarm rate: clean latents bring it near 1.",
    floor=NULL_SAE,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
CHILD_SEEN_AS_PARENT = Metric(
    "child_seen_as_parent",
    unit="fraction of occurrences",
    better="none",
    bounds=(0, 1),
    formula="Share of children's occurrences that the model itself takes for the parent, which a "
    "linear discriminant decides whose two means leave this child out.",
    functions=("saeval_tasks.absorption.discriminants:seen_as_parent",),
    distrust="as a score: it does not depend on the SAE.",
    where="on the lab's worlds of text",
    population=FAMILIES,
)
PARENT_LATENT_F1 = Metric(
    "parent_latent_f1",
    unit="F1",
    better="none",
    bounds=(0, 1),
    formula='F1 of "some latent of the parent is active" as a detector of the parent, alone or in '
    "a child: 2 TP / (2 TP + FP + FN), each summed over families. The parent's own word weighs as "
    "much as all its children.",
    functions=("saeval_tasks.absorption.pairs:f1_sums",),
    distrust="as a score: random directions reach 0.83 on the lab, more than most trained SAEs.",
    floor=NULL_SAE,
    ceiling=1,
    where="on the lab's worlds of text",
    population=FAMILIES,
)
LEFT_OUT_FAMILIES = Metric(
    "left_out_families",
    unit="fraction of families",
    better="none",
    bounds=(0, 1),
    formula="Share of the parents, true and matched, that are left out since no occurrence of "
    "theirs, or of a child of theirs, was drawn in one of the two sets of documents.",
    functions=("saeval_tasks.absorption.pairs:can_be_judged",),
    distrust="as a score: it does not depend on the SAE.",
    where="on the lab's worlds of text, where some are left out",
    population=ALL_WORDS,
)
