"""Quantised models: run where transformers can, else one line that says why and what to do."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import tiny_models
import tiny_runs
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

import saeval
from saeval.errors import ModelError, SaevalError
from saeval.models import load_model

# Those that need no package beside transformers, and load what is not quantised as it is.
METHODS = sorted({*AUTO_QUANTIZER_MAPPING, "nonsense"} - {"gguf"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in full precision."""
    return tiny_models.build("llama", tmp_path_factory.mktemp("plain") / "model")


def declared(folder: Path, copy: Path, method: str) -> Path:
    """The model, with a configuration that says that it is quantised."""
    shutil.copytree(folder, copy)
    settings = json.loads((copy / "config.json").read_text())
    bits = {f"load_in_{bits}": bits in method for bits in ("4bit", "8bit")}
    name = method.partition("_4bit")[0].partition("_8bit")[0]
    settings["quantization_config"] = {"quant_method": name, **bits}
    (copy / "config.json").write_text(json.dumps(settings))
    return copy


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_a_quantisation_that_cannot_be_loaded_is_told(
    folder: Path, tmp_path: Path, method: str
) -> None:
    """Every way that transformers knows, and one it does not: one line that names it."""
    name = method.partition("_4bit")[0].partition("_8bit")[0]
    with pytest.raises(ModelError, match=rf"quantised weights \({name}\).*full precision") as told:
        load_model(str(declared(folder, tmp_path / "m", method)))
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore")
def test_a_run_on_a_quantised_model_leaves_no_traceback(folder: Path, tmp_path: Path) -> None:
    """The row says failed and why; no file with a traceback is written, as for a fault of ours."""
    model = declared(folder, tmp_path / "m", "gptq")
    sae = tiny_runs.sae_folder(tmp_path / "sae")
    found = saeval.evaluate(str(sae), "core", model=str(model), output_path=tmp_path / "out")
    rows = found.to_pandas()
    assert set(rows["status"]) == {"failed"}
    assert "quantised weights (gptq)" in rows["reason"].iloc[0]
    assert not list((tmp_path / "out").rglob("*traceback*"))


def test_a_network_that_torch_quantised_is_refused(folder: Path, tmp_path: Path) -> None:
    """Dynamic int8 layers, in memory, are refused by name."""
    net = AutoModelForCausalLM.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it moves this elsewhere
        small = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(SaevalError, match=r"layers\.0\.self_attn\.q_proj.*quantised by torch"):
        saeval.evaluate(
            {"sae": tiny_runs.topk()},
            "core",
            model=(small, tiny_models.tokenizer()),
            site="layers.1",
            data=list(tiny_runs.TEXTS),
            output_path=tmp_path,
        )
