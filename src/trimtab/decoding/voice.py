"""A voice: one model, or several of one vocabulary mixed into one next-token distribution.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import torch

from trimtab.decoding.generation import Generation
from trimtab.decoding.part import Ask, Reading
from trimtab.decoding.sampling import draw, penalized
from trimtab.decoding.token_details import token_details
from trimtab.models.language_model import LanguageModel
from trimtab.models.session import Session
from trimtab.models.steering import Steering

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
    """One or several models of one vocabulary, speaking as one; a KV cache per model.

    The answers to one sample at several values of a method's dial are a family: they share a voice,
    in which each has weights of its own, and what several of them ask is read once.

    Args:
        models: the models, by role.
        name: who speaks, as traces say; it names the noise.
        generation: how answers are drawn.
        mix: how the models' logits become one.
        reference: role of the model that divergences are measured from.
        family: number of answers that are decoded for each sample.
        drafts: whether drafts are read, several tokens at a time.
        dials: vectors in models, by role, that each answer turns for itself.
    """

    def __init__(
        self,
        models: Mapping[str, LanguageModel],
        *,
        name: str,
        generation: Generation,
        mix: Mix = mix_logits,
        reference: str | None = None,
        family: int = 1,
        drafts: bool = False,
        dials: Mapping[str, Steering] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._dials = dials
        self.models = dict(models)
        self._mix = mix
        self._reference = reference
        self._generation = generation
        self._family = family
        slots = family * generation.batch_size
        self._sessions = {
            role: Session(model, slots, drafts=drafts, dials=dials.get(role))
            for role, model in models.items()
        }

    @property
    def size(self) -> int:
        """Number of parameters of all its models: what asking it costs."""
        return sum(m.weights.num_parameters() for m in self.models.values())

    @cached_property
    def vocabulary_size(self) -> int:
        """How many tokens, from the first, all its models have."""
        return min(model.vocabulary_size for model in self.models.values())

    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far, by role."""
        return {role: session.forward_passes for role, session in self._sessions.items()}

    def read(self, asks: Sequence[Ask]) -> list[list[Reading]]:
        """Answer several requests, with one forward pass per model; a reading per position."""
        opening = {ask.part.slot for ask in asks if ask.part.count(ask)}
        if self._family == 1 or len(self.models) > 1:
            return self._read(asks, opening)
        # One model says the same to the whole family: nothing is read twice.
        news: dict[Hashable, Ask] = {}
        for ask in asks:
            new = ask.part.known.news(ask)
            if new is not None:
                row = id(ask.part.known), tuple(ask.sequences[0])
                if row not in news or news[row].last < new.last:
                    news[row] = new
        if news:
            read = self._read(list(news.values()), opening)
            for ask, readings in zip(news.values(), read, strict=True):
                ask.part.known.learn(ask, readings)
        return [ask.part.known.recall(ask) for ask in asks]

    def _read(self, asks: Sequence[Ask], opening: Collection[int]) -> list[list[Reading]]:
        """Run the models, mix what they say, and draw."""
        said = {role: self._run(role, asks, opening) for role in self._sessions}
        alike: dict[tuple[tuple[str, float], ...], list[int]] = {}
        for i, ask in enumerate(asks):
            alike.setdefault(tuple(ask.part.weights.items()), []).append(i)
        order = [i for members in alike.values() for i in members]
        ordered = [asks[i] for i in order]
        logits = {
            role: said[role].of([ask for ask in ordered if role in ask.part.weights])
            for role in self._sessions
        }
        taken = dict.fromkeys(logits, 0)
        mixed = []
        for weights, members in alike.items():
            count = sum(asks[i].last for i in members)
            own = {role: logits[role][taken[role] : taken[role] + count] for role, _ in weights}
            taken |= {role: taken[role] + count for role in own}
            mixed.append(self._mixed(own, dict(weights)))
        mixed_NV = torch.cat(mixed) if len(mixed) > 1 else mixed[0]
        divergences = self._divergences(mixed_NV, logits, ordered)
        readings = self._readings(mixed_NV, divergences, ordered)
        if self._generation.token_records:
            readings = self._detailed(readings, mixed_NV, logits, ordered)
        # A probability is a number exactly where every logit is finite, or where some are -inf.
        if any(reading.top_probability != reading.top_probability for reading in readings):
            self._refuse_not_finite(said, mixed_NV, ordered)
        following = iter(readings)
        read = {i: list(itertools.islice(following, asks[i].last)) for i in order}
        return [read[i] for i in range(len(asks))]

    def _run(self, role: str, asks: Sequence[Ask], opening: Collection[int]) -> _Said:
        """Run one model for those whom it speaks to, once where a family asks the same."""
        rows: dict[Hashable, Ask] = {}
        asking = {}
        for ask in asks:
            if role in ask.part.weights:
                tokens = ask.tokens(role)
                alone = self._family == 1
                strengths = ask.part.strengths if role in self._dials else ()
                row = ask.part.slot if alone else (ask.part.key, strengths, ask.last, tuple(tokens))
                asking[ask.part.slot] = row
                rows.setdefault(row, ask)
        if not rows:
            return _Said({}, torch.empty(0))
        session = self._sessions[role]
        slots = [ask.part.slot for ask in rows.values()]
        last = [ask.last for ask in rows.values()]
        try:
            logits_NV = session.read(
                slots,
                [ask.tokens(role) for ask in rows.values()],
                last,
                opening=[slot for slot in slots if slot in opening],
                siblings=[ask.part.siblings for ask in rows.values()],
                strengths=[ask.part.strengths for ask in rows.values()]
                if role in self._dials
                else (),
            )
        except RuntimeError as error:
            self._say_out_of_memory(error, session.model.path)
            raise
        ends = itertools.accumulate(last)
        places = {row: range(end - n, end) for row, n, end in zip(rows, last, ends, strict=True)}
        common_NV = logits_NV[:, : self.vocabulary_size]
        return _Said({slot: places[row] for slot, row in asking.items()}, common_NV)

    def _say_out_of_memory(self, error: RuntimeError, path: str) -> None:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError(
                f"{path!r} ran out of memory with generation.batch_size="
                f"{self._generation.batch_size}. Lower it (the answers stay the same), or take a "
                "smaller dtype. What is finished is kept: the same command resumes."
            ) from error

    def _mixed(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        used = [role for role, weight in weights.items() if weight != 0]
        if [weights[role] for role in used] == [1.0]:
            return logits[used[0]]
        device = logits[used[0]].device
        return self._mix([logits[r].to(device) for r in used], [weights[r] for r in used])

    def _divergences(
        self, mixed_NV: torch.Tensor, logits: Mapping[str, torch.Tensor], asks: Sequence[Ask]
    ) -> list[float]:
        """Return each row's divergence from the reference model; NaN where that is not run."""
        role = self._reference
        if role is None or not any(role in ask.part.weights for ask in asks):
            return [math.nan] * len(mixed_NV)
        measured = [role in ask.part.weights for ask in asks for _ in range(ask.last)]
        if not all(measured):
            mixed_NV = mixed_NV[torch.tensor(measured, device=mixed_NV.device)]
        known = iter(divergence(mixed_NV, logits[role].to(mixed_NV.device)).tolist())
        return [next(known) if is_measured else math.nan for is_measured in measured]

    def _readings(
        self, logits_NV: torch.Tensor, divergences: Sequence[float], asks: Sequence[Ask]
    ) -> list[Reading]:
        top_N, top_tokens_N = logits_NV.max(dim=-1)
        # Tensors' exp rounds the last few of a list unlike the others.
        norms_N = logits_NV.logsumexp(dim=-1)
        logs = (top_N - norms_N).tolist()
        probabilities = [math.exp(log) for log in logs]
        top_tokens = top_tokens_N.tolist()
        tokens = top_tokens
        generation = self._generation
        if generation.temperature > 0 or generation.repetition_penalty != 1:
            drawn_from_NV = logits_NV
            if generation.repetition_penalty != 1:
                said = [own for ask in asks for own in ask.part.said(ask)]
                drawn_from_NV = penalized(logits_NV, said, generation.repetition_penalty)
            tokens = draw(
                drawn_from_NV,
                temperature=generation.temperature,
                top_k=generation.top_k,
                top_p=generation.top_p,
                min_p=generation.min_p,
                keys=[ask.part.key for ask in asks for _ in range(ask.last)],
                positions=[
                    ask.position - ask.last + 1 + i for ask in asks for i in range(ask.last)
                ],
            ).tolist()
        if not any(ask.told for ask in asks):
            return list(map(Reading, tokens, top_tokens, probabilities, divergences))
        told = [token for ask in asks for token in ask.told or [0] * ask.last]
        told_N1 = torch.tensor(told, device=logits_NV.device)[:, None]
        log_probabilities = (logits_NV.gather(1, told_N1)[:, 0] - norms_N).tolist()
        return list(map(Reading, tokens, top_tokens, probabilities, divergences, log_probabilities))

    def _detailed(
        self,
        readings: Sequence[Reading],
        mixed_NV: torch.Tensor,
        logits: Mapping[str, torch.Tensor],
        asks: Sequence[Ask],
    ) -> list[Reading]:
        speaking = [ask.part.weights for ask in asks for _ in range(ask.last)]
        taking_part = {
            role: [place for place, weights in enumerate(speaking) if role in weights]
            for role in logits
        }
        tokens = [reading.token for reading in readings]
        found = token_details(tokens, mixed_NV, logits, taking_part)
        return [r._replace(details=own) for r, own in zip(readings, found, strict=True)]

    def _refuse_not_finite(
        self, said: Mapping[str, _Said], mixed_NV: torch.Tensor, asks: Sequence[Ask]
    ) -> None:
        for ask in asks:
            for role in ask.part.weights:
                _require_finite(said[role].of([ask]), repr(self.models[role].path), ask)
        for ask, own_NV in zip(asks, mixed_NV.split([ask.last for ask in asks]), strict=True):
            weights = ", ".join(f"{w:g}" for w in ask.part.weights.values() if w != 0)
            _require_finite(own_NV, f"The mixture with weights {weights}", ask)


class _Said(NamedTuple):
    """What one model said: logits `[N, V]`, and which rows of them are whose, by slot."""

    rows: Mapping[int, range]
    logits_NV: torch.Tensor

    def of(self, asks: Sequence[Ask]) -> torch.Tensor:
        """Return the logits that answer some requests, row after row."""
        places = [place for ask in asks for place in self.rows[ask.part.slot]]
        if places == list(range(len(self.logits_NV))):
            return self.logits_NV
        return self.logits_NV[torch.tensor(places, device=self.logits_NV.device)]


def divergence(mixed_NV: torch.Tensor, reference_NV: torch.Tensor) -> torch.Tensor:
    """Return `[N]`, KL(softmax(mixed) || softmax(reference)) of each row, in nats."""
    log_p_NV, log_q_NV = mixed_NV.log_softmax(dim=-1), reference_NV.log_softmax(dim=-1)
    p_NV = mixed_NV.softmax(dim=-1)
    terms_NV = torch.where(p_NV > 0, p_NV * (log_p_NV - log_q_NV), 0.0)
    return terms_NV.sum(dim=-1).clamp(min=0.0)  # rounding may leave it below 0


def _require_finite(logits_NV: torch.Tensor, whose: str, ask: Ask) -> None:
    if not torch.isfinite(logits_NV.amax(dim=-1)).all():
        raise FloatingPointError(
            f"{whose} gave logits that are not finite for sample {ask.part.sample_id!r}: the "
            "weights are damaged, the dtype overflows (try dtype=float32), or the strength is too "
            "large."
        )
