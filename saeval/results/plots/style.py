"""How plots look: colours that the colour-blind tell apart, on a light background; nulls grey."""

from collections.abc import Iterable, Sequence
from html import escape

import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B5A2B")
"""Of Okabe and Ito, "Color universal design" (2008), the strongest first."""
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon")
"""A marker for each colour, so that no colour alone tells two apart."""
GREY = "#8A8A8A"
BAND = "rgba(138,138,138,0.18)"
_ARROWS = {"higher": " ↑", "lower": " ↓"}


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name -> colour and marker, in order."""
    return {
        name: (COLOURS[place % len(COLOURS)], MARKERS[(place + place // 8) % len(MARKERS)])
        for place, name in enumerate(dict.fromkeys(names))
    }


def title_of(metric: str | None, better: str | None, unit: str | None = None) -> str:
    """The metric with its arrow and unit, escaped."""
    text = escape(f"{metric}{_ARROWS.get(better or '', '')}")
    return f"{text} ({escape(unit)})" if unit else text


def dressed(figure: go.Figure, title: str, *, height: int = 480, width: int = 760) -> go.Figure:
    """The figure with title, font, grid and background."""
    figure.update_layout(
        template="plotly_white",
        title={
            "text": title,
            "font": {"size": 17},
            "x": 0.01,
            "xanchor": "left",
            "y": 1 - 24 / height,
            "yanchor": "top",
        },
        font={"family": "Arial, Helvetica, sans-serif", "size": 13, "color": "#222222"},
        height=height,
        width=width,
        margin={"l": 70, "r": 30, "t": 70, "b": 60},
        legend={"orientation": "v", "font": {"size": 12}},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(showline=True, linecolor="#444444", ticks="outside", gridcolor="#E6E6E6")
    figure.update_yaxes(showline=True, linecolor="#444444", ticks="outside", gridcolor="#E6E6E6")
    return figure


def short(names: Sequence[str]) -> dict[str, str]:
    """Names without the folders that all share, escaped."""
    from saeval.results.tables.names import short_names

    return {name: escape(text) for name, text in short_names(names, 40).short.items()}
