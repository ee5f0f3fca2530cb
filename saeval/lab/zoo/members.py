"""The lab's SAEs: architecture, target L0 and seed of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from saeval.registry.entries import SetKind

GRADIENT = (
    "relu", "topk", "batchtopk", "jumprelu", "gated", "p-anneal", "matryoshka", "abstopk",
)  # fmt: skip
"""Architectures trained at every sparsity on every ground."""
TRACKED = ("relu", "topk", "matryoshka")
"""Those of whose training on the town checkpoints are kept."""
NULLS = ("random", "pca", "neurons", "frozen-decoder")
"""Methods that every trained SAE should beat."""
ORACLE = "oracle"
"""The upper bound: a dictionary made from the truth itself."""
CHECKPOINTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Shares of the training after which a copy of the SAE is kept."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class ZooMember:
    """One SAE of the zoo."""

    ground: str
    """What it is trained on: `world`, `town`, `othello`, `synthetic/base`."""
    method: str
    """Its trainer, a key of `saeval.training.METHODS`."""
    k: int
    """Target L0."""
    seed: int = 0
    checkpoints: tuple[float, ...] = ()
    """Shares of the training after which a copy is kept too."""

    @property
    def is_null(self) -> bool:
        """Whether it is a null, which trained SAEs should beat."""
        return self.method in NULLS

    @property
    def is_bound(self) -> bool:
        """Whether it is a null or the oracle; a ground has one of each."""
        return self.is_null or self.method == ORACLE

    @property
    def name(self) -> str:
        """Its folder below `weights/`: `world/topk-16`, `world/topk-16-s1`, `world/random`."""
        if self.is_bound:
            return f"{self.ground}/{self.method}"
        return f"{self.ground}/{self.method}-{self.k}" + (f"-s{self.seed}" if self.seed else "")

    def checkpoint(self, share: float) -> str:
        """Name of its checkpoint after a share of the training, which the name has in per cent."""
        return f"{self.name}-at-{round(100 * share):02d}"

    @property
    def names(self) -> tuple[str, ...]:
        """All that its training makes: checkpoints in order, then itself."""
        return (*map(self.checkpoint, self.checkpoints), self.name)


@dataclass(frozen=True)
class ZooSet:
    """SAEs that differ in one respect."""

    name: str
    """Such as `world/topk-seeds`."""
    kind: SetKind
    members: tuple[str, ...]
    """Names, in order."""


def world_members() -> tuple[ZooMember, ...]:
    """On the text of the world: every architecture, three seeds and checkpoints of one."""
    architectures = [
        ZooMember("world", method, 16, checkpoints=CHECKPOINTS if method == "topk" else ())
        for method in GRADIENT
    ]
    seeds = [ZooMember("world", "topk", 16, seed) for seed in SEEDS[1:]]
    others = [
        ZooMember("world", method, 16) for method in ("hierarchical-topk", "itda", "transcoder")
    ]
    return (*architectures, *seeds, *others, *_nulls("world", 16))


def town_members() -> tuple[ZooMember, ...]:
    """On the documents of the town: three sparsities, three seeds of all at the middle one.

    Checkpoints of three architectures.
    """
    grid = [
        ZooMember(
            "town", method, k, checkpoints=CHECKPOINTS if method in TRACKED and k == 16 else ()
        )
        for k in (16, 8, 32)
        for method in GRADIENT
    ]
    seeds = [ZooMember("town", method, 16, seed) for method in GRADIENT for seed in SEEDS[1:]]
    return (*grid, *seeds, *_nulls("town", 16))


def othello_members() -> tuple[ZooMember, ...]:
    """On Othello games: one sparsity."""
    return (*(ZooMember("othello", method, 16) for method in GRADIENT), *_nulls("othello", 16))


def synthetic_members(
    world: str, sparsities: tuple[int, ...], seeds: tuple[int, ...] = SEEDS
) -> tuple[ZooMember, ...]:
    """On a synthetic world: every sparsity with every seed, and the planted dictionary itself.

    The first sparsity is the world's own.
    """
    ground = f"synthetic/{world}"
    grid = [
        ZooMember(ground, method, k, seed)
        for seed in seeds
        for k in sparsities
        for method in GRADIENT
    ]
    return (ZooMember(ground, ORACLE, sparsities[0]), *grid, *_nulls(ground, sparsities[0]))


def zoo_sets(members: Sequence[ZooMember]) -> tuple[ZooSet, ...]:
    """Sets of one ground's members: seeds, sparsities, architectures and checkpoints.

    The seeds of an architecture's first sparsity are `topk-seeds`, those of others `topk-32-seeds`.
    """
    trained = [member for member in members if not member.is_bound]
    first_seed = [member for member in trained if not member.seed]
    sets: list[ZooSet] = []
    for member in first_seed:
        alike = [m for m in trained if (m.method, m.k) == (member.method, member.k)]
        sparsities = [m for m in first_seed if m.method == member.method]
        name = f"{member.ground}/{member.method}" if member is sparsities[0] else member.name
        if len(alike) > 1:
            sets.append(_zoo_set(f"{name}-seeds", "seeds", alike))
        if len(sparsities) > 1 and member is sparsities[0]:
            sets.append(_zoo_set(f"{name}-sparsities", "sparsities", sparsities))
        if member.checkpoints:
            sets.append(ZooSet(f"{name}-checkpoints", "checkpoints", member.names))
    for k in dict.fromkeys(member.k for member in first_seed):
        alike = [m for m in first_seed if m.k == k and m.method in GRADIENT]
        sets.append(_zoo_set(f"{alike[0].ground}/architectures-{k}", "architectures", alike))
    return tuple(sets)


def _zoo_set(name: str, kind: SetKind, members: Sequence[ZooMember]) -> ZooSet:
    return ZooSet(name, kind, tuple(member.name for member in members))


def _nulls(ground: str, k: int) -> list[ZooMember]:
    return [ZooMember(ground, method, k) for method in NULLS]


MEMBERS = (
    *world_members(),
    *othello_members(),
    *synthetic_members("base", (8, 16)),
    *synthetic_members("overlapping", (8,), (0,)),
    *synthetic_members("superposed", (10,), (0,)),
    *synthetic_members("noisy", (8,), (0,)),
    *town_members(),
)
"""The zoo. None needs another; those on text and games need the model there."""
