"""Any mixture: named models, how each is asked, their weights, and how they become one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from trimtab.config.accepted import require_finite
from trimtab.config.named_function import find, require_takes
from trimtab.config.wording import not_a_choice
from trimtab.decoding import Speaker
from trimtab.methods.mixture import DRAFT, SPEAKER, DraftSource, Mixture
from trimtab.methods.terms import Term
from trimtab.models import Conversation, LanguageModel

if TYPE_CHECKING:
    import torch

LOGITS, PROBABILITIES = "logits", "probabilities"
_SETTINGS = [field.name for field in dataclasses.fields(Term)]


@dataclass(frozen=True, kw_only=True)
class Formula(Mixture):
    """Mix any number of models at every token: `z = sum_i (w_i + d_i strength) z_i`.

    A term has its weight w (`weight`), what the dial adds to it d (`per_strength`), and its prompt.
    Most methods over next-token distributions are this with names for their terms. From Python,
    terms can be written as on paper:

        base, tuned, untuned = voice("base", large), voice("tuned", chat), voice("untuned", small)
        Formula(terms=base + STRENGTH * (tuned - untuned), strength=0.7)

    A model that several terms ask is loaded once; one whose weight is 0 is not run.

    Args:
        terms: a `Term`, or its settings, by name; prompts, work and records go by the names.
        strength: turns the weights of the terms that have a `per_strength`; any finite number.
        mixing: `logits` adds logits up (the geometric mixture); `probabilities` adds probabilities
            up, by weights that sum to 1; or a function of one's own, or its name as in
            `my_mixtures.masked`, called as `Mixture.combine` is.
        reference: the term that answers' KL divergence is measured from, where it is run.
        measure_kl: run the reference for that alone where its weight is 0.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.

    Raises:
        ValueError: for weights that are not finite, all 0, or not what `mixing` needs; for a
            reference that is no term; for a `mixing` that leads to no function of two arguments.
    """

    terms: Mapping[str, Term]
    strength: float = 1.0
    mixing: str | Callable[..., Any] = LOGITS
    reference: str | None = None
    measure_kl: bool = False
    draft: DraftSource = None

    dial = "strength"
    further_dials = ("terms",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite("strength", self.strength)
        terms = _terms(self.terms)
        if self.reference is not None and self.reference not in terms:
            raise ValueError(not_a_choice("reference:", self.reference, terms))
        if self.measure_kl and self.reference is None:
            raise ValueError(
                "measure_kl=True: reference=None says from which term. Name one of "
                f"{', '.join(terms)}."
            )
        # Not as they were given: sums round by their order, and settings go by what they are.
        order = sorted(terms, key=lambda name: (name != self.reference, name))
        object.__setattr__(self, "terms", {name: terms[name] for name in order})
        object.__setattr__(self, "mixing", _function(self.mixing))
        self._require_weights()

    def _require_weights(self) -> None:
        if self.strength != 1 and not any(term.per_strength for term in self.terms.values()):
            raise ValueError(
                f"strength={self.strength!r} turns nothing, as no term has a per_strength. Give "
                "one to a term, or leave strength at 1."
            )
        weights = {name: term.at(self.strength) for name, term in self.terms.items()}
        shown = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        where = f"terms at strength={self.strength:g} weigh {shown}"
        if not any(weights.values()):
            raise ValueError(f"{where}: nobody is left to speak. Accepted is one that is not 0.")
        if self.mixing == PROBABILITIES and (
            min(weights.values()) < 0 or not math.isclose(sum(weights.values()), 1, abs_tol=1e-6)
        ):
            raise ValueError(
                f"{where}, which are no shares of a probability. Accepted with "
                f"mixing={PROBABILITIES} are weights from 0 up that sum to 1."
            )

    def turned(self, values: Mapping[str, Any]) -> Self:
        """Return this formula with its dials at other values; loaded models are shared."""
        if "terms" in values:
            known = [term.model for term in self.terms.values()]
            values = {**values, "terms": _terms(values["terms"], known)}
        return super().turned(values)

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The terms' models."""
        return {name: (term.model, term.at(self.strength)) for name, term in self.terms.items()}

    @property
    def takes_deltas(self) -> bool:
        """A sum of logits does."""
        return self.mixing != PROBABILITIES

    @property
    def reference_role(self) -> str | None:
        """The reference."""
        return self.reference

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the mixture's logits, in the way of `mixing`."""
        from trimtab.decoding import mixing

        if callable(self.mixing):
            return self.mixing(logits, weights)
        return (mixing.probabilities if self.mixing == PROBABILITIES else mixing.linear)(
            logits, weights
        )

    def speakers(self) -> dict[str, Speaker]:
        """Return the mixture; a function of one's own is called as such, and errors name it."""
        speakers = super().speakers()
        if callable(self.mixing) and type(self).combine is Formula.combine:
            speakers[SPEAKER] = dataclasses.replace(speakers[SPEAKER], combine=self.mixing)
        return speakers

    def asked(self, role: str, conversation: Conversation) -> Conversation:
        """Return what a term's model is asked."""
        return self.terms[role].question(conversation) if role in self.terms else conversation

    def require_one_question(self, door: str) -> None:
        """Raise ValueError where a term is asked otherwise."""
        if any(term.asked for term in self.terms.values()):
            super().require_one_question(door)

    @property
    def all_models(self) -> dict[str, LanguageModel]:
        """Every model, by the name of its term."""
        named = {f"terms.{name}.model": name for name in self.terms}
        return {named.get(name, name): model for name, model in super().all_models.items()}


def _terms(given: Any, known: Iterable[LanguageModel] = ()) -> dict[str, Term]:
    """Return terms that are given as such or by their settings; equal models become one."""
    models = [*known]
    if not isinstance(given, Mapping) or not given:
        raise ValueError(
            f"terms={given!r}: accepted are terms by name, each with a model and a weight, as in "
            "{base: {model: ${base}, weight: 1}}."
        )
    terms: dict[str, Term] = {}
    for name, settings in given.items():
        if not isinstance(name, str) or not name.isidentifier() or name == DRAFT:
            raise ValueError(
                f"terms.{name}: accepted as a name are letters, digits and _, other than {DRAFT!r}."
            )
        term = settings if isinstance(settings, Term) else _term(name, settings)
        model = next((own for own in models if own == term.model), term.model)
        models.append(model)
        terms[name] = dataclasses.replace(term, model=model)
    return terms


def _term(name: str, settings: Any) -> Term:
    if not isinstance(settings, Mapping) or "model" not in settings:
        raise ValueError(
            f"terms.{name}={settings!r}: accepted are a model and its {', '.join(_SETTINGS[1:])}."
        )
    for key in settings:
        if key not in _SETTINGS:
            raise ValueError(not_a_choice(f"terms.{name}:", key, _SETTINGS))
    try:
        return Term(**settings)
    except ValueError as error:
        lines = [f"terms.{name}.{line}" for line in str(error).splitlines()]
        raise ValueError("\n".join(lines)) from error


def _function(given: Any) -> Any:
    """Return how terms become one: a known way as it is, anything else as a function."""
    if given in (LOGITS, PROBABILITIES):
        return given
    if isinstance(given, str) and "." not in given:
        ways = (LOGITS, PROBABILITIES, "my_module.my_function")
        raise ValueError(not_a_choice("mixing:", given, ways))
    found = find("mixing", given, "my_mixtures.masked") if isinstance(given, str) else given
    if not callable(found):
        raise ValueError(
            f"mixing={given!r} is of type {type(found).__name__}. Accepted is a function."
        )
    require_takes("mixing", given, found, ("logits", "weights"), "two, each by term")
    return found
