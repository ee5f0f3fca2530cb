"""Random directions that nulls keep: uniform on the sphere, or shaped as the activations are."""

from typing import Literal

import torch

from saeval.training.method import Setup, State, unit_rows


def set_directions(state: State, setup: Setup, kind: Literal["iso", "cov"]) -> None:
    """Draw the decoder's rows, and the encoder tied to them.

    "iso" keeps the uniform directions of the start. "cov" gives them the covariance of the
    reconstructed activations, then norm 1, so that they point where activations vary.

    Source: arXiv 2602.14111, for both.
    """
    if kind == "iso":
        return
    y = setup.y.double()
    values, vectors = torch.linalg.eigh(y.T @ y / len(y))
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    W_dec = state.weights["W_dec"]
    W_dec.copy_(unit_rows((W_dec.double() @ root).float()))
    if setup.reads_what_it_writes:
        state.weights["W_enc"].copy_(W_dec.T)
