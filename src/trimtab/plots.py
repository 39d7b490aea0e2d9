"""Curves along a dial, drawn on matplotlib axes.

Nothing here touches pyplot: the functions draw on the axes they are given, in a notebook's figure
or in one without a screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trimtab import quantities
from trimtab.results import Curve, Run, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Okabe and Ito's colours, told apart with any colour vision, the paler ones darkened until a line
# of them stands out from white. Shape and dash say the same again.
COLORS = ("#0072B2", "#D55E00", "#00825F", "#B85C93", "#555555")
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("-", "--", ":")
_BAND, _BAR = 0.16, 0.4  # how strongly intervals are drawn
_GRID = "#DDDDDD"
_LABEL = (20, 10)  # points that a dial's value takes up in a frontier
_CHARACTERS = 62  # of a legend's line
_SIZE, _ENTRY = (5.4, 3.4), 0.2  # inches: of a figure, and more height for each curve in its legend
_DPI = 200


def against_dial(curves: Sequence[Curve], metric: str, axes: Axes) -> None:
    """Draw a quantity of each curve against its dial, with 95 % intervals as bands.

    A run without a dial is a dashed level across the axes. What a run does not have is left out.

    Args:
        curves: of one task.
        metric: a name of `quantities.every`, such as `accuracy` or `tokens_per_second`.
        axes: where to draw.
    """
    for i, (curve, name) in enumerate(zip(curves, labels(curves), strict=True)):
        points = [(run, r) for run in curve.runs if (r := quantities.read(run, metric))]
        if not points:
            continue
        style, values = _style(i), [reading.value for _, reading in points]
        low, high = _ends(reading for _, reading in points)
        if curve.dial is None:
            # Levels that coincide take turns along the line.
            level = {"color": style["color"], "linestyle": (5 * i, (5, 5)), "linewidth": 1.4}
            axes.axhline(values[0], label=name, **level)
            axes.axhspan(low[0], high[0], color=style["color"], alpha=_BAND / 2, linewidth=0)
            continue
        dial = [_value(run) for run, _ in points]
        axes.plot(dial, values, label=name, **style)
        if len(points) == 1:  # which has no width for a band
            axes.vlines(dial, low, high, color=style["color"], alpha=_BAR)
        axes.fill_between(dial, low, high, color=style["color"], alpha=_BAND, linewidth=0)
        if quantities.starts_at_zero(metric):
            axes.update_datalim([(dial[0], 0)])
    axes.set_xlabel(_dials(curves))
    _name_axis(axes.yaxis, metric)
    _finish(axes)


def frontier(curves: Sequence[Curve], metric: str, axes: Axes, across: str = quantities.KL) -> None:
    """Draw one quantity of each curve against another, each point labelled by its dial's value.

    Args:
        curves: of one task.
        metric: what goes up the axes.
        axes: where to draw.
        across: what goes along them; a run without it is left out.
    """
    marks: list[tuple[float, float, str, int]] = []
    for i, (curve, name) in enumerate(zip(curves, labels(curves), strict=True)):
        points = [
            (run, x, y)
            for run in curve.runs
            if (x := quantities.read(run, across)) and (y := quantities.read(run, metric))
        ]
        if not points:
            continue
        style = _style(i)
        xs, ys = [x.value for _, x, _ in points], [y.value for *_, y in points]
        axes.vlines(xs, *_ends(y for *_, y in points), color=style["color"], alpha=_BAR)
        axes.hlines(ys, *_ends(x for _, x, _ in points), color=style["color"], alpha=_BAR)
        axes.plot(xs, ys, label=name, **style)
        # The ends say most, so they are labelled first; and a curve leaves free the side below it
        # where it rises.
        side = 1 if ys[-1] < ys[0] else -1
        for run, x, y in (points[0], points[-1], *points[1:-1]):
            if run.value is not None:
                marks.append((x.value, y.value, f"{run.value:g}", side))
    _name_axis(axes.xaxis, across)
    _name_axis(axes.yaxis, metric)
    _finish(axes)
    _write(axes, marks)


def passes(curves: Sequence[Curve], axes: Axes) -> None:
    """Draw the forward passes of each model per token of an answer, against the dial.

    Args:
        curves: of one task.
        axes: where to draw.
    """
    turned = [
        (curve, name) for curve, name in zip(curves, labels(curves), strict=True) if curve.dial
    ]
    lines = [
        (curve, name, quantity)
        for curve, name in turned
        for quantity in quantities.passes(curve.runs)
    ]
    for i, (curve, name, quantity) in enumerate(lines):
        points = [(_value(run), r) for run in curve.runs if (r := quantities.read(run, quantity))]
        role = quantities.role(quantity)
        label = role if len(turned) == 1 else f"{role} in {name}"
        # Models that are always run together have the same passes: both are seen.
        style = _style(i) | {"linestyle": _DASHES[i % len(_DASHES)]}
        axes.plot([x for x, _ in points], [r.value for _, r in points], label=label, **style)
        axes.update_datalim([(points[0][0], 0)])
    axes.set_xlabel(_dials(curves))
    axes.set_ylabel("forward passes per token")
    _finish(axes)


def figure(entries: int = 1) -> tuple[Figure, Axes]:
    """Return an empty figure of a paper's column, with room for a legend, and its axes."""
    width, height = _SIZE
    made = Figure(figsize=(width, height + _ENTRY * entries), layout="constrained")
    return made, made.add_subplot()


