"""Stored results from which a comparison takes what it needs, by SAE, task and seed."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.score import Result, Score
from saeval.results.task_seeds import EvidenceOf

if TYPE_CHECKING:
    from saeval.evidence import Evidence

NULL_ARCHITECTURES = ("neurons", "pca")
"""Architectures that are always nulls."""


@dataclass(frozen=True)
class Item:
    """One stored result, and how its evidence is read."""

    result: Result
    evidence_of: EvidenceOf

    @property
    def label(self) -> str:
        """Its SAE, or its set where it is a score of a whole set."""
        return self.result.sae or self.result.set or ""

    @property
    def setting(self) -> tuple[int, str]:
        """Version and fields of its task; only results that agree in both are compared."""
        key = self.result.provenance.get("key") or {}
        fields = key.get("fields") if isinstance(key, Mapping) else None
        if fields is None:
            fields = dict(self.result.run.get("tasks") or {}).get(self.result.task)
        return self.result.task_version, json.dumps(fields, sort_keys=True, default=str)

    def score(self, metric: str) -> Score | None:
        """Its score of a metric over all data."""
        found = (s for s in self.result.scores if s.metric == metric and s.part is None)
        return next(found, None)

    def evidence(self, metric: str) -> "Evidence":
        """The evidence of a metric over all data.

        Raises:
            ResultError: if the metric has no value here, or its evidence is gone.
        """
        score = self.score(metric)
        if score is None or score.value is None:
            why = score.reason if score else self.result.reason or "its task gave no such score"
            raise ResultError(f"no value for {self.label}: {why}")
        for entry in self.evidence_of(self.result.result_id):
            if (entry.metric, entry.part) == (metric, None):
                return entry
        why = score.reason or "none is stored with this result"
        raise ResultError(f"There is no evidence of '{metric}' of {self.label}: {why}")


@dataclass(frozen=True)
class About:
    """What an SAE is, as far as its results tell."""

    hash: str
    architecture: str | None
    null: str | None
    d_sae: int | None
    model: str | None
    site: str | None

    @property
    def is_null(self) -> bool:
        """Whether it is a null: a baseline that a trained SAE should beat."""
        return bool(self.null) or self.architecture in NULL_ARCHITECTURES

    @property
    def kind(self) -> tuple[Any, ...]:
        """All but its content: equal for SAEs of one architecture and width at one place."""
        return (self.architecture, self.null, self.d_sae, self.model, self.site)


@dataclass(frozen=True)
class Pool:
    """Results, each once: a result that answers to several names stands under each."""

    items: tuple[Item, ...]

    @classmethod
    def of(cls, results: Iterable[Result], evidence_of: EvidenceOf) -> "Pool":
        """Results whose evidence is read in one way."""
        return cls(tuple(Item(result, evidence_of) for result in results))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of SAEs (and of sets that were scored as one), in order."""
        return tuple(dict.fromkeys(item.label for item in self.items))

    @cached_property
    def sets(self) -> Mapping[str, tuple[str, ...]]:
        """Set -> its SAEs that were scored under its name."""
        members: dict[str, dict[str, None]] = {}
        for item in self.items:
            if item.result.set and item.result.sae:
                members.setdefault(item.result.set, {})[item.result.sae] = None
        return {name: tuple(own) for name, own in members.items()}

    @cached_property
    def about(self) -> Mapping[str, About]:
        """SAE -> what it is."""
        return {item.label: _about(item.result) for item in reversed(self.items)}

    @cached_property
    def _by_place(self) -> Mapping[tuple[str, str], dict[str, Item]]:
        places: dict[tuple[str, str], dict[str, Item]] = {}
        for item in self.items:
            own = places.setdefault((item.label, item.result.task), {})
            own.setdefault(item.result.result_id, item)
        return places

    def of_task(self, label: str, task: str) -> list[Item]:
        """Results of an SAE on a task, whatever their seeds and fields."""
        return list(self._by_place.get((label, task), {}).values())

    def tasks(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Tasks on which any of them was scored."""
        wanted = set(labels)
        return tuple(dict.fromkeys(i.result.task for i in self.items if i.label in wanted))

    def together(self, labels: Sequence[str], task: str) -> dict[int, list[Item]]:
        """Seed -> a result of each SAE, all of one version and of equal fields of the task.

        Where several fit, the newest; seeds that some of them lack are left out.

        Raises:
            ResultError: if they have no setting, or no seed, in common.
        """
        own = [self.of_task(label, task) for label in labels]
        for label, items in zip(labels, own, strict=True):
            if not items:
                raise ResultError(f"{label} has no result of {task}")
        common = set.intersection(*({item.setting for item in items} for items in own))
        if not common:
            raise ResultError(f"{_apart(task, labels, own)}. {_again(task, labels)}")
        newest = max(common, key=lambda one: max(_created(i) for i in own[0] if i.setting == one))
        by_seed = [
            {item.result.seed: item for item in items if item.setting == newest} for items in own
        ]
        seeds = sorted(set.intersection(*map(set, by_seed)))
        if not seeds:
            texts = " and ".join(", ".join(map(str, sorted(side))) for side in by_seed)
            raise ResultError(
                f"their results of {task} have no seed in common, but {texts}. "
                + _again(task, labels)
            )
        return {seed: [side[seed] for side in by_seed] for seed in seeds}


def _about(result: Result) -> About:
    saes = result.provenance.get("saes") or [{}]
    own = saes[0]
    source = result.provenance.get("source") or {}
    return About(
        str(own.get("hash") or ""),
        own.get("architecture"),
        own.get("null"),
        own.get("d_sae"),
        source.get("model") or own.get("model"),
        source.get("site") or own.get("read_site"),
    )


def _created(item: Item) -> str:
    return str(item.result.provenance.get("created") or "")


def _apart(task: str, labels: Sequence[str], own: Sequence[Sequence[Item]]) -> str:
    """What keeps results of a task apart: versions, or the first field that differs."""
    versions = [sorted({item.setting[0] for item in items}) for items in own]
    if not set.intersection(*map(set, versions)):
        texts = " and ".join(
            f"{', '.join(map(str, sorted({i.setting[0] for i in items})))} ({label})"
            for label, items in _distinct(labels, own)
        )
        return f"they were scored by versions {texts} of {task}"
    fields = [json.loads(items[-1].setting[1]) or {} for items in own]
    names = dict.fromkeys(name for each in fields for name in each)
    differing = [n for n in names if len({json.dumps(f.get(n)) for f in fields}) > 1]
    name = differing[0] if differing else "its fields"
    texts = " and ".join(dict.fromkeys(json.dumps(each.get(name)) for each in fields))
    return f"they were scored with other fields of {task} ({name} {texts})"


def _again(task: str, labels: Sequence[str]) -> str:
    """What to do about results that do not fit together."""
    saes = " ".join(f"--sae {shlex.quote(label)}" for label in labels)
    return f"Score them alike: saeval run {saes} --tasks {task}"


def _distinct(
    labels: Sequence[str], own: Sequence[Sequence[Item]]
) -> list[tuple[str, Sequence[Item]]]:
    """The first SAE of each set of versions."""
    seen: dict[tuple[int, ...], tuple[str, Sequence[Item]]] = {}
    for label, items in zip(labels, own, strict=True):
        seen.setdefault(tuple(sorted({i.setting[0] for i in items})), (label, items))
    return list(seen.values())


def joined_pools(pools: Mapping[str, Pool]) -> tuple[Pool, dict[str, list[str]]]:
    """Results of several folders as one, and the SAEs of each.

    Where two folders hold an SAE of one name, each gets its folder's name before it.

    Args:
        pools: Folder as the user names it -> its results.
    """
    owners: dict[str, set[str]] = {}
    for folder, pool in pools.items():
        for label in pool.labels:
            owners.setdefault(label, set()).add(folder)
    items: list[Item] = []
    labels: dict[str, list[str]] = {}
    for folder, pool in pools.items():
        names = {
            label: f"{folder}: {label}" if folder and len(owners[label]) > 1 else label
            for label in pool.labels
        }
        items += [_renamed(item, names[item.label]) for item in pool.items]
        labels[folder] = list(names.values())
    return Pool(tuple(items)), labels


def _renamed(item: Item, label: str) -> Item:
    if label == item.label:
        return item
    sae, group = (label, item.result.set) if item.result.sae else (None, label)
    return Item(item.result.renamed(sae=sae, set=group), item.evidence_of)
