"""What an object of another library declares: the width of its input, its model and its sites."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from saeval.sae import Origin
from saeval.sae.site import joined, of_head


def declared_width(inner: Any) -> int | None:
    """Input width that an object declares in one of the usual ways; None if it declares none."""
    width = _first_attribute(inner, "d_in", "activation_dim", "act_size")
    for name, axis in (("W_enc", 0), ("W_dec", 1)):
        weight = getattr(inner, name, None)
        if width is None and isinstance(weight, Tensor) and weight.ndim == 2:
            width = weight.shape[axis]
    return width if isinstance(width, int) and width > 0 else None


def declared_origin(inner: Any) -> Origin:
    """Model and sites that an object declares in one of the usual ways."""
    origin = getattr(inner, "origin", None)
    if isinstance(origin, Origin):
        return origin
    model = _first_attribute(inner, "model_name", "lm_name")
    read_site = _first_attribute(inner, "hook_name", "read_site")
    write_site = _first_attribute(inner, "write_site")
    bos, context = _first_attribute(inner, "prepend_bos"), _first_attribute(inner, "context_size")
    index = _first_attribute(inner, "hook_head_index", "head_index")
    head = index if type(index) is int else None
    return Origin(
        model=model if isinstance(model, str) else None,
        read_site=of_head(_sites_text(read_site), head),
        write_site=_sites_text(write_site),
        prepend_bos=bos if isinstance(bos, bool) else None,
        context_size=context if isinstance(context, int) else None,
        metadata={"class": type(inner).__name__},
    )


def _sites_text(value: Any) -> str | None:
    """One site's name, or those of several, as one text."""
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return joined(value)
    return value if isinstance(value, str) else None


def _first_attribute(inner: Any, *names: str) -> Any:
    """The first of these attributes that an object, its `cfg` or its `cfg.metadata` has."""
    cfg = getattr(inner, "cfg", None)
    for holder in (inner, cfg, _get_value(cfg, "metadata")):
        for name in names:
            value = _get_value(holder, name)
            if value is not None:
                return value
    return None


def _get_value(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
