"""Where models and vectors come from: the one place where a path becomes a folder.

It is embedded (`zoo:<name>`), a local folder, or a hub id, whose files are downloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from trimtab import zoo
from trimtab.models import hub_files
from trimtab.models.model_folder import check_model, check_weights, indexed

Kind = Literal["Model", "Vector"]
"""What a path leads to."""

DESCRIPTION = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "LICENSE*", "NOTICE*")
"""What lies beside the weights and says what they are; no code."""
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_EMBEDDED = {"Model": zoo.path, "Vector": zoo.vector_path}


def local_folder(path: str, what: Kind) -> Path | None:
    """Return the folder of this machine that a path names, or None for what can be a hub id.

    Raises:
        ValueError: for a folder that does not exist, and for an embedded one that there is not.
    """
    if (name := zoo.name_in(path)) is not None:
        return _EMBEDDED[what](name)
    local = Path(path).expanduser()
    if local.is_dir():
        return local
    if path.startswith(("/", "./", "../", "~")) or not _HUB_ID.fullmatch(path):
        raise ValueError(
            f"{what} path {path!r} does not exist. Give a folder, a hub id such as "
            f"'allenai/OLMo-2-0425-1B', or an embedded {what.lower()} as zoo:<name>."
        )
    return None


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
