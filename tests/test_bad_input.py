"""Every mistake a user is likely to make: one clear error on stderr, the right exit code."""

import errno
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from click.testing import CliRunner, Result
from huggingface_hub import constants
from tiny_runs import TEXTS, sae_folder, texts_file, topk

import saeval
from saeval.cli.app import app
from saeval.errors import DataError, RegistryError
from saeval.results import writing
from saeval.results.reading import read_results
from saeval.running.source_kinds import transformer
from saeval.training.texts import read_texts

COMMIT = "c" * 40


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model."""
    return tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def hub_model(gpt2: Path) -> str:
    """The tiny model in the hub's cache, as if it had been downloaded."""
    repository = Path(constants.HF_HUB_CACHE) / "models--tiny--gpt2"
    shutil.copytree(gpt2, repository / "snapshots" / COMMIT, dirs_exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return "tiny/gpt2"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpt2: Path) -> Callable[..., Result]:
    """A run of core, right in all that the caller does not change (None leaves an option out)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")  # what is said, not how it is wrapped
    sae_folder(tmp_path / "sae")
    texts_file(tmp_path)

    def call(**changed: Any) -> Result:
        options = {
            "sae": "./sae",
            "model": gpt2,
            "tasks": "core",
            "data": "texts.txt",
            "set": f"core.context={tiny_models.CONTEXT}",
            **changed,
        }
        arguments = [
            str(part)
            for name, value in options.items()
            if value is not None
            for part in (f"--{name}", value)
        ]
        return CliRunner().invoke(app, ["run", *arguments])

    return call


def refused(done: Result, code: int, *says: str) -> None:
    """The run ended with this exit code, and one error that says all of this.

    A run that scored nothing says so on stderr, one that has a table says it below that.
    """
    assert done.exit_code == code, (done.output, done.exception)
    lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
    errors = [line for line in lines if line.startswith(("error: ", "failed: "))]
    assert len(errors) == 1, done.output
    for text in says:
        assert text in errors[0]
    assert "Traceback" not in done.output


def test_all_is_well_without_a_mistake(run: Callable[..., Result]) -> None:
    """The run that all others spoil succeeds."""
    done = run()
    assert done.exit_code == 0, done.output
    assert "error" not in done.stderr


@pytest.mark.parametrize(
    "changed, says",
    [
        ({"sae": "saebench/pythia-160m/4k/topk-9"}, "Did you mean 'saebench/pythia-160m/4k/topk-"),
        ({"sae": "./nowhere"}, "There is no folder or file './nowhere'"),
        ({"sae": None}, "Nothing to score: give --sae"),
        ({"tasks": "cor"}, "No task is called 'cor'. Did you mean 'core'?"),
        ({"tasks": None, "set": "cor.rows=3"}, "task 'cor', which is not run. Did you mean 'core'"),
        ({"tasks": None, "set": "core.rws=3"}, "Did you mean 'rows'"),
        ({"set": "probing.top_k=[2]"}, "no task 'probing' in this run"),
        ({"k": 0}, "error: --k must be at least 1"),
        ({"set": "core.contxt=3"}, "Did you mean 'context'"),
        ({"set": "core.context=long"}, "core.context must be a whole number or null, not 'long'"),
        ({"set": "cor.context=3"}, "Did you mean 'core'"),
        ({"model": "gpt2-smal"}, "'gpt2-small'"),
        ({"model": "gpt3-small"}, "'gpt2-small'"),
        ({"model": "./nowhere"}, "There is no folder './nowhere'"),
        ({"model": "EleutherAI/pythia-160"}, "Did you mean 'EleutherAI/pythia-160m'"),
        ({"site": "layers.7"}, "There is no layer 7"),
        ({"site": "transformer.h.1.mpl"}, "transformer.h.1.mlp"),
        ({"device": "tpu"}, "error: --device must be one of auto, cpu, cuda, mps, not 'tpu'"),
        ({"dtype": "float8"}, "--dtype must be one of float32, bfloat16, float16"),
        ({"batch-size": "huge"}, "error: --batch-size must be a whole number or one of auto"),
        ({"seeds": "a,b"}, "error: --seeds must be a whole number"),
        ({"limit": 0}, "error: --limit must be at least 1"),
        ({"limit": "1.0"}, "error: --limit must be a whole number from 1, or a share of the units"),
        ({"limit": "10%"}, "such as 0.1, not '10%'"),
        ({"config": "nowhere.yaml"}, "Cannot read the configuration 'nowhere.yaml'"),
        ({"compat": "other"}, "--compat must be one of saebench"),
    ],
)
def test_wrong_usage_exits_with_2(
    changed: dict[str, Any], says: str, run: Callable[..., Result]
) -> None:
    """Names and options that are off end the run before anything is scored, the nearest offered."""
    refused(run(**changed), 2, says)
    assert not read_results("results")


def test_fields_of_default_tasks_may_be_set(run: Callable[..., Result]) -> None:
    """Without --tasks, --set reaches the tasks that run by default; others are named."""
    done = run(tasks=None, set="probing.data=sae", model=None)
    refused(done, 2, "'sae' holds no data set")
    refused(run(tasks=None, set="synthetic.covered_from=0.5"), 2, "'synthetic', which is not run")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--sae", "./sae", "--model", "gpt2", "--tasks", "core"],
        ["plan", "--sae", "./sae", "--model", "gpt2", "--tasks", "core"],
        ["validate", "./sae"],
        *(["ls", kind] for kind in ("saes", "sets", "models", "tasks", "loaders", "results")),
        ["run", "--config", "run.yaml"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("run")
def test_a_registry_that_is_not_there_is_an_error(arguments: list[str], tmp_path: Path) -> None:
    """Also where no name of a registry is asked for."""
    (tmp_path / "run.yaml").write_text("saes: [./sae]\nregistry: no.yaml\nmodel: gpt2\n")
    option = [] if "--config" in arguments else ["--registry", "no.yaml"]
    refused(CliRunner().invoke(app, [*arguments, *option]), 2, "registry 'no.yaml'", "No such file")
    with pytest.raises(RegistryError, match=r"no\.yaml"):
        saeval.evaluate(topk(), "core", model="gpt2", registry="no.yaml")


def test_texts_in_another_encoding(run: Callable[..., Result], tmp_path: Path) -> None:
    """latin-1 is told with the way to convert it, in every kind of file and wherever it is read."""
    body = {
        "t.txt": "w1 é\n",
        "t.csv": "text\nw1 é\n",
        "t.jsonl": '{"text": "w1 é"}\n',
    }
    for name, text in body.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        refused(run(data=name), 1, f"'{name}' is not UTF-8", "iconv -f latin1 -t utf-8")
        with pytest.raises(DataError, match=r"is not UTF-8.*iconv -f latin1 -t utf-8"):
            list(read_texts(tmp_path / name))


def test_unknown_options_exit_with_2() -> None:
    """A misspelt option is refused with the nearest."""
    done = CliRunner().invoke(app, ["run", "--sea", "x"])
    assert done.exit_code == 2
    assert "--sae" in done.stderr


def test_an_sae_of_another_width(run: Callable[..., Result], tmp_path: Path) -> None:
    """The widths of both are named, and the options that choose model and site."""
    sae_folder(tmp_path / "wide", width=24)
    refused(run(sae="./wide"), 1, "d_in 24", "d_in 16", "--model and --site")


def test_an_sae_for_another_model(
    run: Callable[..., Result], tmp_path: Path, hub_model: str
) -> None:
    """Two hub ids that differ are refused, with the way to do it on purpose; equal ones pass."""
    sae_folder(tmp_path / "own", model=hub_model)
    assert run(sae="./own", model=hub_model).exit_code == 0
    assert run(sae="./own", model=None).exit_code == 0
    sae_folder(tmp_path / "other", model="tiny/gpt2-medium")
    done = run(sae="./other", model=hub_model)
    refused(done, 1, "trained on 'tiny/gpt2-medium', not on 'tiny/gpt2'", "registry.yaml")


def test_an_sae_whose_model_is_nowhere(run: Callable[..., Result], tmp_path: Path) -> None:
    """The model that the files name cannot be had: a failure that names it."""
    sae_folder(tmp_path / "own", model="tiny/absent")
    refused(run(sae="./own", model=None), 1, "'tiny/absent'")


def test_an_sae_that_names_no_model(run: Callable[..., Result]) -> None:
    """Without --model, and without one in the files, the option is asked for."""
    refused(run(model=None), 2, "name no model. Give one with --model")


def test_weights_that_are_not_finite(run: Callable[..., Result], tmp_path: Path) -> None:
    """NaN in a tensor is refused, and the tensor named."""
    from safetensors.torch import load_file, save_file

    path = sae_folder(tmp_path / "nan") / "saeval.safetensors"
    tensors = load_file(path)
    tensors["W_dec"][3, 2] = torch.nan
    save_file(tensors, path)
    refused(run(sae="./nan"), 1, "W_dec")


@pytest.mark.parametrize(
    "form, says",
    [
        ("zip", "and not only tensors. It was not run."),
        ("legacy", "and not only tensors. It was not run."),
        ("raw", "is a bare pickle, not a zip archive"),
    ],
)
def test_a_pickle_with_code_is_never_run(
    form: str, says: str, run: Callable[..., Result], tmp_path: Path
) -> None:
    """A pickle that would make a folder is refused in a sentence, and the folder is not made."""
    target = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (target,)

    folder = tmp_path / "evil"
    folder.mkdir()
    sae = topk()
    trainer = {
        "activation_dim": sae.d_in,
        "dict_size": sae.d_sae,
        "dict_class": "AutoEncoderTopK",
        "k": 4,
        "layer": 1,
        "lm_name": "tiny/gpt2",
        "submodule_name": "resid_post_layer_1",
        "trainer_class": "TopKTrainer",
    }
    (folder / "config.json").write_text(json.dumps({"trainer": trainer}))
    weights = {"encoder.weight": Evil()}
    if form == "raw":
        (folder / "ae.pt").write_bytes(pickle.dumps(weights))
    else:
        torch.save(weights, folder / "ae.pt", _use_new_zipfile_serialization=form == "zip")
    refused(run(sae="./evil"), 1, "ae.pt", says, "not run")
    assert not target.exists()


def test_a_truncated_file(run: Callable[..., Result], tmp_path: Path) -> None:
    """Weights that were cut off are refused, and the file named."""
    path = sae_folder(tmp_path / "cut") / "saeval.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(run(sae="./cut"), 1, "saeval.safetensors")


def test_a_folder_that_is_no_sae(run: Callable[..., Result], tmp_path: Path) -> None:
    """What is there and what was looked for are both said."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.md").write_text("nothing")
    done = run(sae="./notes")
    assert done.exit_code == 1
    assert "readme.md" in done.stdout
    assert "cfg.json" in done.stdout


