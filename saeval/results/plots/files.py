"""Plots in files: HTML that needs nothing from elsewhere, and PNG."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from saeval.errors import UsageError

_HOW = "The HTML needs neither."


def png_hindrance() -> str | None:
    """What is missing for PNG, in one line; None if it can be written."""
    try:
        check_png()
    except UsageError as error:
        return str(error)
    return None


def check_png() -> None:
    """Make sure that PNG can be written: kaleido, and a Chrome or Chromium that it drives.

    Raises:
        UsageError: naming what is missing.
    """
    try:
        import kaleido  # noqa: F401
        from choreographer.browsers.chromium import Chromium
    except ImportError as error:
        raise UsageError(
            f"PNG of plots needs the package kaleido, which is not installed ({error}): "
            f"pip install 'saeval[plots]'. {_HOW}"
        ) from error
    if not Chromium.find_browser(skip_local=False):
        raise UsageError(
            "PNG of plots needs Chrome or Chromium, and none was found. Install one, or name it in "
            f"the variable BROWSER_PATH. {_HOW}"
        )


def write_figure(figure: go.Figure, folder: Path, name: str, *, png: bool = True) -> list[Path]:
    """Write one figure; see `write_figures`."""
    return write_figures({name: figure}, folder, png=png)


def write_figures(
    figures: Mapping[str, go.Figure], folder: Path, *, png: bool = True
) -> list[Path]:
    """Write figures as HTML, and as PNG at twice the resolution.

    Args:
        figures: Name of the files, without an ending -> figure.
        folder: Made if it does not exist.
        png: Whether PNG is written too.

    Returns:
        The files written.

    Raises:
        UsageError: if the folder cannot be written to, or PNG not be made.
    """
    if png:
        check_png()
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            written.append(folder / f"{name}.html")
            written[-1].write_text(page_of(figure, name), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Plots cannot be written to '{folder}' ({error.strerror or error}); name another "
            "folder."
        ) from error
    if png and figures:
        written += _write_png(figures, folder)
    return written


def page_of(figure: go.Figure, title: str) -> str:
    """A page with one figure and all of plotly in it; its policy lets it ask for nothing else."""
    body = figure.to_html(include_plotlyjs=True, full_html=False, config={"displaylogo": False})
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    policy += "img-src data: blob:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title></head><body>{body}</body></html>\n"
    )


def _write_png(figures: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """All figures by one start of the browser."""
    from plotly.io import write_images

    paths = [folder / f"{name}.png" for name in figures]
    try:
        write_images(
            list(figures.values()),
            list(paths),
            scale=2,
            width=[figure.layout["width"] for figure in figures.values()],
            height=[figure.layout["height"] for figure in figures.values()],
        )
    except Exception as error:
        raise UsageError(
            f"The browser that draws PNG failed ({type(error).__name__}: {error}). Name another "
            f"Chrome or Chromium in the variable BROWSER_PATH. {_HOW}"
        ) from error
    return paths
