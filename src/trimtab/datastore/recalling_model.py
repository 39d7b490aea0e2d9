"""A datastore as a model: what followed, in examples, the states nearest to those of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trimtab.datastore.store_file import FIRST, StoreFile
from trimtab.models import LanguageModel
from trimtab.models.following import Place

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class RecallingModel(LanguageModel):
    """The datastore of a model, as a model that follows it: of weights it has none of its own.

    Args are those of `LanguageModel`, the model's own, and:
        store: the datastore's folder.
        neighbours: how many entries vote on a token.
        temperature: their votes weigh `exp(-d / temperature)` at a squared distance d.
        heads: in how many parts a state is compared; each part votes by itself.
    """

    store: str
    neighbours: int = 32
    temperature: float = 1000.0
    heads: int = 1

    follows: ClassVar[bool] = True

    @classmethod
    def beside(cls, model: LanguageModel, **settings: Any) -> Self:
        """Return the datastore of a model that is described, or loaded, already."""
        found = cls(**_described(model), **settings)
        found.__dict__["model"] = model
        if held := model.__dict__.get("_in_memory"):  # by which it is known
            found.__dict__["_in_memory"] = held
        return found

    @cached_property
    def model(self) -> LanguageModel:
        """The model that it follows."""
        return LanguageModel(**_described(self))

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The model's."""
        return self.model.weights

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's."""
        return self.model.tokenizer

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's."""
        return self.model.config

    @cached_property
    def stored(self) -> StoreFile:
        """The datastore."""
        return StoreFile(self.store)

    @property
    def identity(self) -> dict[str, str | None]:
        """What tells model and datastore from others."""
        return self.model.identity | {"store_sha256": self.stored.sha256}

    def provenance(self) -> dict[str, Any]:
        """Return where model and datastore come from."""
        return super().provenance() | {"store_is": dict(self.stored.facts)}

    def require_loadable(self) -> None:
        """Refuse what cannot be loaded here, and the datastore of another model."""
        self.model.require_loadable()
        self.stored.require_of(self.model)

    def cost(self, new: int, last: int) -> tuple[int, int]:
        """Return no passes and no tokens: it reads what the model's pass has given."""
        return 0, 0

    def follower(self, slots: int) -> Recalling:
        """Return who looks up what followed."""
        return Recalling(self)


def _described(model: LanguageModel) -> dict[str, Any]:
    return {own.name: getattr(model, own.name) for own in dataclasses.fields(LanguageModel)}


class Recalling:
    """Looks up what followed the states nearest to those of a model.

    Args:
        model: the datastore, and how it is asked.
    """

    reads_states = True
    forward_passes = 0

    def __init__(self, model: RecallingModel) -> None:
        self._model = model
        from trimtab.datastore.nearest import parts_of

        device = model.device_in_use
        self._parts = parts_of(model.stored.keys.load().float().to(device), model.heads)
        self._values_S = model.stored.values.load().to(device)
        self._first = model.stored.facts["positions"] == FIRST

    def follow(
        self, places: Sequence[Place], logits_NV: torch.Tensor, states_NH: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the logarithm of the votes; what the model itself says where there are none.

        That is behind the first token, of a datastore of first tokens.
        """
        from trimtab.datastore.nearest import log_votes

        assert states_NH is not None
        found_NV = log_votes(
            states_NH.to(self._values_S.device),
            self._parts,
            self._values_S,
            neighbours=self._model.neighbours,
            temperature=self._model.temperature,
            vocabulary=logits_NV.shape[-1],
        ).to(logits_NV.device)
        if self._first:
            behind = [
                place.position - place.last + 1 + i > 0
                for place in places
                for i in range(place.last)
            ]
            for row in [row for row, is_behind in enumerate(behind) if is_behind]:
                found_NV[row] = logits_NV[row].log_softmax(dim=-1)
        return found_NV
