"""Alignment vectors from files, any number of them, each with a strength of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trimtab import zoo
from trimtab.config.accepted import require_finite
from trimtab.config.wording import not_a_choice
from trimtab.methods.method import Method
from trimtab.methods.mixture import DraftSource
from trimtab.methods.moved_weights import MovedWeights
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel
from trimtab.models.source import local_folder
from trimtab.models.steering import Steering

if TYPE_CHECKING:
    from trimtab.vectors import Vector
    from trimtab.vectors.live.row_dials import RowDials


@dataclass(frozen=True, kw_only=True)
class AlignmentVectors(MovedWeights):
    """Add alignment vectors to a model's weights, each with a strength of its own, and decode.

    `theta = theta_base + strength sum_d strengths_d (theta_d - theta_base)`: Shahriar et al.,
    "Inference time LLM alignment in single and multidomain preference spectrum", arXiv 2410.19206.
    The prompt is rendered the base model's way.

    Args:
        base: the model that the vectors are added to: the one that they were extracted from, or
            another stage of its tuning.
        vectors: where they lie, by name: a folder that `trimtab vector extract` wrote, a LoRA
            adapter, a hub id, or `zoo:<name>`.
        strengths: how much of each vector, by its name; 1 for those that are not named.
        strength: multiplies all of them: 0 is the base model, 1 the strengths as given.
        per_row: leave the weights as they are and add the vectors' part to each row of a batch, so
            that a sweep of strengths is one batch; equal up to rounding.
        measure_kl: run the base model as it was beside the moved one, to measure the answers'
            divergence from it.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.

    Raises:
        ValueError: for a vector that is not there, and a strength that is no finite number or has
            no vector.
    """

    base: LanguageModel
    vectors: Mapping[str, str]
    strengths: Mapping[str, float] | None = None
    strength: float = 1.0
    per_row: bool = False
    measure_kl: bool = False
    draft: DraftSource = None

    further_dials = ("strengths",)

    def __post_init__(self) -> None:
        if not self.vectors:
            raise ValueError(
                f"vectors={self.vectors!r}: there is none. Give some by name, as in "
                "method.vectors={medicine:zoo:medicine}."
            )
        for path in self.vectors.values():
            if path.startswith("zoo:"):
                zoo.vector_path(path.removeprefix("zoo:"))
            else:
                local_folder(path, "Vector")
        for name, strength in (self.strengths or {}).items():
            if name not in self.vectors:
                raise ValueError(not_a_choice("strengths:", name, self.vectors))
            require_finite(f"strengths.{name}", strength)
        require_finite("strength", self.strength)
        super().__post_init__()

    def goes_with(self, other: Method) -> bool:
        """Whether only strengths differ, and each row can have its own."""
        return self.per_row and super().goes_with(other)

    @property
    def identity(self) -> dict[str, Any]:
        """What the answers depend on: the models' contents and the vectors'."""
        from trimtab.vectors.disk.vector_folder import identity

        return super().identity | {n: identity(path) for n, path in self._named.items()}

    def provenance(self) -> dict[str, Any]:
        """Return where models and vectors come from."""
        from trimtab.vectors.disk.vector_folder import provenance

        base = self.base.identity["content_sha256"]
        vectors = {n: provenance(path, base=base) for n, path in self._named.items()}
        return super().provenance() | vectors

    @property
    def _named(self) -> dict[str, str]:
        return {f"vectors.{name}": path for name, path in self.vectors.items()}

    @property
    def _names(self) -> list[str]:
        """Return the vectors' names in an order that does not depend on how they were given.

        Sums round by their order, and settings are known by what they are.
        """
        return sorted(self.vectors, key=str)

    @property
    def _all_strengths(self) -> dict[str, float]:
        """Return the strength of each vector; 0 times anything is 0, without a sign."""
        given = self.strengths or {}
        own = {name: self.strength * given.get(name, 1.0) for name in self._names}
        return {name: strength or 0.0 for name, strength in own.items()}

    @property
    def steering(self) -> dict[str, Callable[[], Steering]]:
        """The vectors, where each row has strengths of its own."""
        return {"base": _Rows(self.base, self.vectors, self)} if self.per_row else {}

    def strengths_for(self, prompts: Prompts) -> tuple[float, ...]:
        """Return the strength of each vector, where each row has its own."""
        return tuple(self._all_strengths.values()) if self.per_row else ()

    @cached_property
    def row_dials(self) -> RowDials:
        """The vectors in the base model, for each row by strengths of its own."""
        from trimtab.vectors.live.row_dials import RowDials

        return RowDials(self.base.weights, self._opened)

    @property
    def moved(self) -> LanguageModel:
        """The base model with the vectors added; as it is where rows have strengths."""
        return self.base if self.per_row else self._moved

    @cached_property
    def _moved(self) -> LanguageModel:
        from trimtab.vectors.live.dial import move

        return move(self.base, self._opened, self._all_strengths)

    @cached_property
    def _opened(self) -> dict[str, Vector]:
        from trimtab.vectors import Vector

        return {name: Vector.open(self.vectors[name]) for name in self._names}


@dataclass(frozen=True)
class _Rows:
    """Gives some vectors in a model: the same at all strengths."""

    base: LanguageModel
    vectors: Mapping[str, str]
    method: AlignmentVectors = field(compare=False)

    def __call__(self) -> RowDials:
        return self.method.row_dials
