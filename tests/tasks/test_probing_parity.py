"""In SAEBench's form, probing gives what SAEBench gave on the same model, SAEs and texts."""

import json
from pathlib import Path

import numpy as np
import torch
from saeval_tasks.probing import Probing

from saeval.activations import Store, model_source
from saeval.evidence import Evidence, summarise_all
from saeval.models import load_model
from saeval.sae.loaders import load_folder

SEEDS = 3
ARCHITECTURES = ("jumprelu", "relu", "topk")
DATA = {
    "ag_news": ("ag_news", "label", "fancyzhx/ag_news"),
    "reviews": ("reviews", "category", "canrager/amazon_reviews_mcauley_1and5"),
    "sentiment": ("reviews", "rating", "canrager/amazon_reviews_mcauley_1and5_sentiment"),
}
"""Name -> files, label column, and SAEBench's name."""


def _task(folder: Path) -> Probing:
    """SAEBench's form at the size that its figures have; of the plain one as little as can be."""
    data = tuple(
        {
            "name": name,
            "train": f"{folder}/{files}_train.parquet",
            "test": f"{folder}/{files}_test.parquet",
            "label": label,
        }
        for name, (files, label, _) in DATA.items()
    )
    sizes = {"train_rows": 120, "test_rows": 60, "top_k": (1,)}
    return Probing(data, compat="saebench", compat_train_rows=1000, compat_test_rows=400, **sizes)


def test_means_over_seeds_agree(parity_dir: Path, tmp_path: Path) -> None:
    """Means over three seeds differ by at most 3 standard errors and 0.02."""
    torch.set_num_threads(1)
    golden = json.loads((parity_dir / "golden" / "seeded.json").read_text(encoding="utf-8"))
    task = _task(parity_dir / "tasks")
    source = model_source(
        load_model(str(parity_dir / "model")), "layers.2", store=Store(tmp_path / "store")
    )
    folder = parity_dir / "saes" / "sae_lens"
    saes = {name: load_folder(folder / name) for name in ARCHITECTURES}
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(SEEDS):
        prepared = task.prepare(source, seed)
        for name, sae in saes.items():
            kept = [
                one
                for one in task.score(sae, prepared, source, seed)
                if isinstance(one, Evidence) and one.part and one.metric.startswith("saebench_")
            ]
            for one, summary in zip(kept, summarise_all(kept, replicates=2), strict=True):
                metric = one.metric.removeprefix("saebench_")
                key = f"per_dataset.{DATA[str(one.part)][2]}.{metric}"
                found.setdefault((name, key), []).append(summary.value)
    wrong, compared = {}, 0
    for (name, key), values in found.items():
        theirs = golden["sparse_probing"][name]
        if key in theirs:
            reference = theirs[key]
            allowed = 3 * np.sqrt((reference["sd"] ** 2 + np.var(values, ddof=1)) / SEEDS) + 0.02
            if abs(np.mean(values) - reference["mean"]) > allowed:
                wrong[name, key] = (values, reference)
            compared += 1
    assert compared == sum(len(golden["sparse_probing"][name]) for name in saes) == 36
    assert not wrong
