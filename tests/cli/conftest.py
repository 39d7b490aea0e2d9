"""The command in this process, and what stands in for its evaluations."""

import sys
import types

import pytest

from trimtab.cli import main

SUMMARY = {
    "task": {"metric": "accuracy"},
    "metrics": {"accuracy": {"value": 0.5, "n": 2, "stderr": 0.35, "ci95": [0.1, 0.9]}},
}


@pytest.fixture
def trimtab(monkeypatch, tmp_path, capsys):
    """The command, run in this process from an empty folder; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["trimtab", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return command


@pytest.fixture
def evaluations(monkeypatch):
    """Stand in for `evaluate`; gives its calls, and `errors` by threshold that it raises."""
    calls = []

    def evaluate(job):
        arguments = vars(job)
        calls.append(arguments)
        arguments["start_tracker"]()
        error = calls_and_errors.errors.get(arguments["method"].threshold)
        if error:
            raise error
        return SUMMARY

    calls_and_errors = types.SimpleNamespace(calls=calls, errors={})
    module = types.ModuleType("trimtab.runs.evaluate")
    module.evaluate, module.Job = evaluate, types.SimpleNamespace
    module.evaluate_together = lambda jobs: {}  # leaves each to be run alone
    monkeypatch.setitem(sys.modules, "trimtab.runs.evaluate", module)
    return calls_and_errors
