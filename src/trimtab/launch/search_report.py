"""What a search says: what it looks for, each trial in a line, and what came of it."""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from statistics import fmean

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from trimtab.launch.search_identity import Search
from trimtab.launch.search_space import Point, plain
from trimtab.launch.search_study import best_of, facts_of, rank, tried
from trimtab.machine.numbers_as_text import estimate, score
from trimtab.runs import draws, reader
from trimtab.statistics import several


def announce(search: Search, study: Study) -> None:
    """Say what is looked for, and what is there already."""
    plan = search.plan
    aim = "lowest" if plan.minimize else "highest"
    where = ", ".join(f"{key} {grid}" for key, grid in plan.space.grids.items())
    print(f"{where}, for the {aim} {search.metric} ({search.rows}): {search.total} trials")
    if search.total < plan.trials:
        print(f"There are no more than {search.total} values; a smaller --step gives more.")
    if done := len(tried(study)):
        print(f"{done} trials are there already{_best_so_far(search, study, ', the best ')}")


def tell_trial(search: Search, study: Study, count: int, point: Point, outcome: str | None) -> None:
    """Say what came of a trial, None where it failed, and where the search stands."""
    space = search.plan.space
    width = max(24, 2 + max(len(" ".join(space.assignments(first))) for first in space.first))
    setting = " ".join(space.assignments(point))
    print(
        f"{count:>3}/{search.total}  {setting:<{width}}{outcome or 'failed':<40}"
        f"{_best_so_far(search, study, 'best ')}",
        flush=True,
    )


def conclude(search: Search, study: Study, failed: int) -> None:
    """Say which point is the best, what it took, and what to do next."""
    done, best, plan = tried(study), best_of(study), search.plan
    if failed:
        said = f"trimtab: {failed} of {search.total} trials failed; the same command tries again"
        print(said, file=sys.stderr)
    if best is None:
        return
    facts = [facts_of(trial) for trial in done]
    assignments = plan.space.assignments(plan.space.point(best.params))
    whole = facts_of(best)["samples"]
    reused = sum(fact["found"] == whole for fact in facts)
    pruned = sum(trial.state == TrialState.PRUNED for trial in done)
    computed = sum(fact["samples"] - fact["found"] for fact in facts)
    took = sum(trial.duration.total_seconds() for trial in done if trial.duration)
    options = [f"--config-dir={folder}" for folder in plan.source.further]
    again = ["trimtab", "run", *options, *plan.overrides, *assignments]
    lines = {
        "best": f"{' '.join(assignments)}: {search.metric} "
        f"{estimate(best.value, facts_of(best)['ci95'])}, n = {whole} ({search.rows})",
        "": _on_others(search, study),
        "trials": f"{len(done)}: {len(done) - pruned - reused} run, {pruned} given up early, "
        f"{reused} found finished",
        "samples": f"{computed:,} computed; {len(done) * whole:,} in these runs as a whole, "
        f"{len(plan.space) * whole:,} in all {len(plan.space):,} values",
        "time": f"{took:,.0f} s in trials",
        "kept in": str(search.file),
        "as good": _comparison(search, best),
        "again": shlex.join(again),
    }
    print()
    for name, text in lines.items():
        if text is not None:
            print(f" {name:<9}{text}")


def _best_so_far(search: Search, study: Study, lead: str) -> str:
    best = best_of(study)
    if best is None:
        return ""
    point = " ".join(map(plain, search.plan.space.point(best.params)))
    return f"{lead}{point}: {score(best.value)}"


def _on_others(search: Search, study: Study) -> str | None:
    """Return what the best is worth on samples that did not pick it; None where none was picked."""
    whole = [trial for trial in tried(study) if trial.state == TrialState.COMPLETE]
    scores = [_scores(search, trial) for trial in sorted(whole, key=partial(rank, study))]
    sign = -1 if search.plan.minimize else 1
    signed = [{i: sign * score for i, score in own.items()} for own in scores]
    found = several.held_out(signed) if len(signed) > 1 else None
    if found is None:
        return None
    ends = sorted(sign * end for end in found.ci95) if found.ci95 else None
    return (
        f"It was picked by these samples; on others {search.metric} "
        f"{estimate(sign * found.value, ends)} (cross-fitting in halves)."
    )


def _scores(search: Search, trial: FrozenTrial) -> dict[str, float]:
    """Return a trial's score of each sample, the mean of its draws; none where its run is gone."""
    lines = reader.read_samples(search.file.parent / facts_of(trial)["folder"])
    scored = ((draws.sample_of(x), x["scores"]) for x in lines)
    found = draws.by_sample((i, own[search.metric]) for i, own in scored if search.metric in own)
    return {i: fmean(values) for i, values in found.items()}


def _comparison(search: Search, best: FrozenTrial) -> str | None:
    """Return the command that says which other values are as good; None where none does."""
    plan, task, root = search.plan, search.task, search.file.parents[1]
    further = [] if search.metric == task.metric else ["--metric", search.metric]
    if [*plan.space.grids] == [f"method.{search.dial}"] and not plan.minimize:
        further += [] if task.split == "validation" else ["--split", task.split or "none"]
        return shlex.join(["trimtab", "choose", str(root), *further])
    folder = os.path.normpath(search.file.parent / facts_of(best)["folder"])
    # `choose` is about one dial.
    return None if further else shlex.join(["trimtab", "table", str(root), "--against", folder])
