"""Which module a key of an adapter's `rank_pattern` or `alpha_pattern` means, as PEFT has it.

The keys are regular expressions from a file, and some of those take longer than a lifetime.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

_PATIENCE = 10.0  # seconds; real patterns take thousandths
_LITERAL = re.compile(r"\^?(\w|-|\.|\\\.)*")  # which cannot take long

_MATCH = """
import json, re, sys
keys, names = json.load(sys.stdin)
rules = [re.compile(rf"(.*\\.)?({key})$") for key in keys]
found = [next((i for i, rule in enumerate(rules) if rule.match(name)), None) for name in names]
print(json.dumps(found))
"""


def first_matches(keys: Sequence[str], names: Sequence[str], *, what: str) -> dict[str, str | None]:
    """Return the first key that matches a module's name or the end of it; None where none does.

    Args:
        keys: regular expressions.
        names: of modules.
        what: what the keys are called, in errors.

    Raises:
        ValueError: for keys that are no regular expressions, or that take too long.
    """
    if all(_LITERAL.fullmatch(key) for key in keys):
        rules = {key: re.compile(rf"(.*\.)?({key})$") for key in keys}
        return {n: next((k for k, rule in rules.items() if rule.match(n)), None) for n in names}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _MATCH],  # which can be ended
            input=json.dumps([keys, names]),
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        slow = isinstance(error, subprocess.TimeoutExpired)
        why = f"take more than {_PATIENCE:g} s to match" if slow else "are no regular expressions"
        raise ValueError(
            f"{what}: {', '.join(map(repr, keys))[:200]} {why}. Accepted are names of modules, or "
            "regular expressions that match the end of one."
        ) from None
    found: list[int | None] = json.loads(done.stdout)
    return {n: None if i is None else keys[i] for n, i in zip(names, found, strict=True)}
