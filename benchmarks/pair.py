"""Any two models: each alone against `generate()`, and nudging against its own base alone.

    python benchmarks/pair.py --base PATH --guide PATH [--questions FILE] [--threads 1]
        [--length 64] [--batch 1 8] [--count 3] [--repeats 5] [--clock cpu]

Paths are what `LanguageModel(path=...)` takes; FILE has a question a line, the word problems of the
package where none is given. The base is asked plainly, the guide by its chat template, if it has
one. Alone, each writes `--length` tokens to each prompt of a batch, greedily, in fp32; `generate()`
pads prompts on the left. Nudging answers `--count` questions one by one, and the base alone then
writes as many tokens as these answers have.

The bound of nudging follows from passes alone: were each pass to cost what one costs that model
alone, an answer would take `base_passes + guide_passes * guide_pass / base_pass` of the base's own
passes for each token. What is below it is lost to passes that read many tokens at once, and to what
is not the models. `--clock cpu` measures CPU time, which other processes disturb less.
"""

import argparse
import time
from pathlib import Path

import peers
import timing
import torch

from trimtab import Conversation, Generation, LanguageModel, Nudging
from trimtab.tasks import WordProblems

THRESHOLD = 0.4
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def questions(file: Path | None, count: int) -> list[Conversation]:
    """Return the first questions of a file, or of the package."""
    if file is None:
        return [sample.conversation for sample in WordProblems().samples(count)]
    return [Conversation(question=line) for line in file.read_text().splitlines()[:count]]


def alone(
    role: str, model: LanguageModel, asked: list[Conversation], given: argparse.Namespace
) -> dict[str, object]:
    """Return the speed of one model, all prompts in one batch, with that of `generate()`."""
    rates = timing.in_turns(
        {
            "trimtab": lambda: peers.ours(model, asked, given.length, len(asked)),
            "generate": lambda: peers.generate(model, asked, given.length, len(asked)),
        },
        given.repeats,
        CLOCKS[given.clock],
    )
    return {
        "alone": role,
        "parameters": model.weights.num_parameters(),
        "vocabulary": model.vocabulary_size,
        "batch_size": len(asked),
        "tokens_per_second": timing.speeds(rates),
        "trimtab_over_generate": timing.ratio(rates, "trimtab", "generate"),
    }


def nudged(
    base: LanguageModel,
    guide: LanguageModel,
    asked: list[Conversation],
    given: argparse.Namespace,
) -> dict[str, object]:
    """Return the speed of nudging one answer at a time, with what follows from its passes."""
    nudging = Nudging(base=base, guide=guide, threshold=THRESHOLD)
    generation = Generation(max_new_tokens=given.length, batch_size=1)
    answers = nudging.complete(asked, generation)
    spoken = sum(sum(answer.tokens.values()) for answer in answers)
    length = round(spoken / len(answers))
    rates = timing.in_turns(
        {
            "nudging": lambda: sum(
                sum(answer.tokens.values()) for answer in nudging.complete(asked, generation)
            ),
            "base": lambda: peers.ours(peers.endless(base), asked, length, 1),
            "guide": lambda: peers.ours(peers.endless(guide), asked, length, 1),
        },
        given.repeats,
        CLOCKS[given.clock],
    )
    passes = {
        role: sum(answer.work[role].passes for answer in answers) / spoken
        for role in ("base", "guide")
    }
    speeds = timing.speeds(rates)
    cost = passes["base"] + passes["guide"] * speeds["base"] / speeds["guide"]
    return {
        "nudging": f"threshold {THRESHOLD}",
        "tokens": spoken,
        "guide_passes_per_token": round(passes["guide"], 3),
        "base_passes_per_token": round(passes["base"], 3),
        "tokens_per_second": speeds,
        "bound_from_passes": round(1 / cost, 3),
        "nudging_over_base": timing.ratio(rates, "nudging", "base"),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True)
    parser.add_argument("--guide", required=True)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base, guide = (
        LanguageModel(path=path, prompt="plain", device=given.device, dtype="float32")
        for path in (given.base, given.guide)
    )
    table = []
    for role, model in (("base", base), ("guide", guide)):
        endless = peers.endless(model)
        settings = model.weights.generation_config
        ends, settings.eos_token_id = settings.eos_token_id, None
        for size in given.batch:
            table.append(alone(role, endless, questions(given.questions, size), given))
        settings.eos_token_id = ends
    if given.count:
        if guide.tokenizer.chat_template:
            guide = LanguageModel.of(guide.weights, guide.tokenizer, prompt="chat")
        table.append(nudged(base, guide, questions(given.questions, given.count), given))
    timing.report("pair", table, given.out)


if __name__ == "__main__":
    main()
