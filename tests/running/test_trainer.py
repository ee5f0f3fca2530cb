"""`saeval train`: from names and files to a folder that `saeval run` reads, or a clear error."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from click.testing import CliRunner, Result

import saeval
from saeval.activations import Store, model_source
from saeval.cli.app import app
from saeval.cli.command_options import TRAIN_OPTIONS
from saeval.errors import DataError, ResultError, UsageError
from saeval.models import load_model
from saeval.running.train import data, trainer
from saeval.sae import content_hash, origin_of
from saeval.sae.loaders import load_folder
from saeval.training import METHODS, Recipe
from saeval.training.stream import open_stream
from saeval.training.texts import chunks, read_texts

SMALL = ("--d-sae", 32, "--k", 4, "--batch-size", 128, "--tokens", 3000)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands run in a folder of their own, which holds an array."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32))


def call(*arguments: object) -> Result:
    """What a command prints and answers."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_lab_model_from_end_to_end() -> None:
    """Trained on the lab's own text, it names where it belongs, and core scores it unasked."""
    lab = ("--model", "lab/world", "--site", "layers.0", "--set", "recipe.held_out=1000")
    asked = ("train", "--arch", "topk", *SMALL, "--lr", 1e-2, "--out", "mine", "--json")
    trained = call(*asked, *lab, "--snapshots", "0.5")
    assert trained.exit_code == 0, trained.output
    told = json.loads(trained.stdout)
    assert told["l0"] == 4
    assert told["fvu"] < 0.9
    origin = origin_of(load_folder(Path("mine")))
    assert (origin.model, origin.read_site) == ("lab://world/model", "gpt_neox.layers.0:out")
    assert (origin.prepend_bos, origin.context_size) == (True, 128)
    assert origin.metadata["recipe"]["tokens"] == 3000
    assert origin.metadata["held_out"]["fvu"] == pytest.approx(told["fvu"], abs=1e-5)
    halfway = load_folder(Path("mine/snapshots/1536-tokens"))
    assert content_hash(halfway) != content_hash(load_folder(Path("mine")))
    scored = call("run", "--sae", "./mine", "--tasks", "core", "--limit", 8, "--json")
    assert scored.exit_code == 0, scored.output
    rows = [json.loads(line) for line in scored.stdout.splitlines()]
    assert {row["metric"]: row["value"] for row in rows}["l0"] == 4


def test_a_model_and_texts_of_ones_own() -> None:
    """A local folder is named by its whole path, so that the SAE is scored from anywhere."""
    model = tiny_models.build("gpt2", Path("model"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 30)) for _ in range(60)]
    Path("t.txt").write_text("\n".join(texts), encoding="utf-8")
    asked = ("--model", model, "--site", "layers.1", "--data", "t.txt", "--arch", "batchtopk")
    trained = call("train", *asked, *SMALL, "--out", "mine")
    assert trained.exit_code == 0, trained.output
    assert "L0" in trained.stderr  # lines, where nothing can move
    origin = origin_of(load_folder(Path("mine")))
    assert origin.model == str(Path("model").absolute())
    assert origin.context_size == tiny_models.CONTEXT
    assert origin.metadata["recipe"]["held_out"] < 200
    more = ("--data", "t.txt", "--set", "core.context=24", "--set", "core.overflow=pack")
    scored = call("run", "--sae", "./mine", "--tasks", "core", "--json", *more)
    assert scored.exit_code == 0, scored.output


def test_a_transcoder_of_a_models_mlp() -> None:
    """Any architecture predicts another site when one is named, with its own names in the file."""
    trained = saeval.train_sae(
        "batchtopk",
        d_sae=32,
        k=4,
        model="lab/world",
        site="layers.0.mlp:in",
        write_site="layers.0.mlp:out",
        tokens=2000,
        batch_size=256,
        settings={"recipe": {"held_out": 500}, "transcoder": {"skip": True}},
    )
    assert trained.sae.origin.architecture == "transcoder"
    assert trained.sae.origin.write_site == "gpt_neox.layers.0.mlp:out"
    assert trained.sae.inner.origin.architecture == "batchtopk"
    assert trained.sae.W_skip is not None
    assert trained.final.fvu < 1


