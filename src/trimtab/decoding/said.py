"""What the models of a mixture said at some positions, and how that becomes one distribution.

Legend: N positions that are read, V vocabulary, H width of hidden states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from trimtab.decoding.mixing import linear, token_details
from trimtab.decoding.predictor import Cursor, Prediction, Request
from trimtab.models.language_model import LanguageModel


class Said(NamedTuple):
    """What one model said: logits `[N, V]`, and which rows of them are whose, by slot.

    Attributes:
        rows: of the answers, by their slots.
        logits_NV: the logits.
        states_NH: the last hidden states, where somebody reads them.
    """

    rows: Mapping[int, range]
    logits_NV: torch.Tensor
    states_NH: torch.Tensor | None = None

    def of(self, requests: Sequence[Request]) -> torch.Tensor:
        """Return the logits that answer some requests, row after row."""
        return _rows(self.logits_NV, self._places(requests))

    def states_of(self, requests: Sequence[Request]) -> torch.Tensor | None:
        """Return the hidden states there, row after row."""
        return None if self.states_NH is None else _rows(self.states_NH, self._places(requests))

    def _places(self, requests: Sequence[Request]) -> list[int]:
        return [place for request in requests for place in self.rows[request.cursor.slot]]


def _rows(numbers: torch.Tensor, places: list[int]) -> torch.Tensor:
    if places == list(range(len(numbers))):
        return numbers
    if places and places == list(range(places[0], places[0] + len(places))):
        return numbers[places[0] : places[0] + len(places)]
    with torch.inference_mode():  # nobody may change them, as those that a model has given
        return numbers[torch.tensor(places, device=numbers.device)]


def mixed(cursor: Cursor, logits: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits `[N, V]` of a speaker, from those of its models."""
    combine, first_NV = cursor.combine or linear, next(iter(logits.values()))
    # Who is run for something else, as to measure from it, has no say.
    weights = {role: weight for role, weight in cursor.weights.items() if weight != 0}
    alike = {role: logits[role].to(first_NV.device) for role in weights}
    whose = getattr(combine, "__qualname__", combine)
    try:
        mixed_NV = combine(alike, weights)
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


def detailed(
    predictions: Sequence[Prediction],
    mixed_NV: torch.Tensor,
    logits: Mapping[str, torch.Tensor],
    requests: Sequence[Request],
) -> list[Prediction]:
    """Return predictions with the details of the tokens that they draw.

    Args:
        predictions: of all positions.
        mixed_NV: the logits of their mixtures.
        logits: of each model where it takes part, by role.
        requests: what was asked, in the order of its rows.
    """
    speaking = [request.cursor.weights for request in requests for _ in range(request.last)]
    taking_part = {
        role: [place for place, weights in enumerate(speaking) if role in weights]
        for role in logits
    }
    tokens = [prediction.token for prediction in predictions]
    found = token_details(tokens, mixed_NV, logits, taking_part)
    return [r._replace(details=own) for r, own in zip(predictions, found, strict=True)]


def refuse_not_finite(
    models: Mapping[str, LanguageModel],
    said: Mapping[str, Said],
    mixed_NV: torch.Tensor,
    requests: Sequence[Request],
) -> None:
    """Raise FloatingPointError that names who gave logits that are not finite.

    Args:
        models: by role.
        said: what each said.
        mixed_NV: what that became.
        requests: what was asked, in the order of its rows.
    """
    for request in requests:
        for role in request.cursor.weights:
            _require_finite(said[role].of([request]), repr(models[role].path), request)
    for request, own_NV in zip(
        requests, mixed_NV.split([request.last for request in requests]), strict=True
    ):
        weights = ", ".join(f"{w:g}" for w in request.cursor.weights.values() if w != 0)
        _require_finite(own_NV, f"The mixture with weights {weights}", request)


def _require_finite(logits_NV: torch.Tensor, whose: str, request: Request) -> None:
    if not torch.isfinite(logits_NV.amax(dim=-1)).all():
        raise FloatingPointError(
            f"{whose} gave logits that are not finite for sample {request.cursor.sample_id!r}: the "
            "weights are damaged, the dtype overflows (try dtype=float32), or the strength is too "
            "large."
        )


def say_out_of_memory(error: RuntimeError, path: str, batch_size: int) -> None:
    """Raise MemoryError with what to lower, for an error that says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        raise MemoryError(
            f"{path!r} ran out of memory with generation.batch_size={batch_size}. Lower it (the "
            "answers stay the same), or take a smaller dtype. What is finished is kept: the same "
            "command resumes."
        ) from error
