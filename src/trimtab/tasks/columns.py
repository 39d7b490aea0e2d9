"""Names of columns, each of which names one."""

from collections.abc import Iterable


def require_distinct(names: Iterable[str]) -> None:
    """Refuse two columns of one name."""
    name = twice(names)
    if name is not None:
        raise repeated(name)


def twice(names: Iterable[str]) -> str | None:
    """Return the first of some names that has been there before; None if each is there once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def repeated(name: str, where: str = "it") -> ValueError:
    """Return the error that says which of the columns has the name of another."""
    return ValueError(f"{where} has the column {name!r} twice. Give each a name of its own.")