def test_a_prediction_is_undone_from_normalised_units() -> None:
    """With a skip connection an affine map between offset arrays is learned to a small error."""
    rng = np.random.default_rng(1)
    x = (3 * rng.normal(size=(6000, 8)) + 5).astype(np.float32)
    y = (x @ rng.normal(size=(8, 6)) * 0.1 - 7).astype(np.float32)
    settings = {"transcoder": {"skip": True}}
    size: Any = {"d_sae": 16, "k": 2, "tokens": 40_000, "batch_size": 200}
    trained = saeval.train_sae("topk", data=(x, y), lr=2e-2, settings=settings, **size)
    assert trained.final.fvu < 0.1


def test_texts_of_every_kind_are_read_alike() -> None:
    """Lines, JSON, CSV and parquet give the same texts; what is blank is left out."""
    texts = ["one two", "three, four", "five"]
    Path("t.txt").write_text("one two\n\nthree, four\nfive\n", encoding="utf-8")
    table = pd.DataFrame({"text": texts, "other": [1, 2, 3]})
    table.to_csv("t.csv")
    table.to_parquet("t.parquet")
    table.to_json("t.jsonl", orient="records", lines=True)
    for name in ("t.txt", "t.csv", "t.parquet", "t.jsonl"):
        assert [text.strip() for text in read_texts(Path(name))] == texts
    Path("t.csv").write_text("text,n\nNA,1\n,2\n3,4\n", encoding="utf-8")
    assert list(read_texts(Path("t.csv"))) == ["NA", "3"]
    Path("t.jsonl").write_text('{"text": 3}\n', encoding="utf-8")
    with pytest.raises(DataError, match="row 0 has 3"):
        list(read_texts(Path("t.jsonl")))


def test_no_chunk_of_text_is_short_but_the_only_one() -> None:
    """Chunks hold at least what is asked, and together all texts in order."""
    texts = ["a" * (1 + i % 7) for i in range(50)]
    parts = list(chunks(texts, 20))
    assert sum(parts, []) == texts  # noqa: RUF017
    assert all(sum(map(len, part)) >= 20 for part in parts)
    assert len(parts) > 5
    assert list(chunks(["abc"], 20)) == [["abc"]]


@pytest.mark.parametrize(
    "model, context",
    [("world", 2), ("world", 64), ("world", 256), ("othello", 2), ("othello", 60)],
)
def test_the_labs_rows_have_any_length_that_its_model_takes(model: str, context: int) -> None:
    """The SAE names the context that was given, and its data count the tokens of such rows."""
    trained = saeval.train_sae(
        "topk", d_sae=16, k=2, model=f"lab/{model}", site="layers.0", context=context, tokens=512,
        batch_size=128, settings={"recipe": {"held_out": 128}},
    )  # fmt: skip
    assert trained.sae.origin.context_size == context
    assert trained.sae.origin.metadata["held_out"]["activations"] == 128


@pytest.mark.parametrize("context", [2, 5, 24, 23])
def test_texts_are_cut_into_rows_of_any_length(
    monkeypatch: pytest.MonkeyPatch, context: int
) -> None:
    """Chunks that hold less than a row are joined until they do; the rest at the end is dropped."""
    monkeypatch.setattr(data, "CHUNK_CHARACTERS", 10)
    monkeypatch.setattr(data, "ROW_CHARACTERS", 1)
    texts = [f"w{i % 60} w{i % 7}" for i in range(200)]  # a chunk holds a few tokens
    model = load_model(str(tiny_models.build("gpt2", Path("model"))))
    source = model_source(model, "layers.0", store=Store(writable=False))
    chunked = [row for rows in data._text_rows(source, texts, "t", context) for row in rows.ids]
    assert {len(row) for row in chunked} == {context}
    assert all(row[0] == model.bos_id for row in chunked)
    words = model.tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"]
    rebuilt = [token for row in chunked for token in row.tolist() if token != model.bos_id]
    # Every token stands in the order of the texts; each chunk drops less than a row at its end.
    ahead = iter(words)
    assert all(token in ahead for token in rebuilt)
    assert len(rebuilt) > len(words) / 4
    saeval.train_sae(
        "topk", d_sae=8, k=2, model="model", site="layers.0", data=texts, context=context,
        batch_size=16, tokens=64,
    )  # fmt: skip


