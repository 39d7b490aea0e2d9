"""Where a dial should stand: planted optima are found, and no more is claimed than the data say."""

import io
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from rich.console import Console
from run_folders import write_run

from trimtab.cli import main
from trimtab.results import choice_text, choose, frames
from trimtab.results.choice import LEVEL, Choice, Position
from trimtab.statistics import estimates


@dataclass(frozen=True, kw_only=True)
class Made(frames.Run):
    """A run that was never on disk, for many repetitions."""

    lines: Sequence[Mapping[str, Any]]

    @property
    def samples(self) -> Sequence[Mapping[str, Any]]:
        return self.lines


def made(scores: Mapping[float, Sequence[float]]) -> frames.Curve:
    """Return a curve with the scores of each value of its dial."""
    return frames.Curve(
        runs=[
            Made(
                folder=Path(f"task/method/{value}"),
                config={"method": {}},
                summary={
                    "task": {"metric": "score", "source": "", "split": "validation"},
                    "dial": {"name": "strength", "value": value},
                    "metrics": {"score": estimates.mean(column).to_dict()},
                },
                lines=[
                    {"id": i, "scores": {"score": score}, "measures": {}, "stop_reason": "end"}
                    for i, score in enumerate(column)
                ],
            )
            for value, column in scores.items()
        ]
    )


def on_disk(
    root: Path, scores: Mapping[float, Sequence[float]], **settings: Any
) -> Callable[[], Choice]:
    """Write a run for each value of a dial; gives what chooses among them."""
    for value, column in scores.items():
        write_run(root, column, value=value, **settings)
    return lambda: choose.choose(*frames.curves(frames.read([root])))


def values(positions: Sequence[Position]) -> list[float]:
    return [position.value for position in positions]


# ---------------------------------------------------------------------------- what is found


@pytest.mark.parametrize("binary", [True, False])
def test_a_planted_optimum_is_found(binary):
    planted = {0.0: 0.55, 0.2: 0.7, 0.4: 0.9, 0.6: 0.7, 0.8: 0.55}
    found, kept, repetitions = 0, 0, 100
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        easy = rng.uniform(size=150)  # the same samples are easy for all values
        noise = rng.uniform(-0.2, 0.2, size=(5, 150))
        curve = made(
            {
                value: ((easy + each < share) if binary else share - easy / 4 + each).tolist()
                for (value, share), each in zip(planted.items(), noise, strict=True)
            }
        )
        choice = choose.choose(curve)
        found += choice.best.value == 0.4
        kept += 0.4 in values(choice.indistinguishable)
        # The far values are never taken for the best one.
        assert not {0.0, 0.8} & set(values(choice.indistinguishable))
    assert (found, kept) == (repetitions, repetitions)


@pytest.mark.slow
def test_a_flat_curve_is_called_flat():
    # No value differs from any other in truth: any at all is left out in less than 5 %.
    rng = np.random.default_rng(0)
    repetitions, given, some, beforehand = 600, 0, 0, 0
    for _ in range(repetitions):
        skill = rng.normal(size=60)
        columns = {value: (skill + rng.normal(size=60)).tolist() for value in range(5)}
        kept = values(choose.choose(made(columns)).indistinguishable)
        given += 2 not in kept
        some += len(kept) < 5
        scores = {value: dict(enumerate(column)) for value, column in columns.items()}
        p_values = [estimates.paired(scores[i], scores[0]).p_value for i in range(1, 5)]
        beforehand += min(estimates.holm(p_values)) < LEVEL
    # Three standard deviations of the counts are 2.7 % of the repetitions for a rate of 5 %.
    assert beforehand / repetitions < 0.05 + 0.027
    assert given / repetitions <= some / repetitions < 0.05