def save(made: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG; the same figure always gives the same bytes.

    Args:
        made: the figure.
        path: where, without a suffix.
    """
    files = [path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "svg")]
    with rc_context({"svg.hashsalt": "trimtab"}):
        made.savefig(files[0], dpi=_DPI)
        made.savefig(files[1], metadata={"Date": None})
    return files


def _ends(readings: Iterable[quantities.Reading]) -> tuple[list[float], list[float]]:
    """Return where intervals begin and end; one that is unknown has no width."""
    ends = [reading.interval or (reading.value, reading.value) for reading in readings]
    return [low for low, _ in ends], [high for _, high in ends]


def _dials(curves: Iterable[Curve]) -> str:
    return " or ".join(dict.fromkeys(curve.dial for curve in curves if curve.dial))


def _value(run: Run) -> float:
    assert run.value is not None
    return run.value


def _style(i: int) -> dict[str, Any]:
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "linestyle": _DASHES[i // len(COLORS) % len(_DASHES)],
        "linewidth": 1.6,
        "markersize": 6,
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
    }


def _name_axis(axis: Axis, name: str) -> None:
    axis.set_label_text(quantities.label(name))
    if quantities.is_share(name):
        axis.set_major_formatter(PercentFormatter(xmax=1))


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        # Above the axes, where it hides no data however long the names are.
        legend = axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            frameon=False,
            fontsize="small",
            handlelength=3,
            borderaxespad=0.2,
        )
        for text in legend.get_texts():
            text.set_text(textwrap.fill(text.get_text(), _CHARACTERS))


def _write(axes: Axes, marks: Sequence[tuple[float, float, str, int]]) -> None:
    """Write labels beside points, on the given side of them, but none upon another."""
    taken: list[tuple[float, float]] = []
    width, height = _LABEL
    axes.autoscale_view()
    for x, y, text, side in marks:
        px, py = axes.transData.transform((x, y)) * 72 / axes.figure.dpi
        if any(abs(px - ox) < width and abs(py - oy) < height for ox, oy in taken):
            continue
        taken.append((px, py))
        axes.annotate(
            text,
            (x, y),
            xytext=(5, 5 * side),
            textcoords="offset points",
            va="bottom" if side > 0 else "top",
            fontsize="small",
            color="#333333",
        )
