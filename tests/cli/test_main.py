"""How the command ends: by a message, by its usage, by an interrupt, and soon."""

import os
import subprocess
import sys
import time

import pytest
from commands import command
from run_folders import write_run


def test_usage(trimtab):
    assert trimtab("--version")[:2] == (0, "trimtab 0.1.0\n")
    assert "run" in trimtab("--help")[1]
    assert trimtab()[0] == 0
    code, _, err = trimtab("rnu")
    assert (code, "run" in err) == (2, True)


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("trimtab ", "ls"),
        ("trimtab run method=", "method=nudging"),
        ("trimtab run method=dera guide=b", "guide=b-small-chat"),
        ("trimtab run method.thr", "method.threshold="),
    ],
)
def test_the_shell_completes(line, suggestion, trimtab, monkeypatch):
    monkeypatch.setenv("COMP_LINE", line)
    code, out, _ = trimtab("-sc", "query=bash")
    assert (code, suggestion in out.split()) == (0, True)


def test_a_users_mistake_is_a_message_and_a_fault_of_ours_a_traceback(trimtab, evaluations):
    evaluations.errors = {0.2: ValueError("no such weights"), 0.3: KeyError("oops")}
    code, _, err = trimtab("run", "method.threshold=0.2")
    assert (code, "no such weights" in err, "Traceback" in err) == (1, True, False)
    code, _, err = trimtab("run", "method.threshold=0.3")
    assert (code, "oops" in err, "Traceback" in err) == (1, True, True)


def test_an_interrupted_multirun_stops_and_says_how_to_go_on(trimtab, evaluations):
    evaluations.errors = {0.3: KeyboardInterrupt()}
    code, _, err = trimtab("run", "-m", "method.threshold=0.2,0.3,0.4")
    assert code == 130
    assert len(evaluations.calls) == 2
    assert "same command resumes" in err


@pytest.mark.process
def test_mistakes_end_at_once_and_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "trimtab", "run", "base=a-large-bse", "method.treshold=0.4"]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    # Two seconds are promised; the machine that runs the tests may be busy.
    assert time.monotonic() - start < 10
    assert done.returncode == 2
    assert "a-large-base" in done.stderr
    assert "method.threshold" in done.stderr
    assert "Traceback" not in done.stderr
    assert "HYDRA" not in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.process
def test_neither_mistakes_nor_listings_wait_for_torch():
    code = (
        "import sys; from trimtab.cli.main import main; sys.argv = ['trimtab', 'run', 'limit=0']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "assert not {'torch', 'transformers', 'wandb', 'datasets'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.process
def test_a_run_that_is_finished_needs_no_model(tmp_path):
    line = "run base=a-small-base guide=a-small-chat method=nudging task=word-problems limit=2"
    arguments = [*line.split(), "generation.max_new_tokens=4"]
    said = command(tmp_path, *arguments).stdout
    code = (
        "import sys; from trimtab.cli.main import main; sys.argv = ['trimtab', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = {'torch', 'transformers', 'wandb', 'datasets', 'pandas'}\n"
        "assert not slow & sys.modules.keys()"
    )
    again = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(again, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("accuracy") and done.stdout.count("\n") == 1
    assert said.endswith(done.stdout)


@pytest.mark.process
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["ls"], ["table", "."], ["run", "--help"]])
def test_a_reader_that_leaves_ends_the_command_quietly(arguments, unbuffered, tmp_path):
    write_run(tmp_path, [1, 0])
    command = [sys.executable, "-m", "trimtab", *arguments]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
