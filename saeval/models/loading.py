"""A model's name -> its network, tokenizer and identity, from safetensors only."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from saeval.errors import ModelError
from saeval.models.names import canonical_name

logger = logging.getLogger(__name__)

_UNUSED_WEIGHTS = ("pooler.",)
"""Weights off the path from tokens to hidden states: checkpoints may lack them."""

_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes that are nothing but a reader of tokenizer.json."""
_OUT_OF_REACH = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectError",
    "ConnectionError",
}
"""Exceptions, by name, of a hub that does not answer."""


def pick_device(device: str) -> str:
    """`auto` becomes cuda, mps or cpu, the first that is there.

    Raises:
        ModelError: if the device named is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, there in present.items() if there)
    kind = device.split(":", maxsplit=1)[0]
    if not present.get(kind, False):
        raise ModelError(
            f"There is no device '{device}' here; there is "
            f"{', '.join(name for name, there in present.items() if there)}. Use --device auto."
        )
    return device


def fetch_network(
    name: str, revision: str | None, device: str, dtype: torch.dtype
) -> tuple[Any, Any, str | None, str]:
    """Network, tokenizer (None where the files hold none), revision and identity.

    Raises:
        ModelError: if the model is missing, gated, out of reach, without safetensors, of a kind
            that cannot be run here, or its files lack weights.
    """
    place = name if Path(name).is_dir() else canonical_name(name)
    with _quiet():
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise _explained(name, place, revision, error) from error
        auto = _network_class(name, config)
        try:
            net, report = auto.from_pretrained(
                place,
                config=config,
                revision=revision,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _explained(name, place, revision, error) from error
        _refuse_gaps(name, report)
        tokenizer = _fetch_tokenizer(name, place, revision)
    net = net.eval().requires_grad_(requires_grad=False).to(device)
    commit = getattr(net.config, "_commit_hash", None) or revision
    identity = f"local:{_digest(Path(place))}" if Path(place).is_dir() else f"{place}@{commit}"
    return net, tokenizer, commit, identity


def tokenizer_identity(tokenizer: Any, model_identity: str) -> str:
    """The model's identity for files at the hub; a hash of the tokenizer for local ones."""
    if tokenizer is None or not model_identity.startswith("local:"):
        return model_identity
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    special = json.dumps(tokenizer.special_tokens_map, sort_keys=True, default=str)
    return f"local:{hashlib.sha256((content + special).encode()).hexdigest()}"


def _fetch_tokenizer(name: str, place: str, revision: str | None) -> Any:
    """The tokenizer in a model's files, or None if they hold none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        saved = get_tokenizer_config(place, revision=revision).get("tokenizer_class")
        # Where the files name no model's tokenizer, tokenizer.json is all there is to know. The
        # auto class may put the tokenizer that is usual for the architecture in its place.
        kind = PreTrainedTokenizerFast if saved in _GENERIC_TOKENIZERS else AutoTokenizer
        tokenizer = kind.from_pretrained(
            place, revision=revision or "main", trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s has no tokenizer that loads (%s); only token rows serve.", name, error)
        return None
    # Without files, the auto class makes a tokenizer that knows nothing but special tokens.
    return tokenizer if len(tokenizer) > len(tokenizer.all_special_ids) else None


def _network_class(name: str, config: Any) -> Any:
    """The auto class: causal models with their head, encoders without."""
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
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
    return AutoModel


def _refuse_gaps(name: str, report: dict[str, Any]) -> None:
    """Weights a checkpoint lacks would be random numbers."""
    missing = [key for key in report["missing_keys"] if not key.startswith(_UNUSED_WEIGHTS)]
    if missing or report["mismatched_keys"]:
        wrong = sorted(missing) or [str(key) for key in report["mismatched_keys"]]
        raise ModelError(
            f"The files of '{name}' lack {len(wrong)} weights, which would be left random "
            f"({', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}). They are damaged, or "
            "were saved from another kind of model."
        )


def _explained(name: str, place: str, revision: str | None, error: Exception) -> ModelError:
    """What went wrong and what to do, from the library's exception and what caused it."""
    chain, cause = [], error
    while cause is not None and len(chain) < 8:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    kinds = {type(link).__name__ for link in chain}
    text = " ".join(str(link) for link in chain)
    at = f" at revision '{revision}'" if revision else ""
    tried = f"'{name}'" if place == name else f"'{name}' (Hugging Face id '{place}')"
    reason = str(error).strip().split("\n")[0]
    if Path(place).is_dir():
        return ModelError(
            f"The folder '{place}' holds no model that loads: {reason} Needed are config.json and "
            "safetensors weights (pickled weights are never read), as save_pretrained writes them."
        )
    offline = " (HF_HUB_OFFLINE is set)" if _offline() else ""
    if "GatedRepoError" in kinds or "gated repo" in text.lower():
        advice = (
            "is gated. Accept its licence on its page at the hub and log in with `hf auth login` "
            "or set HF_TOKEN; or give a local folder."
        )
    elif "RevisionNotFoundError" in kinds:
        advice = "has no such revision. Give a branch, a tag or a commit."
    elif "does not appear to have a file named" in text:
        advice = (
            "has no safetensors weights, and pickled weights are never read. Give a revision that "
            "has them, or a folder written by save_pretrained."
        )
    elif offline or kinds & _OUT_OF_REACH:
        advice = (
            "is neither a local folder nor in the local cache, and the hub is out of reach"
            f"{offline}. Check the name, give a local folder, or run once where there is a network."
        )
    elif "RepositoryNotFoundError" in kinds or "not a valid model identifier" in text:
        advice = (
            "is neither a local folder nor a public repository at the hub. Check the spelling; "
            "for a private one log in with `hf auth login`."
        )
    else:
        advice = f"does not load: {reason}"
    return ModelError(f"The model {tried}{at} {advice}")


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _digest(folder: Path) -> str:
    """sha256 over the configuration and weights of a local model, file names included."""
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """While open, transformers shows neither progress bars nor advice of its own."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
