"""A metric of a family of SAEs at an L0 that none of them need have: compare at equal sparsity."""

from collections.abc import Collection, Iterable

import numpy as np

from saeval.errors import UsageError
from saeval.results.score import Score


def value_at_l0(scores: Iterable[Score], saes: Collection[str], metric: str, l0: float) -> float:
    """The metric of a family of SAEs at this L0, between those that lie around it.

    Linear in log L0 between neighbours, such as the SAEs of one architecture at L0 8, 16 and 32.
    Values of several seeds are averaged, and of SAEs of the same L0. Nothing is said beyond the
    smallest and the largest L0.

    Args:
        scores: Scores without part, among them `l0` (of the task core) of each SAE.
        saes: Names of the SAEs of the family.
        metric: The metric, such as `best_latent_f1_untuned`.
        l0: Active latents per token, above 0.

    Raises:
        UsageError: if an SAE lacks one of the scores or is never active, or if `l0` lies outside
            what the family spans.
    """
    by_metric = {name: dict[str, list[float]]() for name in ("l0", metric)}
    for score in scores:
        values = by_metric.get(score.metric or "")
        if values is None or score.sae not in saes or score.part is not None:
            continue
        if score.value is not None:
            values.setdefault(str(score.sae), []).append(score.value)
    for name, values in by_metric.items():
        for sae in saes:
            if sae not in values:
                raise UsageError(f"{sae} has no score '{name}'. Run the task that gives it first.")
    place = {sae: float(np.mean(by_metric["l0"][sae])) for sae in saes}
    if not place or not 0 < min(place.values()) <= l0 <= max(place.values()):
        span = f"{min(place.values()):g} to {max(place.values()):g}" if place else "nothing"
        raise UsageError(
            f"An L0 of {l0:g} lies outside what these SAEs have, {span}. Choose one within, or add "
            "an SAE beyond it: values are never extrapolated."
        )
    at = np.unique(list(place.values()))
    mean = [
        np.mean([np.mean(by_metric[metric][sae]) for sae in saes if place[sae] == one])
        for one in at
    ]
    return float(np.interp(np.log(l0), np.log(at), mean))
