"""Who may attend to what: keys at or before a query, within the window if there is one.

Legend: R rows of a call, T new tokens of a row, L cached positions.
"""

from __future__ import annotations

import math

import torch
from transformers import PreTrainedModel

from trimtab.models.language_model import LanguageModel


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
    rope = str((getattr(config, "rope_parameters", None) or {}).get("rope_type", ""))
    reason = None
    if other := kinds - {"full_attention", "sliding_attention"}:
        reason = f"has layers of kind {', '.join(sorted(other))}, whose state cannot be rewound"
    elif getattr(model.weights, "_is_stateful", False):
        reason = "has a recurrent state, which cannot be rewound"
    elif "local" in getattr(config, "attention_layers", []):
        reason = "counts its local attention from the longest row of a batch"
    elif getattr(config, "alibi", False) or config.model_type == "bloom":
        reason = "has position biases (ALiBi) that take no mask of our own"
    elif rope in {"longrope", "dynamic"}:
        reason = f"has rotary frequencies ({rope}) that follow the longest row of a batch"
    if reason:
        raise ValueError(
            f"{model.path!r} ({config.model_type}) {reason}. Accepted: models with full or "
            "sliding-window attention in every layer, at positions of their own."
        )
