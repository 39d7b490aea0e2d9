"""A method whose best dial is planted, and a task that takes its answers for their scores."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from trimtab import Completion, Generation, Method
from trimtab.models import Conversation
from trimtab.tasks import Sample, Score, Task


@dataclass(frozen=True, kw_only=True)
class Planted(Method):
    """Answers each sample with a score that is best, in the mean, where `strength` is `peak`.

    Args:
        strength: the dial.
        peak: where it should stand.
        others: further dials, best where all are at minus the peak.
        noise: spread of a sample's score; the half of it is the sample's own at every strength.
        binary: whether scores are 0 or 1.
        fails_above: strengths that cannot be evaluated.
    """

    strength: float = 0.5
    peak: float = 0.3
    others: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0
    binary: bool = False
    fails_above: float = 9.0

    dial = "strength"
    further_dials = ("others",)

    def __post_init__(self) -> None:
        if self.strength < -1:
            raise ValueError(f"strength={self.strength}: accepted are numbers from -1 up.")

    def speakers(self) -> dict[str, Any]:
        return {}

    def answer(self, cursors: Any, prompts: Any, generation: Generation) -> Any:
        yield from ()
        if "PLANTED_FAILS" in os.environ:
            raise ValueError("the weights are gone")
        if self.strength > self.fails_above:
            raise FloatingPointError("logits that are not finite")
        time.sleep(float(os.environ.get("PLANTED_SECONDS", 0)))
        score = self.score(int(prompts.sample_id))
        return Completion(text=str(score), trace=(), stop_reason="end", tokens={"model": 1})

    def score(self, sample: int) -> float:
        own = np.random.default_rng(sample).normal()
        now = np.random.default_rng([sample, round(self.strength * 1000) + 10_000]).normal()
        mean = 0.9 - 2 * (self.strength - self.peak) ** 2
        mean -= sum((value + self.peak) ** 2 for value in self.others.values())
        score = mean + self.noise * (own + now) / 2
        return float(score > 0.5) if self.binary else score


@dataclass(frozen=True, kw_only=True)
class Echo(Task):
    """Takes an answer for its score; `loss` is the same, turned around."""

    rows: int = 20
    split: str = "validation"

    metric = "reward"

    def load(self) -> Dataset:
        return Dataset.from_list([{"n": n} for n in range(self.rows)])

    def sample(self, row: Mapping[str, Any], index: int) -> Sample:
        return Sample(id=str(index), conversation=Conversation(question="?"), target=None)

    def score(self, text: str, sample: Sample) -> Score:
        reward = float(text or 0)
        return Score(prediction=None, values={"reward": reward, "loss": -reward})

    @property
    def source(self) -> str:
        return "planted"
