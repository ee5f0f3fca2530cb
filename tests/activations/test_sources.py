"""Activation sources: what tasks see is what the model computes, once, whatever the batch."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from jaxtyping import Float
from safetensors.numpy import save_file
from torch import Tensor

from saeval.activations import (
    ActivationSource,
    AtPositions,
    Batch,
    Memo,
    ModelSource,
    Pooled,
    Store,
    TokenRows,
    array_source,
    has_logits,
    model_source,
    read_acts,
    read_codes,
    read_x,
)
from saeval.errors import DataError, ModelError, NotApplicable, UsageError
from saeval.models import LoadedModel, load_model

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "w1 w2 w3 w4 w5", "w9 w9"]


class PlainSAE:
    """A two-sided dictionary: latents come with both signs."""

    def __init__(self, d_in: int, d_sae: int = 12, seed: int = 0) -> None:
        self.d_in, self.d_sae, self.encoded = d_in, d_sae, 0
        generator = torch.Generator().manual_seed(seed)
        self.W_dec = torch.randn(d_sae, d_in, generator=generator)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Projections whose size exceeds 1.5, of either sign."""
        self.encoded += len(x)
        acts = x @ self.W_dec.T
        return acts * (acts.abs() > 1.5)

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_in"]:
        """Sum of dictionary vectors."""
        return acts @ self.W_dec + 0 * x


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """Tiny models by kind, each built once."""

    @functools.cache
    def loaded(kind: str) -> LoadedModel:
        return load_model(str(tiny_models.build(kind, tmp_path_factory.mktemp(kind))))

    return loaded


@pytest.fixture
def gpt2(load: Callable[[str], LoadedModel], tmp_path: Path) -> ModelSource:
    """The output of block 1 of a tiny GPT-2."""
    return model_source(load("gpt2"), "layers.1", store=Store(tmp_path / "store"))


@contextmanager
def counted(model: LoadedModel, path: str) -> Iterator[list[int]]:
    """Rows that pass through a module while open."""
    seen: list[int] = []
    module = model.net.get_submodule(path)
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        handle.remove()


def all_x(source: ActivationSource, rows: TokenRows) -> Tensor:
    """Activations of all counted tokens."""
    return torch.cat([batch.x_tokens for batch in source.batches(rows)])


def acts_by_row(source: ActivationSource, sae: PlainSAE, rows: TokenRows) -> list[np.ndarray]:
    """Dense latents of each row's counted tokens, straight from the SAE."""
    acts = sae.encode(all_x(source, rows)).numpy()
    return np.split(acts, np.cumsum(rows.mask.sum(1))[:-1])


def test_sources_conform_to_the_protocol(gpt2: ModelSource) -> None:
    """Model and array sources have all that tasks may ask for."""
    assert isinstance(gpt2, ActivationSource)
    assert isinstance(array_source(np.ones((2, 3), dtype=np.float32)), ActivationSource)


def test_activations_are_those_of_each_text_alone(gpt2: ModelSource) -> None:
    """Batching, padding and sorting by length change nothing."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    found, sites = list(all_x(gpt2, rows).split(rows.mask.sum(1).tolist())), gpt2.sites.read
    for i, x in enumerate(found):
        ids = torch.from_numpy(rows.ids[i : i + 1, : rows.attention[i].sum()].astype(np.int64))
        alone = gpt2.model.run_to(sites, ids, torch.ones_like(ids))[sites[0]]
        assert torch.allclose(x, alone[0, 1:], atol=1e-6)


@pytest.mark.parametrize("batch_tokens", [1, 9, 20, 1000])
def test_batch_size_changes_no_figure(
    load: Callable[[str], LoadedModel], tmp_path: Path, batch_tokens: int
) -> None:
    """Activations, pooled codes and spliced runs agree to 1e-6 with those of one large batch."""
    model, sae = load("llama"), PlainSAE(tiny_models.WIDTH)
    one, other = (
        model_source(model, "layers.1", store=Store(tmp_path / str(n)), batch_tokens=n)
        for n in (5000, batch_tokens)
    )
    rows = one.tokenize(TEXTS, name="texts")
    assert torch.allclose(all_x(one, rows), all_x(other, rows), atol=1e-6)
    assert (
        abs(read_acts(one, sae, rows, Pooled()) - read_acts(other, sae, rows, Pooled())).max()
        < 1e-6
    )
    ours, theirs = (
        torch.cat([s.splice(rows, b, b.y * 0.5)[b.mask] for b in s.batches(rows)])
        for s in (one, other)
    )
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_one_pass_of_the_model_serves_all_saes_and_tasks(gpt2: ModelSource) -> None:
    """Activations, codes of two SAEs, pooling and clean hidden states run the first block once."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    with counted(gpt2.model, "transformer.h.0.mlp") as first:
        for seed in (0, 1):
            sae = PlainSAE(gpt2.widths.d_in, seed=seed)
            list(read_codes(gpt2, sae, rows))
            read_acts(gpt2, sae, rows, Pooled())
            read_x(gpt2, rows, Pooled())
            read_x(gpt2, rows, AtPositions(np.zeros(len(rows), dtype=np.int64)))
            list(gpt2.final_hidden(rows))
    with counted(gpt2.model, "transformer.h.2.mlp") as last:
        for batch in gpt2.batches(rows):
            gpt2.splice(rows, batch, batch.y)
        list(gpt2.final_hidden(rows))
    # Sites are looked at with short rows of their own before; only whole texts count here.
    assert first.count(len(rows)) == 1
    assert sum(last) == len(rows)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama", "gemma2", "qwen2"])
