"""saeval's own format: saeval.json describes the SAE, saeval.safetensors holds its tensors.

Described in docs/format.md.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from saeval.errors import LoadError, UsageError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import ARCHITECTURES, build
from saeval.sae.architectures.checks import tensor_fields
from saeval.sae.architectures.random import random_topk
from saeval.sae.architectures.topk import TopK
from saeval.sae.architectures.transforms import TRANSFORMS, Transform
from saeval.sae.loaders.eight_bits import packed, unpacked
from saeval.sae.loaders.files import read_json, read_safetensors
from saeval.sae.loaders.tensors import check_width, exactly
from saeval.sae.site import joined, site_names

FORMAT = "saeval.json and saeval.safetensors (saeval)"
CONFIG, WEIGHTS = "saeval.json", "saeval.safetensors"
VERSION = 1
RANDOM = "random"
"""Name of a TopK SAE whose directions are drawn from a seed, not stored."""
SEEDS = range(2**63)
"""Seeds of a random null: torch's generators take no larger ones."""
LARGEST = 2**32
"""Numbers in a random null's decoder, at most: 16 GiB. Its file of a few bytes could name any
size."""
INNER = "inner"
"""Field that holds another architecture, and prefix of the names of that one's tensors."""

ORIGIN: dict[str, Any] = {
    "model": str | None,
    "read_site": str | list | None,
    "write_site": str | list | None,
    "prepend_bos": bool | None,
    "context_size": int | None,
    "centred": bool,
    "metadata": dict,
}
"""Keys that `origin` may have, and their types."""


