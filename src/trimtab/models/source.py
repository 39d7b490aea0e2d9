"""Where models and vectors come from: the one place where a path becomes a folder.

It is embedded (`zoo:<name>`), a local folder, or a hub id, whose files are downloaded; a model may
be a GGUF file, which a package can bring (`pip:<name>`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from trimtab import zoo
from trimtab.machine import whole_files
from trimtab.models import gguf_file, hub_files, packaged
from trimtab.models.content_hash import content_sha256, further_sha256, words_sha256
from trimtab.models.gguf_file import GgufFile
from trimtab.models.model_folder import (
    check_model,
    check_tokenizer,
    check_weights,
    folder_files,
    indexed,
)

Kind = Literal["Model", "Vector", "Adapter"]
"""What a path leads to."""

DESCRIPTION = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "LICENSE*", "NOTICE*")
"""What lies beside the weights and says what they are; no code."""
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILE = {"Model": "a GGUF file (*.gguf), ", "Vector": "", "Adapter": ""}
_EMBEDDED = {"Model": zoo.path, "Vector": zoo.vector_path}


def name_of(path: str) -> str:
    """Return NAME of `zoo:NAME` and of `pip:NAME`, and any other path as it is."""
    return zoo.name_in(path) or packaged.name_in(path) or path


def local_folder(path: str, what: Kind) -> Path | None:
    """Return the folder of this machine that a path names, or None for what can be a hub id.

    Raises:
        ValueError: for a folder that does not exist, and for an embedded one that there is not.
    """
    if (name := zoo.name_in(path)) is not None:
        if what not in _EMBEDDED:
            raise ValueError(f"{what} {path!r}: none is embedded. Give a folder, or a hub id.")
        return _EMBEDDED[what](name)
    local = Path(path).expanduser()
    if local.is_dir():
        return local
    named = path.startswith(("/", "./", "../", "~")) or path.endswith(gguf_file.SUFFIX)
    if named or not _HUB_ID.fullmatch(path):
        odd = "is a file" if local.is_file() else "does not exist"
        embedded = f", or an embedded {what.lower()} as zoo:<name>" if what in _EMBEDDED else ""
        raise ValueError(
            f"{what} path {path!r} {odd}. Give a folder, {_FILE[what]}a hub id such as "
            f"'allenai/OLMo-2-0425-1B'{embedded}."
        )
    return None


def local_file(path: str) -> Path | None:
    """Return the GGUF file that a path names, or None for what is no file.

    Raises:
        ValueError: for a packaged one that is not there.
    """
    if (name := packaged.name_in(path)) is not None:
        return packaged.file(name)
    local = Path(path).expanduser()
    return local if local.suffix == gguf_file.SUFFIX and local.is_file() else None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder, a GGUF file, a hub id, `zoo:<name>` or `pip:<name>`, and what may be run of it.

    Args:
        path: `zoo:<name>`, `pip:<name>`, a local folder, a GGUF file (*.gguf) or a hub id.
        revision: hub revision (branch, tag or commit); only for hub ids.
        gguf_file: the name of a GGUF file in that folder or repository, which is the model.
        trust_remote_code: run code that comes with the model.
        allow_pickle: load weights stored as pickles, which can run code.

    Raises:
        ValueError: for a folder or file that does not exist, a revision of one, and what is no name
            of a GGUF file.
    """

    path: str
    revision: str | None = None
    gguf_file: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.local is not None and self.revision is not None:
            kind = "file" if self.is_gguf else "folder"
            raise ValueError(
                f"revision={self.revision!r} of {self.path!r}: a local {kind} has none. Leave it "
                "out, or give the hub id."
            )

    @cached_property
    def local(self) -> Path | None:
        """The local folder or GGUF file that is named, or None for a hub id."""
        file = local_file(self.path)
        name = self.gguf_file
        if name is None:
            return file or local_folder(self.path, "Model")
        if Path(name).name != name or Path(name).suffix != gguf_file.SUFFIX:
            raise ValueError(
                f"gguf_file={name!r} of {self.path!r}: accepted is the name of a file *.gguf that "
                "lies in that folder or repository, and in no folder of it."
            )
        if file is not None:
            raise ValueError(f"gguf_file={name!r}: {self.path!r} is a file already. Leave one out.")
        folder = local_folder(self.path, "Model")
        if folder is not None and not (folder / name).is_file():
            there = sorted(each.name for each in folder.glob(f"*{gguf_file.SUFFIX}"))
            raise ValueError(
                f"gguf_file={name!r}: {self.path!r} has no such file. GGUF files there: "
                f"{', '.join(there) or 'none'}."
            )
        return folder and folder / name

    @property
    def is_gguf(self) -> bool:
        """Whether the model is a GGUF file."""
        return self.gguf_file is not None or (self.local is not None and self.local.is_file())

    @cached_property
    def gguf(self) -> GgufFile:
        """The GGUF file that the model is, of a hub id that of the cache."""
        if self.local is not None:
            return GgufFile.open(self.local)
        name = str(self.gguf_file)
        file = hub_files.snapshot(self.path, self.revision, (name,), "Model") / name
        if not file.is_file():
            raise ValueError(f"Model {self.path!r} has no file {name!r}; gguf_file names it.")
        return GgufFile.open(file)

    @cached_property
    def folder(self) -> Path:
        """The folder, checked; of a hub id that of the cache, with everything but weights.

        Raises:
            ValueError: for a GGUF file, which is whole without one.
        """
        if self.is_gguf:
            raise ValueError(
                f"{self.path!r} is a GGUF file; a folder of safetensors is needed here. Write one: "
                "LanguageModel(path=..., prompt=...), then its weights.save_pretrained(FOLDER) and "
                "tokenizer.save_pretrained(FOLDER)."
            )
        code = ("*.py",) if self.trust_remote_code else ()
        folder = self.local or hub_files.snapshot(
            self.path, self.revision, (*DESCRIPTION, *code), "Model"
        )
        self._check_folder(folder)
        return folder

    @cached_property
    def folder_with_weights(self) -> Path:
        """The folder, of a hub id with its weights."""
        if self.local is None:
            hub_files.snapshot(self.path, self.commit, self._weights_patterns(), "Model")
        check_weights(self.folder, allow_pickle=self.allow_pickle)
        return self.folder

    def check(self) -> None:
        """Raise ValueError for something local that holds no model."""
        if self.local is not None:
            _ = self.gguf if self.is_gguf else self.folder

    def check_tokenizer(self, *, needs_template: bool) -> None:
        """Raise ValueError for what is local without a tokenizer, or a chat template if needed."""
        if self.local is None:
            return
        if self.is_gguf:
            self.gguf.check_tokenizer(needs_template=needs_template)
        else:
            check_tokenizer(self.folder, needs_template=needs_template)

    @property
    def commit(self) -> str | None:
        """The commit of a hub id; None for what is local."""
        if self.local is not None:
            return None
        return hub_files.commit_of(self.gguf.path.parent if self.is_gguf else self.folder)

    @property
    def content_sha256(self) -> str | None:
        """The hash of a local model's files, or of its GGUF file; None for a hub id."""
        if self.local is None:
            return None
        return whole_files.sha256(self.local) if self.is_gguf else content_sha256(self.local)

    @property
    def further_sha256(self) -> str | None:
        """The hash of what else a local folder is read by; None where there is nothing."""
        if self.local is None or self.is_gguf:
            return None
        return further_sha256(self.local, code=self.trust_remote_code)

    def _check_folder(self, folder: Path) -> None:
        check_model(folder)

    def _weights_patterns(self) -> list[str]:
        """Return the names of a repository's weights: some hold them twice, for other libraries."""
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            return sorted(set(map(str, indexed(index))))
        return ["model*.safetensors", *(["pytorch_model*.bin"] if self.allow_pickle else [])]


class TokenizerSource(Source):
    """Where a tokenizer is, beside a model or alone; the arguments are those of `Source`."""

    @property
    def words_sha256(self) -> str:
        """The hash of its files, or the commit of a hub id."""
        if self.commit is not None:
            return self.commit
        return whole_files.sha256(self.gguf.path) if self.is_gguf else words_sha256(self.folder)

    def _check_folder(self, folder: Path) -> None:
        folder_files(folder)  # refuses what may not be read
