"""Steering that a prompt lets through or not: read as the model is, decided, read as it is steered.

Legend: N positions that are read, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch

from trimtab.models.session import Session
from trimtab.models.steering import Gate, Gated


class Row(NamedTuple):
    """What is read in one slot of a session.

    Attributes:
        slot: the slot.
        tokens: the whole sequence that it shall hold.
        last: how many positions to read at its end.
        siblings: slots that continue the same prompt.
        strengths: of the steering's directions, before the gate.
        gate: of the prompt that the sequence begins with; of a steered model each row has one.
    """

    slot: int
    tokens: list[int]
    last: int
    siblings: Sequence[int] = ()
    strengths: tuple[float, ...] = ()
    gate: Gate | None = None

    @property
    def let_through(self) -> tuple[float, ...]:
        """The strengths behind the gate; none while that is undecided. 0 has no sign."""
        shares = None if self.gate is None else self.gate.shares
        if shares is None:
            return (0.0,) * len(self.strengths)
        return tuple(own * share or 0.0 for own, share in zip(self.strengths, shares, strict=True))

    @property
    def deciding(self) -> Row:
        """The row of which the first position that is read is the prompt's last token."""
        assert self.gate is not None
        prompt = self.gate.prompt
        if len(self.tokens) - self.last + 1 == len(prompt):
            return self
        return self._replace(tokens=list(prompt), last=1)


def read(session: Session, rows: Sequence[Row], opening: Collection[int]) -> torch.Tensor:
    """Return logits after each of the last tokens of some rows, as `Session.read` does.

    A prompt whose gate is undecided is first read by the model as it is, once for all rows that
    begin with it. A row that nothing is let through to is then done; others are read again.

    Args:
        session: of the model.
        rows: what to read, each in a slot of its own.
        opening: the slots in which another sequence begins.

    Returns:
        `logits_NV`, row after row.
    """
    steering = session.steering
    if not isinstance(steering, Gated):
        return _read(session, rows, opening, [row.strengths for row in rows])
    undecided = [i for i, row in enumerate(rows) if row.gate and row.gate.shares is None]
    first = {id(rows[i].gate): i for i in reversed(undecided)}.values()
    before = [i for i in range(len(rows)) if i in first or i not in undecided]
    asked = {i: rows[i].deciding if i in first else rows[i] for i in before}
    strengths = [row.let_through for row in asked.values()]
    looked_at = [rows[i].slot for i in first]
    logits_NV = _read(session, [*asked.values()], opening, strengths, looked_at)
    if not undecided:
        return logits_NV
    for i in first:
        gate = rows[i].gate
        assert gate is not None
        gate.shares = steering.opened(session.seen.pop(rows[i].slot))
    found = _parted(session, logits_NV, asked)
    again = [i for i in undecided if any(rows[i].let_through) or asked.get(i) is not rows[i]]
    if again:
        steered = {i: rows[i] for i in again}
        strengths = [row.let_through for row in steered.values()]
        logits_NV = _read(session, [*steered.values()], opening, strengths)
        found |= _parted(session, logits_NV, steered)
    parts = [found[i] for i in range(len(rows))]
    if session.states_NH is not None:
        session.states_NH = torch.cat([states for _, states in parts])
    return torch.cat([logits for logits, _ in parts])


def _parted(
    session: Session, logits_NV: torch.Tensor, rows: Mapping[int, Row]
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Return the logits of each row, and the last states where these are kept, by its place."""
    lengths = [row.last for row in rows.values()]
    states_NH = logits_NV if session.states_NH is None else session.states_NH
    pairs = zip(logits_NV.split(lengths), states_NH.split(lengths), strict=True)
    return dict(zip(rows, pairs, strict=True))


def _read(
    session: Session,
    rows: Sequence[Row],
    opening: Collection[int],
    strengths: Sequence[tuple[float, ...]],
    looked_at: Collection[int] = (),
) -> torch.Tensor:
    slots = [row.slot for row in rows]
    return session.read(
        slots,
        [row.tokens for row in rows],
        [row.last for row in rows],
        opening=[slot for slot in slots if slot in opening],
        siblings=[row.siblings for row in rows],
        strengths=strengths if session.steering is not None else (),
        looked_at=looked_at,
    )
