"""Arrays of [units, tokens, d]: units are rows of tokens, and hold what the flat array holds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from core_oracles import evidence_of, values
from saeval_tasks.core import Core
from saeval_tasks.probing import Probing
from safetensors.numpy import save_file
from tiny_runs import topk

from saeval.activations import AtPositions, Pooled, array_source, read_acts, read_x
from saeval.errors import DataError, NotApplicable
from saeval.evidence import Evidence, summarise

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 5, 16)).astype(np.float32)
MASK = np.arange(5) < RNG.integers(1, 6, size=(30, 1))


def written(folder: Path, kind: str) -> Path | np.ndarray:
    """The array in some form."""
    path = folder / f"images.{kind}"
    if kind == "npy":
        np.save(path, X)
    elif kind == "safetensors":
        save_file({"activations": X}, path)
    else:
        return X
    return path


@pytest.mark.parametrize("kind", ["npy", "safetensors", "array"])
def test_a_unit_is_a_row_of_its_vectors(tmp_path: Path, kind: str) -> None:
    """Vectors come unit by unit, single ones by position, pooled ones as their mean or maximum."""
    source = array_source(written(tmp_path, kind), batch_rows=12)
    rows = source.stored_rows
    assert (len(rows), source.context, source.widths.d_in) == (30, 5, 16)
    assert np.array_equal(read_x(source, rows), X.reshape(-1, 16))
    assert np.allclose(read_x(source, rows, Pooled()), X.mean(1), atol=1e-6)
    assert np.array_equal(read_x(source, rows, Pooled("max")), X.max(1))
    places = np.arange(30) % 5
    assert np.array_equal(read_x(source, rows, AtPositions(places)), X[np.arange(30), places])
    some = rows.take([4, 2])
    assert np.array_equal(read_x(source, some), X[[4, 2]].reshape(-1, 16))
    sae = topk()
    acts = sae.encode(torch.from_numpy(X.reshape(-1, 16))).numpy().reshape(30, 5, -1)
    assert np.allclose(read_acts(source, sae, rows, Pooled()).toarray(), acts.mean(1), atol=1e-6)


def test_masked_vectors_do_not_count(tmp_path: Path) -> None:
    """They are in no mean, and no position names one; the mask is part of the identity."""
    save_file({"activations": X, "mask": MASK}, tmp_path / "x.safetensors")
    source = array_source(tmp_path / "x.safetensors", batch_rows=12)
    rows = source.stored_rows
    assert np.array_equal(read_x(source, rows), X[MASK])
    means = [x[there].mean(0) for x, there in zip(X, MASK, strict=True)]
    assert np.allclose(read_x(source, rows, Pooled()), means, atol=1e-6)
    for batch in source.batches(rows):
        assert (batch.x[~batch.mask] == 0).all()
    short = int(np.argmin(MASK.sum(1)))
    places = np.zeros(30, int)
    places[short] = 4
    with pytest.raises(DataError, match=f"Row {short} of .* position 4: it is masked"):
        read_x(source, rows, AtPositions(places))
    assert len({source.identity, array_source(X).identity, _flat(X).identity}) == 3


def _flat(x: np.ndarray):  # noqa: ANN202
    return array_source(x.reshape(-1, x.shape[-1]))


@pytest.mark.parametrize(
    "tensors, message",
    [
        (
            {"activations": X, "mask": MASK[:, :4]},
            r"shape \[30, 4\], but must be booleans \[30, 5\]",
        ),
        ({"activations": X, "mask": MASK.astype(np.int64)}, "is int64"),
        ({"activations": X, "mask": MASK & (np.arange(30) != 7)[:, None]}, "leaves unit 7 without"),
        ({"activations": np.where(np.arange(5)[:, None] == 3, np.nan, X)}, "unit 0, token 3"),
        ({"activations": X, "labels": np.arange(29)}, r"shape \[29\], but must be .*\[30\]"),
        ({"activations": X, "labels": np.ones(30, np.float32)}, "labels of .* are float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], message: str
) -> None:
    """A mask, labels or numbers that mean nothing are named, with the unit and the token."""
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match=message):
        array_source(tmp_path / "x.safetensors")


def test_inputs_and_targets_form_the_same_units() -> None:
    """As many units of as many vectors, or the pair is refused."""
    source = array_source(X, X[..., :3])
    assert (source.widths.d_in, source.widths.d_out) == (16, 3)
    with pytest.raises(DataError, match="30 units of 5 vectors with 150 vectors"):
        array_source(X, X.reshape(150, 16))


def test_core_scores_them_as_the_flat_array_and_clusters_by_unit() -> None:
    """Every value is that of the vectors one by one; n and interval are those of 30 units."""
    sae = topk()
    units, flat = evidence_of(Core(), sae, array_source(X)), evidence_of(Core(), sae, _flat(X))
    by_unit, by_vector = values(units), values(flat)
    assert by_unit.keys() == by_vector.keys()
    for name, value in by_unit.items():
        assert value == pytest.approx(by_vector[name], rel=1e-6), name
    fvu = next(one for one in units if isinstance(one, Evidence) and one.metric == "fvu")
    assert (fvu.units.unit, summarise(fvu).n) == ("unit", 30)
    table = fvu.units.table
    y = torch.from_numpy(X[7])
    error = (sae.decode(sae.encode(y), y) - y).square().sum()
    assert float(table["sq_err"].to_numpy()[7]) == pytest.approx(float(error), rel=1e-5)
    assert float(table["sq_dev"].to_numpy().sum()) == pytest.approx(
        ((X - X.mean((0, 1))) ** 2).sum(), rel=1e-5
    )


def test_core_leaves_masked_vectors_out(tmp_path: Path) -> None:
    """The same fvu as of the counted vectors alone."""
    save_file({"activations": X, "mask": MASK}, tmp_path / "x.safetensors")
    masked = values(evidence_of(Core(), topk(), array_source(tmp_path / "x.safetensors")))
    alone = values(evidence_of(Core(), topk(), array_source(X[MASK])))
    assert masked["fvu"] == pytest.approx(alone["fvu"], rel=1e-6)
    assert masked["l0"] == pytest.approx(alone["l0"], rel=1e-6)


def test_probing_reads_labels_of_units(tmp_path: Path) -> None:
    """A label that the units' mean shows is found with one latent; without labels it says why."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, size=200)
    x = rng.normal(size=(200, 6, 16)).astype(np.float32)
    sae = topk()
    x += (4 * labels)[:, None, None] * sae.W_dec[0].numpy()
    save_file({"activations": x, "labels": labels}, tmp_path / "cells.safetensors")
    source = array_source(tmp_path / "cells.safetensors")
    task = Probing(top_k=(1,))
    found = values(task.score(sae, task.prepare(source, 0), source, 0))
    assert found["auc_top_1/cells/1"] > 0.99
    assert found["auc_full_width/cells/1"] > 0.99
    with pytest.raises(NotApplicable, match="`labels`"):
        task.prepare(array_source(X), 0)
