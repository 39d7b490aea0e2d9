"""The answers of a run: those that its folder holds, and those that come, each kept as it comes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import cast

from trimtab.config.user_code import described, named
from trimtab.decoding import Completion
from trimtab.methods import Method
from trimtab.models import Conversation
from trimtab.runs import stretches
from trimtab.runs.draws import Draw
from trimtab.runs.progress import Running
from trimtab.runs.record_types import (
    RunFacts,
    SampleRecord,
    SpanRecord,
    StretchRecord,
    Summary,
    TokensRecord,
)
from trimtab.runs.rule import Rule
from trimtab.runs.run_folder import RunFolder
from trimtab.runs.smaller_run import SmallerRun
from trimtab.tasks import Sample, Score, Task
from trimtab.tracking.trackers import Tracker

_log = logging.getLogger(__name__)
_STAGES = 50  # at which running scores are logged
_CHANGING = "changing"  # the rule of answers that are being scored anew
_DECIMALS = 4  # of probabilities in traces


class Answered:
    """What is asked in a run, and what is answered.

    Args:
        folder: the run's, which is open.
        task: scores the answers.
        method: gives them.
        samples: what is asked, by id, in the task's order.
        found: the records that the folder holds.
        draws: what the ids mean, where samples are answered several times.

    Attributes:
        lines: the record of each answer, by id.
        rule: the task's, by which they are scored.
        clock: times the answering.
        summary: what the run comes to; None until it is finished.
    """

    def __init__(
        self,
        folder: RunFolder,
        task: Task,
        method: Method,
        samples: Mapping[str, Sample],
        found: Iterable[SampleRecord],
        draws: Mapping[str, Draw],
    ) -> None:
        self.samples = samples
        self.lines = {line["id"]: line for line in found if line["id"] in samples}
        self.rule = Rule(task)
        self.clock = stretches.Decoding(method)
        self.summary: Summary | None = None
        self._folder, self._task, self._method, self._draws = folder, task, method, draws
        self._passes_before = dict(method.forward_passes)

    @property
    def left(self) -> dict[str, Conversation]:
        """What is not answered yet, by id."""
        return {i: s.conversation for i, s in self.samples.items() if i not in self.lines}

    @property
    def in_order(self) -> list[SampleRecord]:
        """The records of all samples, in the task's order, once they are answered."""
        return [self.lines[sample_id] for sample_id in self.samples]

    def score_again(self, facts: RunFacts | None) -> None:
        """Score anew the answers that were scored by another version of the rule, or by none.

        Args:
            facts: what the folder says of its answers; None if it holds none.
        """
        changed = facts is not None and facts.get("rule") != self.rule.identity
        old = [line for line in self.lines.values() if changed or "score_error" in line]
        if not old:
            return
        self.lines |= {line["id"]: self.rule.again(line, self.samples[line["id"]]) for line in old}
        if facts is not None and changed:
            # Where this ends before the facts say by which rule they are, again it is.
            again = facts.copy()
            again["rule"] = _CHANGING
            self._folder.write_facts(again)
        self._folder.write_samples(self.lines.values())
        _log.info(
            "%d answers of %s are scored anew by %s.score(), none is generated again.",
            len(old),
            self._folder.path,
            named(type(self._task)),
        )

    def take_over(self, smaller: SmallerRun) -> None:
        """Go on from the answers of a run of the same experiment with a smaller limit."""
        self.lines = dict(smaller.lines)
        _log.info(
            "%d answers are those of %s, which differs in its limit alone; they are not generated "
            "again.",
            len(self.lines),
            smaller.folder,
        )

    def begin(
        self, facts: RunFacts, stretch: StretchRecord, tracker: Tracker, shown: Running
    ) -> None:
        """Say who is told of each answer: the run's facts, a tracker, and a bar."""
        self._facts, self._stretch, self._tracker, self._shown = facts, stretch, tracker, shown

    def share(self, jobs: int, clock: stretches.Decoding) -> None:
        """Note how many jobs this stretch of work is for, and what times it."""
        self._stretch["together"] = jobs
        self.clock = clock

    def add(self, completion: Completion, score: Score | None = None) -> SampleRecord:
        """Keep a completion and its score, by the task's rule unless given; return its record.

        Where the rule fails, the answer is kept without a score, to be scored at the next start.
        """
        sample = self.samples[completion.id]
        try:
            score = score or self.rule.score(completion.text, sample)
            measures = self.rule.measures(completion.text, sample, score)
        except Exception as error:
            unscored = Score(prediction=None, values={})
            line = sample_record(sample, completion, unscored, completion.measures)
            line["score_error"] = described(error)
            self._keep(line)
            raise
        line = sample_record(sample, completion, score, completion.measures | measures)
        self._keep(line)
        # At the same samples in every run, so that a sweep can compare runs at the same stage.
        stage, total = len(self.lines) * _STAGES, len(self.samples)
        if stage // total > (stage - _STAGES) // total:
            self._tracker.log(self._shown.metrics, self._shown.count)
        return line

    def _keep(self, line: SampleRecord) -> None:
        if draw := self._draws.get(line["id"]):
            line["of"], line["draw"] = draw.sample.id, draw.number
        self._folder.append(line)
        self.lines[line["id"]] = line
        self.clock.note(self._stretch)
        self._shown.add(line, self._stretch["seconds"])
        self._stretch["samples"] += 1
        self._stretch["forward_passes"] = {
            role: passes - self._passes_before.get(role, 0)
            for role, passes in self._method.forward_passes.items()
        }
        self._folder.write_facts(self._facts, at_once=False)


def sample_record(
    sample: Sample, completion: Completion, score: Score, measures: Mapping[str, float]
) -> SampleRecord:
    """Return the line of one sample; `measures` are of how the answer behaves."""
    trace: list[SpanRecord] = [
        {
            "text": span.text,
            "speaker": span.speaker,
            "probability": None if span.probability is None else round(span.probability, _DECIMALS),
        }
        for span in completion.trace
    ]
    line: SampleRecord = {
        "id": sample.id,
        "question": sample.conversation.asked,
        "prompts": completion.prompts,
        "completion": completion.text,
        "trace": trace,
        "choices": dict(sample.choices),
        "target": sample.target,
        "also_right": list(sample.also_right),
        "prediction": score.prediction,
        "scores": dict(score.values),
        "readings": dict(score.readings),
        "likelihoods": {
            label: {how: round(value, _DECIMALS) for how, value in values.items()}
            for label, values in score.likelihoods.items()
        },
        "measures": dict(measures),
        "stop_reason": completion.stop_reason,
        "tokens": completion.tokens,
        "by_token": cast(TokensRecord, completion.by_token),
        "work": {
            role: {"passes": work.passes, "tokens": work.tokens}
            for role, work in completion.work.items()
        },
    }
    if completion.tries:
        line["tries"] = [
            {"completion": one.text, "score": one.score, "stop_reason": one.stop_reason}
            for one in completion.tries
        ]
    if not sample.also_right:
        del line["also_right"]
    if not completion.by_token:
        del line["by_token"]
    return line
