"""Accuracy by nudging's threshold, with everything that it is to be compared with as a level.

`python threshold_figure.py RUNS OUT` reads the finished runs below RUNS and writes `threshold-TASK`
to OUT: a line for each pair of models that was nudged at several thresholds, and a dotted level,
named beside the axes, for each other method; of those with a dial of their own, where it is best.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from trimtab.results import plots
from trimtab.results.frames import Curve, Run, curves, labels, read

APART = 0.042  # of the axes' height, that two names of levels are apart


def main(folder: str, out: str) -> None:
    """Draw the figures."""
    runs = read([Path(folder)])
    Path(out).mkdir(parents=True, exist_ok=True)
    for task in dict.fromkeys(run.task for run in runs):
        own = [run for run in runs if run.task == task]
        nudged = [c for c in curves(own) if c.dial == "threshold" and len(c.runs) > 2]
        others = [c.runs for c in curves(own) if c.dial != "threshold"]
        levels = [max(of_dial, key=lambda run: run.score["value"]) for of_dial in others]
        if nudged:
            name = Path(out) / f"threshold-{task}"
            plots.draw(partial(draw, nudged, levels), name, len(nudged))
            print(f"{name}.png")


def draw(nudged: Sequence[Curve], levels: Sequence[Run], axes: Axes) -> None:
    """Draw the lines with their 95 % intervals, and the levels from the highest to the lowest."""
    for i, (curve, label) in enumerate(zip(nudged, labels(nudged), strict=True)):
        color, marker = plots.COLORS[i % len(plots.COLORS)], "os^Dv"[i % 5]
        at = [run.value or 0.0 for run in curve.runs]
        ends = [run.score["ci95"] or [run.score["value"]] * 2 for run in curve.runs]
        heights = [run.score["value"] for run in curve.runs]
        axes.plot(at, heights, color, marker=marker, label=short(label))
        axes.fill_between(at, *zip(*ends, strict=True), color=color, alpha=0.16, linewidth=0)
    place = 1.0
    for run in sorted(levels, key=lambda run: -run.score["value"]):
        height = run.score["value"]
        axes.axhline(height, color="#555555", linewidth=0.9, linestyle=":")
        place = min(place, height)
        axes.annotate(
            name(run),
            (1, height),
            (1.03, place),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize="x-small",
            arrowprops={"arrowstyle": "-", "color": "#AAAAAA", "linewidth": 0.5},
        )
        place -= APART
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xlabel("threshold")
    axes.set_ylabel("accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small")


def name(run: Run) -> str:
    """Return what a level is, in few words; whose, where it is of one model alone."""
    said = [run.method.replace("_", " ")]
    if run.dial:
        said.append(f"{run.dial} {run.value:g}")
    if "unit" in run.config["method"]:
        said.append(run.config["method"]["unit"])
    if opening := run.config["task"].get("answer_start"):
        said.append(f'"{opening}"')
    if run.config["generation"]["temperature"]:
        said.append("sampled")
    return ", ".join(said) + ("" if " + " in run.models else f": {short(run.models)}")


def short(models: str) -> str:
    """Return models, joined by +, by the names of their folders alone."""
    return " + ".join(model.rpartition("/")[2] for model in models.split(" + "))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python threshold_figure.py RUNS OUT")
    main(sys.argv[1], sys.argv[2])