def test_texts_too_short_for_a_row_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are chunked, the error says how many tokens there are and what to do."""
    monkeypatch.setattr(data, "CHUNK_CHARACTERS", 10)
    monkeypatch.setattr(data, "ROW_CHARACTERS", 1)
    tiny_models.build("gpt2", Path("model"))
    with pytest.raises(DataError, match=r"too few to fill one row of 24.*smaller context"):
        saeval.train_sae(
            "topk", d_sae=8, k=2, model="model", site="layers.0", data=["w1 w2 w3"] * 4, context=24
        )


def test_a_stream_is_read_no_further_than_training_needs() -> None:
    """No activation is seen twice, none is held out and seen, and none is left over."""
    read = 0

    def numbered() -> Any:
        nonlocal read
        while True:
            yield torch.arange(read, read + 64, dtype=torch.float32)[:, None]
            read += 64

    recipe = Recipe(4, 1, tokens=4000, batch_size=100, held_out=128)
    stream = open_stream(numbered(), recipe)
    held_out = stream.held_out()[0].flatten().tolist()
    seen = [value for x, _ in stream.batches() for value in x.flatten().tolist()]
    assert len(seen) == len(set(seen)) == 4000
    assert not set(seen) & set(held_out)
    assert read <= 4000 + 128 + 64


def test_equal_requests_give_equal_bits() -> None:
    """A world's stream and a seed decide everything."""
    saes = [
        saeval.train_sae(
            "jumprelu", d_sae=24, k=4, model="lab/synthetic/base", tokens=4096, batch_size=512,
            seed=seed, settings={"recipe": {"held_out": 512}},
        ).sae
        for seed in (0, 0, 1)
    ]  # fmt: skip
    hashes = [content_hash(sae) for sae in saes]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    "more, said",
    [
        (("--arch", "matroshka", "--data", "x.npy"), "Did you mean 'matryoshka'?"),
        (("--arch", "topk", "--data", "x.npy", "--k", 33), "k = 33"),
        (("--arch", "topk"), "nothing to train on"),
        (("--arch", "topk", "--model", "lab/world", "--data", "x.npy"), "take the place"),
        (("--arch", "topk", "--model", "lab/world"), "no site"),
        (("--arch", "topk", "--data", "y.npy"), "no file 'y.npy'"),
        (("--arch", "topk", "--data", "x.npy", "--out", "."), "working folder"),
        (("--arch", "topk", "--data", "x.npy", "--out", "x.npy"), "is a file"),
        (
            ("--arch", "topk", "--model", "lab/world", "--site", "layers.0", "--context", 1),
            "--context 1",
        ),
        (("--arch", "topk", "--data", "x.npy", "--snapshots", "1.5"), "above 0 and below 1"),
        (("--arch", "topk", "--data", "x.npy", "--set", "topk.firstk=2"), "Did you mean 'first_k'"),
        (("--arch", "topk", "--data", "x.npy", "--set", "relu.first_k=2"), "cannot be set"),
        (("--arch", "transcoder", "--data", "x.npy"), "--write-site"),
        (("--arch", "topk", "--data", "x.npy", "--set", "transcoder.skip=true"), "nothing to act"),
        (("--arch", "topk", "--data", "x.npy", "--set", "transcoder.inner=relu"), "inner cannot"),
        (("--arch", "topk", "--data", "x.npy", "--context", 5), "--context 5"),
        (("--arch", "pca", "--data", "x.npy", "--snapshots", "0.5"), "no snapshots"),
        (
            (
                *("--arch", "topk", "--model", "lab/world", "--site", "layers.0"),
                *("--write-site", "gpt_neox.layers.0"),
            ),
            "is the site that is read",
        ),
        (("--arch", "topk", "--model", "lab/synthetic/moon"), "no synthetic world 'moon'"),
        (("--arch", "topk", "--data", "x.npy", "--lr", -1), "lr is -1"),
        (("--arch", "p-anneal", "--data", "x.npy", "--set", "p-anneal.updates=0"), "at least 1"),
    ],
)
def test_what_cannot_be_trained_is_wrong_usage(more: tuple[object, ...], said: str) -> None:
    """It is said on one line before anything is computed, and nothing is left behind."""
    before = set(Path().iterdir())
    answer = call("train", *SMALL, "--out", "mine", *more)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert answer.stderr.startswith("error: ")
    assert set(Path().iterdir()) == before


