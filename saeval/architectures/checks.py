"""What every architecture checks of its own fields when it is made."""

from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, get_args

from jaxtyping import AbstractArray
from torch import Tensor

from saeval.errors import LoadError


def check_shapes(sae: Any) -> None:
    """Every tensor field has the shape that its annotation states, the same sizes throughout.

    Raises:
        LoadError: naming the field, its shape, and the shape that the other fields imply; or if
            b_dec is to be subtracted from an input of another width.
    """
    sizes: dict[str, int] = {}
    for name, tensor, dims in annotated_tensors(sae):
        expected = [sizes.get(dim, dim) for dim in dims]
        fits = tensor.ndim == len(dims) and all(
            sizes.setdefault(dim, size) == size
            for dim, size in zip(dims, tensor.shape, strict=True)
        )
        if not fits:
            raise LoadError(
                f"{name} of this {type(sae).__name__} has shape {list(tensor.shape)}, but "
                f"[{', '.join(str(one) for one in expected)}] is needed, given its other tensors. "
                "The file is mis-shaped, or was read as the wrong format."
            )
    if getattr(sae, "subtract_b_dec", False) and sae.d_in != len(sae.b_dec):
        raise LoadError(
            f"b_dec has {len(sae.b_dec)} entries and cannot be subtracted from inputs of width "
            f"{sae.d_in}. An SAE that writes elsewhere than it reads must not subtract it."
        )


def annotated_tensors(sae: Any) -> Iterator[tuple[str, Tensor, list[str]]]:
    """Name, tensor and dimension names of each tensor field that is not None."""
    for one in fields(sae):
        value = getattr(sae, one.name)
        for kind in _arrays(one.type):
            if isinstance(value, Tensor):
                yield one.name, value, kind.dim_str.split()


def tensor_fields(architecture: type) -> dict[str, bool]:
    """Names of an architecture's tensor fields, and whether each must be there."""
    return {
        one.name: not isinstance(one.type, UnionType)
        for one in fields(architecture)
        if _arrays(one.type)
    }


def _arrays(annotation: Any) -> list[Any]:
    """The jaxtyping part of a field's annotation, which may also allow None."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, AbstractArray)]


def check_k(k: int, d_sae: int) -> None:
    """K is a whole number from 1 to d_sae.

    Raises:
        LoadError: if it is not.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= d_sae:
        raise LoadError(f"k is {k!r}, but must be a whole number from 1 to d_sae = {d_sae}.")


def check_threshold(threshold: float) -> None:
    """A threshold for all latents is at least 0.

    Raises:
        LoadError: if it is negative, which training software writes for one never set.
    """
    if not threshold >= 0:
        raise LoadError(
            f"The threshold is {threshold}, but must be at least 0. A negative one was never set: "
            "training ended before its estimate began, so that the file cannot be used."
        )
