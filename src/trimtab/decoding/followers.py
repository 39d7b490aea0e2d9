"""Models whose part in a mixture depends on what its first model has said.

Legend: V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import torch

from trimtab.decoding.predictor import Request
from trimtab.decoding.said import Said
from trimtab.models.following import Follower, Place


def follow(follower: Follower, role: str, requests: Sequence[Request], first: Said) -> Said:
    """Return what a model tells of tokens, once where several ask the same.

    Args:
        follower: who speaks for it.
        role: the model's.
        requests: what is asked, of some mixtures without it.
        first: what the first model has said.
    """
    rows: dict[Hashable, Request] = {}
    placed: dict[int, Hashable] = {}
    for request in requests:
        if role in request.cursor.weights:
            slot = request.cursor.slot
            placed[slot] = first.rows[slot], tuple(request.tokens(role))
            rows.setdefault(placed[slot], request)
    if not rows:
        return Said({}, torch.empty(0))
    asked = [*rows.values()]
    places = [
        Place(r.cursor.slot, r.tokens(role), r.last, r.position, r.cursor.siblings) for r in asked
    ]
    with torch.inference_mode():
        logits = follower.follow(places, first.of(asked), first.states_of(asked))
    ends = itertools.accumulate(request.last for request in asked)
    own = {row: range(end - r.last, end) for (row, r), end in zip(rows.items(), ends, strict=True)}
    return Said({slot: own[row] for slot, row in placed.items()}, logits)
