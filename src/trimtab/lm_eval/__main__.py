"""`python -m trimtab.lm_eval`: the harness's own command, with the model `trimtab` in it."""

import logging
import sys
from collections.abc import Sequence

from trimtab.launch import errors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness's command and return the exit code.

    Args:
        arguments: what follows the command's name; None for those of this process.

    Raises:
        ValueError: if lm-eval is not installed.
    """
    try:
        from lm_eval import loggers
        from lm_eval.__main__ import cli_evaluate

        import trimtab.lm_eval.harness_model  # noqa: F401 - registers it
        from trimtab.lm_eval.samples_tracker import Tracker
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "lm_eval":
            raise
        raise ValueError(
            "This needs the evaluation harness: pip install 'trimtab[lm-eval]'"
        ) from None
    loggers.EvaluationTracker = Tracker  # the command makes one
    logging.getLogger("trimtab").setLevel(logging.INFO)
    if arguments is not None:
        sys.argv = ["lm_eval", *arguments]  # where the harness reads them
    cli_evaluate()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except errors.FORESEEN as mistake:
        errors.report(mistake)
        sys.exit(1)
