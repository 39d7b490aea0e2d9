"""The figures of a study, written for screens and for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.report.study import Study, slug
from trimtab.results import plots, quantities
from trimtab.results.frames import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write(study: Study, folder: Path) -> list[Path]:
    """Draw what a study's runs have: each quantity against the dial, the score against the KL.

    Curves along different dials are drawn apart. Where a task gives its metric for parts of its
    samples, as `expert_law`, these are drawn too.

    Returns:
        The files; none where no dial was turned.
    """
    return [
        file
        for name, curves, drawing in _drawings(study)
        for file in plots.draw(drawing, folder / f"{study.name}-{slug(name)}", len(curves))
    ]


def _drawings(study: Study) -> Iterator[tuple[str, list[Curve], Callable[[Axes], None]]]:
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
    if any(quantities.read(run, quantities.KL) for c in every if len(c.runs) > 1 for run in c.runs):
        yield f"{study.metric}-by-kl", every, partial(plots.frontier, every, study.metric)
