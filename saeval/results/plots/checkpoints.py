"""A metric along the training of SAEs, from the checkpoints that were kept."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from saeval.errors import UsageError
from saeval.results.comparison.kin import Kin
from saeval.results.plots.points import error_bars, points
from saeval.results.plots.style import dressed, looks, title_of


def along_training(kin: Kin, metric: str, task: str | None = None) -> go.Figure:
    """The metric at each checkpoint of every set of kind `checkpoints` in the results.

    Checkpoints stand in the order of their set, at equal distances: a registry gives no times.

    Raises:
        UsageError: if no such set has two checkpoints with a value.
    """
    found = {point.label: point for point in points(kin, metric, task)}
    lines = {
        name: own
        for name, members in kin.checkpoint_sets.items()
        if len(own := [found[label] for label in members if label in found]) > 1
    }
    if not lines:
        raise UsageError(
            f"No set of kind checkpoints has two SAEs with '{metric}' in these results. `saeval ls "
            "sets` lists such sets."
        )
    figure = go.Figure()
    for name, (colour, marker) in looks(lines).items():
        own = lines[name]
        figure.add_trace(
            go.Scatter(
                x=[ticks(kin.checkpoint_sets[name])[point.label] for point in own],
                y=[point.score.value for point in own],
                error_y={**error_bars(point.score for point in own), "color": colour},
                mode="lines+markers",
                name=escape(name),
                marker={"color": colour, "symbol": marker, "size": 9},
                line={"width": 1.5},
                hovertemplate="%{x}<br>%{y:.4g}<extra></extra>",
            )
        )
    score = next(iter(found.values())).score
    figure.update_xaxes(title="checkpoint, in the order of training", type="category")
    figure.update_yaxes(title=title_of(metric, score.better, score.unit))
    figure.update_layout(showlegend=True)
    return dressed(figure, f"{title_of(metric, score.better)} during training")


def ticks(members: Sequence[str]) -> dict[str, str]:
    """Checkpoint -> how it is called: the end of its name that differs, `end` for the last."""
    last = members[-1]
    names = {
        name: escape(name.removeprefix(last).strip("-_/.") or name.rsplit("/", 1)[-1])
        for name in members
    }
    return {**names, last: "end"}
