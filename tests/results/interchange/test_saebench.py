"""SAEBench's files come in as numbers without evidence, and go out as they came."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import saeval
from saeval.cli.app import app
from saeval.errors import ResultError, UsageError
from saeval.leaderboard.bundles.check import check_bundle
from saeval.leaderboard.bundles.packing import Submission, packed, write
from saeval.leaderboard.submissions import read_submissions
from saeval.results.interchange.saebench_export import saebench_files
from saeval.results.interchange.saebench_import import import_saebench
from saeval.results.interchange.stored import stored
from saeval.results.verification import faults_of

CORE = {
    "model_behavior_preservation": {"kl_div_score": 0.99, "kl_div_with_sae": 0.02},
    "reconstruction_quality": {"explained_variance": 0.88, "mse": 0.07, "cossim": 0.94},
    "sparsity": {"l0": 32.0, "l1": 91.5},
    "token_stats": {"total_tokens_eval_reconstruction": 61440},
    "misc_metrics": {"frac_alive": 1.0, "freq_over_1_percent": -1},
}
PROBING = {
    "llm": {"llm_test_accuracy": 0.93, "llm_top_1_test_accuracy": None},
    "sae": {"sae_test_accuracy": -1, "sae_top_1_test_accuracy": 0.71},
}
SCR = {"scr_metrics": {"scr_metric_threshold_10": -1.0, "scr_dir1_threshold_10": 0.25}}


def made(eval_type: str, metrics: Any, name: str = "trainer_0", **more: Any) -> dict[str, Any]:
    """One of SAEBench's results, in the form that its files have."""
    return {
        "eval_type_id": eval_type,
        "eval_config": {"random_seed": 7, "model_name": "pythia-70m"},
        "eval_id": "0f3c4d0e-51a5-4f3e-9a2b-0d6c2f9d3f11",
        "datetime_epoch_millis": 1737000000123,
        "eval_result_metrics": metrics,
        "eval_result_details": [],
        "sae_bench_commit_hash": "8042bb3",
        "sae_lens_id": name,
        "sae_lens_release_id": "my_release/topk",
        "sae_lens_version": "6.28.0",
        "sae_cfg_dict": {"architecture": "topk", "d_in": 128, "d_sae": 1024, "model_name": "p"},
        "eval_result_unstructured": None,
        **more,
    }


ROWS = [{"dataset_name": "fancyzhx/ag_news", "sae_top_1_test_accuracy": 0.75}]
OBJECTS = [
    made("core", CORE),
    made("core", CORE, name="custom_sae"),
    made("sparse_probing", PROBING, eval_result_details=ROWS),
    made("scr", SCR),
]


def one_a_file(folder: Path, objects: list[dict[str, Any]]) -> Path:
    """SAEBench's folders: an eval each, a file an SAE."""
    for content in objects:
        place = folder / "eval_results" / content["eval_type_id"]
        place.mkdir(parents=True, exist_ok=True)
        stem = f"{content['sae_lens_release_id']}_{content['sae_lens_id']}".replace("/", "_")
        (place / f"{stem}_eval_results.json").write_text(json.dumps(content))
    return folder / "eval_results"


def all_in_one(folder: Path, objects: list[dict[str, Any]]) -> Path:
    """What an eval returns: results under names."""
    named = {f"{number}_eval": content for number, content in enumerate(objects)}
    (folder / "all.json").write_text(json.dumps(named))
    return folder / "all.json"


@pytest.mark.parametrize("layout", [one_a_file, all_in_one])
def test_both_layouts_make_the_round_trip(tmp_path: Path, layout: Any) -> None:
    """Every field and every number of what is exported is that of what was imported."""
    import_saebench(layout(tmp_path, OBJECTS), tmp_path / "results")
    back = saebench_files(stored(tmp_path / "results")).values()
    expected = []
    for content in OBJECTS:
        kept = {k: v for k, v in content.items() if k != "eval_result_unstructured"}
        if not kept["eval_result_details"]:
            kept.pop("eval_result_details")
        expected.append(kept)
    by_content = lambda one: json.dumps(one, sort_keys=True)  # noqa: E731
    assert sorted(map(by_content, _floats(list(back)))) == sorted(
        map(by_content, _floats(expected))
    )


