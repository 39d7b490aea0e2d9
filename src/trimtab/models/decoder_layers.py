"""The decoder layers of a model, whose outputs are its hidden states.

Legend: R rows of a pass, T tokens, H width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def decoder_layers(weights: PreTrainedModel) -> list[nn.Module]:
    """Return the layers of a model, in the order in which they are run.

    Raises:
        ValueError: for a model in which it is not clear which these are.
    """
    depth = weights.config.get_text_config().num_hidden_layers
    decoder: nn.Module = weights.get_decoder()
    found = [
        each for each in decoder.modules() if isinstance(each, nn.ModuleList) and len(each) == depth
    ]
    if len(found) != 1:
        raise ValueError(
            f"{called(weights)} has {len(found)} lists of {depth} modules, and hidden states are "
            "what the layers of one give. Accepted: models with one list of decoder layers, such "
            "as Llama, Qwen, Gemma, GPT-2."
        )
    return list(found[0])


def states_of(out: Any, layer: nn.Module) -> torch.Tensor:
    """Return the hidden states `[R, T, H]` among what a layer gives.

    Raises:
        ValueError: for a layer that gives something else.
    """
    states = out[0] if isinstance(out, tuple) else out
    if not isinstance(states, torch.Tensor) or states.dim() != 3:
        shape = list(getattr(states, "shape", ())) or type(states).__name__
        raise ValueError(
            f"{type(layer).__name__} gives {shape}. Accepted: models whose layers give hidden "
            "states by row, token and width."
        )
    return states


def with_states(out: Any, states: torch.Tensor) -> Any:
    """Return what a layer gives, with other hidden states."""
    return (states, *out[1:]) if isinstance(out, tuple) else states


def called(weights: PreTrainedModel) -> str:
    """Return what a model is called in messages."""
    return f"{weights.name_or_path or type(weights).__name__!r} ({weights.config.model_type})"
