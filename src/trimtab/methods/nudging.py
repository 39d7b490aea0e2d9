"""Nudging: a small aligned model speaks where a large base model is unsure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation
from trimtab.methods.method import Method, Prompts, Start
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from trimtab.decoding.batching import Answer
    from trimtab.decoding.voice import Voice


@dataclass(frozen=True, kw_only=True)
class Nudging(Method):
    """The guide speaks, in whole words, where the base model's top-1 probability is low.

    Fei, Razeghi and Singh, "Nudging: Inference-time Alignment of LLMs via Guided Decoding",
    ACL 2025, arXiv 2410.09300. The defaults are the rules of the authors' released API code; their
    removal of repeated suffixes after decoding is left out, so that text and trace stay one.

    Args:
        base: the model that has the skill.
        guide: the aligned model, of any tokenizer.
        threshold: gamma; the base speaks on while its top-1 probability is at least this. 0 to 2,
            where anything above 1 means that the base is never sure.
        agreement: the base also takes over when its top-1 token begins the guide's next word.
        boundary: a guide's words are cut at each `space` (the paper), or at any `whitespace`.
        stop: only the `guide` ends an answer (the paper), or whichever `speaker` has the word.
        lookahead: tokens the guide reads ahead; if its end lies within them, all are accepted.
        repetition_guard: stop when the guide says the same four times in a row, and end a turn of
            the base that repeats itself.
    """

    base: LanguageModel
    guide: LanguageModel
    threshold: float = 0.4
    agreement: bool = True
    boundary: str = "space"
    stop: str = "guide"
    lookahead: int = 16
    repetition_guard: bool = True

    dial = "threshold"

    def __post_init__(self) -> None:
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, int | float):
            raise ValueError(f"threshold={self.threshold!r}: accepted are numbers from 0 to 2.")
        if not 0 <= self.threshold <= 2:
            raise ValueError(
                f"threshold={self.threshold!r}: accepted are probabilities from 0 to 1, and up to "
                "2 for a base model that is never sure."
            )
        for name, accepted in (
            ("boundary", ("space", "whitespace")),
            ("stop", ("guide", "speaker")),
        ):
            if getattr(self, name) not in accepted:
                raise ValueError(not_a_choice(f"{name}:", getattr(self, name), accepted))
        whole = isinstance(self.lookahead, int) and not isinstance(self.lookahead, bool)
        if not whole or self.lookahead < 1:
            raise ValueError(f"lookahead={self.lookahead!r}: accepted are whole numbers from 1 up.")

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The two speakers."""
        return {"base": self.base, "guide": self.guide}

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        *,
        guide_prompts: Sequence[str] | None = None,
        seed: int = 0,
        **given: Any,
    ) -> torch.Tensor:
        """Answer inside transformers: `base.generate(**inputs, custom_generate=nudging)`.

        The answers are those of `complete` for the same two prompts, cut at the length that
        generate() is given, and the draws too, where a row's number is its sample id. transformers
        keeps `streamer` and `assistant_model` from a `custom_generate`: neither has an effect.

        Args:
            model: the model that generate() is called on: the weights of `base`.
            input_ids: `[B, T]`, the base model's prompts, padded on the left: whole texts in its
                tokenizer's own tokens.
            guide_prompts: the guide's prompt for each row, rendered as text. Without them the text
                of the base's prompt, less white space around it, is the question that the guide is
                asked in its own way: right for a base that reads the plain question.
            seed: decides the random draws; `generate(..., guide_prompts=..., seed=1)` passes both
                on.
            **given: what else generate() passes on.

        Returns:
            `[B, T + N]`, the prompts as given and the answers in the base model's tokens, padded on
            the right, with its end token where a speaker ended an answer.

        Raises:
            ValueError: for a model that is not the base, for prompts that are not the tokens of
                their text, and for settings of generate() that would change the answers other than
                length, sampling by temperature, top_k and top_p, and padding.
        """
        from trimtab.methods.custom_generate import Call, answer_nudging

        self._require_no_other_way("__call__")
        call = Call.read({"base": self.base}, model, input_ids, seed=seed, **given)
        return answer_nudging(self, call, guide_prompts)

    def _prepare(
        self, generation: Generation, family: Sequence[Self]
    ) -> tuple[Sequence[Voice], Start]:
        if generation.repetition_penalty != 1:
            raise ValueError(
                f"repetition_penalty={generation.repetition_penalty!r}: nudging takes none, as who "
                "speaks follows from the base model's own probabilities. Leave it at 1."
            )

        if generation.token_records:
            raise ValueError(
                "token_records=True: the two speakers of nudging have tokens of their own, so none "
                "has a probability under both. Its trace has each piece's; leave it at false."
            )

        from trimtab.decoding.handoff import Rules, nudge
        from trimtab.decoding.part import Known, Part
        from trimtab.decoding.voice import Voice

        rules = [
            Rules(**{f.name: getattr(member, f.name) for f in dataclasses.fields(Rules)})
            for member in family
        ]
        voices = {
            role: Voice(
                {role: model}, name=role, generation=generation, family=len(family), drafts=True
            )
            for role, model in self.models.items()
        }

        def start(sample_id: str, prompts: Prompts, slots: Mapping[int, int]) -> dict[int, Answer]:
            known = {role: Known() for role in voices}
            answers = {}
            for member, slot in slots.items():
                base, guide = (
                    Part(
                        voice,
                        slot=slot,
                        siblings=tuple(slots.values()),
                        sample_id=sample_id,
                        prompts=prompts.tokens,
                        seed=generation.seed,
                        known=known[role],
                    )
                    for role, voice in voices.items()
                )
                answers[slot] = nudge(
                    base,
                    guide,
                    prompts=prompts.text,
                    rules=rules[member],
                    max_new_tokens=generation.max_new_tokens,
                    draft_length=generation.draft_length,
                    stop_strings=generation.stop_strings,
                )
            return answers

        by_size = sorted(voices.values(), key=lambda voice: voice.size)
        return by_size, start
