"""What `absorption` costs: preparing a site, the first SAE and each further one, one thread.

    python benchmarks/absorption.py --model FOLDER --saes FOLDER...

Without inputs it reads the lab's model and its SAEs.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from costs import print_costs
from saeval_tasks.absorption import Absorption

from saeval import lab
from saeval.activations import Store, model_source
from saeval.models import load_model
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder

LAB_SITE = "layers.1"


def main() -> None:
    """Prepare once, score every SAE, print what each cost."""
    options = _arguments()
    model = load_model(str(options.model or lab.path("world/model")))
    site = options.site or origin_of(load_folder(options.saes[0])).read_site or LAB_SITE
    with tempfile.TemporaryDirectory() as folder:
        source = model_source(model, site, store=Store(Path(folder)))
        task = Absorption(
            compat=options.compat,
            min_probe_f1=options.min_probe_f1,
            min_letters=options.min_letters,
        )
        print_costs(task, source, options.saes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--saes", nargs="+", type=Path, help="folders of SAEs")
    parser.add_argument("--site", help="site or alias, where the SAEs' files name none")
    parser.add_argument("--compat", choices=["saebench"], help="SAEBench's figures besides")
    parser.add_argument("--min-probe-f1", type=float, default=0.6)
    parser.add_argument("--min-letters", type=int, default=5)
    options = parser.parse_args()
    if (options.saes is None) != (options.model is None):
        parser.error("--saes and --model come together")
    if options.saes is None:
        options.saes = [Path(lab.path(f"world/{name}")) for name in ("topk-16", "relu-16")]
    return options


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
