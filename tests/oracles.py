"""Slow, cache-free re-tellings of the decoders, written from the papers' descriptions.

Nothing here uses `trimtab.decoding` or `trimtab.models.codec`: whole sequences go through plain
transformers models, tokens are spelled out byte by byte, text is cut character by character, noise
is computed with Python integers. What the oracles share with the library is only the loaded model
and its tokenizer's way from text to tokens.
"""

import functools
import hashlib
import itertools
import math
import re
from collections.abc import Collection
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from trimtab import Generation, LanguageModel

WORD = 2**32
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def scramble(x: int) -> int:
    x ^= x >> 16
    x = x * 0x85EBCA6B % WORD
    x ^= x >> 13
    x = x * 0xC2B2AE35 % WORD
    return x ^ (x >> 16)


@functools.cache
def place_of(seed: int, sample_id: str, role: str, position: int) -> int:
    """What the noise of all tokens at one place has in common."""
    name = hashlib.sha256(f"{seed}\0{role}\0{sample_id}".encode()).digest()
    low, high = (int.from_bytes(name[i : i + 4], "little") for i in (0, 4))
    return scramble(scramble(position ^ low) ^ high)


def gumbel(seed: int, sample_id: str, role: str, position: int, token: int) -> float:
    """Gumbel noise of one token at one place."""
    place = place_of(seed, sample_id, role, position)
    uniform = (scramble(scramble(token) ^ place) + 0.5) / WORD
    return -math.log(-math.log(uniform))


def choose(
    logits: torch.Tensor,
    generation: Generation,
    *,
    sample_id: str,
    role: str,
    position: int,
    said: Collection[int] = (),
) -> int:
    """Draw one token from logits of shape `[V]`, after those that were said."""
    logits = logits.clone()
    for token in set(said):
        above = logits[token] > 0
        logits[token] *= generation.repetition_penalty ** (-1 if above else 1)
    if generation.temperature == 0:
        return int(logits.argmax())
    scaled = (logits / generation.temperature).tolist()
    ranked = sorted(range(len(scaled)), key=lambda v: -scaled[v])
    if generation.top_k:
        ranked = ranked[: generation.top_k]
    highest = scaled[ranked[0]]
    mass = [math.exp(scaled[v] - highest) for v in ranked]
    kept, held, total = [], 0.0, sum(mass)
    for v, m in zip(ranked, mass, strict=True):
        if held / total >= generation.top_p and generation.top_p < 1:
            break
        if math.exp(scaled[v] - highest) < generation.min_p:
            break
        kept.append(v)
        held += m
    return max(
        kept, key=lambda v: scaled[v] + gumbel(generation.seed, sample_id, role, position, v)
    )


class Reader:
    """Next-token logits of a model after a whole sequence, computed from nothing and kept."""

    def __init__(self, model: LanguageModel) -> None:
        self.tokenizer = model.tokenizer
        ends = model.weights.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        self.ends.discard(None)
        self.signs = self.ends | signs_of(self.tokenizer)
        self.room = model.weights.config.max_position_embeddings
        self._spelling = Spelling(self.tokenizer)
        self._width = len(self.tokenizer)
        self._model = model.weights
        self._known: dict[tuple[int, ...], torch.Tensor] = {}

    def logits(self, tokens: tuple[int, ...]) -> torch.Tensor:
        """Return what follows a sequence, of shape `[V]`."""
        if len(tokens) > self.room:
            raise Full
        if tokens not in self._known:
            self._known[tokens] = self._forward(tokens)[-1].clone()  # not all of the sequence
        return self._known[tokens]

    def foresee(self, prompt: str, answer: str) -> None:
        """Keep what follows an expected answer at each of its tokens; see `read_ahead`."""
        self.read_ahead(self.tokens(prompt), self.tokens(prompt + answer))

    def read_ahead(self, prompt: list[int], whole: list[int]) -> None:
        """Keep what follows a prompt and each more token of a sequence, by one pass over all of it.

        This saves time and decides nothing: one who says something else is computed step by step.
        """
        if len(whole) <= self.room:
            logits_TV = self._forward(tuple(whole))
            for length in range(len(prompt), len(whole) + 1):
                self._known[tuple(whole[:length])] = logits_TV[length - 1]

    def _forward(self, tokens: tuple[int, ...]) -> torch.Tensor:
        with torch.inference_mode():
            out = self._model(input_ids=torch.tensor([tokens]), use_cache=False)
        return out.logits[0, :, : self._width].float()

    def tokens(self, text: str) -> list[int]:
        """A text's own tokens, after the beginning that the tokenizer puts there, once."""
        tokens = self.tokenizer(text).input_ids
        twice = len(tokens) > 1 and tokens[0] == tokens[1] == self.tokenizer.bos_token_id
        return tokens[twice:]

    def pieces(self, new: list[int]) -> list[tuple[str, int]]:
        """What is said after some text, in whole characters, each with its first token."""
        return self._spelling.pieces([None if token in self.signs else token for token in new])

    def text(self, new: list[int]) -> str:
        """What is said after some text."""
        return "".join(piece for piece, _ in self.pieces(new))


