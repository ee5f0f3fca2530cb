"""What others read: each form checked against its own schema or library, and against the scores."""

import importlib.util
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard, ModelCardData

import saeval
from saeval.cli.app import app
from saeval.errors import UsageError
from saeval.results.interchange.croissant import About, croissant
from saeval.results.interchange.every_eval_ever import Evaluator, every_eval_ever_files
from saeval.results.interchange.model_index import model_cards
from saeval.results.interchange.neuronpedia import neuronpedia_content
from saeval.results.interchange.saebench_export import saebench_files
from saeval.results.interchange.stored import Stored, stored

SAES = ["lab/synthetic/base/topk-8", "lab/synthetic/base/random"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two SAEs on two tasks, some of them under SAEBench's definitions."""
    folder = tmp_path_factory.mktemp("results")
    saeval.evaluate(SAES, ["core", "synthetic"], limit=100, compat="saebench", output_path=folder)
    return folder


@pytest.fixture(scope="module")
def results(root: Path) -> list[Stored]:
    """The same, as exporters take them."""
    return stored(root)


EVAL_SCHEMA_KEYS = {
    *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info"),
    *("eval_library", "evaluation_results", "evaluation_timestamp"),
}


def test_every_eval_ever_has_what_its_schema_asks_for(results: list[Stored]) -> None:
    """Structure, and every score with its interval and n; deterministic names of version 4."""
    files = every_eval_ever_files(results, Evaluator("us", "third_party"))
    assert len(files) == 4
    assert files == every_eval_ever_files(results, Evaluator("us", "third_party"))
    scores = {
        f"{s.result.result_id}/{x.metric}{'/' + x.part if x.part else ''}": x
        for s in results
        for x in s.scored
    }
    seen = 0
    for place, record in files.items():
        assert place.startswith("data/saeval-")
        assert Path(place).stem[14] == "4"
        assert set(record) == EVAL_SCHEMA_KEYS
        assert record["schema_version"] == "0.3.0"
        details = record["model_info"]["additional_details"]
        assert len(details["content_hash"]) == 64
        assert details["base_model"] == "lab://synthetic/base"
        for item in record["evaluation_results"]:
            score = scores[item["evaluation_result_id"]]
            assert item["score_details"]["score"] == score.value
            assert item["metric_config"]["lower_is_better"] == (score.better == "lower")
            interval = item["score_details"]["uncertainty"].get("confidence_interval")
            ends = (interval["lower"], interval["upper"]) if interval else (None, None)
            assert ends == (score.ci_low, score.ci_high)
            seen += 1
    assert seen == len(scores) > 60


def _eee_schema() -> dict[str, Any]:
    """The published schema, where its package is installed or a file is named."""
    named = os.environ.get("SAEVAL_EEE_SCHEMA")
    spec = importlib.util.find_spec("every_eval_ever")
    if named:
        return json.loads(Path(named).read_text(encoding="utf-8"))
    if spec is None or spec.origin is None:
        pytest.skip("neither every-eval-ever is installed nor SAEVAL_EEE_SCHEMA set to its schema")
    path = Path(spec.origin).parent / "schemas/eval.schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_eval_ever_validates_against_the_published_schema(results: list[Stored]) -> None:
    """Schema 0.3.0, and one field less is refused by it."""
    schema = _eee_schema()
    assert schema["version"] == "0.3.0"
    for record in every_eval_ever_files(results).values():
        jsonschema.validate(record, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in record.items() if k != "model_info"}, schema)


NP_TYPE = {"name", "displayName", "description", "outputSchema", "url", "evals"}
NP_EVAL = {"id", "typeName", "modelId", "sourceId", "output", "detailedMetrics"}


def test_neuronpedia_outputs_conform_to_their_own_schema(results: list[Stored]) -> None:
    """A type a task, an eval a result; each output validates, and a foreign metric does not."""
    content = neuronpedia_content(results, {SAES[0]: "gpt2-small/0-res-jb"})
    assert {of_type["name"] for of_type in content["evalTypes"]} == {
        "saeval_core",
        "saeval_synthetic",
    }
    by_id = {one.result.result_id: one for one in results}
    for of_type in content["evalTypes"]:
        assert set(of_type) == NP_TYPE
        schema = json.loads(of_type["outputSchema"])
        jsonschema.Draft202012Validator.check_schema(schema)
        for one in of_type["evals"]:
            assert set(one) == NP_EVAL
            assert one["typeName"] == of_type["name"]
            assert all(isinstance(value, str) for value in one.values())
            output = json.loads(one["output"])
            jsonschema.validate(output, schema)
            task = by_id[one["id"]].result.task
            output["eval_result_metrics"][task]["miracle"] = 1.0
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(output, schema)
            details = json.loads(one["detailedMetrics"])
            assert len(details) == len(by_id[one["id"]].scored)
    places = {(one["modelId"], one["sourceId"]) for t in content["evalTypes"] for one in t["evals"]}
    assert places == {("gpt2-small", "0-res-jb"), ("base", "lab-synthetic-base-random")}
    with pytest.raises(UsageError, match="write NAME=MODEL/SOURCE"):
        neuronpedia_content(results, {"other": "a/b"})


