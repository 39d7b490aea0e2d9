"""Answers in the format of OpenAI's API, by the `openai` package's own types, and who said what."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel

from trimtab.decoding import Completion, Span
from trimtab.methods.prompts import Prompts
from trimtab.serve.wire import Wanted

# Of our reasons why an answer ends, those that a client knows as a limit; all others are `stop`.
_LIMITS = {"length", "context"}


class Form:
    """The answers to one request.

    Args:
        wanted: what was asked for.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._common: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": wanted.model,
        }

    def whole(self, answers: Sequence[Completion], prompt: Prompts) -> dict[str, Any]:
        """Return the response to a request that is not streamed."""
        response = ChatCompletion(
            **self._common,
            object="chat.completion",
            choices=[
                Choice(
                    index=number,
                    message=ChatCompletionMessage(role="assistant", content=answer.text),
                    finish_reason=reason(answer),
                    logprobs=None,
                )
                for number, answer in enumerate(answers)
            ],
        )
        found = _plain(response) | {"usage": usage(answers, prompt)}
        for choice, answer in zip(found["choices"], answers, strict=True):
            choice["trimtab"] = self._own(answer)
        return found

    def opening(self, number: int) -> dict[str, Any]:
        """Return what a stream begins a choice with."""
        return self._chunk(number, {"role": "assistant", "content": ""})

    def piece(self, number: int, span: Span) -> dict[str, Any]:
        """Return the event of a piece of a choice."""
        event = self._chunk(number, {"content": span.text})
        if self._wanted.spans:
            event["choices"][0]["trimtab"] = {"spans": spans([span])}
        return event

    def end(self, number: int, answer: Completion) -> dict[str, Any]:
        """Return the event that ends a choice; its spans were told before."""
        event = self._chunk(number, {}, reason(answer))
        own = self._own(answer)
        own.pop("spans", None)
        event["choices"][0]["trimtab"] = own
        return event

    def usage_event(self, answers: Sequence[Completion], prompt: Prompts) -> dict[str, Any]:
        """Return the event that tells the usage of all, with no choice, as the last of a stream."""
        return self._event([]) | {"usage": usage(answers, prompt)}

    def _own(self, answer: Completion) -> dict[str, Any]:
        own: dict[str, Any] = {"stop_reason": answer.stop_reason, "measures": answer.measures}
        return own | ({"spans": spans(answer.trace)} if self._wanted.spans else {})

    def _chunk(
        self, number: int, delta: Mapping[str, Any], finish_reason: Any = None
    ) -> dict[str, Any]:
        said = ChoiceDelta(**delta)
        choice = ChunkChoice(index=number, delta=said, finish_reason=finish_reason, logprobs=None)
        return self._event([choice])

    def _event(self, choices: list[ChunkChoice]) -> dict[str, Any]:
        chunk = ChatCompletionChunk(**self._common, object="chat.completion.chunk", choices=choices)
        return _plain(chunk)


def reason(answer: Completion) -> Any:
    """Return why an answer ends in the API's words; `trimtab.stop_reason` has our own."""
    return "length" if answer.stop_reason in _LIMITS else "stop"


def spans(said: Iterable[Span]) -> list[dict[str, Any]]:
    """Return who said what, and how likely the likeliest token was before it."""
    return [{"text": s.text, "speaker": s.speaker, "probability": s.probability} for s in said]


def usage(answers: Sequence[Completion], prompt: Prompts) -> dict[str, Any]:
    """Return the tokens of the prompt, once, and of the answers, and what each model did for them.

    The prompt is counted in the tokens of the method's first model; in `trimtab`, of each.
    """
    read = {role: len(tokens) for role, tokens in prompt.tokens.items()}
    spoken: Counter[str] = Counter()
    work: dict[str, Counter[str]] = {}
    for answer in answers:
        spoken.update(answer.tokens)
        for role, did in answer.work.items():
            work.setdefault(role, Counter()).update(passes=did.passes, tokens=did.tokens)
    first, said = next(iter(read.values())), spoken.total()
    used = CompletionUsage(prompt_tokens=first, completion_tokens=said, total_tokens=first + said)
    own = {"prompt_tokens": read, "tokens": dict(spoken)}
    return _plain(used) | {"trimtab": own | {"work": {r: dict(did) for r, did in work.items()}}}


def _plain(answer: BaseModel) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_unset=True)
