"""The figures of a study, written as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab import plots, quantities
from trimtab.report.study import Study, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write(study: Study, folder: Path) -> list[Path]:
    """Draw what a study's runs have: each quantity against the dial, the score against the KL.

    Where a task gives its metric for parts of its samples, as `expert_law`, these are drawn too.

    Returns:
        The files; none where no dial was turned.
    """
    lines = [curve for curve in study.curves if len(curve.runs) > 1]
    turned = [run for curve in lines for run in curve.runs]
    costs = quantities.passes(turned)
    parts = [name for name in quantities.every(turned) if name.startswith(f"{study.metric}_")]
    drawings: dict[str, Callable[[Axes], None]] = {
        name: partial(plots.against_dial, study.curves, name)
        for name in dict.fromkeys([*quantities.main(turned), *parts])
        if name not in costs
    }
    if costs:
        drawings["passes-per-token"] = partial(plots.passes, lines)
    if quantities.KL in drawings:
        drawings[f"{study.metric}-by-kl"] = partial(plots.frontier, study.curves, study.metric)
    files: list[Path] = []
    for name, draw in drawings.items():
        made, axes = plots.figure(len(study.curves))
        draw(axes)
        files += plots.save(made, folder / f"{study.name}-{slug(name)}")
    return files
