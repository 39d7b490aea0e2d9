"""What an endpoint answers: a text, or that it never will."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# How the filters of servers say that they let nothing through, as a code and in words.
_FILTER = re.compile(
    r"content[\s_-]*(filter|polic|management|exists risk)|moderation|flagged|guardrail|block_?list"
    r"|data_inspection|responsible\s*ai|usage polic|safety[\s_-]*(system|filter|polic|setting)"
    r"|prohibited[\s_-]*content|invalid_prompt",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"filter|safety|prohibited|recitation|block|guardrail|refus", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an endpoint answers to one request.

    Attributes:
        text: the answer; empty where the model gave none.
        model: what the server says has answered, which may be more precise than what was asked for.
        finish_reason: why the text ends, as the server says it.
        tokens: of `prompt` and `completion`, as far as the server counts them.
        date: when it came, UTC.
        refusal: why there is no answer and will be none: a filter's reason, or the model's.
    """

    text: str
    model: str | None
    finish_reason: str | None
    tokens: Mapping[str, int]
    date: str
    refusal: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the text is not all that the model had to say."""
        return self.finish_reason == "length"


def read_reply(body: Any) -> Reply:
    """Read the body of a chat completion.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: if it is none.
    """
    choices = body["choices"]
    choice = choices[0] if choices else {}  # some servers leave out what they filter
    message = choice.get("message") or {}
    finish_reason = choice.get("finish_reason")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        refusal = f"the model declines: {refusal}"
    elif _FILTERED.search(str(finish_reason or "")):
        refusal = f"the server's filter ended the answer ({finish_reason})"
    else:
        refusal = None
    model = body.get("model")
    usage = body.get("usage")
    return Reply(
        text=_text(message.get("content")),
        model=None if model is None else str(model),
        finish_reason=None if finish_reason is None else str(finish_reason),
        tokens=_tokens(usage if isinstance(usage, dict) else {}),
        date=now(),
        refusal=refusal,
    )


def refused(reason: str) -> Reply:
    """Return the reply that a server gives in place of an answer."""
    return Reply(text="", model=None, finish_reason=None, tokens={}, date=now(), refusal=reason)


def is_filtered(error: Any, *, in_words: bool) -> bool:
    """Whether an error, as servers send it, is that a filter lets a request not through.

    Args:
        error: the body's `error`.
        in_words: whether its message counts, beside its codes.
    """
    if not isinstance(error, dict):
        return in_words and bool(_FILTER.search(str(error)))
    inner = error.get("innererror")
    codes = [
        error.get("code"),
        error.get("type"),
        inner.get("code") if isinstance(inner, dict) else None,
    ]
    words = [error.get(name) for name in ("message", "metadata", "detail")] if in_words else []
    return any(_FILTER.search(str(said)) for said in (*codes, *words) if said)


def now() -> str:
    """Return the time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(content: Any) -> str:
    """Return an answer's text; it fails if there is something else."""
    if isinstance(content, list):  # in parts, the model's thoughts among them
        content = "".join(
            part["text"] for part in content if part["type"] in ("text", "output_text")
        )
    elif isinstance(content, dict):  # read before it was sent
        content = json.dumps(content, ensure_ascii=False)
    if not isinstance(content, str | None):
        raise TypeError("content is not text")
    return (content or "").encode(errors="replace").decode()  # half a pair cannot be recorded


def _tokens(usage: Mapping[str, Any]) -> dict[str, int]:
    counts = {part: usage.get(f"{part}_tokens") for part in ("prompt", "completion")}
    # A server that does not count is no reason to throw away what it answered.
    return {part: count for part, count in counts.items() if isinstance(count, int)}
