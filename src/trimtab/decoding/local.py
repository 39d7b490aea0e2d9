"""Models of this process as a predictor: one, or several of one vocabulary that speak as one.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import torch

from trimtab.decoding.generation import Generation
from trimtab.decoding.large_rows import by_rows
from trimtab.decoding.mixing import divergence, linear, token_details
from trimtab.decoding.predictor import Cursor, Prediction, Request
from trimtab.decoding.sampling import draw, most_likely, penalized
from trimtab.models.gates import Row, read
from trimtab.models.language_model import LanguageModel
from trimtab.models.session import Session
from trimtab.models.steering import Steering


class LocalPredictor:
    """One or several models, mixed into one next-token distribution; a KV cache for each model.

    The answers to one sample at several values of a method's dial share a predictor, in which each
    has weights of its own, and what several of them ask is read once.

    Args:
        models: the models, by role.
        name: who speaks, as traces say; it names the noise.
        generation: how answers are drawn.
        reference: role of the model that divergences are measured from.
        together: number of answers that are decoded for each sample.
        reads_ahead: whether requests may be for several positions, as those with drafts are.
        steering: what moves the models, by role, for each answer by strengths of its own.
    """

    def __init__(
        self,
        models: Mapping[str, LanguageModel],
        *,
        name: str,
        generation: Generation,
        reference: str | None = None,
        together: int = 1,
        reads_ahead: bool = False,
        steering: Mapping[str, Steering] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.models = dict(models)
        self._steering = steering
        self._reference = reference
        self._generation = generation
        self._together = together
        slots = together * generation.batch_size
        self._sessions = {
            role: Session(model, slots, drafts=reads_ahead, steering=steering.get(role))
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

    def predict(self, requests: Sequence[Request]) -> list[list[Prediction]]:
        """Answer several requests, with one forward pass per model; a prediction per position."""
        opening = {request.cursor.slot for request in requests if request.opens}
        alone = self._together == 1 or len(self.models) > 1
        if alone or any(request.targets for request in requests):
            return self._predict(requests, opening)
        # One model says the same to all answers of a sample: nothing is read twice.
        news: dict[Hashable, Request] = {}
        for request in requests:
            memo, (tokens,) = request.cursor.memo, request.sequences
            missing = memo.missing(tokens, request.last)
            row = id(memo), tuple(tokens)
            if missing and (row not in news or news[row].last < missing):
                news[row] = request._replace(last=missing)
        if news:
            read = self._predict(list(news.values()), opening)
            for request, predictions in zip(news.values(), read, strict=True):
                request.cursor.memo.learn(request.sequences[0], predictions)
        return [
            request.cursor.memo.recall(request.sequences[0], request.last) for request in requests
        ]

    def _predict(
        self, requests: Sequence[Request], opening: Collection[int]
    ) -> list[list[Prediction]]:
        """Run the models, mix what they say, and draw."""
        said = {role: self._run(role, requests, opening) for role in self._sessions}
        alike: dict[Hashable, list[int]] = {}
        for i, request in enumerate(requests):
            alike.setdefault(request.cursor.mixture, []).append(i)
        order = [i for members in alike.values() for i in members]
        ordered = [requests[i] for i in order]
        logits = {
            role: said[role].of([request for request in ordered if role in request.cursor.weights])
            for role in self._sessions
        }
        taken = dict.fromkeys(logits, 0)
        mixed = []
        for members in alike.values():
            count = sum(requests[i].last for i in members)
            cursor = requests[members[0]].cursor
            own = {r: logits[r][taken[r] : taken[r] + count] for r in cursor.weights}
            taken |= {role: taken[role] + count for role in own}
            mixed.append(_mixed(cursor, own))
        mixed_NV = torch.cat(mixed) if len(mixed) > 1 else mixed[0]
        divergences = self._divergences(mixed_NV, logits, ordered)
        predictions = self._predictions(mixed_NV, divergences, ordered)
        if self._generation.token_records:
            predictions = self._detailed(predictions, mixed_NV, logits, ordered)
        # A probability is a number exactly where every logit is finite, or where some are -inf.
        if any(each.top_probability != each.top_probability for each in predictions):
            self._refuse_not_finite(said, mixed_NV, ordered)
        following = iter(predictions)
        read = {i: list(itertools.islice(following, requests[i].last)) for i in order}
        return [read[i] for i in range(len(requests))]

    def _run(self, role: str, requests: Sequence[Request], opening: Collection[int]) -> _Logits:
        """Run one model for those whom it speaks to, once where several ask the same."""
        rows: dict[Hashable, Request] = {}
        placed: dict[int, Hashable] = {}
        for request in requests:
            cursor = request.cursor
            if role not in cursor.weights:
                continue
            row: Hashable = cursor.slot
            if self._together > 1:
                strengths = cursor.strengths if role in self._steering else ()
                row = cursor.key, strengths, request.last, tuple(request.tokens(role))
            placed[cursor.slot] = row
            rows.setdefault(row, request)
        if not rows:
            return _Logits({}, torch.empty(0))
        session = self._sessions[role]
        asked = [
            Row(
                slot=request.cursor.slot,
                tokens=request.tokens(role),
                last=request.last,
                siblings=request.cursor.siblings,
                strengths=request.cursor.strengths if role in self._steering else (),
                gate=request.cursor.gates.get(role),
            )
            for request in rows.values()
        ]
        try:
            logits_NV = read(session, asked, opening)
        except RuntimeError as error:
            _say_out_of_memory(error, session.model.path, self._generation.batch_size)
            raise
        ends = itertools.accumulate(row.last for row in asked)
        places = {
            row: range(end - own.last, end) for row, own, end in zip(rows, asked, ends, strict=True)
        }
        common_NV = logits_NV[:, : self.vocabulary_size]
        return _Logits({slot: places[row] for slot, row in placed.items()}, common_NV)

    def _divergences(
        self,
        mixed_NV: torch.Tensor,
        logits: Mapping[str, torch.Tensor],
        requests: Sequence[Request],
    ) -> list[float]:
        """Return each row's divergence from the reference model; NaN where that is not run."""
        role = self._reference
        if role is None or not any(role in request.cursor.weights for request in requests):
            return [math.nan] * len(mixed_NV)
        measured = [
            role in request.cursor.weights for request in requests for _ in range(request.last)
        ]
        if not all(measured):
            mixed_NV = mixed_NV[torch.tensor(measured, device=mixed_NV.device)]
        reference_NV = logits[role].to(mixed_NV.device)
        known = iter(by_rows(divergence, mixed_NV, reference_NV).tolist())
        return [next(known) if is_measured else math.nan for is_measured in measured]

    def _predictions(
        self, logits_NV: torch.Tensor, divergences: Sequence[float], requests: Sequence[Request]
    ) -> list[Prediction]:
        top_N, top_tokens_N = most_likely(logits_NV)
        # Tensors' exp rounds the last few of a list unlike the others.
        norms_N = by_rows(lambda rows_NV: rows_NV.logsumexp(dim=-1), logits_NV)
        logs = (top_N - norms_N).tolist()
        probabilities = [math.exp(log) for log in logs]
        top_tokens = top_tokens_N.tolist()
        tokens = top_tokens
        generation = self._generation
        if generation.temperature > 0 or generation.repetition_penalty != 1:
            drawn_from_NV = logits_NV
            if generation.repetition_penalty != 1:
                said = [own for request in requests for own in request.cursor.said(request)]
                drawn_from_NV = penalized(logits_NV, said, generation.repetition_penalty)
            tokens = draw(
                drawn_from_NV,
                temperature=generation.temperature,
                top_k=generation.top_k,
                top_p=generation.top_p,
                min_p=generation.min_p,
                keys=[request.cursor.key for request in requests for _ in range(request.last)],
                positions=[
                    request.position - request.last + 1 + i
                    for request in requests
                    for i in range(request.last)
                ],
            ).tolist()
        if not any(request.targets for request in requests):
            return list(map(Prediction, tokens, top_tokens, probabilities, divergences))
        targets = [token for request in requests for token in request.targets or [0] * request.last]
        targets_N1 = torch.tensor(targets, device=logits_NV.device)[:, None]
        log_probabilities = (logits_NV.gather(1, targets_N1)[:, 0] - norms_N).tolist()
        return list(
            map(Prediction, tokens, top_tokens, probabilities, divergences, log_probabilities)
        )

    def _detailed(
        self,
        predictions: Sequence[Prediction],
        mixed_NV: torch.Tensor,
        logits: Mapping[str, torch.Tensor],
        requests: Sequence[Request],
    ) -> list[Prediction]:
        speaking = [request.cursor.weights for request in requests for _ in range(request.last)]
        taking_part = {
            role: [place for place, weights in enumerate(speaking) if role in weights]
            for role in logits
        }
        tokens = [prediction.token for prediction in predictions]
        found = token_details(tokens, mixed_NV, logits, taking_part)
        return [r._replace(details=own) for r, own in zip(predictions, found, strict=True)]

    def _refuse_not_finite(
        self, said: Mapping[str, _Logits], mixed_NV: torch.Tensor, requests: Sequence[Request]
    ) -> None:
        for request in requests:
            for role in request.cursor.weights:
                _require_finite(said[role].of([request]), repr(self.models[role].path), request)
        for request, own_NV in zip(
            requests, mixed_NV.split([request.last for request in requests]), strict=True
        ):
            weights = ", ".join(f"{w:g}" for w in request.cursor.weights.values() if w != 0)
            _require_finite(own_NV, f"The mixture with weights {weights}", request)


