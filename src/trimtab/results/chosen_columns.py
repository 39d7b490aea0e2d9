"""Which columns a table of runs is to have, as a user says it."""

from collections.abc import Sequence

Choice = Sequence[tuple[str, str | None]] | None
"""Names of columns with heads of one's own, or None for the usual ones."""


def chosen(text: str) -> list[tuple[str, str | None]]:
    """Read a choice of columns: their names, each with a head of one's own if it follows `=`.

    Args:
        text: as in `method,dial,accuracy=Acc.,kl=KL (nats)`.

    Raises:
        ValueError: for a name that is missing.
    """
    found = []
    for part in text.split(","):
        name, given, title = (word.strip() for word in part.partition("="))
        if not name:
            raise ValueError(
                f"--columns {text!r}: a name is missing. Accepted are names with commas between "
                "them, each with a head of your own if you like: method,dial,accuracy=Acc."
            )
        found.append((name, title if given else None))
    return found
