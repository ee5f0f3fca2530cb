"""CPU seconds of a task: preparing a site, the first SAE and each further one."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peak import peak_megabytes

from saeval.activations import ActivationSource
from saeval.evidence import Evidence, summarise_all
from saeval.sae.loaders import load_folder
from saeval.task import Prepared


def print_costs(task: Any, source: ActivationSource, saes: Sequence[Path]) -> Prepared:
    """Prepare once, score every SAE, print what each cost; gives what was prepared."""
    begun = time.process_time()
    prepared = task.prepare(source, 0)
    print(f"{'CPU seconds':32} {'score':>7} {'intervals':>9} {'all':>7}")
    print(f"{'prepare':32} {'':7} {'':9} {time.process_time() - begun:7.2f}")
    for number, place in enumerate(saes):
        begun = time.process_time()
        found = list(task.score(load_folder(place), prepared, source, 0))
        scored = time.process_time()
        summarise_all([one for one in found if isinstance(one, Evidence)])
        done = time.process_time()
        name = f"{'further' if number else 'first'}: {place.name}"
        times = f"{scored - begun:7.2f} {done - scored:9.2f} {done - begun:7.2f}"
        print(f"{name:32.32} {times}")
    print(f"peak memory {peak_megabytes():.0f} MB")
    return prepared