def signs_of(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that a tokenizer itself leaves out of a text that is to be read."""
    added = tokenizer.added_tokens_decoder.items()
    return set(tokenizer.all_special_ids) | {i for i, token in added if token.special}


class Spelling:
    """What each token stands for, by its id: bytes that join with others, or text that does not.

    Three kinds are known: bytes written as letters (GPT-2's), and a sign for the space, with or
    without tokens for single bytes (SentencePiece's).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self._all_bytes = "▁" not in vocabulary
        of = self._from_letters if self._all_bytes else self._from_pieces
        self._stands_for = [of(token) for token in vocabulary]

    @staticmethod
    def _from_letters(token: str) -> bytes:
        shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
        hidden = [byte for byte in range(256) if byte not in shown]
        letters = {chr(byte): byte for byte in shown}
        letters |= {chr(256 + i): byte for i, byte in enumerate(hidden)}
        known = all(letter in letters for letter in token)
        return bytes(letters[letter] for letter in token) if known else token.encode()

    @staticmethod
    def _from_pieces(token: str) -> bytes | str:
        byte = re.fullmatch("<0x([0-9A-F]{2})>", token)
        return bytes.fromhex(byte[1]) if byte else token.replace("▁", " ")

    def join(self, tokens: list[int]) -> str:
        """Join what tokens stand for.

        A vocabulary of bytes shows what is no character by Unicode's rules. Single bytes between
        pieces are whole characters together, or one sign of replacement each.
        """
        text = ""
        each = [self._stands_for[token] for token in tokens]
        for kind, run in itertools.groupby(each, type):
            joined = kind().join(run)
            if isinstance(joined, str):
                text += joined
                continue
            try:
                text += joined.decode()
            except UnicodeDecodeError:
                shown = joined.decode(errors="replace")
                text += shown if self._all_bytes else REPLACEMENT * len(joined)
        return text

    def pieces(self, new: list[int | None]) -> list[tuple[str, int]]:
        """Cut what is said after some text into whole characters, each with its first token.

        None is a sign that is no text. Bytes that are no character show as signs of replacement,
        and are left out at the end, where the rest of a character may be to come. A character
        that is whole stays whole, whatever comes after it.
        """
        pieces: list[tuple[str, int]] = []
        pending: list[int] = []
        first = 0
        for place, token in enumerate(new):
            if token is None:
                continue
            if not pending:
                first = place
            pending.append(token)
            text = self.join(pending)
            if text and not text.endswith(REPLACEMENT):
                pieces.append((text, first))
                pending = []
        rest = self.join(pending).rstrip(REPLACEMENT)
        return pieces + ([(rest, first)] if rest else [])


class Full(Exception):
    """A sequence is longer than the model was built for."""


@dataclass
class Said:
    """A piece of an oracle's answer, with the top-1 probability that was asked for before it."""

    text: str
    speaker: str
    probability: float | None


@dataclass
class Told:
    """An oracle's answer."""

    text: str
    stop_reason: str
    trace: list[Said]
    # How often the base's most likely token was its end, though the answer went on.
    ends_suppressed: int = 0

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(said.speaker, said.text) for said in self.trace]


def surest(logits: torch.Tensor) -> tuple[float, int]:
    """The most likely token and its probability."""
    probability, token = logits.softmax(-1).max(-1)
    return float(probability), int(token)


def plain(
    readers: list[tuple[Reader, float, list[int]]], generation: Generation, sample_id: str
) -> list[int]:
    """Decode a linear mixture of (reader, weight, prompt tokens), token by token."""
    return _mixed(readers, generation, sample_id)[0]


def alone(
    readers: list[tuple[Reader, float, list[int]]], generation: Generation, sample_id: str
) -> Told:
    """The same as an answer."""
    new, sure, reason = _mixed(readers, generation, sample_id)
    trace = [Said(text, "model", sure[first]) for text, first in readers[0][0].pieces(new)]
    return Told("".join(said.text for said in trace), reason, trace)


def _mixed(
    readers: list[tuple[Reader, float, list[int]]], generation: Generation, sample_id: str
) -> tuple[list[int], list[float], str]:
    asked = [token for _, _, prompt in readers for token in prompt]
    readers = [each for each in readers if each[1]]
    new: list[int] = []
    sure: list[float] = []
    ends = set().union(*(r.ends for r, _, _ in readers))
    while len(new) < generation.max_new_tokens:
        try:
            mixed = sum(w * r.logits((*prompt, *new)) for r, w, prompt in readers)
        except Full:
            return new, sure, "context"
        said = [*asked, *new] if generation.repetition_penalty != 1 else ()
        place = {"sample_id": sample_id, "role": "model", "position": len(new)}
        token = choose(mixed, generation, **place, said=said)
        if token in ends:
            return new, sure, "end"
        new.append(token)
        sure.append(surest(mixed)[0])
    return new, sure, "length"


def words_of(text: str) -> list[str]:
    """Cut as the authors do: at every space, but where another space follows, nobody is asked."""
    lead = len(text) - len(text.lstrip(" "))
    parts = text[lead:].split(" ")
    words = [" " * lead + parts[0]]
    for i, part in enumerate(parts[1:], 1):
        if part or i == len(parts) - 1:
            words.append(" " + part)
        else:
            words[-1] += " "
    return words if text else []


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
    guard: bool = False,
) -> Told:
    """Nudging by the rules of the authors' released API code.

    As there, each model is asked for `lookahead` tokens at a time. Left out are their limit of
    rounds and what they remove from a whole answer; the budget is counted token by token.
    """
    answer = ""
    trace: list[Said] = []
    would_end: list[str] = []  # the answers so far that the base would have left at that
    base_start, guide_start = len(base.tokens(base_prompt)), len(guide.tokens(guide_prompt))

    def say(who: str, text: str, probability: float | None) -> None:
        nonlocal answer
        answer += text
        if text:
            trace.append(Said(text, who, probability))

    def request(reader: Reader, role: str, tokens: list[int], start: int) -> tuple[list[int], str]:
        """What a model says next, and why that is less than `lookahead` tokens, if it is."""
        new: list[int] = []
        while len(new) < lookahead:
            try:
                logits = reader.logits((*tokens, *new))
            except Full:
                return new, "full"
            place = {"role": role, "position": len(tokens) + len(new) - start}
            token = choose(logits, generation, sample_id=sample_id, **place)
            # Other signs than an end are no text: the guide goes on behind them.
            if token in (reader.signs if role == "base" else reader.ends):
                return new, "end"
            new.append(token)
        return new, ""

    def ask(tokens: list[int], said: str) -> tuple[float, int]:
        """The base's most likely token after some text, and its probability."""
        doubt, top = surest(base.logits(tuple(tokens)))
        if top in base.ends:
            would_end.append(said)
        return doubt, top

    def told(reason: str) -> Told:
        passed = [said for said in would_end if answer.startswith(said) and said != answer]
        return Told(answer, reason, trace, len(passed))

    def base_speaks(doubt: float) -> tuple[float, str | None]:
        """The base's turn; return its last probability, and the reason if the answer ends."""
        tokens, reason = base.tokens(base_prompt + answer), None
        room = generation.max_new_tokens - (len(tokens) - base_start)
        new, ending = request(base, "base", tokens, base_start)
        if new and room <= 0:
            return doubt, "length"
        spoken, sure, new = new[:1], [doubt], new[1:]  # of the first it was sure enough
        while spoken:
            said = base.text(spoken)
            doubts = []
            for i in range(len(new) + 1):
                try:
                    doubts.append(surest(base.logits((*tokens, *spoken, *new[:i])))[0])
                except Full:
                    break
            doubt = doubts[0] if doubts else doubt
            kept = range(next((i for i in range(len(new)) if doubts[i] < threshold), len(new)))
            piece, sure_piece = (
                base.text(spoken + n)[len(said) :] for n in (new, new[: len(kept)])
            )
            full = ending == "full" and len(kept) == len(new)
            known = sure_piece in answer + said and len(sure_piece.split(" ")) > 5
            if guard and not full and len(spoken) < room and (piece in said or known):
                ask(tokens + spoken, answer + said)
                break
            for i in kept:
                if len(spoken) >= room:
                    reason = "length"
                    break
                ask(tokens + spoken, answer + base.text(spoken))
                spoken.append(new[i])
                sure.append(doubts[i])
            if reason:
                ask(tokens + spoken, answer + base.text(spoken))
                break
            if full and (len(kept) == len(doubts) or doubts[len(kept)] >= threshold):
                reason = "context"
                break
            doubt = doubts[len(kept)]
            if len(kept) < len(new) or ending:
                ask(tokens + spoken, answer + base.text(spoken))
                break
            new, ending = request(base, "base", tokens + spoken, base_start)
        for text, first in base.pieces(spoken):
            say("base", text, sure[first])
        return doubt, reason

    # What the base was last asked, if that was where the next word begins.
    doubt: float | None = None
    turns: list[str] = []  # of the guide
    while True:
        start = guide.tokens(guide_prompt + answer)
        new, ending = request(guide, "guide", start, guide_start)
        if ending == "full":
            return told("context")
        chunk = guide.text(new)
        if ending:
            say("guide", chunk, None)
            return told("guide")
        words = words_of(chunk)
        if not words:
            return told("stalled")
        doubts, taken = [doubt], False
        for word in words[1:]:
            if word == " ":  # the space of a word to come, of which the base is not asked
                doubt = None
                break
            tokens = base.tokens(base_prompt + answer + "".join(words[: len(doubts)]))
            try:
                doubt, top = ask(tokens, answer + "".join(words[: len(doubts)]))
            except Full:
                return told("context")
            first = base.text([top])
            if doubt >= threshold or (agreement and first and word.startswith(first)):
                taken = True
                break
            doubts.append(doubt)
        if len(words) == 1:
            doubt = None
        elif not taken and len(doubts) == len(words):
            doubts.pop()
        turns.append("".join(words[: len(doubts)]))
        if guard and len(turns) > 3 and len(set(turns[-4:])) == 1:
            return told("repetition")
        for word, asked in zip(words, doubts, strict=False):
            say("guide", word, asked)
        if len(base.tokens(base_prompt + answer)) - base_start >= generation.max_new_tokens:
            return told("length")
        if taken:
            doubt, reason = base_speaks(doubt)
            if reason:
                return told(reason)
