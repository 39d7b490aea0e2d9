"""Reference Trustable Decoding: what followed similar states, in examples, beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from trimtab.config.accepted import require_number, require_whole
from trimtab.datastore.recalling_model import RecallingModel
from trimtab.methods.mixture import DraftSource, Mixture
from trimtab.models import LanguageModel

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class RTD(Mixture):
    """Mix a model's next-token probabilities with the votes of the nearest entries of a datastore.

    `p = (1 - strength) p_model + strength p_store`, where the k entries nearest to the model's last
    hidden state vote for the tokens that followed them, with weights `exp(-d / temperature)` that
    sum to 1: Shi et al., "Reference Trustable Decoding", NeurIPS 2024, arXiv 2409.20181; mixed as
    by kNN-LM (Khandelwal et al., arXiv 1911.00172). As in the authors' released code, d is the
    squared Euclidean distance (without a root), and each of several `heads` compares its part of
    the state, at `heads d`; that code takes the most voted label and mixes nothing: a store of
    `first` tokens at strength 1, which says the first token of an answer, the model the rest.

    Args:
        model: the model.
        store: a folder that `trimtab datastore` wrote, with this model.
        strength: the datastore's share: 0 is the model, 1 its neighbours alone.
        neighbours: how many entries vote on a token.
        temperature: above 0; the smaller, the more the nearest of them count. What is apt follows
            from the size of the model's states.
        heads: in how many parts of equal width a state is compared.
        draft: none, `prompt-lookup`, or a small model of the same vocabulary; for speed alone.

    Raises:
        ValueError: for a store that is none, is empty, or is another model's, and for settings
            outside these.
    """

    model: LanguageModel
    store: str | None
    strength: float = 0.5
    neighbours: int = 32
    temperature: float = 1000.0
    heads: int = 1
    draft: DraftSource = None

    dial = "strength"
    reference_role = "model"
    needs = "one model"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("strength", self.strength, "shares from 0 to 1", least=0, most=1)
        require_number("temperature", self.temperature, "numbers above 0", above=0)
        require_whole("neighbours", self.neighbours, 1)
        require_whole("heads", self.heads, 1)
        if self.store is None:
            raise ValueError(
                "store=None: give the folder that "
                "`trimtab datastore base=MODEL task=TASK --out FOLDER` writes."
            )
        width = self._recalled.stored.width
        if width % self.heads:
            raise ValueError(
                f"heads={self.heads}: the states of {self.store!r} have {width} numbers, which "
                "these do not divide into parts of equal width."
            )

    @cached_property
    def _recalled(self) -> RecallingModel:
        assert self.store is not None
        return RecallingModel.beside(
            self.model,
            store=self.store,
            neighbours=self.neighbours,
            temperature=float(self.temperature),
            heads=self.heads,
        )

    @property
    def mixture(self) -> dict[str, tuple[LanguageModel, float]]:
        """The model and its datastore."""
        return {
            "model": (self.model, 1.0 - self.strength),
            "store": (self._recalled, float(self.strength)),
        }

    def require_compatible(self) -> None:
        """Raise ValueError for a draft of another vocabulary, and another model's datastore."""
        super().require_compatible()
        self._recalled.stored.require_of(self.model)

    def combine(
        self, logits: Mapping[str, torch.Tensor], weights: Mapping[str, float]
    ) -> torch.Tensor:
        """Return `log sum_i weights_i softmax(z_i)`."""
        from trimtab.decoding.mixing import probabilities

        return probabilities(logits, weights)
