"""The lab's registry.yaml, written from the manifest: `python -m saeval.lab list`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.lab.description import LICENCE
from saeval.lab.zoo.members import MEMBERS, ORACLE, ZooMember, zoo_sets
from saeval.registry.lab_manifest import WEIGHTS, ManifestRow, read_rows

REGISTRY = Path(__file__).parent.parent / "registry.yaml"
HEADER = """\
# The lab's models, SAEs and sets. Written from manifest.json by `python -m saeval.lab list`.
"""
MODELS = ("world/model", "town/model", "othello/model")
DIGITS = 4
"""Digits of the expected figures."""


@dataclass(frozen=True)
class _Line:
    """One SAE in the file."""

    name: str
    ground: str
    method: str


def listing(rows: Mapping[str, ManifestRow]) -> str:
    """The text of registry.yaml for all that the manifest has."""
    lines = [HEADER, "models:"]
    lines += [f"  lab://{name}: {_model_entry(rows[name])}" for name in MODELS if name in rows]
    lines += ["", "saes:"]
    entries = [line for line in _all_lines() if line.name in rows]
    lines += [f"  - {_sae_entry(line, rows)}" for line in entries]
    lines += ["", "sets:"]
    for ground in dict.fromkeys(member.ground for member in MEMBERS):
        for zoo_set in zoo_sets([m for m in MEMBERS if m.ground == ground]):
            built = [name for name in zoo_set.members if name in rows]
            if len(built) > 1:
                members = [f"lab/{name}" for name in built]
                lines.append(
                    f"  lab/{zoo_set.name}: {_flow_mapping(kind=zoo_set.kind, members=members)}"
                )
    return "\n".join(lines) + "\n"


def write_listing(path: Path = REGISTRY) -> None:
    """Write registry.yaml anew."""
    path.write_text(listing(read_rows()), encoding="utf-8")


def _all_lines() -> list[_Line]:
    """All SAEs that the lab may have: oracles first, then the zoo in its order."""
    grounds = list(dict.fromkeys(member.ground for member in MEMBERS))
    lines: list[_Line] = []
    for ground in grounds:
        lines.append(_Line(f"{ground}/{ORACLE}", ground, ORACLE))
        for member in MEMBERS:
            if member.ground == ground and member.method != ORACLE:
                lines += [_Line(name, ground, member.method) for name in _row_names(member)]
    return lines


def _row_names(member: ZooMember) -> tuple[str, ...]:
    """Names of a member, then of its checkpoints."""
    return (member.name, *member.names[:-1])


def _sae_entry(line: _Line, rows: Mapping[str, ManifestRow]) -> str:
    row = rows[line.name]
    expected = {name: _rounded(row.figures[name]) for name in ("l0", "fvu") if name in row.figures}
    return _flow_mapping(
        id=f"lab/{line.name}",
        loader="saeval",
        source=f"lab://{line.name}",
        **_sites(line, rows),
        sha256=row.sha256,
        **({"expected": expected} if expected else {}),
        license=LICENCE,
        notes=row.about,
    )


def _sites(line: _Line, rows: Mapping[str, ManifestRow]) -> dict[str, str]:
    """Model and sites."""
    if line.ground.startswith("synthetic/"):
        return {"model": f"lab://{line.ground}", "site": "activations"}
    model = f"{line.ground}/model"
    site = str(rows[model].figures["site"])
    if line.method == "transcoder":
        read, write = f"{site}.mlp:in", f"{site}.mlp:out"
        return {"model": f"lab://{model}", "site": read, "write_site": write}
    return {"model": f"lab://{model}", "site": site}


def _model_entry(row: ManifestRow) -> str:
    config = json.loads((WEIGHTS / row.name / "config.json").read_text(encoding="utf-8"))
    shape = {"layers": config["num_hidden_layers"], "d_model": config["hidden_size"]}
    return _flow_mapping(family="GPT-NeoX", **shape, license=LICENCE, notes=row.about)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _flow_mapping(**values: Any) -> str:
    """A mapping on one line; JSON is YAML."""
    return json.dumps(values)
