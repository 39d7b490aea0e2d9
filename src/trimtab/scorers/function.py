"""A reward of one's own: a Python function of an answer."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

from trimtab.config import user_files
from trimtab.config.named_function import find, require_takes
from trimtab.config.signature import require_types
from trimtab.config.user_code import described
from trimtab.machine import whole_files
from trimtab.scorers.scorer import Scorer, Verdict

Reward = Callable[[str, str, str | None], float | Mapping[str, float]]
"""Takes the answer, the question and the target (None where there is none)."""

_ARGUMENTS = ("completion", "question", "target")
_EXAMPLE = "my_rewards.brevity"


@dataclass(frozen=True, kw_only=True)
class FunctionReward(Scorer):
    """Scores each answer by a function `reward(completion, question, target)`.

    It returns a number, or several by name: the metric is `name`, or `name_` and their names.

    Args:
        function: the function, or its dotted name as in `my_rewards.brevity`: a module, which may
            lie in the working directory, and a name in it.
        name: names the metric, or begins the names of the metrics.

    Raises:
        ValueError: for a name that leads to no function, or to one of other arguments; in scoring,
            for a function that fails or returns something else, naming the sample.
    """

    function: str | Reward
    name: str = "reward"

    def __post_init__(self) -> None:
        require_types(self)
        _ = self._reward

    @cached_property
    def _reward(self) -> Reward:
        given = self.function
        found = find("function", given, _EXAMPLE) if isinstance(given, str) else given
        if not callable(found):
            raise ValueError(
                f"function={given!r} is of type {type(found).__name__}. Accepted is a "
                "function of (completion, question, target)."
            )
        also = "three; target is None where a sample has none"
        require_takes("function", given, found, _ARGUMENTS, also)
        return found

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name, its settings, the hash of its file, and of the others that it is made of.

        The latter are the user's that its file imports or names; see `user_files.sources`.
        """
        function, settings = self._reward, {}
        if isinstance(function, functools.partial):
            settings = {"arguments": repr(function.args), "keywords": repr(function.keywords)}
        named = self._named
        file = _file(named)
        further = user_files.hashes(own for own in user_files.sources(named) if own != file)
        return {
            "function": f"{named.__module__}.{named.__qualname__}",
            **settings,
            "file_sha256": whole_files.sha256(file) if file else None,
            **({"further_sha256": further} if further else {}),
        }

    @property
    def _named(self) -> Any:
        """The function without settings bound to it; of an object that is called, its class."""
        function = self._reward
        if isinstance(function, functools.partial):
            function = function.func
        return function if hasattr(function, "__qualname__") else type(function)

    def score(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Verdict]]:
        """Yield what the function returns for each answer, in their order."""
        for line in lines:
            try:
                said = self._reward(line["completion"], line["question"], line["target"])
            except Exception as error:
                raise ValueError(
                    f"{self._called} failed on sample {line['id']!r}: "
                    f"{described(error, self._named.__module__)}"
                ) from error
            yield line["id"], Verdict(values=self._values(said, line["id"]))

    def _values(self, said: object, sample_id: str) -> dict[str, float]:
        named = said if isinstance(said, Mapping) else {"": said}
        values = {}
        for part, value in named.items():
            if not isinstance(part, str) or not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(
                    f"{self._called} returned {said!r} for sample {sample_id!r}. Accepted is a "
                    "finite number, or a dict of finite numbers by name."
                )
            values[f"{self.name}_{part}" if part else self.name] = float(value)
        return values

    @property
    def _called(self) -> str:
        return f"Reward function {self.identity['function']}"


def _file(function: Any) -> Path | None:
    """Return the file that a function is written in; None where it is in none."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:  # a built-in
        return None
    return Path(file).absolute() if file and os.path.isfile(file) else None