def test_of_two_equal_values_above_others_each_is_kept():
    rng = np.random.default_rng(1)
    kept = [0, 0, 0]
    for _ in range(400):
        means = (1.0, 1.0, 0.0, -1.0)
        columns = {i: (mean + rng.normal(size=80)).tolist() for i, mean in enumerate(means)}
        for value in values(choose.choose(made(columns)).indistinguishable):
            kept[min(value, 2)] += 1
    assert min(kept[:2]) / 400 > 0.95
    assert kept[2] / 400 < 0.05


@pytest.mark.parametrize("binary", [True, False])
def test_the_tests_are_paired_and_corrected(binary):
    rng = random.Random(3)
    best = [float(rng.random() < 0.8) if binary else rng.gauss(1.0, 1) for _ in range(50)]
    columns = {
        0.1: [score if rng.random() < 0.9 else 0.0 for score in best],
        0.2: best,
        0.3: [score if rng.random() < 0.6 else 0.0 for score in best],
    }
    choice = choose.choose(made(columns))
    assert choice.best.value == 0.2
    assert (choice.best.against_best, choice.best.p_value) == (None, 1.0)
    raw = {}
    for pair in ((0.1, 0.2), (0.2, 0.3), (0.1, 0.3)):
        apart = np.subtract(*(columns[value] for value in pair))
        apart = apart[apart != 0]
        assert len(apart) < 25  # so that signs, not Student's t, decide
        raw[pair] = (
            scipy.stats.binomtest(int((apart > 0).sum()), len(apart)).pvalue
            if binary
            else scipy.stats.permutation_test(
                (apart,), np.sum, permutation_type="samples", n_resamples=2**21, batch=4096
            ).pvalue
        )
    ranked = sorted(raw, key=raw.get)
    stepped = [(3 - place) * raw[pair] for place, pair in enumerate(ranked)]
    expected = {pair: min(1, max(stepped[: n + 1])) for n, pair in enumerate(ranked)}
    found = [p for p in choice.positions if p.value != 0.2]
    assert [p.p_value for p in found] == pytest.approx(
        [expected[0.1, 0.2], expected[0.2, 0.3]], rel=1e-6
    )
    assert {p.against_best.test for p in found} == {"exact McNemar" if binary else "sign-flip"}
    assert all(p.against_best.difference < 0 for p in found)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({0.8: [1, 0], 0.4: [0, 1], 0.6: [1, 0]}, 0.4),
        ({-1.0: [1, 1], 0.0: [1, 0], 1.0: [1, 1]}, 1.0),
        ({-0.5: [1, 1], 1.0: [1, 1]}, -0.5),
        ({0.0: [0, 0], 1.0: [0, 0]}, 0.0),
        ({0.0: [0, 0], 1.0: [0, 1]}, 1.0),  # no tie
    ],
)
def test_of_equal_bests_the_dial_is_turned_least(scores, best):
    assert choose.choose(made(scores)).best.value == best


def test_one_sample_tells_nothing_apart():
    assert values(choose.choose(made({0.0: [0.1], 1.0: [0.9]})).indistinguishable) == [0.0, 1.0]


def test_any_score_of_the_task_can_be_asked_for(tmp_path):
    better = [float(i % 10 > 0) for i in range(40)]
    worse = [float(i % 10 > 7) for i in range(40)]
    write_run(tmp_path, better, value=0.2, metric="accuracy")
    write_run(tmp_path, worse, value=0.4, metric="accuracy")
    (curve,) = frames.curves(frames.read([tmp_path]))
    assert choose.choose(curve, "accuracy") == choose.choose(curve)
    with pytest.raises(choose.NoChoice, match=r"'acuracy'.*Did you mean 'accuracy'.*Accepted"):
        choose.choose(curve, "acuracy")
    # More of a measure, such as the guide's share, is not better: it is no score.
    write_run(tmp_path, better, value=0.6, measures={"guide_ratio": [0.5] * 40})
    with pytest.raises(choose.NoChoice, match=r"'guide_ratio' is not known.*Accepted: accuracy"):
        choose.choose(curve, "guide_ratio")


