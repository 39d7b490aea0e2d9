"""Several vectors in the room of one: EMR-merging."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trimtab.config.accepted import require_choice
from trimtab.tensors.delta import Delta, Dense
from trimtab.vectors.merge.named_vectors import Vectors, shapes, tensors
from trimtab.vectors.provenance import made
from trimtab.vectors.vector import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALES = ("elements", "tensors")


@dataclass(frozen=True, eq=False)
class EmrMerge:
    """One vector with a bit mask and a number for each task: elect, mask and rescale.

    Of the tasks' vectors `tau_t`, element by element,

        sign = sgn(sum_t tau_t),    unified = sign * max { |tau_t| : sgn(tau_t) = sign }
        mask_t = [tau_t * unified > 0],    scale_t = sum |tau_t| / sum |mask_t * unified|

    and task `t` is approximately `scale_t * mask_t * unified` (Huang et al., arXiv 2405.17461).
    Elements keep their sign or become 0, the sum of magnitudes stays, and a vector that is merged
    alone comes back as it was.

    Attributes:
        unified: the one vector, in fp32.
        masks: by task and tensor, eight elements a byte, the first in the highest bit.
        scales: by task.
    """

    unified: Vector
    masks: Mapping[str, Mapping[str, NDArray[np.uint8]]]
    scales: Mapping[str, float]

    @classmethod
    def of(cls, vectors: Vectors, *, scale: str = "elements") -> EmrMerge:
        """Merge vectors of one base model, a tensor at a time.

        Args:
            vectors: the vectors, by task.
            scale: what the two sums of `scale_t` run over: `elements`, as in the paper, or means
                over the elements of each of the `tensors`, which all count alike, as in the
                authors' released code.

        Raises:
            ValueError: for another scale, and for tensors that do not match.
        """
        require_choice("scale:", scale, SCALES)
        unified: dict[str, Delta] = {}
        masks: dict[str, dict[str, NDArray[np.uint8]]] = {task: {} for task in vectors}
        own, masked = dict.fromkeys(vectors, 0.0), dict.fromkeys(vectors, 0.0)
        for name, shape in shapes(vectors).items():
            parts = tensors(vectors, name)
            one = _unified(torch.stack(list(parts.values())))
            unified[name] = Dense(one)
            count = max(1, math.prod(shape)) if scale == "tensors" else 1
            for task, part in parts.items():
                mask = part * one.sign() > 0
                masks[task][name] = np.packbits(mask.reshape(-1).cpu().numpy())
                own[task] += _sum(part) / count
                masked[task] += _sum(one * mask) / count
        scales = {task: own[task] / masked[task] if masked[task] else 0.0 for task in vectors}
        return cls(Vector(unified, made("emr", vectors, scale=scale)), masks, scales)

    def vector(self, task: str) -> Vector:
        """Return a task's vector, approximately; it shares the memory of the merge.

        Raises:
            ValueError: for a task that was not merged.
        """
        require_choice("Task", task, self.masks)
        return Vector(
            {
                name: Masked(self.unified.deltas[name], mask, self.scales[task])
                for name, mask in self.masks[task].items()
            },
            made("mask", {"": self.unified}, task=task),
        )

    @property
    def nbytes(self) -> int:
        """Bytes in memory: 4 + T / 8 for each element of T tasks, where vectors are 4 T."""
        elements = sum(math.prod(delta.shape) for delta in self.unified.deltas.values())
        bits = sum(mask.nbytes for masks in self.masks.values() for mask in masks.values())
        return 4 * elements + bits


@dataclass(frozen=True, eq=False)
class Masked(Delta):
    """Some elements of a difference, multiplied by a number.

    Attributes:
        whole: the difference.
        mask: which elements; eight to a byte, the first in the highest bit.
        scale: multiplies them.
    """

    whole: Delta
    mask: NDArray[np.uint8]
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.whole.shape

    def block(self, first: int, last: int) -> torch.Tensor:
        """Return the elements `first` to `last`, flat."""
        begin = first // 8
        bits = np.unpackbits(self.mask[begin : -(-last // 8)])[first - 8 * begin : last - 8 * begin]
        values = self.whole.block(first, last)
        return values * torch.from_numpy(bits).to(values.device) * self.scale

    def times(self, strength: float) -> Delta:
        """Return the difference multiplied by a number, still masked."""
        return Masked(self.whole, self.mask, self.scale * strength)


def _unified(parts_T: torch.Tensor) -> torch.Tensor:
    """Return the elected signs with the largest magnitude that agrees with them."""
    # In fp64 no order of the tasks rounds a sum to another sign.
    sign = parts_T.sum(0, dtype=torch.float64).sign().float()
    return sign * (parts_T * sign).amax(0)


def _sum(values: torch.Tensor) -> float:
    return float(values.abs().sum(dtype=torch.float64))
