"""`saeval compare` and `saeval export` on SAEs of the lab, from the command line to the files."""

import json
import re
import shlex
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import saeval
from saeval.cli.app import app
from saeval.results.comparison.row import COLUMNS
from saeval.results.plots.files import png_hindrance

BASE = "lab/synthetic/base"
TOPK, RELU, NULL = f"{BASE}/topk-8", f"{BASE}/relu-8", f"{BASE}/random"


def call(*arguments: object) -> Result:
    """What a command prints and answers."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a few SAEs of the lab, with three training seeds and two sparsities of each."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAEVAL_CACHE", str(folder / "cache"))
        saes = [TOPK, RELU, NULL, f"{BASE}/topk-16", f"{BASE}/relu-16"]
        saes += [f"{BASE}/{name}-seeds" for name in ("topk", "relu")]
        saeval.evaluate(saes, ["core", "synthetic"], output_path=folder / "results", limit=60)
    return folder / "results"


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))


def compare(scored: Path, *arguments: object) -> Result:
    """A comparison that must succeed."""
    done = call("compare", *arguments, "--output-path", scored)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("width", [40, 80, 160])
def test_text_fits_the_terminal(scored: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, and the verdict and the claim stand there."""
    monkeypatch.setenv("COLUMNS", str(width))
    text = compare(scored, TOPK, NULL, "--columns", "mcc,f1").stdout
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    assert "better" in flat
    assert "these checkpoints only" in flat
    assert "(null)" in flat


