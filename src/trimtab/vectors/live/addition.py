"""What vectors add to the output of one module, row by row.

Legend: R rows of a batch, T tokens, D vectors, H width of the input, O of the output, K ranks of
all vectors together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from trimtab.vectors.live.row_strengths import RowStrengths

_TOLERANCE = 1e-2  # relative, of what should be affine, in any dtype


class Addition:
    """What the vectors add to the output of one module."""

    def rows_of_module(self, given: torch.Tensor, strengths: RowStrengths) -> list[int] | None:
        """Return which rows the module itself shall see, if not all; others are `put_into` it."""
        return None

    def put_into(
        self, own: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return the output of all rows, given the module's for those of `rows_of_module`."""
        raise NotImplementedError

    def add_to(
        self, out: torch.Tensor, given: torch.Tensor, strengths: RowStrengths
    ) -> torch.Tensor:
        """Return `out`, `[R, T, O]`, with each row's part added; it may be written into."""
        raise NotImplementedError


def require_alike(out: torch.Tensor, expected: torch.Tensor, module: nn.Module) -> bool:
    """Refuse a module whose output is not what its parameters are taken to do.

    Returns:
        Whether that could be told: not of numbers that are not finite.
    """
    error, size = (out - expected).abs().max(), expected.abs().max()
    if not size.isfinite():
        return False
    if not error <= _TOLERANCE * size:
        raise refusal(module, [name for name, _ in module.named_parameters(recurse=False)])
    return True


def refusal(module: nn.Module, names: Sequence[str]) -> ValueError:
    """Return what is said of parameters that rows cannot have strengths of their own in."""
    return ValueError(
        f"Rows cannot have strengths of their own in modules of type {type(module).__name__}: "
        f"their output is not affine in {', '.join(names)}. Use per_row=false."
    )
