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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from costs import print_costs
from saeval_tasks import _logistic
from saeval_tasks._logistic import Axes, Probes
from saeval_tasks.probing import Probing, few_latents
from torch import Tensor

from saeval import lab
from saeval.activations import Store, model_source
from saeval.models import load_model
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder

LAB_SAES = ("topk-16", "relu-16")


def main() -> None:
    """Prepare once, score every SAE, print what each cost."""
    options = _arguments()
    model = load_model(str(options.model or lab.path("world/model")))
    site = options.site or origin_of(load_folder(options.saes[0])).read_site
    with tempfile.TemporaryDirectory() as folder:
        source = model_source(model, site, store=Store(Path(folder)))
        task = Probing(
            data=tuple(_data_set(item) for item in options.data) if options.data else None,
            compat=options.compat,
            compat_train_rows=1000,
            compat_test_rows=400,
        )
        prepared = print_costs(task, source, options.saes)
        sae = load_folder(options.saes[0])
        _compare_fits(lambda: list(task.score(sae, prepared, source, 0)))


@dataclass
class Fits:
    """The problems of probes on latents that `probing` fitted, and the seconds of fitting."""

    seconds: float = 0.0
    problems: list[tuple[np.ndarray, np.ndarray, float]] = field(default_factory=list)
    """Features and labels of the train rows, and C, for each problem."""

    def separate(
        self, x: Tensor, y: Tensor, c: float | Tensor, rows: Tensor, start: Probes | None = None
    ) -> Probes:
        """Probes that have features of their own, each row repeated as often as it counts."""
        for features, label, label_c, weight in zip(
            x, y, _c_by_problem(c, len(y)), rows, strict=True
        ):
            times = weight.long()
            repeated = features.repeat_interleave(times, 0), label.repeat_interleave(times)
            self.problems.append((repeated[0].numpy(), repeated[1].numpy(), label_c))
        return self._timed(lambda: _logistic.fit_logistic_each(x, y, c, rows, start))

    def shared(self, axes: Axes, y: Tensor, c: Tensor, rows: Tensor | None = None) -> Probes:
        """Probes that share their features."""
        row_masks = torch.ones_like(y) if rows is None else rows
        for label, label_c, row_mask in zip(
            y.T, _c_by_problem(c, y.shape[1]), row_masks.T, strict=True
        ):
            self.problems.append((axes.z[row_mask].numpy(), label[row_mask].numpy(), label_c))
        return self._timed(lambda: FIT(axes, y, c, rows))

    def one_by_one(self, tolerance: float) -> float:
        """Seconds that scikit-learn takes for the same problems; 1e-4 is its default tolerance."""
        from sklearn.linear_model import LogisticRegression  # here: probing does without

        start = time.process_time()
        for x, y, c in self.problems:
            LogisticRegression(C=c, max_iter=1000, tol=tolerance).fit(x, y)
        return time.process_time() - start

    def _timed(self, fit: Callable[[], Probes]) -> Probes:
        start = time.process_time()
        probes = fit()
        self.seconds += time.process_time() - start
        return probes


FIT = Axes.fit  # the original: `_compare_fits` replaces the method while it scores


def _c_by_problem(c: float | Tensor, problems: int) -> list[float]:
    return torch.as_tensor(c, dtype=torch.float64).expand(problems).tolist()


def _compare_fits(score: Callable[[], object]) -> None:
    """Compare the fits of one SAE with scikit-learn's one by one, as users call it and as exact."""
    fits, wide = Fits(), Fits()

    def shared(axes: Axes, *rest: Any) -> Probes:
        return wide.shared(axes, *rest)

    with (
        mock.patch.object(few_latents, "fit_logistic_each", fits.separate),
        mock.patch.object(Axes, "fit", shared),
    ):
        score()
    print(f"{'CPU seconds':32} {'here':>7} {'sklearn one by one':>18} {'as exact':>8}")
    for name, fits_of_kind in (("few", fits), ("all", wide)):
        loose, exact = fits_of_kind.one_by_one(1e-4), fits_of_kind.one_by_one(1e-6)
        label = f"{len(fits_of_kind.problems)} probes on {name} latents"
        print(f"{label:32} {fits_of_kind.seconds:7.2f} {loose:18.2f} {exact:8.2f}")


def _data_set(item: str) -> dict[str, str]:
    """`FILE:LABEL`; a file that says train has a twin that says test."""
    path, _, label = item.rpartition(":")
    test = path.replace("train", "test")
    data_set = {"name": f"{Path(path).stem}_{label}", "train": path, "label": label}
    return data_set | ({"test": test} if test != path and Path(test).is_file() else {})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--saes", nargs="+", type=Path, help="folders of SAEs")
    parser.add_argument("--data", nargs="+", help="files of texts, each with its label column")
    parser.add_argument("--site", help="site or alias, where the SAEs' files name none")
    parser.add_argument("--compat", choices=["saebench"], help="add SAEBench's own form")
    options = parser.parse_args()
    if (options.saes is None) != (options.model is None):
        parser.error("--saes and --model come together")
    if options.model and not options.data:
        parser.error("a model of yours needs --data")
    options.saes = options.saes or [lab.path(f"world/{name}") for name in LAB_SAES]
    return options


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    main()
