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
    """Prepare once, score every SAE, print the cost of each; returns the prepared data."""
    start = time.process_time()
    prepared = task.prepare(source, 0)
    print(f"{'CPU seconds':32} {'score':>7} {'intervals':>9} {'all':>7}")
    print(f"{'prepare':32} {'':7} {'':9} {time.process_time() - start:7.2f}")
    for number, folder in enumerate(saes):
        start = time.process_time()
        evidence = list(task.score(load_folder(folder), prepared, source, 0))
        scored = time.process_time()
        summarise_all([item for item in evidence if isinstance(item, Evidence)])
        end = time.process_time()
        name = f"{'further' if number else 'first'}: {folder.name}"
        times = f"{scored - start:7.2f} {end - scored:9.2f} {end - start:7.2f}"
        print(f"{name:32.32} {times}")
    print(f"peak memory {peak_megabytes():.0f} MB")
    return prepared
