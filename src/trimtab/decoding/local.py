"""Models of this process as a predictor: one, or several of one vocabulary that speak as one.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import torch

from trimtab.decoding.followers import follow
from trimtab.decoding.generation import Drawing, Generation
from trimtab.decoding.large_rows import by_rows
from trimtab.decoding.mixing import divergence
from trimtab.decoding.one_model import OneModel
from trimtab.decoding.other_vocabulary import Translations
from trimtab.decoding.predictor import Prediction, Request
from trimtab.decoding.said import Said, detailed, mixed, refuse_not_finite, say_out_of_memory
from trimtab.decoding.sampling import draw, most_likely, penalized
from trimtab.decoding.speakers import leader
from trimtab.models.language_model import LanguageModel
from trimtab.models.session import Session
from trimtab.models.steering import Steering
from trimtab.models.token_map import TokenMap


class LocalPredictor:
    """One or several models, mixed into one next-token distribution; a KV cache for each model.

    A model of several roles reads the prompts of all in one pass.

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
        maps: what those models are read through, by role, whose vocabulary is not the first's.
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
        maps: Mapping[str, TokenMap] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.models = dict(models)
        self._steering = steering
        self._translations = Translations(maps)
        self._reference = reference
        self._generation = generation
        self._together = together
        slots = together * generation.batch_size
        found = {role: model.follower(slots) for role, model in models.items()}
        self._followers = {role: each for role, each in found.items() if each is not None}
        self._leader = leader(models)
        stated = any(follower.reads_states for follower in self._followers.values())
        self._asked = [
            OneModel(
                Session(
                    models[roles[0]],
                    slots * len(roles),
                    drafts=reads_ahead,
                    steering=steering.get(roles[0]),
                    reads_states=stated and self._leader in roles,
                ),
                roles,
                slots=slots,
                together=together,
                steered=roles[0] in steering,
                retold=roles[0] in maps,
            )
            for roles in self._by_model()
        ]

    def _by_model(self) -> Collection[list[str]]:
        """Return the roles of each model; those of one that is moved or mapped are each alone."""
        apart = {*self._steering, *self._translations.roles}
        groups: dict[Hashable, list[str]] = {}
        for role, model in self.models.items():
            if role not in self._followers:
                groups.setdefault(role if role in apart else id(model), []).append(role)
        return groups.values()

    @property
    def size(self) -> int:
        """Number of parameters of all its models: what asking it costs."""
        return sum(m.weights.num_parameters() for m in self.models.values())

    @cached_property
    def vocabulary_size(self) -> int:
        """How many tokens, from the first, all its models have that share a vocabulary."""
        models = self.models.items()
        return min(
            own.vocabulary_size for role, own in models if role not in self._translations.roles
        )

    def forward_passes(self) -> dict[str, int]:
        """Forward passes run so far, by role; a pass serves all roles of one model."""
        own = {role: m.session.forward_passes for m in self._asked for role in m.roles}
        return own | {role: each.forward_passes for role, each in self._followers.items()}

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
        said: dict[str, Said] = {}
        for model in self._asked:
            said |= self._run(model, requests, opening)
        for role, follower in self._followers.items():
            said[role] = follow(follower, role, requests, said[self._leader])
        alike: dict[Hashable, list[int]] = {}
        for i, request in enumerate(requests):
            alike.setdefault(request.cursor.mixture, []).append(i)
        order = [i for members in alike.values() for i in members]
        ordered = [requests[i] for i in order]
        logits = {
            role: said[role].of([request for request in ordered if role in request.cursor.weights])
            for role in self.models
        }
        unmapped = self._translations(logits, said[next(iter(self.models))].of, ordered)
        taken = dict.fromkeys(logits, 0)
        parts = []
        for members in alike.values():
            count = sum(requests[i].last for i in members)
            cursor = requests[members[0]].cursor
            own = {r: logits[r][taken[r] : taken[r] + count] for r in cursor.weights}
            taken |= {role: taken[role] + count for role in own}
            parts.append(mixed(cursor, own))
        mixed_NV = torch.cat(parts) if len(parts) > 1 else parts[0]
        divergences = self._divergences(mixed_NV, logits, ordered)
        predictions = self._predictions(mixed_NV, divergences, ordered)
        if unmapped:
            pairs = zip(predictions, unmapped, strict=True)
            predictions = [each._replace(unmapped=lost) for each, lost in pairs]
        if self._generation.token_records:
            predictions = detailed(predictions, mixed_NV, logits, ordered)
        # A probability is a number exactly where every logit is finite, or where some are -inf.
        if any(each.top_probability != each.top_probability for each in predictions):
            refuse_not_finite(self.models, said, mixed_NV, ordered)
        following = iter(predictions)
        read = {i: list(itertools.islice(following, requests[i].last)) for i in order}
        return [read[i] for i in range(len(requests))]

    def _run(
        self, model: OneModel, requests: Sequence[Request], opening: Collection[int]
    ) -> dict[str, Said]:
        """Run one model for those whom it speaks to, by its roles."""
        try:
            return model.said(requests, opening, self.vocabulary_size)
        except RuntimeError as error:
            path = model.session.model.path
            say_out_of_memory(error, path, self._generation.batch_size)
            raise

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
        tokens = self._drawn(logits_NV, top_tokens, requests)
        if not any(request.targets for request in requests):
            return list(map(Prediction, tokens, top_tokens, probabilities, divergences))
        targets = [token for request in requests for token in request.targets or [0] * request.last]
        targets_N1 = torch.tensor(targets, device=logits_NV.device)[:, None]
        log_probabilities = (logits_NV.gather(1, targets_N1)[:, 0] - norms_N).tolist()
        return list(
            map(Prediction, tokens, top_tokens, probabilities, divergences, log_probabilities)
        )

    def _drawn(
        self, logits_NV: torch.Tensor, top_tokens: list[int], requests: Sequence[Request]
    ) -> list[int]:
        """Return the token that each position draws, in the way of its answer."""
        ways: dict[Drawing, list[int]] = {}
        for i, request in enumerate(requests):
            ways.setdefault(request.cursor.drawing or self._generation.drawing, []).append(i)
        if len(ways) == 1:
            (way,) = ways
            return _draw(way, logits_NV, top_tokens, requests)
        ends = list(itertools.accumulate(request.last for request in requests))
        tokens = top_tokens.copy()
        for way, members in ways.items():
            places = [
                place for i in members for place in range(ends[i] - requests[i].last, ends[i])
            ]
            own_NV = logits_NV[torch.tensor(places, device=logits_NV.device)]
            likely = [top_tokens[place] for place in places]
            drawn = _draw(way, own_NV, likely, [requests[i] for i in members])
            for place, token in zip(places, drawn, strict=True):
                tokens[place] = token
        return tokens


def _draw(
    way: Drawing, logits_NV: torch.Tensor, top_tokens: list[int], requests: Sequence[Request]
) -> list[int]:
    """Draw a token at each position, all in one way; `top_tokens` are the most likely."""
    if way.temperature == 0 and way.repetition_penalty == 1:
        return top_tokens
    if way.repetition_penalty != 1:
        said = [own for request in requests for own in request.cursor.said(request)]
        logits_NV = penalized(logits_NV, said, way.repetition_penalty)
    drawn: list[int] = draw(
        logits_NV,
        temperature=way.temperature,
        top_k=way.top_k,
        top_p=way.top_p,
        min_p=way.min_p,
        keys=[request.cursor.key for request in requests for _ in range(request.last)],
        positions=[
            request.position - request.last + 1 + i
            for request in requests
            for i in range(request.last)
        ],
    ).tolist()
    return drawn
