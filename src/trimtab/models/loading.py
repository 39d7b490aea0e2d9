"""Tokenizer, configuration and weights from a model's folder, by transformers.

Nothing that lies there is run unless it is asked for by name: no code, no pickle, no adapter.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.machine.json_file import read_object
from trimtab.models import gguf_tokenizer
from trimtab.models.gguf_reader import quickly
from trimtab.models.placement import Placement
from trimtab.models.quantization import Quantization
from trimtab.models.source import Source

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_log = logging.getLogger(__name__)


def tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model."""
    from transformers import AutoTokenizer

    if source.is_gguf:
        source.gguf.check_tokenizer(needs_template=False)  # which nobody has of a hub id
        with _explained(source, "tokenizer"):
            return gguf_tokenizer.read(source.gguf.path)
    loaded: PreTrainedTokenizerBase = _from_pretrained(source, AutoTokenizer, "tokenizer")
    return loaded


def config(source: Source) -> PreTrainedConfig:
    """Return the configuration of a model."""
    from transformers import AutoConfig

    loaded: PreTrainedConfig = _from_pretrained(source, AutoConfig, "config")
    return loaded


def weights(
    source: Source,
    factory: Any,
    *,
    dtype: str,
    place: Placement,
    held: Quantization,
    **options: Any,
) -> PreTrainedModel:
    """Return a model's weights where they belong, in evaluation mode.

    Args:
        source: the model.
        factory: one of transformers' auto classes.
        dtype: of torch, by name.
        place: where they go.
        held: how they are held there.
        options: for the `from_pretrained` of `factory`.

    Raises:
        ValueError: for weights that cannot be loaded, for tensors that the model lacks or would
            leave out of its layers, and for a device that is not there.
    """
    import torch

    kind: torch.dtype = getattr(torch, dtype)
    options |= place.options(at_once=held.by is not None) | held.options(kind)
    advice = place.advice if held.by is not None else None
    model = _complete(source, factory, advice, dtype=kind, **options)
    place.settle(model, quantized=held.by is not None)
    held.settle(model, kind)
    return model.eval()


def skeleton(source: Source) -> PreTrainedModel:
    """Return the causal language model's modules on torch's meta device: no weights at all."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedModel

    described = config(source)
    with torch.device("meta"), _explained(source, "model"):
        model = AutoModelForCausalLM.from_config(
            described, trust_remote_code=source.trust_remote_code
        )
    assert isinstance(model, PreTrainedModel)
    return model


def _complete(source: Source, factory: Any, advice: str | None, **options: Any) -> PreTrainedModel:
    """Return weights that are all there is to the model, and all there is in its files."""
    from transformers import PreTrainedModel

    model, loaded = _from_pretrained(
        source,
        factory,
        "model",
        advice,
        # True insists on safetensors, None takes what there is.
        use_safetensors=None if source.allow_pickle or source.is_gguf else True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **options,
    )
    # transformers would fill these at random and go on.
    mismatched = (name for name, *_ in loaded["mismatched_keys"])
    if absent := sorted({*loaded["missing_keys"], *mismatched}):
        raise _misfit(source, factory, "are missing or of another shape", absent)
    places = {_of_any_layer(name) for name, _ in model.named_modules()}
    unread = sorted(loaded["unexpected_keys"])
    if over := [name for name in unread if _of_any_layer(name.rpartition(".")[0]) in places]:
        raise _misfit(source, factory, "belong to its layers and would be left out", over)
    if unread:
        _log.warning(
            "%s: %d tensors are no part of the model and are not read, such as %s.",
            source.path,
            len(unread),
            ", ".join(unread[:3]),
        )
    assert isinstance(model, PreTrainedModel)
    return model


def _from_pretrained(
    source: Source, factory: Any, what: str, advice: str | None = None, **options: Any
) -> Any:
    explained = _explained(source, what, advice)
    with _folder(source, weights=what == "model") as (folder, file), explained:
        return factory.from_pretrained(
            str(folder),
            trust_remote_code=source.trust_remote_code,
            local_files_only=True,
            **file,
            **options,
        )


@contextmanager
def _folder(source: Source, *, weights: bool) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give the folder that transformers reads, and the file in it where that is the model."""
    if source.is_gguf:
        with quickly() as placed, source.gguf.alone() as (folder, name):
            yield folder, {"gguf_file": name}
        if over := sorted(source.gguf.without_place(placed)) if placed else []:
            raise ValueError(
                f"{source.path!r} has {len(over)} tensors that transformers has no place for, such "
                f"as {', '.join(over[:3])}: it would be another model. Take its safetensors."
            )
        return
    folder = source.folder_with_weights if weights else source.folder
    file = folder / "config.json"  # which a tokenizer need not have
    code = _kernel(read_object(file)) if file.is_file() else None
    if code and not source.trust_remote_code:
        raise _asks_for_code(source, f"its config.json names the code of {code!r}")
    yield folder, {}


@contextmanager
def _explained(source: Source, what: str, advice: str | None = None) -> Iterator[None]:
    """Turn what transformers raises over a damaged or foreign folder into one kind of error.

    Args:
        source: the model.
        what: of it is loaded.
        advice: ends the message, where the folder may not be the reason.
    """
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise _asks_for_code(source, f"its {what} comes with code of its own") from error
        if "does not support an attention implementation" in str(error):
            raise ValueError(
                f"attention=sdpa of {source.path!r}: transformers has no such layers for models of "
                "its kind. Use attention=eager, or auto."
            ) from error
        first_line = next(iter(str(error).strip().splitlines()), "")
        if isinstance(error, ImportError):
            raise ValueError(
                f"The {what} of {source.path!r} needs what is not installed here, or is too old: "
                f"{first_line}"
            ) from error
        advice = advice or (
            "Download or write it again."
            if source.local is not None
            else "Check the revision, or remove it from the cache so that it is loaded anew."
        )
        raise ValueError(
            f"The {what} of {source.path!r} cannot be loaded: {type(error).__name__}: "
            f"{first_line.rstrip('.')}. {advice}"
        ) from error


def _asks_for_code(source: Source, why: str) -> ValueError:
    return ValueError(
        f"{source.path!r} cannot be loaded without running code: {why}. `trimtab run` runs "
        "it with trust_remote_code=true for that model; set that if you trust who wrote it."
    )


def _misfit(source: Source, factory: Any, what: str, names: Sequence[str]) -> ValueError:
    return ValueError(
        f"The weights of {source.path!r} do not fit its configuration and {factory.__name__}: "
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
