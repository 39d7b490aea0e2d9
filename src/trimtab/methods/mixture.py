"""Methods of one speaker: a model, or several of one vocabulary mixed at every token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.config.signature import require_types
from trimtab.config.user_code import named
from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation, Speaker, speak
from trimtab.decoding.drafts import Drafter, ModelDraft, PromptLookup
from trimtab.decoding.likelihood import Likelihoods
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.methods.likelihoods import likelihoods, require_fitting
from trimtab.methods.method import Method
from trimtab.methods.prompts import Prompts
from trimtab.models import Conversation, LanguageModel
from trimtab.models.steering import Steering
from trimtab.models.vocabulary import (
    answering,
    maps_onto,
    require_distributions,
    require_one_vocabulary,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from trimtab.methods.logits_processor import MixtureProcessor

PROMPT_LOOKUP = "prompt-lookup"
DraftSource = LanguageModel | str | None
"""No drafts, drafts looked up in the prompt and the answer so far, or a small model's drafts."""
SPEAKER, DRAFT = "model", "draft"


class Mixture(Method):
    """A method whose every token comes from one distribution, a mixture of its models'.

    A subclass names the models with their weights (`mixture`) and, where logits are not added up,
    how they become one (`combine`).

    Attributes:
        draft: where drafts come from; they change speed, never the answers.
        measure_kl: whether it is run for that alone where it has no weight.
    """

    draft: DraftSource = None
    measure_kl: bool = False
    without_effect = frozenset({"draft"})
    needs = "one vocabulary, or a token map"

    @property
    @abstractmethod
    def mixture(self) -> Mapping[str, tuple[LanguageModel, float]]:
        """The models and their weights, by role; one of weight 0 is not run."""

    @property
    def reference_role(self) -> str | None:
        """The model from which an answer's KL divergence is measured, where it is run."""
        return None

    @property
    def takes_deltas(self) -> bool:
        """Whether a model may be a delta model, whose logits are no distribution."""
        return False

    @property
    def steering(self) -> Mapping[str, Callable[[], Steering]]:
        """What gives that which moves a model, by its role; how much, `strengths_for` says.

        Values of the dial decode together where these are equal, as frozen dataclasses are.
        """
        return {}

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return the mixture's logits `[N, V]`, up to a constant of each row: `sum_i w_i z_i`.

        Args:
            logits: `[N, V]` of each model that has a weight, by role; not to be changed.
            weights: of these models, by role; none is 0.
        """
        from trimtab.decoding.mixing import linear

        return linear(logits, weights)

    def speakers(self) -> dict[str, Speaker]:
        """Return the mixture, and the model that drafts for it."""
        mixed = Speaker(
            self.mixture,
            combine=None if type(self).combine is Mixture.combine else self.combine,
            reference=self.reference_role,
            measured=self.measure_kl,
            steering=self.steering,
            reads_ahead=self.draft is not None,
        )
        if not isinstance(self.draft, LanguageModel):
            return {SPEAKER: mixed}
        # The same draws: a sampled draft is likely what will be drawn.
        return {SPEAKER: mixed, DRAFT: Speaker({DRAFT: (self.draft, 1.0)}, draws_like=SPEAKER)}

    def answer(self, cursors: Cursors, prompts: Prompts, generation: Generation) -> Answer:
        """Make one answer, token by token, with drafts if there are any."""
        speaking = cursors[SPEAKER]
        drafter: Drafter | None = None
        if self.draft == PROMPT_LOOKUP:
            drafter = PromptLookup(speaking.prompts[0])
        elif self.draft is not None:
            drafter = ModelDraft(cursors[DRAFT], speaking.vocabulary_size)
        return speak(speaking, prompts.text, generation, drafter)

    def require(self, generation: Generation) -> None:
        """Accept all settings."""

    def __post_init__(self) -> None:
        if isinstance(self.draft, str) and self.draft != PROMPT_LOOKUP:
            raise ValueError(
                f"draft={self.draft!r}: accepted are null for no drafts, {PROMPT_LOOKUP!r}, or a "
                "small model of the same vocabulary (+model@method.draft=NAME)."
            )
        require_types(self)

    def __call__(
        self, model: PreTrainedModel, input_ids: torch.Tensor, *, seed: int = 0, **given: Any
    ) -> torch.Tensor:
        """Answer inside transformers: `model.generate(**inputs, custom_generate=method)`.

        All models read the prompts as they are given. The answers are those of `complete` for the
        same prompt tokens, and the draws too, where a row's number is its sample id. An answer ends
        where the method's models end theirs. transformers keeps `streamer` and `assistant_model`
        from a `custom_generate`: neither has an effect.

        Args:
            model: the model that generate() is called on: the weights of any of the method's.
            input_ids: `[B, T]`, the prompts, padded on the left.
            seed: decides the random draws; `generate(..., seed=1)` passes it on.
            **given: what else generate() passes on.

        Returns:
            `[B, T + N]`, the prompts as given and the answers, padded on the right.

        Raises:
            ValueError: for a model that is not the method's, and for settings of generate() that
                would change the answers other than length, sampling by temperature, top_k and
                top_p, and padding.
        """
        from trimtab.methods.custom_generate import Call

        self.require_one_question("generate()")
        others = {role: self.models[role] for role in maps_onto(self.models)}
        own = {r: m for r, m in self.all_models.items() if m not in others.values()}
        call = Call.read(own, model, input_ids, seed=seed, **given)
        prompts = call.prompts(self.models, others)
        done = {c.id: list(c.token_ids) for c in self.decode(prompts, call.generation)}
        return call.result([done[sample_id] for sample_id in prompts])

    def logits_processor(self, on: str, *, pad_token_id: int | None = None) -> MixtureProcessor:
        """Return a logits processor that makes one model's generate() draw from the mixture.

        `model.generate(**inputs, logits_processor=[processor])` goes with everything else that
        generate() does: beams, several sequences, streamers. A processor can be used for any
        number of calls, one after another; it keeps a KV cache of each other model between them.

        generate() runs its own processors before this one and temperature, top_k and top_p after
        it. So the latter act on the mixture, as they should, while a repetition penalty or a
        sequence bias acts on that one model's logits and counts by its weight; a token that is
        ruled out stays so. generate() runs the model it is called on even where its weight is 0.

        Padding on the left is told by its token alone: a prompt that itself begins with it, other
        than as the tokenizer begins all prompts, loses that beginning.

        Args:
            on: the role of the model that generate() is called on, such as `reference`; its
                logits are what generate() hands in.
            pad_token_id: what prompts are padded with; None for what its tokenizer says. It may be
                the end token.

        Raises:
            ValueError: for another role, a method that does not mix logits or that moves a model,
                or models that do not share a vocabulary.
        """
        if type(self).answer is not Mixture.answer:
            raise ValueError(
                f"{named(type(self))} has an answer() of its own, which a logits processor would "
                "pass by. Ask it by complete(), or as custom_generate."
            )
        self.require_one_question("a logits processor")
        if len(self.all_models) < 2 or len(self.mixture) < 2:
            raise ValueError(
                f"{type(self).__name__} does not mix logits, so it has no logits processor: "
                "generate(..., custom_generate=method) takes every method."
            )
        if others := maps_onto(self.models):
            raise ValueError(
                f"{', '.join(others)}: what is read through a token map is text, and a logits "
                "processor has tokens alone. generate(..., custom_generate=method) takes it."
            )
        if on not in self.mixture:
            raise ValueError(not_a_choice("on:", on, tuple(self.mixture)))
        if self.steering or any(self.models[r] != model for r, (model, _) in self.mixture.items()):
            raise ValueError(
                f"{named(type(self))} moves a model, which a logits processor would pass by: "
                "generate(..., custom_generate=method) takes every method."
            )
        for role, (model, _) in self.mixture.items():
            if model.follows:
                raise ValueError(
                    f"{role} ({model.path}) tells of tokens only once another model has, which a "
                    "logits processor leaves no time for: generate(..., custom_generate=method) "
                    "takes every method."
                )
            if model.predictor(role, SPEAKER, Generation()) is not None:
                raise ValueError(
                    f"{role} ({model.path}) predicts by itself ({type(model).__name__}), which a "
                    "logits processor cannot mix."
                )
        self.require_compatible()

        from trimtab.methods.logits_processor import MixtureProcessor

        return MixtureProcessor(
            self.mixture,
            on=on,
            pad_token_id=pad_token_id,
            combine=self.combine,
        )

    def require_models(self) -> None:
        """Raise ValueError for a token map that is not for what is mixed here."""
        if not self.takes_deltas:
            require_distributions(self.all_models, type(self).__name__)

    def require_compatible(self) -> None:
        """Raise ValueError for models that share no vocabulary, or have no token map for here."""
        self.require_models()
        require_one_vocabulary(self.all_models)

    def weigh(
        self,
        conversations: Mapping[str, Conversation],
        continuations: Mapping[str, Sequence[str]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, Likelihoods]]:
        """Yield how likely the method finds each of some continuations; see `Method.weigh`.

        A continuation's tokens are those that it adds to the prompt of the first model that has no
        token map, in the canonical tokenization of both together. One with a token that the method
        rules out, as those with a mask do, has no probability: -inf.
        """
        prompts = self.prompts(conversations)
        models = {role: model for role, (model, _) in self.mixture.items()}
        role = answering(models)
        model = models[role]
        tokens = {
            sample_id: [
                model.encode(prompt.text[role] + text)[len(prompt.tokens[role]) :]
                for text in continuations[sample_id]
            ]
            for sample_id, prompt in prompts.items()
        }
        yield from self.likelihoods(prompts, tokens, generation)

    def likelihoods(
        self,
        prompts: Mapping[str, Prompts],
        continuations: Mapping[str, Sequence[Sequence[int]]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, Likelihoods]]:
        """Yield what the mixture gives some continuations of prompts, in tokens, by sample id.

        It is asked token by token; what an `answer` of one's own makes of that plays no part.

        Args:
            prompts: the prompts, of at least one token each.
            continuations: the token sequences that may follow each prompt.
            generation: says how many samples are read together; nothing is drawn.

        Raises:
            ValueError: for empty prompts, and for what a model's context cannot hold.
        """
        self.require_compatible()
        models = {role: model for role, (model, _) in self.mixture.items()}
        require_fitting(models, prompts, continuations)
        settings = generation or Generation()
        yield from likelihoods(self, SPEAKER, prompts, continuations, settings)
