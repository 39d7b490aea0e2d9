"""A reward model: a classifier with one output, which says how good an answer is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from trimtab import zoo
from trimtab.config.accepted import require_choice, require_whole
from trimtab.config.signature import require_types
from trimtab.models.described_model import DescribedModel
from trimtab.models.placement import device_of
from trimtab.models.sequence_reward import SequenceReward
from trimtab.scorers.scorer import Scorer, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

FORMATS = ("chat", "plain")
_PLACE = re.compile(r"\{(\w+)\}")
_FIELDS = ("question", "completion")


class _Encoded(NamedTuple):
    """One answer in a reward model's tokens."""

    sample_id: str
    tokens: list[int]
    cut: int


@dataclass(frozen=True, kw_only=True)
class RewardModel(Scorer):
    """Scores each answer by a sequence classifier with one output (its raw logit).

    What the model reads is the question, without the rest of the prompt, and the answer; of a
    conversation of several turns, its text up to the question stands before that. A reward
    does not depend on the batch, but for rounding: padding is masked, and a model without a padding
    token reads answers one by one.

    Args:
        path: a local folder, or a hub id.
        format: `chat` renders the question as the user's and the answer as the assistant's turn of
            the model's own chat template; `plain` fills in `template`.
        template: for `plain`, text with `{question}` and `{completion}`.
        name: names the metric.
        revision: hub revision (branch, tag or commit); only for hub ids.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for that of the checkpoint where the
            device computes in it by itself, else `float32`.
        device: `auto` (a GPU if there is one), any torch device, or `balanced` for all GPUs.
        max_memory: beside `balanced`, the most of each GPU by its number, and of `cpu`.
        attention: who computes it: `eager`, `sdpa`, or `auto` for `sdpa` where the model can.
        quantization: how weights are held, as those of a `LanguageModel`: `none`, `int8`, `nf4` or
            `fp4`.
        batch_size: answers that are read at once.
        max_length: longest input in tokens; None for what the model was built for.
        truncate: cut an input that is longer on its left, behind the special tokens that it opens
            with, so that the end of the answer is read; how much was cut is recorded. Otherwise
            such an input is an error.
        chat_template: a Jinja file or the template itself, in place of the tokenizer's own.
        trust_remote_code: run code that comes with the model; off unless asked for.
        allow_pickle: load weights stored as pickles, which can run code; off unless asked for.

    Raises:
        ValueError: for a value outside these, a folder without a model, a model with another number
            of outputs, an input that is too long, and a reward that is not a number.
    """

    path: str
    format: str = "chat"
    template: str | None = None
    name: str = "reward"
    revision: str | None = None
    dtype: str = "float32"
    device: str = "auto"
    batch_size: int = 8
    max_length: int | None = None
    truncate: bool = False
    chat_template: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    max_memory: Mapping[str | int, str] | None = field(default=None, hash=False)
    attention: str = "auto"
    quantization: str = "none"
    without_effect: ClassVar[frozenset[str]] = DescribedModel.without_effect | {"batch_size"}
    since: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "trust_remote_code": False,
            "max_memory": None,
            "attention": "auto",
            "quantization": "none",
        }
    )

    def __post_init__(self) -> None:
        require_types(self)
        if zoo.name_in(self.path) is not None:
            raise ValueError(
                f"Reward model {self.path!r}: the embedded family has none. Give a folder or a hub "
                "id of a sequence classifier with one output."
            )
        require_choice(f"format of {self.path}:", self.format, FORMATS)
        _check_template(self.template, self.format)
        for name in ("batch_size", "max_length"):
            value = getattr(self, name)
            if value is not None:
                require_whole(name, value, 1)
        if self._described.source.is_gguf:
            raise ValueError(
                f"Reward model {self.path!r}: a GGUF file holds none. Give a folder or a hub id "
                "of a sequence classifier with one output."
            )

    @cached_property
    def _described(self) -> DescribedModel:
        """Where model and tokenizer come from; of its weights nothing is loaded."""
        return DescribedModel(
            path=self.path,
            prompt=self.format,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            max_memory=self.max_memory,
            attention=self.attention,
            quantization=self.quantization,
            chat_template=self.chat_template,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's content and how it is asked; not the batch size and the device."""
        later = {"attention": self.attention, "quantization": self.quantization}
        return {
            "path": self.path,
            "revision": self.revision,
            **self._described.identity,
            "format": self.format,
            "template": self.template,
            "dtype": self.dtype,
            "max_length": self._longest,
            "truncate": self.truncate,
            **{name: value for name, value in later.items() if value != self.since[name]},
        }

    def check(self) -> None:
        """Refuse a model that could not be asked, before anything is generated.

        All but its weights is loaded, so that a hub that is out of reach is told first.

        Raises:
            ValueError: for what cannot be loaded, a model with another number of outputs, and a
                template that fails.
        """
        folder = self._described.folder
        if folder and not self.allow_pickle and not any(folder.glob("*.safetensors")):
            raise ValueError(
                f"Reward model {self.path!r} has no weights as safetensors (*.safetensors). Give "
                "a folder that has; allow_pickle=true loads pickles, which can run code."
            )
        self._described.require_loadable()
        _ = self._config, self._longest
        self._render(dict.fromkeys(_FIELDS, "1"))

    def by_token(self, candidates: int) -> SequenceReward:
        """Return this model as one that is asked about tokens while an answer is made.

        Raises:
            ValueError: where the beginning of an answer is not what it reads.
        """
        return SequenceReward.described_as(
            self._described,
            template=self.template,
            candidates=candidates,
            max_length=self.max_length,
            truncate=self.truncate,
        )

    # ------------------------------------------------------------------ what it reads

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        """Yield the reward of each answer, the longest first.

        All inputs are measured before the first is scored, so one that does not fit costs nothing.
        """
        inputs = sorted(map(self._encode, lines), key=lambda one: -len(one.tokens))
        size = self.batch_size if self._padding is not None else 1
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            rewards = self._rewards([one.tokens for one in batch])
            for one, reward in zip(batch, rewards, strict=True):
                if not math.isfinite(reward):
                    raise ValueError(
                        f"Reward model {self.path!r} gives {reward} for sample {one.sample_id!r}: "
                        "its weights are damaged, or dtype overflows (try dtype=float32)."
                    )
                facts = {"tokens": len(one.tokens), "cut_tokens": one.cut}
                yield one.sample_id, Verdict(values={self.name: reward}, facts=facts)

    def _encode(self, line: Mapping[str, Any]) -> _Encoded:
        text = self._render({field: line[field] for field in _FIELDS})
        # A chat template writes the special tokens itself.
        plain = self.format == "plain"
        tokens = self._described.tokenizer(text, add_special_tokens=plain).input_ids
        too_many = max(0, len(tokens) - self._longest)
        if too_many and not self.truncate:
            raise ValueError(
                f"Sample {line['id']!r} has {len(tokens)} tokens for the reward model "
                f"{self.path!r}, which takes {self._longest}. Cut such inputs on the left with "
                "truncate=true, or take a model with a longer context."
            )
        if too_many:
            special = set(self._described.tokenizer.all_special_ids)
            kept = next((i for i, token in enumerate(tokens) if token not in special), 0)
            kept = min(kept, self._longest - 1)
            tokens = tokens[:kept] + tokens[kept + too_many :]
        return _Encoded(line["id"], tokens, too_many)

    def _render(self, fields: Mapping[str, str]) -> str:
        if self.template is not None:
            return _PLACE.sub(lambda place: fields[place[1]], self.template)
        turns = [
            {"role": "user", "content": fields["question"]},
            {"role": "assistant", "content": fields["completion"]},
        ]
        return self._described.chat.render(turns, ends=True)

    @cached_property
    def _longest(self) -> int:
        # Position tables of some encoders have rows that no input can use; the tokenizer knows.
        built_for = min(
            self._described.context_length, int(self._described.tokenizer.model_max_length)
        )
        if self.max_length is not None and self.max_length > built_for:
            raise ValueError(
                f"max_length={self.max_length}: the reward model {self.path!r} takes at most "
                f"{built_for} tokens."
            )
        return self.max_length or built_for

    # ------------------------------------------------------------------ the model

    def _rewards(self, inputs: Sequence[list[int]]) -> list[float]:
        """Return the output for each sequence of tokens."""
        import torch

        width = max(map(len, inputs))
        padding = 0 if self._padding is None else self._padding
        tokens_BT = torch.tensor([each + [padding] * (width - len(each)) for each in inputs])
        mask_BT = torch.tensor([[1] * len(each) + [0] * (width - len(each)) for each in inputs])
        device = device_of(self.weights)
        try:
            with torch.inference_mode():
                logits_B1 = self.weights(
                    input_ids=tokens_BT.to(device), attention_mask=mask_BT.to(device)
                ).logits
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"Reward model {self.path!r} ran out of memory with batch_size={self.batch_size}. "
                "Lower it (the rewards stay the same), or take a smaller dtype."
            ) from error
        return logits_B1[:, 0].float().tolist()

    @cached_property
    def _padding(self) -> int | None:
        """The token that the model knows as padding, and reads no reward from."""
        token = self._config.get_text_config().pad_token_id
        return None if token is None else int(token)

    @cached_property
    def _config(self) -> PreTrainedConfig:
        config = self._described.config
        if config.num_labels != 1:
            raise ValueError(
                f"{self.path!r} has {config.num_labels} outputs; a reward model has one. Give a "
                "sequence classifier with num_labels=1."
            )
        return config

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The loaded model, in evaluation mode on its device."""
        from transformers import AutoModelForSequenceClassification

        return self._described.load(AutoModelForSequenceClassification, config=self._config)


def _check_template(template: str | None, form: str) -> None:
    """Refuse a template that has no place for the answer or other places, and one where none is."""
    if (template is not None) != (form == "plain"):
        raise ValueError(
            f"format={form} with template={template!r}: format=plain needs a "
            "template, such as '{question}\\n{completion}', and format=chat takes none."
        )
    if template is None:
        return
    places = _PLACE.findall(template)
    for name in places:
        require_choice("Field of the template:", name, _FIELDS)
    if "completion" not in places:
        raise ValueError(f"template={template!r} has no {{completion}} to be scored.")
