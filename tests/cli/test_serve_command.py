"""What `trimtab serve` refuses before it loads anything."""

import socket

import pytest

from trimtab.cli import serve_command


def test_settings_that_have_no_part_in_serving_are_mistakes(trimtab):
    code, _, err = trimtab("serve", "base=a-small-base", "method=base", "task=stories", "limit=3")
    assert code == 2
    assert "task=stories: it has no part in serving" in err
    assert "limit=3: it has no part" in err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = trimtab("serve", "base=a-small-base", "method=base", "--port", port)
    assert code == 1
    assert f"--port {port}" in err and "Give another port" in err


def test_packages_that_are_not_there_are_named(trimtab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_command, "_NEEDED", ("openai", "no_such_package"))
    code, _, err = trimtab("serve", "base=a-small-base", "method=base")
    assert code == 1
    assert "trimtab serve needs no_such_package: pip install 'trimtab[serve]'" in err
