"""The command line: quick where nothing is computed, exit codes, tables and JSON."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tiny_runs
from click.testing import CliRunner, Result
from tiny_runs import sae_folder, texts_file

import saeval
from saeval.cli.app import app
from saeval.evidence import NULL_SAE
from saeval.results.score import COLUMNS

SLOW = {"torch", "pandas", "transformers", "numpy", "pyarrow", "huggingface_hub", "scipy"}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model."""
    return tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> Result:
    """What a command prints and answers."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def core(sae: Path, model: Path, *more: object) -> tuple[object, ...]:
    """Arguments of a small run of core."""
    context = f"core.context={tiny_models.CONTEXT}"
    texts = texts_file(Path())
    return (
        *("run", "--sae", sae, "--model", model, "--tasks", "core", "--data", texts),
        *("--set", context, *more),
    )


_THEN_TELL = """
import sys
from saeval.cli.app import main
try:
    main()
finally:
    print("loaded", *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "run --help",
        *(
            f"ls {kind}"
            for kind in ("saes", "saes lab", "sets", "tasks", "loaders", "models", "results")
        ),
        *(f"describe {name}" for name in ("core", "sae_lens", "openai-community/gpt2")),
        "describe saebench",
        "describe ce_loss_score",
        "describe lab/world",
        "describe .",
    ],
)
def test_quick_commands_import_nothing_slow(arguments: str) -> None:
    """Help, lists and descriptions answer without torch, pandas and their kind."""
    command = [sys.executable, "-c", _THEN_TELL, *arguments.split()]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stderr.rpartition("loaded ")[2].split()
    assert "saeval.cli.app" in loaded
    assert not SLOW.intersection(loaded)
    assert done.stdout.strip()


_CPU_SECONDS = """
import contextlib, resource, sys
from saeval.cli.app import main
if len(sys.argv) > 1:
    with contextlib.suppress(SystemExit):
        main()
else:
    import click, yaml
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def _cpu_seconds(*arguments: str) -> float:
    """The least that any of three calls took; without arguments, that imports alone took."""
    command = [sys.executable, "-c", _CPU_SECONDS, *arguments]
    calls = [subprocess.run(command, check=True, capture_output=True) for _ in range(3)]
    return min(float(call.stderr.split()[-1]) for call in calls)


@pytest.mark.parametrize(
    "arguments",
    ["--help", "ls saes", "ls models", "describe core", "describe fvu", "describe lab/world"],
)
def test_quick_commands_answer_at_once(arguments: str) -> None:
    """By CPU time, 14,000 registry entries read; by a multiple of imports on a busy machine."""
    assert _cpu_seconds(*arguments.split()) < max(0.4, 7 * _cpu_seconds())


def test_a_run_prints_a_table_that_explains_itself(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, value, interval, unit, n, floor and ceiling; where results are; exit code 0."""
    monkeypatch.setenv("COLUMNS", "120")
    done = call(*core(sae_folder(tmp_path / "a"), gpt2))
    assert done.exit_code == 0, done.output
    head = next(line for line in done.stdout.splitlines() if line.startswith("metric"))
    assert head.split("  ")[0] == "metric"
    assert all(name in head for name in ("value", "95 % interval", "n", "floor", "ceiling"))
    (fvu,) = [line for line in done.stdout.splitlines() if line.startswith("fvu ")]
    assert "↓" in fvu
    assert f" {len(tiny_runs.TEXTS)} " in fvu
    assert "documents" in done.stdout
    assert "fraction" in done.stdout
    assert "Results in results: 1 computed, 0 found." in done.stdout
    assert "core v3" in done.stdout


