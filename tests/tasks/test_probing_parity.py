"""In SAEBench's form, probing gives what SAEBench gave on the same model, SAEs and texts."""

import json
from pathlib import Path

import numpy as np
import torch
from saeval_tasks.probing import Probing

from saeval.activations import Store, model_source
from saeval.evidence import Evidence, summarise_all
from saeval.loaders import load_folder
from saeval.models import load_model

SEEDS = 3
ARCHITECTURE = "jumprelu"
"""One of three: the language model's passes, once a seed, are most of the cost."""
DATA = {
    "ag_news": ("ag_news", "label", "fancyzhx/ag_news"),
    "reviews": ("reviews", "category", "canrager/amazon_reviews_mcauley_1and5"),
    "sentiment": ("reviews", "rating", "canrager/amazon_reviews_mcauley_1and5_sentiment"),
}
"""Name -> files, label column, and SAEBench's name."""


def test_means_over_seeds_agree(parity_dir: Path, tmp_path: Path) -> None:
    """Means over three seeds differ by at most 3 standard errors and 0.02."""
    torch.set_num_threads(1)
    golden = json.loads((parity_dir / "golden" / "seeded.json").read_text(encoding="utf-8"))
    theirs = golden["sparse_probing"][ARCHITECTURE]
    tasks = parity_dir / "tasks"
    data = tuple(
        {
            "name": name,
            "train": f"{tasks}/{files}_train.parquet",
            "test": f"{tasks}/{files}_test.parquet",
            "label": label,
        }
        for name, (files, label, _) in DATA.items()
    )
    task = Probing(data, compat="saebench", compat_train_rows=1000, compat_test_rows=400)
    source = model_source(
        load_model(str(parity_dir / "model")), "layers.2", store=Store(tmp_path / "store")
    )
    sae = load_folder(parity_dir / "saes" / "sae_lens" / ARCHITECTURE)
    found: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        prepared = task.prepare(source, seed)
        kept = [
            one
            for one in task.score(sae, prepared, source, seed)
            if isinstance(one, Evidence) and one.part and one.metric.startswith("saebench_")
        ]
        for one, summary in zip(kept, summarise_all(kept, replicates=2), strict=True):
            found.setdefault(f"{one.part}.{one.metric}", []).append(summary.value)
    wrong, compared = {}, 0
    for metric, values in found.items():
        name, _, short = metric.partition(".saebench_")
        key = f"per_dataset.{DATA[name][2]}.{short}"
        if key in theirs:
            reference = theirs[key]
            allowed = 3 * np.sqrt((reference["sd"] ** 2 + np.var(values, ddof=1)) / SEEDS) + 0.02
            if abs(np.mean(values) - reference["mean"]) > allowed:
                wrong[metric] = (values, reference)
            compared += 1
    assert compared == len(theirs) == 12
    assert not wrong
