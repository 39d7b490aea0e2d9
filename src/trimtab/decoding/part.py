"""An answer's side of a conversation with a voice: what it asks, and what it gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from trimtab.decoding.completion import Work
from trimtab.decoding.sampling import noise_key
from trimtab.models.session import kept_length

if TYPE_CHECKING:
    from trimtab.decoding.token_details import TokenDetails
    from trimtab.decoding.voice import Voice


class Reading(NamedTuple):
    """What a voice would say after one position of a sequence.

    Attributes:
        token: the token it draws.
        top_token: its most likely token.
        top_probability: that token's probability at temperature 1, before any filter.
        divergence: of its distribution at temperature 1 from the reference model's, in nats; NaN
            where that model does not take part.
        log_probability: of the token that was asked about, at temperature 1, in nats; NaN where
            none was.
        details: of the token that it draws, where they are asked for.
    """

    token: int
    top_token: int
    top_probability: float
    divergence: float = float("nan")
    log_probability: float = float("nan")
    details: TokenDetails | None = None


class Ask(NamedTuple):
    """A request to a voice: read the last positions of a sequence.

    Attributes:
        part: who asks.
        sequences: the whole token sequence of each model that takes part.
        last: how many positions to read; more than one verifies drafted tokens.
        position: of the next token in the answer, which names its noise.
        told: the token that follows each of these positions, where its probability is wanted.
    """

    part: Part
    sequences: tuple[list[int], ...]
    last: int
    position: int
    told: tuple[int, ...] = ()

    def tokens(self, role: str) -> list[int]:
        """Return the sequence of one of the models."""
        return self.sequences[self.part.place[role]]


class ContextFull(Exception):
    """A sequence has outgrown the context of one of its models."""


class Known:
    """What one model is known to say after which tokens, for all answers to one sample."""

    def __init__(self) -> None:
        self._readings: dict[tuple[int, ...], Reading] = {}

    def news(self, ask: Ask) -> Ask | None:
        """Return what of a request is not known yet; None where all is."""
        for last, place in zip(range(ask.last, 0, -1), _places(ask), strict=True):
            if place not in self._readings:
                return ask._replace(last=last)
        return None

    def learn(self, ask: Ask, readings: Sequence[Reading]) -> None:
        """Keep what was read."""
        self._readings.update(zip(_places(ask), readings, strict=True))

    def recall(self, ask: Ask) -> list[Reading]:
        """Return the readings of a request of which nothing is new."""
        return [self._readings[place] for place in _places(ask)]


def _places(ask: Ask) -> list[tuple[int, ...]]:
    (tokens,) = ask.sequences
    whole = tuple(tokens)
    return [whole[:n] for n in range(len(whole) - ask.last + 1, len(whole) + 1)]


class Part:
    """A voice's part in one answer: its slot, its prompts, its noise, and the work it did.

    Args:
        voice: the voice.
        slot: where it keeps the answer.
        sample_id: the sample that is answered.
        prompts: prompt tokens by role.
        seed: decides the draws.
        weights: of the models that take part, by role; None for each of the voice's models alike.
        known: what the other answers of the family have found out.
        siblings: the slots of all answers of the family.
        strengths: of the dials that the voice's models have.
        said_before: the tokens of all prompts that a repetition penalty counts.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        slot: int,
        sample_id: str,
        prompts: Mapping[str, list[int]],
        seed: int,
        weights: Mapping[str, float] | None = None,
        known: Known | None = None,
        siblings: tuple[int, ...] = (),
        strengths: tuple[float, ...] = (),
        said_before: Collection[int] = (),
    ) -> None:
        self.voice = voice
        self.strengths = strengths
        self._said_before = frozenset(said_before)
        self.slot = slot
        self.siblings = siblings
        self.sample_id = sample_id
        self.weights = dict.fromkeys(voice.models, 1.0) if weights is None else dict(weights)
        self.known = Known() if known is None else known
        self.models = {role: voice.models[role] for role in self.weights}
        self.place = {role: i for i, role in enumerate(self.models)}
        self.prompts = [prompts[role] for role in self.models]
        self.key = noise_key(seed, sample_id, voice.name)
        self.work = {role: Work() for role in self.models}
        self.stop_tokens = frozenset[int]().union(
            *(m.stop_tokens for role, m in self.models.items() if self.weights[role] != 0)
        )
        self._contexts = [model.context_length for model in self.models.values()]
        self._held: tuple[list[int], ...] = ()

    def room(self, tokens: list[int]) -> int:
        """Return how many more tokens fit behind an answer so far, in every model's context."""
        pairs = zip(self._contexts, self.prompts, strict=True)
        return max(0, min(context - len(prompt) for context, prompt in pairs) - len(tokens))

    def ask(
        self, sequences: Sequence[list[int]], *, last: int = 1, told: tuple[int, ...] = ()
    ) -> Ask:
        """Return the request to read the last positions; ContextFull if a model cannot."""
        for context, tokens in zip(self._contexts, sequences, strict=True):
            if len(tokens) > context:
                raise ContextFull
        position = len(sequences[0]) - len(self.prompts[0])
        return Ask(self, tuple(sequences), last, position, told)

    def said(self, ask: Ask) -> list[frozenset[int]]:
        """Return, for each position that is read, the tokens of the prompts and the answer then."""
        answer = ask.sequences[0][len(self.prompts[0]) :]
        lengths = range(len(answer) - ask.last + 1, len(answer) + 1)
        return [self._said_before.union(answer[:length]) for length in lengths]

    def count(self, ask: Ask) -> bool:
        """Count what a request costs an answer that is alone; return whether it is its first.

        What others share with it is not taken off, so a record is the same in any company.
        """
        held = self._held or ([],) * len(ask.sequences)
        for role, tokens, before in zip(self.models, ask.sequences, held, strict=True):
            self.work[role].passes += 1
            self.work[role].tokens += len(tokens) - kept_length(before, tokens, ask.last)
        first = not self._held
        self._held = ask.sequences
        return first