def test_a_run_shows_what_is_asked_for(gpt2: Path, tmp_path: Path) -> None:
    """--columns and --parts choose what the tables hold, at any width, from the same results."""
    arguments = core(sae_folder(tmp_path / "a"), gpt2)
    plain = call(*arguments, "--quiet")
    assert "Not shown (--columns all, --parts, --json): " in plain.stdout
    assert "\nmse" not in plain.stdout
    some = call(*arguments, "--columns", "mse,density*", "--parts")
    assert ("\nmse" in some.stdout, "\nfvu" in some.stdout, "dead" in some.stdout) == (1, 0, 1)
    everything = call(*arguments, "--columns", "all", "--parts")
    assert "Not shown" not in everything.stdout
    for done in (plain, some, everything):
        assert done.exit_code == 0, done.output
        assert max(map(len, done.stdout.splitlines())) <= 80
    wrong = call(*arguments, "--columns", "fvi")
    assert wrong.exit_code == 2
    assert "There is no metric 'fvi'" in wrong.stderr
    assert "Did you mean 'fvu'" in wrong.stderr


def test_training_seeds_have_rows_of_their_own(tmp_path: Path) -> None:
    """A set of kind seeds gets mean and SD over its members; another kind of set does not."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    for seed in range(3):
        sae_folder(tmp_path / f"s{seed}", seed)
    entries = "".join(f"  - {{id: my/s{i}, source: 'file://s{i}'}}\n" for i in range(3))
    registry = "saes:\n{}sets:\n  my/set: {{kind: {}, members: [my/s0, my/s1, my/s2]}}\n"
    seen = {}
    for kind in ("seeds", "members"):
        (tmp_path / "registry.yaml").write_text(registry.format(entries, kind))
        done = call("run", "--sae", "my/set", "--tasks", "core", "--data", "x.npy")
        assert done.exit_code == 0, done.output
        seen[kind] = done.stdout
    assert "mean of 3 seeds" in seen["seeds"]
    assert "over the 3 training seeds of my/set" in " ".join(seen["seeds"].split())
    assert "mean of" not in seen["members"]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(
    "command",
    [
        *(f"ls {kind}" for kind in ("saes", "saes lab", "sets", "tasks", "loaders", "models")),
        *(f"describe {name}" for name in ("core", "lab/world", "lab/world/topk-16", "saebench")),
    ],
)
def test_lists_fit_the_terminal(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of a list or a description is wider than the terminal; ids stay whole."""
    monkeypatch.setenv("COLUMNS", str(width))
    done = call(*command.split())
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= width
    if command == "ls saes lab" and width > 40:
        listed = call(*command.split(), "--json").stdout.splitlines()
        ids = [json.loads(line)["id"] for line in listed]
        assert {line.split()[0] for line in done.stdout.splitlines()} >= set(ids)


