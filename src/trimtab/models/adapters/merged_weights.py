"""An adapter merged into the weights of a loaded model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from trimtab.models.adapters.placing import Placed, owned
from trimtab.tensors.blocks import blocks
from trimtab.tensors.number_format import kind_of

_BLOCK = 1 << 24  # elements


@torch.no_grad()
def merge(parts: Iterable[Placed], weights: nn.Module, *, of: str) -> None:
    """Add an adapter's products to the weights, in fp32, cast once.

    Args:
        parts: what is added to which weight.
        weights: the model.
        of: what the adapter is called.

    Raises:
        ValueError: for weights that are quantized, or not in memory.
    """
    for name, delta, _ in parts:
        tensor = owned(weights, name)
        if tensor is None or not kind_of(tensor).is_of_weights:
            raise ValueError(
                f"Adapter {of!r} cannot be merged into {name}, whose weights are quantized. Use "
                "adapter_mode=live."
            )
        if tensor.is_meta:
            raise ValueError(
                f"Adapter {of!r} cannot be merged into {name}, which is not in memory but "
                "offloaded. Use adapter_mode=live, or a device that holds the whole model."
            )
        flat, there = tensor.detach().view(-1), delta.to(tensor.device)
        for first, last in blocks(there.shape, _BLOCK):
            part = flat[first:last]
            part.copy_(part.float() + there.block(first, last).float())
