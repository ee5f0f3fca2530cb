"""Who is in the zoo: architecture, target L0 and seed of every SAE of the lab."""

from collections.abc import Sequence
from dataclasses import dataclass

from saeval.registry.entries import SetKind

GRADIENT = (
    "relu", "topk", "batchtopk", "jumprelu", "gated", "p-anneal", "matryoshka", "abstopk",
)  # fmt: skip
"""Architectures trained at every sparsity on every ground."""
SEEDED = ("relu", "topk", "matryoshka")
"""Those trained with three seeds on text."""
NULLS = ("random", "pca", "neurons", "frozen-decoder")
"""What every SAE has to beat."""
ORACLE = "oracle"
"""What knows the truth."""
CHECKPOINTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Shares of the training after which the checkpointed SAE is kept as it is then."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Member:
    """One SAE of the zoo."""

    ground: str
    """What it is trained on: `world`, `othello`, `synthetic/base`."""
    method: str
    """Its trainer, a key of `saeval.training.METHODS`."""
    k: int
    """Target L0."""
    seed: int = 0
    checkpoints: tuple[float, ...] = ()
    """Shares of the training after which it is kept too."""

    @property
    def is_null(self) -> bool:
        """Whether it is there to be beaten."""
        return self.method in NULLS

    @property
    def is_bound(self) -> bool:
        """Whether it is a null or the oracle, of which a ground has one each."""
        return self.is_null or self.method == ORACLE

    @property
    def name(self) -> str:
        """Its folder below `weights/`: `world/topk-16`, `world/topk-16-s1`, `world/random`."""
        if self.is_bound:
            return f"{self.ground}/{self.method}"
        return f"{self.ground}/{self.method}-{self.k}" + (f"-s{self.seed}" if self.seed else "")

    def checkpoint(self, share: float) -> str:
        """Name of what it was after a share of its training, in per cent."""
        return f"{self.name}-at-{round(100 * share):02d}"

    @property
    def names(self) -> tuple[str, ...]:
        """All that its training makes: checkpoints in order, then itself."""
        return (*map(self.checkpoint, self.checkpoints), self.name)


@dataclass(frozen=True)
class Group:
    """Members that differ in one respect."""

    name: str
    """Beside those of its members: `world/topk-seeds`."""
    kind: SetKind
    members: tuple[str, ...]
    """Names, in order."""


def world_members() -> tuple[Member, ...]:
    """On the text of the world: two sparsities, three seeds of some, checkpoints of one."""
    grid = [
        Member("world", method, k, checkpoints=CHECKPOINTS if (method, k) == ("topk", 16) else ())
        for k in (16, 32)
        for method in GRADIENT
    ]
    seeds = [Member("world", method, 16, seed) for method in SEEDED for seed in SEEDS[1:]]
    others = [Member("world", method, 16) for method in ("hierarchical-topk", "itda", "transcoder")]
    return (*grid, *seeds, *others, *_nulls("world", 16))


def othello_members() -> tuple[Member, ...]:
    """On Othello games: one sparsity."""
    return (*(Member("othello", method, 16) for method in GRADIENT), *_nulls("othello", 16))


def synthetic_members(world: str, sparsities: tuple[int, ...]) -> tuple[Member, ...]:
    """On a synthetic world: every sparsity with three seeds, and the planted dictionary itself.

    The first sparsity is the world's own.
    """
    ground = f"synthetic/{world}"
    grid = [
        Member(ground, method, k, seed) for seed in SEEDS for k in sparsities for method in GRADIENT
    ]
    return (Member(ground, ORACLE, sparsities[0]), *grid, *_nulls(ground, sparsities[0]))


def groups(members: Sequence[Member]) -> tuple[Group, ...]:
    """Sets of one ground's members: seeds, sparsities, architectures and checkpoints.

    The seeds of an architecture's first sparsity are `topk-seeds`, those of others `topk-32-seeds`.
    """
    trained = [member for member in members if not member.is_bound]
    first = [member for member in trained if not member.seed]
    sets: list[Group] = []
    for one in first:
        same = [m for m in trained if (m.method, m.k) == (one.method, one.k)]
        at_all = [m for m in first if m.method == one.method]
        name = f"{one.ground}/{one.method}" if one is at_all[0] else one.name
        if len(same) > 1:
            sets.append(_group(f"{name}-seeds", "seeds", same))
        if len(at_all) > 1 and one is at_all[0]:
            sets.append(_group(f"{name}-sparsities", "sparsities", at_all))
        if one.checkpoints:
            sets.append(Group(f"{name}-checkpoints", "checkpoints", one.names))
    for k in dict.fromkeys(member.k for member in first):
        same = [m for m in first if m.k == k and m.method in GRADIENT]
        sets.append(_group(f"{same[0].ground}/architectures-{k}", "architectures", same))
    return tuple(sets)


def _group(name: str, kind: SetKind, members: Sequence[Member]) -> Group:
    return Group(name, kind, tuple(member.name for member in members))


def _nulls(ground: str, k: int) -> list[Member]:
    return [Member(ground, method, k) for method in NULLS]


MEMBERS = (*world_members(), *othello_members(), *synthetic_members("base", (8, 16)))
"""The zoo. None needs another; those on text and games need the model there."""
