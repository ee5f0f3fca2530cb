"""A metric against L0, by architecture, with nulls and the Pareto frontier."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from saeval.errors import UsageError
from saeval.results.comparison.kin import Kin
from saeval.results.plots.points import Point, error_bars, points
from saeval.results.plots.style import BAND, GREY, dressed, looks, short, title_of


def against_l0(kin: Kin, metric: str, task: str | None = None) -> go.Figure:
    """The metric of each SAE against its L0, one colour and marker for each architecture.

    A line joins SAEs of one architecture and training seed. The grey band holds the intervals of
    all nulls. The dotted line is the Pareto frontier: what no SAE beats in both.

    Raises:
        UsageError: if no SAE has both the metric and an L0.
    """
    found = [p for p in points(kin, metric, task) if p.l0 and p.label not in kin.checkpoints]
    if not found:
        raise UsageError(
            f"No SAE of these results has both '{metric}' and an L0. Run the task core, which "
            "gives the L0."
        )
    figure = go.Figure()
    names = short([point.label for point in found])
    trained = [point for point in found if not point.is_null]
    nulls = [point for point in found if point.is_null]
    _add_nulls(figure, nulls, names)
    for name, (colour, marker) in looks(point.family for point in trained).items():
        own = sorted(
            (point for point in trained if point.family == name), key=lambda p: p.l0 or 0.0
        )
        _add_lines(figure, own, kin, colour)
        figure.add_trace(_markers(own, names, name, colour, marker))
    score = found[0].score
    _add_frontier(figure, trained, score.better)
    figure.update_xaxes(title="L0 (active latents per token, log scale)", type="log")
    figure.update_yaxes(title=title_of(metric, score.better, score.unit))
    figure.update_xaxes(tickvals=_ticks([point.l0 or 1.0 for point in found]))
    return dressed(figure, f"{title_of(metric, score.better)} against L0")


def _ticks(values: Sequence[float]) -> list[float]:
    """Powers of two around the values, and some of their thirds where there are few."""
    ticks = [2.0**power * step for power in range(-4, 16) for step in (1.0, 1.5)]
    low, high = min(values) / 1.3, max(values) * 1.3
    return [tick for tick in ticks if low <= tick <= high]


def _markers(
    own: Sequence[Point], names: dict[str, str], name: str, colour: str, marker: str
) -> go.Scatter:
    return go.Scatter(
        x=[point.l0 for point in own],
        y=[point.score.value for point in own],
        error_y={**error_bars(point.score for point in own), "color": colour},
        mode="markers",
        name=escape(name),
        marker={"color": colour, "symbol": marker, "size": 9},
        text=[names[point.label] for point in own],
        hovertemplate="%{text}<br>L0 %{x:.4g}<br>%{y:.4g}<extra></extra>",
    )


def _add_lines(figure: go.Figure, own: Sequence[Point], kin: Kin, colour: str) -> None:
    """A thin line along each family."""
    for line in dict.fromkeys(kin.lines([point.label for point in own])):
        along = [point for point in own if point.label in line]
        if len(along) > 1:
            figure.add_trace(
                go.Scatter(
                    x=[point.l0 for point in along],
                    y=[point.score.value for point in along],
                    mode="lines",
                    line={"color": colour, "width": 1.2},
                    opacity=0.6,
                    hoverinfo="skip",
                    showlegend=False,
                )
            )


def _add_nulls(figure: go.Figure, nulls: Sequence[Point], names: dict[str, str]) -> None:
    """Nulls in grey, and the band that holds their intervals."""
    if not nulls:
        return
    scores = [point.score for point in nulls]
    low = min(s.ci_low if s.ci_low is not None else s.value or 0.0 for s in scores)
    high = max(s.ci_high if s.ci_high is not None else s.value or 0.0 for s in scores)
    figure.add_hrect(y0=low, y1=high, fillcolor=BAND, line_width=0, layer="below")
    figure.add_trace(_markers(nulls, names, "nulls (band: all of them)", GREY, "circle-open"))


def _add_frontier(figure: go.Figure, trained: Sequence[Point], better: str | None) -> None:
    best = frontier(trained, better)
    if len(best) > 1:
        figure.add_trace(
            go.Scatter(
                x=[point.l0 for point in best],
                y=[point.score.value for point in best],
                mode="lines",
                line={"color": "#222222", "width": 1.5, "dash": "dot", "shape": "hv"},
                name="Pareto frontier",
                hoverinfo="skip",
            )
        )


def frontier(found: Sequence[Point], better: str | None) -> list[Point]:
    """Points that no other beats in both: fewer active latents, and a better value.

    By value alone, without intervals. Empty where neither direction of the metric is better.
    """
    sign = {"higher": 1.0, "lower": -1.0}.get(better or "")
    if sign is None:
        return []
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p.l0 or 0.0, -sign * (p.score.value or 0.0))):
        if not best or sign * (point.score.value or 0.0) > sign * (best[-1].score.value or 0.0):
            best.append(point)
    return best