# ---------------------------------------------------------------------------- what follows


def test_the_cheapest_of_nudging_says_least_by_the_guide(tmp_path):
    shares = {0.0: 0.01, 0.2: 0.08, 0.4: 0.05, 0.6: 0.05, 0.8: 0.07}
    right = {0.0: 30, 0.2: 90, 0.4: 89, 0.6: 89, 0.8: 88}  # of 100
    for value, share in shares.items():
        scores = [float(i < right[value]) for i in range(100)]
        write_run(tmp_path, scores, value=value, measures={"guide_ratio": [share] * 100})
    (curve,) = frames.curves(frames.read([tmp_path]))
    choice = choose.choose(curve, margin=0.05)
    assert choice.best.value == 0.2
    assert values(choice.indistinguishable) == [0.2, 0.4, 0.6, 0.8]
    # 0.8 lost two samples of 100, which may stand for 6 %.
    assert values(choice.within_margin) == [0.2, 0.4, 0.6]
    # Not 0, which is worse, nor the best itself; of 0.4 and 0.6, the one nearer to 0.
    assert choice.cheapest.value == 0.4
    assert choice.cheapest.guide_ratio == pytest.approx(0.05)
    text = shown([choice])
    assert "threshold 0.4: the guide says 5.00 % of the words" in text
    # A hundred samples do not show that a value is within two points of another.
    choice = choose.choose(curve)
    assert values(choice.within_margin) == [0.2]
    assert "none is shown to be at most 0.02 below the best (--margin)" in shown([choice])
    with pytest.raises(ValueError, match=r"margin=-1: accepted are numbers from 0 up"):
        choose.choose(curve, margin=-1)


def test_without_a_guide_nothing_is_called_cheapest(tmp_path):
    assert on_disk(tmp_path, {0.0: [1, 0], 1.0: [1, 1]}, method="dera")().cheapest is None


_RISING = {
    -0.5: [0.0] * 30,
    0.5: [0.0, 1.0] * 15,
    1.0: [0.0] + [1.0] * 29,
    2.0: [1.0] * 30,
}


def test_dera_says_the_kl_weight_to_retrain_at(tmp_path):
    choice = on_disk(tmp_path, _RISING, method="dera", metric="reward", beta=0.1)()
    assert choice.betas == [0.1]
    assert [choice.kl_weight(p) for p in choice.positions] == [
        None,
        pytest.approx(0.2),
        pytest.approx(0.1),
        pytest.approx(0.05),
    ]
    assert choice.best.value == 2.0
    assert values(choice.indistinguishable) == [1.0, 2.0]
    text = shown([choice])
    assert "KL weight 0.05 = beta 0.1 / strength 2; over the indistinguishable, 0.05 to 0.1" in text
    assert "where to begin: DeRa approximates" in text


def test_beta_of_one_run_is_enough_and_several_are_named(tmp_path):
    on_disk(tmp_path, {0.5: [1.0, 0.0], 1.0: [1.0, 1.0]}, method="dera")
    assert "no run records beta" in shown(chosen(tmp_path))
    write_run(tmp_path, [1.0, 0.0], method="dera", value=2.0, beta=0.3)
    (choice,) = chosen(tmp_path)
    assert choice.kl_weight(choice.best) == pytest.approx(0.3)
    write_run(tmp_path, [1.0, 0.0], method="dera", value=3.0, beta=0.7)
    (choice,) = chosen(tmp_path)
    assert choice.kl_weight(choice.best) is None
    assert "several betas of one aligned model: 0.3, 0.7" in shown([choice])


