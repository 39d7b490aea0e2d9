"""Several answers to each sample: more draws of one noise, and estimates over samples."""

import dataclasses
import itertools
import json
from pathlib import Path
from statistics import fmean

import pytest

from trimtab import Conversation, Generation, Plain
from trimtab.methods import Method
from trimtab.results.finished import Run
from trimtab.runs import draws, reader
from trimtab.runs.evaluate import Job, evaluate
from trimtab.statistics import estimates
from trimtab.tasks import Sample, WordProblems
from trimtab.tracking.trackers import NoTracker

NO_TRACKER = NoTracker().start(run_id="", name="", job_type="", config={}, folder=Path())
SAMPLED = Generation(max_new_tokens=24, batch_size=8, temperature=1.0, seed=4)
THREE = dataclasses.replace(SAMPLED, draws=3)


def job(folder: Path, method: Method, generation: Generation, limit: int = 6) -> Job:
    return Job(
        task=WordProblems(),
        method=method,
        generation=generation,
        limit=limit,
        folder=folder,
        config={"method": {"name": "guide"}, "generation": dataclasses.asdict(generation)},
        start_tracker=lambda: NO_TRACKER,
    )


@pytest.mark.parametrize("values", [[1.0, 0.0, 0.0, 1.0, 0.0], [0.3, -2.0, 5.5, 0.3]])
def test_the_best_of_k_is_the_mean_over_all_choices_of_k(values: list[float]) -> None:
    for k in range(1, len(values) + 1):
        every = fmean(max(some) for some in itertools.combinations(values, k))
        assert draws.best_of(values, k) == pytest.approx(every)
    assert draws.sizes(5) == [2, 4, 5]
    assert draws.sizes(8) == [2, 4, 8]
    assert draws.sizes(1) == []


def test_a_run_draws_several_answers_to_each_sample(zoo, tmp_path: Path) -> None:
    plain = Plain(model=zoo("a-small-chat"))
    evaluate(job(tmp_path / "one", plain, SAMPLED))
    summary = evaluate(job(tmp_path / "three", plain, THREE))
    one, three = (reader.read_samples(tmp_path / name) for name in ("one", "three"))
    answers = {line["id"]: line["completion"] for line in three}
    assert len(answers) == 18
    assert all(answers[line["id"]] == line["completion"] for line in one)
    # A further draw is what the sample would be answered under the name of that draw.
    asked = {s.id: s.conversation for s in WordProblems().samples(6)}
    renamed = {f"{i}#{n}": asked[i] for i in asked for n in (2, 3)}
    assert {c.id: c.text for c in plain.stream(renamed, SAMPLED)} == {
        i: answers[i] for i in renamed
    }
    assert [(line["of"], line["draw"]) for line in three] == [
        (i, n) for i in asked for n in (1, 2, 3)
    ]
    assert len({answers[i] for i in answers if i.partition("#")[0] == next(iter(asked))}) > 1
    # Estimates are over samples, whose draws are no independent answers.
    scores = {i: [line["scores"]["accuracy"] for line in three if line["of"] == i] for i in asked}
    metrics = summary["metrics"]
    over_samples = estimates.share([fmean(own) for own in scores.values()])
    assert metrics["accuracy"] == over_samples.to_dict()
    assert metrics["accuracy"]["n"] == 6
    for k in (2, 3):
        best = [
            fmean(max(some) for some in itertools.combinations(own, k)) for own in scores.values()
        ]
        assert metrics[f"accuracy_pass@{k}"]["value"] == pytest.approx(fmean(best))
    (found,) = [Run(folder=tmp_path / "three", config={}, summary=summary)]
    assert found.scores() == {i: fmean(own) for i, own in scores.items()}


def test_a_run_of_several_draws_resumes(zoo, tmp_path: Path) -> None:
    plain = Plain(model=zoo("a-small-chat"))
    whole = evaluate(job(tmp_path, plain, THREE, limit=3))
    before = (tmp_path / "samples.jsonl").read_text()
    (tmp_path / "samples.jsonl").write_text("".join(before.splitlines(keepends=True)[:4]))
    (tmp_path / "summary.json").unlink()
    again = evaluate(job(tmp_path, plain, THREE, limit=3))
    assert again["metrics"] == whole["metrics"]
    told = [json.loads(line) for line in before.splitlines()]
    assert reader.read_samples(tmp_path) == told


@pytest.mark.parametrize("every", [0.0, 1.0, 0.5])
def test_shares_that_are_all_alike_claim_no_certainty(every: float) -> None:
    """Ten samples of which all draws are right say no more than ten that are right once."""
    low, high = estimates.share([every] * 10).ci95
    assert (low, high) == estimates.proportion(round(10 * every), 10).ci95
    low, high = estimates.share([every] * 9 + [0.4]).ci95
    assert 0 <= low < 0.9 * every + 0.04 < high <= 1
    spread = [every] * 9 + [0.4] * 9
    assert estimates.share(spread) == estimates.mean(spread, (0, 1))


def test_draws_that_mean_nothing_are_refused(zoo) -> None:
    with pytest.raises(ValueError, match="draws=2 at temperature=0: they would all be alike"):
        Generation(draws=2)
    with pytest.raises(ValueError, match=r"draws=0: accepted are whole numbers from 1 up"):
        Generation(draws=0)
    with pytest.raises(ValueError, match="draws=3: a run draws so often"):
        Plain(model=zoo("a-small-chat")).complete(["What is 1 + 2?"], THREE)
    asked = Conversation(question="What is 1 + 2?")
    twins = [Sample(id=i, conversation=asked, target="3") for i in ("7", "7#2")]
    with pytest.raises(ValueError, match="'7#2' would name draws of samples '7' and '7#2'"):
        draws.of_samples(twins, 2)
