"""A reward model that reads an answer while it is made: what each next token would be worth.

Legend: R rows of a pass, T tokens of a row, K last positions of them, N positions that are asked
about, V vocabulary, C candidates.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trimtab.models.conversation import Conversation
from trimtab.models.described_model import DescribedModel
from trimtab.models.following import Place
from trimtab.models.language_model import LanguageModel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_COMPLETION = "{completion}"


@dataclass(frozen=True, kw_only=True)
class SequenceReward(LanguageModel):
    """A sequence classifier with one output, asked about the likeliest tokens of another model.

    It reads the question in its own way, and the answer so far in the tokens of the other model,
    whose vocabulary it must share. Each candidate has a row of its own in its cache.

    Args are those of `LanguageModel`, and:
        template: with `prompt=plain`, text with `{question}` that ends in `{completion}`.
        candidates: how many of the likeliest tokens it is asked about.
        max_length: longest sequence in tokens, with a candidate; None for what it was built for.
    """

    template: str | None = None
    candidates: int = 10
    max_length: int | None = None

    follows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template is not None and not self.template.endswith(_COMPLETION):
            raise ValueError(
                f"template={self.template!r} of {self.path!r} goes on behind {_COMPLETION}, and "
                "what an answer in the making is worth is read where it stops. Accepted is one "
                f"that ends in {_COMPLETION}."
            )

    @classmethod
    def described_as(cls, model: DescribedModel, *, truncate: bool, **settings: Any) -> Self:
        """Return the reward model that a description is of, with settings of its own.

        Raises:
            ValueError: where inputs are to be cut.
        """
        if truncate:
            raise ValueError(
                f"truncate=true of {model.path!r}: an answer in the making is not cut. Leave it "
                "out."
            )
        names = [field.name for field in dataclasses.fields(DescribedModel)]
        return cls(**{name: getattr(model, name) for name in names}, **settings)

    def render(self, conversation: Conversation) -> str:
        """Return what stands before the answer: the question, without the rest of the prompt."""
        if self.template is not None:
            before = self.template.removesuffix(_COMPLETION)
            return before.replace("{question}", conversation.asked)
        return self.chat.render([{"role": "user", "content": conversation.asked}])

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, which loads without its weights."""
        config = super().config
        if config.num_labels != 1:
            raise ValueError(
                f"{self.path!r} has {config.num_labels} outputs; a reward model has one. Give a "
                "sequence classifier with num_labels=1."
            )
        return config

    @cached_property
    def context_length(self) -> int:
        """The longest sequence that a candidate fits behind, in tokens."""
        built_for = min(super().context_length, int(self.tokenizer.model_max_length))
        return min(built_for, self.max_length or built_for) - 1

    @cached_property
    def stop_tokens(self) -> frozenset[int]:
        """None: where an answer ends is for the model that speaks to say."""
        return frozenset()

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The loaded classifier, in evaluation mode on its device."""
        from transformers import AutoModelForSequenceClassification

        return self.load(AutoModelForSequenceClassification, config=self.config)

    def require_loadable(self) -> None:
        """Refuse what cannot be loaded here, and what is no reward model; loads no weights."""
        super().require_loadable()
        _ = self.config

    def cost(self, new: int, last: int) -> tuple[int, int]:
        """Return a pass for each position, of what is new and of each candidate there."""
        return last, new + last * self.candidates

    def follower(self, slots: int) -> Rewards:
        """Return who reads the candidates."""
        return Rewards(self, slots)


class Rewards:
    """What the likeliest tokens of a model would be worth, each read behind the answer so far.

    Args:
        model: the reward model.
        slots: how many answers are made at a time.
    """

    reads_states = False

    def __init__(self, model: SequenceReward, slots: int) -> None:
        from trimtab.models.reward_head import at_each_position
        from trimtab.models.session import Session

        self._count = min(model.candidates, model.vocabulary_size)
        read = copy.copy(model)
        read.__dict__["weights"] = at_each_position(model)
        self._session = Session(read, slots * self._count, drafts=True)

    @property
    def forward_passes(self) -> int:
        """Forward passes run so far."""
        return self._session.forward_passes

    def follow(
        self, places: Sequence[Place], logits_NV: torch.Tensor, states_NH: torch.Tensor | None
    ) -> torch.Tensor:
        """Return each candidate's reward; -inf for other tokens."""
        candidates_NC = logits_NV.topk(self._count).indices
        rewards_NC = logits_NV.new_zeros(candidates_NC.shape)
        rows = [(place, step) for place in places for step in range(place.last)]
        for step in range(max(place.last for place in places)):  # one, but for drafts
            here = [i for i, (_, own) in enumerate(rows) if own == step]
            asked = [rows[i][0] for i in here]
            rewards = self._read(asked, step, candidates_NC[here].tolist())
            rewards_NC[here] = rewards.view(-1, self._count).to(rewards_NC)
        # What is no number is a mistake of the model's, and not a token that was not asked about.
        rewards_NC.masked_fill_(~rewards_NC.isfinite(), math.nan)
        return logits_NV.new_full(logits_NV.shape, -math.inf).scatter_(1, candidates_NC, rewards_NC)

    def _read(
        self, places: Sequence[Place], step: int, candidates: Sequence[list[int]]
    ) -> torch.Tensor:
        """Return the rewards of the candidates at one position of each place, one after another."""
        slots, sequences, siblings = list[int](), list[list[int]](), list[list[int]]()
        begun: dict[int, list[int]] = {}
        for place, tokens in zip(places, candidates, strict=True):
            first, behind = place.slot * self._count, place.last - 1 - step
            so_far = place.tokens[: len(place.tokens) - behind]
            if place.position == behind:
                begun[first] = so_far
            for number, token in enumerate(tokens):
                slots.append(first + number)
                sequences.append([*so_far, token])
                siblings.append([each * self._count + number for each in place.siblings])
        opening = [slot for first in begun for slot in range(first, first + self._count)]
        if begun:  # read once, for all candidates behind it
            self._session.read([*begun], [*begun.values()], [1] * len(begun), opening=[*begun])
        ones = [1] * len(slots)
        return self._session.read(slots, sequences, ones, opening=opening, siblings=siblings)
