"""What `core` costs for wide SAEs: CPU seconds and memory beyond the weights, one thread.

    python benchmarks/wide.py [--log2 12 14 16 18 20] [--vectors 4096] [--d 128]

Each width runs in a process of its own, so that its peak is its own.
"""

import argparse
import os
import subprocess
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from peak import peak_megabytes
from saeval_tasks.core import Core

from saeval.activations import array_source
from saeval.evidence import Evidence, summarise_all
from saeval.sae.architectures import TopK


def main() -> None:
    """One line a width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log2", nargs="+", type=int, default=[12, 14, 16, 18, 20])
    parser.add_argument("--vectors", type=int, default=4096)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        _measure(2 ** options.log2[0], options.d, options.vectors)
        return
    print(f"TopK, k 32, d {options.d}, {options.vectors} vectors")
    print("  latents  weights  beyond them  CPU seconds")
    for log2 in options.log2:
        size = [str(option) for option in ("--vectors", options.vectors, "--d", options.d)]
        command = [sys.executable, __file__, "--alone", "--log2", str(log2), *size]
        subprocess.run(command, check=True)


def _measure(d_sae: int, d: int, vectors: int) -> None:
    torch.set_num_threads(1)
    x = np.random.default_rng(0).normal(size=(vectors, d)).astype(np.float32)
    sae = _random_topk(d_sae, d)
    task: Any = Core()
    source = array_source(x)
    start = time.process_time()
    evidence = list(task.score(sae, task.prepare(source, 0), source, 0))
    summarise_all([item for item in evidence if isinstance(item, Evidence)])
    seconds = time.process_time() - start
    weights = sum(weight.nbytes for weight in (sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec)) / 1e6
    print(f"{d_sae:9} {weights:5.0f} MB {peak_megabytes() - weights:9.0f} MB {seconds:12.1f}")


def _random_topk(d_sae: int, d: int) -> TopK:
    """Random unit directions, drawn in place: copies would count as memory."""
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.empty(d_sae, d).normal_(generator=generator)
    W_dec /= W_dec.norm(dim=1, keepdim=True)
    W_enc = torch.empty(d, d_sae)
    W_enc.copy_(W_dec.T)
    return TopK(W_enc, torch.zeros(d_sae), W_dec, torch.zeros(d), 32)


if __name__ == "__main__":
    main()
