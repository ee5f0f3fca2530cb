"""Which files in a local model's folder hold its weights."""

import json
from pathlib import Path, PurePosixPath

from saeval.errors import ModelError


def weight_files(folder: Path) -> list[Path]:
    """Weights at the top of the folder, and every file that an index of weights names.

    Raises:
        ModelError: if an index cannot be read, or names a file that is not there or not inside the
            folder: such a file would affect the scores without being part of the model's identity.
    """
    files = set(folder.glob("*.safetensors"))
    for index in sorted(folder.glob("*.safetensors.index.json")):
        for name in _indexed_files(index):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ModelError(
                    f"{index} names weights outside of its folder ('{name}'). Move that file into "
                    "the folder, and name it there."
                )
            if not (folder / path).is_file():
                raise ModelError(
                    f"{index} names '{name}', which is not there. Copy the model's folder whole."
                )
            files.add(folder / path)
    return sorted(files)


def _indexed_files(index: Path) -> set[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{index} is no index of weights ({type(error).__name__}: {error}). Save the model "
            "again with save_pretrained."
        ) from error
    if not all(isinstance(name, str) for name in names):
        raise ModelError(f"{index} must name files in 'weight_map'. Save the model again.")
    return names
