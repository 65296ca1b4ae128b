"""Plots that need no colour: markers and dashes differ, too. The foot of each names its data, recipe and seed.

matplotlib belongs to the extra `report`. We import it when we draw, on its Agg canvas, which needs no display.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.fit.checkpoint import write_atomically
from training.report.content import Figure

# Okabe and Ito, Color Universal Design (2008): most people can tell them apart, whatever their colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
_WIDTH, _HEIGHT, _DPI = 7.0, 4.2, 110


class MissingExtra(ImportError):
    """The extra `report` is not installed."""


class Series(NamedTuple):
    """A line: y [n] over x [n], with bars from low to high if they are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Panel(NamedTuple):
    """One pair of axes. ticks: names of the places 0 … n − 1 if x is not a number."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    ticks: Sequence[str] | None = None
    log_x: bool = False


class Cloud(NamedTuple):
    """Points [n, 2] in groups [n]; each group has its own colour and marker."""

    title: str
    points: NDArray[np.float64]
    groups: NDArray[np.int64]


def require_extra() -> None:
    """Raise MissingExtra, which names the extra to install, before hours of runs end in a failed import."""
    try:
        import jinja2  # noqa: F401
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"report: {error.name} is missing; install the extra: pip install -e '.[train,report]'"
        ) from error


def draw_lines(folder: Path, file: str, title: str, panels: Sequence[Panel], *, foot: str, alt: str) -> Figure:
    """Line plots side by side."""
    figure, all_axes = _figure(len(panels), title, foot)
    for axes, panel in zip(all_axes, panels, strict=True):
        for at, line in enumerate(panel.series):
            style = {
                "color": COLOURS[at % 8],
                "marker": MARKERS[at % 8],
                "linestyle": DASHES[at % 4],
                "label": line.name,
            }
            if line.low is not None and line.high is not None:
                y = np.asarray(line.y)
                # A figure may lie outside a percentile interval by rounding; a bar has no negative length.
                error = np.clip([y - np.asarray(line.low), np.asarray(line.high) - y], 0, None)
                axes.errorbar(line.x, y, yerr=error, capsize=3, markersize=5, **style)
            else:
                axes.plot(line.x, line.y, markersize=5 if len(line.x) < 40 else 0, **style)
        _label(axes, panel.title, panel.x_label, panel.y_label)
        if panel.log_x:
            axes.set_xscale("log", base=2)
            places = sorted({place for line in panel.series for place in line.x})
            axes.set_xticks(places, [f"{place:g}" for place in places])
        if panel.ticks is not None:
            axes.set_xticks(range(len(panel.ticks)), panel.ticks)
            if max(map(len, panel.ticks)) > 8:
                axes.tick_params(axis="x", labelrotation=30)
        if len(panel.series) > 1:
            axes.legend(fontsize=8, frameon=False)
    return _save(figure, folder, file, title, foot, alt)


def draw_dots(
    folder: Path,
    file: str,
    title: str,
    panels: Sequence[tuple[str, Sequence[tuple[str, float, float, float]]]],
    *,
    foot: str,
    alt: str,
) -> Figure:
    """Named values with intervals, one below the other; a panel is an x label and rows of (name, value, low, high)."""
    rows = max(len(entries) for _, entries in panels)
    figure, all_axes = _figure(len(panels), title, foot, height=1.6 + 0.32 * rows)
    for axes, (x_label, entries) in zip(all_axes, panels, strict=True):
        places = np.arange(len(entries))[::-1]
        values = np.array([value for _, value, _, _ in entries])
        error = [values - [low for _, _, low, _ in entries], [high for _, _, _, high in entries] - values]
        axes.errorbar(values, places, xerr=np.clip(error, 0, None), fmt="o", color=COLOURS[0], capsize=3, markersize=5)
        axes.set_yticks(places, [name for name, *_ in entries])
        axes.set_xlim(left=0)
        _label(axes, "", x_label, "")
    return _save(figure, folder, file, title, foot, alt)


def draw_clouds(folder: Path, file: str, title: str, clouds: Sequence[Cloud], *, foot: str, alt: str) -> Figure:
    """Maps of points side by side. The axes of a t-SNE map have no unit, and the labels say so."""
    figure, all_axes = _figure(len(clouds), title, foot)
    for axes, cloud in zip(all_axes, clouds, strict=True):
        for at, group in enumerate(np.unique(cloud.groups)):
            inside = cloud.points[cloud.groups == group]
            axes.scatter(
                inside[:, 0], inside[:, 1], s=14, c=COLOURS[at % 8], marker=MARKERS[at % 8], linewidths=0, alpha=0.8,
                label=f"cluster {group + 1}",
            )  # fmt: skip
        _label(axes, cloud.title, "t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    all_axes[-1].legend(fontsize=7, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return _save(figure, folder, file, title, foot, alt)


def _figure(panels: int, title: str, foot: str, height: float = _HEIGHT) -> tuple[Any, list[Any]]:
    require_extra()
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(_WIDTH if panels == 1 else 5.2 * panels, height), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    figure.supxlabel(foot, fontsize=7, color="#444444", parse_math=False)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _label(axes: Any, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xlabel(x_label, parse_math=False)
    axes.set_ylabel(y_label, parse_math=False)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, folder: Path, file: str, title: str, foot: str, alt: str) -> Figure:
    buffer = io.BytesIO()
    # No date and no version in the file: the same figure is the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(folder / file, buffer.getvalue())
    return Figure(file=file, title=title, caption=foot, alt=alt)
