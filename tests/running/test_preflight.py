"""The preflight: what is refused, what is only remarked, and what must pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tiny_runs import WIDTH, Error, topk

import saeval
from saeval.activations import ArraySource, ModelSource, array_source, model_source
from saeval.errors import PreflightError
from saeval.models import LoadedModel, load_model
from saeval.registry.entries import Expected
from saeval.results.score import Result
from saeval.running.preflight import reconstruction
from saeval.running.preflight.checks import (
    Claims,
    check_bos,
    claims_of,
    preflight,
    refuse,
    warnings_of,
)
from saeval.running.preflight.members import check_members
from saeval.running.preflight.reconstruction import (
    ActivationSample,
    Check,
    check_numbers,
    take_sample,
)
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.sae import SAE
from saeval.sae.architectures.relu import ReLU
from saeval.sae.architectures.topk import TopK


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model."""
    return load_model(str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))))


@pytest.fixture
def source(model: LoadedModel) -> ModelSource:
    """The output of its second block."""
    return model_source(model, "layers.1")


def _hub(source: ModelSource, name: str, commit: str = "c" * 40) -> ModelSource:
    """The same source, as if its model came from the hub."""
    model = replace(source.model, name=name, revision=commit, identity=f"{name}@{commit}")
    return replace(source, model=model)


def _by_name(checks: tuple[Check, ...]) -> Mapping[str, Check]:
    return {check.name: check for check in checks}


def _faithful(x: torch.Tensor) -> ReLU:
    """An SAE that reconstructs what lies about x's mean, and saturates far from there."""
    d = x.shape[1]
    mean, bias = x.mean(0), float((x - x.mean(0)).abs().max()) * 1.05
    # relu(bias + t) - relu(t - bias) is t + bias between -bias and bias, and constant outside.
    both = torch.cat([torch.eye(d), torch.eye(d)], 1)
    b_enc = torch.cat([torch.full((d,), bias), torch.full((d,), -bias)])
    W_dec = torch.cat([torch.eye(d), -torch.eye(d)])
    return ReLU(both, b_enc - mean @ both, W_dec, mean - bias, subtract_b_dec=False)