def _floats(value: Any) -> Any:
    """The same with every number of metrics as a float: 61440 is 61440.0."""
    if isinstance(value, dict):
        return {k: _floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_imported_scores_are_marked_as_what_they_are(tmp_path: Path) -> None:
    """No interval, no n, the reason why, the origin; a value that is none is none."""
    import_saebench(one_a_file(tmp_path, OBJECTS), tmp_path / "results")
    results = saeval.load_results(tmp_path / "results")
    assert {result.task for result in results} == {"core", "probing", "scr"}
    assert {result.seed for result in results} == {7}
    assert {result.sae for result in results} == {"my_release/topk/trainer_0", "my_release/topk"}
    for result in results:
        assert result.provenance["origin"]["harness"] == "saebench"
        assert result.provenance["origin"]["version"] == "8042bb3"
    for score in results.scores:
        assert str(score.metric).startswith("saebench_")
        assert (score.stderr, score.ci_low, score.ci_high, score.n) == (None,) * 4
        if score.status == "scored":
            assert score.reason == "published as a number, without evidence"
    values = {(s.sae, s.task, s.part, s.metric): s for s in results.scores}
    sae = "my_release/topk/trainer_0"
    assert values[sae, "core", None, "saebench_l0"].value == 32
    assert values[sae, "core", None, "saebench_explained_variance"].better == "higher"
    for metric, reason in (
        ("saebench_sae_test_accuracy", "published as -1"),
        ("saebench_llm_top_1_test_accuracy", "published as null"),
    ):
        score = values[sae, "probing", None, metric]
        assert (score.status, score.value) == ("not_applicable", None)
        assert str(score.reason).startswith(reason)
    assert values[sae, "scr", None, "saebench_scr_metric_threshold_10"].value == -1
    part = values[sae, "probing", "fancyzhx/ag_news", "saebench_sae_top_1_test_accuracy"]
    assert part.value == 0.75
    assert "my_release/topk" in results.table()


def test_bare_nan_is_no_score(tmp_path: Path) -> None:
    """What SAEBench writes as NaN or Infinity, which is no JSON, becomes a reason."""
    content = made("core", {"sparsity": {"l0": float("nan"), "l1": float("inf")}})
    (tmp_path / "a.json").write_text(json.dumps(content))
    (result,) = import_saebench(tmp_path / "a.json", tmp_path / "results")
    assert [score.status for score in result.scores] == ["not_applicable"] * 2
    assert [score.reason for score in result.scores] == [
        "published as NaN",
        "published as Infinity",
    ]
    (back,) = saebench_files(stored(tmp_path / "results")).values()
    assert back["eval_result_metrics"]["sparsity"] == {"l0": None, "l1": None}


def test_imported_results_verify_and_cannot_be_dressed_up(tmp_path: Path) -> None:
    """Their digest is checked; an interval or a name of saeval's own is refused."""
    import_saebench(one_a_file(tmp_path, OBJECTS[:1]), tmp_path / "results")
    (folder,) = (tmp_path / "results").glob("*/core-*")
    assert faults_of(folder) == ()
    record = json.loads((folder / "result.json").read_text())
    record["scores"][0]["value"] = 0.5
    (folder / "result.json").write_text(json.dumps(record))
    assert faults_of(folder) == ("its result.json was changed after it was written",)


def test_a_submission_of_imported_numbers_has_that_badge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is accepted, and a board reads it as imported."""
    import_saebench(one_a_file(tmp_path, OBJECTS), tmp_path / "results")
    who = Submission("ann", "published")
    with packed([str(tmp_path / "results")], who, tmp_path) as bundle:
        folder = write(bundle, who, tmp_path, replace=False)
    assert check_bundle(folder).badge == "imported"
    with caplog.at_level(logging.WARNING):
        (source,) = read_submissions(tmp_path / "leaderboards/submissions")
    assert (source.badge, source.owner, source.name) == ("imported", "ann", "published")
    assert source.folder == folder / "results"
    assert not caplog.records


def test_wrong_files_are_refused_with_advice(tmp_path: Path) -> None:
    """No such file, no such content, half a result, no JSON."""
    with pytest.raises(UsageError, match="There is no"):
        import_saebench(tmp_path / "none.json", tmp_path / "r")
    (tmp_path / "a.json").write_text('{"accuracy": 1}')
    with pytest.raises(UsageError, match="has no result of SAEBench"):
        import_saebench(tmp_path / "a.json", tmp_path / "r")
    (tmp_path / "a.json").write_text('{"eval_type_id": "core"}')
    with pytest.raises(ResultError, match="lacks eval_result_metrics"):
        import_saebench(tmp_path / "a.json", tmp_path / "r")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ResultError, match="cannot be read as JSON"):
        import_saebench(tmp_path / "a.json", tmp_path / "r")


HUGE = 10**400
DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]
ODD = {
    "metrics in a list": (made("core", {"sparsity": [1]}), "no object of categories"),
    "metrics a number": (made("core", {"sparsity": 1.0}), "no object of categories"),
    "one metric twice": (made("core", {"a": {"l0": 1}, "b": {"l0": 2}}), "'l0' in two categories"),
    "huge": (made("core", {"a": {"l0": HUGE}}), "which is no number"),
    "text": (made("core", {"a": {"l0": "many"}}), "l0 is 'many', which is no number"),
    "eval without a name": ({**made("core", CORE), "eval_type_id": None}, "eval_type_id is None"),
    "SAE without a name": (made("core", CORE, name=""), "sae_lens_id is ''"),
    "configuration a list": (made("core", CORE, eval_config=[1]), "eval_config is no object"),
    "widths a text": (made("core", CORE, sae_cfg_dict={"d_in": "x"}), "d_in 'x'"),
    "model a list": (made("core", CORE, sae_cfg_dict={"model_name": [1]}), "model_name [1]"),
    "time a text": (made("core", CORE, datetime_epoch_millis="now"), "datetime_epoch_millis is"),
    "time without end": (made("core", CORE, datetime_epoch_millis=HUGE), "epoch_millis is 1000"),
    "details numbers": (made("core", CORE, eval_result_details=[1]), "no list of objects"),
    "deep": (made("core", CORE, eval_config={"a": DEEP}), "nested too deep|cannot be read"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_of_another_form_is_refused_whole(tmp_path: Path, kind: str) -> None:
    """The error says what is odd, and nothing is written, not even of sound files beside it."""
    content, says = ODD[kind]
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/a.json").write_text(json.dumps(made("core", CORE)))
    (tmp_path / "eval/b.json").write_text(json.dumps(content))
    with pytest.raises(ResultError, match=says if "|" in says else re.escape(says)):
        import_saebench(tmp_path / "eval", tmp_path / "results")
    assert not list((tmp_path / "results").glob("*/*"))


def test_a_category_that_was_not_measured_gives_nothing(tmp_path: Path) -> None:
    """A category of null is no fault."""
    (tmp_path / "a.json").write_text(json.dumps(made("core", {"a": None, "b": {"l0": 3.0}})))
    (result,) = import_saebench(tmp_path / "a.json", tmp_path / "results")
    assert [score.value for score in result.scores] == [3.0]


def test_saebench_own_figures_make_the_round_trip(parity_dir: Path, tmp_path: Path) -> None:
    """The figures that SAEBench gave for real SAEs come back digit for digit, in both layouts."""
    golden = json.loads((parity_dir / "golden/core.json").read_text())
    seeded = json.loads((parity_dir / "golden/seeded.json").read_text())
    objects = [made("core", {"all": metrics}, name) for name, metrics in golden.items()]
    for eval_type, saes in seeded.items():
        for name, metrics in saes.items():
            means = {metric: figures["mean"] for metric, figures in metrics.items()}
            objects.append(made(eval_type, {"all": means}, name))
    for number, layout in enumerate((one_a_file, all_in_one)):
        folder = tmp_path / str(number)
        folder.mkdir()
        import_saebench(layout(folder, objects), folder / "results")
        back = saebench_files(stored(folder / "results")).values()
        found = {
            (o["eval_type_id"], o["sae_lens_id"]): o["eval_result_metrics"]["all"] for o in back
        }
        assert len(found) == len(objects) >= 12
        for content in objects:
            key = content["eval_type_id"], content["sae_lens_id"]
            assert found[key] == content["eval_result_metrics"]["all"]


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import, list, export again."""
    monkeypatch.chdir(tmp_path)
    one_a_file(tmp_path, OBJECTS)
    done = CliRunner().invoke(app, ["import-from", "saebench", "eval_results"])
    assert (done.exit_code, done.stdout) == (0, "4 results with 23 scores imported to results.\n")
    assert CliRunner().invoke(app, ["validate", "results"]).exit_code == 0
    done = CliRunner().invoke(app, ["export-as", "saebench", "results", "--out", "again"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "again").rglob("*_eval_results.json"))) == 4
    wrong = CliRunner().invoke(app, ["import-from", "saebench", "nothing"])
    assert wrong.exit_code == 2
