"""One language model: where it comes from, how it renders a conversation, its weights and tokens.

Describing a model is free; tokenizer and weights load at their first use. Legend: B batch, T time.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trimtab.config.parts import Whole
from trimtab.config.wording import not_a_choice
from trimtab.models import generation_file
from trimtab.models.chat_template import ChatTemplate
from trimtab.models.codec import Codec
from trimtab.models.conversation import Conversation
from trimtab.models.model_folder import (
    check_folder,
    content_sha256,
    further_sha256,
    is_template,
    no_template,
)
from trimtab.models.source import Source
from trimtab.models.weights_hash import in_memory_sha256

if TYPE_CHECKING:
    import torch
    from transformers import (
        GenerationConfig,
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

PROMPTS = ("chat", "plain")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_UNBOUNDED = 1 << 30


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Whole):
    """A causal language model with its tokenizer and its way of rendering a conversation.

    Args:
        path: `zoo:<name>` for an embedded model, a local folder, or a hub id.
        prompt: `chat` renders through the model's chat template, `plain` as plain text.
        revision: hub revision (branch, tag or commit); only for hub ids.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for that of the checkpoint.
        device: `auto` (a GPU if there is one), any torch device such as `cpu` or `cuda:1`, or
            `balanced` to spread the layers over all GPUs (transformers' device map).
        compile: compile the forward pass (`torch.compile`): minutes at the start, faster after.
        chat_template: a Jinja file or the template itself, in place of the tokenizer's own.
        trust_remote_code: run code that comes with the model; off unless asked for.
        allow_pickle: load weights stored as pickles, which can run code; off unless asked for.

    Raises:
        ValueError: for a value outside these, and for a folder without a model or chat template.
    """

    path: str
    prompt: str
    revision: str | None = None
    dtype: str = "float32"
    device: str = "auto"
    compile: bool = False
    chat_template: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    without_effect: ClassVar[frozenset[str]] = frozenset({"device", "compile"})
    since: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        mistakes = [
            not_a_choice(f"{name} of {self.path}:", value, accepted)
            for name, value, accepted in (
                ("prompt", self.prompt, PROMPTS),
                ("dtype", self.dtype, DTYPES),
            )
            if value not in accepted
        ]
        try:
            folder = self.folder
        except ValueError as error:
            mistakes.append(str(error))
        if mistakes:
            raise ValueError("\n".join(mistakes))
        if not re.fullmatch(r"auto|balanced|cpu|mps|(cuda|xpu)(:\d+)?", self.device):
            raise ValueError(
                f"device of {self.path}: {self.device!r} is not known. "
                "Accepted: auto, balanced, cpu, mps, cuda, cuda:0, cuda:1, ..."
            )
        if self.chat_template and not is_template(self.chat_template):
            file = Path(self.chat_template).expanduser()
            if not file.is_file():
                raise ValueError(
                    f"chat_template of {self.path}: there is no file {self.chat_template!r}. "
                    "Give a file that holds a Jinja template, or the template itself."
                )
        if folder is not None:
            check_folder(folder, needs_template=self.prompt == "chat" and not self.chat_template)

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
        fields = [field.name for field in dataclasses.fields(self)]
        alike = all(getattr(self, name) == getattr(other, name) for name in fields)
        held = [one.__dict__.get("_in_memory", ()) for one in (self, other)]
        return alike and [*map(id, held[0])] == [*map(id, held[1])]

    @property
    def folder(self) -> Path | None:
        """The local folder that `path` names, or None for a hub id."""
        return self.source.local

    @cached_property
    def source(self) -> Source:
        """The place that the model is loaded from."""
        return Source(
            path=self.path,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
        )

    # ------------------------------------------------------------------ loading

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with `chat_template` put in if one was given."""
        tokenizer = self.source.tokenizer()
        if self.chat_template:
            tokenizer.chat_template = self._given_template(self.chat_template)
        if isinstance(tokenizer.chat_template, str):  # some editors begin a file with such a mark
            tokenizer.chat_template = tokenizer.chat_template.removeprefix("\ufeff")
        if self.prompt == "chat" and not tokenizer.chat_template:
            raise ValueError(no_template(self.path))
        return tokenizer

    def _given_template(self, given: str) -> str:
        if is_template(given):
            return given
        try:
            return Path(given).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"chat_template of {self.path}: {given!r} cannot be read as UTF-8 text: {error}"
            ) from error

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The loaded model, in evaluation mode on its device."""
        import torch
        from transformers import AutoModelForCausalLM

        generation_file.read(self.source.folder)  # before transformers overlooks what is damaged
        model = self.load(AutoModelForCausalLM)
        if self.compile:  # lengths change at every step
            model.forward = torch.compile(model.forward, dynamic=True)
        return model

    def load(self, factory: Any, **options: Any) -> PreTrainedModel:
        """Return the weights by one of transformers' auto classes, in evaluation mode.

        Raises:
            ValueError: for weights that cannot be loaded or do not fit, and for a device that is
                not there.
        """
        import torch

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(
                f"device of {self.path}: {device!r}, but torch sees no CUDA device here. "
                "Use device=auto or device=cpu."
            )
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        spread = {"device_map": "balanced"} if device == "balanced" else {}
        model = self.source.weights(factory, dtype=dtype, **spread, **options)
        if not spread:
            model.to(device)
        return model.eval()

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, which loads without its weights."""
        if "weights" in self.__dict__:
            return self.weights.config
        return self.source.config()

    # ------------------------------------------------------------------ prompts and text

    def render(self, conversation: Conversation) -> str:
        """Return the prompt text of `conversation` in this model's way (see `Conversation`)."""
        if self.prompt == "plain":
            system = f"{conversation.system}\n" if conversation.system else ""
            before = "".join(f"{user}\n{answer}\n" for user, answer in conversation.before)
            return f"{system}{before}{conversation.user}\n{conversation.answer_start}"
        messages = [{"role": "system", "content": conversation.system}]
        for user, answer in conversation.before:
            messages.append({"role": "user", "content": user})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": conversation.user})
        asked = messages if conversation.system else messages[1:]
        return self.chat.render(asked, day=conversation.day) + conversation.answer_start

    @property
    def is_dated(self) -> bool:
        """Whether the prompts that it reads depend on the day."""
        return self.prompt == "chat" and self.chat.is_dated

    @cached_property
    def chat(self) -> ChatTemplate:
        """The chat template in use."""
        return ChatTemplate(self.tokenizer, self.path)

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

    @cached_property
    def _generation_config(self) -> GenerationConfig:
        from transformers import GenerationConfig

        if "_in_memory" in self.__dict__:
            return self.weights.generation_config or GenerationConfig()
        return generation_file.read(self.source.folder)

    # ------------------------------------------------------------------ facts

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """The tokenizer's tokens and their ids, added tokens included."""
        return self.tokenizer.get_vocab()

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest token id that tokenizer and model both have.

        Logits beyond the tokenizer's are padding; tokens beyond the model's cannot be read.
        """
        return min(self._tokenizer_width, self._rows)

    def require_rows(self, tokens: Sequence[int]) -> None:
        """Refuse tokens that the model's embedding has no row for, by their signs."""
        if self._has_all_rows:
            return
        if odd := sorted({token for token in tokens if token >= self._rows}):
            signs = self.tokenizer.convert_ids_to_tokens(odd)
            named = ", ".join(f"{sign!r} ({i})" for i, sign in zip(odd, signs, strict=True))
            raise ValueError(
                f"The tokenizer of {self.path!r} has tokens that the model has no row for, beyond "
                f"the {self._rows} of its embedding, and a text has {named}. Take such signs out "
                "of prompts and templates, or take the tokenizer that the model was trained with."
            )

    @cached_property
    def _has_all_rows(self) -> bool:
        return self._tokenizer_width <= self._rows

    @property
    def _tokenizer_width(self) -> int:
        return max(self.vocabulary.values()) + 1

    @cached_property
    def _rows(self) -> int:
        """How many tokens the model's embedding has a row for."""
        return int(getattr(self.config.get_text_config(), "vocab_size", None) or _UNBOUNDED)

    @cached_property
    def context_length(self) -> int:
        """The longest sequence, in tokens, that the model was built for.

        YaRN's factor stretches the length that a model was trained with; some configurations
        state that length, others the stretched one.
        """
        config = self.config.get_text_config()
        stated = getattr(config, "max_position_embeddings", 0) or _UNBOUNDED
        ropes = getattr(config, "rope_parameters", None) or {}
        # Models with several kinds of layers have the parameters of each.
        each = [rope for rope in (ropes, *ropes.values()) if isinstance(rope, dict)]
        stretched = [
            rope["original_max_position_embeddings"] * (rope.get("factor") or 1)
            for rope in each
            if rope.get("rope_type") == "yarn"
        ]
        return int(max([stated, *stretched]))

    @property
    def device_in_use(self) -> torch.device:
        """The device that holds the weights."""
        return self.weights.device

    @cached_property
    def commit(self) -> str | None:
        """The commit of a hub id; None for a local folder."""
        return self.source.commit

    @property
    def identity(self) -> dict[str, str | None]:
        """What tells two contents under one name apart; loads no weights.

        A local folder has the hash of its files, of code too where that is run; a hub id its
        commit; what was given as loaded a hash of weights, settings and tokenizer as they are now.
        All have that of the chat template in use.
        """
        held = self.__dict__.get("_in_memory")
        return self._named | ({"in_memory_sha256": in_memory_sha256(*held)} if held else {})

    @cached_property
    def _named(self) -> dict[str, str | None]:
        folder = self.folder
        template = self.tokenizer.chat_template if self.prompt == "chat" else None
        known = {
            "content_sha256": content_sha256(folder) if folder else None,
            "commit": self.commit,
            "chat_template_sha256": _sha256(str(template)) if template else None,
        }
        further = further_sha256(folder, code=self.trust_remote_code) if folder else None
        return known | ({"further_sha256": further} if further else {})

    def provenance(self) -> dict[str, Any]:
        """Return what a record needs to name exactly this model: where from, revision, hashes."""
        return {
            **dataclasses.asdict(self),
            **self.identity,
            "generation_rules": [
                f"{name}={value!r}" for name, value in self.generation_rules.items()
            ],
            "tokenizer_sha256": _sha256(json.dumps(sorted(self.vocabulary.items()))),
        }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
