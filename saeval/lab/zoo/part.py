"""One SAE of the zoo as a part of the lab: trained, rounded to half precision, measured."""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from saeval.lab.build import Part, Site
from saeval.lab.zoo.members import ORACLE, Member
from saeval.registry.lab_manifest import ManifestRow, make_row, read_rows

if TYPE_CHECKING:
    from saeval.lab.zoo.grounds import Ground

logger = logging.getLogger(__name__)

MINUTES = {"world": 2.0, "othello": 2.0}
"""Of one training on two quiet cores; on synthetic worlds it is `SYNTHETIC_MINUTES`."""
SYNTHETIC_MINUTES = 0.5
NULL_MINUTES = 0.1
SIMPLE = ("random", "pca", "neurons", ORACLE)
"""What takes no training."""
RANDOM_SEED = 770_001
"""Of the random nulls' directions."""
BOUNDS = {
    ORACLE: "The planted dictionary itself, read by matching pursuit: an upper bound",
    "random": "TopK SAE of random directions, which were never trained: a null",
    "pca": "Principal components, the largest of each token kept: a null",
    "neurons": "The activation's own entries, the largest of each token kept: a null",
    "frozen-decoder": "TopK SAE whose decoder is random and stays so: a null",
}


def part_of(member: Member) -> Part:
    """The step of the build that makes one member and its checkpoints."""
    needs = () if member.ground.startswith("synthetic/") else (f"{member.ground}/model",)
    minutes = MINUTES.get(member.ground, SYNTHETIC_MINUTES)
    if member.method in SIMPLE:
        minutes = NULL_MINUTES
    build = partial(build_member, member)
    return Part(member.name, build, outputs=member.names, minutes=minutes, needs=needs)


def build_member(member: Member, site: Site) -> Iterable[ManifestRow]:
    """Make one member on one thread, write it in half precision, measure what was written."""
    from saeval.lab.oracles import one_thread

    ground = _ground(member, site)
    with one_thread():
        made, told = (_simple if member.method in SIMPLE else _trained)(member, ground, site)
        rows = []
        for name, (sae, tokens) in made.items():
            figures = _write(sae, name, ground, site)
            recipe = {**told, **(ground.data if tokens else {}), "seen": tokens}
            rows.append(make_row(name, _about(member, name), recipe, figures, weights=site.weights))
            logger.info("lab/%s: %s", name, ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
    return rows


Made = Mapping[str, tuple[Any, int]]
"""SAEs by name, with the activations each has seen."""


def _trained(member: Member, ground: "Ground", site: Site) -> tuple[Made, Mapping[str, Any]]:
    """A trained member and its checkpoints, and what it takes to make them again."""
    import torch

    from saeval.training import METHODS, Recipe, train

    tokens = max(4096, round(ground.tokens * site.share))
    recipe = Recipe(ground.d_sae, member.k, tokens, lr=ground.lr, seed=member.seed)
    trained = train(
        ground.training(), METHODS[member.method](), recipe,
        device=site.device, snapshots=member.checkpoints,
    )  # fmt: skip
    made = {
        member.checkpoint(share): (sae, seen)
        for share, (seen, sae) in zip(member.checkpoints, trained.snapshots, strict=True)
    }
    made[member.name] = (trained.sae, trained.final.tokens)
    return made, {"method": member.method, **asdict(recipe), "torch": torch.__version__}


def _simple(member: Member, ground: "Ground", _: Site) -> tuple[Made, Mapping[str, Any]]:
    """A null made from the mean or the covariance of the training activations, and a seed.

    On a synthetic world also the planted dictionary itself.
    """
    import torch

    from saeval.lab.synthetic import oracle
    from saeval.sae.architectures.neurons import Neurons
    from saeval.sae.architectures.pca import fit_pca
    from saeval.sae.architectures.random import random_topk

    told: dict[str, Any] = {"method": member.method, "k": member.k}
    if member.method == ORACLE:
        return {member.name: (oracle(member.ground.removeprefix("synthetic/")), 0)}, told
    x = torch.from_numpy(ground.training()[0])
    if member.method == "pca":
        sae: Any = fit_pca(x.split(4096), member.k)
    elif member.method == "neurons":
        sae = Neurons(x.double().mean(0).float(), member.k)
    else:
        mean = x.double().mean(0).half().float()  # as it is stored
        sae = random_topk(mean, ground.d_sae, member.k, RANDOM_SEED)
        told |= {"d_sae": ground.d_sae, "seed": RANDOM_SEED}
    return {member.name: (sae, len(x))}, told


def _write(sae: Any, name: str, ground: "Ground", site: Site) -> Mapping[str, float]:
    """Write an SAE in half precision, a seeded one as its seed; figures of what was written."""
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
    folder = site.weights / name
    shutil.rmtree(folder, ignore_errors=True)
    save(replace(sae, origin=origin), folder, torch.float16)
    return ground.figures(load(folder))


@lru_cache(maxsize=2)
def _ground_of(name: str, site: Site, mlp: bool) -> "Ground":  # noqa: FBT001  a key of the cache
    """The ground of that name, kept so that its activations are computed once a build."""
    from saeval.lab.zoo import grounds

    if name.startswith("synthetic/"):
        return grounds.SyntheticGround(name.removeprefix("synthetic/"), share=site.share)
    row = read_rows(site.manifest)[f"{name}/model"]
    if name == "othello":
        return grounds.othello_ground(site.weights, row, share=site.share)
    return grounds.world_ground(site.weights, row, mlp=mlp, share=site.share)


def _ground(member: Member, site: Site) -> "Ground":
    return _ground_of(member.ground, site, member.method == "transcoder")


def _about(member: Member, name: str) -> str:
    """One sentence on a member, or on the checkpoint of that name."""
    if member.is_bound:
        return f"{BOUNDS[member.method]}, {member.k} latents a token."
    share = {member.checkpoint(share): share for share in member.checkpoints}.get(name)
    after = f", after {100 * share:g} % of its training" if share else ""
    return f"SAE ({member.method}) trained towards an L0 of {member.k}, seed {member.seed}{after}."
