"""The `run` of a result file, its paths found again wherever the command is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def repeated(file: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a result file holds.

    Paths in it (`./x/y`) start at the working folder of that run. Where results lay below that
    folder, the file says how far, so the whole may be moved, and `--config` given anywhere. Where
    they did not, or the file was taken out of its folder, paths start at the working folder of now.

    Args:
        file: result.json or an alias beside it.
        record: What it holds: `result_id`, `run` and, in newer files, `working_folder`.
    """
    run = dict(record["run"])
    folder = file.resolve().parent
    if not folder.name.endswith(f"-{record['result_id']}"):
        return run
    root = folder.parents[1]
    way = record.get("working_folder")
    if way is not None and (root / way).resolve() != Path.cwd():
        run = {key: _from(root / way, value) for key, value in run.items()}
    return {**run, "output_path": str(root)}


def _from(base: Path, value: Any) -> Any:
    """The value, with each `./x/y` in it as the path that starts at the base."""
    if isinstance(value, Mapping):
        return {key: _from(base, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from(base, item) for item in value]
    if isinstance(value, str) and value.startswith("./"):
        return str((base / value).resolve())
    return value
