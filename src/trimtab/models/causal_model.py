"""The weights of a language model: a causal model with, or without, a LoRA adapter on top."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trimtab.config.accepted import require_choice
from trimtab.models import generation_file
from trimtab.models.adapters.adapter import LIVE, MERGED, MODES, Adapter
from trimtab.models.described_model import DescribedModel

if TYPE_CHECKING:
    from transformers import (
        GenerationConfig,
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CausalModel(DescribedModel):
    """A causal language model, loaded when its weights are first asked for.

    Tokenizer and chat template are the model's own, also where others lie beside the adapter, which
    `tokenizer_path` can name.

    Args:
        adapter: a LoRA adapter on top of the model, as PEFT writes it: a folder, or a hub id.
        adapter_mode: `merged` changes the weights once, when they are loaded, and costs nothing
            after; `live` leaves them as they are, quantized ones too, and adds two narrow products
            to each pass. The two are equal up to rounding. Models that differ in a live adapter
            alone share one copy of the weights where a method has both; they are not compiled.

    Other args are those of `DescribedModel`.

    Raises:
        ValueError: as `DescribedModel`, and for what is no LoRA adapter, or one for another base.
    """

    adapter: str | None = None
    adapter_mode: str = MERGED

    since: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**DescribedModel.since, "adapter": None, "adapter_mode": MERGED}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(f"adapter_mode of {self.path}:", self.adapter_mode, MODES)
        if self.adapter is not None:
            self._require_mergeable(self.held.known)
            if self.compile and self.has_live_adapter:
                # What was compiled for one is run for the other: hooks are not told apart.
                raise ValueError(
                    f"compile=true of {self.path!r}: torch does not tell a model with a live "
                    "adapter from the one that it shares weights with. Use adapter_mode=merged, or "
                    "compile=false."
                )
            _ = self._adapter

    @cached_property
    def weights(self) -> PreTrainedModel:
        """The loaded model, in evaluation mode on its device."""
        from transformers import AutoModelForCausalLM

        _ = self._generation_config  # before transformers overlooks what is damaged
        if self.adapter is not None and (remark := self._adapter.of_another_name()):
            _log.warning("%s", remark)
        if self.has_live_adapter:
            self.require_loadable()
            model = self._adapter.beside(self.without_adapter.weights)
        else:
            model = self.load(AutoModelForCausalLM)
            if self.adapter is not None:
                self._adapter.merge_into(model)
        if self.compile:  # lengths change at every step
            model.compile(dynamic=True)
        return model

    @property
    def has_live_adapter(self) -> bool:
        """Whether an adapter is added to what the weights give, and not to the weights."""
        return self.adapter is not None and self.adapter_mode == LIVE

    @cached_property
    def without_adapter(self) -> Self:
        """The model whose weights a live adapter is added beside; see `shared_weights`."""
        return dataclasses.replace(self, adapter=None, adapter_mode=MERGED)

    @cached_property
    def _adapter(self) -> Adapter:
        assert self.adapter is not None
        return Adapter(path=self.adapter, base=self.source)

    def require_loadable(self) -> None:
        """Refuse what cannot be loaded here, and an adapter for another base; loads no weights.

        Raises:
            ValueError: as that of `DescribedModel`, and for an adapter that does not fit,
                and a mode of none.
        """
        if "weights" in self.__dict__:
            return
        super().require_loadable()
        if self.adapter is not None:
            self._require_mergeable(self.held.by)
            self._adapter.require_fitting()
        elif self.adapter_mode != MERGED:
            raise ValueError(
                f"adapter_mode={self.adapter_mode} of {self.path!r}, which has no adapter. Name "
                "one (adapter=FOLDER), or leave it out."
            )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer; one beside the adapter is not read unless named, which is said."""
        tokenizer = super().tokenizer
        if self.adapter is not None and self.tokenizer_path is None:
            chats = self.prompt == "chat" and not self.chat_template
            if remark := self._adapter.left_out(tokenizer, chats=chats):
                _log.warning("%s", remark)
        return tokenizer

    def _require_mergeable(self, held_by: str | None) -> None:
        if held_by and self.adapter_mode == MERGED:
            raise ValueError(
                f"adapter={self.adapter!r} of {self.path!r}: nothing is merged into weights that "
                f"are held packed (by {held_by}). Use adapter_mode=live, or quantization=none of a "
                "model that is not quantized already."
            )

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's configuration, which loads without its weights."""
        if "weights" in self.__dict__:
            return self.weights.config
        return super().config

    @property
    def dtype_in_use(self) -> str:
        """The number format of the weights, by name; of those given as loaded, what they have."""
        held = self.__dict__.get("_in_memory")
        return str(held[0].dtype).removeprefix("torch.") if held else super().dtype_in_use

    @property
    def identity(self) -> dict[str, str | None]:
        """What tells two contents under one name apart, the adapter's too; loads no weights."""
        return super().identity | (self._adapter.identity if self.adapter is not None else {})

    @cached_property
    def _generation_config(self) -> GenerationConfig:
        from transformers import GenerationConfig

        if "_in_memory" in self.__dict__:
            return self.weights.generation_config or GenerationConfig()
        if self.source.is_gguf:
            return generation_file.of_gguf(self.config, self.source.gguf.settings)
        return generation_file.read(self.source.folder)
