"""Contradictions are errors in every format: two values, wrong kinds, numbers that are none."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_formats import FORMATS, REPOSITORY, weights_of

from saeval.errors import LoadError
from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders import load_folder
from saeval.sae.loaders.saeval_format import save

Write = Callable[..., Path]

NUMBERS = {
    "sae_lens": ["d_in", "d_sae", "context_size"],
    "dictionary_learning": ["trainer.activation_dim", "trainer.dict_size", "buffer.ctx_len"],
    "sparsify": ["d_in", "num_latents", "k"],
    "gemma_scope 2": ["width"],
    "llama_scope": ["d_model", "d_sae", "context_size"],
    "llama_scope r1": ["d_model", "d_sae", "context_size"],
    "circuit_tracer": ["k"],
}
"""Whole numbers in the configuration of each format; two keys are one within the other."""
TEXTS = {
    "sae_lens": ["architecture", "activation_fn", "model_name", "hook_name"],
    "dictionary_learning": ["trainer.trainer_class", "trainer.lm_name", "buffer.io"],
    "sparsify": ["activation"],
    "gemma_scope 2": ["architecture", "type", "model_name", "hf_hook_point_in"],
    "llama_scope": ["act_fn", "norm_activation", "hook_point_in", "sae_type"],
    "llama_scope r1": ["act_fn", "norm_activation", "hook_point_in", "sae_type"],
    "circuit_tracer": ["activation", "model_name", "feature_input_hook", "model_kind"],
}
FLAGS = {
    "sae_lens": ["apply_b_dec_to_input", "finetuning_scaling_factor", "prepend_bos"],
    "sparsify": ["signed", "transcode", "skip_connection"],
    "gemma_scope 2": ["affine_connection"],
    "llama_scope": ["use_decoder_bias", "use_glu_encoder", "sparsity_include_decoder_norm"],
    "llama_scope r1": ["apply_decoder_bias_to_pre_encoder", "use_glu_encoder"],
}


def rows(fields: dict[str, list[str]], wrong: list[Any]) -> list[Any]:
    """Every field of every format with every wrong value."""
    return [
        pytest.param(name, key, value, id=f"{name}-{key}-{value!r}")
        for name, keys in fields.items()
        for key in keys
        for value in wrong
    ]


def made(tiny: SimpleNamespace, name: str) -> tuple[dict[str, Any], str]:
    """Files of a format, and the name of its configuration."""
    files = FORMATS[name](tiny)
    if name == "gemma_scope 2":
        files["config.json"] = {"architecture": "jump_relu", "width": 16}
    return files, next(one for one in files if one.endswith((".json", ".yaml")))


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A configuration with one value changed, at the depth that the key says."""
    outer, _, inner = key.rpartition(".")
    if not outer:
        return config | {key: value}
    return config | {outer: config.get(outer, {}) | {inner: value}}


@pytest.mark.parametrize(
    "name, key, value",
    [
        *rows(NUMBERS, [8.5, "8", True, [8]]),
        *rows(TEXTS, [3, True, ["relu"], 1.5]),
        *rows(FLAGS, ["false", "true", 1, [True]]),
    ],
)
def test_values_of_the_wrong_kind(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, key: str, value: Any
) -> None:
    """A number, a text or a flag of another kind is refused, and never converted."""
    files, config = made(tiny, name)
    files[config] = changed(files[config], key, value)
    with pytest.raises(LoadError, match=key.rpartition(".")[2]):
        load_folder(write(tmp_path, files), loader=name.split(maxsplit=1)[0])


@pytest.mark.parametrize("name", NUMBERS)
def test_keys_that_stand_twice(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str
) -> None:
    """A key with two values is refused, be they equal or not, at the top or deeper."""
    files, config = made(tiny, name)
    for index, more in enumerate(('"x": 1, "x": 2', '"x": 1, "x": 1', '"y": {"x": 1, "x": 2}')):
        text = json.dumps(files[config])
        folder = write(tmp_path / str(index), files)
        (folder / config).write_text(f"{text[:-1]}, {more}}}")
        with pytest.raises(LoadError, match="'x' stands twice"):
            load_folder(folder, loader=name.split(maxsplit=1)[0])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.int8, np.uint8, np.bool_])
def test_weights_of_whole_numbers(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, kind: Any
) -> None:
    """Integers and booleans are no weights, in whichever tensor they stand."""
    files = FORMATS[name](tiny)
    content = files[weights_of(files)]
    for key, value in content.items():
        if isinstance(value, str):
            continue
        folder = tmp_path / key / REPOSITORY
        write(folder, files | {weights_of(files): content | {key: value.astype(kind)}})
        # A threshold's logarithm of whole numbers is not even taken for thresholds.
        with pytest.raises(LoadError, match="weights are floating-point numbers"):
            load_folder(folder, loader=name.split(maxsplit=1)[0])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_is_read(tmp_path: Path, kind: torch.dtype, tiny: SimpleNamespace) -> None:
    """What is no integer is read, in whatever precision it is stored."""
    content = {
        key: torch.from_numpy(value.copy()).to(kind)
        for key, value in FORMATS["goodfire"](tiny)["Llama-3.1-8B-Instruct-SAE-l19.pt"].items()
    }
    torch.save(content, tmp_path / "Llama-3.1-8B-Instruct-SAE-l19.pt")
    assert load_folder(tmp_path).W_dec.dtype == torch.float32


@pytest.mark.parametrize("k", [8.5, "8", True, None, [8], 0, -1])
@pytest.mark.parametrize("name", ["saeval", "sae_lens", "sparsify", "llama_scope r1"])
def test_a_k_that_is_none(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, k: Any
) -> None:
    """Every k is a whole number of at least 1, whoever wrote it."""
    if name == "saeval":
        save(random_topk(torch.zeros(4), 16, 2, seed=5), tmp_path)
        path = tmp_path / "saeval.json"
        config = json.loads(path.read_text())
        config["sae"]["k"] = k
        path.write_text(json.dumps(config))
    else:
        files, config = made(tiny, name)
        more = {
            "sae_lens": {"architecture": "topk", "k": k},
            "sparsify": {"k": k},
            "llama_scope r1": {"act_fn": "topk", "top_k": k},
        }[name]
        files[config] |= more
        weights = weights_of(files)
        files[weights].pop("log_jumprelu_threshold", None)
        write(tmp_path, files)
    with pytest.raises(LoadError, match=r"\bk\b|top_k"):
        load_folder(tmp_path)


@pytest.mark.parametrize("k", [8.5, True, -3.0, float("nan")])
def test_a_stored_k_that_is_none(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, k: float
) -> None:
    """The same for a k among the tensors."""
    files = FORMATS["dictionary_learning"](tiny)
    content = files["ae.pt"]
    content["b_dec"] = content.pop("bias")
    content["k"] = np.array(k)
    files["config.json"] = {"trainer": {"trainer_class": "TopKTrainer"}}
    with pytest.raises(LoadError, match=r"\bk\b"):
        load_folder(write(tmp_path, files))
    content["k"] = np.array(3)
    assert load_folder(write(tmp_path, files)).d_sae == 16
