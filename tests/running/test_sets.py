"""Sets whose members read at different places: layers, models, checkpoints, all scored together."""

import gc
import shutil
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny_models
import torch
from tiny_runs import TEXTS, Error, sae_folder

import saeval
from saeval.activations import ActivationSource, model_source
from saeval.config.configuration import from_mapping
from saeval.errors import NotApplicable
from saeval.evidence import Evidence, units
from saeval.models import load_model
from saeval.running.plan.plan import plan
from saeval.running.source_kinds import transformer
from saeval.task import Member, Prepared


@dataclass(frozen=True)
class Norms:
    """Mean norm of what each member reads, which tells places apart."""

    name: ClassVar[str] = "norms"
    version: ClassVar[int] = 1
    prepared: ClassVar[list[str]] = []
    seen: ClassVar[list[Sequence[Member]]] = []

    def inputs(self, model: str | None) -> None:
        """Nothing that no field names."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Rows and their mean norm."""
        self.prepared.append(source.identity)
        rows = source.tokenize(TEXTS, name="texts")
        total = sum(float(batch.x_tokens.norm(dim=1).sum()) for batch in source.batches(rows))
        return Prepared(facts={"norm": total / int(rows.mask.sum())}, rows=rows)

    def score_group(self, members: Sequence[Member], seed: int) -> Iterable[Evidence]:
        """One unit for each member."""
        self.seen.append(members)
        for member in members:
            if member.sae.d_in != 16:
                raise NotApplicable("They must be 16 wide.")
            # All sources can be read now, not only the last one that was opened.
            assert (
                next(iter(member.source.batches(member.prepared.required_rows))).x.isfinite().all()
            )
        norms = np.array([member.prepared.facts["norm"] for member in members])
        table = units("members", "member", {"norm": norms})
        yield Evidence("norm", table, {"num": "norm"}, "activation", "none")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder and a cache of its own, and no memory of earlier tests."""
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Norms.prepared.clear()
    yield
    Norms.seen.clear()
    Error.scored.clear()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, a later checkpoint of it, and one of another family."""
    first = tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))
    later = shutil.copytree(first, tmp_path_factory.mktemp("later") / "model")
    net = load_model(str(first)).net
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.25)
    net.save_pretrained(later)
    return [first, later, tiny_models.build("gpt_neox", tmp_path_factory.mktemp("neox"))]


def _places(kind: str, models: list[Path]) -> list[tuple[Path, str]]:
    """Model and site of each member."""
    first, later, other = models
    return {
        "seeds": [(first, "layers.1")] * 2,
        "layers": [(first, "layers.0"), (first, "layers.1"), (first, "layers.0")],
        "checkpoints": [(first, "layers.1"), (later, "layers.1")],
        "members": [(first, "layers.1"), (other, "layers.1"), (later, "layers.0")],
    }[kind]


KINDS = ["seeds", "layers", "checkpoints", "members"]


