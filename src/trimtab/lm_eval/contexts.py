"""The harness's contexts as the prompts of a method's models, in tokens.

Each model reads a context as it is, as the harness's own models do; with `--apply_chat_template`
each renders the chat in its own way, base models as plain text. No text at all is the beginning
token, or where there is none the end token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from trimtab.lm_eval import chat
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel

Models = Mapping[str, LanguageModel]
"""A method's models by role. Continuations are in the tokens of the first."""


class Pair(NamedTuple):
    """A continuation, and the prompts that it follows, by role."""

    prompts: dict[str, list[int]]
    targets: list[int]


def encode(models: Models, context: str) -> Prompts:
    """Return what each model reads of a context."""
    return _encode(models, _render(models, context))


def encode_pair(models: Models, context: str, continuation: str) -> Pair:
    """Return a context and its continuation, cut where the harness cuts them.

    White space that ends the context is the continuation's (here, as far as all models' prompts end
    in the same), and the continuation's tokens are those that it adds to the context's.

    Raises:
        ValueError: for a continuation that adds none.
    """
    texts = _render(models, context)
    moved = _common_white_space(list(texts.values()))
    prompts = _encode(models, {role: text.removesuffix(moved) for role, text in texts.items()})
    role, model = next(iter(models.items()))
    text = prompts.text[role]
    before = model.encode(text)
    targets = model.encode(text + moved + continuation)[len(before) :]
    if not before and targets[:1] == prompts.tokens[role]:
        targets = targets[1:]  # the text begins with the very token that stands for no text
    if not targets:
        raise ValueError(
            f"The continuation {continuation!r} adds no token to its context, which ends in "
            f"{text[-20:]!r}: it is empty, or the two grow together into fewer tokens."
        )
    return Pair(prompts.tokens, targets)


def encode_windows(models: Models, text: str) -> list[Pair]:
    """Return a whole text, in windows that every model holds, each token a target once.

    The windows are the harness's: each has as much of the text before it as there is room for.
    """
    model = next(iter(models.values()))
    windows = get_rolling_token_windows(
        token_list=model.encode(text),
        prefix_token=_prefix_token(model),
        max_seq_len=min(each.context_length for each in models.values()),
        context_len=1,
    )
    pairs = map(make_disjoint_window, windows)
    return [Pair(dict.fromkeys(models, before), targets) for before, targets in pairs]


def _render(models: Models, context: str) -> dict[str, str]:
    messages = chat.unpack(context)
    if messages is None:
        return dict.fromkeys(models, context)
    return {role: chat.render(model, messages) for role, model in models.items()}


def _encode(models: Models, texts: dict[str, str]) -> Prompts:
    tokens = {
        role: model.encode(texts[role]) or [_prefix_token(model)] for role, model in models.items()
    }
    return Prompts(texts, tokens)


def _prefix_token(model: LanguageModel) -> int:
    """Return what stands for no text."""
    tokenizer = model.tokenizer
    begins, ends = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begins is None and ends is None:
        raise ValueError(
            f"The tokenizer of {model.path!r} has neither a beginning nor an end token, so an "
            "empty prompt cannot be told to it."
        )
    prefix: int = ends if begins is None else begins
    return prefix


def _common_white_space(texts: Sequence[str]) -> str:
    """Return the white space that ends all texts alike."""
    tails = [text[len(text.rstrip()) :][::-1] for text in texts]
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*tails, strict=False))
    return "".join(signs[0] for signs in alike)[::-1]
