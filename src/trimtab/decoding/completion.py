"""What a method returns for one conversation: the text and the trace of how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of an answer.

    Attributes:
        text: the piece; the spans of an answer join to its text.
        speaker: who said it (`base`, `guide`, or `model` where there is only one speaker).
        probability: top-1 probability, at T = 1, of the model that decides who speaks (the base
            model in nudging, the mixture elsewhere), before the piece; None where it was not
            asked, and for an ending that is the guide's.
    """

    text: str
    speaker: str
    probability: float | None = None


@dataclass(kw_only=True)
class Work:
    """What one model did for one answer: forward passes taken part in, tokens processed."""

    passes: int = 0
    tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(passes=self.passes + other.passes, tokens=self.tokens + other.tokens)


@dataclass(frozen=True, kw_only=True)
class Try:
    """One of several answers to a sample, of which the best was given.

    Attributes:
        text: the answer.
        score: what it was chosen by; None where it got none.
        stop_reason: why it stops, as `Completion.stop_reason` says.
    """

    text: str
    score: float | None
    stop_reason: str


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer.

    What makes one need not say its `id`, `prompts` and `work`: these are filled in by who asked.

    Attributes:
        id: the sample's id.
        text: the answer.
        trace: spans that join to `text`.
        stop_reason: `end` (the only speaker ended it), `guide` or `base` (that speaker ended it),
            `length` (budget used up), `context` (a model's context is full), `repetition` (the
            guard stopped a loop), `stop_string` (one of those was said) or `stalled` (the guide
            said nothing printable).
        prompts: the prompt text each model saw, by its role.
        tokens: tokens spoken, by speaker.
        work: what each model did for it, by its role.
        token_ids: what was drawn, its ending or stop string included; empty where several speakers
            of different tokenizers made the text.
        measures: numbers the method reports of its own working, such as the guide ratio.
        by_token: lists as long as `token_ids`, where they are asked for: `ids`, and in nats
            `log_probability`, `entropy`, `kl` and, by role, `models`.
        tries: all answers that were made, where this is the best of several.
    """

    id: str = ""
    text: str
    trace: tuple[Span, ...]
    stop_reason: str
    prompts: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, int]
    work: dict[str, Work] = field(default_factory=dict)
    token_ids: tuple[int, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    by_token: dict[str, Any] = field(default_factory=dict)
    tries: tuple[Try, ...] = ()
