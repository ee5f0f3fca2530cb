"""From a file's tensors to those an architecture needs: all of them, only them, and finite."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError


def exactly(
    content: Mapping[str, Any],
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    whole: Sequence[str] = (),
) -> dict[str, Tensor]:
    """The named tensors as float32, none missing, none left over.

    Args:
        content: What the file holds.
        path: The file, for messages.
        required: Names that must be there.
        optional: Names that may be there.
        whole: Those of them that hold whole numbers, which stay as they are; so does one integer
            by itself, such as k, whatever its name.

    Raises:
        LoadError: if a required one is missing, one has no meaning here, one is no tensor, one
            holds NaN or infinity, or weights are integers or booleans.
    """
    missing = [name for name in required if name not in content]
    if missing:
        raise LoadError(
            f"{path} lacks {_list(missing)}; it holds {_list(content)}. It is incomplete, or "
            "belongs to another architecture than its configuration says."
        )
    extra = [name for name in content if name not in required and name not in optional]
    if extra:
        raise LoadError(
            f"{path} holds {_list(extra)}, which has no meaning for this architecture. To leave "
            "it out might change what the SAE computes, so the file is refused."
        )
    return {name: _finite(name, value, path, whole) for name, value in content.items()}


def _finite(name: str, value: Any, path: Path, whole: Sequence[str]) -> Tensor:
    if not isinstance(value, Tensor):
        raise LoadError(f"'{name}' in {path} must be a tensor, but is a {type(value).__name__}.")
    tensor = value.detach()
    if name in whole or (tensor.ndim == 0 and _is_integer(tensor)):
        return _whole(name, tensor, path)
    if not tensor.is_floating_point():
        raise LoadError(
            f"'{name}' in {path} holds {_kind(tensor)}, but weights are floating-point numbers. "
            "They were quantised or mixed up; store them as float32, float16 or bfloat16."
        )
    tensor = tensor.to(torch.float32)
    # A sum in float64 cannot overflow, and any NaN or infinity shows in it: one pass, no copy.
    if not bool(tensor.sum(dtype=torch.float64).isfinite()):
        bad = int((~tensor.isfinite()).sum())
        raise LoadError(
            f"'{name}' in {path} holds {bad:,} values that are NaN or infinite, of "
            f"{tensor.numel():,}. Training diverged or the file is damaged."
        )
    return tensor


def _whole(name: str, tensor: Tensor, path: Path) -> Tensor:
    """A tensor of whole numbers, such as k, in whatever numeric type they are stored."""
    if tensor.dtype == torch.bool or tensor.is_complex() or bool((tensor != tensor.round()).any()):
        raise LoadError(
            f"'{name}' in {path} must hold whole numbers, but holds {tensor.flatten()[:4].tolist()}"
            f" ({_kind(tensor)})."
        )
    return tensor


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def matrix(tensor: Tensor, name: str, path: Path) -> Tensor:
    """A tensor that must have two dimensions, so that it can be transposed.

    Raises:
        LoadError: if it has another number of them.
    """
    if tensor.ndim != 2:
        raise LoadError(f"'{name}' in {path} has shape {list(tensor.shape)}; a matrix is needed.")
    return tensor


def transposed(tensor: Tensor, name: str, path: Path) -> Tensor:
    """A matrix the other way round, laid out anew."""
    return matrix(tensor, name, path).T.contiguous()


def scalar(tensor: Tensor, name: str, path: Path) -> float:
    """The one value of a tensor without extent.

    Raises:
        LoadError: if it has more than one.
    """
    if tensor.numel() != 1:
        raise LoadError(f"'{name}' in {path} has shape {list(tensor.shape)}; one value is needed.")
    return tensor.item()


def check_width(expected: Any, found: int, what: str, path: Path) -> None:
    """A width that a configuration states is the one that the tensors have.

    Raises:
        LoadError: if it is not.
    """
    if expected is not None and (isinstance(expected, bool) or expected != found):
        raise LoadError(
            f"{path} says {what} = {expected!r}, but the tensors beside it have {found}. "
            "Configuration and weights do not belong together."
        )


def _list(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"
