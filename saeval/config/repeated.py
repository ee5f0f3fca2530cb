"""The `run` of a result file, with its paths resolved from any working folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_of_file(file: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a result file holds.

    Paths in it (`./x/y`) start at the working folder of that run. If results lay below that folder,
    the file says how far up it is, so that all may be moved together and `--config` works from any
    folder. Otherwise, or if the file was taken out of its folder, paths start at the present
    working folder.

    Args:
        file: result.json or an alias beside it.
        record: Its content: `result_id`, `run` and, in newer files, `working_folder`.
    """
    run = dict(record["run"])
    folder = file.resolve().parent
    if not folder.name.endswith(f"-{record['result_id']}"):
        return run
    root = folder.parents[1]
    way_up = record.get("working_folder")
    if way_up is not None and (root / way_up).resolve() != Path.cwd():
        run = {key: _resolve_paths(root / way_up, value) for key, value in run.items()}
    return {**run, "output_path": str(root)}


def _resolve_paths(base: Path, value: Any) -> Any:
    """The value, with each `./x/y` in it resolved from the base."""
    if isinstance(value, Mapping):
        return {key: _resolve_paths(base, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve_paths(base, item) for item in value]
    if isinstance(value, str) and value.startswith("./"):
        return str((base / value).resolve())
    return value
