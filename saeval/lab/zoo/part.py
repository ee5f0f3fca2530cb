"""One SAE of the zoo as a part of the lab: trained, rounded to how it is stored, measured."""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from saeval.lab.build import BuildSettings, Part
from saeval.lab.zoo.members import ORACLE, ZooMember
from saeval.registry.lab_manifest import ManifestRow, make_row, read_rows

if TYPE_CHECKING:
    from saeval.lab.zoo.grounds import Ground

logger = logging.getLogger(__name__)

MINUTES = {"world": 2.0, "town": 2.0, "othello": 2.0}
"""Expected minutes of one training on two idle cores; on synthetic worlds `SYNTHETIC_MINUTES`."""
SYNTHETIC_MINUTES = 0.5
NULL_MINUTES = 0.1
SIMPLE = ("random", "pca", "neurons", ORACLE)
"""Methods without gradient descent."""
FLOAT16 = ("world", "othello", "synthetic/base")
"""Grounds whose SAEs are stored in float16; those of all others are in int8, half of it."""
RANDOM_SEED = 770_001
"""Seed of the random nulls' directions."""
BOUNDS = {
    ORACLE: "The planted dictionary itself, read by matching pursuit: an upper bound",
    "random": "TopK SAE of random directions, which were never trained: a null",
    "pca": "Principal components, the largest of each token kept: a null",
    "neurons": "The activation's own entries, the largest of each token kept: a null",
    "frozen-decoder": "TopK SAE whose decoder is random and stays so: a null",
}


def part_of(member: ZooMember) -> Part:
    """The step of the build that makes one member and its checkpoints."""
    needs = () if member.ground.startswith("synthetic/") else (f"{member.ground}/model",)
    minutes = MINUTES.get(member.ground, SYNTHETIC_MINUTES)
    if member.method in SIMPLE:
        minutes = NULL_MINUTES
    build = partial(build_member, member)
    return Part(member.name, build, outputs=member.names, minutes=minutes, needs=needs)


def build_member(member: ZooMember, settings: BuildSettings) -> Iterable[ManifestRow]:
    """Make one member on one thread, write it, measure what was written."""
    from saeval.lab.oracles import one_thread

    ground = _member_ground(member, settings)
    with one_thread():
        saes, base_recipe = (_fit_saes if member.method in SIMPLE else _train_saes)(
            member, ground, settings
        )
        rows = []
        for name, (sae, tokens) in saes.items():
            figures = _write_sae(sae, name, ground, settings)
            recipe = {**base_recipe, **(ground.data if tokens else {}), "seen": tokens}
            rows.append(
                make_row(name, _about_text(member, name), recipe, figures, weights=settings.weights)
            )
            logger.info("lab/%s: %s", name, ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
    return rows


SAEsByName = Mapping[str, tuple[Any, int]]
"""SAEs by name, each with the number of activations it was trained on."""


def _train_saes(
    member: ZooMember, ground: "Ground", settings: BuildSettings
) -> tuple[SAEsByName, Mapping[str, Any]]:
    """A trained member with its checkpoints, and the recipe to make them again."""
    import torch

    from saeval.training import METHODS, Recipe, train

    tokens = max(4096, round(ground.tokens * settings.share))
    recipe = Recipe(ground.d_sae, member.k, tokens, lr=ground.lr, seed=member.seed)
    trained = train(
        ground.training(), METHODS[member.method](), recipe,
        device=settings.device, snapshots=member.checkpoints,
    )  # fmt: skip
    saes = {
        member.checkpoint(share): (sae, token_count)
        for share, (token_count, sae) in zip(member.checkpoints, trained.snapshots, strict=True)
    }
    saes[member.name] = (trained.sae, trained.final.tokens)
    return saes, {"method": member.method, **asdict(recipe), "torch": torch.__version__}


def _fit_saes(
    member: ZooMember, ground: "Ground", _: BuildSettings
) -> tuple[SAEsByName, Mapping[str, Any]]:
    """A null made from the mean or the covariance of the training activations, and a seed.

    On a synthetic world also the planted dictionary itself.
    """
    import torch

    from saeval.lab.synthetic import oracle
    from saeval.sae.architectures.neurons import Neurons
    from saeval.sae.architectures.pca import fit_pca
    from saeval.sae.architectures.random import random_topk

    recipe: dict[str, Any] = {"method": member.method, "k": member.k}
    if member.method == ORACLE:
        return {member.name: (oracle(member.ground.removeprefix("synthetic/")), 0)}, recipe
    x = torch.from_numpy(ground.training()[0])
    if member.method == "pca":
        sae: Any = fit_pca(x.split(4096), member.k)
    elif member.method == "neurons":
        sae = Neurons(x.double().mean(0).float(), member.k)
    else:
        mean = x.double().mean(0).half().float()  # as it is stored
        sae = random_topk(mean, ground.d_sae, member.k, RANDOM_SEED)
        recipe |= {"d_sae": ground.d_sae, "seed": RANDOM_SEED}
    return {member.name: (sae, len(x))}, recipe


def _write_sae(
    sae: Any, name: str, ground: "Ground", settings: BuildSettings
) -> Mapping[str, float]:
    """Write an SAE (a random one as its seed), and measure what was written."""
    import torch

    from saeval.sae.loaders.saeval_format import load, save

    origin = replace(
        sae.origin,
        model=ground.model,
        read_site=ground.read_site,
        write_site=ground.write_site,
        prepend_bos=ground.context is not None or None,
        context_size=ground.context,
    )
    folder = settings.weights / name
    shutil.rmtree(folder, ignore_errors=True)
    dtype = torch.float16 if name.rpartition("/")[0] in FLOAT16 else torch.int8
    save(replace(sae, origin=origin), folder, dtype)
    return ground.figures(load(folder))


@lru_cache(maxsize=2)
def _cached_ground(name: str, settings: BuildSettings, mlp: bool) -> "Ground":  # noqa: FBT001  a key of the cache
    """The ground of that name, cached so that its activations are computed once per build."""
    from saeval.lab.zoo import grounds

    if name.startswith("synthetic/"):
        return grounds.SyntheticGround(name.removeprefix("synthetic/"), share=settings.share)
    row = read_rows(settings.manifest)[f"{name}/model"]
    if name == "othello":
        return grounds.othello_ground(settings.weights, row, share=settings.share)
    return grounds.world_ground(settings.weights, row, mlp=mlp, share=settings.share)


def _member_ground(member: ZooMember, settings: BuildSettings) -> "Ground":
    return _cached_ground(member.ground, settings, member.method == "transcoder")


def _about_text(member: ZooMember, name: str) -> str:
    """One sentence on a member, or on the checkpoint of that name."""
    if member.is_bound:
        return f"{BOUNDS[member.method]}, {member.k} latents a token."
    share = {member.checkpoint(share): share for share in member.checkpoints}.get(name)
    after = f", after {100 * share:g} % of its training" if share else ""
    return f"SAE ({member.method}) trained towards an L0 of {member.k}, seed {member.seed}{after}."
