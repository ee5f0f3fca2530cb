"""What training an SAE costs beside the matrix products that it cannot do without, one thread.

    python benchmarks/train.py [--method topk] [--rows 1000000] [--d 128] [--d-sae 1024] [--k 16]

CPU seconds of a whole training on activations in memory, scaling, figures and all, and of five
products a step of the same shapes: encoding, decoding, and the gradients of acts and of both
matrices. Half of these are timed before the training and half after it, since a busy machine's
speed drifts.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from saeval.training import METHODS, Recipe, train


def main() -> None:
    """Two lines and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="topk", choices=sorted(METHODS))
    for name, value in (("rows", 1_000_000), ("d", 128), ("d-sae", 1024), ("k", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(options.d_sae, options.k, options.rows)
    x = _activations(options.rows + recipe.held_out, options.d)
    before = _products(recipe, options.d, recipe.steps // 2)
    start = time.process_time()
    trained = train(x, METHODS[options.method](), recipe)
    seconds = time.process_time() - start
    products = before + _products(recipe, options.d, recipe.steps - recipe.steps // 2)
    shape = f"{options.d} -> {options.d_sae}, k {options.k}"
    print(f"{options.method}, {shape}, {options.rows:,} activations")
    print(f"training {seconds:.1f} CPU s, FVU {trained.final.fvu:.3f}, L0 {trained.final.l0:.1f}")
    print(f"its matrix products alone {products:.1f} CPU s, ratio {seconds / products:.2f}")


def _activations(rows: int, d: int) -> np.ndarray:
    """Sparse sums of 4 d directions, made quickly."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4 * d, d), np.float32) / np.sqrt(d)
    x = 0.02 * rng.standard_normal((rows, d), np.float32)
    for _ in range(8):
        x += directions[(4 * d * rng.random(rows) ** 2).astype(int)] * rng.random((rows, 1))
    return x


def _products(recipe: Recipe, d: int, steps: int) -> float:
    """CPU seconds of the matrix products of so many training steps."""
    x, acts = torch.randn(recipe.batch_size, d), torch.randn(recipe.batch_size, recipe.d_sae)
    W_enc, W_dec = torch.randn(d, recipe.d_sae), torch.randn(recipe.d_sae, d)
    wide, narrow = torch.empty_like(acts), torch.empty_like(x)
    g_enc, g_dec = torch.empty_like(W_enc), torch.empty_like(W_dec)
    start = time.process_time()
    for _ in range(steps):
        torch.mm(x, W_enc, out=wide)
        torch.mm(acts, W_dec, out=narrow)
        torch.mm(x, W_dec.T, out=wide)
        torch.mm(x.T, acts, out=g_enc)
        torch.mm(acts.T, x, out=g_dec)
    return time.process_time() - start


if __name__ == "__main__":
    main()