def test_empty_texts(run: Callable[..., Result], tmp_path: Path) -> None:
    """A file without texts is a failure that names the file."""
    (tmp_path / "empty.txt").write_text("\n\n")
    refused(run(data="empty.txt"), 1, "empty.txt")


@pytest.mark.parametrize(
    "changed, says",
    [
        ({"data": "missing.txt"}, "There is no file 'missing.txt' for --data"),
        ({"data": "texts.doc"}, "'texts.doc' is no data"),
        ({"data": None, "set": "core.texts=no.txt"}, "There is no file 'no.txt' for core.texts"),
        ({"data": None, "set": "core.tokens=no.npy"}, "There is no file 'no.npy' for core.tokens"),
        ({"device": "cuda"}, "There is no device 'cuda' here; there is cpu"),
    ],
)
def test_what_is_not_there_exits_with_2(
    changed: dict[str, Any],
    says: str,
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing file or device ends the run before any model is loaded."""
    (tmp_path / "texts.doc").write_text("x")
    monkeypatch.setattr(transformer, "load_model", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    refused(run(**changed), 2, says)
    assert not read_results("results")


def test_texts_longer_than_the_context(run: Callable[..., Result], tmp_path: Path) -> None:
    """A text that does not fit is named, with the ways to treat it; none is cut unasked."""
    texts_file(tmp_path, [*TEXTS, " ".join(["w1"] * 40)])
    done = run()
    refused(done, 1, str(tiny_models.CONTEXT), "`context`", "--set core.overflow=pack")
    assert "12" in done.stdout


def test_activations_that_are_not_finite(run: Callable[..., Result], tmp_path: Path) -> None:
    """NaN in stored activations is refused, and the row named."""
    vectors = np.ones((5, 16), np.float32)
    vectors[3, 1] = np.nan
    np.save(tmp_path / "x.npy", vectors)
    refused(run(data="x.npy", model=None), 1, "row 3")


REGISTRIES = {
    "an unknown field": ("- {id: my/a, source: 'file://sae', modle: x}", 2, "'modle'. Did you me"),
    "an id twice": ("- {id: my/a, source: 'file://sae'}\n" * 2, 2, "'my/a' is listed twice"),
    "an id of saeval's own": (
        "- {id: saebench/pythia-160m/4k/topk-0, source: 'file://sae'}",
        2,
        "is listed in",
    ),
    "no YAML": ("- {id: my/a, source: [}", 2, "registry.yaml:2 is not YAML: "),
    "a wrong hash": (
        f"- {{id: my/a, source: 'file://sae', sha256: '{'0' * 64}'}}",
        1,
        f"has another content than expected: sha256 [0-9a-f]{{64}}, not {'0' * 64}",
    ),
    "a source above its folder": ("- {id: my/a, source: 'file://../sae'}", 1, "outside of"),
    "an absolute source": ("- {id: my/a, source: 'file:///etc'}", 1, "outside of"),
    "a link that leaves its folder": ("- {id: my/a, source: 'file://linked'}", 1, "outside of"),
    "nothing there": ("- {id: my/a, source: 'file://none'}", 1, "there is no '.*none'"),
    "no such SAE in the lab": (
        "- {id: my/a, source: 'lab://world/modle'}",
        1,
        "The lab has no 'world/modle'. Did you mean 'world/model'",
    ),
    "an unknown loader": ("- {id: my/a, source: 'file://sae', loader: sealens}", 2, "'sae_lens'"),
    "two formats": (
        "- {id: my/a, source: 'file://two'}",
        1,
        "can be read as sae_lens or as saeval",
    ),
}


@pytest.mark.parametrize("lines, code, says", REGISTRIES.values(), ids=REGISTRIES)
def test_registries_that_are_off(
    lines: str, code: int, says: str, run: Callable[..., Result], tmp_path: Path
) -> None:
    """A faulty registry file ends the run; an entry whose source is off is a failed result."""
    (tmp_path / "linked").symlink_to("/etc")
    two = sae_folder(tmp_path / "two")
    (two / "cfg.json").write_text("{}")
    shutil.copy(two / "saeval.safetensors", two / "sae_weights.safetensors")
    (tmp_path / "registry.yaml").write_text(f"saes:\n{lines}\n")
    done = run(sae="my/a")
    refused(done, code)
    assert re.search(says, done.output), done.output


def test_a_full_disk(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that the disk cannot hold is an error that says so, and leaves no part of it."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "_to_disk", full)
    refused(run(), 1, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.glob("results/*/*/result.json"))


def test_a_folder_that_cannot_be_written(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that could not be kept are not computed: no model is loaded, no SAE read."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(transformer, "load_model", None)
    refused(run(**{"output-path": "file/results"}), 1, "'file/results'", "--output-path")


def test_one_bad_sae_among_good_ones(run: Callable[..., Result], tmp_path: Path) -> None:
    """The good one is scored and shown, the bad one is a line below the table."""
    sae_folder(tmp_path / "wide", width=24)
    (tmp_path / "run.yaml").write_text("saes: [./sae, ./wide]\n")
    done = run(config="run.yaml", sae=None)
    refused(done, 1, "failed: core of wide: ", "d_in 24")
    assert "fvu" in done.stdout
    assert [result.status for result in read_results("results")].count("scored") == 1