def test_no_kl_weight_stands_for_strength_0_and_below(tmp_path):
    falling = {-value: scores for value, scores in _RISING.items()}
    choice = on_disk(tmp_path, {**falling, 0.0: [1.0] * 30}, method="dera", beta=0.1)()
    assert choice.best.value == 0.0
    text = shown([choice])
    assert "no KL weight: none stands for strength 0" in text
    assert "indistinguishable, " not in text.split("retrain at")[1]
    assert "where to begin" not in text
    # Where positive strengths are as good, the weights of these are said, without an upper end.
    write_run(tmp_path / "more", [1.0] * 30, method="dera", value=0.0, beta=0.1)
    write_run(tmp_path / "more", [1.0] * 30, method="dera", value=0.5, beta=0.1)
    assert "over the indistinguishable, 0.2 and more" in shown(chosen(tmp_path / "more"))


# ---------------------------------------------------------------------------- which runs count


def chosen(root: Path, **settings: Any) -> list[Choice]:
    return choose.choose_each(frames.read([root]), **settings)[0]


def test_only_runs_over_the_same_rows_are_compared(tmp_path):
    choose_now = on_disk(tmp_path, {0.2: [1.0] * 20, 0.4: [1.0] * 18 + [0.0] * 2, 0.6: [0.0] * 20})
    odd = write_run(tmp_path, [1.0] * 20, value=0.8)
    file = odd / "samples.jsonl"
    file.write_text(file.read_text().replace('"id": "7"', '"id": "x7"'))
    changed = write_run(tmp_path, [1.0] * 20, value=0.9)
    (changed / "run.json").write_text(json.dumps({"content": {"data": "edited meanwhile"}}))
    gone = write_run(tmp_path, [1.0] * 20, value=0.1)
    (gone / "samples.jsonl").unlink()
    choice = choose_now()
    assert values(choice.positions) == [0.2, 0.4, 0.6]
    # Three pairs, so the correction is for three.
    assert choice.positions[2].p_value == pytest.approx(3 * 2 / 2**20)
    assert choice.left_out == [
        f"threshold 0.1: its samples are gone, {gone}.",
        f"threshold 0.8: other rows or weights than most of its curve, {odd}.",
        f"threshold 0.9: other rows or weights than most of its curve, {changed}.",
    ]
    assert "threshold 0.8: other rows or weights" in shown([choice])


def test_runs_whose_samples_are_gone_leave_nothing_to_choose(tmp_path):
    choose_now = on_disk(tmp_path, {0.2: [1.0], 0.4: [0.0]})
    for file in tmp_path.rglob("samples.jsonl"):
        file.unlink()
    with pytest.raises(choose.NoChoice, match=r"but none\.(?s:.*)0\.4: its samples are gone"):
        choose_now()


def test_a_run_that_is_there_twice_counts_once(tmp_path):
    on_disk(tmp_path / "a", {0.2: [1.0] * 8, 0.4: [0.0] * 8})
    on_disk(tmp_path / "b", {0.4: [0.0] * 8})
    (choice,) = chosen(tmp_path)
    assert values(choice.positions) == [0.2, 0.4]
    assert choice.positions[1].p_value == pytest.approx(2 / 2**8)
    (line,) = choice.left_out
    assert "the same again" in line and str(tmp_path / "b") in line


def test_a_value_alone_leaves_nothing_to_choose(tmp_path):
    on_disk(tmp_path, {0.4: [1.0, 0.0]})
    write_run(tmp_path, [1.0, 0.0], method="base")
    by_method = {curve.runs[0].method: curve for curve in frames.curves(frames.read([tmp_path]))}
    with pytest.raises(choose.NoChoice, match=r"no two values of threshold to compare, but 0\.4"):
        choose.choose(by_method["nudging"])
    with pytest.raises(choose.NoChoice, match="has no dial"):
        choose.choose(by_method["base"])
    with pytest.raises(ValueError, match=r"Nothing to choose from:(?s:.*)multirun"):
        chosen(tmp_path)
    # Next to a curve they are named.
    on_disk(tmp_path, {0.2: [1.0] * 3, 0.4: [0.0] * 3})
    choices, left_out = choose.choose_each(frames.read([tmp_path]))
    assert len(choices) == 1
    assert len(left_out) == 2
    assert "base: base-model + guide-model: has no dial." in left_out


