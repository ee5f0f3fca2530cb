"""Which files in a local model's folder hold its weights."""

import json
from pathlib import Path, PurePosixPath

from saeval.errors import ModelError

ADAPTER = "adapter_config.json"
"""File by which transformers takes the weights of another model, and an adapter's on top."""
OTHER_FILE = "transformers_weights"
"""Field of config.json that names a file of weights."""


def weight_files(folder: Path) -> list[Path]:
    """Weights at the top of the folder, and every file that an index of weights names.

    Symbolic links are followed, as the hub's cache has them: what they lead to is hashed.

    Raises:
        ModelError: if an index cannot be read, or weights would be read from a file that is not
            there or not inside the folder, which would affect the scores without being part of the
            model's identity.
    """
    if (folder / ADAPTER).exists():
        raise ModelError(
            f"{folder} holds an adapter ({ADAPTER}), whose model lies elsewhere. Merge the two "
            "(merge_and_unload in peft), save that with save_pretrained, and name its folder."
        )
    files = set(folder.glob("*.safetensors"))
    names = [(index, name) for index in index_files(folder) for name in _indexed_files(index)]
    if name := _name_in_config(folder):
        names.append((folder / "config.json", name))
    files |= {_inside(folder, name, source) for source, name in names}
    for path in files:
        if not path.is_file():
            raise ModelError(f"{path} is no file, or a link to none. Copy the folder whole.")
    return sorted(files)


def index_files(folder: Path) -> list[Path]:
    """Indices that say in which files weights lie."""
    return sorted(folder.glob("*.safetensors.index.json"))


def choosing_files(folder: Path) -> list[Path]:
    """Indices where there are other weights than those that they name: they choose among them."""
    indices = index_files(folder)
    named = {folder / PurePosixPath(name) for index in indices for name in _indexed_files(index)}
    return indices if set(folder.glob("*.safetensors")) - named else []


def _inside(folder: Path, name: str, source: Path) -> Path:
    """The file of weights of a name.

    Raises:
        ModelError: if it lies outside of the folder, is none of safetensors, or is not there.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ModelError(
            f"{source} names weights outside of its folder ('{name}'). Move that file into "
            "the folder, and name it there."
        )
    if not (folder / path).is_file():
        raise ModelError(
            f"{source} names '{name}', which is not there. Copy the model's folder whole."
        )
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{source} names '{name}', but only safetensors are read. Save the model again with "
            "save_pretrained."
        )
    return folder / path


def _name_in_config(folder: Path) -> str | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # loading says what is wrong with it
        return None
    name = config.get(OTHER_FILE) if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


def _indexed_files(index: Path) -> set[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        RecursionError,
    ) as error:
        raise ModelError(
            f"{index} is no index of weights ({type(error).__name__}: {error}). Save the model "
            "again with save_pretrained."
        ) from error
    if not all(isinstance(name, str) for name in names):
        raise ModelError(f"{index} must name files in 'weight_map'. Save the model again.")
    return names
