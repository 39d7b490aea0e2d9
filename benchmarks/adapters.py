"""A model with a LoRA adapter: what models that share weights take, and how quick both modes are.

    python benchmarks/adapters.py --model FOLDER --adapters ADAPTER ADAPTER [--repeats 3]

Memory is that of DeRa between the model and itself with the first adapter, and of proxy tuning
with both: bytes of all tensors, and how much a process of its own grows (RSS) until it has given
its first answer. Speed is that of plain decoding, in turns.
"""

import argparse
import gc
import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import timing

from trimtab import Conversation, DeRa, Generation, LanguageModel, Method, Plain, ProxyTuning
from trimtab.tasks import WordProblems

LENGTH = 64
MEGABYTE = 1 << 20


def described(path: str, adapter: str | None = None, mode: str = "merged") -> LanguageModel:
    """Return the model, with an adapter if one is given."""
    return LanguageModel(path=path, prompt="plain", adapter=adapter, adapter_mode=mode)


def asked(count: int) -> list[Conversation]:
    """Return some questions."""
    return [sample.conversation for sample in WordProblems().samples(count)]


def memory(way: str, path: str, adapters: list[str]) -> dict[str, object]:
    """Return what a method's models take, and a hash of its answers.

    Args:
        way: `merged` for adapters merged into copies, `copies` for live ones on copies of their
            own, `shared` for live ones on one.
        path: of the model.
        adapters: one for DeRa, two for proxy tuning.
    """
    mode = "merged" if way == "merged" else "live"
    models = [described(path), *(described(path, adapter, mode) for adapter in adapters)]
    _ = models[0].tokenizer, models[0].config
    gc.collect()
    before = psutil.Process().memory_info().rss
    if way != "shared":
        for model in models:
            _ = model.weights
    base, one, *rest = models
    method: Method = DeRa(reference=base, aligned=one, strength=0.5)
    if rest:
        method = ProxyTuning(base=base, tuned=one, untuned=rest[0])
    answers = method.complete(asked(4), Generation(max_new_tokens=LENGTH))
    gc.collect()
    held = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size()
        for model in models
        for tensor in model.weights.state_dict().values()
    }
    texts = "\0".join(answer.text for answer in answers)
    return {
        "models": len(models),
        "adapters": way,
        "tensors_mb": round(sum(held.values()) / MEGABYTE, 1),
        "grown_mb": round((psutil.Process().memory_info().rss - before) / MEGABYTE),
        "answers": hashlib.sha256(texts.encode()).hexdigest()[:8],
    }


def speed(path: str, adapter: str, batch_size: int, repeats: int) -> dict[str, object]:
    """Return tokens per second without an adapter and in both modes, and the ratios."""
    models = {
        "none": described(path),
        "merged": described(path, adapter),
        "live": described(path, adapter, "live"),
    }
    generation = Generation(max_new_tokens=LENGTH, batch_size=batch_size)
    questions = asked(batch_size)

    def decoded(model: LanguageModel) -> int:
        return sum(len(a.token_ids) for a in Plain(model=model).complete(questions, generation))

    ways = {name: lambda model=model: decoded(model) for name, model in models.items()}
    rates = timing.in_turns(ways, repeats)
    return {
        "batch_size": batch_size,
        **timing.speeds(rates),
        "merged/none": timing.ratio(rates, "merged", "none"),
        "live/none": timing.ratio(rates, "live", "none"),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapters", nargs="+", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as apart:
        for count in range(1, 1 + min(2, len(given.adapters))):
            for way in ("merged", "copies", "shared"):
                found = apart.submit(memory, way, given.model, given.adapters[:count])
                rows.append(found.result())
    rows += [speed(given.model, given.adapters[0], size, given.repeats) for size in (1, 8)]
    timing.report("adapters", rows, given.out)


if __name__ == "__main__":
    main()
