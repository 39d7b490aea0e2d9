"""One language model: how it renders a conversation, its tokens and where they end."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from trimtab.config.accepted import require_choice
from trimtab.models import generation_file, sizes
from trimtab.models.causal_model import CausalModel
from trimtab.models.chat_template import writes_day
from trimtab.models.codec import Codec
from trimtab.models.content_hash import in_memory_sha256, vocabulary_sha256
from trimtab.models.conversation import Conversation
from trimtab.models.following import Follower
from trimtab.models.placement import device_of
from trimtab.models.prompt import as_text, as_turns
from trimtab.models.token_bytes import TokenBytes
from trimtab.models.token_map import TOKEN_MAPS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class LanguageModel(CausalModel):
    """A causal language model with its tokenizer and its way of rendering a conversation.

    Describing one is free; tokenizer and weights load at their first use.

    Args:
        token_map: where its vocabulary is not that of the models which it is mixed with, how their
            tokens are told in it: `pm-mined` or `exact` (see `models.token_map`), `pm-mined-raw`
            for a delta model, whose logits are no distribution; null refuses such a mixture.
            Answers are in the tokens of the first model without one.

    Other args are those of `DescribedModel` and `CausalModel`.

    Raises:
        ValueError: as these, and for a token map that is not known.
    """

    token_map: str | None = None

    since: ClassVar[Mapping[str, Any]] = MappingProxyType({**CausalModel.since, "token_map": None})

    follows: ClassVar[bool] = False
    """Whether it tells of tokens only once another model of a mixture has; see `follower`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_map is not None:
            require_choice(f"token_map of {self.path}:", self.token_map, TOKEN_MAPS)

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        prompt: str,
        name: str = "in-memory",
    ) -> LanguageModel:
        """Wrap a model and a tokenizer that are already loaded.

        Two of these are equal where model, tokenizer and prompt are the very same.
        """
        described = cls(path=name, prompt=prompt)
        described.__dict__["weights"] = model.eval()
        described.__dict__["tokenizer"] = tokenizer
        described.__dict__["commit"] = getattr(model.config, "_commit_hash", None)
        described.__dict__["_in_memory"] = (model, tokenizer)
        return described

    def holding(self, weights: PreTrainedModel) -> LanguageModel:
        """Return this model with other weights, which are loaded."""
        held = copy.copy(self)
        held.__dict__["weights"] = weights
        held.__dict__["_in_memory"] = (weights, self.tokenizer)
        return held

    def __eq__(self, other: object) -> bool:
        """Whether both describe one model; those in memory hold the very same."""
        if not isinstance(other, LanguageModel) or type(self) is not type(other):
            return NotImplemented
        if self is other:
            return True
        fields = [field.name for field in dataclasses.fields(self)]
        alike = all(getattr(self, name) == getattr(other, name) for name in fields)
        held = [one.__dict__.get("_in_memory", ()) for one in (self, other)]
        return alike and [*map(id, held[0])] == [*map(id, held[1])]

    # ------------------------------------------------------------------ who speaks for it

    def predictor(self, role: str, name: str, generation: Any) -> Any:
        """Return who predicts in place of the weights; None, as here, for the weights themselves.

        A subclass whose predictions come from elsewhere returns a `trimtab.decoding.Predictor`;
        its tokenizer, its prompts and what it is known by are still a model's.

        Args:
            role: the model's, in the predictor's `models`.
            name: who speaks, the predictor's `name`.
            generation: how answers are drawn, a `trimtab.Generation`.
        """
        return None

    def follower(self, slots: int) -> Follower | None:
        """Return who speaks for this model once the first of its mixture has; None for its weights.

        Args:
            slots: how many answers are made at a time.
        """
        return None

    def cost(self, new: int, last: int) -> tuple[int, int]:
        """Return how many forward passes a reading takes an answer alone, and of how many tokens.

        Args:
            new: tokens that were not read before.
            last: positions that are asked about.
        """
        return 1, new

    # ------------------------------------------------------------------ prompts and text

    def render(self, conversation: Conversation) -> str:
        """Return the prompt text of `conversation` in this model's way (see `Conversation`)."""
        if self.prompt == "plain":
            return as_text(conversation)
        turns = as_turns(conversation)
        return self.chat.render(turns, day=conversation.day) + conversation.answer_start

    @property
    def is_dated(self) -> bool:
        """Whether the prompts that it reads depend on the day."""
        return writes_day(self.template or "")

    def encode(self, text: str) -> list[int]:
        """Return the canonical tokens of `text`, with the beginning-of-sequence token once."""
        return self.codec.encode(text)

    def continuation(self, context: list[int], tokens: list[int]) -> str:
        """Return the text that `tokens` add after `context`; see `Codec.pieces`."""
        return self.codec.continuation(context, tokens)

    def pieces(self, context: list[int], tokens: list[int]) -> list[tuple[str, int]]:
        """Cut `tokens`, spoken after `context`, into texts of whole characters; see `Codec`."""
        return self.codec.pieces(context, tokens)

    @cached_property
    def codec(self) -> Codec:
        """Text to tokens and back."""
        return Codec(
            self.tokenizer,
            self.special_tokens,
            prompts_have_bos=lambda: self.prompt == "chat" and self.chat.writes_bos(),
        )

    @cached_property
    def special_tokens(self) -> frozenset[int]:
        """Ids of tokens that are control signs and never part of an answer's text."""
        added = self.tokenizer.added_tokens_decoder.items()
        signs = {i for i, token in added if token.special}
        return frozenset(self.tokenizer.all_special_ids) | signs | self.stop_tokens

    @cached_property
    def stop_tokens(self) -> frozenset[int]:
        """Ids that end an answer: the tokenizer's end-of-sequence and the generation config's."""
        own = self.tokenizer.eos_token_id
        listed = generation_file.ends(self._generation_config)
        return listed if own is None else listed | {own}

    @cached_property
    def generation_rules(self) -> dict[str, Any]:
        """Rules of the model's publisher for generate(), which nobody follows here unasked.

        Such as a repetition penalty or tokens that are ruled out; how long answers are and how they
        are drawn is not among them.
        """
        return generation_file.further(self._generation_config)

    # ------------------------------------------------------------------ facts

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """The tokenizer's tokens and their ids, added tokens included."""
        return self.tokenizer.get_vocab()

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """What the tokens stand for, that tokenizer and model both have."""
        width = self.vocabulary_size
        return TokenBytes.of(self.tokenizer, self.codec, ends=self.stop_tokens, width=width)

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest token id that tokenizer and model both have.

        Logits beyond the tokenizer's are padding; tokens beyond the model's cannot be read.
        """
        return min(self._tokenizer_width, self._rows)

    def require_rows(self, tokens: Sequence[int]) -> None:
        """Refuse tokens that the model's embedding has no row for, by their signs."""
        if not self.has_all_rows:
            sizes.require_rows(tokens, self._rows, self.tokenizer, self.path)

    @cached_property
    def has_all_rows(self) -> bool:
        """Whether the embedding has a row for each of the tokenizer's tokens."""
        return self._tokenizer_width <= self._rows

    @property
    def _tokenizer_width(self) -> int:
        return max(self.vocabulary.values()) + 1

    @cached_property
    def _rows(self) -> int:
        """How many tokens the model's embedding has a row for."""
        return sizes.embedding_rows(self.config)

    @property
    def device_in_use(self) -> torch.device:
        """The device that holds the weights, the first of several."""
        return device_of(self.weights)

    @property
    def identity(self) -> dict[str, str | None]:
        """What tells two contents under one name apart; loads no weights.

        Beside what a `CausalModel` has, what was given as loaded has a hash of weights, settings
        and tokenizer as they are now.
        """
        held = self.__dict__.get("_in_memory")
        return super().identity | ({"in_memory_sha256": in_memory_sha256(*held)} if held else {})

    def provenance(self) -> dict[str, Any]:
        """Return what a record needs to name exactly this model: where from, revision, hashes."""
        return {
            **dataclasses.asdict(self),
            "dtype_in_use": self.dtype_in_use,
            **self.identity,
            "generation_rules": [
                f"{name}={value!r}" for name, value in self.generation_rules.items()
            ],
            "tokenizer_sha256": vocabulary_sha256(self.vocabulary),
        }
