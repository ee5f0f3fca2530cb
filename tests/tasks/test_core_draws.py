"""The seed draws the rows that `core` reads, where there are more than it reads."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from core_oracles import random_topk, tiny_source
from saeval_tasks.core import Core
from saeval_tasks.core.rows import RowLimits, judged_rows, stored_vectors

from saeval.activations import ActivationSource, ModelSource, TokenRows, array_source
from saeval.evidence import Evidence, compare

TEXTS = [f"w{i} w{(i * 7 + 3) % 60} w{(i * 11 + 1) % 60}" for i in range(60)]
VECTORS = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
KINDS = ("documents", "tokens", "packed", "units", "vectors")
Case = tuple[ActivationSource, dict[str, object]]
"""A source, and fields of the task."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """A tiny GPT-2, read after its second block."""
    return tiny_source(tmp_path_factory.mktemp("draws"))


@pytest.fixture(scope="module")
def cases(source: ModelSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Each kind of rows."""
    folder = tmp_path_factory.mktemp("texts")
    path, tokens = folder / "texts.txt", folder / "rows.npy"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    np.save(tokens, np.arange(4, 54)[:, None] + np.arange(8))
    texts = {"texts": str(path), "context": 8}
    return {
        "documents": (source, texts),
        "tokens": (source, {"tokens": str(tokens)}),
        "packed": (source, {**texts, "overflow": "pack"}),
        "units": (array_source(VECTORS.reshape(200, 5, 16)), {}),
        "vectors": (array_source(VECTORS), {}),
    }


def read(case: Case, seed: int = 0, **fields: object) -> TokenRows:
    """The rows of a case under these fields."""
    source, own = case
    task = Core(**{"ce_rows": 0, **own, **fields})  # type: ignore[arg-type]
    return task.prepare(source, seed).required_rows


def as_set(rows: TokenRows) -> set[tuple[int, ...]]:
    """The rows' tokens, in no order."""
    return {tuple(ids) for ids in rows.ids[:, : rows.attention.sum(1).max()].tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_reads_other_rows(cases: dict[str, Case], kind: str) -> None:
    """As many, each once; the same seed draws the same ones again."""
    drawn = [read(cases[kind], seed, rows=12) for seed in (0, 1, 2)]
    assert [len(as_set(rows)) for rows in drawn] == [12] * 3
    assert len({rows.digest for rows in drawn}) == 3
    assert read(cases[kind], 1, rows=12).digest == drawn[1].digest
    for a, b in ((0, 1), (0, 2), (1, 2)):  # of 12, up to 4 is what chance gives
        assert len(as_set(drawn[a]) & as_set(drawn[b])) <= 6


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "packed"])
def test_what_is_drawn_is_there(cases: dict[str, Case], kind: str) -> None:
    """Drawn rows are rows of the whole, and over many seeds each is drawn about equally often."""
    whole = [tuple(ids) for ids in read(cases[kind]).ids.tolist()]
    times = dict.fromkeys(whole, 0)
    for seed in range(40):
        for row in read(cases[kind], seed, limit=0.25).ids.tolist():
            times[tuple(row)] += 1
    counts = np.array([times[row] for row in whole])
    assert counts.sum() == 40 * round(len(whole) / 4)
    # 40 draws of a quarter: 10 times each, give or take five standard deviations of 2.7.
    assert np.abs(counts - 10).max() < 14


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spare", [0, 100])
def test_all_that_there_is_keeps_its_order(cases: dict[str, Case], kind: str, spare: int) -> None:
    """Where everything is read, or less is there than is asked for, the seed changes nothing."""
    whole = read(cases[kind])
    for seed in (0, 3):
        assert read(cases[kind], seed, rows=len(whole) + spare).digest == whole.digest


def test_vectors_are_drawn_by_whole_blocks(cases: dict[str, Case]) -> None:
    """Neighbours stay together, in the order of the array; a block is a unit."""
    source, _ = cases["vectors"]
    prepared = Core(limit=200).prepare(source, 4)
    numbers = prepared.required_rows.ids[:, 0]
    assert len(numbers) == 200
    assert (np.diff(numbers) > 0).all()
    assert prepared.facts["rows_a_unit"] == 3
    whole = numbers[:198].reshape(-1, 3)
    assert (np.diff(whole) == 1).all()
    assert (whole[:, 0] % 3 == 0).all()


