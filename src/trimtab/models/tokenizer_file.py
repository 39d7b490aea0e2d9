"""What a tokenizer's files say, read without loading it."""

from __future__ import annotations

from pathlib import Path

from trimtab.machine.json_file import read_object


def tokens_in(file: Path) -> dict[str, int]:
    """Return tokens and their ids, of a tokenizer.json.

    Raises:
        ValueError: for a file that does not say which token has which id.
    """
    said = read_object(file)
    try:
        pieces = said["model"].get("vocab", {})
        if isinstance(pieces, list):  # Unigram: pieces with their scores
            pieces = {piece: place for place, (piece, _) in enumerate(pieces)}
        found = {**pieces, **{t["content"]: t["id"] for t in said.get("added_tokens") or ()}}
        if not all(isinstance(t, str) and type(place) is int for t, place in found.items()):
            raise TypeError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(
            f"{str(file)!r} does not say which token has which id. Download or write it again."
        ) from None
    return found


def template_in(folder: Path) -> str | None:
    """Return the chat template of a tokenizer in a folder; None where there is none."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text("utf-8", errors="replace")
    said = read_object(config).get("chat_template") if config.is_file() else None
    return said if isinstance(said, str) else None
