"""What a run will ask: the prompts of its first samples, before any weights load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omegaconf import DictConfig

from trimtab.config import composition
from trimtab.machine.printable import printable
from trimtab.methods import Method
from trimtab.models import LanguageModel
from trimtab.runs import preconditions
from trimtab.runs.dated import asked_on, day_of
from trimtab.tasks import Task

_WIDTH = 79  # of the lines between prompts
_END = "⏎"  # a line break at a prompt's end, where it counts and cannot be seen


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A method, and the samples that it will be asked.

    Args:
        method: whose prompts are shown.
        task: where the samples come from.
        limit: how many samples the run has; None for all.
        limit_seed: draws which.
    """

    method: Method
    task: Task
    limit: int | None
    limit_seed: int | None

    @classmethod
    def of(cls, cfg: DictConfig) -> Preview:
        """Return that of a composed configuration."""
        task = composition.build(cfg.task)
        preconditions.require_task(task)
        method = composition.build(cfg.method)
        return cls(method=method, task=task, limit=cfg.limit, limit_seed=cfg.limit_seed)

    def lines(self, count: int) -> Iterator[str]:
        """Yield the prompts of the first `count` samples, as each model reads them.

        Raises:
            ValueError: as a run's beginning, for samples and prompts that cannot be.
        """
        every = {s.id: s for s in self.task.samples(self.limit, self.limit_seed)}
        few = dict(list(every.items())[:count])
        samples = asked_on(few, day_of(self.method, None))
        prompts = self.method.prompts({i: sample.conversation for i, sample in samples.items()})
        yield f"{self.task.source}: {len(few)} of {len(every)} samples"
        for sample_id, sample in samples.items():
            target = "" if sample.target is None else f", target {sample.target!r}"
            yield from ("", _rule(f"sample {sample_id!r}{target}", "="))
            texts, encoded = prompts[sample_id].text, prompts[sample_id].tokens
            seen: dict[str, str] = {}
            for role, model in self.method.models.items():
                shown = _shown(model, texts[role], encoded[role])
                size = len(encoded[role])
                head = f"{role}: {model.path}, {model.prompt} prompt, {size} tokens"
                if shown in seen:
                    yield _rule(f"{head}: the same as for {seen[shown]}", "-")
                    continue
                seen[shown] = role
                yield from (_rule(head, "-"), shown)


def _rule(text: str, sign: str) -> str:
    return f"{sign * 2} {text} ".ljust(_WIDTH, sign)


def _shown(model: LanguageModel, text: str, tokens: list[int]) -> str:
    """Return a prompt with the sign that the tokenizer puts before it, and its end to be seen."""
    first = model.codec.decode(tokens[:1])
    added = tokens[:1] and tokens[0] in model.special_tokens and not text.startswith(first)
    body = text.rstrip("\n")
    return (first if added else "") + printable(body, keep="\n") + _END * (len(text) - len(body))
