"""What every architecture checks of its own fields when it is made."""

from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args

from jaxtyping import AbstractArray
from torch import Tensor

from saeval.errors import LoadError


def check_fields(architecture: type, values: Mapping[str, Any]) -> None:
    """Check that every value fits its field's annotation, and that equal dimensions have one size.

    Raises:
        LoadError: naming the field, its value or shape, and what is needed; or if b_dec is to be
            subtracted from inputs of another width.
    """
    sizes: dict[str, int] = {}
    for item in fields(architecture):
        value = values.get(item.name)
        for annotation in _array_annotations(item.type):
            if isinstance(value, Tensor):
                label = f"{item.name} of this {architecture.__name__}"
                _check_shape(label, value, annotation, sizes)
        if item.type in (int, float, bool) and item.name in values:
            _check_type(item.name, value, item.type)
    if values.get("subtract_b_dec") and sizes.get("d_in") != sizes.get("d_out"):
        raise LoadError(
            f"b_dec has {sizes.get('d_out')} entries and cannot be subtracted from inputs of width "
            f"{sizes.get('d_in')}. An SAE that writes elsewhere than it reads must not do so."
        )


def _check_shape(label: str, tensor: Tensor, annotation: Any, sizes: dict[str, int]) -> None:
    """Compare a shape with an annotation; new dimensions are added to `sizes`."""
    dims = annotation.dim_str.split()
    expected = [sizes.get(dim, dim) for dim in dims]
    if tensor.ndim != len(dims) or not tensor.is_floating_point():
        raise _shape_error(label, tensor, expected)
    for dim, size in zip(dims, tensor.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise _shape_error(label, tensor, expected)


def _shape_error(label: str, tensor: Tensor, expected: list[Any]) -> LoadError:
    dims = ", ".join(map(str, expected))
    return LoadError(
        f"{label} has shape {list(tensor.shape)} ({tensor.dtype}), but [{dims}] in floating point "
        "is needed, given its other tensors. The file is mis-shaped, or was read as the wrong "
        "format."
    )


def _check_type(name: str, value: Any, kind: Any) -> None:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise LoadError(f"'{name}' is {value!r}, but must be of type {kind.__name__}.")


def check_shapes(sae: Any) -> None:
    """Run `check_fields` on an architecture that exists already.

    Raises:
        LoadError: as `check_fields`.
    """
    check_fields(type(sae), {item.name: getattr(sae, item.name) for item in fields(sae)})


def tensor_fields(architecture: type) -> dict[str, bool]:
    """Names of an architecture's tensor fields, and whether each is required."""
    return {
        item.name: not isinstance(item.type, UnionType)
        for item in fields(architecture)
        if _array_annotations(item.type)
    }


def _array_annotations(annotation: Any) -> list[Any]:
    """The jaxtyping part of a field's annotation, which may also allow None."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, AbstractArray)]


def check_k(k: int, d_sae: int) -> None:
    """Check that k is a whole number from 1 to d_sae.

    Raises:
        LoadError: if it is not.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= d_sae:
        raise LoadError(f"k is {k!r}, but must be a whole number from 1 to d_sae = {d_sae}.")


def check_threshold(threshold: float) -> None:
    """Check that one threshold for all latents is at least 0.

    Raises:
        LoadError: if it is negative. Training software writes such a value until it sets one.
    """
    if not threshold >= 0:
        raise LoadError(
            f"The threshold is {threshold}, but must be at least 0. A negative one was never set: "
            "training ended before its estimate began, so that the file cannot be used."
        )
