"""Names of hooks: what they mean in blocks of every make, read and written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_families
import tiny_models
import torch
from torch import Tensor

import saeval
from saeval.errors import ModelError, UsageError
from saeval.models import LoadedModel, load_model
from saeval.models.anatomy import dissect
from saeval.models.sites import resolve
from saeval.sae import Site

pytestmark = pytest.mark.filterwarnings("ignore")  # what transformers' own modules warn of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models of this module lie."""
    return tmp_path_factory.mktemp("families")


def load(kind: str, folder: Path) -> LoadedModel:
    """A tiny model of a family, by way of its files."""
    path = folder / kind
    if not path.exists():
        net: Any = tiny_families.build(kind)
        net.save_pretrained(path)
        tiny_models.tokenizer().save_pretrained(path)
    return load_model(str(path))


def rows() -> tuple[Tensor, Tensor]:
    """Two rows of 8 and 5 tokens, padded on the right."""
    ids = torch.randint(4, 60, (2, 8), generator=torch.Generator().manual_seed(1))
    return ids, torch.arange(8) < torch.tensor([[8], [5]])


def spliced(model: LoadedModel, name: str, edit: Any) -> tuple[Tensor, Tensor]:
    """Final hidden states after an edit: restarted at the site, and by a whole pass."""
    ids, attention = rows()
    site = model.resolve(name)
    resume = model.needs_resume(site)
    found, _ = model.clean([site, *([resume] if resume else [])], ids, attention)
    x = edit(found[site])
    stored = found[resume] if resume else None
    restarted = model.run_from(site, ids, attention, x, stored)
    return restarted[attention], model.run_from(site, ids, attention, x)[attention]


@pytest.mark.parametrize("name", ["hook_attn_out", "hook_mlp_out"])
def test_multipliers_belong_to_what_is_added(folder: Path, name: str) -> None:
    """Granite adds 0.22 of what its modules emit: that is read, and that is written."""
    model = load("granite", folder)
    site = model.resolve(f"blocks.1.{name}")
    assert site.factor == 0.22
    ids, attention = rows()
    raw = Site(site.path)
    found = model.run_to([site, raw], ids, attention)
    assert torch.allclose(found[site], found[raw] * 0.22)
    _, clean = model.clean([], ids, attention)
    restarted, whole = spliced(model, f"blocks.1.{name}", lambda x: x)
    assert torch.allclose(restarted, clean[attention], atol=1e-5)
    restarted, whole = spliced(model, f"blocks.1.{name}", lambda x: x + 1)
    by_raw, _ = spliced(model, f"{site.path}:out", lambda x: x + 1 / 0.22)
    assert torch.allclose(restarted, whole, atol=1e-5)
    assert torch.allclose(restarted, by_raw, atol=1e-4)
    assert not torch.allclose(restarted, clean[attention], atol=1e-2)


