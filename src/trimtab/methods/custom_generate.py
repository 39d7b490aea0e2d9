"""A call of transformers' `generate()` with a method as its `custom_generate`.

Legend: B rows, T columns of the prompts, N new columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteriaList,
)

from trimtab.decoding import Generation
from trimtab.methods.prompts import Prompts
from trimtab.models import LanguageModel, generation_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What generate() prepares for its model's forward pass.
_PREPARED = {
    "attention_mask",
    "position_ids",
    "past_key_values",
    "use_cache",
    "logits_to_keep",
    "output_attentions",
    "output_hidden_states",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one call of generate() asks for.

    Attributes:
        model: ours of the model that generate() was called on.
        input_ids_BT: the prompts, padded on the left.
        rows: the prompts without padding.
        generation: the settings.
        end_token: what closes an answer, if the model has such a token.
        pad_token: what fills the rows on the right.
    """

    model: LanguageModel
    input_ids_BT: torch.Tensor
    rows: list[list[int]]
    generation: Generation
    end_token: int | None
    pad_token: int

    @classmethod
    def read(
        cls,
        accepted: Mapping[str, LanguageModel],
        weights: PreTrainedModel,
        input_ids_BT: torch.Tensor,
        *,
        seed: int,
        generation_config: GenerationConfig,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        **model_inputs: Any,
    ) -> Call:
        """Read the arguments that generate() passes to its `custom_generate`.

        Args:
            accepted: the models that generate() may be called on, by role.
            weights: the one it was called on.
            input_ids_BT: the prompts.
            seed: decides the random draws.
            generation_config: as generate() prepared it; so are all that follow.
            logits_processor: must hold nothing of the user's own.
            stopping_criteria: may hold the length and the end token.
            **model_inputs: what would go to the model; an attention mask among them.

        Raises:
            ValueError: naming every setting that would change the answers and is not honoured.
        """
        model = _ours(accepted, weights)
        _refuse(_settings_not_honoured(generation_config))
        _refuse(
            [
                *_processors_not_honoured(generation_config, logits_processor),
                *_criteria_not_honoured(stopping_criteria, weights, model),
                *_inputs_not_honoured(model_inputs),
            ]
        )
        rows = _without_padding(input_ids_BT, model_inputs)
        # By the criteria, because a length of the user's own is one of them.
        length = min(c.max_length for c in stopping_criteria if isinstance(c, MaxLengthCriteria))
        generation = Generation(
            max_new_tokens=length - input_ids_BT.shape[1],
            batch_size=len(rows),
            seed=seed,
            **_sampling(generation_config),
        )
        ends = _ids(generation_config.eos_token_id) or _ids(model.tokenizer.eos_token_id)
        end = ends[0] if ends else None
        pad = end if generation_config.pad_token_id is None else generation_config.pad_token_id
        if pad is None:
            raise ValueError(
                "pad_token_id=None: this model names no end token to pad with. Set it."
            )
        return cls(
            model=model,
            input_ids_BT=input_ids_BT,
            rows=rows,
            generation=generation,
            end_token=end,
            pad_token=int(pad),
        )

    def prompts(
        self, models: Mapping[str, LanguageModel], others: Collection[str]
    ) -> dict[str, Prompts]:
        """Return the rows as the prompts of a method's models, by their numbers.

        Args:
            models: the models, by role.
            others: the roles of those of another vocabulary, which read a row's text.
        """
        found = {}
        for i, row in enumerate(self.rows):
            text, tokens = dict.fromkeys(models, self.decoded(i)), dict.fromkeys(models, row)
            for role in others:
                text[role] = self.text(i)
                tokens[role] = models[role].encode(text[role])
            found[str(i)] = Prompts(text, tokens)
        return found

    def decoded(self, index: int) -> str:
        """Return the text of a row's tokens."""
        return self._decoded(self.rows[index])

    def text(self, index: int) -> str:
        """Return the text whose canonical tokens are a row's.

        Raises:
            ValueError: for a row that is not what the tokenizer makes of any text.
        """
        row = self.rows[index]
        # First without the beginning-of-sequence token, where encoding puts it back.
        for tokens in (row[1:], row):
            text = self._decoded(tokens)
            if self.model.encode(text) == row:
                return text
        raise ValueError(
            f"Row {index} of input_ids is not what the tokenizer of {self.model.path!r} makes of "
            f"{self._decoded(row)!r}. Nudging starts from text: give tokenizer(text) whole, "
            "with its special tokens and not truncated."
        )

    def continued(self, index: int, text: str) -> list[int]:
        """Return the tokens of a text after a row."""
        row = self.rows[index]
        whole = self.model.encode(self.text(index) + text)
        if whole[: len(row)] == row:
            return whole[len(row) :]
        # A token spans the two (line breaks do), and the prompt's columns stay as they were given.
        tokens: list[int] = self.model.tokenizer(text, add_special_tokens=False).input_ids
        return tokens

    def _decoded(self, tokens: list[int]) -> str:
        text = self.model.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def result(self, answers: Sequence[list[int]]) -> torch.Tensor:
        """Return `[B, T + N]`: the prompts as given, each with its answer, padded on the right."""
        width = max(map(len, answers))
        new_BN = [answer + [self.pad_token] * (width - len(answer)) for answer in answers]
        like = self.input_ids_BT
        return torch.cat([like, torch.tensor(new_BN, dtype=like.dtype, device=like.device)], dim=1)