def _activations(scale: float = 30.0, d: int = WIDTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(400, d, generator=generator) + 0.3 * scale


def test_all_is_well(source: ModelSource) -> None:
    """A fitting SAE passes every check, and the figures are on record."""
    x = take_sample(source, _rows(source)).x
    claims = Claims(read_site="blocks.1.hook_resid_post", prepend_bos=True)
    checks = _by_name(preflight(_faithful(x), claims, source, take_sample(source, _rows(source))))
    assert checks["model"].status == "unknown"
    assert {check.status for name, check in checks.items() if name != "model"} == {"ok"}
    assert "mean norm" in checks["scale"].observed


def _rows(source: ModelSource) -> Any:
    rows = rows_to_look_at(source)
    assert rows is not None
    return rows


def test_another_width_is_refused(source: ModelSource) -> None:
    """An SAE of another width is refused, with both widths and the options that cure it."""
    (check,) = [
        check
        for check in preflight(topk(width=8), Claims(), source, None)
        if check.status == "error"
    ]
    assert "d_in 8, d_out 8" in check.message
    assert f"d_in {WIDTH}" in check.message
    assert "--model and --site" in check.message
    with pytest.raises(PreflightError, match="d_in 8"):
        refuse([check])


def test_another_model_is_refused_where_both_are_known(source: ModelSource) -> None:
    """Two hub ids that differ are an error, whatever names are used for equal ones."""
    given = _hub(source, "EleutherAI/pythia-160m")
    assert _status(Claims(model="pythia-160m"), given) == "ok"
    assert _status(Claims(model="eleutherai/Pythia-160M@main"), given) == "ok"
    assert _status(Claims(model="pythia-160m-deduped"), given) == "error"
    with pytest.raises(PreflightError, match="--model EleutherAI/pythia-160m-deduped"):
        refuse(preflight(topk(), Claims(model="pythia-160m-deduped"), given, None))


def test_what_cannot_be_compared_is_remarked(source: ModelSource) -> None:
    """A local folder, a name that is no hub id, or another commit: a warning, never an error."""
    assert _status(Claims(model="EleutherAI/pythia-160m"), source) == "warning"
    assert _status(Claims(model=source.name), source) == "ok"
    given = _hub(source, "org/model")
    assert _status(Claims(model="my-model"), given) == "warning"
    assert _status(Claims(model=f"org/model@{'a' * 40}"), given) == "warning"
    assert _status(Claims(model=f"org/model@{'c' * 40}"), given) == "ok"
    assert _status(Claims(), given) == "unknown"


def _status(claims: Claims, source: ModelSource) -> str:
    return _by_name(preflight(topk(), claims, source, None))["model"].status


def test_another_site_is_remarked(source: ModelSource) -> None:
    """Reading an SAE elsewhere is allowed, and said."""
    checks = preflight(topk(), Claims(read_site="layers.0"), source, None)
    assert _by_name(checks)["site"].status == "warning"
    assert any("'layers.0'" in message for message in warnings_of(checks))
    foreign = preflight(topk(), Claims(read_site="no.such.place"), source, None)
    assert _by_name(foreign)["site"].status == "warning"


@pytest.mark.parametrize(
    "trained, rows, status",
    [
        (True, True, "ok"),
        (False, False, "ok"),
        (True, False, "warning"),
        (False, True, "warning"),
        (None, True, "unknown"),
        (True, None, "unknown"),
    ],
)
def test_bos_policy(trained: bool | None, rows: bool | None, status: str) -> None:  # noqa: FBT001
    """Rows with BOS for an SAE trained without, or the reverse, are remarked."""
    sample = ActivationSample(torch.zeros(1, 2), torch.zeros(1, 2), rows)
    check = check_bos(Claims(prepend_bos=trained), sample)
    assert check.status == status
    assert bool(check.message) == (status == "warning")


def test_rows_are_seen_as_they_are(source: ModelSource) -> None:
    """Whether rows begin with BOS is read from the rows; special tokens are not sampled."""
    without = source.tokenize(["w1 w2 w3", "w4 w5"], name="t", prepend_bos=False)
    assert take_sample(source, without).begins_with_bos is False
    with_bos = source.tokenize(["w1 w2 w3", "w4 w5"], name="t")
    sample = take_sample(source, with_bos)
    assert sample.begins_with_bos is True
    assert len(sample.x) == 5


def test_activations_trained_at_another_scale() -> None:
    """An SAE of scaled activations is refused on raw ones, and the factor is named."""
    x = _activations()
    factor = math.sqrt(WIDTH) / float(x.norm(dim=1).mean())
    sae = _faithful(x * factor)
    (check,) = check_numbers(sae, Expected(), ActivationSample(x, x, None))
    assert check.status == "error"
    assert f"fold the factor {factor:.4g}" in check.message
    assert (
        check_numbers(sae, Expected(), ActivationSample(x * factor, x * factor, None))[0].status
        == "ok"
    )


def test_activations_trained_centred() -> None:
    """An SAE of centred activations is refused on raw ones, with the registry's way out."""
    x = _activations()
    x = x + 500 * torch.linspace(-1, 1, len(x))[:, None]
    centred = x - x.mean(1, keepdim=True)
    (check,) = check_numbers(_faithful(centred), Expected(), ActivationSample(x, x, None))
    assert check.status == "error"
    assert "centred: true" in check.message


def _nulls() -> list[SAE]:
    """SAEs that explain little, each in its own way."""
    random = topk()
    wild = replace(random, W_enc=random.W_enc * 3, b_enc=random.b_enc + 1)
    neurons = TopK(torch.eye(WIDTH), torch.zeros(WIDTH), torch.eye(WIDTH), torch.zeros(WIDTH), k=3)
    dead = replace(random, W_enc=random.W_enc * 0)
    generator = torch.Generator().manual_seed(5)
    W_enc = torch.randn(WIDTH, 64, generator=generator)
    loose = ReLU(W_enc, torch.zeros(64), W_enc.T.contiguous(), torch.zeros(WIDTH))
    return [random, wild, neurons, dead, loose]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("scale", [0.05, 1.0, 40.0])
def test_nulls_are_not_refused(number: int, scale: float) -> None:
    """Random, dead and neuron SAEs pass at every scale, with a remark where they are useless."""
    x = _activations(scale)
    (check,) = check_numbers(_nulls()[number], Expected(), ActivationSample(x, x, None))
    assert check.status in ("ok", "warning")
    assert (check.status == "warning") == ("no better than their mean" in check.message)


@pytest.mark.parametrize(
    "expected, failing",
    [
        (Expected(l0=4), []),
        (Expected(l0=7.5), []),
        (Expected(l0=9), ["l0"]),
        (Expected(l0=1.5), ["l0"]),
        (Expected(fvu=5.0), []),
        (Expected(fvu=0.2), ["fvu"]),
        (Expected(l0=40, fvu=0.1), ["l0", "fvu"]),
    ],
)
def test_published_figures(expected: Expected, failing: list[str]) -> None:
    """Figures far from what an entry promises are an error that names both."""
    x = _activations(1.0)
    checks = check_numbers(topk(), expected, ActivationSample(x, x, None))
    assert [check.name for check in checks if check.status == "error"] == failing
    for check in checks:
        if check.status == "error":
            assert check.observed in check.message
            assert check.expected in check.message


@pytest.mark.parametrize(
    "expected, bound, is_above",
    [
        # Twice and half the published l0.
        (Expected(l0=40.0), ("l0", 80.0), True),
        (Expected(l0=40.0), ("l0", 20.0), False),
        # 0.1 above a small FVU, and the double of a larger one.
        (Expected(fvu=0.04), ("fvu", 0.14), True),
        (Expected(fvu=0.3), ("fvu", 0.6), True),
    ],
)
def test_the_slack_on_published_figures(
    expected: Expected,
    bound: tuple[str, float],
    is_above: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is measured just inside of each bound passes, and just outside of it is an error."""
    name, limit = bound
    outward = 1 if is_above else -1
    for step, status in ((-1e-3, "ok"), (1e-3, "error")):
        figures = {"fvu": 0.04, "l0": 40.0, name: limit * (1 + outward * step)}
        monkeypatch.setattr(reconstruction, "measure", lambda *_, f=figures: (f["fvu"], f["l0"]))
        sample = ActivationSample(_activations(1.0), _activations(1.0), None)
        checks = {check.name: check for check in check_numbers(topk(), expected, sample)}
        assert checks[name].status == status


def test_results_that_are_not_finite() -> None:
    """An SAE that overflows on real activations is refused."""
    sae = topk()
    x = _activations()
    loud = replace(sae, W_enc=sae.W_enc * 1e30, W_dec=sae.W_dec * 1e30)
    (check,) = check_numbers(loud, Expected(), ActivationSample(x, x, None))
    assert check.status == "error"
    assert "not finite" in check.message


def test_equal_activations_say_nothing() -> None:
    """Where all activations are equal, there is no variance to explain and no verdict."""
    x = torch.ones(10, WIDTH)
    (check,) = check_numbers(topk(), Expected(), ActivationSample(x, x, None))
    assert check.status == "unknown"


def test_stored_activations() -> None:
    """Without a model, widths and numbers are checked and the rest is left open."""
    x = _activations().numpy().astype(np.float32)
    source: ArraySource = array_source(x)
    sample = take_sample(source, source.stored_rows)
    claims = Claims(model="org/model", read_site="layers.3", prepend_bos=True)
    checks = _by_name(preflight(_faithful(sample.x), claims, source, sample))
    assert {name: check.status for name, check in checks.items()} == {
        "width": "ok",
        "bos": "unknown",
        "scale": "ok",
    }


def test_claims_come_from_the_origin_and_the_entry() -> None:
    """What files and entry say reaches the checks."""
    sae = topk(model="m", read_site="a", write_site="b", prepend_bos=True, centred=True)
    claims = claims_of(sae, Expected(l0=3))
    assert claims == Claims("m", "a", "b", prepend_bos=True, centred=True, expected=Expected(l0=3))


# Text of another kind ----------------------------------------------------------------------------


def _on_english(tmp_path: Path, **options: Any) -> Result:
    """The score of an SAE of the lab's world, on English, which that model never read."""
    results = saeval.evaluate("lab/world/topk-16", Error(), output_path=tmp_path, **options)
    return results[0]


def test_foreign_rows_are_a_warning(tmp_path: Path) -> None:
    """Promised figures hold on the model's own text: rows of another kind do not refuse the SAE."""
    result = _on_english(tmp_path)
    assert result.status == "scored", result.reason
    *_, warning = result.provenance["warnings"]
    assert "fvu is not as expected" in warning
    assert "the rows are unlike what the SAE was trained on" in warning
    checks = {check["name"]: check for check in result.provenance["preflight"]}
    assert checks["fvu"]["status"] == "warning"


def test_a_wrong_site_is_refused_on_foreign_rows_too(tmp_path: Path) -> None:
    """What disagrees on the model's own text as well is an error still."""
    result = _on_english(tmp_path, site="layers.0")
    assert result.status == "failed"
    assert "Its entry promises fvu" in str(result.reason)


def test_a_reconstruction_that_is_not_finite_is_refused_on_any_rows(source: ModelSource) -> None:
    """It is no question of the text: no score would be finite."""
    sae = topk()
    broken = replace(sae, b_dec=torch.full_like(sae.b_dec, torch.inf))
    (checks,) = [check_members([_Named(broken)], [source], [_rows(source).take(slice(0, 2))])]
    assert [check.name for check in checks if check.status == "error"] == ["finite"]


@dataclass(frozen=True)
class _Named:
    sae: SAE
    claims: Claims = field(default_factory=Claims)
