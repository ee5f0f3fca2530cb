"""Models: sites under all their names, runs up to a site, and runs from a site on."""

import functools
import json
import shutil
import unittest.mock
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
import torch
from huggingface_hub import HfApi, constants
from torch import Tensor

from saeval.errors import ModelError, UsageError
from saeval.models import LoadedModel, canonical_name, load_model
from saeval.sae import Site

DECODERS = ("gpt2", "gpt_neox", "llama", "gemma2", "qwen2")
SITES = (
    *(f"blocks.{layer}.hook_resid_post" for layer in range(tiny_models.LAYERS)),
    *(f"blocks.{layer}.hook_resid_pre" for layer in range(tiny_models.LAYERS)),
    "blocks.0.hook_mlp_out",
    "blocks.1.hook_mlp_out",
    "blocks.2.hook_mlp_out",
    "blocks.1.hook_attn_out",
    "blocks.1.attn.hook_z",
    "blocks.1.mlp.hook_in",
    "blocks.2.mlp.hook_post",
    "embed",
)


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Tiny models by kind, each built once."""

    @functools.cache
    def loaded(kind: str) -> LoadedModel:
        return load_model(str(tiny_models.build(kind, tmp_path_factory.mktemp(kind))))

    return loaded


def rows() -> tuple[Tensor, Tensor]:
    """Three rows of 10, 7 and 3 tokens, padded on the right."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, len(tiny_models.VOCABULARY), (3, 10), generator=generator)
    attention = torch.arange(10) < torch.tensor([[10], [7], [3]])
    return ids, attention


def edited(x: Tensor) -> Tensor:
    """An edit that is neither small nor the same everywhere."""
    return x * 1.3 + torch.linspace(-1, 1, x.shape[-1])


