"""Alignment vectors against the nearest peers: copying weights, mergekit, plain decoding, runs.

    python benchmarks/vectors.py [--parameters 150_000_000] [--repeats 5] [PART ...]

Parts:
    dial   turning a vector in place, against copying the weights once
    files  `trimtab vector extract` and `apply`, whole commands, against mergekit's task arithmetic
           on the same files: wall time and peak resident memory
    rows   a decoding step with three vectors of rank 16 for each row, against the plain step
    sweep  13 strengths in one batch, against one after the other with the weights in place

Two models: an embedded one widened to so many parameters, whose hidden size stays narrow, and one
of the usual proportions with random weights.
"""

import argparse
import copy
import functools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import enlarge
import timing
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from trimtab import AlignmentVectors, Generation, LanguageModel
from trimtab.tasks import Stories
from trimtab.vectors import Dial, Vector, extract
from trimtab.vectors.live.row_dials import RowDials

STRENGTHS = [i / 8 for i in range(-4, 9)]  # 13
LENGTH = 64  # tokens of an answer, at most


def usual(parameters: int, seed: int) -> LanguageModel:
    """Return a Llama model of the usual proportions with random weights."""
    config = LlamaConfig(
        vocab_size=768,
        hidden_size=1024,
        intermediate_size=2816,
        num_attention_heads=16,
        num_key_value_heads=8,
        num_hidden_layers=max(1, round(parameters / 11.8e6)),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=0,
    )
    torch.manual_seed(seed)
    weights = AutoModelForCausalLM.from_config(config).eval()
    embedded = LanguageModel(path="zoo:a-large-base", prompt="plain")
    return LanguageModel.of(weights, embedded.tokenizer, prompt="plain", name=f"usual-{seed}")


