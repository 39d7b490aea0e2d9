"""What a model of another vocabulary says, as a distribution over the target's tokens.

Legend: N positions, V vocabulary of the target, W that of the model, C classes of a token map.

A token map parts both vocabularies into classes that stand for the same. The model says how likely
each class is; between the tokens of one class it does not tell, and of tokens without a class it
says nothing. There the target's own distribution p stands, which is Jeffrey's rule (Jeffrey, "The
Logic of Decision", 1965) for what one learns about a partition alone:

    p_m(v) = p(v) for tokens without a counterpart, U in all
    p_m(v) = (1 - p(U)) q(c) / q(all classes) * p(v) / p(c) for a token v of class c

with q the model's own distribution. So a token that the model cannot say is neither made likely nor
ruled out; what it gives to tokens that none of the target's stands for is lost, and measured. The
difference of two models of one vocabulary, as in proxy tuning, is that of their classes, and 0
where there is none.

A delta model, whose logits were trained to be added to another's, has no distribution: through a
`pm-mined-raw` map they are read as they are, z(map(v)), and 0 where v maps to nothing, as Wu et al.
(arXiv 2410.17599) read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import torch

from trimtab.decoding.large_rows import is_large
from trimtab.decoding.predictor import Request
from trimtab.decoding.retelling import Retold
from trimtab.models.gates import Row, read
from trimtab.models.session import Session
from trimtab.models.token_map import PM_MINED_RAW, RULED_OUT, UNMATCHED, TokenMap

_KEPT = 16  # tables on the device, for as many beginnings of characters
_LEAST = 1e-300  # probabilities below have no logarithm


def read_retold(
    session: Session, rows: Sequence[Row], retold: Sequence[Retold], opening: Collection[int]
) -> torch.Tensor:
    """Return `[N, W]`, what a model says at the places of some readings, row after row.

    Args:
        session: the model's.
        rows: the slots to read, with what goes for all that is read there.
        retold: what is read in each.
        opening: the slots in which another sequence begins.
    """
    found: dict[tuple[int, int], torch.Tensor] = {}
    for number in range(max(len(own.readings) for own in retold)):
        now = [i for i, own in enumerate(retold) if number < len(own.readings)]
        asked = [rows[i]._replace(**retold[i].readings[number]._asdict()) for i in now]
        logits_NW = read(session, asked, opening if number == 0 else ())
        parts = logits_NW.split([row.last for row in asked])
        found |= {(i, number): own for i, own in zip(now, parts, strict=True)}
    places = [(i, *place) for i, own in enumerate(retold) for place in own.places]
    return torch.stack([found[i, number][-1 - from_end] for i, number, from_end in places])


class Heard(NamedTuple):
    """What a model says, over the target's tokens.

    Attributes:
        logits_NV: log-probabilities.
        lost_N: the probability that it gives to tokens that none of the target's stands for; of
            logits that are read as they are, that which the target gives to tokens without any.
    """

    logits_NV: torch.Tensor
    lost_N: torch.Tensor


class Translation:
    """Turns the logits of one model into those of the target's tokens.

    Args:
        token_map: which tokens stand for which.
    """

    def __init__(self, token_map: TokenMap) -> None:
        self._map = token_map
        self._tables = lru_cache(maxsize=_KEPT)(self._find_tables)

    @torch.inference_mode()  # nobody may change what is heard
    def __call__(
        self, said_NW: torch.Tensor, target_NV: torch.Tensor, begun: Sequence[bytes]
    ) -> Heard:
        """Return what is heard.

        Args:
            said_NW: the model's logits.
            target_NV: those of the model whose tokens answers are made of.
            begun: for each row the bytes of a character that is not whole.
        """
        device = target_NV.device
        if device.type == "mps":  # which has no double precision
            target_NV = target_NV.cpu()
        said_NW = said_NW.to(target_NV.device)
        large = is_large(target_NV) or is_large(said_NW)
        heard = []
        for _, members in groupby(range(len(begun)), key=lambda i: i if large else begun[i]):
            first, *others = members
            rows = slice(first, first + 1 + len(others))
            heard.append(self._heard(said_NW[rows], target_NV[rows], begun[first]))
        return Heard(*(torch.cat(parts).to(device) for parts in zip(*heard, strict=True)))

    def _heard(self, said_NW: torch.Tensor, target_NV: torch.Tensor, begun: bytes) -> Heard:
        device, width = target_NV.device, target_NV.shape[1]
        if self._map.kind == PM_MINED_RAW:
            (nearest_V,) = self._tables(begun, device)
            return as_they_are(said_NW, target_NV, nearest_V[:width])
        said_W, target_V = self._tables(begun, device)
        count = self._map.classes(begun).count
        return by_classes(said_NW, target_NV, said_W, target_V[:width], count)

    def _find_tables(self, begun: bytes, device: torch.device) -> list[torch.Tensor]:
        found = [self._map.nearest(begun)]
        if self._map.kind != PM_MINED_RAW:
            classes = self._map.classes(begun)
            found = [classes.other, classes.target]
        return [torch.tensor(each, device=device) for each in found]


class Translations:
    """Turns the logits of all models of other vocabularies into those of the target's tokens.

    Args:
        maps: what each is read through, by role.
    """

    def __init__(self, maps: Mapping[str, TokenMap]) -> None:
        self._by_role = {role: Translation(own) for role, own in maps.items()}

    @property
    def roles(self) -> Collection[str]:
        """Whose logits it turns."""
        return self._by_role.keys()

    def __call__(
        self,
        logits: dict[str, torch.Tensor],
        target: Callable[[Sequence[Request]], torch.Tensor],
        requests: Sequence[Request],
    ) -> list[float]:
        """Put in place of logits those that are heard.

        Args:
            logits: of each model for those of the requests that it takes part in, by role.
            target: gives those of the model whose tokens answers are made of.
            requests: what was asked.

        Returns:
            What is lost on the way, for each position, on average of the models, NaN where there
            are none; nothing where there are none at all.
        """
        if not self._by_role:
            return []
        weights = [request.cursor.weights for request in requests for _ in range(request.last)]
        lost: list[list[float]] = [[] for _ in weights]
        for role, translation in self._by_role.items():
            theirs = [request for request in requests if role in request.cursor.weights]
            if not theirs:
                continue
            begun = [own for request in theirs for own in request.retold[role].begun]
            logits[role], lost_N = translation(logits[role], target(theirs), begun)
            places = [place for place, own in enumerate(weights) if role in own]
            for place, own in zip(places, lost_N.tolist(), strict=True):
                lost[place].append(own)
        return [math.fsum(own) / len(own) if own else math.nan for own in lost]


def as_they_are(said_NW: torch.Tensor, target_NV: torch.Tensor, nearest_V: torch.Tensor) -> Heard:
    """Return the logits of the tokens that the target's map to, and 0 where one maps to none.

    Args:
        said_NW: the model's logits.
        target_NV: the target's.
        nearest_V: the model's token for each of the target's; -1 for none.
    """
    unmatched_V = nearest_V < 0
    logits_NV = said_NW[:, nearest_V.clamp(min=0)].masked_fill(unmatched_V, 0.0)
    return Heard(logits_NV, target_NV.double().softmax(dim=-1)[:, unmatched_V].sum(dim=-1))


def by_classes(
    said_NW: torch.Tensor,
    target_NV: torch.Tensor,
    said_W: torch.Tensor,
    target_V: torch.Tensor,
    count: int,
) -> Heard:
    """Return Jeffrey's rule, as above.

    Sums are in double precision: their order, which differs on a GPU from call to call, is far
    below what single precision shows.

    Args:
        said_NW: the model's logits.
        target_NV: the target's.
        said_W: the class of each of the model's tokens.
        target_V: that of each of the target's.
        count: how many classes there are, `UNMATCHED` and `RULED_OUT` among them.
    """
    q_NC = _sums(said_NW, said_W, count)
    p_NC = _sums(target_NV, target_V, count)
    lost_N = q_NC[:, UNMATCHED].clone()
    q_NC[:, [UNMATCHED, RULED_OUT]] = 0.0
    heard_N1 = q_NC.sum(dim=-1, keepdim=True)
    lost_N = lost_N / (lost_N + heard_N1[:, 0]).clamp(min=_LEAST)
    p_NC[:, UNMATCHED] = 0.0
    matched_N1 = p_NC.sum(dim=-1, keepdim=True)
    ratio_NC = _log(q_NC) - _log(heard_N1) + _log(matched_N1) - _log(p_NC)
    ratio_NC[:, UNMATCHED] = 0.0
    # Where it says nothing that stands for a token of the target, it says nothing.
    ratio_NC = torch.where(heard_N1 > 0, ratio_NC, 0.0)
    log_p_NV = target_NV.double().log_softmax(dim=-1) + ratio_NC[:, target_V]
    return Heard(log_p_NV.float(), lost_N)


def _sums(logits_NX: torch.Tensor, classes_X: torch.Tensor, count: int) -> torch.Tensor:
    """Return `[N, C]`, the probability of each class."""
    p_NX = logits_NX.double().softmax(dim=-1)
    return p_NX.new_zeros(len(p_NX), count).index_add_(1, classes_X, p_NX)


def _log(p: torch.Tensor) -> torch.Tensor:
    return p.clamp(min=_LEAST).log()