def test_too_little_data_is_told_with_what_is_needed() -> None:
    """Text that fills no row, and arrays of less than two batches."""
    Path("t.txt").write_text("a few words\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 batches of 1,024"):
        saeval.train_sae("topk", d_sae=8, k=2, data="x.npy")
    with pytest.raises(DataError, match="too few"):
        saeval.train_sae("topk", d_sae=8, k=2, model="lab/world", site="layers.0", data="t.txt")


def test_a_full_disk_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room that the files need is looked for first."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    monkeypatch.setattr(trainer, "train", None)
    with pytest.raises(ResultError, match="0 MB left"):
        saeval.train_sae("topk", d_sae=8, k=2, data="x.npy", batch_size=64, out="mine")


def test_a_folder_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while writing leaves nothing behind, not even half a folder."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("saeval.sae.loaders.saeval_format.save_file", full)
    before = set(Path().iterdir())
    asked: Any = {"d_sae": 8, "k": 2, "batch_size": 64, "tokens": 128}
    with pytest.raises(ResultError, match="Make room"):
        saeval.train_sae("topk", data="x.npy", out="mine", **asked)
    assert set(Path().iterdir()) == before


def test_a_folder_that_holds_something_is_left_alone() -> None:
    """Its files are not mixed with others; an empty one is used."""
    Path("mine").mkdir()
    asked: Any = {"d_sae": 8, "k": 2, "batch_size": 64, "tokens": 128, "data": "x.npy"}
    saeval.train_sae("topk", out="mine", **asked)
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "saeval.json",
        "saeval.safetensors",
    ]
    with pytest.raises(UsageError, match="not empty"):
        saeval.train_sae("topk", out="mine", **asked)


def test_pruning_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A penalty that had no time to work is no secret, though the L0 is as asked."""
    asked: Any = {"d_sae": 32, "k": 2, "batch_size": 64, "tokens": 1024, "data": "x.npy"}
    trained = saeval.train_sae("relu", **asked)
    assert trained.sae.origin.metadata["held_out"]["activations"] == 200
    assert "when training ended" in caplog.text
    assert trained.final.l0 == pytest.approx(2, rel=0.1)


def test_a_method_that_only_fits_is_no_transcoder() -> None:
    """What has no encoder of its own cannot read elsewhere than it writes."""
    x = np.zeros((10, 4), np.float32)
    with pytest.raises(UsageError, match="reconstructs what it reads"):
        saeval.train_sae("itda", d_sae=4, k=2, data=(x, x))


def test_the_help_names_every_architecture() -> None:
    """It is written out, so that --help need not import the trainers."""
    command = app.commands["train"]
    shown = next(option for option in command.params if option.name == "arch")
    text = str(getattr(shown, "help", ""))
    assert len(TRAIN_OPTIONS) == len(command.params) - 1, "--quiet is every command's"
    named = re.sub(r"nulls:|\.", "", text).replace(";", ",").split(",")
    assert {name.strip() for name in named} == set(METHODS)
