"""How alike vectors are: the cosine of the angle between them, by kind of module."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.tensors.blocks import blocks
from trimtab.tensors.number_format import Array
from trimtab.vectors.matching import require_one_architecture
from trimtab.vectors.show.profile import kinds
from trimtab.vectors.vector import Vector

ALL = "all"


def cosines(vectors: Sequence[Vector]) -> dict[str, list[list[float]]]:
    """Return the cosine between each two vectors, over all tensors and by kind of module.

    Args:
        vectors: of one architecture.

    Returns:
        A symmetric matrix by kind, and one of the name `all`. NaN where a vector is 0 throughout.

    Raises:
        ValueError: for tensors that differ in shape.
    """
    shapes = require_one_architecture(
        {f"vector {i + 1}": vector.deltas for i, vector in enumerate(vectors)},
        fix="There is no angle between them. Show them one at a time.",
    )
    # In the order of the files, as tables have it.
    names = kinds(dict.fromkeys(name for vector in vectors for name in vector.deltas))
    count = len(vectors)
    inner = {kind: np.zeros((count, count)) for kind in names.values()}
    for name, shape in shapes.items():
        holders = [i for i, vector in enumerate(vectors) if name in vector.deltas]
        for first, last in blocks(shape):
            rows = np.zeros((count, last - first))
            for i in holders:
                rows[i] = vectors[i].deltas[name].values(first, last)
            with np.errstate(invalid="ignore"):  # NaN where weights are not finite
                inner[names[name]] += rows @ rows.T
    total = sum(inner.values(), np.zeros((count, count)))
    return {kind: _normalized(products) for kind, products in {ALL: total, **inner}.items()}


def _normalized(products: Array) -> list[list[float]]:
    lengths = np.sqrt(products.diagonal())
    with np.errstate(invalid="ignore"):
        matrix: list[list[float]] = (products / np.outer(lengths, lengths)).tolist()
    return matrix
