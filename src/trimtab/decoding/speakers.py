"""Who may speak: models with weights, how their logits become one, and what steers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trimtab.config.wording import not_a_choice
from trimtab.decoding.predictor import Combine
from trimtab.models.language_model import LanguageModel
from trimtab.models.steering import Steering
from trimtab.models.token_map import TokenMap
from trimtab.models.vocabulary import answering, maps_onto


@dataclass(frozen=True)
class Speaker:
    """One model, or several of one vocabulary, with one distribution of the next token.

    Those with a `token_map` may have another vocabulary: they are read through it.

    Args:
        mixture: the models and their weights, by role; one of weight 0 is not run.
        combine: how the logits of those that are run become one; None for `sum_i weight_i z_i`.
        reference: role of the model that an answer's KL divergence is measured from, where it is
            run.
        measured: run the reference where its weight is 0, too.
        steering: what gives that which moves a model, by the model's role; called once the weights
            are to be loaded. How much it moves is what `Method.strengths_for` says. Methods decode
            together where these are equal, as functions of a module and frozen dataclasses are; a
            lambda equals no other.
        draws_like: the speaker whose random draws it guesses, as one that drafts for it does; None
            for draws of its own.
        reads_ahead: whether it is asked about several positions at a time, as for drafts.
    """

    mixture: Mapping[str, tuple[LanguageModel, float]]
    combine: Combine | None = field(default=None, kw_only=True)
    reference: str | None = field(default=None, kw_only=True)
    measured: bool = field(default=False, kw_only=True)
    steering: Mapping[str, Callable[[], Steering]] = field(default_factory=dict, kw_only=True)
    draws_like: str | None = field(default=None, kw_only=True)
    reads_ahead: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if any(model.token_map is not None for model in self.models.values()):
            answering(self.models)
        for role in self.steering:
            if role not in self.mixture:
                raise ValueError(not_a_choice("steering:", role, self.mixture))
        if self.measured and self.reference not in self.mixture:
            raise ValueError(
                f"reference={self.reference!r}: divergence is to be measured from it, and it is "
                f"none of {', '.join(self.mixture)}. Name one of these (reference_role)."
            )

    @classmethod
    def of(cls, **models: LanguageModel) -> Speaker:
        """Return the speaker that is one model, given by its role: `Speaker.of(guide=model)`."""
        (role,) = models
        return cls({role: (models[role], 1.0)})

    @property
    def models(self) -> dict[str, LanguageModel]:
        """All its models, by role."""
        return {role: model for role, (model, _) in self.mixture.items()}

    def goes_with(self, other: Speaker) -> bool:
        """Whether weights, ways to combine, and what is measured are all that differs."""
        return (
            self.models == other.models
            and self.steering == other.steering
            and (self.reference, self.draws_like, self.reads_ahead)
            == (other.reference, other.draws_like, other.reads_ahead)
        )

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the models that are run, by role.

        Where one is read through a token map, the first is the model whose tokens answers are made
        of; it is run, whatever its weight.

        Raises:
            ValueError: where all are 0.
        """
        weights = {role: float(weight) for role, (_, weight) in self.mixture.items()}
        if not any(weights.values()):
            raise ValueError("All weights of the mixture are 0: nobody is left to speak.")
        run = {role for role, weight in weights.items() if weight != 0}
        if self.measured and self.reference is not None:
            run.add(self.reference)
        if any(self.mixture[role][0].follows for role in run):
            run.add(leader(self.models))
        own = {role: weight for role, weight in weights.items() if role in run}
        if not own.keys() & self.maps.keys():
            return own
        target = answering(self.models)
        return {target: weights[target]} | own

    @cached_property
    def maps(self) -> dict[str, TokenMap]:
        """The maps that models of other vocabularies are read through, by role."""
        return maps_onto(self.models)


def leader(models: Mapping[str, LanguageModel]) -> str:
    """Return the role of the model that others of a mixture follow: the first that does not.

    Raises:
        ValueError: where each waits for another.
    """
    for role, model in models.items():
        if not model.follows:
            return role
    raise ValueError(
        f"{', '.join(models)}: each tells of tokens only once another model has. Add one that "
        "speaks by itself."
    )
