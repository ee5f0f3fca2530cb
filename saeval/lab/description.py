"""What the lab is and how well it is trained, from its manifest, on one screen. No torch."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from saeval.lab.worlds import WORLDS, WorldSpec, find_spec
from saeval.registry.lab_manifest import ManifestRow, read_rows

LICENCE = "Apache-2.0"
ABOUT = {
    "synthetic": "Activations drawn from known dictionaries: every feature, and when it is active, "
    "is known.",
}
"""What parts without a model are."""
ROWS_SHOWN = 6
"""Rows of a part's table of figures; of a longer one that has a row `all`, that is shown."""
_VARIANT = re.compile(r"-(s|at-)\d+$")
"""How names of further seeds and of checkpoints end."""

Record = dict[str, Any]


def part_names() -> list[str]:
    """The lab's parts, `world`, `othello` and so on, and its synthetic worlds."""
    parts = {name.partition("/")[0] for name in read_rows()}
    return [*sorted(parts), *(f"synthetic/{name}" for name in WORLDS)]


def world_spec_of(part: str) -> WorldSpec | None:
    """The synthetic world that a part is: `base` of `synthetic/base`; None for all others."""
    where, _, name = part.removeprefix("lab://").partition("/")
    return find_spec(name) if where == "synthetic" else None


def part_record(part: str) -> Record | None:
    """What a part of the lab is: its model with its figures at the SAEs' site, and its SAEs.

    Args:
        part: `world`, `othello`, a world such as `synthetic/dense`, or a name below which there
            are several.

    Returns:
        None if the lab has no such part.
    """
    rows = [row for name, row in read_rows().items() if name.startswith(f"{part}/")]
    spec = world_spec_of(part)
    if not rows and spec is None:
        return None
    model = next((row for row in rows if row.name == f"{part}/model"), None)
    saes = [row for row in rows if row is not model]
    return {
        "lab": f"lab/{part}",
        "what": model.about if model else ABOUT.get(part.partition("/")[0]),
        "licence": LICENCE,
        **(_world(spec) if spec else {}),
        **({"worlds": _worlds()} if part == "synthetic" else {}),
        **(_model_figures(model) if model else {}),
        **(_sae_figures(saes) if saes else {}),
    }


def row_record(name: str) -> Record:
    """All that the manifest says of one model or SAE; empty if it has no such row."""
    row = read_rows().get(name)
    if row is None:
        return {}
    return {
        "about": row.about,
        "licence": LICENCE,
        "size": _size(row.size),
        "sha256": row.sha256,
        "recipe": dict(row.recipe),
        **_laid_out(rounded(row.figures)),
    }


def rounded(value: Any) -> Any:
    """Figures to four digits, however nested."""
    if isinstance(value, Mapping):
        return {name: rounded(item) for name, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def at_site(value: Any, site: str) -> Any:
    """What figures say of one site: of a mapping by site only that site's part, however nested."""
    if not isinstance(value, Mapping):
        return value
    if site in value:
        return at_site(value[site], site)
    here = {
        name.removeprefix(f"{site}/"): item
        for name, item in value.items()
        if name.startswith(f"{site}/")
    }
    return {name: at_site(item, site) for name, item in (here or value).items()}


def _worlds() -> list[Record]:
    """The named worlds, one a row."""
    return [{"id": f"lab/synthetic/{one.name}", "about": one.about} for one in WORLDS.values()]


def _world(spec: WorldSpec) -> Record:
    """What is hard about a synthetic world, and all of its parameters."""
    parameters = asdict(spec)
    about = parameters.pop("about")
    return {
        "model": f"lab://synthetic/{parameters.pop('name')}",
        "about": about,
        "world": parameters,
    }


def _model_figures(row: ManifestRow) -> Record:
    site = row.figures.get("site")
    figures = {key: item for key, item in rounded(row.figures).items() if key != "site"}
    if site is not None:
        figures = at_site(figures, site)
    figures = {key: _sum(item) for key, item in figures.items()}
    return {
        "model": f"lab://{row.name}, {_size(row.size)}, sha256 {row.sha256}",
        "site": site,
        **_laid_out(figures),
        "in full": f"`saeval describe lab/{row.name}` has the figures of all sites and parts",
    }


def _sum(value: Any) -> Any:
    """Of a long table that has a row of sums, that row; of a column of sums, that column."""
    if not _is_nested(value):
        return value
    if len(value) > ROWS_SHOWN and "all" in value:
        return value["all"]
    if all(isinstance(item, Mapping) and "all" in item for item in value.values()):
        return {name: item["all"] for name, item in value.items()}
    return value


def _laid_out(figures: Mapping[str, Any]) -> Record:
    """Plain figures on one line, each other mapping by itself, one of mappings as a table."""
    plain = {key: value for key, value in figures.items() if not isinstance(value, Mapping)}
    others = {key: value for key, value in figures.items() if isinstance(value, Mapping)}
    tables = {
        key: [{"of": name, **_flat(item)} for name, item in value.items()]
        if _is_nested(value)
        else value
        for key, value in others.items()
    }
    return {"figures": plain, **tables}


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values())


def _flat(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"value": value}


def _sae_figures(rows: Sequence[ManifestRow]) -> Record:
    """The SAEs by what most of them have figures of; further seeds and checkpoints are counted."""
    shown = sorted((row for row in rows if not _VARIANT.search(row.name)), key=_order)
    counts = Counter(key for row in shown for key in row.figures)
    names = [key for key, count in counts.items() if 2 * count > len(shown)]
    size, more = _size(sum(row.size for row in rows)), _variants(rows)
    return {
        "SAEs": [
            {"id": f"lab/{row.name}", **{name: rounded(row.figures.get(name)) for name in names}}
            for row in shown
        ],
        "in all": f"{size}, with {more}" if more else size,
    }


def _variants(rows: Sequence[ManifestRow]) -> str:
    """How many are of further seeds, and how many are checkpoints; empty if none is either."""
    counts = Counter(match[1] for row in rows if (match := _VARIANT.search(row.name)))
    kinds = [kind for key, kind in (("s", "other seeds"), ("at-", "checkpoints")) if counts[key]]
    number = counts.total()
    saes = "SAE" if number == 1 else "SAEs"
    return f"{number} {saes} of {' and '.join(kinds)}" if number else ""


def _order(row: ManifestRow) -> tuple[Any, ...]:
    """By place, then sparsity, then name; what says no L0 comes last."""
    place, _, name = row.name.rpartition("/")
    sparsity = re.search(r"-(\d+)$", name)
    return place, sparsity is None, int(sparsity[1]) if sparsity else 0, name


def _size(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
