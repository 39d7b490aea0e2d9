"""Answers of a single voice: plain decoding, DeRa, proxy tuning and every linear mix of logits."""

from __future__ import annotations

from trimtab.decoding.batching import Answer
from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.voice import ContextFull, Part

SPEAKER = "model"


def speak(part: Part, *, prompts: dict[str, str], max_new_tokens: int) -> Answer:
    """Decode one answer token by token; see `Completion` for what it returns."""
    tokens: list[int] = []
    probabilities: list[float] = []
    stop_reason = "length"
    try:
        while len(tokens) < max_new_tokens:
            (reading,) = yield part.ask([prompt + tokens for prompt in part.prompts])
            if reading.token in part.voice.stop_tokens:
                stop_reason = "end"
                break
            tokens.append(reading.token)
            probabilities.append(reading.top_probability)
    except ContextFull:
        stop_reason = "context"
    model = next(iter(part.voice.models.values()))
    trace = tuple(
        Span(text=text, speaker=SPEAKER, probability=probabilities[first])
        for text, first in model.pieces(part.prompts[0], tokens)
    )
    return Completion(
        id=part.sample_id,
        text="".join(span.text for span in trace),
        trace=trace,
        stop_reason=stop_reason,
        prompts=prompts,
        tokens={SPEAKER: len(tokens)},
        work=part.work,
    )