def test_every_format_says_the_same(scored: Path, tmp_path: Path) -> None:
    """CSV, parquet and JSON have all columns and equal numbers; the others the same verdicts."""
    names = (TOPK, RELU, NULL, "--columns", "mcc,f1")
    compare(scored, *names, "--out", tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out/comparison.parquet")
    assert list(frame.columns) == [*COLUMNS, "l0_differs"]
    assert len(frame) == 6
    csv = pd.read_csv(tmp_path / "out/comparison.csv")
    lines = [json.loads(line) for line in compare(scored, *names, "--json").stdout.splitlines()]
    for other in (csv, pd.DataFrame(lines)):
        for name in ("difference", "ci_low", "p_holm", "n", "clusters"):
            assert other[name].tolist() == pytest.approx(frame[name].astype(float).tolist())
    for ending in ("md", "tex", "txt"):
        text = (tmp_path / f"out/comparison.{ending}").read_text()
        for verdict in ("better", "worse"):
            assert text.count(verdict) >= (frame.verdict == verdict).sum()
    tex = (tmp_path / "out/comparison.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{table}") == 3
    table = compare(scored, *names, "--format", "csv").stdout
    assert len(pd.read_csv(StringIO(table))) == 6


def test_python_says_what_the_command_says(scored: Path) -> None:
    """`load_results(...).compare(...)` has the same rows, and a table for a notebook."""
    results = saeval.load_results(scored)
    found = results.compare([TOPK, RELU], columns=["mcc", "f1"])
    told = compare(scored, TOPK, RELU, "--columns", "mcc,f1", "--json").stdout
    assert [row.record() for row in found.rows] == [
        {**json.loads(line), "seeds": json.loads(line)["seeds"]} for line in told.splitlines()
    ]
    assert "Holm" in str(found)
    assert "<table>" in found._repr_html_()
    assert repr(found) == "<Comparison: 2 sides, 2 differences>"
    one = results.compare(TOPK, RELU, "mcc")
    assert one.delta == pytest.approx(found.rows[0].difference)


def test_methods_and_matched_l0(scored: Path) -> None:
    """Three training seeds make a claim about methods; families are read at one L0."""
    text = " ".join(compare(scored, TOPK, RELU, "--sets", "--columns", "mcc").stdout.split())
    assert "Claim about methods" in text
    assert "3 and 3 training seeds" in text
    sets = compare(scored, f"{BASE}/topk-seeds", f"{BASE}/relu-seeds", "--columns", "mcc", "--json")
    assert json.loads(sets.stdout)["claim"] == "methods"
    far = compare(scored, TOPK, f"{BASE}/relu-16", "--columns", "mcc").stdout
    assert "--at-l0 auto" in " ".join(far.split())
    row = json.loads(
        compare(
            scored, TOPK, f"{BASE}/relu-16", "--columns", "mcc", "--at-l0", "auto", "--json"
        ).stdout
    )
    assert 8 <= row["at_l0"] <= 16
    assert row["claim"] == "checkpoints"
    beyond = call("compare", TOPK, RELU, "--at-l0", "200", "--output-path", scored)
    assert beyond.exit_code == 1
    assert "outside the span" in beyond.stderr


def test_what_is_missing_is_told_and_computed_only_when_asked() -> None:
    """The command that is told computes it, from the same data; --run does the same."""
    small = ("--limit", "40", "--quiet")
    assert call("run", "--sae", TOPK, "--tasks", "core", *small).exit_code == 0
    told = call("compare", TOPK, RELU)
    assert told.exit_code == 1
    command = shlex.split(told.stderr.strip().rsplit("or run: ", 1)[1])
    assert command[0] == "saeval"
    assert not list(Path("results").glob("*relu*"))
    done = call("compare", TOPK, NULL, "--run", "--quiet", "--json")
    assert done.exit_code == 0, done.output
    assert {json.loads(line)["n"] for line in done.stdout.splitlines()} - {None}
    assert call(*command[1:], "--quiet").exit_code == 0
    again = call("compare", TOPK, RELU, NULL, "--json")
    assert again.exit_code == 0
    assert "missing" not in again.stderr
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert len({row["n"] for row in rows if row["metric"] == "fvu"}) == 1


def test_from_nothing_with_run() -> None:
    """Two names of the registry, nothing scored: --run scores both on the tasks named."""
    arguments = ("compare", TOPK, RELU, "--tasks", "core", "--limit", "40")
    refused = call(*arguments)
    assert refused.exit_code == 1
    assert "add --run or run: saeval run" in refused.stderr
    assert call(*arguments, "--run", "--quiet").exit_code == 0


def test_folders_of_results_are_compared() -> None:
    """Two folders with one SAE each are a pair, also of SAEs of one name."""
    for name in ("first", "second"):
        done = call("run", "--sae", TOPK, "--tasks", "core", "--limit", "40", "--quiet",
                    "--output-path", name)  # fmt: skip
        assert done.exit_code == 0
    row = json.loads(call("compare", "first", "second", "--columns", "fvu", "--json").stdout)
    assert (row["first"], row["second"]) == (f"first: {TOPK}", f"second: {TOPK}")
    assert row["difference"] == 0
    assert row["verdict"] == "equal"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((TOPK,), "takes two sides"),
        ((TOPK, "nothing-like-it"), "no SAE or set"),
        ((TOPK, RELU, "--columns", "mc"), "There is no metric 'mc'"),
        ((TOPK, RELU, "--at-l0", "-3"), "is no L0"),
        ((TOPK, RELU, "--format", "parquet"), "name a file with --out"),
        ((TOPK, RELU, "--out", "x.doc"), "does not say its format"),
    ],
)
def test_wrong_usage_is_one_line(scored: Path, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, one line on stderr, nothing on stdout."""
    done = call("compare", *arguments, "--output-path", scored)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_export_writes_tables_and_plots(scored: Path) -> None:
    """All scores in three formats, what a run shows in three, and plots that ask for nothing."""
    done = call("export", scored, "--out", "exported", "--no-png")
    assert done.exit_code == 0, done.output
    results = saeval.load_results(scored)
    out = Path("exported")
    assert len(pd.read_parquet(out / "scores.parquet")) == len(results.scores)
    assert len(pd.read_csv(out / "scores.csv")) == len(results.scores)
    lines = (out / "scores.json").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [s.shown_row() for s in results.scores]
    assert "| " in (out / "tables.md").read_text()
    assert r"\toprule" in (out / "tables.tex").read_text()
    pages = sorted((out / "plots").glob("*.html"))
    assert "synthetic-mcc-against-l0.html" in [page.name for page in pages]
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r"\b(?:src|href)=", tag)]
        assert "default-src 'none'" in page.read_text(encoding="utf-8")


def test_png_is_drawn(scored: Path) -> None:
    """The plot of a comparison as PNG, in its own size at twice the resolution."""
    pytest.importorskip("kaleido")
    if hindrance := png_hindrance():
        pytest.skip(hindrance)
    compare(scored, TOPK, RELU, "--columns", "mcc", "--plots", "plots")
    head = Path("plots/differences.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20]) == 2 * 710


def test_without_a_browser_plots_are_html_alone(
    scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what is missing for PNG, and all else is written."""
    from choreographer.browsers.chromium import Chromium

    monkeypatch.setattr(Chromium, "find_browser", lambda **_: None)
    for arguments in (("compare", TOPK, RELU, "--plots", "p"), ("export", scored, "--out", "e")):
        done = call(*arguments, *(("--output-path", scored) if arguments[0] == "compare" else ()))
        assert done.exit_code == 0
        assert done.stderr.count("needs Chrome or Chromium") == 1
        folder = Path("p" if arguments[0] == "compare" else "e/plots")
        assert {path.suffix for path in folder.iterdir()} == {".html"}