@pytest.mark.parametrize("available", [1, 2, 63, 64, 65, 199, 200, 1000, 10_000])
def test_as_many_vectors_are_read_as_were_asked_for(available: int) -> None:
    """Also where nearly all are read, so that the short block at the array's end is drawn."""
    source = array_source(np.zeros((available, 1), dtype=np.float32))
    rows = source.stored_rows
    assert rows is not None
    for count in {1, available // 2, available - 129, available - 2, available - 1, available}:
        if count < 1:
            continue
        for seed in (0, 1, 2):
            data = stored_vectors(rows, "vectors", RowLimits(limit=count), seed)
            numbers = data.rows.ids[:, 0]
            assert len(numbers) == count
            assert (np.diff(numbers) > 0).all()
            blocks = np.split(numbers, np.arange(data.rows_per_unit, count, data.rows_per_unit))
            assert all((block - block[0] == np.arange(len(block))).all() for block in blocks)


def judged_texts(case: Case, seed: int, **fields: object) -> set[tuple[int, ...]]:
    """The rows of a case whose predictions are judged."""
    source, own = case
    prepared = Core(**{**own, **fields}).prepare(source, seed)  # type: ignore[arg-type]
    judged = prepared.required_rows.take(slice(0, prepared.facts["ce_rows"]))
    return as_set(judged)


def test_the_seed_draws_which_rows_are_judged(cases: dict[str, Case]) -> None:
    """Also where all rows are read; for SAEBench's figures they are the first ones."""
    documents = cases["documents"]
    whole = [tuple(ids) for ids in read(documents).ids.tolist()]
    times = dict.fromkeys(whole, 0)
    for seed in range(40):
        judged = judged_texts(documents, seed, ce_rows=15)
        assert len(judged) == 15
        for row in judged:
            times[row] += 1
    # 40 draws of a quarter: 10 times each, give or take five standard deviations of 2.7.
    assert np.abs(np.array(list(times.values())) - 10).max() < 14
    for seed in (0, 3):
        judged = judged_texts(documents, seed, ce_rows=15, compat="saebench")
        assert judged == set(whole[:15])


def test_the_order_of_measurement_shows_nowhere(cases: dict[str, Case]) -> None:
    """Evidence names rows as they were read, so that runs that judge others can be compared."""
    source, own = cases["documents"]
    sae = random_topk()

    def evidence(seed: int, **fields: object) -> dict[str, Evidence]:
        task = Core(**{**own, "ce_rows": 15, **fields})  # type: ignore[arg-type]
        yielded = list(task.score(sae, task.prepare(source, seed), source, seed))
        return {one.metric: one for one in yielded if isinstance(one, Evidence)}

    drawn, other, first = evidence(0), evidence(1), evidence(0, compat="saebench")
    for entry in (other["fvu"], first["fvu"]):
        assert compare(drawn["fvu"], entry).delta == pytest.approx(0, abs=1e-6)
        columns = drawn["fvu"].units.table
        for name in ("unit_id", "sq_err", "sq_dev", "l0"):
            assert np.allclose(entry.units.table[name], columns[name], rtol=1e-5)
    judged = [entry["ce_loss_with_sae"].units.table for entry in (drawn, other, first)]
    assert judged[2]["unit_id"].tolist() == list(range(15))
    everywhere = evidence(0, ce_rows=60)["ce_loss_with_sae"].units.table
    for table in judged:
        same = everywhere.iloc[table["unit_id"].to_numpy(int)]
        assert np.allclose(table["ce_sae"], same["ce_sae"], rtol=1e-4)
        assert np.allclose(table["ce_clean"], same["ce_clean"], rtol=1e-5)


def test_a_null_has_none_of_the_figures_of_another_harness(cases: dict[str, Case]) -> None:
    """It shares what was prepared with `compat`, and is scored without."""
    source, own = cases["documents"]
    task = Core(**{**own, "compat": "saebench"})  # type: ignore[arg-type]
    prepared = task.prepare(source, 0)
    sae = random_topk()
    with_them = [one.metric for one in task.score(sae, prepared, source, 0)]
    without = replace(task, compat=None).score(sae, prepared, source, 0)
    plain = [one.metric for one in without]
    assert plain == [name for name in with_them if not name.startswith("saebench_")]
    assert len(plain) < len(with_them)


def test_packed_rows_are_those_of_shuffled_texts(
    source: ModelSource, cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn texts are packed whole, and no more of them are tokenized than the rows need."""
    tokenized: list[int] = []
    tokenize: Callable[..., TokenRows] = ModelSource.tokenize

    def counted(self: ModelSource, texts: list[str], **policy: object) -> TokenRows:
        tokenized.append(len(texts))
        return tokenize(self, texts, **policy)

    monkeypatch.setattr(ModelSource, "tokenize", counted)
    rows = read(cases["packed"], rows=3)
    assert max(tokenized) < len(TEXTS)
    words = [name for ids in rows.ids for name in source.model.tokenizer.decode(ids[1:]).split()]
    stream = " ".join(word for word in words if word.startswith("w"))
    documents = [text for text in TEXTS if text in stream]
    assert len(documents) >= 4
    assert documents != TEXTS[: len(documents)]


@pytest.mark.parametrize(
    "lengths, number, judged",
    [
        ([128] * 600, None, 512),
        ([128] * 600, 7, 7),
        ([128] * 600, 0, 0),
        ([128] * 5, 7, 5),
        ([128] * 5, None, 5),
        ([50] * 2000, None, 1310),
        ([70_000, 3], None, 1),
    ],
)
def test_as_many_rows_are_judged_as_hold_enough_tokens(
    lengths: list[int], number: int | None, judged: int
) -> None:
    """Without a number, 65,536 tokens decide, and one row at least; else the number."""
    attention = np.arange(max(lengths)) < np.array(lengths)[:, None]
    rows = TokenRows("rows", np.zeros(attention.shape, dtype=np.int32), attention, attention)
    assert judged_rows(rows, number, None).tolist() == list(range(judged))
    if len(set(lengths)) == 1:
        drawn = judged_rows(rows, number, 0)
        assert len(drawn) == judged
        assert (np.diff(drawn) > 0).all()
        assert judged in (0, len(lengths)) or drawn.tolist() != list(range(judged))
