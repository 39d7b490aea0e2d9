"""Models at the optimum of a KL weight: fine-tuned on answers of the reference, kept by reward.

    python experiments/dera-retraining/tilted.py --seeds 1 2 3 --out FOLDER

`a-small-sft` answers requests for stories, and an answer of reward r is kept with probability
`exp((r - 1) / beta)`. What is kept is drawn from `q(y) exp(r(y) / beta)`, up to normalisation: from
the policy with the largest `E[r] - beta KL(policy || a-small-sft)`, so that the likelihood of these
answers alone leads there. Each seed has answers of its own. What is there is not made again.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from experiments.zoo import world  # noqa: E402
from experiments.zoo.__main__ import make  # noqa: E402
from experiments.zoo.recipes import Recipe  # noqa: E402
from experiments.zoo.train import Schedule  # noqa: E402

from trimtab import Conversation, Generation, LanguageModel, Plain  # noqa: E402
from trimtab.tasks.embedded import HELPFUL_PREFIX, HELPFUL_SYSTEM  # noqa: E402
from trimtab.tasks.stories import FALL, MOST_WORDS, length_reward  # noqa: E402

REFERENCE = "a-small-sft"
BETAS = (0.6, 0.3, 0.2, 0.15, 0.1, 0.075)
PARTS, ANSWERS = 6, 10_000  # of the reference, for each seed: in so many parts, of so many each
STEPS = 240
CUT, WHOLE = 56, 256  # tokens: by the first, most stories are too long for any reward


def answers(asked: dict[str, str], seed: int, most: int) -> Iterator[tuple[str, str, bool]]:
    """Yield the reference's answers by their ids, and whether each is whole."""
    teller = Plain(model=LanguageModel(path=f"zoo:{REFERENCE}", prompt="chat"))
    conversations = {
        name: Conversation(system=HELPFUL_SYSTEM, question_prefix=HELPFUL_PREFIX, question=question)
        for name, question in asked.items()
    }
    sampled = Generation(temperature=1.0, seed=seed, max_new_tokens=most, batch_size=400)
    for done in teller.stream(conversations, sampled):
        yield done.id, done.text, done.stop_reason == "end"


def kept(seed: int, part: int, count: int) -> list[dict[str, object]]:
    """Return, of a part, the requests and answers that some beta of BETAS keeps, and what decides.

    `chance` is uniform, and an answer kept where it is below `exp((reward - 1) / beta)`. What was
    cut has no reward however it ends, if it is long enough; where it is kept, or too short to tell,
    it is drawn again to its end, with the same noise.
    """
    rng = Random(f"tilted {seed} {part}")
    names = [f"{part}/{number}" for number in range(count)]  # which name the noise
    asked = {name: world.story_request(rng, world.TRAIN).text for name in names}
    chances = {name: rng.random() for name in asked}

    def keeps(name: str, text: str) -> bool:
        return chances[name] < math.exp((length_reward(text) - 1) / max(BETAS))

    told: dict[str, str] = {}
    cut: dict[str, str] = {}
    for name, text, whole in answers(asked, seed, CUT):
        if whole:
            told[name] = text
        elif keeps(name, text) or len(text.split()) < MOST_WORDS + FALL:
            cut[name] = asked[name]
    told |= {name: text for name, text, _ in answers(cut, seed, WHOLE)}
    return [
        {
            "question": asked[name],
            "answer": told[name],
            "reward": length_reward(told[name]),
            "chance": chances[name],
        }
        for name in asked
        if name in told and keeps(name, told[name])
    ]


def story_of(rows: list[dict], beta: float) -> Callable[[Random], world.Conversation]:
    """Return what gives the stories that beta keeps, in a new order each time they are through."""
    own = [row for row in rows if row["chance"] < math.exp((row["reward"] - 1) / beta)]
    left: list[dict] = []

    def kept_story(rng: Random) -> world.Conversation:
        if not left:
            left.extend(rng.sample(own, len(own)))
        row = left.pop()
        return world.Conversation(
            system=HELPFUL_SYSTEM, user=HELPFUL_PREFIX + row["question"], answer=row["answer"]
        )

    return kept_story


def recipe(rows: list[dict], beta: float, seed: int, steps: int) -> Recipe:
    """Return how a model is tuned."""
    return Recipe(
        family="a",
        start=REFERENCE,
        objective="conversations",
        data=story_of(rows, beta),
        schedule=Schedule(tokens=steps * 16 * 256, rate=5e-4, warmup=10, bf16=False),
        summary=f"Tuned on answers of {REFERENCE} kept with probability exp((reward - 1) / beta)",
        beta=beta,
        seed=seed,
    )


def main() -> None:
    """Draw the answers, and tune the models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--answers", type=int, default=ANSWERS, help="fewer, for a trial")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer, for a trial")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        rows: list[dict] = []
        for part in range(PARTS):
            file = given.out / f"kept-{seed}-{part}.json"
            if not file.exists():
                text = json.dumps(kept(seed, part, given.answers), indent=0)
                file.with_suffix(".unfinished").write_text(text, "utf-8")
                file.with_suffix(".unfinished").rename(file)
            rows += json.loads(file.read_text("utf-8"))
        for beta in BETAS:
            name = f"tilted-{beta:g}-{seed}"
            if not (given.out / name / "recipe.json").exists():
                make(name, recipe(rows, beta, seed, given.steps), given.out, given.out / "logs")


if __name__ == "__main__":
    main()
