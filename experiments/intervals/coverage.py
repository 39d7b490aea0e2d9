"""How often printed intervals hold the truth, and how often `choose` errs, by simulation.

    python experiments/intervals/coverage.py [--repetitions 2000] [--out results/intervals]

Every row draws scores of a known mean again and again and asks the package's own functions.
`covered` is the share of the intervals given that hold the truth, `none` how often none is given.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from trimtab.statistics import agreement, estimates, several
from trimtab.statistics.repeated import repeated
from trimtab.statistics.win_rate import win_rate

Draw = Callable[[np.random.Generator, int], np.ndarray]
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """What came of a case: an interval's coverage or, of a test or a choice, how often it errs."""

    of: str  # the interval or the decision
    case: str  # what scores were drawn from
    n: int  # samples
    held: float  # of the intervals given, the share that holds the truth; of decisions, the right
    none: float  # share of the repetitions in which no interval was given
    repetitions: int


def seeded(name: str) -> np.random.Generator:
    """Return draws of a case's own, so that one row can be repeated without the others."""
    return np.random.default_rng(zlib.crc32(name.encode()))


# ---------------------------------------------------------------------------- what scores are


def ceiling(share: float, rest: Draw) -> Draw:
    """Return draws that are 1 with a probability, and others elsewhere."""
    return lambda rng, n: np.where(rng.random(n) < share, 1.0, rest(rng, n))


