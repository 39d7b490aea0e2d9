"""Rows of a vocabulary so large that a CPU had better not hold copies of many.

Legend: N rows, V vocabulary.
"""

from collections.abc import Callable

import torch

_MANY = 2**14


def is_large(logits_NV: torch.Tensor) -> bool:
    """Whether rows are to be gone through one by one."""
    return logits_NV.shape[-1] >= _MANY and logits_NV.device.type == "cpu"


def by_rows(measure: Callable[..., torch.Tensor], *logits: torch.Tensor) -> torch.Tensor:
    """Return `[N]`, what is measured of each row of logits `[N, V]`, or of several of them.

    What is made on the way for one large row stays in the cache; for many, the system would have to
    find new memory each time.
    """
    if not is_large(logits[0]):
        return measure(*logits)
    return torch.cat([measure(*rows) for rows in zip(*(z.split(1) for z in logits), strict=True)])
