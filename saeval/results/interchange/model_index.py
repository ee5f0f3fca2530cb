"""Results as the `model-index` block of a model card on the Hugging Face hub."""

from collections.abc import Iterable

from saeval.results.folder import slug
from saeval.results.interchange.stored import Stored


def model_cards(results: Iterable[Stored]) -> dict[str, str]:
    """File name -> text: of each SAE a model card that begins with the block.

    Whole-data scores alone are written: the block has no place for parts. An interval and the null
    stand in the name of a metric, where the hub shows them.
    """
    of_sae: dict[str, list[Stored]] = {}
    for stored in results:
        if stored.scored:
            of_sae.setdefault(stored.label, []).append(stored)
    files: dict[str, str] = {}
    for label, group in of_sae.items():
        name = f"{slug(label)}.md"
        files[name if name not in files else f"{slug(label)}-{len(files)}.md"] = _card(label, group)
    return files


def _card(label: str, results: list[Stored]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    evals = [
        EvalResult(
            task_type="sparse-autoencoder-evaluation",
            task_name=f"saeval {stored.result.task} v{stored.result.task_version}",
            dataset_type=f"saeval/{stored.result.task}",
            dataset_name=f"saeval {stored.result.task}, seed {stored.result.seed}",
            metric_type=str(score.metric),
            metric_name=_metric_name(score),
            metric_value=score.value,
            verified=False,
        )
        for stored in results
        for score in stored.scored
        if score.part is None
    ]
    data = ModelCardData(
        model_name=label,
        library_name="saeval",
        tags=["sparse-autoencoder", "saeval"],
        eval_results=evals,
    )
    return f"---\n{data.to_yaml()}\n---\n\n# {label}\n\nScored with saeval.\n"


def _metric_name(score: object) -> str:
    names = ("metric", "ci_low", "ci_high", "n", "floor")
    metric, low, high, n, floor = (getattr(score, name) for name in names)
    told = []
    if low is not None and high is not None:
        told.append(f"95 % interval {low:.4g} to {high:.4g}")
    if n is not None:
        told.append(f"n {n}")
    if floor is not None:
        told.append(f"floor {floor:.4g}")
    return f"{metric} ({', '.join(told)})" if told else str(metric)
