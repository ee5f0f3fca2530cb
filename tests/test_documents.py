"""Every command of README and docs works as it is written, on small stand-ins for what it names."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import saeval
from saeval import lab
from saeval.cli.app import app
from saeval.results.results import Results
from saeval.results.score import Result
from saeval.sae import Origin
from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders.saeval_format import save

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")))
PROGRAMS = ("saeval", "make", "pip", "python", "git")

STAND_INS = {
    "EleutherAI/pythia-160m": "lab/world",
    "layers.8": "layers.1",
    "SAE": "lab/world/topk-16",
    "their_sae": "lab/world/relu-16",
    "METRIC": "fvu",
    "TASK": "core",
    "lab/world/*": "lab/world/topk-16-s?",
    "lab/synthetic/base/*": "lab/synthetic/base/topk-8-s?",
    "results/.../result.json": "given/result.json",
}
"""What the reader has, and what stands in for it here. `here` makes the files."""
ELSEWHERE = {
    "docs/tasks/synthetic.md": {"my_sae": "lab/synthetic/base/random"},
    "docs/leaderboards.md": {"lab/synthetic/base/*": "lab/synthetic/base/*[!0-9]"},
}
"""Other stand-ins in a document: an SAE of a synthetic world has another width, and a board is
built of nulls alone."""
NOT_RUN = {
    r"make .*": "it makes an environment and runs this very test; CI runs make, and "
    "tests/test_benchmarks.py the benchmarks",
    r"pip install 'saeval\[.*\]'": "it fetches from the network",
    r"pip install \.": "tests/test_packaging.py builds and installs the wheel",
    r"pip install \./docs/plugin": "tests/test_plugin_example.py installs it",
    r"saeval (describe|run) .*\bstrongest": "tests/test_plugin_example.py runs the installed task",
    r"pip install sae-probes .*": "it fetches from the network",
    r"python -m saeval\.lab (build|page)": "it writes into this checkout; tests/lab make the parts",
    r"python benchmarks/audit\.py .*": "it takes an hour; tests/test_audit.py runs its parts",
    r"python benchmarks/train\.py": "it trains on a million activations",
    r"saeval leaderboard serve": "it serves until Ctrl-C, as tests/cli/test_leaderboard.py does",
    r"saeval verify https://": "tests/leaderboard/test_verify.py does it with a server of its own",
    r"git (push|clone)": "it needs a server",
    r"saeval leaderboard build$": "it builds this checkout's boards; tests/cli/test_leaderboard.py",
    r"saeval (plan|validate)$": "a sentence names the command, without what it plans",
}
"""Commands that are not run, and why."""
SMALL = {
    "core": [],
    "synthetic": [],
    "absorption": ["--set", "absorption.documents=100"],
    "probing": ["--set", "probing.train_rows=60", "--set", "probing.documents=20"],
}
"""What is added to a run so that it is quick, beside --limit."""


@dataclass(frozen=True)
class Block:
    """Lines of a document that belong together."""

    place: str
    """File and line."""
    language: str
    """`python`, `shell`, `options` (of saeval run), or what a fence says."""
    text: str


def blocks(document: str) -> list[Block]:
    """All code of a document: fenced, indented, or a command within a sentence."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    prose: list[str] = []
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        if line.startswith("```"):
            number = lines.index("```", number + 1)
            text, language = "\n".join(lines[start + 1 : number]), line.strip("`") or "shell"
            found.append(Block(f"{document}:{start + 1}", language, text))
        elif line.startswith("    ") and not lines[start - 1].strip():
            while number + 1 < len(lines) and lines[number + 1].startswith("    "):
                number += 1
            text = "\n".join(one[4:] for one in lines[start : number + 1])
            found.append(Block(f"{document}:{start + 1}", _language(text), text))
        else:
            prose.append(line)
        number += 1
    told = re.findall(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`", "\n".join(prose))
    return [*found, *(Block(document, "shell", " ".join(one.split())) for one in told)]


def _language(text: str) -> str:
    if text.startswith(("import ", "from ")):
        return "python"
    if text.startswith("--"):
        return "options"
    return "shell" if text.split(maxsplit=1)[0] in PROGRAMS else "text"


def commands(block: Block) -> Iterator[str]:
    """Command lines of a block, without what is said of them; one for each of `a|b|c`."""
    if block.language == "options":
        for option in re.findall(r"--\S+ \S+|--\S+", block.text):
            alone = option.startswith("--config")
            yield f"saeval run {'' if alone else '--sae my_sae --tasks core '}{option}"
    if block.language not in ("shell", "sh", "bash", "console"):
        return
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.split(r" {2,}|\s# ", line)[0].strip()
        choices = re.search(r"\S+\|\S+", command)
        for choice in choices[0].split("|") if choices else [""]:
            yield command.replace(choices[0], choice) if choices else command


def reason(command: str) -> str | None:
    """Why a command is not run."""
    return next((why for one, why in NOT_RUN.items() if re.fullmatch(rf"{one}.*", command)), None)


def all_commands() -> list[str]:
    """Of all documents."""
    return [line for name in DOCUMENTS for block in blocks(name) for line in commands(block)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the files that documents speak of."""
    generator = torch.Generator().manual_seed(0)
    sae = random_topk(torch.zeros(128), 64, 8, seed=0)
    origin = Origin(loader="saeval", architecture="topk", model="lab/world", read_site="layers.1")
    folder = tmp_path / "reader"
    save(type(sae)(*(getattr(sae, n) for n in _FIELDS), origin=origin), folder / "my_sae")
    texts = list(lab.text("world", documents=120))
    labels = [f"label {number % 2}" for number in range(len(texts))]
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(folder / "FILE.parquet")
    pd.DataFrame({"text": texts[:20]}).to_json(folder / "texts.jsonl", orient="records", lines=True)
    np.save(folder / "rows.npy", torch.randint(5, 60, (8, 16), generator=generator).numpy())
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), str(ROOT / "docs/plugin"), *sys.path])
    return folder


_FIELDS = ("W_enc", "b_enc", "W_dec", "b_dec", "k", "subtract_b_dec", "transform")


def run_command(command: str, place: str) -> None:
    """Run a command line on stand-ins; it must exit with 0."""
    stand_ins = {**STAND_INS, **ELSEWHERE.get(place.partition(":")[0], {})}
    arguments = [stand_ins.get(word, word) for word in shlex.split(command)[1:]]
    if arguments[0] == "run" and "--help" not in arguments:
        chosen = arguments[arguments.index("--tasks") + 1] if "--tasks" in arguments else ""
        limit = [] if "--limit" in arguments else ["--limit", "20"]
        arguments += [*limit, *(more for task in chosen.split(",") for more in SMALL.get(task, []))]
    if arguments[0] == "train":
        shutil.rmtree(arguments[arguments.index("--out") + 1], ignore_errors=True)
        arguments += ["--tokens", "20000"]
    assert command.startswith("saeval "), f"{place}: say how `{command}` is run, or why not"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"{place}: {command}\n{done.output}\n{done.exception!r}"


def run_python(block: Block, here: Path) -> None:
    """Run code on stand-ins. If it begins with the name of a file, the reader writes it there."""
    code = block.text
    for name, stand_in in STAND_INS.items():
        code = code.replace(f'"{name}"', f'"{stand_in}"')
    file = re.match(r"# (\w+\.py)\n", code)
    path = here / (file[1] if file else "snippet.py")
    path.write_text(code, encoding="utf-8")
    names: dict[str, object] = {"__name__": path.stem}
    results: list[Result] = []
    evaluate = saeval.evaluate

    def collect(*args: Any, **options: Any) -> Results:
        rows = evaluate(*args, **options)
        results.extend(rows)
        return rows

    try:
        with pytest.MonkeyPatch.context() as patch:  # a failed score raises nothing
            patch.setattr(saeval, "evaluate", collect)
            exec(compile(code, str(path), "exec"), names)
        for name, test in list(names.items()):
            if name.startswith("test_") and callable(test):
                test()
    except Exception as error:
        raise AssertionError(f"{block.place} does not run: {error!r}") from error
    failed = [f"{result.task}: {result.reason}" for result in results if result.status == "failed"]
    assert not failed, f"{block.place} gives failed results: {failed}"


def quoted() -> str:
    """The example package, which docs/plugins.md quotes piece by piece."""
    parts = [*(ROOT / "docs/plugin").rglob("*.py"), ROOT / "docs/plugin/pyproject.toml"]
    return "\n".join(
        path.read_text(encoding="utf-8") for path in parts if "build" not in path.parts
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_works(document: str, here: Path) -> None:
    """Each command and each piece of Python of a document runs, from top to bottom."""
    package = quoted()
    for block in blocks(document):
        if block.language == "python" and block.text not in package:
            run_python(block, here)
        for command in commands(block):
            if reason(command) is None:
                _make_ready(command, here)
                run_command(command, block.place)


def _make_ready(command: str, here: Path) -> None:
    """A result to repeat or to verify, where a command does."""
    if command.startswith("saeval validate results") and not (here / "results").is_dir():
        run_command("saeval run --sae lab/world/random --tasks core", command)
    if "--repo saeval" in command and not (here / "saeval").is_dir():
        subprocess.run(["git", "init", "-q", str(here / "saeval")], check=True)
        for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
            subprocess.run(["git", "-C", str(here / "saeval"), "config", key, value], check=True)
        first = ["commit", "-q", "--allow-empty", "-m", "First"]
        subprocess.run(["git", "-C", str(here / "saeval"), *first], check=True)
    if "eval_results" in command and not (here / "eval_results").is_dir():
        (here / "eval_results").mkdir()
        about = {"sae_lens_id": "trainer_0", "sae_lens_release_id": "my_release"}
        about |= {"eval_type_id": "core", "eval_result_metrics": {"sparsity": {"l0": 32.0}}}
        (here / "eval_results/one.json").write_text(json.dumps(about))
    if "result.json" in command:
        found = next((here / "results").rglob("result.json"))
        (here / "given").mkdir(exist_ok=True)
        shutil.copy(found, here / "given")


def test_commands_are_found() -> None:
    """Fenced, indented, listed and told commands are all collected; `a|b` is two."""
    found = all_commands()
    for command in (
        "saeval run --sae my_sae --model EleutherAI/pythia-160m --tasks probing,absorption",
        "saeval run --sae my_sae --tasks core --compat saebench",
        "saeval ls sets",
        "saeval describe lab/world",
        "pip install sae-probes --no-deps zstandard",
    ):
        assert command in found
    assert {block.language for name in DOCUMENTS for block in blocks(name)} >= {"python", "options"}


def test_what_is_not_run_is_documented() -> None:
    """Each exception is one of a command that stands in a document."""
    found = all_commands()
    for pattern in NOT_RUN:
        assert any(re.fullmatch(rf"{pattern}.*", command) for command in found), pattern
