"""The terms of a mixture: a model, how it is asked, and a weight that one dial may turn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.config.accepted import is_number, require_finite
from trimtab.config.signature import require_types
from trimtab.config.wording import not_a_choice
from trimtab.models import Conversation, LanguageModel

_PIECES = {field.name for field in dataclasses.fields(Conversation)} - {"day"}


@dataclass(frozen=True, kw_only=True)
class Term:
    """A model with its weight in a mixture, `weight + per_strength * strength`.

    Args:
        model: the model.
        weight: its weight where the dial stands at 0.
        per_strength: what the dial adds, for each 1 of it.
        asked: pieces of the conversation in place of the task's, by name (see `Conversation`):
            `{"system": "Be brief."}`; one that is to be left out is "".

    Raises:
        ValueError: for weights that are not finite, and for pieces that no conversation has.
    """

    model: LanguageModel
    weight: float = 0.0
    per_strength: float = 0.0
    asked: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if not isinstance(self.model, LanguageModel):
            raise ValueError(f"model={self.model!r}: accepted is a model, as in ${{base}}.")
        for name in ("weight", "per_strength"):
            require_finite(name, getattr(self, name))
        if not isinstance(self.asked, Mapping | None):
            raise ValueError(
                f"asked={self.asked!r}: accepted are pieces of a conversation by name, as in "
                "{system: Be brief.}."
            )
        for piece in self.asked or ():
            if piece not in _PIECES:
                raise ValueError(not_a_choice("asked:", piece, _PIECES))
        self.question(Conversation(question=""))

    def at(self, strength: float) -> float:
        """Return the weight where the dial stands at `strength`."""
        turned = self.per_strength * strength
        # What rounding leaves of nothing is nothing: the model need not be run.
        if math.isclose(self.weight, -turned, rel_tol=1e-12):
            return 0.0
        return self.weight + turned

    def question(self, conversation: Conversation) -> Conversation:
        """Return what this model is asked."""
        return dataclasses.replace(conversation, **(self.asked or {}))


@dataclass(frozen=True)
class Weight:
    """A number that the dial turns, `constant + per_strength * strength`; see `STRENGTH`."""

    constant: float = 0.0
    per_strength: float = 0.0

    def __add__(self, other: float | Weight) -> Weight:
        if not isinstance(other, Weight | int | float):
            return NotImplemented
        other = other if isinstance(other, Weight) else Weight(other)
        return Weight(self.constant + other.constant, self.per_strength + other.per_strength)

    def __mul__(self, factor: float) -> Weight:
        if not is_number(factor):
            return NotImplemented
        return Weight(self.constant * factor, self.per_strength * factor)

    def __neg__(self) -> Weight:
        return self * -1

    def __sub__(self, other: float | Weight) -> Weight:
        return self + -other

    def __rsub__(self, other: float) -> Weight:
        return -self + other

    def __truediv__(self, divisor: float) -> Weight:
        return self * (1 / divisor)

    __radd__, __rmul__ = __add__, __mul__


STRENGTH = Weight(per_strength=1.0)
"""The dial, in a sum of voices: `base + STRENGTH * (tuned - untuned)`."""


class Sum(Mapping[str, Term]):
    """Voices with weights, as they are written: the terms of a `Formula`, by name.

    `+`, `-`, and `*` and `/` by numbers and by what `STRENGTH` is part of.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        self._terms = dict(terms)

    def __getitem__(self, name: str) -> Term:
        return self._terms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)

    def __repr__(self) -> str:
        return f"Sum({self._terms})"

    def __add__(self, other: Sum) -> Sum:
        if not isinstance(other, Sum):
            return NotImplemented
        both = {**self, **other}
        for name in self.keys() & other.keys():
            one, two = self[name], other[name]
            if (one.model, one.asked) != (two.model, two.asked):
                raise ValueError(
                    f"{name!r} names two voices: another model, or one that is asked otherwise. "
                    "Give each a name of its own."
                )
            both[name] = dataclasses.replace(
                one,
                weight=one.weight + two.weight,
                per_strength=one.per_strength + two.per_strength,
            )
        return Sum(both)

    def __radd__(self, other: object) -> Sum:
        return self if other == 0 else NotImplemented  # what sum() begins with

    def __mul__(self, factor: float | Weight) -> Sum:
        if not isinstance(factor, Weight | int | float):
            return NotImplemented
        scaled = {}
        for name, term in self.items():
            own = Weight(term.weight, term.per_strength)
            if not isinstance(factor, Weight):
                own = own * factor
            elif term.per_strength and factor.per_strength:
                raise ValueError(f"{name!r}: STRENGTH times STRENGTH. Accepted is what is linear.")
            elif term.per_strength:
                own = own * factor.constant
            else:
                own = factor * term.weight
            scaled[name] = dataclasses.replace(
                term, weight=own.constant, per_strength=own.per_strength
            )
        return Sum(scaled)

    def __neg__(self) -> Sum:
        return self * -1

    def __sub__(self, other: Sum) -> Sum:
        return self + -other

    def __truediv__(self, divisor: float) -> Sum:
        return self * (1 / divisor)

    __rmul__ = __mul__


def voice(name: str, model: LanguageModel, **asked: Any) -> Sum:
    """Return a model as a term of weight 1, to be added up with others.

    Args:
        name: what it is called in prompts, records and work.
        model: the model.
        asked: pieces of the conversation that it alone is asked: `system="Be brief."`.
    """
    return Sum({name: Term(model=model, weight=1.0, asked=asked or None)})
