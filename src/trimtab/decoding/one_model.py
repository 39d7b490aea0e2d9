"""One model as it is asked: once where several ask the same, in one pass in all its roles.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence

import torch

from trimtab.decoding.other_vocabulary import read_retold
from trimtab.decoding.predictor import Request
from trimtab.decoding.said import Said
from trimtab.models.gates import Row, read
from trimtab.models.session import Session


class OneModel:
    """A model's KV cache, and the roles in which it speaks, each with slots of its own.

    Args:
        session: of the model, with so many slots for each role.
        roles: one, or several of a model that is asked in several ways.
        slots: how many a role has.
        together: number of answers that are decoded for each sample.
        steered: whether the session steers the model.
        retold: whether the model has a vocabulary of its own, in which answers are told anew.
    """

    def __init__(
        self,
        session: Session,
        roles: Sequence[str],
        *,
        slots: int,
        together: int,
        steered: bool,
        retold: bool,
    ) -> None:
        self.session = session
        self.roles = roles
        self._slots = slots
        self._together = together
        self._steered = steered
        self._retold = retold

    def said(
        self, requests: Sequence[Request], opening: Collection[int], width: int
    ) -> dict[str, Said]:
        """Return what the model says in each of its roles to those whom it speaks to.

        Args:
            requests: what is asked.
            opening: slots of the answers that begin.
            width: how many logits are common to all models, where they share a vocabulary.
        """
        asked: dict[tuple[str, Hashable], Request] = {}
        placed: dict[str, dict[int, tuple[str, Hashable]]] = {role: {} for role in self.roles}
        for role in self.roles:
            for request in requests:
                if role in request.cursor.weights:
                    row = role, self._row(role, request)
                    placed[role][request.cursor.slot] = row
                    asked.setdefault(row, request)
        if not asked:
            return {role: Said({}, torch.empty(0)) for role in self.roles}
        shifts = {role: number * self._slots for number, role in enumerate(self.roles)}
        rows = [
            Row(
                slot=request.cursor.slot + shifts[role],
                tokens=request.tokens(role),
                last=request.last,
                siblings=[slot + shifts[role] for slot in request.cursor.siblings],
                strengths=request.cursor.strengths if self._steered else (),
                gate=request.cursor.gates.get(role),
            )
            for (role, _), request in asked.items()
        ]
        begun = {slot + shift for shift in shifts.values() for slot in opening}
        if self._retold:
            retold = [request.retold[role] for (role, _), request in asked.items()]
            logits_NV = read_retold(self.session, rows, retold, begun)
        else:
            logits_NV = read(self.session, rows, begun)[:, :width]
        ends = itertools.accumulate(row.last for row in rows)
        places = {
            own: range(end - r.last, end) for own, r, end in zip(asked, rows, ends, strict=True)
        }
        return {
            role: Said(
                {slot: places[own] for slot, own in placed[role].items()},
                logits_NV,
                self.session.states_NH,
            )
            for role in self.roles
        }

    def _row(self, role: str, request: Request) -> Hashable:
        """Return what tells a request from others that ask the same."""
        cursor = request.cursor
        if self._together == 1:
            return cursor.slot
        strengths = cursor.strengths if self._steered else ()
        row = cursor.key, strengths, request.last, tuple(request.tokens(role))
        # The same text may have been said in other tokens.
        return (*row, tuple(request.sequences[0])) if role in request.retold else row
