"""Who stands on a board: SAEs by content, with their results from all sources."""

import fnmatch
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saeval.errors import ResultError
from saeval.leaderboard.board import Board
from saeval.leaderboard.sources import Badge, Source
from saeval.results.comparison.pool import NULL_ARCHITECTURES
from saeval.results.folder import FOLDER
from saeval.results.reading import read_result, read_results, result_folders
from saeval.results.score import Result, Score

logger = logging.getLogger(__name__)

Kind = Literal["entry", "null", "anchor"]
"""An entry is ranked; a null is what entries should beat, an anchor knows the truth."""
_TRUST: tuple[Badge, ...] = ("ours", "re-run", "recomputed", "self-reported", "imported")
"""Badges, the most confirmed first."""


@dataclass(frozen=True)
class Filed:
    """A result, and where it lies."""

    result: Result
    folder: Path
    source: Source

    @property
    def imported(self) -> str | None:
        """The harness that published it without evidence; None for a result of saeval's."""
        origin = self.result.provenance.get("origin")
        if isinstance(origin, Mapping):
            return f"{origin.get('harness', 'another harness')} {origin.get('version', '')}".strip()
        return "another harness" if self.source.badge == "imported" else None

    @property
    def badge(self) -> Badge:
        """How far it is confirmed: numbers that were imported are no more, whoever files them."""
        return "imported" if self.imported else self.source.badge


@dataclass(frozen=True)
class Entrant:
    """One SAE of a board."""

    label: str
    """Its name; with owner and beginning of its content hash where another has the same name."""
    sae: str
    """Its name."""
    content: str
    """Hash of its content; empty if none is recorded."""
    kind: Kind
    filed: tuple[Filed, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """What its results say of it: architecture, widths, source."""

    @property
    def badge(self) -> Badge:
        """How far the least confirmed of its results is confirmed."""
        return _TRUST[max(_TRUST.index(one.badge) for one in self.filed)]

    @property
    def owner(self) -> str | None:
        """Who submitted its results; None if the maintainers scored it themselves."""
        return self.filed[0].source.owner

    def of(self, task: str) -> list[Filed]:
        """Its results of a task, the most confirmed first."""
        own = [one for one in self.filed if one.result.task == task]
        rank = [(_TRUST.index(one.badge), one.result.result_id) for one in own]
        return [one for _, one in sorted(zip(rank, own, strict=True), key=lambda pair: pair[0])]


def read_entrants(board: Board, sources: Sequence[Source]) -> list[Entrant]:
    """The SAEs of some folders of results that belong on a board, in order of label.

    One SAE under one name is one entrant of each who scored it, so that nothing is believed of one
    because of what another computed. The maintainers' own keep their names.
    """
    grouped: dict[tuple[str, str, str], list[Filed]] = {}
    for filed in _read(sources):
        if belongs(board, filed.result):
            name = filed.result.sae or filed.result.set or ""
            key = (name, _content(filed.result), filed.source.owner or "")
            grouped.setdefault(key, []).append(filed)
    names = Counter(name for name, _, _ in grouped)
    of_owner = Counter((name, owner) for name, _, owner in grouped)
    entrants = [
        _entrant(board, key, filed, _label(key, names[key[0]], of_owner[key[0], key[2]]))
        for key, filed in grouped.items()
    ]
    return sorted(entrants, key=lambda entrant: (entrant.label, entrant.content))


def _label(key: tuple[str, str, str], of_name: int, of_owner: int) -> str:
    """A name that no two entrants share."""
    name, content, owner = key
    if of_name == 1:
        return name
    hashed = f"{name}-{content[:8]}" if of_owner > 1 and content else name
    return f"{hashed} by {owner}" if owner else hashed


def _entrant(
    board: Board, key: tuple[str, str, str], filed: Sequence[Filed], label: str
) -> Entrant:
    name, content, owner = key
    first = min(filed, key=lambda one: (_TRUST.index(one.badge), one.result.result_id))
    about = next(iter(first.result.provenance.get("saes") or ()), {})
    kind = "entry" if owner else _kind(board, name, about)
    return Entrant(label, name, content, kind, tuple(filed), about)


def _kind(board: Board, name: str, about: Mapping[str, Any]) -> Kind:
    """Nulls and anchors are the maintainers' own: a submission cannot set what others must beat."""
    if name in board.anchors:
        return "anchor"
    is_null = about.get("null") or about.get("architecture") in NULL_ARCHITECTURES
    return "null" if is_null or name in board.nulls else "entry"


def belongs(board: Board, result: Result) -> bool:
    """Whether a result is of an SAE, model and site of a board.

    A board's site is the module path at which results say that they were measured, since one site
    has many names (`layers.1`, `blocks.1.hook_resid_post`), or the name that the SAE itself gives.
    """
    name = result.sae or result.set or ""
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in board.saes):
        return False
    source = result.provenance.get("source") or {}
    own = [*(result.provenance.get("saes") or ()), *(result.provenance.get("claims") or ())]
    models = {source.get("name"), source.get("model"), *(one.get("model") for one in own)}
    sites = {source.get("site"), *(one.get("read_site") for one in own)}
    return board.model in (None, *models) and board.site in (None, *sites)


