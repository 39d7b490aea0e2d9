"""Vectors as heat maps: how far each part of a model is moved, and how alike vectors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from trimtab.machine.printable import printable
from trimtab.machine.whole_files import replacing
from trimtab.vectors.show.cosines import ALL
from trimtab.vectors.show.profile import Sums, axes, bases_are_known, shown_norm
from trimtab.vectors.show.shown_vector import ShownVector

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Told apart with any colour vision, and still in order when printed in grey.
_LENGTHS, _ANGLES = "cividis", "PuOr"
_NOTHING = "#EEEEEE"  # where a layer has no such module
_OUTSIDE = "none"
_LONGEST = 60  # characters of a name, half of them from either end
_CELL, _ROOM = (0.3, 0.24), (3.2, 1.3)  # inches: of a cell, and around a map's cells
_NARROWEST, _WIDEST = 3.6, 14.0  # inches of a map's cells
_WRITTEN = 12  # columns up to which numbers are written into cells
_DARK = 0.55  # of a colour's brightness, below which what is written on it is white
_DPI = 200


def draw(shown: Sequence[ShownVector], cosines: Mapping[str, list[list[float]]] | None) -> Figure:
    """Return a figure with a map of layers and kinds for each vector, all of one scale.

    Args:
        shown: the vectors.
        cosines: between them, of which those over all tensors are drawn; None for one vector.
    """
    places = [each.profile.by_place() for each in shown]
    of_base = bases_are_known(sums for found in places for sums in found.values())
    lengths = [
        {place: shown_norm(sums) if of_base else sums.norm for place, sums in found.items()}
        for found in places
    ]
    highest = max((length for found in lengths for length in found.values()), default=0.0)
    scale = Normalize(0, highest or 1)
    maps = [_grid(found, places) for found in lengths]
    rows, columns = maps[0][0].shape
    if not rows:
        raise ValueError("There is nothing to draw in the picture: no vector changes anything.")
    heights = [rows * _CELL[1] + _ROOM[1]] * len(shown)
    if cosines:
        heights.append(len(shown) * 2 * _CELL[1] + _ROOM[1])
    width = min(max(columns * _CELL[0], _NARROWEST), _WIDEST) + _ROOM[0]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    label = "relative norm [% of the base's]" if of_base else "norm"
    for each, (cells, layers, kinds), panel in zip(shown, maps, panels, strict=False):
        image = _heat_map(panel, cells, (layers, kinds), _LENGTHS, scale, "{:.2g}")
        panel.set_title(_plain(each.name), loc="left", fontsize="medium")
        panel.set_xlabel("layer")
        figure.colorbar(image, ax=panel, label=label, fraction=0.05, pad=0.02)
    if cosines:
        names, panel = [each.name for each in shown], panels[-1]
        cells = np.array(cosines[ALL])
        image = _heat_map(panel, cells, (names, names), _ANGLES, Normalize(-1, 1), "{:z.2f}")
        panel.set_title("cosine between the vectors", loc="left", fontsize="medium")
        figure.colorbar(image, ax=panel, label="cosine", fraction=0.05, pad=0.02)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all; the same figure always gives the same bytes."""
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else None
    with rc_context({"svg.hashsalt": "trimtab"}), replacing(path) as draft:
        figure.savefig(draft, format=kind, dpi=_DPI, metadata=metadata)


def _grid(
    found: Mapping[tuple[str, str], float], every: Sequence[Mapping[tuple[str, str], Sums]]
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the lengths by kind and layer, NaN where there is none, with what they are called."""
    places = {place: sums for each in every for place, sums in each.items()}
    layers, kinds = axes(places)
    outside = [kind for layer, kind in places if not layer]
    columns = [*layers, *([""] if outside else [])]
    rows = [*kinds, *(kind for kind in outside if kind not in kinds)]
    cells = np.array([[found.get((layer, kind), np.nan) for layer in columns] for kind in rows])
    return cells.reshape(len(rows), len(columns)), [c or _OUTSIDE for c in columns], rows


def _heat_map(
    panel: Axes,
    cells: np.ndarray,
    labels: tuple[list[str], list[str]],
    colors: str,
    scale: Normalize,
    form: str,
) -> AxesImage:
    palette = colormaps[colors].with_extremes(bad=_NOTHING)
    image = panel.imshow(cells, cmap=palette, norm=scale, aspect="auto", interpolation="none")
    across, down = labels
    step = max(1, -(-len(across) // 40))  # or the numbers would run into each other
    shown = [i for i in range(len(across)) if i % step == 0 or across[i] == _OUTSIDE]
    panel.set_xticks(shown, [_plain(across[i]) for i in shown], fontsize="small")
    panel.set_yticks(range(len(down)), map(_plain, down), fontsize="small")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    if len(across) > _WRITTEN:
        return image
    for (row, column), cell in np.ndenumerate(cells):
        if not np.isnan(cell):
            red, green, blue, _ = palette(scale(cell))
            bright = 0.299 * red + 0.587 * green + 0.114 * blue  # as the eye weighs them
            ink = "white" if bright < _DARK else "black"
            text = form.format(cell)
            panel.text(column, row, text, ha="center", va="center", fontsize="x-small", color=ink)
    return image


def _plain(name: str) -> str:
    """Return a name in which dollar signs are no formulas; of a long one its two ends."""
    half = _LONGEST // 2
    shown = name if len(name) <= _LONGEST else f"{name[:half]}...{name[-half:]}"
    return printable(shown).replace("$", r"\$")
