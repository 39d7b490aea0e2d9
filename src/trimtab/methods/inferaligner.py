"""InferAligner: an aligned model's directions, added where a model's own states open a gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.config.accepted import require_finite
from trimtab.decoding import Generation
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.activation_addition import ActivationAddition, opened
from trimtab.methods.mixture import SPEAKER
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel
from trimtab.models.steering import Steering


@dataclass(frozen=True, kw_only=True)
class InferAligner(ActivationAddition):
    """Add an aligned model's directions behind the layers that a gate opens, and decode.

    `h_l <- h_l + strength g_l theta_l` at every position, with `theta_l` the aligned model's
    difference of mean hidden states on two sets of prompts, and `g_l = 1` where the model's own
    state at the prompt's last token has `s_l . h_l + b_l > 0`, else 0, with `s_l` its own
    difference: Wang et al., "InferAligner", arXiv 2401.11206. No code is published. Here the gate
    reads the model as it is, before any state is moved, so it is the same at every strength; `b_l`
    puts the boundary half way between the two means of `own`, and `bias` moves it.

    An answer's measure `gate` is the share of layers that are open, at every strength.

    Args:
        own: a file of directions of the base model itself, asked as it is here.
        bias: moves the boundary, in units in which the two means of `own` lie at 1 and -1: above 0
            the gate opens more often.

    Other args and errors are those of `ActivationAddition`; `own` of another model is an error too.
    """

    own: str
    bias: float = 0.0

    def __post_init__(self) -> None:
        require_finite("bias", self.bias)
        super().__post_init__()

    def require_compatible(self) -> None:
        """Raise ValueError for directions of another model, and for other vocabularies."""
        super().require_compatible()
        opened(self.own).require_own(self.base, self.own)

    @property
    def files(self) -> dict[str, str]:
        """The files of directions, by the fields that name them."""
        return {"directions": self.directions, "own": self.own}

    @property
    def steering(self) -> dict[str, Callable[[], Steering]]:
        """What moves the model where its gate opens."""
        layers = self.chosen_layers
        return {"base": _Gating(self.base, self.directions, layers, self.own, self.bias)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer, and measure how far its gate is open."""
        completion = yield from super().answer(cursors, prompts, generation)
        shares = cursors[SPEAKER].gates["base"].shares
        if not shares:  # nothing was asked
            return completion
        gate = {"gate": sum(shares) / len(shares)}
        return dataclasses.replace(completion, measures=completion.measures | gate)


@dataclass(frozen=True)
class _Gating:
    """Gives what moves a model: the same at all strengths."""

    base: LanguageModel
    directions: str
    layers: tuple[int, ...]
    own: str
    bias: float

    def __call__(self) -> Steering:
        from trimtab.activations.shifts import GatedShifts

        directions, own = opened(self.directions), opened(self.own)
        return GatedShifts(self.base, directions, self.layers, own=own, bias=self.bias)