def pair(shape: str, parameters: int) -> tuple[LanguageModel, LanguageModel]:
    """Return a base model and one aligned from it."""
    if shape == "widened":
        names = ("a-large-base", "a-large-chat")
        models = [LanguageModel(path=f"zoo:{name}", prompt="plain") for name in names]
        one, other = (enlarge.widened(model, parameters) for model in models)
        return one, other
    base, aligned = usual(parameters, 0), usual(parameters, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in aligned.weights.parameters():
            tensor += 1e-3 * torch.randn(tensor.shape, generator=generator)
    return base, aligned


def once(way: Callable[[], object]) -> int:
    """Go a way; return how often."""
    way()
    return 1


def ratios(ways: dict[str, Callable[[], object]], repeats: int) -> tuple[list[float], list[float]]:
    """Return seconds of the first way, and its ratios to the second, taken in turns."""
    rates = timing.in_turns(
        {name: functools.partial(once, way) for name, way in ways.items()}, repeats
    )
    one, other = rates
    return [1 / rate for rate in rates[one]], timing.ratio(rates, other, one)


def dial(shape: str, parameters: int, repeats: int) -> dict[str, object]:
    """Turn a dense vector in place."""
    base, aligned = pair(shape, parameters)
    row: dict[str, object] = {"part": "dial", "model": shape}
    for dtype in (torch.float32, torch.bfloat16):
        one, other = (copy.deepcopy(model.weights).to(dtype) for model in (base, aligned))
        vector = Vector.between(*(dict(model.named_parameters()) for model in (one, other)))
        vector = Vector({name: delta.times(1.0) for name, delta in vector.deltas.items()})
        turning = Dial(one, {"v": vector})
        kept = [p.detach().clone() for p in one.parameters()]
        out = [torch.empty_like(p) for p in kept]

        def copied() -> None:
            for source, target in zip(kept, out, strict=True):
                target.copy_(source)

        seconds, ratio = ratios({"turn": lambda: turning.turn({"v": 0.3}), "copy": copied}, repeats)
        row[f"turn/copy {dtype}"] = ratio
        row[f"turn_s {dtype}"] = round(statistics.median(seconds), 3)
    return row


# A process begins with its parent's peak, so a small one starts the command.
LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def command(arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and its peak resident memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr}")
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def files(shape: str, parameters: int, repeats: int) -> dict[str, object]:
    """Extract and apply from disk to disk."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        base, aligned = pair(shape, parameters)
        size = 0
        for name, model in (("base", base), ("aligned", aligned)):
            model.weights.to(torch.bfloat16).save_pretrained(root / name)
            model.tokenizer.save_pretrained(root / name)
            size = (root / name / "model.safetensors").stat().st_size
        del base, aligned
        config = {
            "merge_method": "task_arithmetic",
            "base_model": str(root / "base"),
            "models": [{"model": str(root / "aligned"), "parameters": {"weight": 0.5}}],
            "parameters": {"normalize": False},
            "dtype": "float32",
            "out_dtype": "bfloat16",
        }
        (root / "merge.yaml").write_text(json.dumps(config))
        bin_folder = Path(sys.executable).parent
        ours = [sys.executable, "-m", "trimtab", "vector"]
        runs: dict[str, list[tuple[float, float]]] = {"extract": [], "apply": [], "mergekit": []}
        ends = [f"base={root}/base", f"aligned={root}/aligned"]
        for i in range(repeats):
            moved = [f"vector={root}/v{i}", "strength=0.5", f"out={root}/a{i}"]
            merge = [str(bin_folder / "mergekit-yaml"), str(root / "merge.yaml"), f"{root}/m{i}"]
            runs["extract"].append(command([*ours, "extract", *ends, f"out={root}/v{i}"]))
            runs["apply"].append(command([*ours, "apply", ends[0], *moved]))
            runs["mergekit"].append(command(merge))
            for made in ("v", "a", "m"):
                shutil.rmtree(root / f"{made}{i}")
        wall = {name: [seconds for seconds, _ in found] for name, found in runs.items()}
        both = [a + b for a, b in zip(wall["extract"], wall["apply"], strict=True)]
        peaks = {name: max(peak for _, peak in found) for name, found in runs.items()}
        return {
            "part": "files",
            "model": shape,
            "model_MB": round(size / 2**20),
            **{f"{name}_s": round(statistics.median(found), 2) for name, found in wall.items()},
            "mergekit/extract": _median_ratio(wall["mergekit"], wall["extract"]),
            "mergekit/apply": _median_ratio(wall["mergekit"], wall["apply"]),
            "mergekit/both": _median_ratio(wall["mergekit"], both),
            "peak_MB": {name: round(peak) for name, peak in peaks.items()},
        }


def _median_ratio(one: list[float], other: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 2)


def low_rank(model: LanguageModel, aligned: LanguageModel, rank: int, root: Path) -> Path:
    """Return the folder of a vector of low rank between two models."""
    for name, one in (("base", model), ("aligned", aligned)):
        if not (root / name).exists():
            one.weights.save_pretrained(root / name)
            one.tokenizer.save_pretrained(root / name)
    out = root / f"rank-{rank}"
    extract(base=str(root / "base"), aligned=str(root / "aligned"), out=out, rank=rank)
    return out


def rows(shape: str, parameters: int, repeats: int) -> list[dict[str, object]]:
    """Decode steps of a batch with three vectors of rank 16 for each row, and plain ones."""
    base, aligned = pair(shape, parameters)
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = low_rank(base, aligned, 16, Path(folder))
        vectors = {name: Vector.open(path) for name in ("one", "two", "three")}
        dials = RowDials(base.weights, vectors)
        for batch in (1, 8, 32):
            tokens = torch.randint(2, 768, (batch, 64))
            strengths = torch.randn(batch, 3)

            def step(turned: bool, tokens: torch.Tensor, strengths: torch.Tensor) -> None:
                with torch.inference_mode():
                    cache = base.weights(input_ids=tokens, use_cache=True).past_key_values
                    start = time.perf_counter()
                    for _ in range(8):
                        if turned:
                            with dials.at(strengths):
                                base.weights(input_ids=tokens[:, :1], past_key_values=cache)
                        else:
                            base.weights(input_ids=tokens[:, :1], past_key_values=cache)
                    taken[turned].append(time.perf_counter() - start)

            taken: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(repeats + 1):
                step(True, tokens, strengths)
                step(False, tokens, strengths)
            pairs = list(zip(taken[True], taken[False], strict=True))[1:]
            ratio = [round(q, 3) for q in sorted(a / b for a, b in pairs)]
            found.append(
                {
                    "part": "rows",
                    "model": shape,
                    "batch": batch,
                    "plain_step_ms": round(1000 * statistics.median(taken[False]) / 8, 1),
                    "rows/plain": [ratio[0], statistics.median(ratio), ratio[-1]],
                }
            )
    return found


def sweep(shape: str, parameters: int, repeats: int) -> list[dict[str, object]]:
    """Sweep the strength: one batch for all, and one after the other."""
    base, aligned = pair(shape, parameters)
    asked = {s.id: s.conversation for s in Stories().samples(4)}  # whose answers are long
    generation = Generation(max_new_tokens=LENGTH, batch_size=4)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = {"rank 16": low_rank(base, aligned, 16, root), "whole": root / "whole"}
        extract(base=str(root / "base"), aligned=str(root / "aligned"), out=paths["whole"])
        for kind, path in paths.items():
            vectors = {"v": str(path)}

            def together(vectors: dict[str, str] = vectors) -> None:
                first = AlignmentVectors(base=base, vectors=vectors, per_row=True)
                family = [first.at(strength) for strength in STRENGTHS]
                answers = first.stream_together(family, [asked] * len(family), generation)
                assert len(list(answers)) == len(family) * len(asked)
                first.row_dials.close()

            def alone(vectors: dict[str, str] = vectors) -> None:
                for strength in STRENGTHS:
                    method = AlignmentVectors(base=base, vectors=vectors, strength=strength)
                    assert len(list(method.stream(asked, generation))) == len(asked)

            seconds, ratio = ratios({"one batch": together, "one by one": alone}, repeats)
            found.append(
                {
                    "part": "sweep",
                    "model": shape,
                    "vector": kind,
                    "strengths": len(STRENGTHS),
                    "samples": len(asked),
                    "together_s": round(statistics.median(seconds), 1),
                    "together/alone": ratio,
                }
            )
    return found


PARTS: Mapping[str, Callable[[str, int, int], Any]] = {
    "dial": dial,
    "files": files,
    "rows": rows,
    "sweep": sweep,
}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--parameters", type=int, default=150_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", nargs="+", default=["widened", "usual"])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    found: list[dict[str, object]] = []
    for part in given.parts:
        for shape in given.shape:
            row = PARTS[part](shape, given.parameters, given.repeats)
            for each in row if isinstance(row, list) else [row]:
                found.append(each)
                print(each, flush=True)
    timing.report("vectors", found, given.out)


if __name__ == "__main__":
    main()
