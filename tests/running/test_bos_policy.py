"""Rows begin as the SAE was trained, unless the user says otherwise, and results tell so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_runs
from saeval_tasks.core import Core
from saeval_tasks.probing import Probing

import saeval
from saeval.activations import Store, model_source
from saeval.errors import SaevalError, UsageError
from saeval.models import load_model
from saeval.results.results import Results
from saeval.running.identity import task_identity
from saeval.running.preflight.checks import BOS_LEFT_AWAY, BOS_UNTOLD, Claims
from saeval.running.sources import Opening, Sources


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 of 24 positions; its tokenizer knows BOS and does not add it."""
    return tiny_models.build("gpt2", tmp_path_factory.mktemp("model"))


def run(folder: Path, model: Path, policy: bool | None, **fields: Any) -> Results:  # noqa: FBT001
    """`core` on texts of 8 words, of one SAE that was trained with, without, or unknown."""
    texts = tiny_runs.texts_file(folder)
    return saeval.evaluate(
        {"mine": tiny_runs.topk(read_site="layers.1", prepend_bos=policy)},
        "core",
        model=str(model),
        config={"core": {"texts": str(texts), **fields}},
        output_path=str(folder / "results"),
    )


@pytest.mark.parametrize(
    "case",
    [
        (None, {}, True, "unknown", BOS_UNTOLD),
        (True, {}, True, "ok", ""),
        (False, {}, False, "ok", BOS_LEFT_AWAY),
        (False, {"overflow": "pack", "context": 8}, False, "ok", BOS_LEFT_AWAY),
        (False, {"prepend_bos": True}, True, "warning", "trained on rows without BOS"),
        (True, {"prepend_bos": False}, False, "warning", "trained on rows that begin with BOS"),
        (None, {"prepend_bos": False}, False, "unknown", ""),
    ],
)
def test_rows_begin_as_in_training(
    tmp_path: Path,
    model: Path,
    case: tuple[bool | None, dict[str, Any], bool, str, str],
) -> None:
    """The facts say how rows begin, the check agrees or warns, and the table has it in a line."""
    policy, fields, begins, status, remark = case
    results = run(tmp_path, model, policy, **fields)
    (result,) = results
    assert result.status == "scored"
    assert result.provenance["data"]["bos"] is begins
    (check,) = [c for c in result.provenance["preflight"] if c["name"] == "bos"]
    assert check["status"] == status
    assert (remark in check["message"]) == bool(remark or not check["message"])
    table = results.table(width=400)
    assert table.count("BOS") == check["message"].count("BOS")
    assert f"mine: {check['message']}" in table or not remark


def test_a_tokenizer_that_adds_bos_needs_no_remark(tmp_path: Path) -> None:
    """Where the tokenizer itself begins texts with BOS, nothing is said of an unknown policy."""
    folder = tiny_models.build("llama", tmp_path / "model")
    file = folder / "tokenizer.json"
    about = json.loads(file.read_text())
    begin = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    about["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<bos>": {"id": "<bos>", "ids": [1], "tokens": ["<bos>"]}},
    }
    file.write_text(json.dumps(about))
    assert "BOS" not in run(tmp_path, folder, None).table(width=400)


def test_only_saes_without_bos_have_a_source_of_their_own(tmp_path: Path, model: Path) -> None:
    """True and unknown give one source with the identity of old; False another, with other rows."""
    sources = Sources(Opening(model=str(model), store=Store(tmp_path)))
    places = {
        policy: sources.place(Claims(read_site="layers.1", prepend_bos=policy))
        for policy in (None, True, False)
    }
    assert places[None] == places[True] != places[False]
    plain = model_source(load_model(str(model)), "layers.1")
    assert sources.identity(places[None]) == plain.identity != sources.identity(places[False])
    assert sources.open(places[False]).identity == sources.identity(places[False])
    rows = [sources.open(places[p]).tokenize(["w1 w2"], name="t").ids for p in (True, False)]
    assert [each.tolist() for each in rows] == [[[1, 5, 6]], [[5, 6]]]


def test_without_a_bos_the_policy_changes_nothing(model: Path) -> None:
    """A model that has no BOS is one source, whatever the SAE says."""
    loaded = load_model(str(model))
    loaded.tokenizer.bos_token = loaded.config.bos_token_id = None
    with_bos, without = (
        replace(model_source(loaded, "layers.1"), prepend_bos=p) for p in (True, False)
    )
    assert with_bos.identity == without.identity


def test_a_policy_that_decides_nothing_is_refused(tmp_path: Path) -> None:
    """Ready rows begin as they begin, and stored activations have no tokens."""
    rows = tmp_path / "rows.npy"
    np.save(rows, np.full((2, 4), 7))
    with pytest.raises(UsageError, match="decides nothing"):
        Core(tokens=str(rows), prepend_bos=False)
    (result,) = saeval.evaluate(
        {"mine": tiny_runs.topk()},
        "core",
        data=np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32),
        config={"core": {"prepend_bos": False}},
        output_path=str(tmp_path / "results"),
    )
    assert result.status == "failed"
    assert "decides nothing" in str(result.reason)


def test_default_rows_suit_a_short_model(tmp_path: Path, model: Path) -> None:
    """128 tokens or as many as the model takes; a greater context of the user's is an error."""
    source = model_source(load_model(str(model)), "layers.1", store=Store(tmp_path))
    file = tiny_runs.texts_file(tmp_path, [" ".join(tiny_models.WORDS)] * 60)
    core = Core(texts=str(file), overflow="truncate")
    assert core.prepare(source, 0).required_rows.ids.shape == (60, 24)
    with pytest.raises(SaevalError, match="128 tokens does not suit"):
        Core(texts=str(file), overflow="truncate", context=128).prepare(source, 0)
    table = tmp_path / "labelled.jsonl"
    lines = [
        json.dumps({"text": " ".join(np.random.default_rng(i).choice(tiny_models.WORDS, 40)),
                    "label": i % 2})
        for i in range(120)
    ]  # fmt: skip
    table.write_text("\n".join(lines))
    Probing(data=str(table), top_k=(1,)).prepare(source, 0)
    with pytest.raises(SaevalError, match="64 tokens does not suit"):
        Probing(data=str(table), top_k=(1,), context=64).prepare(source, 0)


def test_keys_of_probing_are_those_of_old() -> None:
    """None stands in keys as the number that was the default, 128."""
    identities = [task_identity(Probing(context=context)) for context in (None, 128, 64)]
    assert identities[0] == identities[1] != identities[2]
    assert identities[0]["fields"]["context"] == 128