def _read(sources: Sequence[Source]) -> Iterator[Filed]:
    for source in sources:
        folders = _folders(source.folder)
        for result in read_results(source.folder):
            yield Filed(result, folders[result.result_id], source)


def _folders(root: Path) -> dict[str, Path]:
    """Result id -> its folder, that of a result which did not fail where there are several."""
    found: dict[str, list[Path]] = {}
    for folder in result_folders(root):
        if match := re.fullmatch(FOLDER, folder.name):
            found.setdefault(match[1], []).append(folder)
    return {key: paths[0] if len(paths) == 1 else _best(paths) for key, paths in found.items()}


def _best(folders: Sequence[Path]) -> Path:
    def rank(folder: Path) -> int:
        try:
            return int(read_result(folder).status == "failed")
        except ResultError:
            return 2

    return min(folders, key=rank)


def _content(result: Result) -> str:
    """Hash of the SAE's content; empty if none is recorded."""
    members = result.provenance.get("saes") or [{}]
    return str(members[0].get("hash", ""))


def l0_of(entrant: Entrant, board: Board) -> float | None:
    """Active latents per token, mean over seeds; None if the task core did not score it."""
    wanted = board.tasks.get("core")
    values: dict[int, dict[int, float]] = {}
    for filed in entrant.of("core"):
        name = "saebench_l0" if filed.imported else "l0"
        for score in filed.result.scores:
            if score.metric == name and score.part is None and score.value is not None:
                of_version = values.setdefault(score.task_version, {})
                of_version.setdefault(score.seed, score.value)
    if not values:
        return None
    chosen = values.get(wanted or -1) or values[max(values)]
    return sum(chosen.values()) / len(chosen)


def cost_of(entrant: Entrant, board: Board) -> tuple[float | None, float | None]:
    """Seconds of scoring it on the board's tasks, and the highest memory meanwhile in 10^6 bytes.

    Loading and scoring count; what is prepared once for all SAEs does not.
    """
    seconds, peaks = [], []
    for task, version in board.tasks.items():
        for filed in entrant.of(task):
            phases = filed.result.provenance.get("phases")
            if filed.result.task_version != version or not isinstance(phases, Mapping):
                continue
            own = [phases[name] for name in ("load", "score") if name in phases]
            seconds += [float(phase.get("seconds") or 0) for phase in own]
            peaks += [float(phase.get("peak_rss_mb") or 0) for phase in own]
    return (sum(seconds) if seconds else None), (max(peaks) if peaks else None)


def scores_named(filed: Filed, metric: str) -> Score | None:
    """The score of a metric over all data, or what a task says that scored nothing."""
    whole = [score for score in filed.result.scores if score.part is None]
    named = next((score for score in whole if score.metric == metric), None)
    return named or next((score for score in whole if score.metric is None), None)
