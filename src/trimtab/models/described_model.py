"""A model as a configuration describes it, of whatever kind: what is known before weights load.

Describing a model is free; tokenizer and configuration load at their first use.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trimtab.config.parts import Whole
from trimtab.config.signature import require_types
from trimtab.config.wording import not_a_choice
from trimtab.models import attention_kernels, loading, native_dtype, sizes
from trimtab.models.chat_template import ChatTemplate
from trimtab.models.content_hash import text_sha256
from trimtab.models.model_folder import no_template, stated_template
from trimtab.models.placement import Placement
from trimtab.models.prompt import PROMPTS, check_template, read_template
from trimtab.models.quantization import QUANTIZATIONS, UNPACKED, Quantization
from trimtab.models.source import Source, TokenizerSource

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DescribedModel(Whole):
    """A model with its tokenizer, its way of being asked, and how it is loaded.

    Args:
        path: `zoo:<name>` for an embedded model, `pip:<name>` for one that a package brings, a
            local folder, a GGUF file, or a hub id.
        prompt: `chat` renders through the model's chat template, `plain` as plain text.
        revision: hub revision (branch, tag or commit); only for hub ids.
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for that of the checkpoint where the
            device computes in it by itself, else `float32`.
        device: `auto` (a GPU if there is one), any torch device such as `cpu` or `cuda:1`, or
            `balanced` to spread the layers over all GPUs (transformers' device map).
        max_memory: beside `balanced`, the most of each GPU by its number, and of `cpu`, such as
            `20GiB`; a device that is not named gets nothing.
        attention: who computes it: `eager`, transformers' plain code; `sdpa`, torch's kernels; or
            `auto` for `sdpa` where the model can.
        compile: compile the forward pass (`torch.compile`): minutes at the start, faster after.
        chat_template: a Jinja file or the template itself, in place of the tokenizer's own.
        trust_remote_code: run code that comes with the model; off unless asked for.
        allow_pickle: load weights stored as pickles, which can run code; off unless asked for.
        gguf_file: a GGUF file by name, of a folder or hub id that holds it.
        tokenizer_path: a folder, GGUF file or hub id whose tokenizer, chat template included, is
            taken in place of the model's own.
        quantization: how weights are held: `none` as plain tensors of `dtype`, to which those of a
            GGUF file are unpacked, while a checkpoint that is quantized stays so; `gguf` as they
            are packed there; `int8` (torchao), `nf4` or `fp4` (bitsandbytes) in 8 or 4 bits, with
            which it computes in `dtype`.

    Raises:
        ValueError: for a value outside these, and for a folder or file without a model or chat
            template.
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
    gguf_file: str | None = None
    tokenizer_path: str | None = None
    quantization: str = UNPACKED
    max_memory: Mapping[str | int, str] | None = field(default=None, hash=False)
    attention: str = attention_kernels.AUTO

    without_effect: ClassVar[frozenset[str]] = frozenset({"device", "compile", "max_memory"})
    since: ClassVar[Mapping[str, Any]] = {
        "gguf_file": None,
        "tokenizer_path": None,
        "quantization": UNPACKED,
        "attention": attention_kernels.AUTO,
    }

    def __post_init__(self) -> None:
        require_types(self)
        mistakes = [
            not_a_choice(f"{name} of {self.path}:", value, accepted)
            for name, value, accepted in (
                ("prompt", self.prompt, PROMPTS),
                ("dtype", self.dtype, native_dtype.DTYPES),
                ("quantization", self.quantization, QUANTIZATIONS),
            )
            if value not in accepted
        ]
        if mistake := attention_kernels.mistake(self.attention, self.path):
            mistakes.append(mistake)
        try:
            source, words = self.source, self._words
        except ValueError as error:
            mistakes.append(str(error))
        if mistakes:
            raise ValueError("\n".join(mistakes))
        _ = self.placement
        if self.chat_template:
            check_template(self.chat_template, self.path)
        source.check()
        words.check_tokenizer(needs_template=self.prompt == "chat" and not self.chat_template)
        _ = self.held

    @property
    def folder(self) -> Path | None:
        """The local folder that `path` names, or None for a hub id and for a file."""
        return None if self.source.is_gguf else self.source.local

    @cached_property
    def source(self) -> Source:
        """The place that the model is loaded from."""
        return Source(
            path=self.path,
            revision=self.revision,
            gguf_file=self.gguf_file,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
        )

    @cached_property
    def _words(self) -> Source:
        """The place that the tokenizer is loaded from."""
        if self.tokenizer_path is None:
            return self.source
        return TokenizerSource(path=self.tokenizer_path, trust_remote_code=self.trust_remote_code)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with `chat_template` put in if one was given."""
        tokenizer = loading.tokenizer(self._words)
        if self.tokenizer_path is not None:
            rows = sizes.embedding_rows(self.config)
            sizes.require_words(tokenizer, rows, self.path, self.tokenizer_path)
        if self.chat_template:
            tokenizer.chat_template = read_template(self.chat_template, self.path)
        if isinstance(tokenizer.chat_template, str):  # some editors begin a file with such a mark
            tokenizer.chat_template = tokenizer.chat_template.removeprefix("\ufeff")
        if self.prompt == "chat" and not tokenizer.chat_template:
            raise ValueError(no_template(self.path))
        return tokenizer

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, which loads without its weights."""
        return loading.config(self.source)

    def load(self, factory: Any, **options: Any) -> PreTrainedModel:
        """Return the weights by one of transformers' auto classes, in evaluation mode.

        Raises:
            ValueError: for weights that cannot be loaded or do not fit, and for a device that is
                not there.
        """
        self.require_loadable()
        stored = self._stored_dtype if self.dtype == native_dtype.AUTO else None
        place, dtype = self.placement, self.dtype_in_use
        if remark := native_dtype.remark(self.path, self.dtype, dtype, place.main, stored=stored):
            _log.warning(remark)
        options |= attention_kernels.options(self.attention, self.config, self.path)
        return loading.weights(
            self.source, factory, dtype=dtype, place=place, held=self.held, **options
        )

    def require_loadable(self) -> None:
        """Refuse what cannot be loaded here, before any weights are.

        Raises:
            ValueError: for a device or a package that is not there, and for a checkpoint that is
                quantized otherwise than asked for.
        """
        _ = self.placement.main
        self.held.require_loadable()

    @cached_property
    def held(self) -> Quantization:
        """How the weights are held."""
        return Quantization(kind=self.quantization, source=self.source)

    @cached_property
    def placement(self) -> Placement:
        """Where the weights go."""
        return Placement(path=self.path, device=self.device, max_memory=self.max_memory)

    @cached_property
    def dtype_in_use(self) -> str:
        """The number format of the weights: `dtype`, or what `auto` comes to on this device.

        Of a checkpoint that is quantized it is what that was made for.
        """
        if self.held.fixes_dtype:
            return self._stored_dtype
        if self.dtype != native_dtype.AUTO:
            return self.dtype
        return native_dtype.chosen(self._stored_dtype, self.placement.main)

    @cached_property
    def _stored_dtype(self) -> str:
        return native_dtype.stored(self.source, self.config)

    @cached_property
    def chat(self) -> ChatTemplate:
        """The chat template in use."""
        return ChatTemplate(self.tokenizer, self.path)

    @cached_property
    def context_length(self) -> int:
        """The longest sequence, in tokens, that the model was built for."""
        return sizes.context_length(self.config)

    @cached_property
    def commit(self) -> str | None:
        """The commit of a hub id; None for a local folder."""
        return self.source.commit

    @property
    def template(self) -> str | None:
        """The text of the chat template in use; None for `plain`. Read from files where it can."""
        if self.prompt != "chat":
            return None
        words, stated = self._words, None
        if "tokenizer" not in self.__dict__:
            if self.chat_template:
                stated = read_template(self.chat_template, self.path)
            elif not words.is_gguf:
                stated = stated_template(words.folder)
        if stated is None:
            return str(self.tokenizer.chat_template)
        return stated.removeprefix("\ufeff")

    @property
    def identity(self) -> dict[str, str | None]:
        """What tells two contents under one name apart; loads no weights.

        A local folder has the hash of its files, of code too where that is run, a local GGUF file
        its own; a hub id has its commit. All have that of the chat template in use, and the number
        format that `dtype=auto` comes to where it is not that of the files.
        """
        return self._of_files

    @cached_property
    def _of_files(self) -> dict[str, str | None]:
        template = self.template
        known = {
            "content_sha256": self.source.content_sha256,
            "commit": self.commit,
            "chat_template_sha256": text_sha256(template) if template else None,
        }
        other_dtype = None
        if self.dtype == native_dtype.AUTO and self.dtype_in_use != self._stored_dtype:
            other_dtype = self.dtype_in_use
        words = self._words
        found = {
            "further_sha256": self.source.further_sha256,
            "dtype_in_use": other_dtype,
            "words_sha256": words.words_sha256 if isinstance(words, TokenizerSource) else None,
        }
        return known | {name: value for name, value in found.items() if value}
