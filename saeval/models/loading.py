"""A model's name -> its network, tokenizer and identity, from safetensors only."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from saeval.errors import ModelError, UsageError
from saeval.models import quantised
from saeval.models.places import Place, load_error
from saeval.models.weight_files import choosing_files, weight_files

logger = logging.getLogger(__name__)

_UNUSED_WEIGHTS = ("pooler.",)
"""Weights that hidden states do not depend on: checkpoints may lack them."""

_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes that only read tokenizer.json."""


def pick_device(device: str) -> str:
    """`auto` becomes cuda, mps or cpu, the first that is available.

    Raises:
        UsageError: if the device is not available.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, usable in available.items() if usable)
    kind = device.split(":", maxsplit=1)[0]
    if not available.get(kind, False):
        raise UsageError(
            f"There is no device '{device}' here; there is "
            f"{', '.join(name for name, usable in available.items() if usable)}. Use --device auto."
        )
    return device


def fetch_network(place: Place, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """Network in eval mode, and tokenizer (None where the files hold none).

    A quantised network is loaded onto the device if it can be, any other one into main memory.

    Raises:
        ModelError: if the files are gated, out of reach, no safetensors, of a kind that cannot be
            run here, or lack weights.
    """
    options = {
        "revision": place.commit,
        "trust_remote_code": False,
        "local_files_only": place.cached_only,
    }
    if place.is_local:
        weight_files(Path(place.root))  # raises if an index names files outside the folder
    method = None
    with _quiet_transformers():
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(place.root, **options)
            method = quantised.method_of(config)
            auto = _network_class(place.name, config)
            net, report = auto.from_pretrained(
                place.root,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                **quantised.loading_options(method, device),
                **options,
            )
        except Exception as error:
            if method is not None:  # the error's type depends on the missing package
                raise quantised.cannot_load(place.name, method, str(error)) from error
            if not isinstance(error, OSError | ValueError | KeyError | RuntimeError | ImportError):
                raise
            raise load_error(place, error) from error
        if method is not None:
            quantised.refuse_ignored(place.name, method, net)
        _refuse_gaps(place.name, report)
        tokenizer = _fetch_tokenizer(place)
    return net.eval().requires_grad_(requires_grad=False), tokenizer


def move_network(net: Any, device: str) -> Any:
    """The network on the device. Quantised networks often cannot be moved from where they loaded.

    Raises:
        ModelError: if a quantised network lies elsewhere and cannot be moved.
    """
    is_there = next(net.parameters()).device.type == device.split(":", maxsplit=1)[0]
    if is_there and is_quantised(net):
        return net
    try:
        return net.to(device)
    except (ValueError, RuntimeError) as error:
        if not is_quantised(net):
            raise
        raise quantised.cannot_load(type(net).__name__, "on its device", str(error)) from error


def is_quantised(net: Any) -> bool:
    """Whether transformers loaded a network with quantised weights."""
    return getattr(net, "hf_quantizer", None) is not None


def identity_of(place: Place) -> str:
    """Identity of the model's files: `id@commit`, or a hash of the folder's content."""
    return (
        f"local:{_digest(Path(place.root))}" if place.is_local else f"{place.root}@{place.commit}"
    )


def tokenizer_identity(tokenizer: Any, model_identity: str) -> str:
    """The model's identity for files at the hub; a hash of the tokenizer for local ones."""
    if tokenizer is None or not model_identity.startswith("local:"):
        return model_identity
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    special = json.dumps(tokenizer.special_tokens_map, sort_keys=True, default=str)
    return f"local:{hashlib.sha256((content + special).encode()).hexdigest()}"


def _fetch_tokenizer(place: Place) -> Any:
    """The tokenizer in a model's files, or None if they hold none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    options: dict[str, Any] = {"local_files_only": place.cached_only}
    if place.commit is not None:
        options["revision"] = place.commit
    try:
        class_name = get_tokenizer_config(place.root, **options).get("tokenizer_class")
        # Where the files name no model's tokenizer, tokenizer.json is all there is to know. The
        # auto class may put the tokenizer that is usual for the architecture in its place.
        kind = PreTrainedTokenizerFast if class_name in _GENERIC_TOKENIZERS else AutoTokenizer
        tokenizer = kind.from_pretrained(place.root, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s has no tokenizer that loads (%s).", place, error)
        return None
    # Without files, the auto class makes a tokenizer that knows nothing but special tokens.
    return tokenizer if len(tokenizer) > len(tokenizer.all_special_ids) else None


def _network_class(name: str, config: Any) -> Any:
    """The auto class: causal models (also with vision) with their head, encoders without."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if config.is_encoder_decoder:
        raise ModelError(
            f"'{name}' is an encoder-decoder ({config.model_type}), which saeval does not run. "
            "Use a decoder, an encoder, or stored activations (.npy, .safetensors, .parquet)."
        )
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if causal and (not masked or getattr(config, "is_decoder", False)):
        return AutoModelForCausalLM
    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    return AutoModel


def _refuse_gaps(name: str, report: dict[str, Any]) -> None:
    """Refuse checkpoints that lack weights, since those would be random numbers."""
    missing = [key for key in report["missing_keys"] if not key.startswith(_UNUSED_WEIGHTS)]
    if missing or report["mismatched_keys"]:
        keys = sorted(missing) or [str(key) for key in report["mismatched_keys"]]
        raise ModelError(
            f"The files of '{name}' lack {len(keys)} weights, which would be left random "
            f"({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}). They are damaged, or "
            "were saved from another kind of model."
        )


def _digest(folder: Path) -> str:
    """sha256 over the configuration and weights of a local model, file names included."""
    digest = hashlib.sha256()
    files = [folder / "config.json", *weight_files(folder), *choosing_files(folder)]
    for path in sorted(files):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """While open, transformers shows neither progress bars nor advice of its own."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
