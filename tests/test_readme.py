"""The README's tree names what is there: every module and task, and nothing else."""

import re
from pathlib import Path

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
