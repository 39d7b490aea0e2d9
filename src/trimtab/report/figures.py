"""The figures of a study, written for screens and for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.report.study import Study, slug
from trimtab.results import plots, quantities
from trimtab.results.at_kl import of_curves
from trimtab.results.frames import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write(study: Study, folder: Path, at_kl: float | None = None) -> list[Path]:
    """Draw what a study's runs have: each quantity against the dial, the score against the KL.

    Curves along different dials are drawn apart. Where a task gives its metric for parts of its
    samples, as `expert_law`, these are drawn too.

    Args:
        study: the runs.
        folder: where to.
        at_kl: a KL at which the frontier is read, and marked.

    Returns:
        The files; none where no dial was turned.
    """
    return [
        file
        for name, curves, drawing in _drawings(study, at_kl)
        for file in plots.draw(drawing, folder / f"{study.name}-{slug(name)}", len(curves))
    ]


def _drawings(
    study: Study, at_kl: float | None
) -> Iterator[tuple[str, list[Curve], Callable[[Axes], None]]]:
    """Yield each drawing's name, and the curves that are in it."""
    dials = list(dict.fromkeys(c.dial for c in study.curves if c.dial and len(c.runs) > 1))
    for dial in dials:
        curves = [curve for curve in study.curves if curve.dial in (dial, None)]
        turned = [curve for curve in curves if len(curve.runs) > 1]
        along = f"-by-{dial}" if len(dials) > 1 else ""
        runs = [run for curve in turned for run in curve.runs]
        parts = [name for name in quantities.every(runs) if name.startswith(f"{study.metric}_")]
        costs = quantities.passes(runs)
        for name in dict.fromkeys([*quantities.main(runs), *parts]):
            if name not in costs:
                yield f"{name}{along}", curves, partial(plots.against_dial, curves, name)
        if costs:
            yield f"passes-per-token{along}", turned, partial(plots.passes, turned)
    every = list(study.curves)
    swept = [run for curve in every if len(curve.runs) > 1 for run in curve.runs]
    for across in quantities.DISTANCES:
        if any(quantities.read(run, across) for run in swept):
            at = None if at_kl is None else of_curves(every, at_kl)
            drawing = partial(plots.frontier, every, study.metric, across=across, at=at)
            yield f"{study.metric}-by-{across}", every, drawing
