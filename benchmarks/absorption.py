"""What `absorption` costs: preparing a site, the first SAE and each further one, one thread.

    python benchmarks/absorption.py --model FOLDER --saes FOLDER...

Without inputs it reads the lab's model and its SAEs.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from peak import peak_megabytes
from saeval_tasks.absorption import Absorption

from saeval import lab
from saeval.activations import Store, model_source
from saeval.evidence import Evidence, summarise_all
from saeval.loaders import load_folder
from saeval.models import load_model
from saeval.sae import origin_of

LAB_SITE = "layers.1"


def main() -> None:
    """Prepare once, score every SAE, print what each cost."""
    asked = _arguments()
    model = load_model(str(asked.model or lab.path("world/model")))
    site = asked.site or origin_of(load_folder(asked.saes[0])).read_site or LAB_SITE
    with tempfile.TemporaryDirectory() as folder:
        source = model_source(model, site, store=Store(Path(folder)))
        task = Absorption(
            compat=asked.compat, min_probe_f1=asked.min_probe_f1, min_letters=asked.min_letters
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of a model")
    parser.add_argument("--saes", nargs="+", type=Path, help="folders of SAEs")
    parser.add_argument("--site", help="site or alias, where the SAEs' files name none")
    parser.add_argument("--compat", choices=["saebench"], help="SAEBench's figures besides")
    parser.add_argument("--min-probe-f1", type=float, default=0.6)
    parser.add_argument("--min-letters", type=int, default=5)
    asked = parser.parse_args()
    if (asked.saes is None) != (asked.model is None):
        parser.error("--saes and --model come together")
    if asked.saes is None:
        asked.saes = [Path(lab.path(f"world/{name}")) for name in ("topk-16", "relu-16")]
    return asked


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
