"""A world used like a model: its test sample as a source of activations, with the truth."""

import hashlib
import json
from dataclasses import asdict
from functools import cache, lru_cache

from saeval.activations import ActivationSource, ArraySource, array_source
from saeval.lab.synthetic.world import CHUNK, VERSION, SyntheticWorld, WorldSample, synthetic_world
from saeval.lab.worlds import find_spec, world_spec

SITE = "activations"
"""The only site of a world."""
ROWS = 50_000
"""Activations that SAEs are evaluated on."""
_PREFIXES = ("lab://synthetic/", "lab/synthetic/")


def world_name(model: str) -> str | None:
    """The world's name in a model's name: `base` of `lab://synthetic/base`; None for other models.

    This does not check that the world exists; see `find_spec`.
    """
    prefix = next((start for start in _PREFIXES if model.startswith(start)), None)
    return None if prefix is None else model.removeprefix(prefix)


def world_model(name: str) -> str:
    """The model's name in registry entries of a world's SAEs."""
    return f"{_PREFIXES[0]}{name}"


@cache
def world_identity(name: str) -> str:
    """sha256 of everything that determines `evaluation_sample`."""
    spec = asdict(world_spec(name))
    spec.pop("about")
    key = [VERSION, CHUNK, ROWS, spec]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=2)
def evaluation_sample(name: str) -> WorldSample:
    """Activations that no SAE was trained on, and the truth about them."""
    return synthetic_world(name).sample(ROWS, split="test")


def world_source(name: str) -> ArraySource:
    """The world's test sample as a source."""
    x = evaluation_sample(name).x
    return array_source(x, name=world_model(name), identity=world_identity(name))


def world_of(source: ActivationSource) -> SyntheticWorld | None:
    """The world whose test sample this source reads; None for all other sources."""
    name = world_name(source.name) or ""
    is_world = find_spec(name) is not None and source.identity == world_identity(name)
    return synthetic_world(name) if is_world else None
