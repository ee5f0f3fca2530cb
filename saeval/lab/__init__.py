"""The embedded lab: trained models and SAEs with known truth, looked up by name without torch."""

from pathlib import Path
from typing import Any

from saeval.errors import UsageError
from saeval.fetch import lab_path
from saeval.lab.manifest import Row, read_rows

LICENCE = "Apache-2.0"


def names() -> tuple[str, ...]:
    """Names of all that was trained: `world/model` and so on."""
    return tuple(read_rows())


def path(name: str) -> Path:
    """Folder of one of them.

    Raises:
        FetchError: if there is none of that name.
    """
    return lab_path(name)


def describe(name: str) -> str:
    """What the manifest says of `name` and of all below it.

    Raises:
        UsageError: if it says nothing.
    """
    rows = [r for r in read_rows().values() if r.name == name or r.name.startswith(f"{name}/")]
    if not rows:
        known = sorted({part for r in names() for part in (r, r.split("/")[0])})
        raise UsageError(f"The lab has no '{name}'; it has {', '.join(known) or 'nothing yet'}.")
    return "\n\n".join(map(_described, rows))


def text(name: str = "world", *, documents: int = 1000, seed: int = 0) -> tuple[str, ...]:
    """Texts that the lab's model `name` reads and was not trained on, made on the spot.

    Args:
        name: "world", the only part of the lab that reads text.
        documents: How many; one has about 47 tokens.
        seed: Of the draw.

    Raises:
        UsageError: if that part of the lab reads no text.
    """
    if name != "world":
        raise UsageError(f"lab/{name} reads no text; only lab/world does.")
    from saeval.lab.world import World

    made = World().documents(documents, seed=seed, split="test")
    return tuple(made.text(i) for i in range(len(made)))


def _described(row: Row) -> str:
    """A row as lines of text."""
    head = f"lab/{row.name}: {row.about}"
    facts = {"licence": LICENCE, "size": f"{row.size / 1e6:.2f} MB", "sha256": row.sha256}
    lines = [f"  {key}: {value}" for key, value in facts.items()]
    return "\n".join([head, *lines, "  measured:", *_lines(row.figures, "    ")])


def _lines(value: Any, indent: str) -> list[str]:
    """Nested figures: what holds only numbers or words on one line, all else indented."""
    out = []
    for key, item in value.items():
        if not isinstance(item, dict):
            out.append(f"{indent}{key}: {_shown(item)}")
        elif any(isinstance(inner, dict) for inner in item.values()):
            out += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        else:
            inline = ", ".join(f"{name} {_shown(inner)}" for name, inner in item.items())
            out.append(f"{indent}{key}: {inline}")
    return out


def _shown(value: Any) -> str:
    """A figure to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
