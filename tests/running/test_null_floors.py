"""Floors that null SAEs set: by hand, shared, kept apart by shape, and never a score's undoing."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny_models
import torch
from tiny_runs import TEXTS, sae_folder, topk

import saeval
from saeval.activations import ActivationSource, read_codes
from saeval.errors import NotApplicable
from saeval.evidence import NULL_SAE, Evidence, Metric, Missing, units
from saeval.results.recompute import discrepancies
from saeval.results.results import Results
from saeval.results.score import Score
from saeval.running import null_floors
from saeval.running.null_floors import null_k
from saeval.running.plan import dry_run
from saeval.running.plan.first_batch_source import Stopwatch
from saeval.running.plan.plan import plan
from saeval.sae import SAE, traits_of
from saeval.sae.architectures import TopK
from saeval.task import Member, Prepared

L0 = Metric("l0", unit="latents", better="higher", formula="Latents.", floor=NULL_SAE, ceiling=20)
FVU = Metric("fvu", unit="fraction", better="lower", formula="Error.", floor=NULL_SAE, ceiling=0)
WIDTH = Metric("d_sae", unit="latents", better="higher", formula="Width.", floor=1, ceiling=64)
NORM = Metric("norm", unit="length", better="higher", formula="Row.", floor=NULL_SAE, ceiling=3)


@dataclass(frozen=True)
class Measures:
    """Four figures that are known of any SAE; writes down which SAEs it scored."""

    name: ClassVar[str] = "measures"
    version: ClassVar[int] = 1
    scored: ClassVar[list[SAE]] = []
    compats: ClassVar[list[str | None]] = []
    refusal: ClassVar[BaseException | None] = None
    """Raised for null SAEs."""

    limit: int | None = None
    compat: str | None = None

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Token rows, or all vectors."""
        if source.stored_rows is not None:
            return Prepared(rows=source.stored_rows)
        return Prepared(rows=source.tokenize(TEXTS[: self.limit], name="texts"))

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """L0, FVU, width, and the length of the decoder's rows."""
        self.scored.append(sae)
        self.compats.append(self.compat)
        if self.refusal is not None and _is_null(sae):
            raise self.refusal
        l0, error, spread = [], [], []
        for batch, codes in read_codes(source, sae, prepared.required_rows):
            y = batch.y_tokens
            l0 += codes.l0.tolist()
            error += (sae.decode(codes.dense(), batch.x_tokens) - y).square().sum(1).tolist()
            spread += y.square().sum(1).tolist()
        tokens = units("tokens", "token", {"l0": l0, "error": error, "spread": spread})
        yield L0.evidence(tokens, {"num": "l0"})
        yield FVU.evidence(tokens, {"num": "error", "den": "spread"})
        wide = units("saes", "SAE", {"d_sae": [sae.d_sae]})
        yield WIDTH.evidence(wide, {"num": "d_sae"})
        if sae.d_sae == 48 and _is_null(sae):
            yield NORM.missing("It is not for nulls of this width.")
            return
        norms = sae.W_dec.norm(dim=1).cpu().numpy()
        yield NORM.evidence(units("latents", "latent", {"norm": norms}), {"num": "norm"}, floor=0.2)


def _is_null(sae: SAE) -> bool:
    return isinstance(sae, TopK) and sae.origin.metadata.get("null") == "random"


