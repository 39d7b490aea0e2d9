"""A conversation as a prompt: plain text for a base model, a chat's turns for an instruct model."""

from __future__ import annotations

from pathlib import Path

from trimtab.models.conversation import Conversation

PROMPTS = ("chat", "plain")


def as_text(conversation: Conversation) -> str:
    """Return what a model without a chat template reads (see `Conversation`)."""
    system = f"{conversation.system}\n" if conversation.system else ""
    before = "".join(f"{user}\n{answer}\n" for user, answer in conversation.before)
    return f"{system}{before}{conversation.user}\n{conversation.answer_start}"


def as_turns(conversation: Conversation) -> list[dict[str, str]]:
    """Return what a chat template is given: turns of `role` and `content`, the user's at the end.

    Text that the answer begins with is none of them: it follows what the template writes.
    """
    turns = [{"role": "system", "content": conversation.system}] if conversation.system else []
    for user, answer in conversation.before:
        turns.append({"role": "user", "content": user})
        turns.append({"role": "assistant", "content": answer})
    return [*turns, {"role": "user", "content": conversation.user}]


def check_template(given: str, path: str) -> None:
    """Refuse the name of a file that is not there as the chat template of the model at `path`."""
    if not _is_template(given) and not Path(given).expanduser().is_file():
        raise ValueError(
            f"chat_template of {path}: there is no file {given!r}. "
            "Give a file that holds a Jinja template, or the template itself."
        )


def read_template(given: str, path: str) -> str:
    """Return a chat template that is given as itself or as the name of a file.

    Raises:
        ValueError: for a file that is no text, naming the model at `path`.
    """
    if _is_template(given):
        return given
    try:
        return Path(given).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"chat_template of {path}: {given!r} cannot be read as UTF-8 text: {error}"
        ) from error


def _is_template(text: str) -> bool:
    """Tell a Jinja template from the name of a file that holds one."""
    return "{{" in text or "{%" in text
