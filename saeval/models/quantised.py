"""Models whose weights are stored in few bits: run where transformers can, or refused."""

from typing import Any

from torch import nn

from saeval.errors import ModelError


def method_of(config: Any) -> str | None:
    """How a configuration says that the weights are quantised; None if it says nothing."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    told = settings if isinstance(settings, dict) else vars(settings)
    method = told.get("quant_method") or ("bitsandbytes" if _bitsandbytes(told) else "unnamed")
    return str(getattr(method, "value", method))


def refuse_ignored(name: str, method: str, net: Any) -> None:
    """Refuse a network that was loaded as if its weights were not quantised.

    Raises:
        ModelError: if transformers passed over what the configuration says.
    """
    still = getattr(net.config, "quantization_config", None) is not None
    if still and getattr(net, "hf_quantizer", None) is None:
        raise cannot_load(name, method, "it knows no such quantisation")


def cannot_load(name: str, method: str, reason: str) -> ModelError:
    """What to say when transformers does not load a quantised model, in one line."""
    reason = " ".join(reason.split()).rstrip(".!")
    return ModelError(
        f"'{name}' holds quantised weights ({method}), and transformers cannot load them here: "
        f"{reason:.300}. Install what that names, run where such weights are supported, or give "
        "the model in full precision."
    )


def refuse_integer_layers(net: nn.Module) -> None:
    """Refuse networks that torch itself has quantised.

    Their layers round activations to a range that is taken over all tokens of a batch, so that a
    score would depend on what else is in the batch; and their packed weights have no bytes to be
    known by.

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


def _bitsandbytes(told: dict[str, Any]) -> bool:
    return bool(told.get("load_in_4bit") or told.get("load_in_8bit"))
