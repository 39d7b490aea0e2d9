"""Where a model's weights go: onto one device, or in parts onto several."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_DEVICE = re.compile(r"auto|balanced|cpu|mps|(cuda|xpu)(:\d+)?")
_NAME, _SIZE = re.compile(r"\d+|cpu"), re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(i?)B")
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A device, or `balanced` for several, each with as much memory as it may give.

    Args:
        path: of the model, for messages.
        device: `auto`, `balanced`, or a torch device.
        max_memory: beside `balanced`, the most of each GPU by its number, and of `cpu`: `20GiB`. A
            device that is not named gets nothing; what none of them holds stays on the disk.

    Raises:
        ValueError: for a value outside these, and for `balanced` without the package accelerate.
    """

    path: str
    device: str
    max_memory: Mapping[str | int, str] | None = None

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(
                f"device of {self.path}: {self.device!r} is not known. "
                "Accepted: auto, balanced, cpu, mps, cuda, cuda:0, cuda:1, ..."
            )
        if self.device == "balanced" and find_spec("accelerate") is None:
            raise ValueError(
                f"device=balanced of {self.path} needs the package accelerate: "
                "pip install 'trimtab[balanced]'"
            )
        if self.max_memory is not None:
            if self.device != "balanced":
                raise ValueError(
                    f"max_memory of {self.path}: it parts a model among several devices, and "
                    f"device={self.device} is one. Set device=balanced, or leave max_memory out."
                )
            _in_bytes(self.max_memory, self.path)

    @property
    def main(self) -> torch.device:
        """The device that this comes to here, the first of several.

        Raises:
            ValueError: for one that is not there.
        """
        import torch

        there = {
            "cuda": torch.cuda.device_count(),
            "xpu": torch.xpu.device_count(),
            "mps": int(torch.backends.mps.is_available()),
        }
        if self.device in ("auto", "balanced"):
            return torch.device("cuda" if there["cuda"] else "cpu")
        asked = torch.device(self.device)
        if (asked.index or 0) >= there.get(asked.type, 1):
            kind = asked.type.upper()
            seen = f"{there[asked.type] or 'no'} {kind} device"
            raise ValueError(
                f"device of {self.path}: {self.device!r}, but torch sees {seen} here. "
                "Use device=auto or device=cpu."
            )
        return asked

    def options(self, *, at_once: bool) -> dict[str, Any]:
        """Return what transformers' `from_pretrained` is told.

        Args:
            at_once: whether weights are put in their places as they are loaded, as those that are
                quantized must be; others are brought there by `settle`.

        Raises:
            ValueError: for a device, or memory of one, that is not there.
        """
        if self.device != "balanced":
            return {"device_map": {"": self.main}} if at_once else {}
        if self.max_memory is None:
            return {"device_map": "balanced"}
        import torch

        most, there = _in_bytes(self.max_memory, self.path), torch.cuda.device_count()
        if absent := [name for name in most if isinstance(name, int) and name >= there]:
            raise ValueError(
                f"max_memory of {self.path} names GPU {absent[0]}, and torch sees {there} here. "
                f"Accepted: {', '.join([*map(str, range(there)), 'cpu'])}."
            )
        return {"device_map": "balanced", "max_memory": most}

    @property
    def advice(self) -> str | None:
        """What is said where quantized weights could not be put in their places."""
        if self.device != "balanced":
            return None
        return (
            "Quantized weights are not kept on the disk, nor on a CPU beside GPUs: see that there "
            "is room for them (max_memory), and that the model's files are whole."
        )

    def settle(self, model: PreTrainedModel, *, quantized: bool) -> None:
        """Bring a loaded model to its device; say which parts of it found no room on a GPU.

        Raises:
            ValueError: for quantized weights that found none.
        """
        if self.device != "balanced":
            if model.device != self.main:
                model.to(self.main)
            return
        places = Counter(map(str, (getattr(model, "hf_device_map", None) or {}).values()))
        elsewhere = ["disk"] if self.main.type == "cpu" else ["cpu", "disk"]
        for place in elsewhere:
            if not places[place]:
                continue
            found = f"{places[place]} of its {places.total()} parts are on the {place}"
            if quantized:
                raise ValueError(f"{self.path}: {found}. {self.advice}")
            _log.warning(
                "%s: %s, as there was no room for them elsewhere; each pass brings them to %s "
                "anew, and is slow.",
                self.path,
                found,
                self.main,
            )


def _in_bytes(max_memory: Any, path: str) -> dict[int | str, int]:
    """Return how many bytes each device may give, the devices as accelerate names them.

    Raises:
        ValueError: for what is no mapping of devices to sizes, or an empty one.
    """
    given = max_memory if isinstance(max_memory, Mapping) else {}
    sizes = {str(name): _SIZE.fullmatch(str(size)) for name, size in given.items()}
    found: dict[int | str, int] = {}
    for name, size in sizes.items():
        if size and _NAME.fullmatch(name):
            unit = (1024 if size[3] else 1000) ** _POWERS[size[2]]
            found[name if name == "cpu" else int(name)] = int(float(size[1]) * unit)
    if not found or len(found) < len(given):
        raise ValueError(
            f"max_memory of {path}: {max_memory!r}. Accepted are GPUs by their numbers and cpu, "
            "each with a size such as 20GiB or 800MB: {0: 20GiB, 1: 20GiB, cpu: 60GiB}."
        )
    return found


def device_of(model: PreTrainedModel) -> torch.device:
    """Return the device that computes with a model's first tensors, wherever these are kept."""
    import torch

    hook = getattr(model, "_hf_hook", None)  # accelerate's, where parts are elsewhere
    device = getattr(hook, "execution_device", None)
    return model.device if device is None else torch.device(device)
