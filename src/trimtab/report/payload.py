"""The data of the page, small: what runs share is stored once, spans are short arrays.

`texts` holds every distinct string and `answers` every distinct completion, both named by their
number from then on. An answer is its text and its turns, and a turn a speaker with a flat list
`[length, probability, length, probability, ...]` of its spans: lengths in UTF-16 units, as
JavaScript counts, probabilities in ten-thousandths, as the record rounds them, or -1 for none.
"""

from __future__ import annotations

import itertools
import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from trimtab.report.study import Study
from trimtab.results import quantities
from trimtab.results.frames import Run, labels
from trimtab.runs import draws, verdicts
from trimtab.runs.record_types import SampleRecord, SpanRecord

_SCALE = 10_000
_DIFFER = "scorings differ"


class QuantityData(TypedDict):
    """What the page knows of a metric, a cost or a measure."""

    name: str  # as in records
    label: str  # for people
    share: bool  # whether it is shown in percent


class AxisData(QuantityData):
    """A quantity that is drawn."""

    short: str  # for the head of a column
    zero: bool  # whether its axis begins at 0


class CurveData(TypedDict):
    """Runs along a dial."""

    label: str  # the curve's name
    dial: str | None  # the dial's; None: a run without one
    runs: list[int]  # by their places among the study's


class RunData(TypedDict):
    """A run, and what it answered."""

    dial: str | None  # the dial's name
    value: float | None  # where it stands
    id: str  # tells it from the others
    n: int  # samples that its score is of
    readings: dict[str, list[Any]]  # by quantity: value, low, high, value as text, interval as text
    rows: list[list[Any]]  # of a sample: its place, then what `_row` returns


class StudyData(TypedDict):
    """A study: curves over the same rows."""

    name: str  # in addresses
    metric: str  # that it is about
    dial: str  # what its dials are called
    quantities: list[AxisData]  # what can be drawn
    curves: list[CurveData]  # in their order
    runs: list[RunData]  # curve by curve
    samples: list[list[Any]]  # id, number of the question's text, that of the target's
    measures: list[QuantityData]  # of samples, in the order of each row's values


class PageData(TypedDict):
    """All that the page's scripts read."""

    studies: list[StudyData]  # in their order
    texts: list[str | None]  # distinct
    answers: list[list[Any]]  # distinct: text, and turns of a speaker and a flat list of spans


class _Pool:
    """Distinct values, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int:
        key = json.dumps(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def encode(studies: Sequence[Study]) -> str:
    """Return the page's data: JSON, compressed, in base64, which no text in it can end."""
    texts, answers = _Pool(), _Pool()
    content: PageData = {
        "studies": [_study(study, texts, answers) for study in studies],
        "texts": texts.values,
        "answers": answers.values,
    }
    dense = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair has an escape in JSON, but no place in UTF-8.
    return b64encode(zlib.compress(dense.encode("utf-8", "backslashreplace"), 9)).decode()


def _study(study: Study, texts: _Pool, answers: _Pool) -> StudyData:
    runs = study.runs
    names = quantities.every(runs)
    # One id names several samples where runs were asked other rows: none stands beside another's.
    samples: dict[str, list[Any]] = {}
    for run in runs:
        for line in run.samples:
            asked = [texts.number(line["question"]), texts.number(line["target"])]
            samples.setdefault(_key(run, line), [line["id"], *asked])
    places = {key: place for place, key in enumerate(samples)}
    measures = list(
        dict.fromkeys(name for run in runs for line in run.samples for name in _values(line))
    )
    rows = [
        [[places[_key(run, line)], *_row(line, measures, texts, answers)] for line in run.samples]
        for run in runs
    ]
    numbers = iter(range(len(runs)))  # of runs, in the order of the curves
    return {
        "name": study.name,
        "metric": study.metric,
        "dial": study.dial,
        "quantities": [
            {
                "name": name,
                "label": quantities.label(name),
                "short": quantities.label(name, short=True),
                "share": quantities.is_share(name),
                "zero": quantities.starts_at_zero(name),
            }
            for name in names
        ],
        "curves": [
            {"label": label, "dial": curve.dial, "runs": [next(numbers) for _ in curve.runs]}
            for curve, label in zip(study.curves, labels(study.curves), strict=True)
        ],
        "runs": [
            {
                "dial": run.dial,
                "value": run.value,
                "id": study.ids[run.folder],
                "n": run.score["n"],
                "readings": _readings(run, names),
                "rows": lines,
            }
            for run, lines in zip(runs, rows, strict=True)
        ],
        "samples": list(samples.values()),
        "measures": [
            {
                "name": name,
                "label": quantities.label(name, short=True),
                "share": quantities.is_share(name),
            }
            for name in measures
        ],
    }


def _readings(run: Run, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return each quantity's value, interval and both as text, which Python alone rounds."""
    return {
        name: [
            reading.value,
            *(reading.interval or (None, None)),
            quantities.text(name, reading.value),
            quantities.interval_text(name, reading),
        ]
        for name in names
        if (reading := quantities.read(run, name))
    }


def _key(run: Run, line: SampleRecord) -> str:
    return json.dumps([line["id"], run.rows[draws.sample_of(line)]])


def _row(
    line: SampleRecord,
    measures: Sequence[str],
    texts: _Pool,
    answers: _Pool,
) -> list[Any]:
    """Return a sample's answer, prompts, prediction, end, tokens, measures and notes."""
    values = _values(line)
    return [
        answers.number([line["completion"], _turns(line["trace"])]),
        [[role, texts.number(prompt)] for role, prompt in line["prompts"].items()],
        texts.number(line["prediction"]),
        line["stop_reason"],
        sum(line["tokens"].values()),
        [_plain(values.get(name)) for name in measures],
        [[name, texts.number(text)] for name, text in _notes(line)],
    ]


def _values(line: SampleRecord) -> dict[str, float]:
    """Return a sample's numbers, and whether those who say that it is right or wrong differ."""
    values = {**line["scores"], **line["measures"]}
    differ = verdicts.differ(line)
    return values if differ is None else {**values, _DIFFER: differ}


def _notes(line: SampleRecord) -> Iterator[tuple[str, str]]:
    """Yield what other rules read, and what judges say."""
    for metric, reading in line.get("readings", {}).items():
        yield f"{metric} reads", "nothing" if reading is None else reading
    for name, verdict in line.get("verdicts", {}).items():
        reasons = verdict.get("reasons") or {}
        said = "; ".join(
            f"{metric} {value:g}" + (f" ({reasons[metric]})" if reasons.get(metric) else "")
            for metric, value in verdict["values"].items()
        )
        yield name, said or f"no score: {verdict.get('problem', 'unparsed')}"


def _turns(trace: Sequence[SpanRecord]) -> list[list[Any]]:
    turns: list[list[Any]] = []
    for speaker, spans in itertools.groupby(trace, key=lambda span: span["speaker"]):
        flat: list[int] = []
        for span in spans:
            probability = span["probability"]
            flat.append(len(span["text"].encode("utf-16-le", "surrogatepass")) // 2)
            flat.append(-1 if probability is None else round(_SCALE * probability))
        turns.append([speaker, flat])
    return turns


def _plain(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value
