"""Where a model comes from: the one place that reads folders of models and the hub.

Nothing that lies there is run unless it is asked for by name: no code, no pickle, no adapter.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab import zoo
from trimtab.machine.json_file import read_object
from trimtab.models import hub_files
from trimtab.models.model_folder import check_model, check_weights, indexed, local_folder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DESCRIPTION = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "LICENSE*", "NOTICE*")
"""What lies beside the weights and says what they are; no code."""
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder, a hub id or `zoo:<name>`, and what may be run of it.

    Args:
        path: `zoo:<name>`, a local folder or a hub id.
        revision: hub revision (branch, tag or commit); only for hub ids.
        trust_remote_code: run code that comes with the model.
        allow_pickle: load weights stored as pickles, which can run code.

    Raises:
        ValueError: for a folder that does not exist, and a revision of one.
    """

    path: str
    revision: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.local is not None and self.revision is not None:
            raise ValueError(
                f"revision={self.revision!r} of {self.path!r}: a local folder has none. Leave it "
                "out, or give the hub id."
            )

    @property
    def local(self) -> Path | None:
        """The local folder that `path` names, or None for a hub id."""
        if self.path.startswith("zoo:"):
            return zoo.path(self.path.removeprefix("zoo:"))
        return local_folder(self.path, "Model")

    @cached_property
    def folder(self) -> Path:
        """The folder, checked; of a hub id that of the cache, with everything but weights."""
        code = ("*.py",) if self.trust_remote_code else ()
        folder = self.local or hub_files.snapshot(
            self.path, self.revision, (*DESCRIPTION, *code), "Model"
        )
        check_model(folder)
        return folder

    @cached_property
    def folder_with_weights(self) -> Path:
        """The folder, of a hub id with its weights."""
        if self.local is None:
            hub_files.snapshot(self.path, self.commit, self._weights_patterns(), "Model")
        check_weights(self.folder, allow_pickle=self.allow_pickle)
        return self.folder

    def _weights_patterns(self) -> list[str]:
        """Return the names of a repository's weights: some hold them twice, for other libraries."""
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            return sorted(set(map(str, indexed(index))))
        return ["model*.safetensors", *(["pytorch_model*.bin"] if self.allow_pickle else [])]

    @property
    def commit(self) -> str | None:
        """The commit of a hub id; None for a local folder."""
        return None if self.local is not None else hub_files.commit_of(self.folder)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the tokenizer."""
        from transformers import AutoTokenizer

        tokenizer: PreTrainedTokenizerBase = self._from_pretrained(
            self.folder, AutoTokenizer, "tokenizer"
        )
        return tokenizer

    def config(self) -> PreTrainedConfig:
        """Return the configuration."""
        from transformers import AutoConfig

        config: PreTrainedConfig = self._from_pretrained(self.folder, AutoConfig, "config")
        return config

    def weights(self, factory: Any, **options: Any) -> PreTrainedModel:
        """Return the weights by one of transformers' auto classes.

        Args:
            factory: the auto class.
            options: for its `from_pretrained`.

        Raises:
            ValueError: for weights that cannot be loaded, and for tensors that the model lacks or
                would leave out of its layers.
        """
        from transformers import PreTrainedModel

        model, loaded = self._from_pretrained(
            self.folder_with_weights,
            factory,
            "model",
            # True insists on safetensors, None takes what there is.
            use_safetensors=None if self.allow_pickle else True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
        # transformers would fill these at random and go on.
        mismatched = (name for name, *_ in loaded["mismatched_keys"])
        if absent := sorted({*loaded["missing_keys"], *mismatched}):
            raise self._misfit(factory, "are missing or of another shape", absent)
        places = {_of_any_layer(name) for name, _ in model.named_modules()}
        unread = sorted(loaded["unexpected_keys"])
        if over := [name for name in unread if _of_any_layer(name.rpartition(".")[0]) in places]:
            raise self._misfit(factory, "belong to its layers and would be left out", over)
        if unread:
            _log.warning(
                "%s: %d tensors are no part of the model and are not read, such as %s.",
                self.path,
                len(unread),
                ", ".join(unread[:3]),
            )
        assert isinstance(model, PreTrainedModel)
        return model

    def skeleton(self) -> PreTrainedModel:
        """Return the causal language model's modules on torch's meta device: no weights at all."""
        import torch
        from transformers import AutoModelForCausalLM, PreTrainedModel

        config = self.config()
        with torch.device("meta"), self._explained("model"):
            model = AutoModelForCausalLM.from_config(
                config, trust_remote_code=self.trust_remote_code
            )
        assert isinstance(model, PreTrainedModel)
        return model

    def _from_pretrained(self, folder: Path, factory: Any, what: str, **options: Any) -> Any:
        if (code := _kernel(read_object(folder / "config.json"))) and not self.trust_remote_code:
            raise self._asks_for_code(f"its config.json names the code of {code!r}")
        with self._explained(what):
            return factory.from_pretrained(
                str(folder),
                trust_remote_code=self.trust_remote_code,
                local_files_only=True,
                **options,
            )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn what transformers raises over a damaged or foreign folder into one kind of error."""
        import torch

        try:
            yield
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise self._asks_for_code(f"its {what} comes with code of its own") from error
            first_line = next(iter(str(error).strip().splitlines()), "")
            advice = (
                "Download or write the folder again."
                if self.local is not None
                else "Check the revision, or remove it from the cache so that it is loaded anew."
            )
            raise ValueError(
                f"The {what} of {self.path!r} cannot be loaded: {type(error).__name__}: "
                f"{first_line.rstrip('.')}. {advice}"
            ) from error

    def _asks_for_code(self, why: str) -> ValueError:
        return ValueError(
            f"{self.path!r} cannot be loaded without running code: {why}. `trimtab run` runs "
            "it with trust_remote_code=true for that model; set that if you trust who wrote it."
        )

    def _misfit(self, factory: Any, what: str, names: Sequence[str]) -> ValueError:
        return ValueError(
            f"The weights of {self.path!r} do not fit its config.json and {factory.__name__}: "
            f"{len(names)} tensors {what}, such as {', '.join(names[:3])}."
        )


def _of_any_layer(name: str) -> str:
    """Return the name of a tensor or module with the numbers of its layers left out."""
    return _NUMBER.sub("*", name)


def _kernel(config: Any) -> str | None:
    """Return the hub's repository of compiled code that a configuration names, if there is one.

    Where the package `kernels` is installed, transformers would download and run it.
    """
    if not isinstance(config, dict):
        return None
    for key, value in config.items():
        named = list(value.values()) if isinstance(value, dict) else [value]
        if str(key).endswith(_IMPLEMENTATIONS):
            if found := next(
                (name for name in named if isinstance(name, str) and "/" in name), None
            ):
                return found
        elif found := _kernel(value):
            return found
    return None
