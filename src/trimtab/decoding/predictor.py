"""The seam between decoders and models: what may follow some tokens, and who says so.

A decoder is a generator that yields requests, made by the cursors of those who speak in its answer,
and gets predictions back. Who predicts is a `Predictor`: models of this process (`local`), or
anything else that answers requests. Decoders know no torch, no cache and no batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Generator, Hashable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from trimtab.decoding.completion import Completion, Work
from trimtab.decoding.generation import Drawing
from trimtab.decoding.memo import Memo
from trimtab.decoding.noise_key import noise_key
from trimtab.decoding.retelling import Retelling, Retold
from trimtab.decoding.telling import News
from trimtab.models.language_model import LanguageModel
from trimtab.models.prefix import kept_length
from trimtab.models.steering import Gate

T = TypeVar("T")

Combine = Callable[[Mapping[str, Any], Mapping[str, float]], Any]
"""How the logits of several models become those of one speaker.

Called with the logits, tensors `[N, V]` by role, of the models that take part, and their weights by
role; returns `[N, V]`, logits up to a constant of each row, -inf for a token that is ruled out.
"""


class TokenDetails(NamedTuple):
    """Of one token that was drawn, at temperature 1, before any filter or penalty; in nats.

    Attributes:
        log_probability: under the method.
        entropy: of the method's distribution there.
        models: the log-probability under each model that was run, by its role.
    """

    log_probability: float
    entropy: float
    models: dict[str, float]


class Prediction(NamedTuple):
    """What a speaker would say after one position of a sequence.

    Attributes:
        token: the token it draws.
        top_token: its most likely token.
        top_probability: that token's probability at temperature 1, before any filter.
        divergence: of its distribution at temperature 1 from the reference model's, in nats; NaN
            where that model does not take part.
        log_probability: of the token that was asked about, at temperature 1, in nats; NaN where
            none was.
        details: of the token that it draws, where they are asked for.
        unmapped: what models of other vocabularies give, on average, to tokens that none of the
            answer's stands for; NaN where there is no such model.
    """

    token: int
    top_token: int
    top_probability: float
    divergence: float = float("nan")
    log_probability: float = float("nan")
    details: TokenDetails | None = None
    unmapped: float = float("nan")


class Request(NamedTuple):
    """A request to a predictor: predict after each of the last positions of a sequence.

    Attributes:
        cursor: who asks.
        sequences: the whole token sequence of each model that takes part.
        last: after how many positions; more than one verifies drafted tokens.
        position: of the next token in the answer, which names its noise.
        targets: the token that follows each of these positions, where its probability is wanted.
        opens: whether it is the first of an answer.
        retold: what models of other vocabularies read, by role.
    """

    cursor: Cursor
    sequences: tuple[list[int], ...]
    last: int
    position: int
    targets: tuple[int, ...] = ()
    opens: bool = False
    retold: Mapping[str, Retold] = MappingProxyType({})

    def tokens(self, role: str) -> list[int]:
        """Return the sequence of one of the models."""
        return self.sequences[self.cursor.place[role]]


Steps = Generator[Request | News, list[Prediction], T]
"""Part of an answer in the making, that ends with a T."""
Answer = Steps[Completion]
"""One answer in the making: yields requests, gets their predictions, returns the completion.

