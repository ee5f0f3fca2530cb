"""Matching pursuit and its signed form: the best atom is taken off the residual, step by step."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def take_off(
    acts: Float[Tensor, "tokens d_sae"],
    residual: Float[Tensor, "tokens d_in"],
    atoms: Float[Tensor, "d_sae d_in"],
    atom: Int[Tensor, " tokens"],
    amount: Float[Tensor, " tokens"],
) -> tuple[Float[Tensor, "tokens d_sae"], Float[Tensor, "tokens d_in"]]:
    """Add each token's amount to its atom's activation and take as much off its residual."""
    acts = acts.scatter_add(1, atom[:, None], amount[:, None])
    return acts, residual - amount[:, None] * atoms[atom]


def matching_pursuit(
    x: Float[Tensor, "tokens d_in"],
    atoms: Float[Tensor, "d_sae d_in"],
    max_steps: int,
    residual_norm: float,
    *,
    stop_on_repeat: bool,
) -> Float[Tensor, "tokens d_sae"]:
    """Positive matching pursuit: at each step the atom with the largest product, if > 0.

    A token is done once its residual's norm is below residual_norm, or (stop_on_repeat) after
    a step that brought no new atom.
    """
    residual = x
    acts = x.new_zeros(len(x), len(atoms))
    done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(max_steps):
        if bool(done.all()):
            break
        value, atom = (residual @ atoms.T).relu().max(1)
        active_before = acts != 0
        acts, residual = take_off(acts, residual, atoms, atom, value * ~done)
        done = done | (residual.norm(dim=1) < residual_norm)
        if stop_on_repeat:
            done = done | _unchanged(active_before, acts)
    return acts


def _unchanged(
    active_before: Bool[Tensor, "tokens d_sae"], acts: Float[Tensor, "tokens d_sae"]
) -> Bool[Tensor, " tokens"]:
    return (active_before == (acts != 0)).all(1)


def signed_pursuit(
    x: Float[Tensor, "tokens d_in"], atoms: Float[Tensor, "d_sae d_in"], steps: int
) -> Float[Tensor, "tokens d_sae"]:
    """Plain matching pursuit: `steps` times the atom with the largest |product|, with its sign."""
    residual = x
    acts = x.new_zeros(len(x), len(atoms))
    for _ in range(steps):
        products = residual @ atoms.T
        atom = products.abs().argmax(1)
        amount = products.gather(1, atom[:, None])[:, 0]
        acts, residual = take_off(acts, residual, atoms, atom, amount)
    return acts