@pytest.mark.parametrize(
    "kind, name, expected",
    [
        ("llama", "blocks.1.attn.hook_out", "model.layers.1.self_attn:out"),
        ("llama", "blocks.1.attn.hook_in", "model.layers.1.self_attn:in"),
        ("llama", "blocks.1.attn.o.hook_in", "model.layers.1.self_attn.o_proj:in"),
        ("llama", "blocks.1.attn.o.hook_out", "model.layers.1.self_attn.o_proj:out"),
        ("llama", "blocks.1.mlp.hook_out", "model.layers.1.mlp:out"),
        ("llama", "blocks.1.mlp.out.hook_in", "model.layers.1.mlp.down_proj:in"),
        ("llama", "blocks.1.hook_in", "model.layers.1:in"),
        ("llama", "blocks.1.hook_out", "model.layers.1:out"),
        ("llama", "blocks.1.ln2.hook_in", "model.layers.1.post_attention_layernorm:in"),
        ("llama", "embed.hook_out", "model.embed_tokens:out"),
        ("gemma2", "blocks.1.attn.hook_out", "model.layers.1.self_attn:out"),
        ("gemma2", "blocks.1.mlp.hook_out", "model.layers.1.mlp:out"),
        ("gemma2", "blocks.1.ln1_post.hook_out", "model.layers.1.post_attention_layernorm:out"),
        ("gemma2", "blocks.1.ln2_post.hook_out", "model.layers.1.post_feedforward_layernorm:out"),
        ("granite", "blocks.1.mlp.hook_out", "model.layers.1.mlp:out"),
        ("granite", "blocks.1.hook_mlp_out", "model.layers.1.mlp:out*0.22"),
        ("olmo2", "blocks.1.hook_resid_mid", "model.layers.1.mlp:in"),
        ("olmo3", "blocks.1.hook_mlp_in", "model.layers.1.mlp:in"),
        ("exaone4", "blocks.1.hook_resid_mid", "model.layers.1.mlp:in"),
        ("bloom", "blocks.1.hook_attn_out", "transformer.h.1.self_attention.dense:out"),
        ("bloom", "blocks.1.attn.hook_out", "transformer.h.1.self_attention:out"),
        ("opt", "blocks.1.mlp.hook_in", "model.decoder.layers.1.fc1:in"),
        ("opt", "blocks.1.mlp.hook_out", "model.decoder.layers.1.fc2:out"),
        ("jetmoe", "blocks.1.hook_mlp_out", "model.layers.1.mlp:out"),
        ("granitemoe", "blocks.1.hook_mlp_out", "model.layers.1.block_sparse_moe:out*0.22"),
        ("qwen3_moe", "blocks.1.hook_mlp_out", "model.layers.1.mlp:out"),
        ("llama", "blocks.1.attn.hook_z[2]", "model.layers.1.self_attn.o_proj:in[8:12]"),
        ("llama", "layers.1.mlp:out[0:4]*0.5", "model.layers.1.mlp:out[0:4]*0.5"),
    ],
)
def test_names_mean_the_tensor(folder: Path, kind: str, name: str, expected: str) -> None:
    """Names of bridges are their modules as they are; names of hooks are what is added."""
    site = load(kind, folder).resolve(name)
    assert str(site) == expected
    assert Site.parse(str(site)) == site


@pytest.mark.parametrize(
    "kind, name, message",
    [
        ("gpt_neox", "blocks.1.hook_resid_mid", "run side by side"),
        ("granitemoeshared", "blocks.1.hook_mlp_out", r"layers\.1\.block_sparse_moe:out"),
        ("mamba", "blocks.1.hook_attn_out", r"no attention.*backbone\.layers\.1\.mixer:out"),
        ("mixtral", "blocks.1.mlp.hook_post", r"no single matrix.*layers\.1\.mlp:out"),
        ("gemma3n_text", "blocks.1.hook_attn_out", r"not one stream.*self_attn:out"),
        ("llama", "blocks.1.ln1_post.hook_out", r"No norm.*model\.layers\.1\.self_attn:out"),
        ("llama", "blocks.1.attn.hook_z[4]", r"4 heads.*no head 4 \(hook_head_index\)"),
        ("llama", "blocks.1.hook_resid_post[1]", r"hook_head_index.*attn\.hook_z\[1\]"),
        ("xlm", "layers.1", "hand one stream on"),
    ],
)
def test_what_no_module_emits_is_refused(folder: Path, kind: str, name: str, message: str) -> None:
    """A name without a tensor of its own is one line that says what to name instead."""
    with pytest.raises(ModelError, match=message) as refused:
        load(kind, folder).resolve(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "deepseek_v3", "qwen3_next", "gpt_oss"])
def test_heads_side_by_side_are_hook_z(folder: Path, kind: str) -> None:
    """All heads, one after the other, are hook_z; writing one leaves the others as they were."""
    model = load(kind, folder)
    ids, attention = rows()
    whole = model.resolve("blocks.1.attn.hook_z")
    heads = [model.resolve(f"blocks.1.attn.hook_z[{head}]") for head in range(4)]
    found = model.run_to([whole, *heads], ids, attention)
    assert torch.equal(torch.cat([found[head] for head in heads], -1), found[whole])
    restarted, hooked = spliced(model, "blocks.1.attn.hook_z[2]", lambda x: x * 0 + 1)
    first, end = heads[2].components or (0, 0)

    def one_head(x: Tensor) -> Tensor:
        x = x.clone()
        x[..., first:end] = 1
        return x

    by_whole, _ = spliced(model, "blocks.1.attn.hook_z", one_head)
    assert torch.equal(restarted, by_whole)
    assert torch.equal(hooked, by_whole)


@pytest.mark.parametrize("text", ["layers.1:on", "layers.1[4:2]", "layers.1*0", "layers.1*x"])
def test_sites_written_otherwise_are_refused(text: str) -> None:
    """A side, components or a factor that mean nothing are told."""
    with pytest.raises(UsageError, match=r"is not a site|names no numbers"):
        Site.parse(text)


