"""What a local model folder must hold, told before anything is loaded from it."""

import json
from pathlib import Path


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
