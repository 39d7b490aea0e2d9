"""How methods answer that have one voice: a model, or a linear mixture of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation
from trimtab.methods.method import Method, Prompts, Start
from trimtab.models import Conversation, LanguageModel
from trimtab.models.vocabulary import require_one_vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from trimtab.decoding.batching import Answer
    from trimtab.decoding.likelihood import Likelihoods
    from trimtab.decoding.voice import Mix, Voice
    from trimtab.methods.logits_processor import MixtureProcessor
    from trimtab.models.steering import Steering

PROMPT_LOOKUP = "prompt-lookup"
DraftSource = LanguageModel | str | None
"""No drafts, drafts looked up in the prompt and the answer so far, or a small model's drafts."""


class SingleVoice(Method):
    """A method whose every token comes from one distribution, a weighted mixture of its models'.

    Attributes:
        mixes_probabilities: `sum_i weight_i p_i`, rather than `softmax(sum_i weight_i logits_i)`.
        draft: where drafts come from; they change speed, never the answers.
        reference_role: the model from which an answer's KL divergence is measured, where it is run.
        measure_kl: whether it is run for that alone where it has no weight.
    """

    draft: DraftSource
    reference_role: ClassVar[str | None] = None
    measure_kl: bool = False
    mixes_probabilities: ClassVar[bool] = False
    without_effect = frozenset({"draft"})

    @property
    @abstractmethod
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The models and their weights, by role."""

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The models of the mixture, and the one that drafts."""
        models = {role: model for role, (model, _) in self.mixture.items()}
        return models | ({"draft": self.draft} if isinstance(self.draft, LanguageModel) else {})

    def __post_init__(self) -> None:
        if isinstance(self.draft, str) and self.draft != PROMPT_LOOKUP:
            raise ValueError(
                f"draft={self.draft!r}: accepted are null for no drafts, {PROMPT_LOOKUP!r}, or a "
                "small model of the same vocabulary (+model@method.draft=NAME)."
            )

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
        from trimtab.methods.custom_generate import Call, answer_single_voice

        self._require_no_other_way("__call__")
        call = Call.read(self.all_models, model, input_ids, seed=seed, **given)
        return answer_single_voice(self, call)

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
            ValueError: for another role, a method that does not mix logits, or models that do not
                share a vocabulary.
        """
        if len(self.all_models) < 2 or len(self.mixture) < 2:
            raise ValueError(
                f"{type(self).__name__} does not mix logits, so it has no logits processor: "
                "generate(..., custom_generate=method) takes every method."
            )
        if on not in self.mixture:
            raise ValueError(not_a_choice("on:", on, tuple(self.mixture)))
        self._require_compatible()

        from trimtab.methods.logits_processor import MixtureProcessor

        return MixtureProcessor(
            self.mixture,
            on=on,
            pad_token_id=pad_token_id,
            mix=self._mix,
        )

    @property
    def _mix(self) -> Mix:
        from trimtab.decoding.voice import mix_logits, mix_probabilities

        return mix_probabilities if self.mixes_probabilities else mix_logits

    def _require_compatible(self) -> None:
        require_one_vocabulary(self.all_models)

    def weigh(
        self,
        conversations: Mapping[str, Conversation],
        continuations: Mapping[str, Sequence[str]],
        generation: Generation | None = None,
    ) -> Iterator[tuple[str, Likelihoods]]:
        """Yield how likely the method finds each of some continuations; see `Method.weigh`.

        A continuation's tokens are those that it adds to the first model's prompt, in the canonical
        tokenization of both together.
        """
        prompts = self.prompts(conversations)
        role, (model, _) = next(iter(self.mixture.items()))
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
        """Yield what the method gives some continuations of prompts, in tokens, by sample id.

        Args:
            prompts: the prompts, of at least one token each.
            continuations: the token sequences that may follow each prompt.
            generation: says how many samples are read together; nothing is drawn.

        Raises:
            ValueError: for empty prompts, and for what a model's context cannot hold.
        """
        self._require_compatible()
        for sample_id, prompt in prompts.items():
            longest = max((len(tokens) for tokens in continuations[sample_id]), default=0)
            for role, (model, _) in self.mixture.items():
                length = len(prompt.tokens[role]) + longest - 1  # nothing follows the last
                if not prompt.tokens[role]:
                    raise ValueError(f"Sample {sample_id!r}: the prompt for {role} has no tokens.")
                for tokens in (prompt.tokens[role], *continuations[sample_id]):
                    model.require_rows(tokens)
                if length > model.context_length:
                    raise ValueError(
                        f"Sample {sample_id!r}: prompt and continuation are {length} tokens for "
                        f"{role} ({model.path}), which holds {model.context_length}. Shorten them."
                    )

        rows = (generation or Generation()).for_samples(len(prompts)).batch_size
        greedy = Generation(batch_size=rows)
        with self.loading.running():
            from trimtab.decoding.batching import Reader, decode
            from trimtab.decoding.likelihood import weigh
            from trimtab.decoding.part import Part

            voice = self._voice(greedy, [self], drafts=True)
        asked: dict[int, str] = {}

        def start(sample_id: str, slot: int) -> dict[int, Reader[Likelihoods]]:
            asked[slot] = sample_id
            part = Part(
                voice,
                slot=slot,
                sample_id=sample_id,
                prompts=prompts[sample_id].tokens,
                seed=greedy.seed,
                weights=self._weights,
                strengths=self._strengths,
            )
            return {slot: weigh(part, continuations[sample_id])}

        starts = (lambda slots, i=sample_id: start(i, slots[0]) for sample_id in prompts)
        before = dict(self.forward_passes)
        for slot, found in decode(starts, [voice], rows):
            for role, passes in voice.forward_passes().items():
                self.forward_passes[role] = before.get(role, 0) + passes
            yield asked[slot], found

    def _voice(self, generation: Generation, family: Sequence[Self], *, drafts: bool) -> Voice:
        from trimtab.decoding.mixture import SPEAKER
        from trimtab.decoding.voice import Voice

        weights = [member._weights for member in family]
        return Voice(
            {r: m for r, (m, _) in self.mixture.items() if any(r in own for own in weights)},
            name=SPEAKER,
            generation=generation,
            mix=self._mix,
            reference=self.reference_role,
            family=len(family),
            drafts=drafts,
            dials=self._dials,
        )

    def _prepare(
        self, generation: Generation, family: Sequence[Self]
    ) -> tuple[Sequence[Voice], Start]:
        from trimtab.decoding.draft import Drafter, ModelDraft, PromptLookup
        from trimtab.decoding.mixture import SPEAKER, speak
        from trimtab.decoding.part import Known, Part
        from trimtab.decoding.voice import Voice

        spoken = self._voice(generation, family, drafts=self.draft is not None)
        drafts = None
        if isinstance(self.draft, LanguageModel):
            # The same name, hence the same noise: a sampled draft is likely what will be drawn.
            drafts = Voice(
                {"draft": self.draft},
                name=SPEAKER,
                generation=generation,
                family=len(family),
                drafts=True,
            )

        def start(sample_id: str, prompts: Prompts, slots: Mapping[int, int]) -> dict[int, Answer]:
            said_before = {t for role in self.mixture for t in prompts.tokens[role]}

            def part(voice: Voice, slot: int, **own: Any) -> Part:
                return Part(
                    voice,
                    slot=slot,
                    siblings=tuple(slots.values()),
                    sample_id=sample_id,
                    prompts=prompts.tokens,
                    seed=generation.seed,
                    said_before=said_before,
                    **own,
                )

            drafted = Known()
            said: dict[Hashable, Known] = {}  # alike where dials give the same model
            answers = {}
            for member, slot in slots.items():
                weights, strengths = family[member]._weights, family[member]._strengths
                known = said.setdefault((tuple(weights.items()), strengths), Known())
                speaking = part(spoken, slot, weights=weights, strengths=strengths, known=known)
                drafter: Drafter | None = None
                if self.draft == PROMPT_LOOKUP:
                    drafter = PromptLookup(speaking.prompts[0])
                elif drafts:
                    drafting = part(drafts, slot, known=drafted)
                    drafter = ModelDraft(drafting, spoken.vocabulary_size)
                    speaking.work |= drafting.work
                answers[slot] = speak(
                    speaking,
                    prompts=prompts.text,
                    max_new_tokens=generation.max_new_tokens,
                    drafter=drafter,
                    draft_length=generation.draft_length,
                    stop_strings=generation.stop_strings,
                )
            return answers

        return [voice for voice in (drafts, spoken) if voice], start

    @property
    def _dials(self) -> Mapping[str, Steering]:
        """Vectors in the models that every answer turns for itself, by role."""
        return {}

    @property
    def _strengths(self) -> tuple[float, ...]:
        """The strengths of those vectors."""
        return ()

    @property
    def _weights(self) -> dict[str, float]:
        """The weights of the models that are run; a weight of 0 is run to measure from alone."""
        weights = {role: weight for role, (_, weight) in self.mixture.items()}
        if not any(weights.values()):
            raise ValueError("All weights of the mixture are 0: nobody is left to speak.")
        measured = self.reference_role if self.measure_kl else None
        return {r: weight for r, weight in weights.items() if weight != 0 or r == measured}