def test_the_test_split_is_kept_for_the_end(tmp_path):
    scores = {0.2: [1.0] * 6, 0.4: [0.0] * 6}
    on_disk(tmp_path, scores, split="test")
    with pytest.raises(
        ValueError, match=r"2 on split test\..*task\.split=validation.*--split test"
    ):
        chosen(tmp_path)
    (choice,) = chosen(tmp_path, split="test")
    assert choice.best.run.split == "test"
    on_disk(tmp_path, {0.2: [0.0] * 6, 0.4: [1.0] * 6})
    choices, left_out = choose.choose_each(frames.read([tmp_path]))
    assert [choice.best.value for choice in choices] == [0.4]  # by the validation runs
    assert left_out == ["2 runs on split test."]


def test_rows_without_a_split_are_chosen_by_when_asked_for(tmp_path):
    on_disk(tmp_path, {0.2: [1.0] * 6, 0.4: [0.0] * 6}, split=None)
    with pytest.raises(ValueError, match=r"2 on rows without a split.*--split none"):
        chosen(tmp_path)
    assert len(chosen(tmp_path, split=None)) == 1


def test_curves_of_one_name_are_told_apart(tmp_path):
    on_disk(tmp_path, {0.2: [1.0] * 6, 0.4: [0.0] * 6})
    on_disk(tmp_path, {0.2: [1.0] * 9, 0.4: [0.0] * 9})
    assert sorted(choice.name for choice in chosen(tmp_path)) == [
        "nudging: base-model + guide-model (limit=6)",
        "nudging: base-model + guide-model (limit=9)",
    ]


# ---------------------------------------------------------------------------- the command


