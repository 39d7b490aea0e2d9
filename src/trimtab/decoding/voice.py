"""A voice: one model, or several of one vocabulary mixed into one next-token distribution.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from trimtab.decoding.completion import Work
from trimtab.decoding.generation import Generation
from trimtab.decoding.sampling import draw, noise_key
from trimtab.models.language_model import LanguageModel
from trimtab.models.session import Session


class Reading(NamedTuple):
    """What a voice would say after one position of a sequence.

    Attributes:
        token: the token it draws.
        top_token: its most likely token.
        top_probability: that token's probability at temperature 1, before any filter.
    """

    token: int
    top_token: int
    top_probability: float


class Ask(NamedTuple):
    """A request to a voice: read the last positions of a sequence.

    Attributes:
        part: who asks.
        sequences: the whole token sequence of each model of the voice.
        last: how many positions to read; more than one verifies drafted tokens.
        position: of the next token in the answer, which names its noise.
    """

    part: Part
    sequences: tuple[list[int], ...]
    last: int
    position: int


class ContextFull(Exception):
    """A sequence has outgrown the context of one of its models."""


Mix = Callable[[Sequence[torch.Tensor], Sequence[float]], torch.Tensor]
"""How the logits `[N, V]` of several models, with their weights, become those of one voice."""


def mix_logits(logits: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return `sum_i weights_i * logits_i`, each of shape `[N, V]`.

    The geometric mixture of the models' distributions, up to normalisation.
    """
    mixed = weights[0] * logits[0]
    for weight, other in zip(weights[1:], logits[1:], strict=True):
        mixed = mixed + weight * other
    return mixed


