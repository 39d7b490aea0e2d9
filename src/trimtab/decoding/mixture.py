"""Answers of a single voice: plain decoding, DeRa, proxy tuning and every linear mix of logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.decoding.batching import Answer
from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.draft import Drafter, DraftLength
from trimtab.decoding.part import ContextFull, Part
from trimtab.decoding.stop_strings import STOPPED, StopStrings, cut
from trimtab.models.codec import Spoken

if TYPE_CHECKING:
    from trimtab.decoding.token_details import TokenDetails

SPEAKER = "model"
_DECIMALS = 6


def speak(
    part: Part,
    *,
    prompts: dict[str, str],
    max_new_tokens: int,
    drafter: Drafter | None,
    draft_length: int,
    stop_strings: Sequence[str] = (),
) -> Answer:
    """Decode one answer: draft, verify in one pass, keep what would have been drawn.

    Args:
        part: the voice's part.
        prompts: prompt text by role, for the record.
        max_new_tokens: longest answer.
        drafter: where drafts come from, if anywhere.
        draft_length: most tokens drafted at a time.
        stop_strings: texts that the answer ends before.
    """
    tokens: list[int] = []
    ending: list[int] = []
    probabilities: list[float] = []
    divergences: list[float] = []
    details: list[TokenDetails] = []
    stop_reason = "length"
    stops, end = StopStrings(stop_strings), None
    model = next(iter(part.models.values()))
    spoken, looked_at = Spoken(model.codec, part.prompts[0]), 0
    length = DraftLength(draft_length)
    drafted: list[int] = []
    try:
        while len(tokens) < max_new_tokens and stop_reason == "length":
            if drafter is not None:
                room = min(max_new_tokens - len(tokens) - 1, part.room(tokens))
                drafted = yield from drafter.draft(tokens, min(length.next(len(tokens)), room))
                length.drafted = len(drafted)
            sequences = [prompt + tokens + drafted for prompt in part.prompts]
            readings = yield part.ask(sequences, last=len(drafted) + 1)
            for reading, guess in zip(readings, [*drafted, None], strict=True):
                divergences.append(reading.divergence)
                if reading.details is not None:
                    details.append(reading.details)
                if reading.token in part.stop_tokens:
                    stop_reason = "end"
                    ending = [reading.token]
                    break
                tokens.append(reading.token)
                probabilities.append(reading.top_probability)
                spoken.add(reading.token)
                if stop_strings:
                    said = spoken.whole()
                    end, looked_at = stops.end(said, looked_at), len(said)
                    if end is not None:
                        stop_reason = STOPPED
                        break
                if reading.token != guess:
                    break
    except ContextFull:
        stop_reason = "context"
    trace = [
        Span(text=text, speaker=SPEAKER, probability=probabilities[first])
        for text, first in spoken.pieces()
    ]
    trace = trace if end is None else cut(trace, end)
    return Completion(
        id=part.sample_id,
        text="".join(span.text for span in trace),
        trace=tuple(trace),
        stop_reason=stop_reason,
        prompts=prompts,
        tokens={SPEAKER: len(tokens)},
        work=part.work,
        token_ids=(*tokens, *ending),
        measures=_divergence(divergences),
        by_token=_by_token([*tokens, *ending], details, divergences),
    )


def _by_token(
    tokens: list[int], details: list[TokenDetails], divergences: list[float]
) -> dict[str, Any]:
    if not details:
        return {}
    roles = dict.fromkeys(role for own in details for role in own.models)
    return {
        "ids": tokens,
        "log_probability": [round(own.log_probability, _DECIMALS) for own in details],
        "entropy": [round(own.entropy, _DECIMALS) for own in details],
        "kl": [None if math.isnan(kl) else round(kl, _DECIMALS) for kl in divergences],
        "models": {role: [round(own.models[role], _DECIMALS) for own in details] for role in roles},
    }


def _divergence(by_token: list[float]) -> dict[str, float]:
    """Return an answer's divergence from the reference, where there is one.

    By the chain rule, the expectation of the sum over sampled answers is the divergence of the
    method's distribution over answers from the reference's.
    """
    total = sum(by_token)
    if math.isnan(total):
        return {}
    tokens = max(1, len(by_token))
    return {"kl": round(total, _DECIMALS), "kl_per_token": round(total / tokens, _DECIMALS)}