# ---------------------------------------------------------------------- what generate() is told


def _refuse(settings: Sequence[str]) -> None:
    if settings:
        raise ValueError(
            f"A method as custom_generate does not do {', '.join(settings)}. Leave that out; DeRa "
            "and proxy tuning as a logits_processor go with everything that generate() does."
        )


def _ours(accepted: Mapping[str, LanguageModel], weights: PreTrainedModel) -> LanguageModel:
    for model in accepted.values():
        if vars(model).get("weights") is weights:  # what is not loaded yet cannot be the same
            return model
    roles = " or ".join(f"{role}.weights ({model.path})" for role, model in accepted.items())
    raise ValueError(
        f"generate() was called on a {type(weights).__name__} that is not the method's. Call it "
        f"on its {roles}; LanguageModel.of(model, tokenizer, prompt=...) takes a loaded model."
    )


def _settings_not_honoured(config: GenerationConfig) -> list[str]:
    only_in_sampling = set() if config.do_sample else generation_file.FURTHER_SAMPLING
    found = generation_file.further(config, generation_file.SAMPLING | only_in_sampling)
    return [f"{name}={value!r}" for name, value in found.items()]


def _sampling(config: GenerationConfig) -> dict[str, Any]:
    """Return how to draw, as arguments of `Generation`."""
    if not config.do_sample:
        return {}
    return {
        "temperature": 1.0 if config.temperature is None else config.temperature,
        "top_k": config.top_k or 0,
        "top_p": 1.0 if config.top_p is None else config.top_p,
    }


def _processors_not_honoured(
    config: GenerationConfig, processors: LogitsProcessorList
) -> list[str]:
    # generate() makes one for each of these that is on, and puts them last.
    off = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    made = sum(value != off[name] for name, value in _sampling(config).items())
    own = processors[: len(processors) - made]
    return [f"logits_processor {type(processor).__name__}" for processor in own]


def _criteria_not_honoured(
    criteria: StoppingCriteriaList, weights: PreTrainedModel, model: LanguageModel
) -> list[str]:
    refused = [
        f"stopping_criteria {type(criterion).__name__}"
        for criterion in criteria
        if type(criterion) not in (MaxLengthCriteria, EosTokenCriteria)
    ]
    ends = {
        end
        for criterion in criteria
        if isinstance(criterion, EosTokenCriteria)
        for end in criterion.eos_token_id.tolist()
    }
    config = weights.generation_config
    usual = set(_ids(config.eos_token_id if config else None))
    if ends not in (usual, model.stop_tokens):
        refused.append(f"eos_token_id={sorted(ends)} in place of {sorted(model.stop_tokens)}")
    return refused


def _inputs_not_honoured(inputs: Mapping[str, Any]) -> list[str]:
    refused = [k for k, value in inputs.items() if value is not None and k not in _PREPARED]
    cache = inputs.get("past_key_values")
    if cache is not None and cache.get_seq_length() > 0:
        refused.append("past_key_values that are not empty")
    return refused


def _without_padding(input_ids_BT: torch.Tensor, inputs: Mapping[str, Any]) -> list[list[int]]:
    mask_BT = inputs.get("attention_mask")
    if mask_BT is None:
        mask_BT = torch.ones_like(input_ids_BT)
    mask_BT = mask_BT.long()
    if mask_BT.shape != input_ids_BT.shape or not (
        (mask_BT[:, -1] == 1).all() and (mask_BT.diff(dim=1) >= 0).all()
    ):
        raise ValueError(
            "attention_mask: accepted are rows of zeros and then ones, as wide as input_ids: "
            "prompts of at least one token, padded on the left (padding_side='left')."
        )
    positions_BT = inputs.get("position_ids")
    if positions_BT is not None:
        counted_BT = mask_BT.cumsum(dim=1) - 1
        if positions_BT.shape != mask_BT.shape or ((positions_BT - counted_BT) * mask_BT).any():
            raise ValueError("position_ids: accepted are those that count a row's tokens from 0.")
    lengths = mask_BT.sum(dim=1).tolist()
    return [
        row[len(row) - length :] for row, length in zip(input_ids_BT.tolist(), lengths, strict=True)
    ]


def _ids(token: int | list[int] | None) -> list[int]:
    if token is None:
        return []
    return list(token) if isinstance(token, list) else [token]
