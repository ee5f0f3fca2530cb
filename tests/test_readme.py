"""The README's tree names what is there: every module and task, and nothing else."""

import re
import tomllib
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
_LINE = re.compile(r"^ {4}(?P<inner>  )?(?P<name>\S+)( +\S.*)?$")


def _tree() -> set[str]:
    """Paths that the README's tree names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.partition("## Tree\n\n")[2].partition("\n\n")[0].splitlines()
    named: set[str] = set()
    folder = ""
    for line in lines:
        match = _LINE.match(line)
        assert match, line
        folder = folder if match["inner"] else ""
        named.add(folder + match["name"])
        if not match["inner"] and match["name"].endswith("/"):
            folder = match["name"]
    return named


def test_tree_names_what_is_there() -> None:
    """Each path in the tree exists."""
    tree = _tree()
    assert "saeval/errors.py" in tree
    assert not [name for name in tree if not (ROOT / name).exists()]


def test_tree_is_whole() -> None:
    """Each module and package of saeval, and each task, has its line."""
    tree = _tree()
    for folder in ("saeval", "tasks"):
        for path in (ROOT / folder).iterdir():
            package = (path / "__init__.py").exists()
            if (package or path.suffix == ".py") and not path.name.startswith("_"):
                assert f"{folder}/{path.name}{'/' if package else ''}" in tree


def test_every_format_that_is_read_is_named() -> None:
    """docs/format.md has a row for each loader, and the front page names who wrote its files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    loaders = set(project["project"]["entry-points"]["saeval.loaders"])
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    front = re.sub(r"[^a-z]", "", (ROOT / "README.md").read_text(encoding="utf-8").lower())
    for loader in loaders:
        assert loader == "saeval" or f"| `{loader}` |" in page, loader
        assert loader.replace("_", "") in front, loader


def test_the_excerpt_is_the_boards() -> None:
    """Every value and rank of the README's excerpt stands in the table of lab/world's board."""
    board = pd.read_csv(ROOT / "leaderboards/tables/lab-world.csv", keep_default_na=False)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, *lines = re.search(r"\| SAE \| L0 \|.*?\n\n", text, re.DOTALL)[0].split("\n")[:-2]  # type: ignore[index]
    metrics = [cell.split()[0] for cell in head.strip("| ").split(" | ")[2:]]
    for line in lines:
        name, l0, *cells = line.strip("| ").split(" | ")
        of_sae = board[board.sae == f"lab/world/{name.split()[0]}"].set_index("metric")
        assert name.partition(" ")[2].strip("()") in ("", of_sae.kind.iloc[0])
        assert l0 == f"{float(of_sae.l0.iloc[0]):.1f}"
        for metric, cell in zip(metrics, cells, strict=True):
            row = of_sae.loc[metric]
            ranks = dict.fromkeys(f"{float(r):.0f}" for r in (row.rank_best, row.rank_worst) if r)
            shown = " to ".join(ranks)
            assert cell == f"{float(row.value):.4f}" + (f", {shown}" if shown else ""), (
                name,
                metric,
            )
