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
    """The named tensors as float32, if none is missing and none is left over.

    Args:
        content: All entries of the file.
        path: The file, for messages.
        required: Names that it must have.
        optional: Names that it may have.
        whole: Those of these names that hold whole numbers, which keep their type. A single
            integer, such as k, keeps it under any name.

    Raises:
        LoadError: if a required tensor is missing, an entry has no meaning here or is no tensor,
            a tensor holds NaN or infinity, or weights are integers or booleans.
    """
    missing = [name for name in required if name not in content]
    if missing:
        raise LoadError(
            f"{path} lacks {_quoted(missing)}; it holds {_quoted(content)}. It is incomplete, or "
            "belongs to another architecture than its configuration says."
        )
    extra = [name for name in content if name not in required and name not in optional]
    if extra:
        raise LoadError(
            f"{path} holds {_quoted(extra)}, which has no meaning for this architecture. To leave "
            "it out might change what the SAE computes, so the file is refused."
        )
    return {name: _checked_tensor(name, value, path, whole) for name, value in content.items()}


def _checked_tensor(name: str, value: Any, path: Path, whole: Sequence[str]) -> Tensor:
    if not isinstance(value, Tensor):
        raise LoadError(f"'{name}' in {path} must be a tensor, but is a {type(value).__name__}.")
    tensor = value.detach()
    if name in whole or (tensor.ndim == 0 and _is_integer(tensor)):
        return _checked_whole(name, tensor, path)
    if not tensor.is_floating_point():
        raise LoadError(
            f"'{name}' in {path} holds {_dtype(tensor)}, but weights are floating-point numbers. "
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


def _checked_whole(name: str, tensor: Tensor, path: Path) -> Tensor:
    """A tensor of whole numbers, such as k, in whatever numeric type they are stored."""
    if tensor.dtype == torch.bool or tensor.is_complex() or bool((tensor != tensor.round()).any()):
        raise LoadError(
            f"'{name}' in {path} must hold whole numbers, but holds {tensor.flatten()[:4].tolist()}"
            f" ({_dtype(tensor)})."
        )
    return tensor


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def matrix(tensor: Tensor, name: str, path: Path) -> Tensor:
    """Check that a tensor has two dimensions, so that it can be transposed.

    Raises:
        LoadError: if it has another number of dimensions.
    """
    if tensor.ndim != 2:
        raise LoadError(f"'{name}' in {path} has shape {list(tensor.shape)}; a matrix is needed.")
    return tensor


def transposed(tensor: Tensor, name: str, path: Path) -> Tensor:
    """A matrix transposed, in contiguous memory."""
    return matrix(tensor, name, path).T.contiguous()


def scalar(tensor: Tensor, name: str, path: Path) -> float:
    """The value of a tensor that holds one number.

    Raises:
        LoadError: if it has more than one.
    """
    if tensor.numel() != 1:
        raise LoadError(f"'{name}' in {path} has shape {list(tensor.shape)}; one value is needed.")
    return tensor.item()


def check_width(config_width: Any, width: int, label: str, path: Path) -> None:
    """Check that a width in a configuration, if it states one, is that of the tensors.

    Raises:
        LoadError: if they differ.
    """
    if config_width is not None and (isinstance(config_width, bool) or config_width != width):
        raise LoadError(
            f"{path} says {label} = {config_width!r}, but the tensors beside it have {width}. "
            "Configuration and weights do not belong together."
        )


def _quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"
