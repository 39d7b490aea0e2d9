"""What a client of OpenAI's API asks for: what is not honoured is refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.config.wording import not_a_choice
from trimtab.decoding import Generation
from trimtab.models import Conversation

# Fields that change no answer.
_WITHOUT_EFFECT = {"user", "safety_identifier", "stream"}
# Fields that are taken at the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "response_format": (None, {"type": "text"}),
    "tools": (None, []),
    "tool_choice": (None, "none"),
    "modalities": (None, ["text"]),
    "metadata": (None, {}),
    "store": (None, False),
    "service_tier": (None, "auto", "default"),
}
_SAMPLING = ("temperature", "top_p", "seed", "top_k", "min_p", "repetition_penalty")
_LENGTHS = ("max_completion_tokens", "max_tokens")
_MOST_CHOICES = 128


class Refused(Exception):
    """A request that cannot be answered as it is.

    Args:
        message: what is wrong, and what is accepted.
        param: the field.
        status: of HTTP.
        code: of the error, for programs.
    """

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        question: what is asked.
        generation: how they are answered.
        dials: the method's.
        choices: how many answers are asked for.
        stream: whether pieces are sent as they come.
        usage_at_end: whether a stream ends with its usage.
        spans: whether answers carry who said what.
        model: the name that it was asked by.
    """

    question: Conversation
    generation: Generation
    dials: dict[str, Any] = field(default_factory=dict)
    choices: int = 1
    stream: bool = False
    usage_at_end: bool = False
    spans: bool = True
    model: str = ""


Names = Callable[[str], dict[str, Any]]
"""Returns the dials that a model's name stands for."""


def chat(body: Mapping[str, Any], usual: Generation, model: Names) -> Wanted:
    """Read a request for a chat completion.

    Args:
        body: of the request.
        usual: the settings where the request has none.
        model: returns the dials that a model's name stands for.

    Raises:
        Refused: naming the field.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused(f"messages={messages!r}: accepted is a list of messages.", "messages")
    question = _of("messages", Conversation.of, messages)
    known = {"messages", *_WITHOUT_EFFECT, *_NEUTRAL, *_SAMPLING, *_LENGTHS}
    known |= {"model", "n", "stop", "stream_options", "trimtab"}
    for given, value in body.items():
        if given not in known:
            raise Refused(not_a_choice("field", given, sorted(known)), given)
        if given in _NEUTRAL and value not in _NEUTRAL[given]:
            raise Refused(f"{given}={value!r} is not honoured here. Leave it out.", given)
    name = body.get("model")
    if not isinstance(name, str):
        raise Refused(f"model={name!r}: accepted is a name; /v1/models lists them.", "model")
    own = body.get("trimtab") or {}
    if not isinstance(own, Mapping):
        raise Refused(
            f"trimtab={own!r}: accepted is an object, as {{'threshold': 0.4}}.", "trimtab"
        )
    dials = dict(own)
    spans = dials.pop("spans", True)
    options = body.get("stream_options") or {}
    if not isinstance(options, Mapping) or options.keys() - {"include_usage"}:
        raise Refused(
            f"stream_options={options!r}: accepted is include_usage, true or false.",
            "stream_options",
        )
    return Wanted(
        question=question,
        generation=_generation(body, usual),
        dials=_agreeing(model(name), dials),
        choices=_whole(body, "n", 1, _MOST_CHOICES),
        stream=_flag(body.get("stream"), "stream"),
        usage_at_end=_flag(options.get("include_usage"), "stream_options"),
        spans=_flag(spans, "trimtab"),
        model=name,
    )


def _agreeing(named: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the dials of a model's name and of a request, which may not contradict each other."""
    for dial in named.keys() & given.keys():
        if named[dial] != given[dial]:
            at = f"the model's name has {named[dial]!r}"
            raise Refused(f"{dial}={given[dial]!r}, but {at}. Give one of the two.", "trimtab")
    return named | given


def _generation(body: Mapping[str, Any], usual: Generation) -> Generation:
    settings = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
    lengths = [body[name] for name in _LENGTHS if body.get(name) is not None]
    if len({*map(repr, lengths)}) > 1:
        raise Refused(f"{' and '.join(_LENGTHS)} differ. Give one of them.", "max_tokens")
    if lengths:
        settings["max_new_tokens"] = lengths[0]
    if (stop := body.get("stop")) is not None:
        settings["stop_strings"] = [stop] if isinstance(stop, str) else stop
    for name, value in settings.items():  # one by one, to name the field that is wrong
        asked = {"max_new_tokens": "max_tokens", "stop_strings": "stop"}.get(name, name)
        _of(asked, dataclasses.replace, usual, **{name: value})
    return dataclasses.replace(usual, **settings)


def _whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return least
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refused(f"{name}={value!r}: accepted are whole numbers from {least} to {most}.", name)
    return value


def _flag(value: Any, name: str) -> bool:
    if value not in (None, True, False):
        raise Refused(f"{name}={value!r}: accepted are true and false.", name)
    return bool(value)


def _of(param: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call what refuses wrong values, and name the field for it."""
    try:
        return function(*given, **named)
    except (ValueError, TypeError) as error:
        raise Refused(str(error), param) from error