def _registry(folder: Path, kind: str, places: list[tuple[Path, str]]) -> None:
    text = "saes:\n"
    for number, (model, site) in enumerate(places):
        sae_folder(folder / f"s{number}", number)
        text += f"  - {{id: t/s{number}, source: 'file://s{number}', model: '{model}', "
        text += f"site: {site}}}\n"
    text += f"sets:\n  t/all: {{kind: {kind}, members: ['t/s*']}}\n"
    (folder / "registry.yaml").write_text(text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_is_scored_where_it_reads(
    kind: str, models: list[Path], tmp_path: Path
) -> None:
    """Each member has the source and the preparation of its place, made once for each place."""
    places = _places(kind, models)
    _registry(tmp_path, kind, places)
    result = saeval.evaluate("t/all", Norms())[0]
    assert result.status == "scored", result.reason
    (members,) = Norms.seen
    assert [member.label for member in members] == [f"t/s{i}" for i in range(len(places))]
    assert len(Norms.prepared) == len(set(Norms.prepared)) == len(set(places))
    for member, (model, site) in zip(members, places, strict=True):
        assert member.source.identity == model_source(load_model(str(model)), site).identity
        for other, place in zip(members, places, strict=True):
            assert (other.prepared is member.prepared) == (place == (model, site))
            assert (other.source is member.source) == (place == (model, site))
    norms = [member.prepared.facts["norm"] for member in members]
    assert len({round(norm, 6) for norm in norms}) == len(set(places))
    assert result.scores[0].n == len(places)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_finds_what_was_run(kind: str, models: list[Path], tmp_path: Path) -> None:
    """Before a run the time is predicted; after it, plan and rerun find it by the same key."""
    _registry(tmp_path, kind, _places(kind, models))
    before = plan("t/all", Norms()).results[0]
    assert (before.state, before.basis, before.reason) == ("compute", "rehearsed", None)
    first = saeval.evaluate("t/all", Norms())[0]
    prepared = len(Norms.prepared)
    after = plan("t/all", Norms()).results[0]
    assert (after.state, after.result_id, before.result_id) == (
        "found",
        first.result_id,
        first.result_id,
    )
    again = saeval.evaluate("t/all", Norms())[0]
    assert again.result_id == first.result_id
    assert len(Norms.prepared) == prepared


def test_every_members_source_is_in_the_key(models: list[Path], tmp_path: Path) -> None:
    """Another site or model of any one member is another result."""
    ids = []
    first, later, other = models
    base = [(first, "layers.0"), (later, "layers.1")]
    for places in (
        base,
        [(first, "layers.1"), base[1]],
        [base[0], (later, "layers.0")],
        [(other, "layers.0"), base[1]],
        [base[0], (other, "layers.1")],
        base[::-1],
    ):
        _registry(tmp_path, "members", places)
        ids.append(saeval.evaluate("t/all", Norms())[0].result_id)
    assert len(set(ids)) == len(ids)
    _registry(tmp_path, "members", base)
    assert saeval.evaluate("t/all", Norms())[0].result_id == ids[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_of_a_set_is_repeated(
    kind: str,
    models: list[Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configuration in the result of a set, whatever its places, finds that result."""
    _registry(tmp_path, kind, _places(kind, models))
    monkeypatch.chdir(tmp_path_factory.getbasetemp())  # the models and the registry lie below it
    first = saeval.evaluate("t/all", Norms(), registry=tmp_path / "registry.yaml")[0]
    options = from_mapping(first.run)
    assert options.saes == ("t/all",)
    again = saeval.evaluate(
        list(options.saes),
        Norms(),
        model=options.model,
        site=options.site,
        registry=options.registry,
    )
    assert again[0].result_id == first.result_id
    assert len(Norms.prepared) == len(set(_places(kind, models)))


def test_a_member_that_cannot_be_loaded_is_named(models: list[Path], tmp_path: Path) -> None:
    """The set fails with the member and the reason; the others are still scored alone."""
    _registry(tmp_path, "layers", _places("layers", models))
    (tmp_path / "s1" / "saeval.safetensors").write_bytes(b"nothing")
    results = saeval.evaluate("t/all", [Error(), Norms()])
    assert [result.status for result in results] == ["scored", "failed", "scored", "failed"]
    assert str(results[-1].reason).startswith("Member 't/s1': ")
    planned = plan("t/all", Norms()).results[0]
    assert planned.state == "fails"
    assert str(planned.reason).startswith("Member 't/s1': ")


@pytest.mark.parametrize(
    "model, site, says",
    [("nowhere/at/all", "layers.1", "nowhere"), (None, "layers.9", "layer 9")],
)
def test_a_place_that_cannot_be_opened_is_named(
    model: str | None, site: str, says: str, models: list[Path], tmp_path: Path
) -> None:
    """A model, or a site in it, that is not there fails the set with whose it is."""
    places = [(models[0], "layers.1"), (Path(model) if model else models[1], site)]
    _registry(tmp_path, "checkpoints", places)
    (result,) = saeval.evaluate("t/all", Norms())
    assert result.status == "failed"
    assert str(result.reason).startswith("Member 't/s1': ")
    assert says in str(result.reason)


def test_a_set_that_is_refused_at_one_place_says_where(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that cannot be prepared at one member's place is not applicable, and names it."""
    prepare = Norms.prepare

    def picky(self: Norms, source: ActivationSource, seed: int) -> Prepared:
        if source.model and source.model.name == str(models[1]):
            raise NotApplicable("Not this checkpoint.")
        return prepare(self, source, seed)

    monkeypatch.setattr(Norms, "prepare", picky)
    _registry(tmp_path, "checkpoints", _places("checkpoints", models))
    (result,) = saeval.evaluate("t/all", Norms())
    assert (result.status, result.reason) == (
        "not_applicable",
        "Member 't/s1': Not this checkpoint.",
    )


def test_models_of_a_set_are_in_memory_together_and_no_longer(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, SAEs hold one model at a time; a set holds its own, and each is loaded once for it."""
    loaded: list[weakref.ref[Any]] = []
    alive: list[int] = []
    load = transformer.load_model

    def counted(name: str, **options: Any) -> Any:
        gc.collect()
        alive.append(sum(each() is not None for each in loaded))
        model = load(name, **options)
        loaded.append(weakref.ref(model.net))
        return model

    monkeypatch.setattr(transformer, "load_model", counted)
    _registry(tmp_path, "checkpoints", _places("checkpoints", models))
    results = saeval.evaluate(["t/s0", "t/s1"], Error())
    assert not results.failed
    assert alive == [0, 0]
    alive.clear()
    Error.scored.clear()
    assert not saeval.evaluate("t/all", Norms()).failed
    assert alive == [0, 1]
    Norms.seen.clear()
    del results
    gc.collect()
    assert not any(each() for each in loaded)


def test_an_array_is_one_place(tmp_path: Path) -> None:
    """Members of a set that read stored activations share them, whatever they name themselves."""
    _registry(tmp_path, "layers", [(Path("a"), "layers.0"), (Path("b"), "layers.1")])
    vectors = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Norms,
            "prepare",
            lambda _, source, __: Prepared(facts={"norm": 1.0}, rows=source.stored_rows),
        )
        result = saeval.evaluate("t/all", Norms(), data=vectors)[0]
    assert result.status == "scored", result.reason
    (members,) = Norms.seen
    assert members[0].source is members[1].source
    assert members[0].prepared is members[1].prepared
