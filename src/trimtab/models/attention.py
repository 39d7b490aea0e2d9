"""Who may attend to what: keys at or before a query, within the window if there is one.

Legend: R rows of a call, T new tokens of a row, L cached positions.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from trimtab.models.language_model import LanguageModel

# What a session tells every pass. MPT's biases follow from the distance between two keys alone.
_TOLD = {"past_key_values", "position_ids"}
_NOT_NEEDED = {"mpt": {"position_ids"}}
_OTHERS = {
    "blt": "reads patches of bytes, whose number is not that of the tokens",
    "moshi": "names a sliding window that its layers do not keep",
}


class AttentionMask:
    """Makes the masks of one model; one that mixes full and sliding layers takes one of each."""

    def __init__(self, weights: PreTrainedModel) -> None:
        config = weights.config.get_text_config()
        window = getattr(config, "sliding_window", None) or math.inf
        kinds = set(getattr(config, "layer_types", None) or [])
        self._mixed = len(kinds) > 1
        self._window = math.inf if kinds == {"full_attention"} else window
        self._dtype = weights.dtype

    def __call__(
        self, positions_RT: torch.Tensor, length: int, *, all_seen: bool
    ) -> torch.Tensor | dict[str, torch.Tensor] | None:
        """Return what is added to attention scores, `[R, 1, T, L]`; None where all is seen.

        Args:
            positions_RT: positions of the new tokens.
            length: number of cached positions, the new ones included.
            all_seen: whether there is one new token in each row, behind all cached positions.
        """
        if all_seen and length <= self._window:
            return None
        if not self._mixed:
            return self._mask(positions_RT, length, self._window)
        return {
            "full_attention": self._mask(positions_RT, length, math.inf),
            "sliding_attention": self._mask(positions_RT, length, self._window),
        }

    def _mask(self, positions_RT: torch.Tensor, length: int, window: float) -> torch.Tensor:
        keys_L = torch.arange(length, device=positions_RT.device)
        queries_R1T1 = positions_RT[:, None, :, None]
        hidden = keys_L > queries_R1T1
        if window < length:
            hidden |= keys_L <= queries_R1T1 - window
        return hidden.to(self._dtype).mul_(torch.finfo(self._dtype).min)


def require_attention(model: LanguageModel) -> None:
    """Refuse architectures whose answers do not follow from keys and values at positions alone."""
    config = model.weights.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    rope = _rope_types(getattr(config, "rope_parameters", None) or {})
    reason = None
    if other := kinds - {"full_attention", "sliding_attention"}:
        reason = f"has layers of kind {', '.join(sorted(other))}, whose state cannot be rewound"
    elif getattr(model.weights, "_is_stateful", False):
        reason = "has a recurrent state, which cannot be rewound"
    elif "local" in getattr(config, "attention_layers", []):
        reason = "counts its local attention from the longest row of a batch"
    elif getattr(config, "alibi", False) or config.model_type == "bloom":
        reason = "has position biases (ALiBi) that take no mask of our own"
    elif following := rope & {"longrope", "dynamic"}:
        kind = ", ".join(sorted(following))
        reason = f"has rotary frequencies ({kind}) that follow the longest row of a batch"
    elif _sees_ahead(config):
        reason = "has tokens that see those that come later, as an encoder's do"
    elif missing := _not_taken(model.weights) - _NOT_NEEDED.get(config.model_type, set()):
        reason = f"takes no {' and no '.join(sorted(missing))}"
    elif config.model_type in _OTHERS:
        reason = _OTHERS[config.model_type]
    if reason:
        raise ValueError(
            f"{model.path!r} ({config.model_type}) {reason}. Accepted: models with full or "
            "sliding-window attention in every layer, at positions of their own."
        )


def _rope_types(parameters: Mapping[str, Any]) -> set[str]:
    """Return the kinds of rotary embeddings; layers of several kinds have parameters each."""
    each = [parameters, *(p for p in parameters.values() if isinstance(p, Mapping))]
    return {str(p["rope_type"]) for p in each if "rope_type" in p}


def _sees_ahead(config: PreTrainedConfig) -> bool:
    if not getattr(config, "is_causal", True):
        return True
    if getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        return True
    encoder = getattr(config, "is_decoder", True) is False
    return encoder and not config.model_type.startswith("gpt_neox")  # whose setting means nothing


def _not_taken(weights: PreTrainedModel) -> set[str]:
    """Return what a model would not hear of, or would swallow."""
    inner = getattr(weights, "get_base_model", lambda: weights)()  # of an adapter's wrapping
    return _TOLD - set(inspect.signature(type(inner).forward).parameters)
