"""An SAE in one line, as Python shows it: its sizes and constants, and where it comes from."""

from dataclasses import fields
from typing import Any

from saeval.results.text import one_line
from saeval.sae.protocol import d_out, origin_of
from saeval.sae.site import Origin

_SIZES = ("d_in", "d_sae")


def short_repr(sae: Any, /) -> str:
    """`TopK(d_in=128, d_sae=1024, k=16, from lab/world/topk-16)`. No tensor is printed.

    Constants that have their default are left out. `from` is left out where the SAE was not loaded
    by a name. Meant as the `__repr__` of a dataclass that is an SAE.
    """
    parts = [f"{name}={getattr(sae, name)}" for name in _SIZES]
    defaults = {item.name: item.default for item in fields(sae) if item.name not in _SIZES}
    if ("W_dec" in defaults or "inner" in defaults) and d_out(sae) != sae.d_in:
        parts.append(f"d_out={d_out(sae)}")
    for name, default in defaults.items():
        value = getattr(sae, name)
        if isinstance(value, bool | int | float | tuple):
            text = f"{value:g}" if isinstance(value, float) else f"{value}"
            parts += [f"{name}={text}"] if value != default else []
        elif not isinstance(value, Origin) and _is_compound(value, default):
            parts.append(f"{name}={type(getattr(value, 'inner', value)).__name__}")
    source = origin_of(sae).source
    return (
        f"{type(sae).__name__}({', '.join(parts)}{f', from {one_line(source)}' if source else ''})"
    )


def _is_compound(value: Any, default: Any) -> bool:
    """Whether it is a record other than the default: an SAE, a transform, a wrapped object."""
    return hasattr(value, "__dataclass_fields__") and value != default
