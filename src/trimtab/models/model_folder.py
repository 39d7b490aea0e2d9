"""What a local model folder must hold, told before anything is loaded from it."""

import os
import stat
from pathlib import Path
from typing import Any

from trimtab.machine.json_file import read_object

WORDS = {".txt", ".tiktoken"}
"""Lists of words, of a tokenizer without tokenizer.json."""
_READ_WHOLE = {".json", ".jinja", ".model", *WORDS}
_LARGEST = 256 << 20  # bytes of these; the largest tokenizers have about 40 MB
_MORE_TEMPLATES = "additional_chat_templates"
ADAPTER = "adapter_config.json"


def folder_files(folder: Path) -> list[Path]:
    """Return the files of a folder that may be read, by name.

    Links are followed within the folder and, where the folder is one of the hub's cache, to the
    same repository's blobs.

    Raises:
        ValueError: for a link that leads elsewhere, for what is no regular file (reading a pipe can
            wait for ever), and for a text file of more than 256 MiB.
    """
    home = folder.resolve()
    within = [home]
    if home.parent.name == "snapshots":
        within.append(home.parent.parent / "blobs")
    files = []
    for entry in _entries(folder):
        target = Path(os.path.realpath(entry))
        if not any(target.is_relative_to(place) for place in within):
            raise ValueError(
                f"{str(entry)!r} is a link that leads out of its folder, to {str(target)!r}. "
                "Nothing outside a folder is read on its behalf: put the file itself there, or a "
                "hard link (cp --link)."
            )
        try:
            status = entry.stat()
        except OSError as error:
            raise ValueError(f"{str(entry)!r} cannot be read: {error.strerror}.") from error
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(
                f"{str(entry)!r} is no regular file, but a pipe, a socket or a device. Remove it."
            )
        if entry.suffix in _READ_WHOLE and status.st_size > _LARGEST:
            raise ValueError(
                f"{str(entry)!r} has {status.st_size:,} bytes; of a file of that kind at most "
                f"{_LARGEST:,} are read. Download or write it again."
            )
        if entry.parent == folder:
            files.append(entry)
    return files


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder and could be read, but for folders."""
    places = [folder, folder / _MORE_TEMPLATES]
    found = [entry for place in places if place.is_dir() for entry in place.iterdir()]
    return sorted(entry for entry in found if not entry.is_dir())


def check_model(folder: Path) -> None:
    """Raise ValueError for a folder that holds no model, or of which it is not clear which.

    Nothing is read of it then; see `folder_files` for what else is refused.
    """
    there = {file.name for file in folder_files(folder)}
    name = str(folder)
    if ADAPTER in there and "config.json" not in there:
        raise ValueError(
            f"Model folder {name!r} holds an adapter ({ADAPTER}) and no model. Give the "
            f"model that it is of, and it on top of that: path=BASE adapter={name}. As a vector it "
            f"has a dial: method=vectors base.path=BASE method.vectors={{adapter:{name}}}"
        )
    if "config.json" not in there:
        packed = sorted(file for file in there if file.endswith(".gguf"))
        raise ValueError(
            f"Model folder {name!r} holds GGUF files. Name one: gguf_file={packed[0]}"
            if packed
            else f"Model folder {name!r} has no config.json: it holds no model."
        )
    if ADAPTER in there:
        raise ValueError(
            f"Model folder {name!r} holds a whole model and an adapter ({ADAPTER}), and nothing "
            "says which of them is meant. Move the adapter's files to a folder of their own: what "
            "stays is the model alone, and adapter=FOLDER puts the adapter on top of it."
        )


def check_tokenizer(folder: Path, *, needs_template: bool) -> None:
    """Raise ValueError for a folder without a tokenizer, or a chat template if needed."""
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json")):
        raise ValueError(
            f"Model folder {str(folder)!r} has no tokenizer (tokenizer.json). Save one there with "
            "tokenizer.save_pretrained(folder), or name a folder that has one by tokenizer_path."
        )
    if needs_template and not _has_template(folder):
        raise ValueError(no_template(str(folder)))


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and "chat_template" in read_object(config)


def stated_template(folder: Path) -> str | None:
    """Return the chat template that a tokenizer has by its files; None where only it can tell."""
    if (folder / _MORE_TEMPLATES).is_dir() or (folder / "chat_template.json").is_file():
        return None
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return None  # the tokenizer's loader says so
    template = read_object(config).get("chat_template") if config.is_file() else None
    return template if isinstance(template, str) else None


def no_template(path: str) -> str:
    """Return the message for a model that is to chat and has no template."""
    return (
        f"prompt=chat, but {path!r} has no chat template. Give one with "
        "chat_template=<file.jinja>, name a tokenizer that has one by tokenizer_path (as may lie "
        "beside an adapter), or use prompt=plain if it is a base model."
    )


def check_weights(folder: Path, *, allow_pickle: bool) -> None:
    """Raise ValueError for weights that lie elsewhere, or only as pickles unless these are allowed.

    A folder that holds none at all is left to the loader.
    """
    files = folder_files(folder)
    safe = any(file.suffix == ".safetensors" for file in files)
    pickled = [file.name for file in files if file.suffix in {".bin", ".pt", ".pth"}]
    if pickled and not safe and not allow_pickle:
        raise ValueError(
            f"The weights of {str(folder)!r} are stored as pickles ({pickled[0]}), which can run "
            "code when they are read. Save them as safetensors (model.save_pretrained); "
            "`trimtab run` reads pickles with allow_pickle=true for that model; set that if you "
            "trust who made them."
        )
    named = [read_object(folder / "config.json").get("transformers_weights")]
    for index in files:
        if index.name.endswith(".index.json"):
            named += indexed(index)
    for name in named:
        if name is not None and (not isinstance(name, str) or Path(name).name != name):
            raise ValueError(
                f"Model folder {str(folder)!r} names the weights {name!r}, which do not lie "
                "beside its config.json. Download or write it again."
            )


def indexed(index: Path) -> list[Any]:
    """Return the names of the files that an index of weights names.

    Raises:
        ValueError: for a file that is none.
    """
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict):
        raise ValueError(f"{str(index)!r} has no weight_map: it is no index of weights.")
    return list(shards.values())
