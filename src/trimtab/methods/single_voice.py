"""How methods answer that have one voice: a model, or a linear mixture of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trimtab.decoding import Generation
from trimtab.methods.method import Method, Prompts, Start
from trimtab.models import LanguageModel
from trimtab.models.vocabulary import require_one_vocabulary

if TYPE_CHECKING:
    from trimtab.decoding.batching import Answer
    from trimtab.decoding.voice import Voice

PROMPT_LOOKUP = "prompt-lookup"
DraftSource = LanguageModel | str | None
"""No drafts, drafts looked up in the prompt and the answer so far, or a small model's drafts."""


class SingleVoice(Method):
    """A method whose every token comes from one distribution, `softmax(sum_i weight_i logits_i)`.

    Attributes:
        draft: where drafts come from; they change speed, never the answers.
    """

    draft: DraftSource

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

    def _require_compatible(self) -> None:
        require_one_vocabulary(self.all_models)

    def _prepare(self, generation: Generation) -> tuple[Sequence[Voice], Start]:
        from trimtab.decoding.draft import Drafter, ModelDraft, PromptLookup
        from trimtab.decoding.mixture import SPEAKER, speak
        from trimtab.decoding.voice import Part, Voice

        models = {role: model for role, (model, _) in self.mixture.items()}
        weights = {role: weight for role, (_, weight) in self.mixture.items()}
        voices = [Voice(models, weights, name=SPEAKER, generation=generation)]
        if isinstance(self.draft, LanguageModel):
            # The same name, hence the same noise: a sampled draft is likely what will be drawn.
            drafts = Voice(
                {"draft": self.draft}, {"draft": 1.0}, name=SPEAKER, generation=generation
            )
            voices.insert(0, drafts)

        def start(
            sample_id: str, slot: int, prompts: Prompts, tokens: dict[str, list[int]]
        ) -> Answer:
            *small, part = (
                Part(voice, slot=slot, sample_id=sample_id, prompts=tokens, seed=generation.seed)
                for voice in voices
            )
            drafter: Drafter | None = None
            if self.draft == PROMPT_LOOKUP:
                drafter = PromptLookup(part.prompts[0])
            elif small:
                drafter = ModelDraft(small[0])
                part.work |= small[0].work
            return speak(
                part,
                prompts=prompts,
                max_new_tokens=generation.max_new_tokens,
                drafter=drafter,
                draft_length=generation.draft_length,
            )

        return voices, start
