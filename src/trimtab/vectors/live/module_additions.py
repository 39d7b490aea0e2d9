"""Which addition completes which module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from trimtab.tensors.delta import Delta
from trimtab.tensors.low_rank import LowRank
from trimtab.vectors.live.addition import Addition
from trimtab.vectors.live.norm_addition import NormAddition
from trimtab.vectors.live.product_addition import Factors, ProductAddition, oriented


def addition_of(
    module: nn.Module, deltas: Mapping[str, Sequence[Delta | None]], *, reads_some: bool = False
) -> Addition:
    """Return how a module is completed.

    Args:
        module: the module.
        deltas: each parameter's differences by vector.
        reads_some: whether it sees some tokens of a pass alone, as a language model's head does:
            how many follows from other rows, so how it is completed must not follow from that.
    """
    like = next(module.parameters(recurse=False))
    if isinstance(module, nn.Linear | Conv1D | nn.Embedding):
        weight, bias = deltas.get("weight", ()), deltas.get("bias", ())
        return ProductAddition(
            module,
            dense=[
                (which, oriented(delta.dense().to(like), module))
                for which, delta in enumerate(weight)
                if delta is not None and not isinstance(delta, LowRank)
            ],
            factors=Factors.of(weight, module, like),
            bias_DO=_stacked(bias, like),
            forms_sums=not isinstance(module, nn.Embedding) and not reads_some,
        )
    return NormAddition(
        module,
        weight_DO=_stacked(deltas.get("weight", ()), like),
        bias_DO=_stacked(deltas.get("bias", ()), like),
        odd=sorted(deltas.keys() - {"weight", "bias"}),
    )


def _stacked(deltas: Sequence[Delta | None], like: torch.Tensor) -> torch.Tensor | None:
    """Return the differences of a vector of parameters, `[D, O]`; None where there are none."""
    found = [delta for delta in deltas if delta is not None]
    if not found:
        return None
    zeros = torch.zeros(found[0].shape)
    rows = [zeros if delta is None else delta.dense() for delta in deltas]
    return torch.stack([row.float().cpu() for row in rows]).to(like)
