"""Slow, cache-free re-tellings of the decoders, written from the papers' descriptions.

Nothing here uses `trimtab.decoding`: whole sequences go through plain transformers models, text is
cut character by character, noise is computed with Python integers. What the oracles share with the
library is only the loaded model.
"""

import functools
import hashlib
import math
from dataclasses import dataclass

import torch

from trimtab import Generation, LanguageModel

WORD = 2**32


def scramble(x: int) -> int:
    x ^= x >> 16
    x = x * 0x85EBCA6B % WORD
    x ^= x >> 13
    x = x * 0xC2B2AE35 % WORD
    return x ^ (x >> 16)


def gumbel(seed: int, sample_id: str, role: str, position: int, token: int) -> float:
    """Gumbel noise of one token at one place."""
    name = hashlib.sha256(f"{seed}\0{role}\0{sample_id}".encode()).digest()
    low, high = (int.from_bytes(name[i : i + 4], "little") for i in (0, 4))
    place = scramble(scramble(position ^ low) ^ high)
    uniform = (scramble(scramble(token) ^ place) + 0.5) / WORD
    return -math.log(-math.log(uniform))


def choose(
    logits: torch.Tensor, generation: Generation, *, sample_id: str, role: str, position: int
) -> int:
    """Draw one token from logits of shape `[V]`."""
    if generation.temperature == 0:
        return int(logits.argmax())
    scaled = (logits / generation.temperature).tolist()
    ranked = sorted(range(len(scaled)), key=lambda v: -scaled[v])
    if generation.top_k:
        ranked = ranked[: generation.top_k]
    highest = scaled[ranked[0]]
    mass = [math.exp(scaled[v] - highest) for v in ranked]
    kept, held = [], 0.0
    for v, m in zip(ranked, mass, strict=True):
        if held / sum(mass) >= generation.top_p and generation.top_p < 1:
            break
        kept.append(v)
        held += m
    return max(
        kept, key=lambda v: scaled[v] + gumbel(generation.seed, sample_id, role, position, v)
    )


class Reader:
    """Next-token logits of a model after a whole sequence, computed from nothing each time."""

    def __init__(self, model: LanguageModel) -> None:
        self.tokenizer = model.tokenizer
        self.ends = {self.tokenizer.eos_token_id}
        width = len(self.tokenizer)

        @functools.lru_cache(maxsize=100_000)
        def logits(tokens: tuple[int, ...]) -> torch.Tensor:
            with torch.inference_mode():
                out = model.weights(input_ids=torch.tensor([tokens]), use_cache=False)
            return out.logits[0, -1, :width].float()

        self.logits = logits

    def text(self, context: list[int], new: list[int]) -> str:
        whole = self.tokenizer.decode(context + new, clean_up_tokenization_spaces=False)
        return whole[len(self.tokenizer.decode(context, clean_up_tokenization_spaces=False)) :]


@dataclass
class Told:
    """An oracle's answer."""

    text: str
    stop_reason: str
    turns: list[tuple[str, str]]


def plain(
    readers: list[tuple[Reader, float, list[int]]], generation: Generation, sample_id: str
) -> list[int]:
    """Decode a linear mixture of (reader, weight, prompt tokens), token by token."""
    new: list[int] = []
    ends = set().union(*(r.ends for r, weight, _ in readers if weight))
    while len(new) < generation.max_new_tokens:
        mixed = sum(w * r.logits((*prompt, *new)) for r, w, prompt in readers)
        token = choose(mixed, generation, sample_id=sample_id, role="model", position=len(new))
        if token in ends:
            break
        new.append(token)
    return new


def words_of(text: str) -> list[str]:
    """Cut before each run of spaces that follows something else."""
    words: list[str] = []
    for before, character in zip(" " + text, text, strict=False):
        if not words or (character == " " and before != " "):
            words.append("")
        words[-1] += character
    return words


def nudge(
    base: Reader,
    base_prompt: str,
    guide: Reader,
    guide_prompt: str,
    *,
    threshold: float,
    generation: Generation,
    sample_id: str = "0",
    agreement: bool = True,
    lookahead: int = 16,
) -> Told:
    """Nudging by the rules of the authors' released API code (without their repetition guards).

    A plain prompt gets the tokenizer's beginning-of-sequence; a chat template brings its own.
    """

    def base_tokens(text: str) -> list[int]:
        return base.tokenizer(base_prompt + text).input_ids

    def guide_tokens(text: str) -> list[int]:
        return guide.tokenizer(guide_prompt + text, add_special_tokens=False).input_ids

    def sure(tokens: list[int]) -> tuple[float, int]:
        probability, token = base.logits(tuple(tokens)).softmax(-1).max(-1)
        return float(probability), int(token)

    answer = ""
    turns: list[tuple[str, str]] = []
    base_start, guide_start = len(base_tokens("")), len(guide_tokens(""))

    def say(who: str, text: str) -> None:
        nonlocal answer
        answer += text
        turns.append((who, text))

    while True:
        start, new, ended = guide_tokens(answer), [], False
        while len(new) < lookahead and not ended:
            token = choose(
                guide.logits((*start, *new)),
                generation,
                sample_id=sample_id,
                role="guide",
                position=len(start) + len(new) - guide_start,
            )
            ended = token in guide.ends
            new += [] if ended else [token]
        chunk = guide.text(start, new)
        if ended:
            say("guide", chunk)
            return Told(answer, "guide", turns)
        words = words_of(chunk)
        taken = None
        for count in range(1, len(words)):
            tokens = base_tokens(answer + "".join(words[:count]))
            probability, top = sure(tokens)
            agrees = False
            if agreement and top not in base.ends:
                agrees = words[count].startswith(base.text(tokens, [top]))
            if probability >= threshold or agrees:
                taken = count
                break
        say("guide", "".join(words[: taken or max(1, len(words) - 1)]))
        if len(base_tokens(answer)) - base_start >= generation.max_new_tokens:
            return Told(answer, "length", turns)
        if taken is None:
            continue
        tokens, spoken = base_tokens(answer), list[int]()
        while True:
            probability, _ = sure(tokens + spoken)
            if spoken and probability < threshold:
                break
            token = choose(
                base.logits((*tokens, *spoken)),
                generation,
                sample_id=sample_id,
                role="base",
                position=len(tokens) + len(spoken) - base_start,
            )
            if token in base.ends:
                break
            if len(tokens) + len(spoken) - base_start >= generation.max_new_tokens:
                say("base", base.text(tokens, spoken))
                return Told(answer, "length", turns)
            spoken.append(token)
        say("base", base.text(tokens, spoken))
