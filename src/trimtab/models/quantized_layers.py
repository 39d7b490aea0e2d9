"""The layers of a loaded model that hold their weights in fewer bits than they compute in."""

from __future__ import annotations

import logging
import sys
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

_ROWS, _COLUMNS = 32, 64  # multiples that bitsandbytes' kernel for CPUs takes
_log = logging.getLogger(__name__)


def quantized_layers(model: nn.Module) -> list[Any]:
    """Return the linear layers whose weights are no plain tensors."""
    linear = (module for module in model.modules() if isinstance(module, nn.Linear))
    return [module for module in linear if type(module.weight) is not nn.Parameter]


def settle(model: PreTrainedModel, path: str, *, held_by: str) -> None:
    """Let quantized layers compute in the model's number format; say how much they hold.

    Args:
        model: loaded, on its device.
        path: of the model.
        held_by: what the layers are quantized by.

    Raises:
        ValueError: for a model without layers that can hold their weights so.
    """
    layers = quantized_layers(model)
    held = sum(layer.in_features * layer.out_features for layer in layers)
    plain = sum(p.numel() for p in model.parameters() if type(p) is nn.Parameter)
    if not held:
        raise ValueError(
            f"{path!r} cannot be held as {held_by}: none of its layers is of a kind for that. Use "
            "quantization=none."
        )
    share = held / (held + plain)
    _log.info("%s: %.0f %% of its weights are held as %s.", path, 100 * share, held_by)
    for layer in layers:
        # Where a CPU has bfloat16, bitsandbytes computes in that whatever is asked for.
        fits = layer.out_features % _ROWS == 0 and layer.in_features % _COLUMNS == 0
        if model.dtype != torch.bfloat16 or not fits:
            layer.support_avx512bf16_for_cpu = False


def import_bitsandbytes() -> None:
    """Import it without what it does where the package kernels is there: run code from the hub."""
    modules: dict[str, Any] = sys.modules
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    there, loud = modules.get("kernels"), not log.disabled
    modules["kernels"] = None  # so that its import fails, of which a line would tell
    log.disabled = True
    try:
        import bitsandbytes  # noqa: F401
    finally:
        log.disabled = not loud
        del modules["kernels"]
        if there is not None:
            modules["kernels"] = there