def test_components_that_are_not_there_are_refused(folder: Path) -> None:
    """More components than a vector has are one clear error."""
    model = load("llama", folder)
    with pytest.raises(ModelError, match=r"\[10:20\]"):
        model.width(model.resolve("layers.1:out[10:20]"))


WRAPPED = ("gemma3", "gemma4", "llava", "mistral3", "qwen2_vl", "idefics3")


@pytest.mark.parametrize("kind", WRAPPED)
def test_models_that_see_are_read_as_text_models(folder: Path, kind: str) -> None:
    """A block has the same site under the names of text models and of wrappers, and restarts."""
    model = load(kind, folder)
    block = model.parts.block(1)
    names = ("layers.1", "model.layers.1", "language_model.model.layers.1", block)
    sites = {model.resolve(name) for name in (*names, "blocks.1.hook_resid_post")}
    assert sites == {Site(block)}
    ids, attention = rows()
    _, clean = model.clean([], ids, attention)
    own = model.net(input_ids=ids, attention_mask=attention.long(), use_cache=False).logits
    assert torch.allclose(model.logits(clean)[attention], own[attention], atol=1e-5)
    for name in ("layers.1", "blocks.1.hook_mlp_out", "blocks.1.mlp.hook_in"):
        restarted, whole = spliced(model, name, lambda x: x * 1.3)
        assert torch.equal(restarted, whole)
        assert not torch.allclose(restarted, clean[attention], atol=1e-3)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in WRAPPED else pytest.mark.soak)
        for kind in tiny_families.WRAPPERS
        if kind not in {**tiny_families.UNBUILT, **tiny_families.UNRUN}
    ],
)
def test_every_spelling_of_a_wrapped_block_is_that_block(kind: str) -> None:
    """As libraries write them, for the stream and for what transcoders read and write."""
    parts = dissect(tiny_families.build(kind))
    block = parts.block(1)
    starts = ("", "model.", "language_model.", "model.model.", "model.language_model.")
    starts += ("language_model.model.", "model.language_model.model.", "text_model.model.")
    for start in starts:
        assert str(resolve(parts, f"{start}layers.1")) == f"{block}:out"
        if f"{block}.mlp" in dict(parts.net.named_modules()):
            for side in ("in", "out"):
                named = resolve(parts, f"{start}layers.1.mlp:{side}")
                assert str(named) == f"{block}.mlp:{side}"
    assert str(resolve(parts, "blocks.1.hook_resid_post")) == f"{block}:out"
    assert str(resolve(parts, "blocks.1.hook_resid_pre")) == f"{block}:in"


@pytest.mark.parametrize("kind", ["gemma3", "llava", "qwen2_vl"])
def test_a_transcoder_of_a_wrapper_is_scored(folder: Path, kind: str, tmp_path: Path) -> None:
    """Trained between an MLP's two ends under other libraries' names, it is scored unasked."""
    load(kind, folder)
    texts = [" ".join(f"w{(7 * i + j * j) % 60}" for j in range(20)) for i in range(60)]
    saeval.train_sae(
        "topk", d_sae=24, k=4, model=str(folder / kind), data=texts, batch_size=64, tokens=640,
        site="model.language_model.layers.1.mlp:in", context=16, device="cpu",
        write_site="language_model.model.layers.1.mlp", out=tmp_path / "mine",
    )  # fmt: skip
    scores = saeval.evaluate(
        str(tmp_path / "mine"), "core", device="cpu", output_path=tmp_path / "results", limit=4,
        config={"core": {"texts": str(write_lines(tmp_path / "t.txt", texts)), "context": 20,
                         "overflow": "truncate"}},
    ).to_pandas().set_index("metric")  # fmt: skip
    assert scores.loc["l0", "value"] == 4
    assert scores.loc["fvu", "value"] < 1.5
    assert np.isfinite(scores.loc["ce_loss_with_sae", "value"])


def write_lines(path: Path, lines: list[str]) -> Path:
    """A file with a line a text."""
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_names_of_wrappers_mean_text_models_too(folder: Path) -> None:
    """An SAE trained on the wrapper is read in the text model; a picture's layer never is."""
    model = load("gemma3_text", folder)
    for name in ("model.language_model.layers.1", "language_model.model.layers.1"):
        assert str(model.resolve(name)) == "model.layers.1:out"
    with pytest.raises(ModelError, match="names no place"):
        model.resolve("vision_tower.vision_model.encoder.layers.1")