def seldom_low(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mostly a little below the ceiling, now and then far."""
    return np.where(rng.random(n) < 0.8, 0.9, 0.0)


BOUNDED: dict[str, Draw] = {
    "98 % at 1, others uniform": ceiling(0.98, lambda rng, n: rng.random(n).round(2)),
    "98 % at 1, others 0.9 or 0": ceiling(0.98, seldom_low),
    "90 % at 1, others uniform": ceiling(0.9, lambda rng, n: rng.random(n).round(2)),
    "60 % at 1, others uniform": ceiling(0.6, lambda rng, n: rng.random(n).round(2)),
    "beta(8, 2)": lambda rng, n: rng.beta(8, 2, n).round(4),
    "beta(0.5, 0.5)": lambda rng, n: rng.beta(0.5, 0.5, n).round(4),
}
UNBOUNDED: dict[str, Draw] = {
    "gamma(2), as divergences": lambda rng, n: rng.gamma(2, size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "Poisson(0.02), as rare counts": lambda rng, n: rng.poisson(0.02, n).astype(float),
    "Poisson(2)": lambda rng, n: rng.poisson(2, n).astype(float),
}


def mean_of(draw: Draw) -> float:
    """Return a distribution's mean, of many draws."""
    return float(draw(np.random.default_rng(0), 1_000_000).mean())


# ---------------------------------------------------------------------------- intervals


def covered(name: str, case: str, n: int, truth: float, again: int, one: Callable) -> Row:
    """Draw an interval again and again, and count those that hold the truth."""
    rng = seeded(f"{name} {case} {n}")
    found: list[Interval] = [one(rng) for _ in range(again)]
    given = [ends for ends in found if ends is not None]
    held = sum(low - 1e-12 <= truth <= high + 1e-12 for low, high in given)
    share = held / len(given) if given else 1.0
    return Row(name, case, n, share, 1 - len(given) / again, again)


def shares(again: int) -> Iterator[Row]:
    """Yield the coverage of the interval of a share, near its ends too."""
    for n in (20, 50, 250):
        for p in (0.002, 0.01, 0.05, 0.5, 0.9, 0.98):
            yield covered(
                "share", f"p = {p:g}", n, p, again,
                lambda rng, n=n, p=p: estimates.proportion(int(rng.binomial(n, p)), n).ci95,
            )  # fmt: skip


def means(again: int) -> Iterator[Row]:
    """Yield the coverage of means: of known bounds, of none, and without an upper one."""
    kinds = (
        ("mean, bounds known", BOUNDED, (0.0, 1.0)),
        ("mean, no upper bound", UNBOUNDED, (0.0, np.inf)),
        ("mean, bounds unknown", {"normal": lambda rng, n: rng.normal(size=n)}, None),
    )
    for name, cases, bounds in kinds:
        for case, draw in cases.items():
            truth = 0.0 if case == "normal" else mean_of(draw)
            for n in (50, 250):
                yield covered(
                    name, case, n, truth, again,
                    lambda rng, n=n, draw=draw, bounds=bounds: estimates.of_scores(
                        draw(rng, n).tolist(), bounds
                    ).ci95,
                )  # fmt: skip


def clusters(again: int) -> Iterator[Row]:
    """Yield the coverage of several draws of each question, and of several seeds."""
    for draws in (2, 5, 10):

        def of_draws(rng: np.random.Generator, draws: int = draws) -> Interval:
            skill = rng.beta(0.5, 0.5, 50)
            return estimates.share((rng.binomial(draws, skill) / draws).tolist()).ci95

        yield covered("share, several draws", f"{draws} draws", 50, 0.5, again, of_draws)

        def of_seeds(rng: np.random.Generator, draws: int = draws) -> Interval:
            skill = rng.beta(0.5, 0.5, 50)
            return repeated((rng.random((draws, 50)) < skill).astype(float).tolist()).ci95

        yield covered("share, several seeds", f"{draws} seeds", 50, 0.5, again, of_seeds)


def changed(rng: np.random.Generator, n: int, share: float, sizes: list[float]) -> np.ndarray:
    """Return differences of which a share is not 0."""
    return np.where(rng.random(n) < share, rng.choice(sizes, n), 0.0)


def differences(again: int) -> Iterator[Row]:
    """Yield the coverage of paired differences, and the level of their tests without one."""
    skewed = [0.1] * 9 + [-0.9]
    for n, share, sizes, what in (
        (50, 0.1, [0.3, -0.3], "symmetric"),
        (250, 0.02, skewed, "mean 0, skewed"),
        (50, 0.1, skewed, "mean 0, skewed"),
        (250, 0.4, [0.3, -0.3, 0.7, -0.7], "symmetric"),
    ):

        def pair(rng: np.random.Generator, n=n, share=share, sizes=sizes) -> estimates.Paired:
            first = rng.random(n).round(2)
            moved = first + changed(rng, n, share, sizes)
            return estimates.paired(dict(enumerate(moved)), dict(enumerate(first)))

        case = f"{share:.0%} changed, {what}"
        yield covered("difference", case, n, 0.0, again, lambda rng, one=pair: one(rng).ci95)
        yield errs("test of a difference", case, n, again, lambda rng, one=pair: p_low(one(rng)))
    for n, win, loss in ((50, 0.1, 0.02), (50, 0.2, 0.1), (250, 0.02, 0.02), (250, 0.1, 0.05)):

        def binary(rng: np.random.Generator, n=n, win=win, loss=loss) -> estimates.Paired:
            u = rng.random(n)
            first, second = (u < win) | (u > 0.5), ((u >= win) & (u < win + loss)) | (u > 0.5)
            return estimates.paired(
                dict(enumerate(first.astype(float))), dict(enumerate(second.astype(float)))
            )

        case = f"0 or 1, {win:.0%} better, {loss:.0%} worse"
        truth = win - loss
        yield covered("difference", case, n, truth, again, lambda rng, one=binary: one(rng).ci95)
        if win == loss:
            yield errs("test of a difference", case, n, again, lambda rng, b=binary: p_low(b(rng)))
    for n, win, tie in ((50, 0.93, 0.04), (50, 0.4, 0.2), (250, 0.05, 0.9)):

        def wins(rng: np.random.Generator, n=n, win=win, tie=tie) -> Interval:
            u = rng.random(n)
            scores = (u < win) * 1.0 - (u > win + tie) * 1.0
            return win_rate(dict(enumerate(scores)), dict.fromkeys(range(n), 0.0)).ci95

        case = f"{win:.0%} won, {tie:.0%} alike"
        yield covered("win rate", case, n, win + tie / 2, again, wins)


def kappas(again: int) -> Iterator[Row]:
    """Yield the coverage of the agreement of two judges of right and wrong."""
    for share, same in ((0.5, 0.8), (0.8, 0.9)):
        chance = share**2 + (1 - share) ** 2
        truth = 1 - (1 - same) / (1 - chance)
        for n in (50, 250):

            def one(rng: np.random.Generator, n=n, share=share, truth=truth) -> Interval:
                first = rng.random(n) < share
                second = np.where(rng.random(n) < truth, first, rng.random(n) < share)
                pair = (dict(enumerate(own.astype(float))) for own in (first, second))
                return agreement.agreement(*pair).ci95

            case = f"{share:.0%} right, kappa {truth:.2f}"
            yield covered("agreement of judges", case, n, truth, again, one)


# ---------------------------------------------------------------------------- decisions


def errs(of: str, case: str, n: int, again: int, wrong: Callable) -> Row:
    """Count how often a decision is not wrong."""
    rng = seeded(f"{of} {case} {n}")
    right = 1 - sum(wrong(rng) for _ in range(again)) / again
    return Row(of, case, n, right, 0.0, again)


def p_low(pair: estimates.Paired) -> bool:
    """Whether a test rejects."""
    return pair.p_value is not None and pair.p_value < 0.05


def alike(kind: str, n: int, values: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Return draws of the scores of equal values of a dial, a row each."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        fresh = rng.random((values, n))
        if kind == "normal":
            return rng.normal(size=n) + rng.normal(size=(values, n))
        if kind == "reward at a ceiling":
            return np.where(rng.random((values, n)) < 0.9, 1.0, fresh.round(2))
        p = float(kind.split("= ")[1].split(",")[0])
        if "coupled" not in kind:
            return (fresh < p).astype(float)
        # Each value redraws three questions in ten of the one beside it, as coupled noise does.
        kept = np.empty((values, n), dtype=bool)
        kept[0] = fresh[0] < p
        for at in range(1, values):
            kept[at] = np.where(rng.random(n) < 0.3, fresh[at] < p, kept[at - 1])
        return kept.astype(float)

    return draw


KINDS = ("p = 0.5", "p = 0.5, coupled", "p = 0.95", "p = 0.02", "normal", "reward at a ceiling")


def as_runs(scores: np.ndarray) -> list[several.Scores]:
    """Return scores by sample, a run for each row."""
    return [{str(i): float(score) for i, score in enumerate(own)} for own in scores]


def chosen(again: int, sizes: tuple[tuple[int, int], ...]) -> Iterator[Row]:
    """Yield how often one of equal values is called worse, and what is said of the best."""
    for kind in KINDS:
        for n, values in sizes:
            draw, case = alike(kind, n, values), f"{values} equal values, {kind}"
            truth = float(kind.split("= ")[1].split(",")[0]) if "=" in kind else None
            if kind == "normal":
                truth = 0.0
            elif truth is None:
                truth = 0.95

            def calls_worse(rng: np.random.Generator, draw=draw) -> bool:
                scores = draw(rng)
                best = int(scores.mean(axis=1).argmax())
                return any(p < 0.05 for _, p in several.compared(as_runs(scores), best))

            def on_others(rng: np.random.Generator, draw=draw) -> Interval:
                found = several.held_out(as_runs(draw(rng)))
                return found.ci95 if found else None

            yield errs("choose: none is called worse", case, n, again, calls_worse)
            yield covered("choose: the best on other samples", case, n, truth, again, on_others)


def margins(again: int) -> Iterator[Row]:
    """Yield how often a value within the margin is truly further below the truly best."""
    for truths in ((0.6, 0.66, 0.7, 0.72, 0.735, 0.74), (0.9, *[0.95] * 2, *[0.929] * 8)):
        for n, kept in ((200, 0.0), (600, 0.0), (600, 0.9)):

            def named(rng: np.random.Generator, n=n, kept=kept, truths=truths) -> bool:
                shared = rng.random(n) < kept
                u = np.where(shared, rng.random(n), rng.random((len(truths), n)))
                scores = (u < np.array(truths)[:, None]).astype(float)
                best = int(scores.mean(axis=1).argmax())
                found = several.compared(as_runs(scores), best)
                return any(
                    place != best
                    and p >= 0.05
                    and pair.ci95 is not None
                    and pair.ci95[0] > -0.02
                    and truth < max(truths) - 0.02 - 1e-9
                    for place, ((pair, p), truth) in enumerate(zip(found, truths, strict=True))
                )

            case = f"best {max(truths):g}, others to {min(truths):g}, {kept:.0%} coupled"
            yield errs("choose: none within 0.02 is further below", case, n, again, named)


def rows(again: int, deep: bool) -> Iterator[Row]:
    """Yield every row; choices take a fifth of the repetitions."""
    for part in (shares, means, clusters, differences, kappas):
        yield from part(again)
    sizes = ((50, 5), (50, 11), (250, 5), (250, 11), (250, 21)) if deep else ((50, 5), (200, 11))
    yield from chosen(max(1, again // 5), sizes)
    yield from margins(max(1, again // 5))


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--deep", action="store_true", help="more sizes of choices")
    parser.add_argument("--out", type=Path, default=Path("results/intervals"))
    options = parser.parse_args()
    found = []
    print("| of | case | n | held | none given | repetitions |\n|---|---|---|---|---|---|")
    for row in rows(options.repetitions, options.deep):
        found.append(asdict(row))
        print(
            f"| {row.of} | {row.case} | {row.n} | {row.held:.3f} | {row.none:.2f} "
            f"| {row.repetitions} |",
            flush=True,
        )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "coverage.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
