"""What a local model folder must hold, told before anything is loaded from it."""

import functools
import hashlib
import json
import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_CONTENT = {".safetensors", ".bin", ".json", ".jinja", ".model"}


def local_folder(name: str, what: str) -> Path | None:
    """Return the local folder of that name, or None for what can be a hub id.

    Args:
        name: a folder or a hub id.
        what: what it is, for the error.

    Raises:
        ValueError: for a folder that does not exist.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if name.startswith(("/", "./", "../", "~")) or not _HUB_ID.fullmatch(name):
        raise ValueError(
            f"{what} path {name!r} does not exist. Give a folder, a hub id such as "
            f"'allenai/OLMo-2-0425-1B', or an embedded {what.lower()} as zoo:<name>."
        )
    return None


def is_template(text: str) -> bool:
    """Tell a Jinja template from the name of a file that holds one."""
    return "{{" in text or "{%" in text


def check_folder(folder: Path, *, needs_template: bool) -> None:
    """Raise ValueError for a folder without a model, a tokenizer, or a chat template if needed."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"Model folder {str(folder)!r} has no config.json: it holds no model.")
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json")):
        raise ValueError(
            f"Model folder {str(folder)!r} has no tokenizer (tokenizer.json). Save one there with "
            "tokenizer.save_pretrained(folder)."
        )
    if needs_template and not _has_template(folder):
        raise ValueError(no_template(str(folder)))


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and "chat_template" in json.loads(config.read_text("utf-8"))


def no_template(path: str) -> str:
    """Return the message for a model that is to chat and has no template."""
    return (
        f"prompt=chat, but {path!r} has no chat template. Give one with "
        "chat_template=<file.jinja>, or use prompt=plain if it is a base model."
    )


def content_sha256(folder: Path) -> str:
    """Return a hash of a model's files, by name and content."""
    files = sorted(file for file in folder.iterdir() if file.suffix in _CONTENT)
    listed = "".join(f"{file.name} {_file_sha256(file)}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _file_sha256(file: Path) -> str:
    status = file.stat()
    return _sha256_of(file, status.st_size, status.st_mtime_ns)


@functools.cache  # the jobs of a sweep ask again and again, and weights are large
def _sha256_of(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
