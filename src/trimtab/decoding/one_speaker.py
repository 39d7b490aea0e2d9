"""Answers of one speaker: plain decoding, DeRa, proxy tuning, and whatever else mixes logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trimtab.decoding.completion import Completion, Span
from trimtab.decoding.drafts import Drafter, DraftLength
from trimtab.decoding.generation import Generation
from trimtab.decoding.predictor import Answer, ContextFull, Cursor, TokenDetails
from trimtab.decoding.stop_strings import STOPPED, StopStrings, cut
from trimtab.decoding.telling import Telling
from trimtab.models.codec import Spoken

_DECIMALS = 6


def speak(
    cursor: Cursor,
    prompts: Mapping[str, str],
    generation: Generation,
    drafter: Drafter | None = None,
) -> Answer:
    """Decode one answer: draft, verify in one pass, keep what would have been drawn.

    Args:
        cursor: the speaker's.
        prompts: prompt text by role, for the record.
        generation: how long the answer and its drafts are, and what stops it.
        drafter: where drafts come from, if anywhere.
    """
    name, stop_strings = cursor.predictor.name, generation.stop_strings
    tokens: list[int] = []
    ending: list[int] = []
    probabilities: list[float] = []
    divergences: list[float] = []
    unmapped: list[float] = []
    details: list[TokenDetails] = []
    stop_reason = "length"
    stops, end = StopStrings(stop_strings), None
    model = next(iter(cursor.models.values()))
    spoken, looked_at = Spoken(model.codec, cursor.prompts[0]), 0
    length = DraftLength(generation.draft_length)
    drafted: list[int] = []
    telling = Telling(cursor.streamed, stop_strings)
    by_and_by = cursor.streamed or bool(stop_strings)

    def spans(pieces: list[tuple[str, int]]) -> list[Span]:
        return [
            Span(text=text, speaker=name, probability=probabilities[first])
            for text, first in pieces
        ]

    try:
        while len(tokens) < generation.max_new_tokens and stop_reason == "length":
            if drafter is not None:
                room = min(generation.max_new_tokens - len(tokens) - 1, cursor.room(tokens))
                drafted = yield from drafter.draft(tokens, min(length.next(len(tokens)), room))
                length.drafted = len(drafted)
            predictions = yield cursor.after(tokens, drafted)
            if generation.token_records and any(said.details is None for said in predictions):
                raise ValueError(
                    f"token_records=True: {', '.join(m.path for m in cursor.models.values())} "
                    "predicts by itself, and without details of tokens. Leave it at false."
                )
            for said, guess in zip(predictions, [*drafted, None], strict=True):
                divergences.append(said.divergence)
                unmapped.append(said.unmapped)
                if said.details is not None:
                    details.append(said.details)
                if said.token in cursor.stop_tokens:
                    stop_reason = "end"
                    ending = [said.token]
                    break
                tokens.append(said.token)
                probabilities.append(said.top_probability)
                if by_and_by:
                    spoken.add(said.token)
                if stop_strings:
                    text = spoken.whole()
                    end, looked_at = stops.end(text, looked_at), len(text)
                    if end is not None:
                        stop_reason = STOPPED
                        break
                if said.token != guess:
                    break
            if telling.streamed and end is None:
                yield from telling.of(spans(spoken.settled))
    except ContextFull:
        stop_reason = "context"
    if not by_and_by:  # in one go: between passes, turning tokens to text is slower
        for token in tokens:
            spoken.add(token)
    trace = spans(spoken.pieces())
    trace = trace if end is None else cut(trace, end)
    return Completion(
        id=cursor.sample_id,
        text="".join(span.text for span in trace),
        trace=tuple(trace),
        stop_reason=stop_reason,
        prompts=dict(prompts),
        tokens={name: len(tokens)},
        work=cursor.work,
        token_ids=(*tokens, *ending),
        measures=_divergence(divergences) | _unmapped(unmapped),
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


def _unmapped(by_token: list[float]) -> dict[str, float]:
    """Return what token maps lose of a distribution, on average, where there are any."""
    known = [lost for lost in by_token if not math.isnan(lost)]
    return {"unmapped": round(sum(known) / len(known), _DECIMALS)} if known else {}


def _divergence(by_token: list[float]) -> dict[str, float]:
    """Return an answer's divergence from the reference, where there is one.

    `kl` is the sum over the answer's tokens, its end included, of the divergence at temperature 1
    before each, and `kl_per_token` that sum by their number. By the chain rule, the expectation of
    the sum over answers that are sampled at temperature 1, without cuts, is the divergence of the
    method's distribution over answers from the reference's; see `trimtab.runs.divergence`.
    """
    total = sum(by_token)
    if math.isnan(total):
        return {}
    tokens = max(1, len(by_token))
    return {"kl": round(total, _DECIMALS), "kl_per_token": round(total / tokens, _DECIMALS)}