def shown(choices: Sequence[Choice]) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(choice_text.render(choices))
    return console.export_text()


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """`trimtab choose`, from an empty folder; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))  # the command adds to it

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["trimtab", "choose", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_the_command_says_what_the_library_says(command, tmp_path):
    choice = on_disk(
        tmp_path / "results", {0.2: [1.0] * 29 + [0.0], 0.4: [1.0] * 30, 0.8: [0.0] * 30}
    )()
    write_run(tmp_path / "results", [1.0] * 30, method="base")
    begun = write_run(tmp_path / "results", [1.0] * 30, value=0.9)
    (begun / "summary.json").unlink()
    code, out, err = command()  # `results` is where runs are
    assert (code, err) == (0, "")
    low, high = choice.best.score["ci95"]
    assert f"threshold 0.4: accuracy 1.000 [{low:.3f}, {high:.3f}]" in out
    rows = [line.split() for line in out.splitlines() if line.strip()[:3] in ("0.2", "0.4", "0.8")]
    assert [row[-1] for row in rows] == ["indistinguishable", "best", "worse"]
    assert "indistinguishable  0.2, 0.4 " in out
    assert "base: base-model + guide-model: has no dial." in out
    assert "Left out: 1 unfinished;" in out


@pytest.mark.parametrize(("columns", "absent"), [(120, []), (80, []), (68, ["guide words"])])
def test_a_narrow_terminal_gets_every_cell_whole(columns, absent, command, tmp_path, monkeypatch):
    ratios = {"guide_ratio": [0.25] * 40}
    scores = {0.1: [1.0] * 20 + [0.1] * 20, 0.2: [1.0] * 39 + [0.5], 0.9: [1.0] * 39 + [0.9]}
    choice = on_disk(tmp_path, scores, measures=ratios)()
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = command(".")
    lines = [line.rstrip() for line in out.partition("\n best")[0].splitlines()]
    assert max(map(len, lines)) <= columns
    verdicts = ("worse", "indistinguishable", "best")
    said = tuple(word for word in " ".join(lines).split() if word in verdicts)
    assert said == verdicts
    for position in choice.positions:
        low, high = position.score["ci95"]
        assert f"[{low:.3f}, {high:.3f}]" in " ".join(lines)
    assert ("25.00 %" in " ".join(lines)) == (not absent)
    assert (f"No room here for {', '.join(absent)}." in out) == bool(absent)


def test_the_command_speaks_json(command, tmp_path):
    choice = on_disk(tmp_path, _RISING, method="dera", metric="reward", beta=0.1)()
    code, out, err = command(".", "--json")
    assert (code, err) == (0, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(out, parse_constant=refuse)
    (said,) = content["choices"]
    assert (said["dial"], said["best"], said["indistinguishable"]) == ("strength", 2.0, [1.0, 2.0])
    assert (said["split"], said["metric"], said["cheapest"]) == ("validation", "reward", None)
    assert [p["kl_weight"] for p in said["positions"]] == [
        choice.kl_weight(p) for p in choice.positions
    ]
    assert said["held_out"] == choice.held_out.to_dict()
    assert (said["margin"], said["within_margin"]) == (0.02, [2.0])
    best = said["positions"][-1]
    assert best["score"] == dict(choice.best.score)
    assert (best["against_best"], best["p_value"]) == (None, 1.0)
    assert said["positions"][0]["against_best"]["difference"] == -1.0
    assert content["left_out"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is no folder"),
        (["empty"], "No finished run below empty"),
        (["test"], "2 on split test"),
        (["validation", "--split", "test"], "2 on split validation"),
        (["validation", "--metric", "acuracy"], "Did you mean 'accuracy'"),
        (["validation", "--metric", "guide_ratio"], "Accepted: accuracy"),
        (["alone"], "no two values of threshold to compare, but 0.4"),
    ],
)
def test_a_mistake_is_a_message(arguments, message, command, tmp_path):
    (tmp_path / "empty").mkdir()
    for split in ("test", "validation"):
        on_disk(tmp_path / split, {0.2: [1.0, 0.0], 0.4: [0.0, 0.0]}, split=split)
    write_run(tmp_path / "alone", [1.0, 0.0], value=0.4)
    code, out, err = command(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("trimtab: error: ")
    assert err.count("trimtab: error") == 1
    assert message in err
    assert "Traceback" not in err


def test_seeds_are_repetitions_of_one_choice(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    chances = {0.2: 0.3, 0.6: 0.8}
    scores = {
        value: [[float(x) for x in chance.random(40) < p] for _ in range(3)]
        for value, p in chances.items()
    }
    for value, by_seed in scores.items():
        for seed, own in enumerate(by_seed):
            write_run(tmp_path, own, value=value, seed=seed)
    write_run(tmp_path, [1.0] * 40, value=0.6, seed=9)  # which only one value was run with
    (choice,), _ = choose.choose_each(frames.read([tmp_path]))
    assert choice.seeds == [0, 1, 2]
    low, high = choice.positions
    assert choice.best is high and not low.indistinguishable
    means = {value: np.mean(by_seed, axis=0) for value, by_seed in scores.items()}
    assert high.score["value"] == pytest.approx(means[0.6].mean())
    assert low.against_best is not None
    assert low.against_best.difference == pytest.approx((means[0.2] - means[0.6]).mean())
    assert low.p_value == pytest.approx(scipy.stats.ttest_rel(means[0.2], means[0.6]).pvalue)
    # Each half of the samples finds 0.6 by far the best, so that the other is scored there.
    assert choice.held_out.to_dict() == high.score
    (left,) = choice.left_out
    assert "0.6: seed 9, which not every value was run with" in left
    console = Console(file=io.StringIO(), width=100)
    console.print(choice_text.render([choice]))
    assert "n = 40, over seeds 0, 1, 2" in console.file.getvalue()
