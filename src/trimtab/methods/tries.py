"""Several answers to a sample, of which a method gives the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab.config.user_code import named
from trimtab.decoding import Completion
from trimtab.decoding.completion import Work
from trimtab.methods.declaration import Declaration
from trimtab.methods.prompts import Prompts


class Attempt(NamedTuple):
    """One of the answers to a sample; the first is number 0."""

    sample_id: str
    number: int

    @property
    def name(self) -> str:
        """What its random draws are known by: the first has the name of its sample."""
        return f"{self.sample_id}~{self.number + 1}" if self.number else self.sample_id


def tries_at(sample_ids: Iterable[str], most: int) -> list[Attempt]:
    """Return so many tries at each sample; more of them leave the earlier ones as they are.

    Raises:
        ValueError: where a sample has the name of a try at another.
    """
    found: dict[str, Attempt] = {}
    for one in (Attempt(sample_id, number) for sample_id in sample_ids for number in range(most)):
        other = found.setdefault(one.name, one)
        if other != one:
            raise ValueError(
                f"{one.name!r} would name tries at samples {other.sample_id!r} and "
                f"{one.sample_id!r}. Give one of them another id."
            )
    return list(found.values())


def best_of(method: Declaration, answers: Sequence[Completion], prompts: Prompts) -> Completion:
    """Return the answer that a method gives of those that it made, with the work for all.

    Raises:
        ValueError: for a method whose `best` is none.
    """
    best = method.best(answers, prompts)
    if not isinstance(best, Completion):
        raise ValueError(
            f"{named(type(method))}.best() came to {best!r}. Accepted is one of the answers."
        )
    return dataclasses.replace(best, work=added_up(answer.work for answer in answers))


def added_up(works: Iterable[Mapping[str, Work]]) -> dict[str, Work]:
    """Return the work that models did, by role."""
    total: dict[str, Work] = {}
    for each in works:
        for role, did in each.items():
            total[role] = total[role] + did if role in total else did
    return total
