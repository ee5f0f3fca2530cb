"""The classification sets of sae-probes, as its wheel lays them out."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from saeval.errors import UsageError

from .data_set import DataSetFiles

_REPEATED = ("16_us_density", "38_arith_difficulty", "112_amzn_rev")
"""Files of the wheel that equal another one byte by byte."""
_QUANTITIES = tuple(
    f"{number}_" for number in (2, 3, 4, 8, 9, 11, 12, 15, 18, 19, 20, 28, 29, 30, 39, 40, 93, 109)
)
"""How the names of sets with more than 15 distinct numbers as targets begin."""


def sae_probes_folder() -> Path:
    """Where the installed sae-probes keeps its data sets.

    Raises:
        UsageError: if it is not installed.
    """
    spec = importlib.util.find_spec("sae_probes")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "The data sets of sae-probes come with its wheel, which is not installed: pip install "
            "sae-probes --no-deps zstandard, or name a folder that holds its *.csv.zst files."
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "cleaned_data"


def sae_probes(folder: Path) -> Iterator[DataSetFiles]:
    """Its classification sets, by number; sets of quantities and repeated ones are left out."""
    paths = [path for ending in ("csv.zst", "csv") for path in folder.glob(f"*.{ending}")]
    path_by_name = {path.name.split(".csv")[0]: path for path in paths}
    for name in sorted(path_by_name, key=lambda name: (len(name.split("_")[0]), name)):
        if name not in _REPEATED and not name.startswith(_QUANTITIES):
            yield DataSetFiles(name, (path_by_name[name],), None, "prompt", "target")
