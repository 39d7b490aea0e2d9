"""How weights are held in memory: as plain numbers, in fewer bits, or as a GGUF file packs them.

Of what transformers offers these are the ways in which a row of a batch is computed by itself, and
that calibrate on no data. In bitsandbytes' own 8 bits it is not: which columns are computed in 16
bits follows from all the rows of a pass.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trimtab.machine.json_file import read_object
from trimtab.models import quantized_checkpoint
from trimtab.models.installed import require_installed
from trimtab.models.source import Source

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

UNPACKED, PACKED = "none", "gguf"
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "int8": ("torchao", "accelerate"),
    "nf4": ("bitsandbytes", "accelerate"),
    "fp4": ("bitsandbytes", "accelerate"),
}
"""The packages that bring weights into fewer bits when they are loaded, by the setting."""
QUANTIZATIONS = (UNPACKED, PACKED, *LIBRARIES)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the weights of a model are held, as is asked for and as its files are.

    Args:
        kind: one of `QUANTIZATIONS`; a checkpoint that is quantized already stays so with `none`.
        source: the model.

    Raises:
        ValueError: for what the model, as far as it is here, or this machine cannot have.
    """

    kind: str
    source: Source

    def __post_init__(self) -> None:
        if self.kind in LIBRARIES:
            if self.source.is_gguf:
                raise ValueError(
                    f"{self._what}: a GGUF file holds fewer bits already. Use quantization=none, "
                    "which unpacks them, or the folder that the file was made from."
                )
            require_installed(LIBRARIES[self.kind], self._what)
        elif self.kind == PACKED:
            _check_packed(self.source, self._what)
        if self.source.local is not None:
            self.require_loadable()

    @property
    def _what(self) -> str:
        return f"quantization={self.kind} of {self.source.path!r}"

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        return {} if self.source.is_gguf else read_object(self.source.folder / "config.json")

    def require_loadable(self) -> None:
        """Refuse a checkpoint that is quantized and cannot be loaded here, or otherwise than so.

        Raises:
            ValueError: that says why, and what to install or choose.
        """
        wanted = self.kind if self.kind in LIBRARIES else None
        quantized_checkpoint.check(self._config, self.source.path, wanted=wanted)

    @property
    def by(self) -> str | None:
        """What the weights in memory are held by in fewer bits; None for plain numbers."""
        if self.kind != UNPACKED:
            return self.kind
        own = quantized_checkpoint.method_in(self._config)
        return None if own in quantized_checkpoint.WIDENED else own

    @property
    def known(self) -> str | None:
        """The same, as far as it is known without a hub."""
        return self.by if self.kind != UNPACKED or self.source.local is not None else None

    def options(self, dtype: torch.dtype) -> dict[str, Any]:
        """Return what `from_pretrained` is told, for a model that computes in `dtype`."""
        found = self._configuration(dtype)
        return {} if found is None else {"quantization_config": found}

    def _configuration(self, dtype: torch.dtype) -> Any:
        if self.source.is_gguf:
            from transformers import GgufConfig

            return GgufConfig(dequantize=self.kind == UNPACKED)
        if self.by in ("bitsandbytes", "nf4", "fp4"):
            from trimtab.models.quantized_layers import import_bitsandbytes

            import_bitsandbytes()
        if self.kind == "int8":
            from torchao.quantization import Int8WeightOnlyConfig
            from transformers import TorchAoConfig

            return TorchAoConfig(Int8WeightOnlyConfig())
        if self.kind in LIBRARIES:
            from transformers import BitsAndBytesConfig

            return BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type=self.kind, bnb_4bit_compute_dtype=dtype
            )
        return quantized_checkpoint.widening(self._config)

    @property
    def fixes_dtype(self) -> bool:
        """Whether it is for the checkpoint to say in which number format it computes."""
        return self.kind == UNPACKED and self.by is not None

    def settle(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        """See that a loaded model's layers compute as they should; say what they hold.

        Raises:
            ValueError: for a model none of whose layers can hold its weights so.
        """
        if quantized_checkpoint.method_in(self._config) in quantized_checkpoint.WIDENED:
            for parameter in model.parameters():  # of which some are left as they are stored
                parameter.data = parameter.data.to(dtype)
        elif self.by is not None and self.kind != PACKED:
            from trimtab.models import quantized_layers

            quantized_layers.settle(model, self.source.path, held_by=self.by)
            if quantized_checkpoint.is_by_column(self._config):
                _log.warning(
                    "%s: in bitsandbytes' 8 bits what a token comes to depends on the others of "
                    "its pass, so answers depend on batch size and drafts. Take quantization=int8 "
                    "of the checkpoint that it was made from where that matters.",
                    self.source.path,
                )


def _check_packed(source: Source, what: str) -> None:
    if not source.is_gguf:
        raise ValueError(f"{what}: the model is no GGUF file. Use quantization=none.")
    if source.local is not None:
        # It imports no torch: what cannot be loaded is said at once.
        from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

        architecture = source.gguf.settings["general.architecture"]
        if architecture not in GGUF_CONFIG_ARCHS:
            raise ValueError(
                f"{what}: transformers computes on packed weights of the architectures "
                f"{', '.join(GGUF_CONFIG_ARCHS)} alone, and this file is of {architecture!r}. Use "
                "quantization=none, which unpacks them."
            )
    if find_spec("kernels") is None:
        raise ValueError(
            f"{what}: transformers computes on packed weights by the package kernels, which is not "
            "installed: pip install kernels. Or use quantization=none, which unpacks them."
        )
    if not source.trust_remote_code:
        raise ValueError(
            f"{what} downloads and runs compiled code from the hub (ggml-org/ggml-quantization). "
            "Set trust_remote_code=true if you trust who wrote it, or use quantization=none."
        )