def _nulls() -> list[TopK]:
    return [sae for sae in Measures.scored if isinstance(sae, TopK) and _is_null(sae)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty cache, empty lists, and a working folder of its own."""
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    Measures.scored.clear()
    Measures.compats.clear()
    Measures.refusal = None


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model."""
    return str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Activations about a mean far from 0."""
    return (np.random.default_rng(0).normal(size=(300, 16)) + 3).astype(np.float32)


def _trained(seed: int = 0, *, k: int = 4, d_sae: int = 32) -> TopK:
    """An SAE whose decoder rows are two long; no null's are."""
    base, generator = topk(seed), torch.Generator().manual_seed(seed)
    directions = torch.randn(d_sae, 16, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    return replace(
        base, W_enc=directions.T.contiguous(), b_enc=torch.zeros(d_sae), W_dec=2 * directions, k=k
    )


def _score(results: Results, metric: str, sae: str = "a") -> Score:
    (found,) = [each for each in results.scores if (each.metric, each.sae) == (metric, sae)]
    return found


def _about(results: Results, place: int = 0) -> dict[str, Any]:
    return dict(results[place].provenance["null_floors"])


def test_the_floor_is_what_random_saes_of_equal_shape_score(vectors: np.ndarray) -> None:
    """As computed by hand: unit rows, k largest, about the mean of the activations."""
    results = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    nulls = _nulls()
    assert [(null.d_sae, null.k) for null in nulls] == [(32, 4)] * null_floors.DRAWS
    fvus = []
    for draw in range(null_floors.DRAWS):
        generator = torch.Generator().manual_seed(null_floors.SEED + draw)
        rows = torch.randn(32, 16, generator=generator).double().numpy()
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        x, mean = vectors.astype(float), vectors.astype(float).mean(0)
        acts = np.maximum((x - mean) @ rows.T, 0)
        acts[acts < np.sort(acts, axis=1)[:, [-4]]] = 0
        fvus.append(((acts @ rows + mean - x) ** 2).sum() / (x**2).sum())
    assert _score(results, "fvu").floor == pytest.approx(np.mean(fvus), rel=1e-5)
    assert _score(results, "l0").floor == pytest.approx(4)
    norm = _score(results, "norm")
    assert norm.floor == pytest.approx(1)
    assert norm.value == pytest.approx(2)
    assert norm.anchored == pytest.approx(0.5)
    assert _score(results, "d_sae").floor == 1
    seeds = [null_floors.SEED + draw for draw in range(null_floors.DRAWS)]
    assert _about(results) == {"null": "random TopK", "d_sae": 32, "k": 4, "seeds": seeds}


def test_floors_are_stored_and_verify(vectors: np.ndarray, tmp_path: Path) -> None:
    """Files hold the floor as any other, and the result follows from its evidence."""
    results = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    (path,) = tmp_path.glob("results/*/*/result.json")
    assert not discrepancies(path.parent)
    record = json.loads(path.read_text())
    floors = {metric["metric"]: metric["floor"] for metric in record["metrics"]}
    assert floors == {score.metric: score.floor for score in results.scores}
    assert all("anchored" not in row and "null_floor" not in row for row in record["scores"])
    again = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    assert again.scores == results.scores


def test_saes_of_one_shape_share_a_null(vectors: np.ndarray) -> None:
    """A second SAE and a later run cost nothing more; another width or L0 has a null of its own."""
    saes = {"a": _trained(0), "b": _trained(1)}
    results = saeval.evaluate(saes, Measures(), data=vectors)
    assert len(_nulls()) == null_floors.DRAWS
    assert _score(results, "fvu", "a").floor == _score(results, "fvu", "b").floor
    saeval.evaluate({"c": _trained(2)}, Measures(), data=vectors, output_path="other")
    assert len(_nulls()) == null_floors.DRAWS
    others = {"wide": _trained(0, d_sae=64), "dense": _trained(0, k=11)}
    results = saeval.evaluate({**saes, **others}, Measures(), data=vectors)
    shapes = {(null.d_sae, null.k) for null in _nulls()}
    assert shapes == {(32, 4), (64, 4), (32, 11)}
    assert len({_score(results, "fvu", name).floor for name in ("a", "wide", "dense")}) == 3
    saeval.evaluate(saes, Measures(), data=vectors, seeds=[1])
    assert len(_nulls()) == 4 * null_floors.DRAWS


def test_near_l0s_share_a_null() -> None:
    """The grid has steps of sqrt(2), so k is never farther from L0 than a fifth, from 3 on."""
    assert [null_k(l0, 1000) for l0 in (0, 0.3, 1, 4, 8, 15, 16, 17, 32)] == [
        *(1, 1, 1, 4, 8, 16, 16, 16, 32)
    ]
    assert null_k(700, 64) == 64
    assert all(abs(null_k(l0, 10**6) / l0 - 1) < 0.2 for l0 in np.geomspace(6, 5000, 300))


def test_a_null_in_the_cache_changes_no_key_and_no_score(vectors: np.ndarray) -> None:
    """Results have the same ids and scores whether their null was measured or found."""
    first = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    count = len(_nulls())
    again = saeval.evaluate({"a": _trained()}, Measures(), data=vectors, force=True)
    assert len(_nulls()) == count
    assert [result.result_id for result in again] == [result.result_id for result in first]
    assert again.scores == first.scores
    assert _about(again) == _about(first)


@pytest.mark.parametrize("error", [RuntimeError("the null is too much"), NotApplicable("No.")])
def test_a_null_that_fails_costs_no_score(vectors: np.ndarray, error: Exception) -> None:
    """The SAE keeps its scores; there is no floor, and the record says why."""
    Measures.refusal = error
    results = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    assert not results.failed
    score = _score(results, "norm")
    assert score.value == pytest.approx(2)
    assert score.floor is None
    assert score.anchored is None
    assert str(error) in _about(results)["reason"]
    assert _score(results, "d_sae").floor == 1
    warnings = [text for text in results[0].provenance["warnings"] if str(error) in text]
    assert bool(warnings) == isinstance(error, RuntimeError)
    assert all(text.endswith("run again with --force.") for text in warnings)


def test_an_interrupt_is_no_failure(vectors: np.ndarray) -> None:
    """Who stops a run while a null is scored stops the run."""
    Measures.refusal = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        saeval.evaluate({"a": _trained()}, Measures(), data=vectors)


def test_a_metric_that_the_null_lacks_has_no_floor(vectors: np.ndarray) -> None:
    """Missing for the null: no floor for that metric, and the others keep theirs."""
    results = saeval.evaluate({"a": _trained(d_sae=48)}, Measures(), data=vectors)
    assert _score(results, "norm").floor is None
    assert _score(results, "fvu").floor is not None


def test_a_null_is_scored_without_another_harness_figures(vectors: np.ndarray) -> None:
    """With compat or without, the null is the same and scored once."""
    saeval.evaluate({"a": _trained()}, Measures(compat="saebench"), data=vectors)
    assert Measures.compats == ["saebench", *[None] * null_floors.DRAWS]
    saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    assert len(_nulls()) == null_floors.DRAWS


def test_where_the_sae_is_there_is_the_null(gpt2: str) -> None:
    """At a model's site the null reads as the SAE does, and says that it belongs there."""
    sae = replace(_trained(), origin=replace(topk().origin, read_site="layers.1"))
    results = saeval.evaluate({"a": sae}, Measures(), model=gpt2)
    assert _score(results, "fvu").floor is not None
    for null in _nulls():
        assert traits_of(null) == traits_of(sae)
        assert (null.d_in, null.d_sae, null.k) == (16, 32, 4)


def test_crosscoders_have_a_null_and_transcoders_a_reason(gpt2: str) -> None:
    """Over two sites directions are drawn over both; from one site to another none are."""
    both = replace(topk(width=32), origin=replace(topk().origin, read_site="layers.0,layers.1"))
    results = saeval.evaluate({"a": both}, Measures(), model=gpt2)
    assert _score(results, "l0").floor == pytest.approx(4, abs=0.5)
    origin = replace(topk().origin, read_site="layers.0", write_site="layers.1")
    results = saeval.evaluate({"a": replace(_trained(), origin=origin)}, Measures(), model=gpt2)
    assert _score(results, "norm").value == pytest.approx(2)
    assert _score(results, "norm").floor is None
    assert "transcoder" in _about(results)["reason"]


def test_saes_that_need_tokens_have_a_null(gpt2: str) -> None:
    """Only the shape counts: the null needs nothing besides x."""

    class Remembering:
        """A TopK SAE that asks for token ids."""

        needs_tokens = True

        def __init__(self) -> None:
            self.inner = _trained()
            self.d_in, self.d_sae, self.W_dec = 16, 32, self.inner.W_dec

        def encode(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
            """Acts, after a look at the tokens."""
            assert len(tokens) == len(x)
            return self.inner.encode(x)

        def decode(self, acts: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            """The inner SAE's."""
            return self.inner.decode(acts, x)

    results = saeval.evaluate({"a": Remembering()}, Measures(), model=gpt2, site="layers.1")
    assert _score(results, "norm").floor == pytest.approx(1)


def _planned_costs(count: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of so many SAEs of one shape, in a plan whose every rehearsal takes one second."""

    def timed(_: Stopwatch, work: Any) -> tuple[Any, float]:
        return work(), 1.0

    with monkeypatch.context() as patch:
        patch.setattr(Stopwatch, "timed", timed)
        patch.setattr(dry_run, "_summarise", lambda *_: (0.0, 0))
        saes = {f"p{seed}": _trained(seed) for seed in range(count)}
        planned = plan(saes, Measures(), data="x.npy", output_path="plans").results
    return [round(float(each.seconds or 0)) for each in planned]


def test_a_plan_keeps_no_null_but_counts_it(
    vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two draws more for the first SAE of a shape, unless the cache has its floors by then."""
    np.save(tmp_path / "x.npy", vectors)
    # preparing, checking and scoring take a second each, and each draw another
    assert _planned_costs(2, monkeypatch) == [3 + null_floors.DRAWS, 2]
    assert not _nulls()
    assert not list(tmp_path.glob("cache/**/*.json"))
    saeval.evaluate({"b": _trained(1)}, Measures(), data="x.npy")
    assert _planned_costs(2, monkeypatch) == [2, 2]


def test_records_count_nulls_that_the_cache_lacks(vectors: np.ndarray, tmp_path: Path) -> None:
    """Equal work finds its floors in the cache; where that is gone, it takes a null's time."""
    np.save(tmp_path / "x.npy", vectors)
    results = saeval.evaluate({"b": _trained(1), "c": _trained(2)}, Measures(), data="x.npy")
    path = next(tmp_path.glob(f"results/*/*{results[0].result_id}*/result.json"))
    record = json.loads(path.read_text())
    record["provenance"]["phases"]["null"]["seconds"] = 1000.0
    path.write_text(json.dumps(record))
    for is_kept in (True, False):
        if not is_kept:
            shutil.rmtree(tmp_path / "cache")
        saes = {"a": _trained(), "d": _trained(3)}
        first, second = plan(saes, Measures(), data="x.npy").results
        assert (first.basis, second.basis) == ("recorded", "recorded")
        assert ((first.seconds or 0) > 900) == (not is_kept)
        assert (second.seconds or 0) < 900


@dataclass(frozen=True)
class OfGroup:
    """The length of decoder rows of all members, with a floor that the task gives itself."""

    name: ClassVar[str] = "of_group"
    version: ClassVar[int] = 1

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Nothing."""
        return Prepared(rows=source.stored_rows)

    def score_group(self, members: Sequence[Member], seed: int) -> Iterator[Evidence]:
        """One unit a member."""
        norms = [float(member.sae.W_dec.norm(dim=1).mean()) for member in members]
        yield NORM.evidence(units("members", "member", {"norm": norms}), {"num": "norm"}, floor=0.2)


def test_groups_have_no_floor(vectors: np.ndarray, tmp_path: Path) -> None:
    """There is no null of a set, and what the task gives is no floor there either."""
    text = "saes:\n"
    for i in range(2):
        sae_folder(tmp_path / f"s{i}", i)
        text += f"  - {{id: t/s{i}, source: 'file://s{i}'}}\n"
    text += "sets:\n  t/seeds: {kind: seeds, members: ['t/s*']}\n"
    (tmp_path / "registry.yaml").write_text(text)
    (score,) = saeval.evaluate("t/seeds", OfGroup(), data=vectors).scores
    assert score.status == "scored"
    assert score.floor is None


def test_what_a_task_gives_is_no_floor(vectors: np.ndarray) -> None:
    """A run replaces it by the null's value, and by nothing where there is none."""
    table = units("latents", "latent", {"norm": [1.0]})
    evidence = NORM.evidence(table, {"num": "norm"}, floor=0.25)
    assert evidence.null_floor
    assert NORM.evidence(table, {"num": "norm"}).floor is None
    assert not WIDTH.evidence(table, {"num": "norm"}).null_floor
    measured: list[tuple[dict[null_floors.Figure, float], float | None]] = [
        ({("norm", None): 0.5}, 0.5),
        ({}, None),
    ]
    for values, floor in measured:
        (replaced,) = null_floors.with_floors([evidence], values)
        assert isinstance(replaced, Evidence)
        assert replaced.floor == floor
    results = saeval.evaluate({"a": _trained(d_sae=48)}, Measures(), data=vectors)
    assert _score(results, "norm").floor is None


@pytest.mark.parametrize(
    "value, floor, ceiling, better, anchored",
    [
        (0.75, 0.5, 1.0, "higher", 0.5),
        (0.25, 0.5, 1.0, "higher", -0.5),
        (0.2, 1.0, 0.0, "lower", 0.8),
        (0.75, 0.5, 1.0, "none", None),
        (0.75, 1.0, 1.0, "higher", None),
        (0.75, 1.5, 1.0, "higher", None),
        (0.75, None, 1.0, "higher", None),
        (0.75, 0.5, None, "higher", None),
        (None, 0.5, 1.0, "higher", None),
    ],
)
def test_anchored_runs_from_floor_to_ceiling(
    value: float | None,
    floor: float | None,
    ceiling: float | None,
    better: str,
    anchored: float | None,
) -> None:
    """By hand; None wherever the two anchors do not span a range in the better direction."""
    status = {"status": "scored"} if value is not None else {"status": "failed", "reason": "x"}
    columns: Any = {"floor": floor, "ceiling": ceiling, "better": better, **status}
    blank: Any = dict.fromkeys(Score.__dataclass_fields__)
    score = Score(**{**blank, "task": "t", "task_version": 1, "seed": 0, "value": value, **columns})
    assert score.anchored == (None if anchored is None else pytest.approx(anchored))


def test_users_see_anchored_scores(vectors: np.ndarray) -> None:
    """In the data frame, in rows, and in the table of all columns."""
    results = saeval.evaluate({"a": _trained()}, Measures(), data=vectors)
    frame = results.to_pandas()
    assert frame["anchored"].tolist() == [pytest.approx(score.anchored) for score in results.scores]
    assert _score(results, "norm").shown_row()["anchored"] == pytest.approx(0.5)
    assert "anchored" in results.table(columns=["all"], width=120)
    assert "anchored" not in results.table(width=120)