def test_neuronpedia_types_take_it(results: list[Stored]) -> None:
    """The client's own classes, where it is installed or its file of types is named."""
    path = os.environ.get("SAEVAL_NEURONPEDIA_TYPES")
    if not path:
        pytest.skip("SAEVAL_NEURONPEDIA_TYPES does not name the client's sae_eval.py")
    spec = importlib.util.spec_from_file_location("sae_eval", path)
    assert spec is not None
    assert spec.loader is not None
    types = importlib.util.module_from_spec(spec)
    sys.modules["sae_eval"] = types
    spec.loader.exec_module(types)
    content = neuronpedia_content(results)
    answer = types.NPSaeEvalListResponse.model_validate(content, strict=True)
    assert answer.model_dump() == {
        "evalTypes": [
            {**t, "evals": [{"detailedMetrics": None, **e} for e in t["evals"]]}
            for t in content["evalTypes"]
        ]
    }


def test_model_cards_are_read_by_the_hub(results: list[Stored]) -> None:
    """huggingface_hub's own parser finds every whole-data score, for each SAE."""
    cards = model_cards(results)
    assert set(cards) == {"lab-synthetic-base-topk-8.md", "lab-synthetic-base-random.md"}
    for text in cards.values():
        data = ModelCard(text).data
        assert isinstance(data, ModelCardData)
        label = data.model_name
        expected = {
            (f"saeval {s.result.task} v{s.result.task_version}", x.metric, x.value)
            for s in results
            if s.label == label
            for x in s.scored
            if x.part is None
        }
        assert data.eval_results is not None
        found = {(e.task_name, e.metric_type, e.metric_value) for e in data.eval_results}
        assert found == expected
        (block,) = yaml.safe_load(text.split("---")[1])["model-index"]
        assert block["name"] == label


def test_croissant_describes_every_file_and_column(root: Path, results: list[Stored]) -> None:
    """Paths, hashes, columns and types are those of the files."""
    content = croissant(results, root, About("evidence"))
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}
    assert {file["@id"] for file in content["distribution"]} == files
    for file, records in zip(content["distribution"], content["recordSet"], strict=True):
        schema = pq.read_schema(root / file["contentUrl"])
        columns = [field["source"]["extract"]["column"] for field in records["field"]]
        assert columns == schema.names
        for field, kind in zip(records["field"], schema.types, strict=True):
            is_number = field["dataType"] in ("sc:Float", "sc:Integer")
            assert is_number == (str(kind) in ("double", "int64"))
            assert field["source"]["fileObject"]["@id"] == file["@id"]
    assert datetime.fromisoformat(content["datePublished"])


def test_croissant_is_read_by_its_own_library(root: Path, results: list[Stored]) -> None:
    """Where mlcroissant is installed, it reads the rows of a table."""
    mlcroissant = pytest.importorskip("mlcroissant")
    path = root / "croissant.json"
    path.write_text(json.dumps(croissant(results, root, About("evidence"))))
    data_set = mlcroissant.Dataset(path)
    first = data_set.metadata.record_sets[0]
    table = pq.read_table(root / f"{first.id}.parquet")
    assert len(list(data_set.records(first.id))) == table.num_rows
    path.unlink()


def test_saebench_files_of_our_own_results(results: list[Stored]) -> None:
    """Metrics under SAEBench's definitions alone, in its categories, one file a result."""
    files = saebench_files(results)
    assert set(files) == {
        "core/lab_synthetic_base_topk-8_eval_results.json",
        "core/lab_synthetic_base_random_eval_results.json",
    }
    for one in results:
        if one.result.task != "core":
            continue
        content = next(f for f in files.values() if f["sae_lens_id"] == one.label.split("/")[-1])
        found = {
            name: value
            for metrics in content["eval_result_metrics"].values()
            for name, value in metrics.items()
        }
        assert found == {
            str(s.metric).removeprefix("saebench_"): s.value
            for s in one.result.scores
            if str(s.metric).startswith("saebench_") and s.part is None
        }
        assert content["eval_result_metrics"]["sparsity"]["l0"] > 1


@pytest.mark.parametrize(
    "form", ["saebench", "every-eval-ever", "neuronpedia", "model-index", "croissant"]
)
def test_every_form_has_a_command(root: Path, tmp_path: Path, form: str) -> None:
    """Files are written, twice the same bytes, and named with --json."""
    contents = []
    for number in range(2):
        out = tmp_path / str(number)
        command = ["export-as", form, str(root), "--out", str(out), "--json"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        named = [Path(json.loads(line)["file"]) for line in done.stdout.splitlines()]
        assert set(named) == {path for path in out.rglob("*") if path.is_file()}
        contents.append([path.read_bytes() for path in named])
    assert contents[0] == contents[1]


def test_no_results_and_no_scores_are_told(tmp_path: Path) -> None:
    """An empty folder has nothing to export."""
    done = CliRunner().invoke(app, ["export-as", "croissant", str(tmp_path), "--out", "x"])
    assert done.exit_code == 2
    assert "has no results" in done.output
