"""Activation addition: hidden states moved along a direction, in every answer alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trimtab.config.accepted import require_finite
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel
from trimtab.models.steering import Steering

if TYPE_CHECKING:
    from trimtab.activations.directions import Directions


@dataclass(frozen=True, kw_only=True)
class ActivationAddition(Mixture):
    """Add a direction to what a model's layers give, at every position, and decode.

    `h_l <- h_l + strength theta_l` behind each chosen layer l, where `theta_l` is the difference of
    mean hidden states on two sets of prompts, as `trimtab direction extract` writes it, of whatever
    length it has: Turner et al., "Steering Language Models With Activation Engineering", arXiv
    2308.10248, and Rimsky et al., arXiv 2312.06681, with variations in the prompts and positions.
    The prompt's positions are moved as well as the answer's.

    Args:
        base: the model that is steered.
        directions: the file of directions; of a model of the same family, width and depth.
        layers: numbers of the layers that are moved, from 0; None for all in the file.
        strength: how much of the directions: 0 is the model as it is, below 0 the reverse.
        measure_kl: run the model as it is as well, to measure the answers' divergence from it.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.

    Raises:
        ValueError: for a file that is not there or damaged, layers that it lacks, a strength that
            is no finite number, and a model that is compiled; before weights load, for directions
            of another kind of model.
    """

    base: LanguageModel
    directions: str
    layers: Sequence[int] | None = None
    strength: float = 1.0
    measure_kl: bool = False
    draft: DraftSource = None

    dial = "strength"
    reference_role = "reference"
    needs = "one architecture"

    def __post_init__(self) -> None:
        from trimtab.activations.directions import require_uncompiled

        require_finite("strength", self.strength)
        require_uncompiled(self.base)
        super().__post_init__()
        _ = self.chosen_layers

    def require_compatible(self) -> None:
        """Raise ValueError for directions of another kind of model, and for other vocabularies."""
        super().require_compatible()
        for path in self.files.values():
            opened(path).require_fitting(self.base, path)

    @property
    def files(self) -> dict[str, str]:
        """The files of directions, by the fields that name them."""
        return {"directions": self.directions}

    @cached_property
    def chosen_layers(self) -> tuple[int, ...]:
        """The layers that are moved, of which all files have directions."""
        layers = self.layers
        for path in self.files.values():
            layers = opened(path).chosen(layers, path)
        return tuple(layers or ())

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The model that is steered; and what its divergence is measured from."""
        mixture = {"base": (self.base, 1.0)}
        return mixture | ({"reference": (self.base, 0.0)} if self.measure_kl else {})

    @property
    def steering(self) -> dict[str, Callable[[], Steering]]:
        """What moves the model."""
        return {"base": _Shifting(self.base, self.directions, self.chosen_layers)}

    def strengths_for(self, prompts: Prompts) -> tuple[float, ...]:
        """Return the strength for each of the layers; 0 has no sign."""
        return (self.strength or 0.0,) * len(self.chosen_layers)

    @property
    def identity(self) -> dict[str, Any]:
        """What the answers depend on: the model's contents, and the directions'."""
        from trimtab.activations.directions import identity

        return super().identity | {name: identity(path) for name, path in self.files.items()}

    def provenance(self) -> dict[str, Any]:
        """Return where model and directions come from."""
        from trimtab.activations.directions import provenance

        return super().provenance() | {n: provenance(path) for n, path in self.files.items()}


@dataclass(frozen=True)
class _Shifting:
    """Gives what moves a model: the same at all strengths."""

    base: LanguageModel
    directions: str
    layers: tuple[int, ...]

    def __call__(self) -> Steering:
        from trimtab.activations.shifts import Shifts

        return Shifts(self.base, opened(self.directions), self.layers)


def opened(path: str) -> Directions:
    """Return a file's directions."""
    from trimtab.activations.directions import Directions

    return Directions.open(path)
