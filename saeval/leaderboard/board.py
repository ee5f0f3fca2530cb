"""What a board declares: which SAEs, tasks and columns, and which nulls must be there."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Board:
    """A board, as its file declares it; see docs/leaderboards.md."""

    name: str
    """The name of its file, without the ending: `lab-world`."""
    title: str
    about: str = ""
    """One paragraph: what is compared, and what for."""
    saes: tuple[str, ...] = ("*",)
    """Names and globs of the SAEs that may stand on it, by the names of their results."""
    model: str | None = None
    """Model that they read, as results name it: `lab://world/model`; None: any."""
    site: str | None = None
    """Where they read: the full path or the name that the SAE gives (`layers.1`); None: any."""
    tasks: Mapping[str, int] = field(default_factory=dict)
    """Task -> its version. Results of other versions are shown, and never ranked."""
    columns: tuple[str, ...] = ()
    """Metrics in order, `metric` or `task/metric`; empty: the tasks' headline metrics."""
    nulls: tuple[str, ...] = ()
    """Null SAEs that must have been scored on every task; without one, no board is built."""
    anchors: tuple[str, ...] = ()
    """SAEs that know the truth, such as the oracle. They must be there too, and are not ranked."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the tasks that each cell is the mean of."""
    sources: tuple[str, ...] = ()
    """Folders of results, relative to the folder of the board's file; empty: `results/<name>`."""
    l0_groups: tuple[tuple[float, float], ...] = ()
    """Ranges of L0, the upper end not included. Ranks are given within a range, so that nothing
    is ranked above another for being less sparse. Empty: all SAEs are one group."""

    required: bool = True
    """Whether nulls and anchors must be there. False only of a board that nobody declared."""

    def l0_group(self, l0: float | None) -> str:
        """The range that an L0 lies in, `12 to 24`; empty where the board has no ranges."""
        if not self.l0_groups:
            return ""
        for low, high in self.l0_groups:
            if l0 is not None and low <= l0 < high:
                return f"{low:g} to {high:g}"
        return "other" if l0 is not None else "unknown"
