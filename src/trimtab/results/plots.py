"""Curves along a dial, drawn on matplotlib axes.

Nothing here touches pyplot: the functions draw on the axes they are given, in a notebook's figure
or in one without a screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trimtab.machine.printable import printable
from trimtab.results import quantities
from trimtab.results.frames import Curve, Run, labels
from trimtab.runs.divergence import KL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    from trimtab.results.at_kl import AtKl

# Okabe and Ito's colours, told apart with any colour vision, the paler ones darkened until a line
# of them stands out from white. Shape and dash say the same again.
COLORS = ("#0072B2", "#D55E00", "#00825F", "#B85C93", "#555555")
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("-", "--", ":")
_BAND, _BAR = 0.16, 0.4  # how strongly intervals are drawn
_GRID = "#DDDDDD"
_LEVEL = "#222222"
_LABEL = (20, 10)  # points that a dial's value takes up in a frontier
_LETTER = 0.57  # of a font's size, the mean width of a letter
_HANDLE = 3  # letters: the piece of line in a legend
_SHAPE = 0.63  # a figure's height, as part of its width
_LINE = 1.45  # of a font's size, the height of a line in a legend
_DPI = 200


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a figure is made for its readers: its width in inches, its letters, its files."""

    width: float
    font_size: float
    suffixes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What matplotlib is told while a figure of this form is drawn and written."""
        # Outlines of letters (type 3) are what many conferences refuse; a salt keeps bytes equal.
        fonts = {"font.size": self.font_size, "pdf.fonttype": 42}
        return {**fonts, "svg.hashsalt": "trimtab"}


SCREEN = Form(width=5.4, font_size=10, suffixes=("png", "svg"))
PAPER = Form(width=3.25, font_size=7, suffixes=("pdf",))  # a column of two-column proceedings


def against_dial(curves: Sequence[Curve], metric: str, axes: Axes) -> None:
    """Draw a quantity of each curve against its dial, with 95 % intervals as bands.

    A run without a dial is a dashed level across the axes. What a run does not have is left out.

    Args:
        curves: of one task, with one dial or none.
        metric: a name of `quantities.every`, such as `accuracy` or `tokens_per_second`.
        axes: where to draw.

    Raises:
        ValueError: for curves along several dials, whose values mean different things.
    """
    dial_name = _dial(curves)
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
    axes.set_xlabel(dial_name)
    _name_axis(axes.yaxis, metric)
    _finish(axes)


def frontier(
    curves: Sequence[Curve],
    metric: str,
    axes: Axes,
    across: str = KL,
    at: AtKl | None = None,
) -> None:
    """Draw one quantity of each curve against another, each point labelled by its dial's value.

    Args:
        curves: of one task.
        metric: what goes up the axes.
        axes: where to draw.
        across: what goes along them; a run without it is left out.
        at: the curves at one KL, to be marked with their intervals where `across` is the KL.
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
    if at is not None and across == KL and metric == at.metric:
        _mark(at, axes)
    _name_axis(axes.xaxis, across)
    _name_axis(axes.yaxis, metric)
    _finish(axes)
    _write(axes, marks)


def _mark(at: AtKl, axes: Axes) -> None:
    """Draw a level of the KL, and what each curve scores there."""
    axes.axvline(at.kl, color=_LEVEL, linestyle=":", linewidth=1)
    for crossing in at.crossings:
        low, high = crossing.score.ci95 or (crossing.score.value, crossing.score.value)
        left, right = crossing.kl.ci95 or (at.kl, at.kl)
        axes.vlines(at.kl, low, high, color=_LEVEL)
        axes.hlines(crossing.score.value, left, right, color=_LEVEL)
        axes.plot(at.kl, crossing.score.value, marker="x", color=_LEVEL)


def passes(curves: Sequence[Curve], axes: Axes) -> None:
    """Draw the forward passes of each model per token of an answer, against the dial.

    Args:
        curves: of one task, with one dial or none.
        axes: where to draw.

    Raises:
        ValueError: as `against_dial`.
    """
    dial_name = _dial(curves)
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
    axes.set_xlabel(dial_name)
    axes.set_ylabel("forward passes per token")
    _finish(axes)


def figure(entries: int = 1, form: Form = SCREEN) -> tuple[Figure, Axes]:
    """Return an empty figure, with room for a legend of so many entries, and its axes."""
    legend = entries * _LINE * form.font_size / 72
    made = Figure(figsize=(form.width, _SHAPE * form.width + legend), layout="constrained")
    return made, made.add_subplot()


def draw(drawing: Callable[[Axes], None], path: Path, entries: int = 1) -> list[Path]:
    """Make a figure for screens (PNG, SVG) and for a paper's column (PDF); return the files.

    The same drawing always gives the same bytes.

    Args:
        drawing: draws on the axes that it is given.
        path: where, without a suffix.
        entries: how many lines its legend will have.
    """
    files = []
    for form in (SCREEN, PAPER):
        with rc_context(form.settings):
            made, axes = figure(entries, form)
            drawing(axes)
            for suffix in form.suffixes:
                files.append(path.with_name(f"{path.name}.{suffix}"))
                undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
                made.savefig(files[-1], dpi=_DPI, metadata=undated.get(suffix))
    return files


def _ends(readings: Iterable[quantities.Reading]) -> tuple[list[float], list[float]]:
    """Return where intervals begin and end; one that is unknown has no width."""
    ends = [reading.interval or (reading.value, reading.value) for reading in readings]
    return [low for low, _ in ends], [high for _, high in ends]


def _dial(curves: Iterable[Curve]) -> str:
    names = dict.fromkeys(curve.dial for curve in curves if curve.dial)
    if len(names) > 1:
        raise ValueError(
            f"Curves along {' and '.join(names)}: a value of the one is none of the other. Draw "
            "the curves of each dial on axes of their own."
        )
    return "".join(names)


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
            handlelength=_HANDLE,
            borderaxespad=0.2,
        )
        points = axes.figure.bbox.width * 72 / axes.figure.dpi
        for text in legend.get_texts():
            letter = _LETTER * text.get_fontproperties().get_size_in_points()
            text.set_text(textwrap.fill(text.get_text(), int(points / letter) - _HANDLE - 2))
            _show_as_it_is(text)
    for label in (axes.xaxis.label, axes.yaxis.label):
        _show_as_it_is(label)


def _show_as_it_is(text: Text) -> None:
    """Keep a name from being read as a formula, which `$` begins, or from having no glyphs."""
    text.set_parse_math(False)
    text.set_text(printable(text.get_text(), keep="\n"))


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