def matches(folder: Path) -> bool:
    """Whether the configuration is there."""
    return (folder / CONFIG).is_file()


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, in float32 whatever it is stored in.

    Raises:
        LoadError: if it is of a later version, has names that saeval does not know, or is damaged,
            incomplete or contradictory.
    """
    path = folder / CONFIG
    config = read_json(path)
    version = config.get("version")
    if config.get("format") != "saeval" or type(version) is not int or version != VERSION:
        raise LoadError(
            f"{path} is format {config.get('format')!r}, version {config.get('version')!r}. This "
            f"saeval reads 'saeval', version {VERSION}."
        )
    _check_keys(config, {"format", "version", "d_in", "d_sae", "sae", "origin"}, path)
    weights = folder / WEIGHTS
    tensors = unpacked(read_safetensors(weights), weights)
    sae_config = _object(config, "sae", path)
    if sae_config.get("architecture") == RANDOM:
        return _random(config, exactly(tensors, weights, ["b_dec"], []), path)
    required, optional = _tensor_names(sae_config, path)
    tensors = exactly(tensors, weights, required, optional)
    origin = _origin(_object(config, "origin", path), str(sae_config.get("architecture")), path)
    sae = _build(sae_config, tensors, path, origin)
    check_width(config.get("d_in"), sae.d_in, "d_in", path)
    check_width(config.get("d_sae"), sae.d_sae, "d_sae", path)
    return sae


def _random(config: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> SAE:
    """A random null, whose directions are drawn anew.

    Raises:
        LoadError: if a number is missing, no integer, out of range, or does not fit the tensors.
            All of that is checked before anything is drawn.
    """
    sae_config = _object(config, "sae", path)
    _check_keys(sae_config, {"architecture", "d_sae", "k", "seed"}, path)
    numbers: dict[str, Any] = {name: sae_config.get(name) for name in ("d_sae", "k", "seed")}
    for name, value in numbers.items():
        if type(value) is not int or value < (0 if name == "seed" else 1):
            raise LoadError(f"{path} gives '{name}' as {value!r}, but must give a whole number.")
    b_dec = tensors["b_dec"]
    if b_dec.ndim != 1:
        raise LoadError(f"b_dec beside {path} has shape {list(b_dec.shape)}, not [d_in].")
    check_width(config.get("d_in"), len(b_dec), "d_in", path)
    _check_random(**numbers, d_in=len(b_dec), config_d_sae=config.get("d_sae"), path=path)
    sae = random_topk(b_dec, **numbers)
    origin = _origin(_object(config, "origin", path), "topk", path)
    metadata = {**origin.metadata, **sae.origin.metadata}
    return replace(sae, origin=replace(origin, metadata=metadata))


def _check_random(
    d_sae: int, k: int, seed: int, *, d_in: int, config_d_sae: Any, path: Path
) -> None:
    """Check that the numbers of a random null agree, and that it can be drawn.

    Raises:
        LoadError: naming the number that is wrong.
    """
    if config_d_sae not in (None, d_sae):
        raise LoadError(
            f"{path} says d_sae = {config_d_sae!r}, but 'd_sae' of its 'sae' is {d_sae}."
        )
    if d_sae * d_in > LARGEST:
        raise LoadError(
            f"{path} gives 'd_sae' as {d_sae}, which at width {d_in} makes more than the "
            f"{LARGEST:,} numbers that a random null may have. Lower it."
        )
    if k > d_sae:
        raise LoadError(f"{path} gives 'k' as {k}, but has only {d_sae} latents.")
    if seed not in SEEDS:
        raise LoadError(f"{path} gives 'seed' as {seed}, but it must be below 2**63.")


def save(sae: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write an SAE of a built-in architecture, its tensors in float32, float16 or int8.

    In int8 matrices are stored with one scale a latent (`eight_bits.py`), and vectors in float16.

    Raises:
        UsageError: if its architecture is not saeval's own, or a tensor does not fit the dtype.
    """
    tensors: dict[str, Tensor] = {}
    is_random = sae.origin.metadata.get("null") == RANDOM
    config = {
        "format": "saeval",
        "version": VERSION,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "sae": (_random_json if is_random else _architecture_json)(sae, "", tensors, dtype),
        "origin": {key: value for key, value in asdict(sae.origin).items() if key != "source"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _random_json(
    sae: Any, prefix: str, tensors: dict[str, Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """The JSON of a random null: the numbers that its directions are drawn from.

    Raises:
        UsageError: if it names no seed, or differs from the null that its seed gives.
    """
    seed, cure = sae.origin.metadata.get("seed"), "Take 'null' out of its origin's metadata"
    if type(seed) is not int or seed not in SEEDS:
        raise UsageError(
            f"An SAE called random must name the seed of its directions, a whole number from 0 to "
            f"below 2**63, not {seed!r}. {cure}, or add 'seed' there."
        )
    differences = _differing_fields(sae, seed)
    if differences:
        raise UsageError(
            f"An SAE called random from seed {seed} is not what the directions of that seed give: "
            f"{', '.join(differences)} would be lost. {cure} to save it as it is."
        )
    config = {"d_sae": sae.d_sae, "k": sae.k, "seed": seed}
    tensors |= _stored(sae.b_dec, prefix + "b_dec", dtype, sae.d_sae)
    return {"architecture": RANDOM, **config}


def _differing_fields(sae: Any, seed: int) -> list[str]:
    """Fields in which an SAE differs from the draw of `random_topk`; or that it is no TopK."""
    if type(sae) is not TopK:
        return [f"its architecture {type(sae).__name__}"]
    drawn = random_topk(sae.b_dec.cpu(), sae.d_sae, sae.k, seed)
    names = [item.name for item in fields(sae) if item.name != "origin"]
    return [name for name in names if not _equal(getattr(sae, name), getattr(drawn, name))]


def _equal(value: Any, drawn: Any) -> bool:
    if isinstance(value, Tensor):
        return torch.equal(value.cpu(), drawn)
    return bool(value == drawn)


def _architecture_json(
    sae: Any, prefix: str, tensors: dict[str, Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """The JSON of an architecture; its tensors are added to `tensors`."""
    name = next((key for key, kind in ARCHITECTURES.items() if type(sae) is kind), None)
    if name is None:
        raise UsageError(
            f"{type(sae).__name__} cannot be saved: only {', '.join(ARCHITECTURES)} can."
        )
    config: dict[str, Any] = {"architecture": name}
    for item in fields(sae):
        value = getattr(sae, item.name)
        if item.name == "origin" or value is None:
            continue
        if isinstance(value, Tensor):
            tensors |= _stored(value, prefix + item.name, dtype, sae.d_sae)
        elif item.name == INNER:
            config[INNER] = _architecture_json(value, f"{prefix}{INNER}.", tensors, dtype)
        else:
            config[item.name] = _transform_json(value) if item.name == "transform" else value
    return config


def _stored(tensor: Tensor, name: str, dtype: torch.dtype, d_sae: int) -> dict[str, Tensor]:
    """A tensor by its name in the file, and its scales where it has some."""
    if dtype != torch.int8:
        return {name: _to_storage(tensor, name, dtype)}
    is_matrix = tensor.ndim == 2 and d_sae in tensor.shape
    if not is_matrix:
        return {name: _to_storage(tensor, name, torch.float16)}
    return packed(name, _to_storage(tensor, name, torch.float32), d_sae)


def _to_storage(tensor: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    stored = tensor.detach().cpu().to(dtype).contiguous()
    if not bool(stored.isfinite().all()):
        raise UsageError(f"'{name}' does not fit {dtype}: save it in float32.")
    # A copy, as safetensors refuses tensors that share memory.
    return stored.clone()


def _tensor_names(
    config: Mapping[str, Any], path: Path, prefix: str = ""
) -> tuple[list[str], list[str]]:
    """Names of the tensors that an architecture needs, and of those that it may have."""
    kind = _architecture_class(config, path)
    names = tensor_fields(kind)
    required = [prefix + name for name, is_required in names.items() if is_required]
    optional = [prefix + name for name, is_required in names.items() if not is_required]
    if any(item.name == INNER for item in fields(kind)):
        inner_required, inner_optional = _tensor_names(
            _object(config, INNER, path), path, f"{prefix}{INNER}."
        )
        return required + inner_required, optional + inner_optional
    return required, optional


def _build(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    path: Path,
    origin: Origin,
    prefix: str = "",
) -> Any:
    """An architecture from its JSON and the tensors under its prefix.

    Raises:
        LoadError: if a parameter is missing, unknown or of the wrong type.
    """
    kind = _architecture_class(config, path)
    fields_by_name = {item.name: item for item in fields(kind) if item.name != "origin"}
    arrays = tensor_fields(kind)
    _check_keys(config, (set(fields_by_name) - set(arrays)) | {"architecture"}, path)
    values: dict[str, Any] = {"origin": origin}
    for name, item in fields_by_name.items():
        if name in arrays:
            if prefix + name in tensors:
                values[name] = tensors[prefix + name]
        elif name == INNER:
            inner = _object(config, INNER, path)
            inner_origin = Origin(architecture=str(inner.get("architecture")))
            values[name] = _build(inner, tensors, path, inner_origin, f"{prefix}{INNER}.")
        elif name in config:
            values[name] = _parameter(name, config[name], item.type, path)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise LoadError(f"{path} lacks '{name}', which the architecture needs.")
    return build(kind, **values)


def _parameter(name: str, value: Any, kind: Any, path: Path) -> Any:
    """A parameter in its own type: JSON has lists for tuples and may drop `.0`."""
    if name == "transform":
        return _transform(value, path)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list) and all(type(entry) is int for entry in value):
        return tuple(value)
    if not isinstance(kind, type) or type(value) is not kind:
        raise LoadError(f"{path} gives '{name}' as {value!r}, but must give it as {kind}.")
    return value


def _architecture_class(config: Mapping[str, Any], path: Path) -> type:
    name = config.get("architecture")
    if name not in ARCHITECTURES:
        raise LoadError(
            f"{path} names the architecture {name!r}, which saeval does not know. Known are "
            f"{', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]


def _transform_json(transform: Transform) -> dict[str, Any]:
    name = next((key for key, kind in TRANSFORMS.items() if type(transform) is kind), None)
    if name is None or not is_dataclass(transform):
        raise UsageError(f"{transform!r} cannot be saved: only {', '.join(TRANSFORMS)} can.")
    values = {item.name: getattr(transform, item.name) for item in fields(transform)}
    inner = values.pop(INNER, None)
    return {"name": name, **values, **({INNER: _transform_json(inner)} if inner else {})}


def _transform(config: Any, path: Path) -> Transform:
    """A transform from its JSON.

    Raises:
        LoadError: if it is unknown, or does not have exactly its own constants.
    """
    if not isinstance(config, dict) or config.get("name") not in TRANSFORMS:
        raise LoadError(
            f"{path} gives the transform {config!r}; known are {', '.join(TRANSFORMS)}."
        )
    kind: Any = TRANSFORMS[config["name"]]
    values = {name: value for name, value in config.items() if name != "name"}
    if INNER in values:
        values[INNER] = _transform(values[INNER], path)
    numbers = [value for name, value in values.items() if name != INNER]
    if set(values) != {item.name for item in fields(kind)} or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    ):
        raise LoadError(
            f"{path} gives the transform {config!r}, but {config['name']} needs exactly the "
            f"constants {[item.name for item in fields(kind)]}."
        )
    return kind(**values)


def _origin(config: Mapping[str, Any], architecture: str, path: Path) -> Origin:
    """Where the SAE comes from.

    Raises:
        LoadError: if a key is unknown or its value is of the wrong type.
    """
    _check_keys(config, {"loader", "architecture", *ORIGIN}, path)
    for name, allowed in ORIGIN.items():
        value = config.get(name)
        is_flag = isinstance(value, bool) and name == "context_size"  # Python's bool is an int
        if name in config and (is_flag or not isinstance(value, allowed)):
            raise LoadError(f"{path} gives '{name}' of its origin as {config[name]!r}.")
    values = {name: value for name, value in config.items() if name in ORIGIN}
    ends = [end for end in ("read_site", "write_site") if end in values]
    values |= {end: _sites_text(values[end], path) for end in ends}
    return Origin(loader="saeval", architecture=architecture, **values)


def _sites_text(value: str | list | None, path: Path) -> str | None:
    """Sites as one text; a list of names is one with commas.

    Raises:
        LoadError: if a name is no text, is empty or stands twice.
    """
    names = value if isinstance(value, list) else [value or ""]
    if not all(isinstance(name, str) for name in names):
        raise LoadError(f"{path} gives the sites {value!r} of its origin, which are not all text.")
    text = None if value is None else joined(names)
    try:
        site_names(text)
    except UsageError as error:
        raise LoadError(f"{path} gives the sites {value!r} of its origin. {error}") from error
    return text


def _object(config: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = config.get(name)
    if not isinstance(value, Mapping):
        raise LoadError(f"{path} must give '{name}' as an object, not {value!r}.")
    return value


def _check_keys(config: Mapping[str, Any], allowed: set[str], path: Path) -> None:
    unknown = sorted(set(config) - allowed)
    if unknown:
        raise LoadError(
            f"{path} holds {', '.join(map(repr, unknown))}, which has no meaning here. Known are "
            f"{', '.join(sorted(allowed))}."
        )
