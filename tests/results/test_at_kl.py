"""Methods at one KL from the reference: against the bootstrap, and where it cannot be said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from run_folders import write_run

from trimtab.cli import main
from trimtab.report.write import write
from trimtab.results import frames
from trimtab.results.at_kl import at_kl
from trimtab.results.at_kl_text import render

N = 120
DIALS = (0.0, 0.5, 1.0, 2.0)


def planted(gain: float, seed: int) -> dict[float, tuple[list[float], list[float]]]:
    """Scores and divergences of each sample by the dial: KL is dial^2, the score its root's."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(0, 0.1, N)
    found = {}
    for dial in DIALS:
        kl = rng.gamma(2, dial**2 / 2, N) if dial else np.zeros(N)
        score = 0.3 + gain * dial + skill + rng.normal(0, 0.1, N)
        found[dial] = (score.round(6).tolist(), kl.round(6).tolist())
    return found


def on_disk(root: Path, method: str, gain: float, seed: int = 0, **settings: str | None) -> dict:
    scores = planted(gain, seed)
    for dial, (score, kl) in scores.items():
        write_run(
            root, score, method=method, value=dial, metric="reward", measures={"kl": kl}, **settings
        )
    return scores


def by_hand(columns: dict, kl: float, ids: np.ndarray) -> float:
    """The score where the KL is reached between 0.5 and 1, of some samples."""
    (s_low, k_low), (s_high, k_high) = (
        tuple(np.array(own)[ids].mean() for own in columns[dial]) for dial in (0.5, 1.0)
    )
    return float(np.interp(kl, [k_low, k_high], [s_low, s_high]))


def test_scores_are_read_between_two_values_with_the_bootstraps_interval(tmp_path: Path) -> None:
    one, other = on_disk(tmp_path, "dera", 0.2), on_disk(tmp_path, "alignment_vector", 0.1, 1)
    ((found,), left_out) = at_kl(frames.read([tmp_path]), 0.6)
    assert left_out == [] == found.left_out
    assert [c.run.method for c in found.crossings] == ["dera", "alignment_vector"]
    rng = np.random.default_rng(5)
    draws = rng.integers(0, N, (3000, N))
    for crossing, columns in zip(found.crossings, (one, other), strict=True):
        assert crossing.between == (0.5, 1.0)
        assert crossing.kl.value == pytest.approx(0.6)
        assert crossing.kl.ci95[0] < 0.6 < crossing.kl.ci95[1]
        assert crossing.score.value == pytest.approx(by_hand(columns, 0.6, np.arange(N)))
        again = [by_hand(columns, 0.6, ids) for ids in draws]
        width = np.subtract(*np.quantile(again, [0.975, 0.025]))
        assert np.subtract(*crossing.score.ci95[::-1]) == pytest.approx(width, rel=0.1)
    best, second = found.crossings
    assert (best.against_best, best.p_value) == (None, 1)
    apart = [by_hand(other, 0.6, ids) - by_hand(one, 0.6, ids) for ids in draws]
    assert second.against_best.difference == pytest.approx(np.mean(apart), abs=0.003)
    low, high = second.against_best.ci95
    assert (low, high) == pytest.approx(np.quantile(apart, [0.025, 0.975]).tolist(), abs=0.006)
    assert second.p_value < 0.05


def test_an_interpolated_score_is_covered_as_often_as_its_interval_says(tmp_path: Path) -> None:
    """Straight lines: both are linear between the values, so that the truth is known."""
    rng, held = np.random.default_rng(2), 0
    for number in range(60):
        root = tmp_path / str(number)
        for dial in (0.5, 1.0):
            kl = rng.gamma(2, dial / 2, 60)
            score = 0.3 + 0.2 * dial + 0.1 * (kl - dial) + rng.normal(0, 0.1, 60)
            write_run(
                root, score.tolist(), method="dera", value=dial, metric="reward",
                measures={"kl": kl.tolist()},
            )  # fmt: skip
        ((found,), _) = at_kl(frames.read([root]), 0.75)
        low, high = found.crossings[0].score.ci95
        held += low <= 0.45 <= high
    assert held >= 60 * 0.95 - 3.1 * (60 * 0.95 * 0.05) ** 0.5


def test_what_does_not_reach_a_kl_or_has_none_is_named(tmp_path: Path) -> None:
    on_disk(tmp_path, "dera", 0.2)
    write_run(tmp_path, [0.5] * N, method="alignment_vector", value=0.5, metric="reward")
    write_run(tmp_path, [0.7] * N, method="alignment_vector", value=1.0, metric="reward")
    write_run(tmp_path, [0.5] * N, method="base", metric="reward")
    ((found,), _) = at_kl(frames.read([tmp_path]), 2.5)
    assert [c.between for c in found.crossings] == [(1.0, 2.0)]
    said = "\n".join(found.left_out)
    assert "alignment_vector: base-model + guide-model: strength 0.5, 1: no KL" in said
    assert "generation=sampling" in said
    assert "base: base-model + guide-model: has no two values" in said
    with pytest.raises(ValueError, match=r"at a KL of 50:(?s:.*)its KL goes from 0 to [34]\."):
        at_kl(frames.read([tmp_path]), 50)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="accepted are numbers above 0"):
            at_kl(frames.read([tmp_path]), wrong)


def test_the_commands_say_and_draw_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_disk(tmp_path, "dera", 0.2)
    on_disk(tmp_path, "alignment_vector", 0.1, 1)
    ((found,), _) = at_kl(frames.read([tmp_path]), 0.6)
    assert main.dispatch(["choose", str(tmp_path), "--at-kl", "0.6", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["at_kl"] == [json.loads(json.dumps(found.to_dict()))]
    console = Console(width=220, file=io.StringIO(), record=True)
    console.print(render([found]))
    text = console.export_text()
    low, high = found.crossings[0].score.ci95
    assert f"{found.crossings[0].score.value:.3f} [{low:.3f}, {high:.3f}]" in text
    assert "reward at a KL of 0.6" in text and "sampled from the method" in text
    runs = frames.read([tmp_path])
    marked, plain = (
        {p.name: p.read_bytes() for p in write(runs, tmp_path / f"{kl}", [tmp_path], at_kl=kl)}
        for kl in (0.6, None)
    )
    drawn = "word-problems-reward-by-kl.svg"
    assert marked[drawn] != plain[drawn]
    assert marked["word-problems-kl.svg"] == plain["word-problems-kl.svg"]
