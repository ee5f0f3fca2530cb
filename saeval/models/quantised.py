"""Models whose weights are stored in few bits: run if transformers can, else refused."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from saeval.errors import ModelError


def method_of(config: Any) -> str | None:
    """The quantisation method that a configuration names; None if it names none."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    fields = settings if isinstance(settings, dict) else vars(settings)
    method = fields.get("quant_method") or (
        "bitsandbytes" if _is_bitsandbytes(fields) else "unnamed"
    )
    return str(getattr(method, "value", method))


def refuse_ignored(name: str, method: str, net: Any) -> None:
    """Refuse a network that was loaded as if its weights were not quantised.

    Raises:
        ModelError: if transformers ignored the configuration's quantisation.
    """
    is_quantised = getattr(net.config, "quantization_config", None) is not None
    if is_quantised and getattr(net, "hf_quantizer", None) is None:
        raise cannot_load(name, method, "it knows no such quantisation")


def cannot_load(name: str, method: str, reason: str) -> ModelError:
    """The error for a quantised model that transformers does not load."""
    reason = " ".join(reason.split()).rstrip(".!")
    return ModelError(
        f"'{name}' holds quantised weights ({method}), and transformers cannot load them here: "
        f"{reason:.300}. Install what that names, run where such weights are supported, or give "
        "the model in full precision."
    )


def refuse_integer_layers(net: nn.Module) -> None:
    """Refuse networks that torch itself has quantised.

    Their layers round activations to a range over all tokens of a batch, so a score would depend
    on the other tokens of the batch. And their packed weights have no bytes to take a hash of.

    Raises:
        ModelError: if a layer is one of torch's quantised ones.
    """
    for name, module in net.named_modules():
        if ".quantized." in type(module).__module__:
            raise ModelError(
                f"'{name}' is a layer quantised by torch ({type(module).__name__}): it rounds a "
                "token's activations by what else is in the batch, and holds weights that cannot "
                "be identified. Give the network as it was before, or one whose weights alone are "
                "quantised."
            )


def compute_dtype(net: nn.Module) -> torch.dtype:
    """The dtype of a network's activations: that of its first weights that are not quantised.

    Quantised weights are integers, or floats of one byte.
    """
    return next(
        (
            weight.dtype
            for weight in (*net.parameters(), *net.buffers())
            if weight.is_floating_point() and weight.dtype.itemsize > 1
        ),
        torch.float32,
    )


def loading_options(method: str | None, device: str) -> dict[str, Any]:
    """Options with which a model's weights are loaded where they are to stay.

    Quantised weights often cannot be moved once they are loaded. Without accelerate, transformers
    takes no such option, and mostly cannot load them either.
    """
    if method is None or find_spec("accelerate") is None:
        return {}
    return {"device_map": {"": device}}


def _is_bitsandbytes(fields: dict[str, Any]) -> bool:
    return bool(fields.get("load_in_4bit") or fields.get("load_in_8bit"))
