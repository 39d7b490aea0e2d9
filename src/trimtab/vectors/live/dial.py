"""Vectors in the weights of a loaded model, turned in place."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from trimtab.config.accepted import require_choice
from trimtab.models.language_model import LanguageModel
from trimtab.models.tensor_names import tied_names
from trimtab.tensors.delta import Between
from trimtab.vectors.live.sum_in_place import write_sum
from trimtab.vectors.names.names_in_memory import by_names_in_memory, own_tensors
from trimtab.vectors.vector import Vector
from trimtab.vectors.weighted_sum import not_finite, require_finite_strengths, terms_of


class Dial:
    """Vectors added to the weights of a model in memory, each with a strength of its own.

    `theta = theta_base + sum_d strength_d delta_d` (Shahriar et al., arXiv 2410.19206), in fp32,
    cast once. It is always computed from the base weights, of which a copy is kept on the weights'
    device: so strength 0 gives these back bit for bit, 1 the aligned ones, and no walk of the dial
    leaves a trace. A turn reads base and vectors once and writes the weights once.

    Args:
        weights: the model, on whatever devices its layers are; its strengths are 0 at first.
        vectors: the vectors by name.
        base: the base weights by their names, if they are kept elsewhere anyway; None to copy
            those that the vectors change.

    Raises:
        ValueError: for a vector that does not fit the model, listing the tensors.
    """

    def __init__(
        self,
        weights: nn.Module,
        vectors: Mapping[str, Vector],
        *,
        base: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self._live = own_tensors(weights)
        self.strengths = dict.fromkeys(vectors, 0.0)
        self._deltas = {
            which: {name: delta.to(self._live[name].device) for name, delta in deltas.items()}
            for which, deltas in by_names_in_memory(vectors, weights).items()
        }
        changed = {name for deltas in self._deltas.values() for name in deltas}
        self._base = {
            name: (self._live[name].detach().clone() if base is None else base[name])
            for name in self._live
            if name in changed
        }
        for deltas in self._deltas.values():
            for name, delta in deltas.items():
                if isinstance(delta, Between):  # which may be from the weights that are turned
                    deltas[name] = delta.kept(self._live[name], self._base[name])

    @torch.no_grad()
    def turn(self, strengths: Mapping[str, float]) -> None:
        """Set the strengths of some vectors; the others stay as they are.

        Raises:
            ValueError: for a name that is none of the vectors', and strengths that are not finite.
        """
        for name in strengths:
            require_choice("Vector", name, self.strengths)
        require_finite_strengths(list(strengths.values()))
        self.strengths |= strengths
        for name, base in self._base.items():
            terms = terms_of(name, self._deltas, self.strengths)
            write_sum(self._live[name].detach(), base, terms)

    def not_finite(self) -> str | None:
        """Return the name of a tensor that holds NaN or infinite numbers now; None if none does."""
        for name in self._base:
            if not self._live[name].detach().isfinite().all():
                return name
        return None


def between(base: LanguageModel, aligned: LanguageModel) -> Vector:
    """Return the vector from one model in memory to another.

    Raises:
        ValueError: if their tensors do not match, listing those that differ.
    """
    for model in (base, aligned):
        if model.has_live_adapter:
            raise ValueError(
                f"The adapter {model.adapter!r} is beside the weights of {model.path!r}, and no "
                "difference of weights has it. Use adapter_mode=merged."
            )
    one, other = (tied_names(model.weights) for model in (base, aligned))
    if one != other and {n for names in one for n in names} == {
        n for names in other for n in names
    }:
        raise ValueError(
            f"{base.path!r} and {aligned.path!r} tie different weights together "
            "(tie_word_embeddings in config.json); one sum cannot be both. Untie both, or neither."
        )
    tensors = [own_tensors(model.weights) for model in (base, aligned)]
    return Vector.between(*tensors, names=(base.path, aligned.path))


def move(
    base: LanguageModel, vectors: Mapping[str, Vector], strengths: Mapping[str, float]
) -> LanguageModel:
    """Return a new model, `base` moved along some vectors; `base` is not changed.

    Raises:
        ValueError: for a vector that does not fit, and for a sum that is not of finite numbers.
    """
    weights = copy.deepcopy(base.weights)
    dial = Dial(weights, vectors, base=own_tensors(base.weights))
    dial.turn(strengths)
    if odd := dial.not_finite():
        raise not_finite(odd, base=base.path, dtype=str(weights.dtype))
    return base.holding(weights)