@pytest.mark.parametrize("name", ["layers.1", "blocks.1.hook_mlp_out", "blocks.0.attn.hook_z"])
def test_splicing_the_activation_itself_gives_the_clean_model(
    load: Callable[[str], LoadedModel], tmp_path: Path, kind: str, name: str
) -> None:
    """Stored or streamed, the clean hidden states equal a whole pass and a spliced identity."""
    model = load(kind)
    for quota in (0, 10**9):
        source = model_source(model, name, store=Store(tmp_path / str(quota), quota))
        rows = source.tokenize(TEXTS, name="texts")
        ids, attention = torch.from_numpy(rows.ids), torch.from_numpy(rows.attention)
        _, clean = model.clean([], ids, attention)
        finals = list(source.final_hidden(rows))
        batches = list(source.batches(rows))
        assert torch.allclose(torch.cat(finals)[attention], clean[attention], atol=1e-6)
        for batch, final in zip(batches, finals, strict=True):
            spliced = source.splice(rows, batch, batch.y)
            assert torch.equal(spliced[batch.mask], final[batch.mask])


def test_transcoders_read_one_site_and_write_another(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """They read the MLP's input and write its output; the MLP itself is a perfect one."""
    model = load("llama")
    source = model_source(
        model,
        "blocks.1.mlp.hook_in",
        write_site="blocks.1.hook_mlp_out",
        store=Store(tmp_path),
        batch_tokens=16,
    )
    rows = source.tokenize(TEXTS, name="texts")
    mlp = model.net.get_submodule("model.layers.1.mlp")
    finals = source.final_hidden(rows)
    for batch, final in zip(source.batches(rows), finals, strict=True):
        assert torch.allclose(mlp(batch.x), batch.y, atol=1e-5)
        spliced = source.splice(rows, batch, mlp(batch.x))
        assert torch.allclose(spliced[batch.mask], final[batch.mask], atol=1e-5)
        zeroed = source.splice(rows, batch, torch.zeros_like(batch.y))
        assert not torch.allclose(zeroed[batch.mask], final[batch.mask], atol=1e-2)


def test_streamed_equals_stored(load: Callable[[str], LoadedModel], tmp_path: Path) -> None:
    """What does not fit the store is computed again, and is the same."""
    model, sae = load("qwen2"), PlainSAE(tiny_models.WIDTH)
    stored, streamed = (
        model_source(model, "layers.0", store=Store(tmp_path / str(n), n), batch_tokens=20)
        for n in (10**9, 0)
    )
    rows = stored.tokenize(TEXTS, name="texts")
    assert torch.allclose(all_x(stored, rows), all_x(streamed, rows), atol=1e-6)
    last = rows.attention.sum(1) - 1
    assert np.allclose(
        read_x(stored, rows, AtPositions(last)),
        read_x(streamed, rows, AtPositions(last)),
        atol=1e-6,
    )
    assert (
        abs(
            read_acts(stored, sae, rows, Pooled("max"))
            - read_acts(streamed, sae, rows, Pooled("max"))
        ).max()
        < 1e-6
    )
    assert not list((tmp_path / "0" / "entries").glob("??/*"))


def test_activations_that_overflow_are_refused(tmp_path: Path) -> None:
    """A model that gives NaN is named with the site, the texts and the dtype."""
    model = load_model(str(tiny_models.build("llama", tmp_path / "m")))
    with torch.no_grad():
        model.net.get_input_embeddings().weight[tiny_models.VOCABULARY["w2"]] = torch.inf
    source = model_source(model, "layers.1", store=Store(tmp_path / "store"))
    assert len(all_x(source, source.tokenize(["w1 w3"], name="good"))) == 2
    with pytest.raises(
        ModelError, match=r"NaN or infinity at 'model\.layers\.1:out'.*'bad'.*float32"
    ):
        all_x(source, source.tokenize(["w1", "w1 w2"], name="bad"))


def test_special_tokens_do_not_count_and_silent_ones_do(tmp_path: Path) -> None:
    """Masks come from ids: BOS never counts, and a token whose activation is all 0 does."""
    model = load_model(str(tiny_models.build("llama", tmp_path / "m")))
    with torch.no_grad():
        model.net.get_input_embeddings().weight[tiny_models.VOCABULARY["w2"]] = 0
    source = model_source(model, "embed", store=Store(tmp_path / "store"))
    rows = source.tokenize(["w1 w2 w3"], name="texts")
    assert rows.ids[0].tolist() == [1, 5, 6, 7]
    assert rows.mask[0].tolist() == [False, True, True, True]
    assert all_x(source, rows)[1].abs().sum() == 0


def test_an_encoder_is_read_with_its_own_special_tokens(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """BERT's texts stand between CLS and SEP, which do not count; there are no logits."""
    source = model_source(load("bert"), "layers.1", store=Store(tmp_path))
    rows = source.tokenize(["w1 w2", "w3"], name="texts")
    assert rows.ids.tolist() == [[1, 5, 6, 2], [1, 7, 2, 0]]
    assert rows.mask.sum(1).tolist() == [2, 1]
    assert len(all_x(source, rows)) == 3
    assert not has_logits(source)
    with pytest.raises(NotApplicable, match="without an output head"):
        source.final_hidden(rows)


@pytest.mark.parametrize(
    "texts, options, message",
    [
        ([], {}, "holds no texts"),
        (["w1", "  "], {}, "Text 1 of 'mine' is empty"),
        (["w1 " * 24], {}, r"Text 0 of 'mine' has 25 tokens, more than the 24.*truncate or pack"),
        (["w1 w2 w3"], {"context": 3}, "has 4 tokens, more than the 3"),
        (["w1"], {"context": 8, "overflow": "pack"}, "too few to fill one row of 8"),
    ],
)
def test_texts_that_do_not_fit_are_refused(
    gpt2: ModelSource, texts: list[str], options: dict, message: str
) -> None:
    """No text, an empty one or a long one is an error that names it and the way out."""
    with pytest.raises(DataError, match=message):
        gpt2.tokenize(texts, name="mine", **options)


def test_options_that_make_no_sense_are_refused(gpt2: ModelSource) -> None:
    """An unknown overflow, packing without a length, and a context the model lacks."""
    with pytest.raises(UsageError, match="choose error, truncate or pack"):
        gpt2.tokenize(["w1"], name="mine", overflow="wrap")
    with pytest.raises(UsageError, match="Packed rows need a length"):
        gpt2.tokenize(["w1"], name="mine", overflow="pack")
    with pytest.raises(UsageError, match="it takes 2 to 24"):
        gpt2.tokenize(["w1"], name="mine", context=25)


def test_truncation_keeps_the_start(gpt2: ModelSource) -> None:
    """A long text is cut on the right, BOS included in the count."""
    rows = gpt2.tokenize(["w1 w2 w3", "w4"], name="t", context=3, overflow="truncate")
    assert rows.ids.tolist() == [[1, 5, 6], [1, 8, 0]]
    assert rows.attention.tolist() == [[True] * 3, [True, True, False]]


@pytest.mark.parametrize(
    "prepend_bos, expected",
    [
        (True, [[1, 5, 6, 7], [1, 8, 9, 1], [1, 10, 11, 12], [1, 13, 1, 14]]),
        (False, [[5, 6, 7, 8], [9, 1, 10, 11], [12, 13, 1, 14]]),
    ],
)
def test_packed_rows_by_hand(
    *, gpt2: ModelSource, prepend_bos: bool, expected: list[list[int]]
) -> None:
    """BOS between texts and, if asked for, at each row's start; what is left over goes on."""
    texts = ["w1 w2 w3 w4 w5", "w6 w7 w8 w9", " ", "w10"]
    rows = gpt2.tokenize(texts, name="t", context=4, overflow="pack", prepend_bos=prepend_bos)
    assert rows.ids.tolist() == expected
    assert rows.attention.all()
    assert (rows.mask == (rows.ids != 1)).all()


def test_a_packed_row_that_ends_with_a_text_begins_with_one_bos(gpt2: ModelSource) -> None:
    """Where a text ends with its row, the next row's BOS is the separator."""
    rows = gpt2.tokenize(["w1 w2 w3", "w4 w5 w6"], name="t", context=4, overflow="pack")
    assert rows.ids.tolist() == [[1, 5, 6, 7], [1, 8, 9, 10]]


def test_ready_token_rows_are_checked(gpt2: ModelSource) -> None:
    """Padding at the end is no text; ids, shapes and lengths that do not fit are refused."""
    rows = gpt2.token_rows(np.array([[1, 5, 6], [1, 7, 3], [5, 3, 8]]), name="ready")
    assert rows.attention.tolist() == [[True] * 3, [True, True, False], [True] * 3]
    assert rows.mask.tolist() == [[False, True, True], [False, True, False], [True, False, True]]
    for ids, message in (
        (np.array([[1, 64]]), "id 64 at row 0, position 1, outside the model's vocabulary of 64"),
        (np.array([[1, -1]]), "id -1"),
        (np.ones((2, 25), dtype=int), "rows of 'ready' have 25 tokens.*context is 24"),
        (np.array([1, 2]), r"shape \[2\], not token rows"),
        (np.array([[1.0, 2.0]]), "float64"),
        (np.ones((0, 4), dtype=int), "holds no tokens"),
        (np.array([[5, 6], [3, 6]]), "Row 1 of 'ready' begins with padding"),
        (np.array([[5, 6], [3, 3]]), "Row 1 of 'ready' is padding throughout"),
    ):
        with pytest.raises(DataError, match=message):
            gpt2.token_rows(ids, name="ready")


def test_a_model_without_tokenizer_takes_token_rows_only(tmp_path: Path) -> None:
    """Texts are refused with what is missing; ready rows work."""
    folder = tiny_models.build("gpt2", tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    source = model_source(load_model(str(folder)), "layers.0", store=Store(tmp_path / "s"))
    with pytest.raises(ModelError, match="without a tokenizer"):
        source.tokenize(["w1"], name="t")
    rows = source.token_rows(np.array([[1, 5, 6]]), name="ready")
    assert rows.mask.tolist() == [[False, True, True]]


def test_codes_are_encoded_once_for_the_sae_being_scored(gpt2: ModelSource) -> None:
    """Codes equal the SAE's own; a second task encodes nothing; another SAE starts afresh."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    sae, other = PlainSAE(gpt2.widths.d_in), PlainSAE(gpt2.widths.d_in, seed=1)
    for batch, codes in read_codes(gpt2, sae, rows):
        x = batch.x_tokens
        assert torch.equal(codes.dense(), sae.encode(x))
    sae.encoded = 0
    list(read_codes(gpt2, sae, rows))
    read_acts(gpt2, sae, rows, Pooled())
    assert sae.encoded == 0
    list(read_codes(gpt2, other, rows))
    assert other.encoded == rows.mask.sum()
    list(read_codes(gpt2, sae, rows))
    gpt2.memo.release(sae)
    list(read_codes(gpt2, sae, rows))
    assert sae.encoded == 2 * rows.mask.sum()


def test_acts_are_those_of_all_counted_tokens(gpt2: ModelSource) -> None:
    """Row by row, as the SAE gives them; whether or not some were remembered."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    sae = PlainSAE(gpt2.widths.d_in)
    brute = np.concatenate(acts_by_row(gpt2, sae, rows))
    assert np.allclose(read_acts(gpt2, sae, rows).toarray(), brute, atol=1e-6)
    assert np.allclose(read_x(gpt2, rows), all_x(gpt2, rows), atol=1e-6)
    list(read_codes(gpt2, sae, rows))
    sae.encoded = 0
    assert np.allclose(read_acts(gpt2, sae, rows).toarray(), brute, atol=1e-6)
    assert sae.encoded == 0


def test_single_positions_take_little_of_the_store(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """One vector a row is stored, not the row; what is read is what the rows have there."""
    source = model_source(load("gpt2"), "layers.1", store=Store(tmp_path))
    rows = source.tokenize(TEXTS, name="texts")
    last = rows.attention.sum(1) - 1
    found = read_x(source, rows, AtPositions(last))
    (held,) = tmp_path.rglob("0.bin")
    assert held.stat().st_size == len(rows) * source.widths.d_in * 4
    x = np.concatenate([batch.x.numpy() for batch in source.batches(rows)])
    assert np.allclose(found, x[np.arange(len(rows)), last], atol=1e-6)


def test_pooling_remembers_its_result_alone(gpt2: ModelSource) -> None:
    """What was pooled is not pooled again, and the codes behind it take no memory."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    sae = PlainSAE(gpt2.widths.d_in)
    first = read_acts(gpt2, sae, rows, Pooled())
    sae.encoded = 0
    assert read_acts(gpt2, sae, rows, Pooled()) is first
    assert sae.encoded == 0
    assert gpt2.memo.bytes == first.data.nbytes + first.indices.nbytes + first.indptr.nbytes


def test_codes_past_the_bound_are_encoded_again(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """Memory stays under the limit, and the codes are the same."""
    source = model_source(load("gpt2"), "layers.1", store=Store(tmp_path), batch_tokens=8)
    bounded = replace(source, memo=Memo(limit=500))
    rows = source.tokenize(TEXTS, name="texts")
    sae = PlainSAE(source.widths.d_in)
    whole = [codes.dense() for _, codes in read_codes(source, sae, rows)]
    sae.encoded = 0
    for _ in range(2):
        parts = [codes.dense() for _, codes in read_codes(bounded, sae, rows)]
        assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert rows.mask.sum() < sae.encoded < 2 * rows.mask.sum()
    assert 0 < bounded.memo.bytes <= 500


def test_pooling_equals_brute_force(gpt2: ModelSource) -> None:
    """Mean and max over counted tokens, where inactive latents count as 0 and signs are kept."""
    sae = PlainSAE(gpt2.widths.d_in)
    texts = gpt2.tokenize(TEXTS, name="texts")
    acts = acts_by_row(gpt2, sae, texts)
    assert (np.concatenate(acts) < 0).any()
    mean, largest = (
        read_acts(gpt2, sae, texts, Pooled()),
        read_acts(gpt2, sae, texts, Pooled("max")),
    )
    assert np.allclose(mean.toarray(), [row.mean(0) for row in acts], atol=1e-6)
    assert np.allclose(largest.toarray(), [row.max(0) for row in acts])
    x = all_x(gpt2, texts).split(texts.mask.sum(1).tolist())
    assert np.allclose(read_x(gpt2, texts, Pooled()), [row.mean(0) for row in x], atol=1e-6)
    assert np.allclose(read_x(gpt2, texts, Pooled("max")), [row.amax(0) for row in x])
    with pytest.raises(UsageError, match="mean or max, not by 'median'"):
        read_acts(gpt2, sae, texts, Pooled("median"))
    with pytest.raises(UsageError, match="median"):
        read_x(gpt2, texts, Pooled("median"))


def test_a_row_without_counted_tokens_pools_to_zero(gpt2: ModelSource) -> None:
    """BOS alone is no text: its row is 0, never NaN."""
    rows = gpt2.token_rows(np.array([[1, 2, 1], [5, 6, 7]]), name="ready")
    sae = PlainSAE(gpt2.widths.d_in)
    for how in ("mean", "max"):
        assert read_acts(gpt2, sae, rows, Pooled(how))[0].nnz == 0
        assert read_acts(gpt2, sae, rows, Pooled(how))[1].nnz > 0
        assert (read_x(gpt2, rows, Pooled(how))[0] == 0).all()


def test_single_positions(gpt2: ModelSource) -> None:
    """Activations and codes at one position a row are those of the batch; others are refused."""
    rows = gpt2.tokenize(TEXTS, name="texts")
    sae = PlainSAE(gpt2.widths.d_in)
    last = rows.attention.sum(1) - 1
    whole = torch.cat([batch.x for batch in gpt2.batches(rows)])
    expected = whole[torch.arange(len(rows)), torch.from_numpy(last)]
    assert np.array_equal(read_x(gpt2, rows, AtPositions(last)), expected.numpy())
    assert np.allclose(
        read_acts(gpt2, sae, rows, AtPositions(last)).toarray(), sae.encode(expected).numpy()
    )
    with pytest.raises(DataError, match=r"Row 1 of 'texts' has 2 tokens.*position 7"):
        read_x(gpt2, rows, AtPositions(np.array([0, 7, 0, 0, 0])))
    with pytest.raises(DataError, match="one position each"):
        read_x(gpt2, rows, AtPositions(np.array([0])))


def test_centred_activations_change_nothing_behind(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """Vectors have mean 0, and splicing them back gives the clean logits."""
    model = load("gpt2")
    store = Store(tmp_path)
    plain = model_source(model, "layers.1", store=store)
    centred = model_source(model, "layers.1", store=store, centred=True)
    rows = plain.tokenize(TEXTS, name="texts")
    x = all_x(plain, rows)
    assert torch.allclose(all_x(centred, rows), x - x.mean(-1, keepdim=True), atol=1e-6)
    last = rows.attention.sum(1) - 1
    assert np.allclose(read_x(centred, rows, AtPositions(last)).mean(-1), 0, atol=1e-6)
    for batch, final in zip(centred.batches(rows), plain.final_hidden(rows), strict=True):
        spliced = centred.splice(rows, batch, batch.y)
        assert torch.allclose(spliced[batch.mask], final[batch.mask], atol=1e-5)
    assert centred.identity != plain.identity


@pytest.mark.parametrize(
    "kind, name",
    [
        ("llama", "layers.1"),
        ("gpt2", "blocks.1.attn.hook_z"),
        ("gpt2", "blocks.1.mlp.hook_in"),
    ],
)
def test_centring_is_refused_where_the_mean_matters(
    load: Callable[[str], LoadedModel], kind: str, name: str
) -> None:
    """RMS norms keep the mean, and so does what does not write to the stream."""
    with pytest.raises(ModelError, match="cannot be centred"):
        model_source(load(kind), name, centred=True)


def test_identity_follows_model_sites_dtype_and_centring(
    load: Callable[[str], LoadedModel],
) -> None:
    """Each input that decides activations changes the identity; nothing else does."""
    model = load("gpt2")
    half = load_model(model.name, dtype=torch.bfloat16)
    sources = [
        model_source(model, "layers.1"),
        model_source(model, "layers.0"),
        model_source(model, "blocks.1.hook_resid_pre"),
        model_source(model, "layers.1", write_site="layers.2"),
        model_source(model, "layers.1", centred=True),
        model_source(load("gpt_neox"), "layers.1"),
        model_source(half, "layers.1"),
    ]
    assert len({source.identity for source in sources}) == len(sources)
    again = model_source(model, "blocks.1.hook_resid_post", batch_tokens=7)
    assert again.identity == sources[0].identity


def test_half_precision_is_stored_as_it_is(
    load: Callable[[str], LoadedModel], tmp_path: Path
) -> None:
    """bfloat16 activations come back exactly, as float32, at half the size on disk."""
    model = load_model(load("llama").name, dtype=torch.bfloat16)
    source = model_source(model, "layers.1", store=Store(tmp_path))
    rows = source.tokenize(TEXTS, name="texts")
    x = all_x(source, rows)
    assert x.dtype == torch.float32
    assert torch.equal(x, x.bfloat16().float())
    (file,) = tmp_path.glob("entries/*/*/0.bin")
    assert file.stat().st_size == rows.attention.sum() * tiny_models.WIDTH * 2


def test_activations_written_by_numpy(fixtures_dir: Path) -> None:
    """A .npy of another library is read number by number, in batches."""
    folder = fixtures_dir / "loaders" / "npy_activations"
    source = array_source(folder / "activations.npy", batch_rows=100)
    rows = source.stored_rows
    statistics = pd.read_json(folder / "statistics.json", typ="series")
    x = all_x(source, rows).double()
    assert (len(rows), source.widths.d_in) == (statistics["rows"], statistics["d_in"])
    assert float(x.norm(dim=-1).mean()) == pytest.approx(statistics["mean_norm"])
    assert float(x.var(0, correction=0).sum()) == pytest.approx(statistics["total_variance_ddof0"])


@pytest.mark.parametrize("kind", ["npy", "safetensors", "parquet", "lists", "array"])
def test_arrays_conform_to_the_same_protocol(tmp_path: Path, kind: str) -> None:
    """Every format gives the same vectors, codes and positions; a model's work is refused."""
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32) * 2
    path = tmp_path / f"x.{'parquet' if kind == 'lists' else kind}"
    if kind == "npy":
        np.save(path, x)
    elif kind == "safetensors":
        save_file({"activations": x, "other": x[:1]}, path)
    elif kind == "parquet":
        pd.DataFrame(x, columns=list("abcd")).to_parquet(path)
    elif kind == "lists":
        pd.DataFrame({"id": range(7), "activations": list(x)}).to_parquet(path)
    source = array_source(x if kind == "array" else path, name="mine", batch_rows=3)
    rows, sae = source.stored_rows, PlainSAE(4)
    assert torch.equal(all_x(source, rows), torch.from_numpy(x))
    acts = sae.encode(torch.from_numpy(x)).numpy()
    assert np.allclose(read_acts(source, sae, rows, Pooled()).toarray(), acts)
    assert np.allclose(
        read_acts(source, sae, rows.take(slice(2, 5)), Pooled("max")).toarray(), acts[2:5]
    )
    assert np.array_equal(
        read_x(source, rows.take([6, 0]), AtPositions(np.array([0, 0]))), x[[6, 0]]
    )
    assert (source.model, has_logits(source), source.context) == (None, False, 1)
    batch = next(iter(source.batches(rows)))
    for refused in (
        lambda: source.tokenize(["w1"], name="t"),
        lambda: source.token_rows(np.array([[1]]), name="t"),
        lambda: source.final_hidden(rows),
        lambda: source.splice(rows, batch, batch.y),
    ):
        with pytest.raises(NotApplicable, match="'mine' holds stored activations"):
            refused()


def test_arrays_with_targets_are_transcoder_data() -> None:
    """A second array gives y; sizes have to agree."""
    x, y = np.ones((3, 4), dtype=np.float32), np.zeros((3, 2), dtype=np.float32)
    source = array_source(x, y)
    batch: Batch = next(iter(source.batches(source.stored_rows)))
    assert (source.widths.d_in, source.widths.d_out) == (4, 2)
    assert torch.equal(batch.y_tokens, torch.zeros(3, 2))
    with pytest.raises(DataError, match="3 vectors with 2 vectors"):
        array_source(x, y[:2])


def test_arrays_that_are_no_activations_are_refused(tmp_path: Path) -> None:
    """NaN names its row; shapes, dtypes, formats and damaged files each say what is wrong."""
    x = np.ones((20000, 2), dtype=np.float32)
    x[17000, 1] = np.nan
    np.save(tmp_path / "nan.npy", x)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:1000])
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    np.save(tmp_path / "objects.npy", np.array([["a"]], dtype=object))
    save_file({"a": x[:2], "b": x[:2]}, tmp_path / "two.safetensors")
    for data, message in (
        (tmp_path / "nan.npy", "NaN or infinity in row 17000"),
        (tmp_path / "cut.npy", "Cannot read activations"),
        (tmp_path / "cut.safetensors", "Cannot read activations"),
        (tmp_path / "objects.npy", "Cannot read activations"),
        (tmp_path / "two.safetensors", "holds 2 tensors"),
        (tmp_path / "none.npy", "No such file"),
        (tmp_path / "x.csv", r"none of \.npy"),
        (np.ones(4), r"shape \[4\], not vectors"),
        (np.ones((2, 3, 4, 5)), r"shape \[2, 3, 4, 5\], not vectors"),
        (np.ones((2, 3), dtype=np.int64), "int64"),
        (np.ones((0, 3), dtype=np.float32), r"\[0, 3\]"),
    ):
        with pytest.raises(DataError, match=message):
            array_source(data)


def test_the_parity_models_rows_are_read_as_they_are(parity_dir: Path, tmp_path: Path) -> None:
    """Token rows of the parity set: BOS is special, and a spliced identity changes nothing."""
    model = load_model(str(parity_dir / "model"))
    source = model_source(model, "blocks.2.hook_resid_post", store=Store(tmp_path))
    ids = np.load(parity_dir / "core_tokens.npy")[:8]
    rows = source.token_rows(ids, name="core")
    assert rows.attention.all()
    assert (rows.mask == (ids != 0)).all()
    for batch, final in zip(source.batches(rows), source.final_hidden(rows), strict=True):
        assert torch.equal(source.splice(rows, batch, batch.y), final)
