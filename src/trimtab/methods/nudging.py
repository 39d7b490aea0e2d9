"""Nudging: a small aligned model speaks where a large base model is unsure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.choices import not_a_choice
from trimtab.decoding import Generation
from trimtab.methods.method import Method, Prompts, Start
from trimtab.models import LanguageModel

if TYPE_CHECKING:
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
        if isinstance(self.lookahead, bool) or self.lookahead < 1:
            raise ValueError(f"lookahead={self.lookahead!r}: accepted are whole numbers from 1 up.")

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The two speakers."""
        return {"base": self.base, "guide": self.guide}

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        from trimtab.decoding.handoff import Rules, nudge
        from trimtab.decoding.voice import Part, Voice

        rules = Rules(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Rules)})
        voices = {
            role: Voice({role: model}, {role: 1.0}, name=role, generation=generation)
            for role, model in self.models.items()
        }

        def start(
            sample_id: str, slot: int, prompts: Prompts, tokens: dict[str, list[int]]
        ) -> Answer:
            base, guide = (
                Part(voice, slot=slot, sample_id=sample_id, prompts=tokens, seed=generation.seed)
                for voice in voices.values()
            )
            return nudge(
                base,
                guide,
                prompts=prompts,
                rules=rules,
                max_new_tokens=generation.max_new_tokens,
                draft_length=generation.draft_length,
            )

        by_size = sorted(voices.values(), key=lambda voice: voice.size)
        return by_size, start
