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
"""Descriptions of the parts that have no model."""
ROWS_SHOWN = 6
"""Most rows of a part's table of figures; a longer table that has a row `all` shows only that."""
_VARIANT = re.compile(r"-(s|at-)\d+$")
"""How the names of other seeds and of checkpoints end."""

Record = dict[str, Any]


def part_names() -> list[str]:
    """The lab's parts, `world`, `othello` and so on, and its synthetic worlds."""
    parts = {name.partition("/")[0] for name in read_rows()}
    return [*sorted(parts), *(f"synthetic/{name}" for name in WORLDS)]


def world_spec_of(part: str) -> WorldSpec | None:
    """The synthetic world that a part is: `base` of `synthetic/base`; None for all others."""
    kind, _, name = part.removeprefix("lab://").partition("/")
    return find_spec(name) if kind == "synthetic" else None


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
        **(_world_record(spec) if spec else {}),
        **({"worlds": _world_records()} if part == "synthetic" else {}),
        **(_model_figures(model) if model else {}),
        **(_sae_figures(saes) if saes else {}),
    }


def row_record(name: str) -> Record:
    """All that the manifest says of one model or SAE; empty for an unknown name."""
    row = read_rows().get(name)
    if row is None:
        return {}
    return {
        "about": row.about,
        "licence": LICENCE,
        "size": _size_text(row.size),
        "sha256": row.sha256,
        "recipe": dict(row.recipe),
        **_lay_out_figures(rounded(row.figures)),
    }


def rounded(value: Any) -> Any:
    """Figures rounded to four digits, however nested."""
    if isinstance(value, Mapping):
        return {name: rounded(item) for name, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def at_site(value: Any, site: str) -> Any:
    """Figures of one site: a mapping by site, however nested, is replaced by that site's item."""
    if not isinstance(value, Mapping):
        return value
    if site in value:
        return at_site(value[site], site)
    site_items = {
        name.removeprefix(f"{site}/"): item
        for name, item in value.items()
        if name.startswith(f"{site}/")
    }
    return {name: at_site(item, site) for name, item in (site_items or value).items()}


def _world_records() -> list[Record]:
    """The named worlds, one per row."""
    return [{"id": f"lab/synthetic/{spec.name}", "about": spec.about} for spec in WORLDS.values()]


def _world_record(spec: WorldSpec) -> Record:
    """A synthetic world's description and all of its parameters."""
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
    figures = {key: _totals(item) for key, item in figures.items()}
    return {
        "model": f"lab://{row.name}, {_size_text(row.size)}, sha256 {row.sha256}",
        "site": site,
        **_lay_out_figures(figures),
        "in full": f"`saeval describe lab/{row.name}` has the figures of all sites and parts",
    }


def _totals(value: Any) -> Any:
    """The totals of a table: its row `all` if it is long, or its column `all` if it has one."""
    if not _is_nested(value):
        return value
    if len(value) > ROWS_SHOWN and "all" in value:
        return value["all"]
    if all(isinstance(item, Mapping) and "all" in item for item in value.values()):
        return {name: item["all"] for name, item in value.items()}
    return value


def _lay_out_figures(figures: Mapping[str, Any]) -> Record:
    """Single figures on one line; each mapping by itself, a mapping of mappings as a table."""
    scalars = {key: value for key, value in figures.items() if not isinstance(value, Mapping)}
    mappings = {key: value for key, value in figures.items() if isinstance(value, Mapping)}
    tables = {
        key: [{"of": name, **_as_row(item)} for name, item in value.items()]
        if _is_nested(value)
        else value
        for key, value in mappings.items()
    }
    return {"figures": scalars, **tables}


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values())


def _as_row(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"value": value}


def _sae_figures(rows: Sequence[ManifestRow]) -> Record:
    """SAEs with the figures that most of them have; other seeds and checkpoints are counted."""
    main_rows = sorted((row for row in rows if not _VARIANT.search(row.name)), key=_sort_key)
    counts = Counter(key for row in main_rows for key in row.figures)
    names = [key for key, count in counts.items() if 2 * count > len(main_rows)]
    size, variants = _size_text(sum(row.size for row in rows)), _count_variants(rows)
    return {
        "SAEs": [
            {"id": f"lab/{row.name}", **{name: rounded(row.figures.get(name)) for name in names}}
            for row in main_rows
        ],
        "in all": f"{size}, with {variants}" if variants else size,
    }


def _count_variants(rows: Sequence[ManifestRow]) -> str:
    """How many SAEs are other seeds or checkpoints, in words; empty if there are none."""
    counts = Counter(match[1] for row in rows if (match := _VARIANT.search(row.name)))
    kinds = [kind for key, kind in (("s", "other seeds"), ("at-", "checkpoints")) if counts[key]]
    number = counts.total()
    saes = "SAE" if number == 1 else "SAEs"
    return f"{number} {saes} of {' and '.join(kinds)}" if number else ""


def _sort_key(row: ManifestRow) -> tuple[Any, ...]:
    """Sort by folder, then sparsity, then name; names without an L0 come last."""
    folder, _, name = row.name.rpartition("/")
    sparsity = re.search(r"-(\d+)$", name)
    return folder, sparsity is None, int(sparsity[1]) if sparsity else 0, name


def _size_text(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
