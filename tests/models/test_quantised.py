"""Quantised models: run where transformers can, else one line that says why and what to do."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

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
from saeval.models.memory_digest import network_digest
from saeval.models.quantised import compute_dtype

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


class PackedLinear(nn.Module):
    """A linear map with weights of one byte each, which its own forward unpacks."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        packed = (linear.weight.detach() / scale).round().to(torch.int8).view(torch.uint8)
        self.weight = nn.Parameter(packed.flatten()[:, None], requires_grad=False)
        self.scale: torch.Tensor
        self.register_buffer("scale", scale)

    def unpacked(self) -> torch.Tensor:
        """The weights as floats."""
        codes = self.weight.view(torch.int8).view(self.out_features, self.in_features)
        return codes.to(self.scale.dtype) * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map."""
        assert self.weight.dtype == torch.uint8
        return nn.functional.linear(x, self.unpacked())

    def get_extra_state(self) -> dict[str, object]:
        """What a quantised layer keeps besides tensors."""
        return {"kind": "int8", "block": 1}

    def set_extra_state(self, state: dict[str, object]) -> None:
        """Nothing to restore."""


def packed(folder: Path, *, unpacked: bool = False) -> Any:
    """The model with all linear maps in its blocks packed; or with the same weights unpacked."""
    net = AutoModelForCausalLM.from_pretrained(folder)
    for block in net.model.layers:
        for part in (block.self_attn, block.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear):
                    small = PackedLinear(linear)
                    if unpacked:
                        linear.weight.data = small.unpacked()
                    else:
                        setattr(part, name, small)
    return net.eval()


def test_packed_weights_are_scored_as_they_are(folder: Path, tmp_path: Path) -> None:
    """A network of one-byte weights scores what the floats that they stand for do, uncast."""
    outcomes = []
    for net in (packed(folder), packed(folder, unpacked=True)):
        before = {name: value for name, value in net.state_dict().items() if "extra" not in name}
        before = {name: (value.dtype, value.clone()) for name, value in before.items()}
        for site in ("layers.1", "layers.1.mlp", "blocks.1.hook_mlp_out"):
            found = saeval.evaluate(
                {"sae": tiny_runs.topk()},
                "core",
                model=(net, tiny_models.tokenizer()),
                site=site,
                data=list(tiny_runs.TEXTS),
                config={"core": {"context": tiny_models.CONTEXT}},
                output_path=tmp_path,
            )
            (result,) = found
            assert result.status == "scored", result.reason
            outcomes.append({s.metric: s.value for s in result.scores if s.value is not None})
        for name, (dtype, value) in before.items():
            assert net.state_dict()[name].dtype == dtype
            assert torch.equal(net.state_dict()[name], value)
    for small, whole in zip(outcomes[:3], outcomes[3:], strict=True):
        assert small == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_packed_weights_identify_a_network(folder: Path) -> None:
    """One byte more or less is another network; a weight that is not in memory is told."""
    net = packed(folder)
    before = network_digest(net)
    assert before == network_digest(packed(folder))
    layer = net.model.layers[1].mlp.up_proj
    layer.weight.data[3] += 1
    assert network_digest(net) != before
    layer.scale = layer.scale.to("meta")
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj\.scale.*not in memory"):
        network_digest(net)


def test_activations_have_the_dtype_of_the_weights_that_are_not_quantised() -> None:
    """Integers, and floats of one byte, are no dtype to compute in."""
    small = nn.Linear(4, 4).to(torch.float8_e4m3fn)
    assert compute_dtype(nn.Sequential(small, nn.Linear(4, 4, dtype=torch.bfloat16))) == (
        torch.bfloat16
    )
    half = PackedLinear(nn.Linear(4, 4)).half()
    assert compute_dtype(half) == torch.float16
    assert compute_dtype(nn.Sequential(small)) == torch.float32
