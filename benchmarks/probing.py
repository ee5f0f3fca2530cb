"""What `probing` costs: preparing a site, the first SAE and each further one, one thread.

    python benchmarks/probing.py --model FOLDER --saes FOLDER... --data FILE.parquet:LABEL...

Beside it stand the same probes fitted by scikit-learn one by one. Without inputs it reads the
lab's model, SAEs and concepts.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from peak import peak_megabytes
from saeval_tasks import _logistic
from saeval_tasks.probing import Probing
from torch import Tensor

from saeval import lab
from saeval.activations import Store, model_source
from saeval.evidence import Evidence, summarise_all
from saeval.loaders import load_folder
from saeval.models import load_model
from saeval.sae import origin_of

LAB_SAES = ("topk-16", "relu-16")


def main() -> None:
    """Prepare once, score every SAE, print what each cost."""
    asked = _arguments()
    model = load_model(str(asked.model or lab.path("world/model")))
    site = asked.site or origin_of(load_folder(asked.saes[0])).read_site
    with tempfile.TemporaryDirectory() as folder:
        source = model_source(model, site, store=Store(Path(folder)))
        task = Probing(
            data=tuple(_data_set(item) for item in asked.data) if asked.data else None,
            compat=asked.compat,
            compat_train_rows=1000,
            compat_test_rows=400,
        )
        begun = time.process_time()
        prepared = task.prepare(source, 0)
        print(f"{'CPU seconds':32} {'score':>7} {'intervals':>9} {'all':>7}")
        print(f"{'prepare':32} {'':7} {'':9} {time.process_time() - begun:7.2f}")
        for number, place in enumerate(asked.saes):
            begun = time.process_time()
            found = list(task.score(load_folder(place), prepared, source, 0))
            scored = time.process_time()
            summarise_all([one for one in found if isinstance(one, Evidence)])
            done = time.process_time()
            name = f"{'further' if number else 'first'}: {place.name}"
            times = f"{scored - begun:7.2f} {done - scored:9.2f} {done - begun:7.2f}"
            print(f"{name:32.32} {times}")
    print(f"peak memory {peak_megabytes():.0f} MB")
    _compare_fits()


def _compare_fits() -> None:
    """The same problems fitted together and one by one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 128, generator=generator)
    y = x @ torch.randn(128, 26, generator=generator) + 5 * torch.randn(1000, 26) > 0
    few = torch.stack([x[:, 4 * j : 4 * j + 8] for j in range(26)])
    together = {
        "26 probes on 128 features": lambda: _logistic.fit_logistic(x, y),
        "26 probes on 8 features each": lambda: _logistic.fit_logistic_each(few, y.T),
    }
    alone = [[x] * 26, list(few)]
    print(f"{'CPU seconds':32} {'here':>7} {'sklearn one by one':>18}")
    for (name, call), features in zip(together.items(), alone, strict=True):
        begun = time.process_time()
        call()
        ours = time.process_time() - begun
        theirs = _one_by_one(features, y)
        print(f"{name:32} {ours:7.3f} {theirs:18.3f}")


def _one_by_one(features: list[Tensor], y: Tensor) -> float:
    from sklearn.linear_model import LogisticRegression  # here: probing does without

    begun = time.process_time()
    for x, label in zip(features, y.T, strict=True):
        LogisticRegression(max_iter=1000).fit(x.double().numpy(), label.numpy())
    return time.process_time() - begun


def _data_set(item: str) -> dict[str, str]:
    """`FILE:LABEL`; a file that says train has a twin that says test."""
    path, _, label = item.rpartition(":")
    test = path.replace("train", "test")
    found = {"name": f"{Path(path).stem}_{label}", "train": path, "label": label}
    return found | ({"test": test} if test != path and Path(test).is_file() else {})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--saes", nargs="+", type=Path, help="folders of SAEs")
    parser.add_argument("--data", nargs="+", help="files of texts, each with its label column")
    parser.add_argument("--site", help="site or alias, where the SAEs' files name none")
    parser.add_argument("--compat", choices=["saebench"], help="add SAEBench's own form")
    asked = parser.parse_args()
    if (asked.saes is None) != (asked.model is None):
        parser.error("--saes and --model come together")
    if asked.model and not asked.data:
        parser.error("a model of yours needs --data")
    asked.saes = asked.saes or [lab.path(f"world/{name}") for name in LAB_SAES]
    return asked


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    main()
