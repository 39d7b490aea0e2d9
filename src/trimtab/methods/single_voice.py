"""How methods answer that have one voice: a model, or a linear mixture of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trimtab.decoding import Generation
from trimtab.methods.method import Prompts, Start
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    from trimtab.decoding.batching import Answer
    from trimtab.decoding.voice import Voice


def single_voice(
    models: Mapping[str, LanguageModel], weights: Mapping[str, float], generation: Generation
) -> tuple[Sequence[Voice], Start]:
    """Return the voice of `sum_i weights_i logits_i`, and how it begins an answer."""
    from trimtab.decoding.mixture import SPEAKER, speak
    from trimtab.decoding.voice import Part, Voice

    voice = Voice(models, weights, name=SPEAKER, generation=generation)

    def start(sample_id: str, slot: int, prompts: Prompts, tokens: dict[str, list[int]]) -> Answer:
        part = Part(voice, slot=slot, sample_id=sample_id, prompts=tokens, seed=generation.seed)
        return speak(part, prompts=prompts, max_new_tokens=generation.max_new_tokens)

    return [voice], start
