"""Settings that came to a class later with another default than "as before" (`since`).

A configuration that leaves one out means what is the default now, and one that a run recorded means
what was done then. So the one gets the setting written out before it counts for a fingerprint, and
the other before it is built again.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.config.working_directory import get_object


def written_out(node: Any, *, recorded: bool, users: bool = False) -> Any:
    """Return a resolved node with these settings written out wherever they are left out.

    Args:
        node: plain data.
        recorded: whether a run recorded it, as it was answered; else it describes one to come.
        users: whether the classes of a user's that a run recorded are known to be the user's own.
    """
    if isinstance(node, list):
        return [written_out(child, recorded=recorded, users=users) for child in node]
    if not isinstance(node, Mapping):
        return node
    settings = {
        name: written_out(child, recorded=recorded, users=users) for name, child in node.items()
    }
    target = node.get("_target_")
    # What a run recorded names is not run for that: a folder may come from anywhere.
    if isinstance(target, str) and (target.startswith("trimtab.") or users or not recorded):
        for name, before, now in _moved(target):
            settings.setdefault(name, before if recorded else now)
    return settings


def _moved(target: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield settings of a class whose default is not "as before": name, value before, and now."""
    try:
        kind = get_object(target)
        parameters = inspect.signature(kind).parameters
    except Exception:  # said where the configuration is checked
        return
    later = getattr(kind, "since", {})  # of the class that a user's own inherits from, too
    for name, before in later.items() if isinstance(later, Mapping) else ():
        now = parameters[name].default if name in parameters else before
        if now in (before, inspect.Parameter.empty):
            continue
        if json.dumps(now, default=str) != json.dumps(before, default=str):
            own = now != _default(_said_by(kind), name)  # which no setting of before was about
            yield name, now if own else before, now


def _said_by(kind: Any) -> Any:
    """Return the class whose settings a class inherits."""
    return next(each for each in inspect.getmro(kind) if "since" in vars(each))


def _default(kind: Any, name: str) -> Any:
    return inspect.signature(kind).parameters[name].default