def _say_out_of_memory(error: RuntimeError, path: str, batch_size: int) -> None:
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        raise MemoryError(
            f"{path!r} ran out of memory with generation.batch_size={batch_size}. Lower it (the "
            "answers stay the same), or take a smaller dtype. What is finished is kept: the same "
            "command resumes."
        ) from error


class _Logits(NamedTuple):
    """What one model said: logits `[N, V]`, and which rows of them are whose, by slot."""

    rows: Mapping[int, range]
    logits_NV: torch.Tensor

    def of(self, requests: Sequence[Request]) -> torch.Tensor:
        """Return the logits that answer some requests, row after row."""
        places = [place for request in requests for place in self.rows[request.cursor.slot]]
        if places == list(range(len(self.logits_NV))):
            return self.logits_NV
        with torch.inference_mode():  # nobody may change them, as those that a model has given
            return self.logits_NV[torch.tensor(places, device=self.logits_NV.device)]


def _mixed(cursor: Cursor, logits: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits `[N, V]` of a speaker, from those of its models."""
    combine, first_NV = cursor.combine or linear, next(iter(logits.values()))
    alike = {role: own_NV.to(first_NV.device) for role, own_NV in logits.items()}
    whose = getattr(combine, "__qualname__", combine)
    try:
        mixed_NV = combine(alike, cursor.weights)
    except RuntimeError as error:
        if "update to inference tensor" not in str(error):
            raise
        raise ValueError(
            f"{whose} changes the logits that it is given, which others read too. Accepted are new "
            "ones, as z + 1 is, and z.clone()."
        ) from error
    if not isinstance(mixed_NV, torch.Tensor) or mixed_NV.shape != first_NV.shape:
        shape = list(getattr(mixed_NV, "shape", ())) or type(mixed_NV).__name__
        raise ValueError(
            f"{whose} returned {shape} from logits of {list(first_NV.shape)}. Accepted are logits "
            "of the same shape."
        )
    return mixed_NV


def _require_finite(logits_NV: torch.Tensor, whose: str, request: Request) -> None:
    if not torch.isfinite(logits_NV.amax(dim=-1)).all():
        raise FloatingPointError(
            f"{whose} gave logits that are not finite for sample {request.cursor.sample_id!r}: the "
            "weights are damaged, the dtype overflows (try dtype=float32), or the strength is too "
            "large."
        )