Between them it yields what is settled of it, where its cursors are `streamed`.
"""


class Predictor(Protocol):
    """Who answers requests: one model, or several of one vocabulary that speak as one."""

    @property
    def name(self) -> str:
        """Who speaks; it names the noise of its draws."""
        ...

    @property
    def models(self) -> Mapping[str, LanguageModel]:
        """The models, by role."""
        ...

    @property
    def size(self) -> int:
        """What asking costs, compared with others; those that cost less are asked first."""
        ...

    def predict(self, requests: Sequence[Request]) -> list[list[Prediction]]:
        """Answer several requests, with a prediction for each of a request's last positions.

        What a request gets depends on itself alone, not on those beside it.

        Raises:
            FloatingPointError: if a model gives logits that are not finite.
        """
        ...

    def forward_passes(self) -> dict[str, int]:
        """Return the forward passes run so far, by role."""
        ...


class ContextFull(Exception):
    """A sequence has outgrown the context of one of its models."""


class Cursor:
    """A speaker's place in one answer: its prompts, its noise, its weights, the work it did.

    Args:
        predictor: who predicts.
        slot: where it keeps the answer.
        sample_id: the sample that is answered.
        prompts: prompt tokens by role.
        seed: decides the draws.
        weights: of the models that take part, by role; None for 1 of each.
        combine: how their logits become one; None for the predictor's own way.
        memo: what is known of answers that ask the same.
        siblings: the slots of all answers to this sample.
        strengths: of the directions that the models are steered in.
        gates: how far the prompts let that through, by the role of the model that is steered.
        said_before: the prompts whose tokens a repetition penalty counts.
        retellings: the answer as models of other vocabularies read it, by role; never of the first.

    Attributes:
        streamed: whether somebody listens while the answer is made.
        drawing: how this answer's tokens are drawn; None as the predictor draws all.
    """

    streamed = False
    drawing: Drawing | None = None

    def __init__(
        self,
        predictor: Predictor,
        *,
        slot: int,
        sample_id: str,
        prompts: Mapping[str, list[int]],
        seed: int,
        weights: Mapping[str, float] | None = None,
        combine: Combine | None = None,
        memo: Memo[Prediction] | None = None,
        siblings: tuple[int, ...] = (),
        strengths: tuple[float, ...] = (),
        gates: Mapping[str, Gate] = MappingProxyType({}),
        said_before: Collection[Sequence[int]] = (),
        retellings: Mapping[str, Retelling] = MappingProxyType({}),
    ) -> None:
        self.predictor = predictor
        self.slot = slot
        self.siblings = siblings
        self.sample_id = sample_id
        self.strengths, self.gates = strengths, gates
        self.weights = dict.fromkeys(predictor.models, 1.0) if weights is None else dict(weights)
        self.combine = combine
        # Alike for cursors whose models' logits become one in the same way.
        self.mixture: Hashable = (tuple(self.weights.items()), id(combine))
        self.memo: Memo[Prediction] = Memo() if memo is None else memo
        self.models = {role: predictor.models[role] for role in self.weights}
        self.place = {role: i for i, role in enumerate(self.models)}
        self.prompts = [prompts[role] for role in self.models]
        self.key = noise_key(seed, sample_id, predictor.name)
        self.work = {role: Work() for role in self.models}
        self._retellings = retellings
        ending = {role for role, weight in self.weights.items() if weight != 0}
        if retellings:  # the first is who says their words
            ending = (ending | {next(iter(self.weights))}) - retellings.keys()
        self.stop_tokens = frozenset[int]().union(*(self.models[r].stop_tokens for r in ending))
        self._said_before = said_before
        self._contexts = [model.context_length for model in self.models.values()]
        pairs = zip(self._contexts, self.prompts, strict=True)
        self._room = min(context - len(prompt) for context, prompt in pairs)
        self._held: tuple[list[int], ...] = ()

    def left_to(self, role: str) -> Cursor:
        """Return this place, where one of the models goes on alone; its work is counted here."""
        alone = copy.copy(self)
        place = self.place[role]
        alone.weights, alone.combine = {role: 1.0}, None
        alone.mixture = (tuple(alone.weights.items()), id(None))
        alone.memo = Memo()
        alone.models, alone.place = {role: self.models[role]}, {role: 0}
        alone.prompts, alone.work = [self.prompts[place]], {role: self.work[role]}
        alone.stop_tokens = self.models[role].stop_tokens
        alone._contexts = [self._contexts[place]]
        alone._room = self._contexts[place] - len(self.prompts[place])
        alone._held = self._held[place : place + 1]
        return alone

    @cached_property
    def vocabulary_size(self) -> int:
        """How many tokens, from the first, all models of the predictor have."""
        models = self.predictor.models.items()
        return min(own.vocabulary_size for role, own in models if role not in self._retellings)

    def room(self, tokens: Sequence[int] = ()) -> int:
        """Return how many more tokens fit behind an answer so far, in every model's context."""
        return max(0, self._room - len(tokens))

    def after(
        self,
        tokens: Sequence[int],
        drafted: Sequence[int] = (),
        targets: Sequence[int] = (),
    ) -> Request:
        """Return the request to predict what follows the prompts and an answer so far.

        Args:
            tokens: the answer so far.
            drafted: tokens that may follow it: what follows each of them is predicted too.
            targets: the tokens whose probabilities are wanted: all of `drafted`, and one behind it.

        Raises:
            ContextFull: if a model cannot hold it.
            ValueError: for another number of targets.
        """
        said = [*tokens, *drafted]
        return self.request(
            [prompt + said for prompt in self.prompts],
            last=len(drafted) + 1,
            targets=tuple(targets),
        )

    def request(
        self, sequences: Sequence[list[int]], *, last: int = 1, targets: tuple[int, ...] = ()
    ) -> Request:
        """Return the request to predict after the last positions of each model's sequence.

        Those of models of other vocabularies are made of the first.

        It counts as work of the models once it is made.

        Raises:
            ContextFull: if a model cannot hold its own.
            ValueError: for targets, if there are any, of another number than the positions.
        """
        if targets and len(targets) != last:
            raise ValueError(
                f"targets={targets!r}: accepted is one for each of the {last} positions that are "
                "asked about, or none."
            )
        answer = sequences[0][len(self.prompts[0]) :]
        retold = {role: own.tell(answer, last) for role, own in self._retellings.items()}
        whole = tuple(
            retold[role].readings[-1].tokens if role in retold else tokens
            for role, tokens in zip(self.models, sequences, strict=True)
        )
        for context, tokens in zip(self._contexts, whole, strict=True):
            if len(tokens) > context:
                raise ContextFull
        opens = self._count(whole, last, retold)
        return Request(self, whole, last, len(answer), targets, opens, retold)

    def said(self, request: Request) -> list[frozenset[int]]:
        """Return, for each position, the tokens of the prompts and of the answer up to there."""
        answer = request.sequences[0][len(self.prompts[0]) :]
        lengths = range(len(answer) - request.last + 1, len(answer) + 1)
        return [frozenset(answer[:length]).union(*self._said_before) for length in lengths]

    @property
    def whole_work(self) -> dict[str, Work]:
        """What each model did, by role; a prompt that lets steering through is read twice."""
        found = dict(self.work)
        for role, gate in self.gates.items():
            through = zip(self.strengths, gate.shares or (), strict=False)
            if any(strength and share for strength, share in through):
                found[role] = found[role] + Work(passes=1, tokens=len(gate.prompt))
        return found

    def _count(
        self, sequences: tuple[list[int], ...], last: int, retold: Mapping[str, Retold]
    ) -> bool:
        """Count what a request costs an answer that is alone; return whether it is its first.

        What others share with it is not taken off, so a record is the same in any company.
        """
        first, held = not self._held, self._held or ([],) * len(sequences)
        for (role, work), tokens, before in zip(self.work.items(), sequences, held, strict=True):
            known = before
            for read, own_last in retold[role].readings if role in retold else [(tokens, last)]:
                new = len(read) - kept_length(known, read, own_last)
                passes, count = self.models[role].cost(new, own_last)
                work.passes += passes
                work.tokens += count
                known = read
        self._held = sequences
        return first


Cursors = Mapping[str, Cursor]
"""The cursors of one answer, by speaker."""
