"""DeRa, drafted and not, against a logits processor in `generate()`, and against its floor.

    python benchmarks/dera.py [--parameters 60e6] [--repeats 3]

Reference and aligned are `a-large-base` and `a-large-chat`, both widened (see `enlarge`) and both
in the chat model's template; the draft model is `a-small-chat` as it is. Answers end by themselves.
The floor is what both models cost one after the other, the time per token of each alone, added up;
so that all do the same work, the two and the mixture then write answers of one length, the mean.
"""

import argparse
from pathlib import Path

import peers
import timing
from enlarge import widened

from trimtab import DeRa, Generation, LanguageModel
from trimtab.tasks import WordProblems

LENGTH = 128


def rows(
    parameters: float, strength: float, repeats: int, sizes: list[tuple[int, int]], device: str
) -> list[dict[str, object]]:
    """Return speeds and ratios for each (batch size, number of prompts)."""
    chat = LanguageModel(path="zoo:a-large-chat", prompt="chat").tokenizer.chat_template

    def model(name: str) -> LanguageModel:
        return LanguageModel(
            path=f"zoo:{name}", prompt="chat", chat_template=str(chat), device=device
        )

    reference, aligned = (
        widened(model(name), int(parameters)) for name in ("a-large-base", "a-large-chat")
    )
    draft = model("a-small-chat")
    alone = DeRa(reference=reference, aligned=aligned, strength=strength)
    drafted = DeRa(reference=reference, aligned=aligned, strength=strength, draft=draft)
    forced = DeRa(
        reference=peers.endless(reference), aligned=peers.endless(aligned), strength=strength
    )
    made = []
    for batch_size, count in sizes:
        asked = [sample.conversation for sample in WordProblems().samples(count)]
        generation = Generation(max_new_tokens=LENGTH, batch_size=batch_size)
        answers = drafted.complete(asked, generation)
        spoken = sum(answer.tokens["model"] for answer in answers)
        passes = sum(answer.work["aligned"].passes for answer in answers) / spoken
        mean = round(spoken / count)

        to_mean = Generation(max_new_tokens=mean, batch_size=batch_size)

        def mixed(method: DeRa, settings: Generation) -> int:
            return sum(a.tokens["model"] for a in method.complete(asked, settings))

        def processor() -> int:
            few = asked[:3]  # one by one, so its speed is that of a few
            return peers.processor_dera(reference, aligned, few, strength=strength, length=LENGTH)

        rates = timing.in_turns(
            {
                "drafted": lambda: mixed(drafted, generation),
                "undrafted": lambda: mixed(alone, generation),
                "forced": lambda: mixed(forced, to_mean),
                "processor": processor,
                "reference": lambda: peers.ours(forced.reference, asked, mean, batch_size),
                "aligned": lambda: peers.ours(forced.aligned, asked, mean, batch_size),
            },
            repeats,
        )
        rates["floor"] = [
            1 / (1 / one + 1 / other)
            for one, other in zip(rates["reference"], rates["aligned"], strict=True)
        ]
        made.append(
            {
                "models": [m.weights.num_parameters() for m in (reference, aligned, draft)],
                "batch_size": batch_size,
                "passes_per_token_drafted": round(passes, 3),
                "tokens_per_second": timing.speeds(rates),
                "drafted_over_processor": timing.ratio(rates, "drafted", "processor"),
                "undrafted_over_processor": timing.ratio(rates, "undrafted", "processor"),
                "undrafted_over_floor": timing.ratio(rates, "forced", "floor"),
            }
        )
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=60e6)
    parser.add_argument("--strength", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    sizes = [(size, 3 if size == 1 else size) for size in options.batch]
    table = rows(options.parameters, options.strength, options.repeats, sizes, options.device)
    timing.report("dera", table, options.out)
