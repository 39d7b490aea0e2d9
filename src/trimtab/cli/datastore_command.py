"""The command `trimtab datastore`: what followed a model's states in the examples of a task."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.actions import bar
from trimtab.cli.output import say
from trimtab.config import composition
from trimtab.config.overrides import Source, check_command, require_parts
from trimtab.machine.numbers_as_text import size

if TYPE_CHECKING:
    from trimtab.datastore.building import Example
    from trimtab.models import LanguageModel
    from trimtab.tasks import Sample, Task

_CHOICE = "choice"  # an answer that was no draw, but an option
_WHOLE = ("end", "guide", "base", _CHOICE)  # ways to stop that are an answer's own
_READ = ("base", "task", "limit", "limit_seed")  # what a datastore follows from


def main(arguments: Sequence[str]) -> int:
    """Build a datastore, and return the exit code.

    Raises:
        ConfigError: a ValueError that lists every mistake in the command.
        ValueError: for examples without answers, and a folder that is there already.
    """
    options = _parser().parse_intermixed_args(arguments)
    require_parts(options.overrides, _READ, "a datastore")
    source = Source(further=(options.config_dir,) if options.config_dir else ())
    config = check_command(options.overrides, source)
    assert config is not None
    model, task = composition.build(config.base), composition.build(config.task)

    from trimtab.datastore.building import build
    from trimtab.runs.progress import hide_those_of_libraries

    hide_those_of_libraries()
    samples = task.samples(config.limit, config.limit_seed)
    read = examples(model, task, samples, options.answers)
    with bar("reading", "examples") as progress:
        store = build(
            model,
            read,
            options.out,
            source=task.source,
            answers=str(options.answers or "the task's own"),
            positions=options.positions,
            dtype=options.dtype,
            progress=progress,
        )
    what = f"{store.entries:,} entries of {store.width} numbers"
    of = f"{store.facts['examples']['samples']:,} examples of {task.source}"
    say(f"{options.out}: datastore, {size(store.size)}, {what}, {of} as {model.path} reads them")
    return 0


def examples(
    model: LanguageModel, task: Task, samples: Sequence[Sample], run: Path | None
) -> list[Example]:
    """Return samples with their answers: the task's own, or those of a run on the same samples.

    Of several draws of a run the first is taken, and empty answers are left out, as is said.

    Raises:
        ValueError: where there are none.
    """
    from trimtab.datastore.building import Example
    from trimtab.runs.reader import read_samples

    given = {}
    if run is not None:
        given = {line["id"]: line for line in read_samples(run)}
        if missing := [each.id for each in samples if each.id not in given]:
            raise ValueError(
                f"--answers {run}: {len(missing)} of {len(samples)} samples of {task.source} have "
                f"no answer there, such as {missing[0]!r}. Give a run on the same samples."
            )
    if further := sum("of" in line and line["of"] != i for i, line in given.items()):
        say(f"--answers {run}: of each sample its first draw is taken, not {further} further ones.")
    empty = [each.id for each in samples if run is not None and not given[each.id]["completion"]]
    if empty:
        some = f"{len(empty)} of {len(samples)} answers are empty, and are left out"
        say(f"--answers {run}: {some}, such as that to {empty[0]!r}.")
    found = []
    for sample in [each for each in samples if each.id not in empty]:
        prompt = model.render(sample.conversation)
        if run is not None:
            line = given[sample.id]
            answer, whole = line["completion"], line["stop_reason"] in _WHOLE
            if line["stop_reason"] == _CHOICE:
                answer = sample.conversation.followed_by(answer)
            found.append(Example(sample.id, prompt, answer, whole))
            continue
        if sample.target is None:
            raise ValueError(
                f"Sample {sample.id!r} of {task.source} has no answer of its own. Give those of a "
                "run on these samples: --answers FOLDER."
            )
        answer = sample.choices[sample.target] if task.likelihood else sample.target
        found.append(Example(sample.id, prompt, sample.conversation.followed_by(answer)))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab datastore",
        description="Build a datastore for method=rtd: which token followed which hidden state of "
        "the base model, in examples with answers.",
        epilog="Example: trimtab datastore base=a-large-base task=word-problems "
        "task.split=validation limit=200 --answers results/word-problems/guide/0123456789ab "
        "--out stores/word-problems",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="base=MODEL, task=TASK, limit=N and their settings, as in trimtab run; no others",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="the folder to write"
    )
    parser.add_argument(
        "--answers", type=Path, metavar="RUN", help="the folder of a run that answered [the task's]"
    )
    parser.add_argument(
        "--positions",
        choices=("all", "first"),
        default="all",
        help="all tokens of the answers, or the first of each, as for options' letters [all]",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="of states [float32]"
    )
    parser.add_argument(
        "-cd", "--config-dir", type=Path, metavar="DIR", help="a folder of further choices"
    )
    return parser