def test_the_version_says_where_it_is() -> None:
    """--version names version and folder, and loads nothing slow."""
    command = [sys.executable, "-c", _THEN_TELL, "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"saeval {saeval.__version__} ({Path(saeval.__file__).parent})\n"
    assert not SLOW.intersection(done.stderr.rpartition("loaded ")[2].split())


def test_json_is_one_score_a_line(gpt2: Path, tmp_path: Path) -> None:
    """--json prints the columns in order and nothing else on stdout; a rerun prints the same."""
    arguments = core(sae_folder(tmp_path / "a"), gpt2, "--json")
    first, again = call(*arguments), call(*arguments)
    rows = [json.loads(line) for line in first.stdout.splitlines()]
    assert len(rows) > 10
    assert all(tuple(row) == (*COLUMNS, "anchored") for row in rows)
    assert first.stdout == again.stdout


def test_underscores_and_the_alias_seed(gpt2: Path, tmp_path: Path) -> None:
    """--batch_size, --output_path and --seed mean what their hyphened forms do."""
    arguments = core(sae_folder(tmp_path / "a"), gpt2)
    more = ("--batch_size", 2, "--output_path", "else", "--seed", "0,1", "--json")
    done = call(*arguments, *more)
    assert done.exit_code == 0, done.output
    assert {json.loads(line)["seed"] for line in done.stdout.splitlines()} == {0, 1}
    assert len(list(tmp_path.glob("else/*/core-*/result.json"))) == 2


def test_a_file_and_a_result_as_configuration(gpt2: Path, tmp_path: Path) -> None:
    """--config takes a YAML file, and the result file it led to, which finds that result.

    The result file names no absolute path: a model that lay elsewhere is given again.
    """
    texts = texts_file(tmp_path)
    (tmp_path / "run.yaml").write_text(
        f"saes: ['{sae_folder(tmp_path / 'a')}']\nmodel: {gpt2}\ndata: {texts}\n"
        f"tasks:\n  core: {{context: {tiny_models.CONTEXT}, ce_rows: 128}}\n"
    )
    first = call("run", "--config", "run.yaml", "--json")
    assert first.exit_code == 0, first.output
    (result,) = tmp_path.glob("results/*/*/result.json")
    refused = call("run", "--config", result, "--json")
    assert refused.exit_code == 2
    assert "The model of that run lay outside its working folder" in refused.stderr
    again = call("run", "--config", result, "--model", gpt2, "--json")
    assert again.stdout == first.stdout
    other = call("run", "--config", "run.yaml", "--set", "core.limit=5", "--json")
    assert json.loads(other.stdout.splitlines()[0])["n"] == 5


def test_lists_and_descriptions(gpt2: Path, tmp_path: Path) -> None:
    """Lists and descriptions come in tables and in JSON, one object a line."""
    assert call(*core(sae_folder(tmp_path / "a"), gpt2)).exit_code == 0
    (row,) = [json.loads(line) for line in call("ls", "results", "--json").stdout.splitlines()]
    assert (row["sae"], row["task"], row["status"]) == ("a", "core", "scored")
    assert row["result_id"] in call("ls", "results").stdout
    assert "core" in call("ls", "tasks").stdout
    listed = [json.loads(line)["id"] for line in call("ls", "saes", "--json").stdout.splitlines()]
    some = call("ls", "saes", "saebench/*/topk-0", "--json").stdout.splitlines()
    assert 0 < len(some) < len(listed)
    short = call("ls", "saes").stdout
    assert len(short.splitlines()) < len(listed) / 10
    assert "gemma-scope-2b-pt-transcoders" in short
    about = json.loads(call("describe", listed[0], "--json").stdout)
    assert about["SAE"] == listed[0]
    assert "ce_rows" in call("describe", "core").stdout
    assert "W_dec" in call("describe", tmp_path / "a").stdout


@pytest.mark.parametrize(
    "name, function",
    [
        ("ce_loss_score", "loss.py:harm_avoided"),
        ("best_latent_f1_untuned", "f1.py:untuned"),
        ("mean_absorption_fraction", "projections.py:absorption_fraction"),
        ("auc_top_4", "scoring.py:auc_components"),
        ("saebench_sae_top_5_test_accuracy", "scoring.py:is_right"),
    ],
)
def test_describe_gives_the_formula_of_a_metric(name: str, function: str) -> None:
    """Formula in words, unit, direction, task, warning, and where the code stands; 80 columns."""
    text = call("describe", name).stdout
    assert f"metric: {name}" in text
    assert function in text
    for key in ("task:", "unit:", "better:", "formula:", "do_not_trust_it:", "declared_in:"):
        assert key in text, key
    assert len(json.loads(call("describe", name, "--json").stdout)["formula"].split()) > 5


def test_describe_lists_the_metrics_of_a_task() -> None:
    """Each with unit, direction, anchors and formula; a glob lists those that fit."""
    text = call("describe", "core").stdout
    words = " ".join(text.split())
    assert "fraction, lower is better, floor: a random SAE, ceiling 0" in words
    assert words.count(NULL_SAE) == 1
    listed = json.loads(call("describe", "core", "--json").stdout)["metrics"]
    assert {"fvu", "ce_loss_score", "saebench_l0"} < {metric["name"] for metric in listed}
    rows = [
        json.loads(line)
        for line in call("describe", "saebench_*", "--json").stdout.split("\n")[:-1]
    ]
    assert [row["task"] for row in rows] == ["absorption", "core", "probing"]
    assert all(m["name"].startswith("saebench_") for row in rows for m in row["metrics"])


def test_describe_offers_the_nearest_metric() -> None:
    """A metric that is mistyped is met with the nearest names."""
    assert "'ce_loss_score'" in call("describe", "ce_los_score").stderr
    assert "'auc_top_1'" in call("describe", "auc_topp_1").stderr


def test_describe_knows_aliases_and_refuses_nothing() -> None:
    """A model is described under its TransformerLens name too; an empty name is wrong usage."""
    assert json.loads(call("describe", "gpt2", "--json").stdout)["model"] == "openai-community/gpt2"
    assert "'gpt2-small'" in call("describe", "gpt2-smal").stderr
    nothing = call("describe", "")
    assert (nothing.exit_code, nothing.stderr.count("Nothing to describe")) == (2, 1)


def test_validate_answers_in_json_whatever_happens(tmp_path: Path) -> None:
    """What cannot be loaded is one JSON object on stdout, and an error on stderr."""
    (tmp_path / "bad").mkdir()
    done = call("validate", "./bad", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["source"] == "./bad"
    assert answer["error"] in done.stderr


def test_validate(gpt2: Path, tmp_path: Path) -> None:
    """Validation says what an SAE is, checks it against a model, and checks registry files."""
    folder = sae_folder(tmp_path / "a")
    alone = call("validate", folder)
    assert alone.exit_code == 0, alone.output
    assert "architecture: topk" in alone.stdout
    assert "Give --model" in alone.stdout
    with_model = call("validate", folder, "--model", gpt2)
    assert with_model.exit_code == 0, with_model.output
    assert "width" in with_model.stdout
    assert "scale" in with_model.stdout
    wide = sae_folder(tmp_path / "b", width=8)
    refused = call("validate", wide, "--model", gpt2, "--json")
    assert refused.exit_code == 1
    checks = json.loads(refused.stdout)["preflight"]
    assert [check["status"] for check in checks if check["name"] == "width"] == ["error"]
    registry = tmp_path / "own.yaml"
    registry.write_text("saes:\n  - {id: mine/a, source: 'file://a'}\n")
    assert "saes: 1" in call("validate", registry).stdout
    registry.write_text("saes:\n  - {id: mine/a, sorce: 'file://a'}\n")
    broken = call("validate", registry)
    assert broken.exit_code == 2
    assert "unknown field 'sorce'" in broken.stderr


def test_warnings_are_given_once_and_on_stderr(gpt2: Path, tmp_path: Path) -> None:
    """A mismatch that may be legitimate is one line on stderr, recorded in the result."""
    folder = sae_folder(tmp_path / "a", model="EleutherAI/pythia-70m")
    arguments = core(folder, gpt2, "--seeds", "0,1")
    done = call(*arguments)
    line = "warning: The SAE names the model 'EleutherAI/pythia-70m'"
    assert done.exit_code == 0
    assert done.stderr.count(line) == 1
    assert line not in done.stdout
    (record, _) = [json.loads(p.read_text()) for p in tmp_path.glob("results/*/*/result.json")]
    assert any("pythia-70m" in text for text in record["provenance"]["warnings"])
    assert call(*arguments).stderr.count(line) == 1


def test_a_reader_that_stops_early_is_no_error() -> None:
    """`saeval ls saes | head -1` ends quietly."""
    command = f"{sys.executable} -c 'from saeval.cli.app import main; main()' ls saes | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("id")
    assert not done.stderr


def test_progress_is_drawn_on_a_terminal_only(gpt2: Path, tmp_path: Path) -> None:
    """On a terminal a line tells what goes on, whatever the name's length, and is taken away.

    Elsewhere each result has a line on stderr, and --quiet has none.
    """
    long = tmp_path / ("a" * 60) / ("b" * 60)
    arguments = list(map(str, core(sae_folder(long), gpt2)))
    primary, secondary = os.openpty()
    command = [sys.executable, "-c", "from saeval.cli.app import main; main()", *arguments]
    with subprocess.Popen(command, stderr=secondary, stdout=subprocess.PIPE) as process:
        os.close(secondary)
        seen = b""
        # Linux answers with an error once the other end is closed, other systems with nothing.
        with contextlib.suppress(OSError):
            while more := os.read(primary, 4096):
                seen += more
        os.close(primary)
    assert process.returncode == 0
    assert b"loading the model" in seen
    assert b"[0/1] scoring core of " in seen
    assert seen.rstrip(b" ").endswith(b"\r")
    again = call(*arguments, "--force")
    finished = rf"1 of 1 results after \d+ s: finished core of {long.name}"
    assert re.search(finished, again.stderr)
    assert "finished core" not in again.stdout
    assert "1 of 1 results" not in call(*arguments, "--force", "--quiet").stderr


def test_parity_command(parity_dir: Path) -> None:
    """The command that the documentation shows works on a real model and SAE."""
    done = call(
        *("run", "--sae", parity_dir / "saes" / "sae_lens" / "topk"),
        *("--model", parity_dir / "model", "--tasks", "core"),
        *("--set", f"core.tokens={parity_dir / 'core_tokens.npy'}", "--limit", 24),
    )
    assert done.exit_code == 0, done.output
    (fvu,) = [line for line in done.stdout.splitlines() if line.startswith("fvu ")]
    assert 0.05 < float(fvu.split()[2]) < 0.2
    assert " 24 " in fvu
    assert done.stderr.count("warning: ") == 1


_SLOW_TASK = """
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from saeval.evidence import Evidence, units
from saeval.task import Prepared


@dataclass(frozen=True)
class Task:
    name: ClassVar[str] = "slow"
    version: ClassVar[int] = 1

    def prepare(self, source, seed):
        return Prepared()

    def score(self, sae, prepared, source, seed):
        Path(f"scored-{float(sae.W_dec[0, 0]):.4f}").touch()
        if Path("wait").exists() and len(list(Path().glob("scored-*"))) == 2:
            Path("waiting").touch()
            time.sleep(60)
        table = units("runs", "run", {"one": np.ones(3)})
        yield Evidence("fine", table, {"num": "one"}, "count", "none")
"""


def test_ctrl_c_keeps_finished_results(tmp_path: Path) -> None:
    """SIGINT at the second of two SAEs: exit 130, the first is kept, a rerun does the second."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 16)).astype(np.float32))
    saes = [sae_folder(tmp_path / name, seed) for seed, name in enumerate("ab")]
    tiny_runs.plugin(tmp_path, "slow", _SLOW_TASK)
    (tmp_path / "wait").touch()
    # A shell may start tests with SIGINT ignored; the handler is set as for a foreground command.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from saeval.cli.app import main; main()"
    )
    options = ["run", "--sae", saes[0], "--sae", saes[1], "--tasks", "slow", "--data", "x.npy"]
    command = [sys.executable, "-c", script, *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        _wait_for(tmp_path / "waiting", process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted. What was finished is kept in results" in said
    assert "Traceback" not in said
    assert len(list(tmp_path.glob("results/*/slow-*/result.json"))) == 1
    (tmp_path / "wait").unlink()
    again = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert "1 computed, 1 found" in again.stdout


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    """SIGINT during the first imports, before main is called: exit 130, and not a word."""
    (tmp_path / "click.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from saeval.cli.app import main; main()"
    )
    command = [sys.executable, "-c", script, "ls", "saes"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_failure_is_said_once(tmp_path: Path) -> None:
    """The table says what failed; with --json, stderr does, since stdout holds rows alone."""
    np.save(tmp_path / "x.npy", np.ones((9, 24), np.float32))
    arguments = ("run", "--sae", sae_folder(tmp_path / "a"), "--tasks", "core", "--data", "x.npy")
    done = call(*arguments)
    assert done.exit_code == 1
    assert (done.stdout.count("failed: "), done.stderr.count("error: ")) == (1, 0)
    done = call(*arguments, "--json")
    assert done.exit_code == 1
    assert done.stderr.count("error: ") == 1
    assert all(json.loads(line) for line in done.stdout.splitlines())


def _wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")
