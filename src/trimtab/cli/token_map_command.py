"""The command `trimtab token-map`: how the tokens of one vocabulary map to another's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from rich.table import Table
from rich.text import Text

from trimtab.cli.output import say, say_json, show
from trimtab.machine.printable import printable

if TYPE_CHECKING:
    from trimtab.models.token_map import TokenMap

_EXAMPLES = 6


def main(arguments: Sequence[str]) -> int:
    """Print how many tokens map, and how, and return the exit code."""
    from trimtab.models.token_map import PM_MINED, TOKEN_MAPS  # needs no torch, but its room does

    parser = argparse.ArgumentParser(
        prog="trimtab token-map",
        description="Shows what OTHER's tokens stand for TARGET's where the two are mixed: its "
        "model is then read through this map, as asked for by ROLE.token_map=KIND.",
    )
    what = "a folder, a GGUF file, a hub id, zoo:NAME or pip:NAME"
    parser.add_argument(
        "target", metavar="TARGET", help=f"whose tokens answers are made of: {what}"
    )
    parser.add_argument("other", metavar="OTHER", help="whose model is read through the map")
    parser.add_argument("--kind", choices=TOKEN_MAPS, default=PM_MINED, help=f"[{PM_MINED}]")
    parser.add_argument(
        "--examples", type=int, default=_EXAMPLES, metavar="N", help=f"of each match [{_EXAMPLES}]"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    from trimtab.models import LanguageModel
    from trimtab.models.token_map import TokenMap

    target, other = (
        LanguageModel(path=path, prompt="plain").token_bytes
        for path in (options.target, options.other)
    )
    found = _summary(TokenMap(target, other, options.kind), max(0, options.examples))
    if options.json:
        say_json({"target": options.target, "other": options.other, **found})
        return 0
    table = Table("match", "tokens", "share", "examples", box=None, padding=(0, 2, 0, 0))
    for match, row in found["matches"].items():
        shown = ", ".join(f"{a!r} {b!r}" if b is not None else repr(a) for a, b in row["examples"])
        share = f"{100 * row['share']:.1f} %"
        table.add_row(match, str(row["tokens"]), share, Text(printable(shown)))
    show(table, wraps=False)
    counts = found["other_tokens"]
    say(
        f"Of {options.other}'s {sum(counts.values())} tokens {counts['matched']} stand for one of "
        f"{options.target}'s, {counts['begun']} count for the one that begins them, and "
        f"{counts['lost']} for none."
    )
    return 0


def _summary(token_map: TokenMap, examples: int) -> dict[str, Any]:
    from trimtab.models.token_map import UNMATCHED, Match

    target, other = token_map.target, token_map.other
    by_match: dict[str, list[int]] = {match: [] for match in get_args(Match)}
    for i, match in enumerate(token_map.matches):
        if target.tokens[i] is not None:
            by_match[match].append(i)
    total = sum(map(len, by_match.values()))
    matches = {
        match: {
            "tokens": len(ids),
            "share": len(ids) / max(1, total),
            "examples": [_example(token_map, i) for i in _spread(ids, examples)],
        }
        for match, ids in by_match.items()
    }
    known = {other.spelled[i] for i in token_map.nearest() if i >= 0}
    counts = {"matched": 0, "begun": 0, "lost": 0}
    for i, number in enumerate(token_map.classes().other):
        if other.tokens[i] is None:
            continue
        sign = other.spelled[i] is None
        stands = number != UNMATCHED and (sign or other.spelled[i] in known)
        counts["matched" if stands else "lost" if number == UNMATCHED else "begun"] += 1
    return {"kind": token_map.kind, "matches": matches, "other_tokens": counts}


def _example(token_map: TokenMap, i: int) -> tuple[str | None, str | None]:
    other = token_map.nearest()[i]
    return token_map.target.tokens[i], token_map.other.tokens[other] if other >= 0 else None


def _spread(ids: Sequence[int], count: int) -> list[int]:
    """Return so many of them, from all over the vocabulary."""
    return [ids[i * len(ids) // count] for i in range(count)] if len(ids) > count else [*ids]
