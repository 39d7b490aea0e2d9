"""What an answer's divergence from the reference model is called once it stands for a method.

An answer's record has it as `kl`: the sum over its tokens of the divergence between what the method
and what the reference say next, both at temperature 1, and as `kl_per_token` that sum by their
number. The mean of the sums over answers that are drawn from the method itself is, by the chain
rule, an unbiased estimate of the KL divergence between the two distributions over answers (those of
`max_new_tokens` at most). Of answers that are drawn otherwise it is none: a mean along the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

KL: Final = "kl"
"""A mean that is a KL divergence, in nats per answer."""

ALONG: Final = "divergence_along"
"""The same of answers that are not drawn from the method's own distribution."""

PER_TOKEN: Final = "_per_token"
"""Ends the names of means over answers of each one's mean over its tokens."""

_ITSELF = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "repetition_penalty": 1}
_LEFT_OUT = {**_ITSELF, "temperature": 0}  # what a setting that is not recorded means
_Value = TypeVar("_Value")


def is_kl(generation: Mapping[str, Any] | None) -> bool:
    """Whether answers of these settings are drawn from the method's distribution as it is."""
    settings = {**_LEFT_OUT, **(generation or {})}
    return all(settings[name] == value for name, value in _ITSELF.items())


def named(found: Mapping[str, _Value], generation: Mapping[str, Any] | None) -> dict[str, _Value]:
    """Return values by the names that their answers' settings allow, in the order given.

    Args:
        found: by the names of measures or metrics.
        generation: the settings that answers were drawn with, as a run's config has them.
    """
    if is_kl(generation):
        return dict(found)
    return {
        ALONG + name.removeprefix(KL) if name in (KL, KL + PER_TOKEN) else name: value
        for name, value in found.items()
    }
