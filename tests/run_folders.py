"""Run folders made by hand, for those who read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimtab.config.composition import digest
from trimtab.runs import run_folder
from trimtab.statistics import estimates

_CLASS = {
    "nudging": "Nudging",
    "dera": "DeRa",
    "alignment_vector": "AlignmentVector",
}
_DIAL = {"nudging": "threshold", "dera": "strength", "alignment_vector": "strength"}


def write_run(
    root: Path,
    scores: Sequence[float],
    *,
    method: str = "nudging",
    value: float | None = None,
    metric: str = "accuracy",
    task: str = "word-problems",
    split: str | None = "validation",
    measures: dict[str, Sequence[float]] | None = None,
    beta: float | None = None,
    seed: int = 0,
    aligned: str | None = None,
) -> Path:
    """Write a finished run with a given score, and given measures, of each sample."""
    measures = measures or {}
    models = {role: {"path": f"zoo:{role}-model", "prompt": "chat"} for role in ("base", "guide")}
    dial = _DIAL.get(method) if value is not None else None
    settings: dict[str, Any] = {
        "_target_": f"trimtab.methods.{_CLASS.get(method, 'Plain')}",
        **models,
    }
    if dial:
        settings[dial] = value
    if beta is not None:
        settings["beta"] = beta
    if aligned is not None:
        settings["aligned"] = {"path": aligned, "prompt": "chat"}
    config = {
        "method": settings,
        "task": {"split": split},
        "generation": {"seed": seed, "temperature": 1.0},
        "limit": len(scores),
    }
    columns = {metric: scores, **measures}
    summary = {
        "task": {"metric": metric, "source": "made by hand", "split": split},
        "dial": {"name": dial, "value": value} if dial else None,
        "metrics": {
            name: (
                estimates.summarize(values, binary=True)
                if set(values) <= {0, 1}
                else estimates.mean(values)
            ).to_dict()
            for name, values in columns.items()
        },
        "cost": {
            "tokens": 9 * len(scores),
            "seconds": 1.5,
            "tokens_per_second": 1234.5,
            "models": {
                "base": {"forward_passes": 7, "tokens_processed": 70, "passes_per_token": 0.2}
            },
        },
    }
    folder = root / task / method / digest(config)
    with run_folder.RunFolder(folder) as run:
        run.write_config(config)
        run.write_facts({"status": "finished"})
        for i, score in enumerate(scores):
            run.append(
                {
                    "id": str(i),
                    "question": f"What is {i} and {i}?",
                    "prompts": {"base": f"What is {i} and {i}?\n"},
                    "completion": f"Well, it is {2 * i}.",
                    "trace": [
                        {"text": "Well,", "speaker": "guide", "probability": 0.21},
                        {"text": f" it is {2 * i}.", "speaker": "base", "probability": 0.97},
                    ],
                    "target": str(2 * i),
                    "prediction": str(2 * i),
                    "scores": {metric: score},
                    "measures": {name: values[i] for name, values in measures.items()},
                    "stop_reason": "guide",
                    "tokens": {"guide": 3, "base": 6},
                    "work": {"base": {"passes": 2, "tokens": 14}},
                }
            )
        run.write_summary(summary)
    return folder
