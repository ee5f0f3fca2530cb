"""Several sites at once: what is read, spliced and differentiated is what plain hooks give."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor

from saeval.activations import (
    ActivationSource,
    AtPositions,
    ModelSource,
    Store,
    TokenRows,
    array_source,
    model_source,
    read_acts,
    read_codes,
    read_x,
    slices,
)
from saeval.activations.gradient import next_token_gradient
from saeval.errors import DataError, ModelError, NotApplicable, UsageError
from saeval.models import LoadedModel, load_model

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "w1 w2 w3 w4 w5", "w9 w9"]
SITES = {
    "gpt2": ("transformer.h.0.mlp:out", "transformer.h.1:out", "transformer.h.2.mlp:in"),
    "llama": ("model.layers.0.mlp:out", "model.layers.1:out", "model.layers.2.mlp:in"),
}
PLACES = [(kind, places) for kind in SITES for places in ((0, 1), (1, 0), (0, 1, 2), (2,))]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, LoadedModel]:
    """A tiny GPT-2 and a tiny Llama."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: load_model(str(tiny_models.build(kind, folder / kind))) for kind in SITES}


@contextmanager
def hooks(net: Any, edits: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
    """Plain PyTorch hooks on module inputs and outputs while open."""

    def entering(edit: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
        def hook(_: Any, args: tuple, kwargs: dict) -> Any:
            new = edit(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)

        return hook

    def leaving(edit: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
        def hook(_: Any, __: tuple, output: Any) -> Any:
            tensor = output if isinstance(output, Tensor) else output[0]
            new = edit(tensor)
            if new is None:
                return None
            return new if isinstance(output, Tensor) else (new, *output[1:])

        return hook

    with ExitStack() as stack:
        for site, edit in edits.items():
            path, side = site.split(":")
            module = net.get_submodule(path)
            if side == "in":
                handle = module.register_forward_pre_hook(entering(edit), with_kwargs=True)
            else:
                handle = module.register_forward_hook(leaving(edit))
            stack.callback(handle.remove)
        yield


def plain(model: LoadedModel, rows: TokenRows, edits: Mapping[str, Any]) -> Tensor:
    """Hidden states before the head in one pass with plain hooks."""
    with hooks(model.net, edits):
        return model.net.base_model(
            input_ids=torch.from_numpy(rows.ids.astype(np.int64)),
            attention_mask=torch.from_numpy(rows.attention.astype(np.int64)),
            use_cache=False,
        ).last_hidden_state


def recorded(model: LoadedModel, rows: TokenRows, sites: tuple[str, ...]) -> list[Tensor]:
    """Activations at the sites, by plain hooks."""
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        plain(model, rows, {s: lambda x, s=s: seen.update({s: x.clone()}) for s in sites})
    return [seen[site] for site in sites]


def source_of(model: LoadedModel, sites: tuple[str, ...], folder: Path, **more: Any) -> ModelSource:
    """A source that reads, and unless it is told otherwise writes, at the sites."""
    options: dict[str, Any] = {"batch_tokens": 16, "store": Store(folder), **more}
    return model_source(model, ",".join(sites), **options)


@pytest.mark.parametrize("kind, places", PLACES)
def test_x_is_the_sites_side_by_side(
    models: Mapping[str, LoadedModel], tmp_path: Path, kind: str, places: tuple[int, ...]
) -> None:
    """In the order in which the sites are named, as plain hooks record them; stored or streamed."""
    sites = tuple(SITES[kind][i] for i in places)
    for quota in (10**9, 0):
        folder = tmp_path / str(quota)
        source = source_of(models[kind], sites, folder, store=Store(folder, quota))
        rows = source.tokenize(TEXTS, name="texts")
        expected = torch.cat(recorded(models[kind], rows, sites), -1)[torch.from_numpy(rows.mask)]
        x = torch.cat([batch.x_tokens for batch in source.batches(rows)])
        assert torch.allclose(x, expected, atol=1e-5)
        assert source.widths.d_in == source.widths.d_out == x.shape[1] == 16 * len(sites)
        assert tuple(map(str, source.sites.read)) == sites
        for site, place in slices(source.sites.read, source.widths.read).items():
            alone = source_of(models[kind], (site,), folder)
            assert np.allclose(read_x(alone, rows), x[:, place], atol=1e-5)
        last = rows.attention.sum(1) - 1
        whole = torch.cat([batch.x for batch in source.batches(rows)])
        single = read_x(source, rows, AtPositions(last))
        assert np.allclose(single, whole[torch.arange(len(rows)), torch.from_numpy(last)])


@pytest.mark.parametrize("kind, places", PLACES)
def test_one_pass_splices_all_sites(
    models: Mapping[str, LoadedModel], tmp_path: Path, kind: str, places: tuple[int, ...]
) -> None:
    """As plain hooks that replace each site's tensor; the model is left as it was."""
    model, sites = models[kind], tuple(SITES[kind][i] for i in places)
    source = source_of(model, sites, tmp_path, batch_tokens=1000)
    rows = source.tokenize(TEXTS, name="texts")
    attention = torch.from_numpy(rows.attention)
    clean = plain(model, rows, {})
    (batch,) = source.batches(rows)
    (final,) = source.final_hidden(rows)
    assert torch.allclose(final[attention], clean[attention], atol=1e-5)
    assert torch.allclose(
        source.splice(rows, batch, batch.y)[attention], clean[attention], atol=1e-5
    )
    new = torch.randn(batch.y.shape, generator=torch.Generator().manual_seed(0))
    edits = {
        site: lambda _, part=new[..., place]: part
        for site, place in slices(source.sites.write, source.widths.write).items()
    }
    expected = plain(model, rows, edits)
    assert torch.allclose(
        source.splice(rows, batch, new)[attention], expected[attention], atol=1e-5
    )
    assert torch.equal(plain(model, rows, {}), clean)
    with pytest.raises(RuntimeError):
        source.splice(rows, batch, new[:, :, :-1])
    assert torch.equal(plain(model, rows, {}), clean)


def test_what_is_read_may_lie_elsewhere_than_what_is_written(
    models: Mapping[str, LoadedModel], tmp_path: Path
) -> None:
    """A cross-layer transcoder reads one site and writes three: x and y are of their own sites."""
    sites = SITES["llama"]
    source = source_of(models["llama"], sites[:1], tmp_path, write_site=",".join(sites))
    rows = source.tokenize(TEXTS, name="texts")
    x, *ys = (part[torch.from_numpy(rows.mask)] for part in recorded(models["llama"], rows, sites))
    batches = list(source.batches(rows))
    assert torch.allclose(torch.cat([batch.x_tokens for batch in batches]), x, atol=1e-5)
    y = torch.cat([batch.y_tokens for batch in batches])
    assert torch.allclose(y, torch.cat([x, *ys], -1), atol=1e-5)
    assert str(source.sites) == f"{sites[0]} -> {','.join(sites)}"
    assert (source.widths.d_in, source.widths.d_out) == (16, 48)


def test_each_site_is_centred_by_itself(models: Mapping[str, LoadedModel], tmp_path: Path) -> None:
    """Every part has mean 0, splicing them back changes nothing, and RMS norms refuse it."""
    sites = ("layers.0", "layers.1")
    source = source_of(models["gpt2"], sites, tmp_path, centred=True)
    bare = source_of(models["gpt2"], sites, tmp_path)
    rows = source.tokenize(TEXTS, name="texts")
    x = read_x(source, rows).reshape(-1, 2, 16)
    raw = read_x(bare, rows).reshape(-1, 2, 16)
    assert np.allclose(x, raw - raw.mean(-1, keepdims=True), atol=1e-5)
    for batch, final in zip(source.batches(rows), bare.final_hidden(rows), strict=True):
        assert torch.allclose(
            source.splice(rows, batch, batch.y)[batch.mask], final[batch.mask], atol=1e-4
        )
    with pytest.raises(ModelError, match="cannot be centred"):
        source_of(models["llama"], sites, tmp_path, centred=True)


def test_sites_named_twice_are_refused(models: Mapping[str, LoadedModel], tmp_path: Path) -> None:
    """Under one name or under two, and so is a name that is left out."""
    with pytest.raises(UsageError, match="each once"):
        source_of(models["gpt2"], ("layers.1", "layers.1"), tmp_path)
    with pytest.raises(UsageError, match=r"names one place of .* twice"):
        source_of(models["gpt2"], ("layers.1", "blocks.1.hook_resid_post"), tmp_path)
    with pytest.raises(UsageError, match="names no sites"):
        source_of(models["gpt2"], ("layers.1", ""), tmp_path)


class Gradients:
    """Latents are what an SAE may be handed beside x: the gradient's size, and the token's id."""

    needs_gradient, needs_tokens = True, True

    def __init__(self, width: int) -> None:
        self.d_in, self.d_sae, self.W_dec = width, width + 1, torch.ones(width + 1, width)

    def encode(self, x: Tensor, *, tokens: Tensor, gradient: Tensor) -> Tensor:
        """The gradient, then the id."""
        assert gradient.shape == x.shape
        assert not torch.is_grad_enabled()
        return torch.cat([gradient, tokens[:, None].to(x)], 1)

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Nothing of use."""
        return acts @ self.W_dec + 0 * x


def loss_slope(model: LoadedModel, rows: TokenRows, sites: tuple[str, ...]) -> Tensor:
    """D loss / d x of each row's summed cross-entropy from counted tokens to counted ones.

    By autograd over plain hooks.
    """
    leaves = [x.requires_grad_() for x in recorded(model, rows, sites)]
    edits = {site: lambda _, x=x: x for site, x in zip(sites, leaves, strict=True)}
    with hooks(model.net, edits), torch.enable_grad():
        ids = torch.from_numpy(rows.ids.astype(np.int64))
        mask = torch.from_numpy(rows.attention)
        logits = model.net(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        log_p = logits[:, :-1].log_softmax(-1)
        losses = -log_p.gather(-1, ids[:, 1:, None])[..., 0]
        counted = torch.from_numpy(rows.mask)
        slopes = torch.autograd.grad(losses[counted[:, :-1] & counted[:, 1:]].sum(), leaves)
    return torch.cat(slopes, -1)


@pytest.mark.parametrize("kind, places", [("gpt2", (1,)), ("gpt2", (2,)), ("llama", (0,))])
def test_gradients_and_ids_are_handed_over(
    models: Mapping[str, LoadedModel], tmp_path: Path, kind: str, places: tuple[int, ...]
) -> None:
    """At any batch size, token by token or at single positions, as autograd gives them by hand."""
    model, sites = models[kind], tuple(SITES[kind][i] for i in places)
    source = source_of(model, sites, tmp_path)
    rows = source.tokenize(TEXTS, name="texts")
    slope = loss_slope(model, rows, sites)
    assert float(slope.abs().max()) > 0.01
    for tokens in (8, 1000):
        again = source_of(model, sites, tmp_path, batch_tokens=tokens)
        sae: Any = Gradients(source.widths.d_in)
        with torch.no_grad():
            acts = torch.cat([codes.dense() for _, codes in read_codes(again, sae, rows)])
            last = rows.attention.sum(1) - 2
            single = read_acts(again, sae, rows, AtPositions(last)).toarray()
        assert torch.allclose(acts[:, :-1], slope[torch.from_numpy(rows.mask)], atol=1e-4)
        assert acts[:, -1].tolist() == rows.ids[rows.mask].tolist()
        every = torch.arange(len(rows))
        assert np.allclose(single[:, :-1], slope[every, torch.from_numpy(last)], atol=1e-4)
        assert single[:, -1].tolist() == rows.ids[np.arange(len(rows)), last].tolist()


@pytest.mark.parametrize("needs", ["needs_gradient", "needs_tokens"])
def test_stored_activations_have_neither(needs: str) -> None:
    """What an SAE needs and the source has not is named, with the way out."""
    source = array_source(np.ones((4, 3), np.float32), name="mine")
    sae: Any = Gradients(3)
    sae.needs_gradient, sae.needs_tokens = needs == "needs_gradient", needs == "needs_tokens"
    for read in (
        lambda: list(read_codes(source, sae, source.stored_rows)),
        lambda: read_acts(source, sae, source.stored_rows),
    ):
        with pytest.raises(NotApplicable, match=r"'mine' holds .*Give --model"):
            read()


def test_no_gradient_is_to_be_had_where_only_something_else_is_written(
    models: Mapping[str, LoadedModel], tmp_path: Path
) -> None:
    """A transcoder's input cannot be varied by writing its output, nor one site past another."""
    sites = SITES["gpt2"]
    source = source_of(models["gpt2"], sites[:1], tmp_path, write_site=sites[1])
    rows = source.tokenize(TEXTS, name="texts")
    with pytest.raises(NotApplicable, match="read and written at the same site"):
        next_token_gradient(source, rows, next(source.batches(rows)))
    several = source_of(models["gpt2"], sites[:2], tmp_path)
    with pytest.raises(NotApplicable, match="known at one site only"):
        next_token_gradient(several, rows, next(several.batches(rows)))


class Short:
    """A third party's source with the members that the protocol names, and one row too few."""

    def __init__(self, whole: ActivationSource, rows: int) -> None:
        self.rows = rows
        for name in ("name", "identity", "model", "sites", "widths", "context", "memo"):
            setattr(self, name, getattr(whole, name))
        self.stored_rows, self.tokenize = whole.stored_rows, whole.tokenize
        self.token_rows, self.splice = whole.token_rows, whole.splice
        self.final_hidden, self.whole = whole.final_hidden, whole

    def batches(self, rows: TokenRows, positions: np.ndarray | None = None) -> Iterator[Any]:
        """Of the first rows alone."""
        positions = None if positions is None else positions[: self.rows]
        return self.whole.batches(rows.take(slice(0, self.rows)), positions)


def test_a_source_of_somebody_elses_needs_a_dozen_members(
    models: Mapping[str, LoadedModel], tmp_path: Path
) -> None:
    """All that tasks read works through them; a source that leaves rows out is found out."""
    source = source_of(models["gpt2"], ("layers.1",), tmp_path)
    rows = source.tokenize(TEXTS, name="texts")
    theirs: Any = Short(source, len(rows))
    last = AtPositions(rows.attention.sum(1) - 1)
    assert isinstance(theirs, ActivationSource)
    assert np.array_equal(read_x(theirs, rows), read_x(source, rows))
    sae: Any = Gradients(16)
    fewer: Any = Short(source, len(rows) - 1)
    for read in (read_x, lambda *given: read_acts(given[0], sae, *given[1:])):
        for select in ([], [last]):
            with pytest.raises(DataError, match="must give all rows, in order"):
                read(fewer, rows, *select)
