"""Forest plot: the differences of a comparison with their intervals."""

from collections.abc import Sequence
from html import escape
from math import ceil

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from saeval.errors import UsageError
from saeval.results.comparison.findings import Findings
from saeval.results.comparison.row import Row
from saeval.results.plots.style import COLOURS, GREY, dressed, short, title_of

_LOOKS = {
    "better": (COLOURS[0], "triangle-right"),
    "worse": (COLOURS[1], "triangle-left"),
    "higher": (COLOURS[2], "diamond"),
    "lower": (COLOURS[3], "diamond-open"),
    "no test": (GREY, "circle-open"),
}
"""Verdict -> colour and marker; all others are grey circles."""
_DIRECTED = ("better", "worse", "higher", "lower")
_ACROSS = 3
"""Panels side by side."""
_MOST = 24
"""Metrics drawn at most; a figure with more cannot be read."""


def forest(found: Findings) -> go.Figure:
    """A panel for each metric, in its own unit, with a line for each pair.

    Left of 0 the first is lower, right of it higher; colour and marker say the verdict, after
    Holm's correction over the whole comparison.

    Raises:
        UsageError: if nothing was compared.
    """
    by_metric: dict[tuple[str, str | None, float | None], list[Row]] = {}
    for row in found.compared:
        by_metric.setdefault((row.task, row.metric, None), []).append(row)
    if not by_metric:
        raise UsageError("Nothing was compared, so there is nothing to plot.")
    panels = list(by_metric.values())[:_MOST]
    pairs = list(dict.fromkeys((row.first, row.second) for row in found.compared))
    across = min(_ACROSS, len(panels))
    down = ceil(len(panels) / across)
    tall = 74 + 24 * len(pairs)
    figure = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        subplot_titles=[title_of(rows[0].metric, rows[0].better, rows[0].unit) for rows in panels],
        vertical_spacing=min(0.9 / down, 66 / (tall * down)) if down > 1 else 0,
        horizontal_spacing=0.06,
    )
    names = short([side.name for side in found.sides])
    told: set[str] = set()
    for place, rows in enumerate(panels):
        _add_panel(figure, rows, names, told, (place // across + 1, place % across + 1))
    figure.update_annotations(font={"size": 12})
    figure.update_yaxes(categoryorder="array", categoryarray=[_pair(p, names) for p in pairs[::-1]])
    dressed(
        figure,
        "First less second, with 95 % intervals",
        height=180 + tall * down,
        width=420 + 290 * across,
    )
    figure.update_xaxes(zeroline=True, zerolinecolor="#444444", zerolinewidth=1.5)
    figure.update_layout(
        legend={"orientation": "h", "yref": "container", "y": 0.02, "x": 0, "yanchor": "bottom"},
        margin={"t": 90, "b": 90},
    )
    figure.update_yaxes(automargin=True)
    return figure


def _pair(pair: tuple[str, str], names: dict[str, str]) -> str:
    return f"{names[pair[0]]} − {names[pair[1]]}"  # noqa: RUF001  a minus sign


def _add_panel(
    figure: go.Figure,
    rows: Sequence[Row],
    names: dict[str, str],
    told: set[str],
    place: tuple[int, int],
) -> None:
    for row in rows:
        colour, marker = _LOOKS.get(row.verdict, (GREY, "circle"))
        name = row.verdict if row.verdict in _LOOKS else "not told apart"
        value = row.difference or 0.0
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [(row.ci_high - value) if row.ci_high is not None else 0],
            "arrayminus": [(value - row.ci_low) if row.ci_low is not None else 0],
            "color": colour,
            "thickness": 1.6,
        }
        figure.add_trace(
            go.Scatter(
                x=[value],
                y=[_pair((row.first, row.second), names)],
                error_x=bars,
                mode="markers",
                marker={"color": colour, "symbol": marker, "size": 10},
                name=f"first is {name}" if name in _DIRECTED else name,
                legendgroup=name,
                showlegend=name not in told,
                hovertemplate=f"{escape(row.verdict)}: %{{x:.4g}}<extra></extra>",
            ),
            row=place[0],
            col=place[1],
        )
        told.add(name)