def mix_probabilities(logits: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return `log sum_i weights_i softmax(logits_i)`, each of shape `[N, V]`; weights above 0."""
    parts = [
        each.log_softmax(dim=-1) + math.log(weight)
        for each, weight in zip(logits, weights, strict=True)
    ]
    return torch.stack(parts).logsumexp(dim=0)


class Voice:
    """One or several models with weights, speaking as one; a KV cache per model, a slot per row.

    A model of weight 0 is not run, so a dial at its end costs, and gives, exactly the other model.
    """

    def __init__(
        self,
        models: Mapping[str, LanguageModel],
        weights: Mapping[str, float],
        *,
        name: str,
        generation: Generation,
        mix: Mix = mix_logits,
    ) -> None:
        self.name = name
        self._mix = mix
        self.models = {role: m for role, m in models.items() if weights[role] != 0}
        if not self.models:
            raise ValueError("All weights of the mixture are 0: nobody is left to speak.")
        self._weights = [weights[role] for role in self.models]
        self._generation = generation
        self._sessions = {
            role: Session(m, generation.batch_size) for role, m in self.models.items()
        }
        self.stop_tokens = frozenset[int]().union(*(m.stop_tokens for m in self.models.values()))

    @property
    def size(self) -> int:
        """Number of parameters of all its models: what asking it costs."""
        return sum(m.weights.num_parameters() for m in self.models.values())

    def forget(self, slot: int) -> None:
        """Free a slot for the next answer."""
        for session in self._sessions.values():
            session.forget(slot)

    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far, by role."""
        return {role: session.forward_passes for role, session in self._sessions.items()}

    def read(self, asks: Sequence[Ask]) -> list[list[Reading]]:
        """Answer several requests, one forward pass per model; a reading per position."""
        last = [ask.last for ask in asks]
        slots = [ask.part.slot for ask in asks]
        logits = []
        for i, (role, session) in enumerate(self._sessions.items()):
            sequences = [ask.sequences[i] for ask in asks]
            try:
                logits_NV, processed = session.read(slots, sequences, last)
            except RuntimeError as error:
                self._say_out_of_memory(error, session.model.path)
                raise
            logits.append(logits_NV)
            for ask, tokens in zip(asks, processed, strict=True):
                work = ask.part.work[role]
                work.passes += 1
                work.tokens += tokens
        mixed_NV = self._mixed(logits)
        readings = self._readings(mixed_NV, asks)
        # A probability is a number exactly where every logit is finite, or where some are -inf.
        if any(reading.top_probability != reading.top_probability for reading in readings):
            self._refuse_not_finite(logits, mixed_NV, asks)
        following = iter(readings)
        return [list(itertools.islice(following, ask.last)) for ask in asks]

    def _say_out_of_memory(self, error: RuntimeError, path: str) -> None:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError(
                f"{path!r} ran out of memory with generation.batch_size="
                f"{self._generation.batch_size}. Lower it (the answers stay the same), or take a "
                "smaller dtype. What is finished is kept: the same command resumes."
            ) from error

    def _mixed(self, logits: list[torch.Tensor]) -> torch.Tensor:
        if self._weights == [1.0]:
            return logits[0]
        device = logits[0].device
        return self._mix([each.to(device) for each in logits], self._weights)

    def _readings(self, logits_NV: torch.Tensor, asks: Sequence[Ask]) -> list[Reading]:
        top_N, top_tokens_N = logits_NV.max(dim=-1)
        probabilities = (top_N - logits_NV.logsumexp(dim=-1)).exp().tolist()
        top_tokens = top_tokens_N.tolist()
        tokens = top_tokens
        if self._generation.temperature > 0:
            tokens = draw(
                logits_NV,
                temperature=self._generation.temperature,
                top_k=self._generation.top_k,
                top_p=self._generation.top_p,
                keys=[ask.part.key for ask in asks for _ in range(ask.last)],
                positions=[
                    ask.position - ask.last + 1 + i for ask in asks for i in range(ask.last)
                ],
            ).tolist()
        return list(map(Reading, tokens, top_tokens, probabilities))

    def _refuse_not_finite(
        self, logits: list[torch.Tensor], mixed_NV: torch.Tensor, asks: Sequence[Ask]
    ) -> None:
        for session, logits_NV in zip(self._sessions.values(), logits, strict=True):
            _require_finite(logits_NV, repr(session.model.path), asks)
        weights = ", ".join(f"{w:g}" for w in self._weights)
        _require_finite(mixed_NV, f"The mixture with weights {weights}", asks)


class Part:
    """A voice's part in one answer: its slot, its prompts, its noise, and the work it did."""

    def __init__(
        self,
        voice: Voice,
        *,
        slot: int,
        sample_id: str,
        prompts: Mapping[str, list[int]],
        seed: int,
    ) -> None:
        self.voice = voice
        self.slot = slot
        self.sample_id = sample_id
        self.prompts = [prompts[role] for role in voice.models]
        self.key = noise_key(seed, sample_id, voice.name)
        self.work = {role: Work() for role in voice.models}
        self._contexts = [model.context_length for model in voice.models.values()]

    def room(self, tokens: list[int]) -> int:
        """Return how many more tokens fit behind an answer so far, in every model's context."""
        pairs = zip(self._contexts, self.prompts, strict=True)
        return max(0, min(context - len(prompt) for context, prompt in pairs) - len(tokens))

    def ask(self, sequences: Sequence[list[int]], *, last: int = 1) -> Ask:
        """Return the request to read the last positions; ContextFull if a model cannot."""
        for context, tokens in zip(self._contexts, sequences, strict=True):
            if len(tokens) > context:
                raise ContextFull
        position = len(sequences[0]) - len(self.prompts[0])
        return Ask(self, tuple(sequences), last, position)


def _require_finite(logits_NV: torch.Tensor, whose: str, asks: Sequence[Ask]) -> None:
    bad_N = ~torch.isfinite(logits_NV.amax(dim=-1))
    if bad_N.any():
        rows = [ask.part.sample_id for ask in asks for _ in range(ask.last)]
        sample = rows[int(bad_N.nonzero()[0])]
        raise FloatingPointError(
            f"{whose} gave logits that are not finite for sample {sample!r}: the weights are "
            "damaged, the dtype overflows (try dtype=float32), or the strength is too large."
        )
