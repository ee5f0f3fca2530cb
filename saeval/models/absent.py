"""Size of a hub model's files that are not in the local cache yet."""

import json
import re
from pathlib import Path
from typing import Any

from saeval.errors import ModelError
from saeval.models.places import Place, is_refusal, locate
from saeval.registry.hub.cache import is_offline

_WEIGHTS = "model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_OTHER_SUFFIXES = {".json", ".txt", ".model", ".jinja"}
"""Files of configuration and tokenizer."""


def bytes_to_load(name: str) -> int | None:
    """Bytes that loading a model would download now: 0 if none, None if that is unknown.

    Nothing is downloaded; only the hub's listing of files is read.

    Raises:
        ModelError: if there is no such folder, or the hub refuses the model.
    """
    name, _, revision = name.partition("@")
    try:
        place = locate(name, revision or None)
    except ModelError as error:
        if error.__cause__ is None or is_refusal(error.__cause__):
            raise
        return None
    if place.is_local or _is_cached(place):
        return 0
    return None if place.cached_only or is_offline() else _missing_bytes(place)


def _is_cached(place: Place) -> bool:
    """Whether the cache holds configuration and all weights."""
    if _cached_file(place, "config.json") is None:
        return False
    if _cached_file(place, _WEIGHTS):
        return True
    index = _cached_file(place, _INDEX)
    if index is None:
        return False
    shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return all(_cached_file(place, shard) for shard in set(shards))


def _cached_file(place: Place, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(place.root, file, revision=place.commit)
    return Path(path) if isinstance(path, str) else None


def _missing_bytes(place: Place) -> int | None:
    """Bytes at the hub of the files that transformers would load and the cache lacks."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(place.root, revision=place.commit, files_metadata=True)
    except Exception:  # noqa: BLE001  which errors arrive depends on huggingface_hub
        return None
    files: list[Any] = list(info.siblings or ())
    single_file = any(file.rfilename == _WEIGHTS for file in files)
    needed = [file for file in files if _is_loaded(file.rfilename, single_file=single_file)]
    missing_sizes = [file.size for file in needed if _cached_file(place, file.rfilename) is None]
    return None if None in missing_sizes else sum(missing_sizes)


def _is_loaded(name: str, *, single_file: bool) -> bool:
    if "/" in name:
        return False
    weights = name == _WEIGHTS if single_file else bool(_SHARD.fullmatch(name))
    other = Path(name).suffix in _OTHER_SUFFIXES and not (single_file and name == _INDEX)
    return weights or other
