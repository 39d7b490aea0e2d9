"""Sets of prompts as a command names them: a file of lines or rows, or a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.activations import PromptSet
from trimtab.config import composition
from trimtab.config.composition import ConfigError
from trimtab.config.overrides import Source, check_command
from trimtab.config.wording import nearest
from trimtab.models import Conversation
from trimtab.tasks.rows import FORMATS, read_rows

LINES = ".txt"
_COLUMNS = ("question", "system", "context", "question_prefix", "answer_start")


def prompt_set(name: str, settings: Sequence[str], by: str) -> PromptSet:
    """Return the prompts that a name stands for.

    A `.txt` file has a question in each line that is not empty. Rows have a `question`, and may
    have the other pieces of a `Conversation`; or `messages`, of which the last is asked. Other
    columns are left alone. A task has its samples' prompts.

    Args:
        name: of a file, or of a task.
        settings: of a task, as in `split=validation`.
        by: the setting that names them.

    Raises:
        ValueError: for what is neither, and for files and rows that cannot be read.
    """
    file = Path(name).expanduser()
    if file.suffix not in (LINES, *FORMATS):
        return PromptSet(" ".join([name, *settings]), _of_task(name, settings, by))
    if settings:
        raise ConfigError([f"{by}.{settings[0]}: a file has no settings. Leave it out."])
    if not file.is_file():
        raise ConfigError([f"{by}={name}: there is no such file."])
    if file.suffix == LINES:
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name!r} is no UTF-8 text: {error}.") from None
        return PromptSet(name, [Conversation(question=line) for line in lines if line.strip()])
    rows = enumerate(read_rows(file), start=1)
    return PromptSet(name, [_of_row(row, f"Row {number} of {name!r}") for number, row in rows])


def _of_row(row: dict[str, Any], where: str) -> Conversation:
    given = {column: row[column] for column in _COLUMNS if row.get(column) is not None}
    try:
        if row.get("messages") is not None:
            if "question" in given:
                raise ValueError("it has messages and a question, of which one is asked")
            return Conversation.of(row["messages"], **given)
        if "question" not in given:
            raise ValueError("it has no question, and no messages")
        return Conversation(**given)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: {error}") from error


def _of_task(name: str, settings: Sequence[str], by: str) -> list[Conversation]:
    tasks = sorted(file.stem for file in (composition.DIRECTORY / "task").glob("*.yaml"))
    if name not in tasks:
        kinds = ", ".join((LINES, *FORMATS))
        raise ConfigError(
            [f"{by}={name}: accepted is a file ({kinds}), or a task.{nearest(name, tasks)}"]
        )
    overrides = ["method=base", f"task={name}", *(f"task.{setting}" for setting in settings)]
    config = check_command(overrides, Source())
    assert config is not None
    return [sample.conversation for sample in composition.build(config.task).samples()]