def hooked_logits(model: LoadedModel, site: Site) -> Tensor:
    """Logits of the network with the activation at a site edited, by nothing but torch hooks."""
    ids, attention = rows()
    module = model.net.get_submodule(site.path)

    def entering(_: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (edited(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": edited(kwargs["hidden_states"])}

    def leaving(_: object, __: object, output: Tensor | tuple) -> Tensor | tuple:
        if isinstance(output, tuple):
            return (edited(output[0]), *output[1:])
        return edited(output)

    if site.side == "in":
        handle = module.register_forward_pre_hook(entering, with_kwargs=True)
    else:
        handle = module.register_forward_hook(leaving)
    try:
        return model.net(input_ids=ids, attention_mask=attention.long(), use_cache=False).logits
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("name", SITES)
def test_a_restarted_run_gives_the_logits_of_the_hooked_model(
    load: Callable[[str], LoadedModel], kind: str, name: str
) -> None:
    """Editing a site and running only what follows it equals editing it in a whole pass."""
    model = load(kind)
    ids, attention = rows()
    site = model.resolve(name)
    resume = model.needs_resume(site)
    found, _ = model.clean([site, *([resume] if resume else [])], ids, attention)
    stored = found[resume] if resume else None
    logits = model.logits(model.run_from(site, ids, attention, edited(found[site]), stored))
    assert torch.equal(logits[attention], hooked_logits(model, site)[attention])


@pytest.mark.parametrize("kind", ["gptj", "opt", "falcon", "mixtral", "phi3", "granite"])
def test_blocks_of_other_makes_restart_exactly_too(
    load: Callable[[str], LoadedModel], kind: str
) -> None:
    """Blocks that return tuples, join rows and tokens, add in place or mix experts all restart."""
    model = load(kind)
    ids, attention = rows()
    for name in ("layers.1", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_z"):
        site = model.resolve(name)
        resume = model.needs_resume(site)
        found, _ = model.clean([site, *([resume] if resume else [])], ids, attention)
        x = found[site]
        stored = found[resume] if resume else None
        new = x * 1.3
        kept = new.clone()
        restarted = model.run_from(site, ids, attention, new, stored)
        whole = model.run_from(site, ids, attention, new) if resume else None
        assert torch.equal(new, kept)
        assert not torch.equal(restarted, model.run_from(site, ids, attention, x, stored))
        if whole is not None:
            assert torch.equal(restarted[attention], whole[attention])


@pytest.mark.parametrize("kind", [*DECODERS, "bert"])
def test_prefix_runs_read_what_the_model_computes(
    load: Callable[[str], LoadedModel], kind: str
) -> None:
    """Block outputs equal the library's own hidden states, and the last equals a whole pass."""
    model = load(kind)
    ids, attention = rows()
    base = model.net.base_model
    theirs = base(input_ids=ids, attention_mask=attention.long(), output_hidden_states=True)
    sites = [model.resolve(f"layers.{layer}") for layer in range(tiny_models.LAYERS - 1)]
    found = model.run_to([model.resolve("blocks.0.hook_resid_pre"), *sites], ids, attention)
    for mine, hidden in zip(found.values(), theirs.hidden_states, strict=False):
        assert torch.equal(mine[attention], hidden[attention])
    _, final = model.clean(sites, ids, attention)
    assert torch.equal(final[attention], theirs.last_hidden_state[attention])


def test_a_prefix_run_ends_at_the_deepest_site(load: Callable[[str], LoadedModel]) -> None:
    """The blocks after the site are never run."""
    model = load("llama")
    ran = []
    handles = [
        model.net.get_submodule(f"model.layers.{layer}").register_forward_pre_hook(
            lambda *_, layer=layer: ran.append(layer)
        )
        for layer in range(tiny_models.LAYERS)
    ]
    try:
        model.run_to([model.resolve("layers.0"), model.resolve("layers.1")], *rows())
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [0, 1]


def test_a_restart_skips_the_blocks_before_the_site(load: Callable[[str], LoadedModel]) -> None:
    """Only the MLPs behind the site compute anything."""
    model = load("llama")
    site = model.resolve("layers.1")
    ids, attention = rows()
    x = model.run_to([site], ids, attention)[site]
    model.run_from(site, ids, attention, x)
    ran = []
    handles = [
        model.net.get_submodule(f"model.layers.{layer}.mlp").register_forward_pre_hook(
            lambda *_, layer=layer: ran.append(layer)
        )
        for layer in range(tiny_models.LAYERS)
    ]
    try:
        model.run_from(site, ids, attention, x)
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [2]


def test_blocks_are_restored_after_a_failure(load: Callable[[str], LoadedModel]) -> None:
    """An error in the middle of a restarted run leaves the model as it was."""
    model = load("qwen2")
    site = model.resolve("layers.1")
    ids, attention = rows()
    x = model.run_to([site], ids, attention)[site]
    before = model.run_from(site, ids, attention, x)
    with pytest.raises(RuntimeError):
        model.run_from(site, ids, attention, x[..., :5])
    assert "forward" not in vars(model.net.get_submodule("model.layers.0"))
    _, clean = model.clean([], ids, attention)
    assert torch.equal(before[attention], clean[attention])


def test_blocks_that_share_more_than_the_stream_are_hooked(tmp_path: Path) -> None:
    """Where skipping blocks would change the answer, a hook on the whole pass takes over."""
    model = load_model(str(tiny_models.build("gpt2", tmp_path / "m")))
    first, last = (model.net.get_submodule(f"transformer.h.{i}") for i in (0, 2))
    remembered = {}
    first.register_forward_hook(lambda _, __, out: remembered.update(x=out))
    last.register_forward_hook(lambda _, __, out: out + remembered["x"])
    site = model.resolve("layers.1")
    ids, attention = rows()
    found, clean = model.clean([site], ids, attention)
    assert torch.equal(model.run_from(site, ids, attention, found[site]), clean)


@pytest.mark.parametrize("kind", [*DECODERS, "opt", "cohere", "granite", "mixtral"])
def test_logits_are_the_models_own(load: Callable[[str], LoadedModel], kind: str) -> None:
    """Final capping (Gemma), scaling (Cohere, Granite) and projections (OPT) are all included."""
    model = load(kind)
    ids, attention = rows()
    _, final = model.clean([], ids, attention)
    own = model.net(input_ids=ids, attention_mask=attention.long(), use_cache=False).logits
    logits = model.logits(final)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits[attention], own[attention], rtol=1e-5, atol=1e-6)
    assert torch.allclose(model.logits(final[0, 3]), own[0, 3], rtol=1e-5, atol=1e-6)


def test_gradients_flow_to_an_edited_activation(load: Callable[[str], LoadedModel]) -> None:
    """A tensor that asks for gradients gets those of the logits; weights get none."""
    model = load("gemma2")
    ids, attention = rows()
    for name in ("layers.1", "blocks.1.attn.hook_z"):
        site = model.resolve(name)
        resume = model.needs_resume(site)
        found, _ = model.clean([site, *([resume] if resume else [])], ids, attention)
        x = found[site].clone().requires_grad_()
        hidden = model.run_from(site, ids, attention, x, found[resume] if resume else None)
        (gradient,) = torch.autograd.grad(model.logits(hidden)[0, 4, 7], x)
        assert gradient[0, :5].abs().sum() > 0
        assert gradient[1:].abs().sum() == 0
        assert gradient[0, 5:].abs().sum() == 0


def test_the_stream_between_attention_and_mlp_is_edited_for_all_its_readers(
    load: Callable[[str], LoadedModel],
) -> None:
    """Editing hook_resid_mid changes both what the MLP reads and what its output is added to."""
    for kind in ("gpt2", "llama", "gemma2", "qwen2"):
        model = load(kind)
        ids, attention = rows()
        mid = model.resolve("blocks.2.hook_resid_mid")
        resume = model.needs_resume(mid)
        assert resume is not None
        mlp, post = model.resolve("blocks.2.hook_mlp_out"), model.resolve("layers.2")
        found, clean = model.clean([mid, resume, mlp, post], ids, attention)
        assert torch.allclose(found[mid] + found[mlp], found[post], atol=1e-5)
        x = edited(found[mid])
        # The last block's output from its parts, then the final norm by way of a clean site.
        block = model.net.get_submodule(post.path)
        norm = model.net.get_submodule(mid.path)
        inner = block.get_submodule("mlp")(norm(x))
        if kind == "gemma2":
            inner = block.get_submodule("post_feedforward_layernorm")(inner)
        expected = model.run_from(post, ids, attention, x + inner)
        actual = model.run_from(mid, ids, attention, x, found[resume])
        assert torch.allclose(actual[attention], expected[attention], atol=1e-5)
        assert not torch.allclose(actual[attention], clean[attention], atol=1e-2)


@pytest.mark.parametrize(
    "kind, name, expected",
    [
        ("gpt2", "layers.1", "transformer.h.1:out"),
        ("gpt2", "h.1", "transformer.h.1:out"),
        ("gpt2", "transformer.h.1:in", "transformer.h.1:in"),
        ("gpt2", "blocks.1.hook_resid_pre", "transformer.h.1:in"),
        ("gpt2", "blocks.1.hook_mlp_out", "transformer.h.1.mlp:out"),
        ("gpt2", "blocks.1.hook_attn_out", "transformer.h.1.attn:out"),
        ("gpt2", "blocks.1.attn.hook_z", "transformer.h.1.attn.c_proj:in"),
        ("gpt2", "blocks.1.ln2.hook_normalized", "transformer.h.1.mlp:in"),
        ("gpt2", "blocks.1.mlp.hook_post", "transformer.h.1.mlp.c_proj:in"),
        ("gpt2", "blocks.1.hook_resid_mid", "transformer.h.1.ln_2:in"),
        ("gpt2", "blocks.1.hook_mlp_in", "transformer.h.1.ln_2:in"),
        ("gpt2", "embed", "transformer.wte:out"),
        ("gpt_neox", "layers.2.mlp", "gpt_neox.layers.2.mlp:out"),
        ("gpt_neox", "gpt_neox.layers.2", "gpt_neox.layers.2:out"),
        ("gpt_neox", "resid_post_layer_2", "gpt_neox.layers.2:out"),
        ("gpt_neox", "attention_out_layer_1", "gpt_neox.layers.1.attention:out"),
        ("gpt_neox", "mlp_out_layer_0", "gpt_neox.layers.0.mlp:out"),
        ("llama", "blocks.1.hook_mlp_out", "model.layers.1.mlp:out"),
        ("llama", "blocks.1.hook_resid_mid", "model.layers.1.post_attention_layernorm:in"),
        ("llama", "layers.1.self_attn.o_proj:in", "model.layers.1.self_attn.o_proj:in"),
        ("gemma2", "blocks.1.hook_mlp_out", "model.layers.1.post_feedforward_layernorm:out"),
        ("gemma2", "blocks.1.hook_attn_out", "model.layers.1.post_attention_layernorm:out"),
        ("gemma2", "blocks.1.hook_resid_mid", "model.layers.1.pre_feedforward_layernorm:in"),
        ("gemma2", "hook_embed", "model.embed_tokens:out"),
        ("phi3", "blocks.1.attn.hook_z", "model.layers.1.self_attn.o_proj:in"),
        ("opt", "blocks.1.hook_mlp_out", "model.decoder.layers.1.fc2:out"),
        ("bert", "layers.2", "encoder.layer.2:out"),
        ("bert", "bert.encoder.layer.2", "encoder.layer.2:out"),
        ("bert", "blocks.1.hook_mlp_out", "encoder.layer.1.output.dense:out"),
        ("bert", "blocks.1.hook_attn_out", "encoder.layer.1.attention.output.dense:out"),
    ],
)
def test_names_of_sites(
    load: Callable[[str], LoadedModel], kind: str, name: str, expected: str
) -> None:
    """Paths and the names of other libraries mean the module that holds that tensor."""
    assert str(load(kind).resolve(name)) == expected


@pytest.mark.parametrize(
    "kind, name, message",
    [
        ("llama", "blocks.1.hook_resid_pots", "Nearest: blocks.1.hook_resid_post"),
        ("llama", "layers.9", "no layer 9: the model has 3"),
        ("llama", "blocks.3.hook_resid_post", "no layer 3"),
        ("llama", "model.layers", "list of modules"),
        ("llama", "lm_head", "behind the final hidden state"),
        ("llama", "blocks.1.ln2.hook_normalized", "before the RMS norm's gain"),
        ("gpt_neox", "blocks.1.hook_resid_mid", "run side by side"),
        ("mixtral", "blocks.1.mlp.hook_post", "no single matrix"),
    ],
)
def test_places_that_are_no_site_say_why(
    load: Callable[[str], LoadedModel], kind: str, name: str, message: str
) -> None:
    """A name that resolves to nothing, or to no tensor, is one clear error."""
    with pytest.raises(ModelError, match=message):
        load(kind).resolve(name)


def test_what_a_decoder_says_of_itself(load: Callable[[str], LoadedModel]) -> None:
    """Sizes, special tokens and widths come from the files."""
    model = load("gpt2")
    assert (model.d_model, model.context, model.n_layers) == (16, 24, 3)
    assert (model.vocab_size, model.has_logits, model.is_local) == (64, True, True)
    assert (model.bos_id, model.eos_id, model.special_ids) == (1, 2, frozenset({1, 2, 3}))
    assert model.width(model.resolve("blocks.1.mlp.hook_post")) == 64
    assert model.identity.startswith("local:")


def test_an_encoder_has_activations_but_no_logits(load: Callable[[str], LoadedModel]) -> None:
    """BERT is read at any site, restarts too, and refuses logits by name."""
    model = load("bert")
    ids, attention = rows()
    assert not model.has_logits
    site = model.resolve("layers.1")
    found, clean = model.clean([site], ids, attention)
    again = model.run_from(site, ids, attention, found[site])
    assert torch.equal(again[attention], clean[attention])
    with pytest.raises(ModelError, match="no output head"):
        model.logits(clean)
    assert load("roberta").context == tiny_models.CONTEXT - 4


def test_identity_follows_content(tmp_path: Path) -> None:
    """A copy elsewhere is the same model; one changed weight, or setting, makes another."""
    folder = tiny_models.build("gpt2", tmp_path / "a")
    identity = load_model(str(folder)).identity
    copy = Path(shutil.copytree(folder, tmp_path / "b"))
    assert load_model(str(copy)).identity == identity
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert load_model(str(copy)).identity != identity
    other = Path(shutil.copytree(folder, tmp_path / "c"))
    configuration = json.loads((other / "config.json").read_text())
    configuration["layer_norm_epsilon"] = 1e-3
    (other / "config.json").write_text(json.dumps(configuration))
    assert load_model(str(other)).identity != identity


def test_models_that_are_not_there_say_what_was_tried() -> None:
    """A short name, an id and a revision out of reach each name themselves and the way out."""
    with pytest.raises(
        ModelError, match=r"'gpt2-small' \(Hugging Face id 'openai-community/gpt2'\)"
    ):
        load_model("gpt2-small")
    with pytest.raises(ModelError, match=r"no-one/nothing.*HF_HUB_OFFLINE is set.*local folder"):
        load_model("no-one/nothing")
    with pytest.raises(ModelError, match="at revision 'step3'"):
        load_model("no-one/nothing@step3")


def test_models_in_the_hubs_cache_are_known_by_their_commit() -> None:
    """Without a connection the cached commit of a branch is loaded, and named in the identity."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = Path(constants.HF_HUB_CACHE) / "models--someone--tiny"
    tiny_models.build("gpt2", cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "step3").write_text(commit)
    for name, revision in (
        ("someone/tiny@step3", None),
        ("someone/tiny", "step3"),
        ("someone/tiny", commit),
    ):
        model = load_model(name, revision=revision)
        assert (model.name, model.revision) == ("someone/tiny", commit)
        assert model.identity == model.tokenizer_identity == f"someone/tiny@{commit}"
        assert not model.is_local
        assert model.tokenizer is not None
    with pytest.raises(ModelError, match=r"'someone/tiny'.*HF_HUB_OFFLINE"):
        load_model("someone/tiny")


def test_a_hub_that_says_no_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such repository or revision, and gated ones, each say what to do; nothing is retried."""
    for kind, message in (
        ("RepositoryNotFoundError", r"Check the spelling.*hf auth login"),
        ("RevisionNotFoundError", "no such revision"),
        ("GatedRepoError", r"is gated\. Accept its licence"),
    ):
        asked = unittest.mock.Mock(side_effect=type(kind, (OSError,), {})("no"))
        monkeypatch.setattr(HfApi, "model_info", asked)
        with pytest.raises(ModelError, match=message):
            load_model("someone/else", revision="main")
        assert asked.call_count == 1


def test_folders_that_hold_no_safe_model_are_refused(tmp_path: Path) -> None:
    """Pickled weights are not read, and weights that are missing are not made up."""
    with pytest.raises(ModelError, match="There is no folder"):
        load_model(str(tmp_path / "nowhere"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"config\.json and safetensors"):
        load_model(str(empty))
    pickled = tiny_models.build("gpt2", tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="never read"):
        load_model(str(pickled))
    gaps = tiny_models.build("gpt2", tmp_path / "gaps")
    configuration = json.loads((gaps / "config.json").read_text())
    configuration["n_layer"] = 4
    (gaps / "config.json").write_text(json.dumps(configuration))
    with pytest.raises(ModelError, match=r"lack 12 weights.*transformer\.h\.3"):
        load_model(str(gaps))


def test_code_beside_a_model_is_never_run(tmp_path: Path) -> None:
    """A configuration that asks for its own Python file is refused, and the file not imported."""
    folder = tiny_models.build("gpt2", tmp_path / "m")
    configuration = json.loads((folder / "config.json").read_text())
    configuration |= {"model_type": "trap", "auto_map": {"AutoConfig": "trap.Trap"}}
    (folder / "config.json").write_text(json.dumps(configuration))
    witness = tmp_path / "ran"
    (folder / "trap.py").write_text(f"open({str(witness)!r}, 'w')")
    with pytest.raises(ModelError):
        load_model(str(folder))
    assert not witness.exists()


def test_encoder_decoders_are_refused(tmp_path: Path) -> None:
    """T5 is refused before its weights are looked for."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_model(str(tmp_path))


def test_devices_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """By itself `auto` picks one that is there; others are named with what there is."""
    folder = str(tiny_models.build("gpt2", tmp_path / "m"))
    assert load_model(folder, device="auto").device in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match=r"no device 'abacus' here; there is .*cpu"):
        load_model(folder, device="abacus")


def test_half_precision_runs_and_gives_float32_logits(
    load: Callable[[str], LoadedModel],
) -> None:
    """bfloat16 models restart as exactly, and their logits come in float32."""
    small = load("llama")
    model = load_model(small.name, dtype=torch.bfloat16)
    ids, attention = rows()
    site = model.resolve("layers.1")
    found, clean = model.clean([site], ids, attention)
    assert found[site].dtype == torch.bfloat16
    again = model.run_from(site, ids, attention, found[site].float())
    assert torch.equal(again[attention], clean[attention])
    assert model.logits(clean).dtype == torch.float32


@pytest.mark.parametrize(
    "name, expected",
    [
        ("gpt2-small", "openai-community/gpt2"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("pythia-160m-deduped", "EleutherAI/pythia-160m-deduped"),
        ("tiny-stories-33M", "roneneldan/TinyStories-33M"),
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("qwen2.5-0.5b", "Qwen/qwen2.5-0.5b"),
        ("something-else", "something-else"),
    ],
)
def test_short_names_become_hub_ids(name: str, expected: str) -> None:
    """TransformerLens's names and their kin resolve; ids stay as they are."""
    assert canonical_name(name) == expected
