"""What the suite says of itself: which tests start processes, and what was skipped and why."""

from collections import Counter
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
STARTS = "import subprocess, sys, pytest\n"


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder of tests with what all tests here share."""
    pytester.makeconftest((HERE / "conftest.py").read_text("utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n    process: starts one\n    ray: starts many\n")
    return pytester


@pytest.mark.process
def test_a_test_that_starts_a_process_says_so(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        STARTS + "@pytest.fixture(scope='module')\n"
        "def started():\n"
        "    subprocess.run([sys.executable, '--version'], check=True)\n"
        "def test_silent(): subprocess.run([sys.executable, '--version'], check=True)\n"
        "def test_by_a_fixture(started): pass\n"
        "def test_git(): subprocess.run(['git', '--version'], check=True)\n"
        "@pytest.mark.process\n"
        "def test_marked(): subprocess.run([sys.executable, '--version'], check=True)\n"
        "def test_silent_after_it(): subprocess.run(sys.executable, check=True)\n"
    )
    done = suite.runpytest_inprocess()
    done.assert_outcomes(passed=2, failed=2, errors=1)
    done.stdout.fnmatch_lines(["*starts */python*: mark the test with pytest.mark.process"])


@pytest.mark.parametrize("workers", [[], pytest.param(["-n", "1"], marks=pytest.mark.process)])
def test_what_was_skipped_is_counted_by_reason(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.delenv("TRIMTAB_DATA", raising=False)
    suite.makepyfile(
        "import pytest\n"
        "@pytest.mark.parametrize('i', range(3))\n"
        "def test_data(published, i): pass\n"
        "@pytest.mark.skipif(True, reason='mounts a disk')\n"
        "def test_disk(): pass\n"
        "def test_here(): pass\n"
    )
    suite.makepyfile(test_none="import pytest\npytest.importorskip('no_such_module')")
    done = suite.runpytest_inprocess(*workers)
    done.assert_outcomes(passed=1, skipped=5)
    done.stdout.fnmatch_lines(
        [
            "*= skipped =*",
            "    3  TRIMTAB_DATA names no folder with the publishers' files",
            "    1  *",
        ]
    )
    done.stdout.fnmatch_lines(["    1  mounts a disk"])
    done.stdout.fnmatch_lines(["    1  could not import 'no_such_module': *"])


def test_no_two_files_share_a_name() -> None:
    """They are imported by name alone; pytest itself tells one conftest.py from another."""
    names = Counter(file.name for file in HERE.rglob("*.py") if file.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
