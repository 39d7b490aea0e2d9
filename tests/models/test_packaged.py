"""Models of installed packages: found without running these, whole, and the known ones."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.models import gguf_files

from trimtab import LanguageModel
from trimtab.models import packaged

NAME = "gemma-3-270m"


@pytest.fixture
def parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in four packages, as the known one is, whose code must not be run."""
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    whole = gguf_files.write(tmp_path / "whole.gguf", "a-small-base")
    content = whole.read_bytes()
    known = packaged._MODELS[NAME]
    length = -(-len(content) // len(known.parts))
    for number, (package, path) in enumerate(known.parts):
        file = tmp_path / "site" / package / path
        file.parent.mkdir(parents=True)
        file.write_bytes(content[number * length : (number + 1) * length])
        (tmp_path / "site" / package / "__init__.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    small = dataclasses.replace(known, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(packaged, "_MODELS", {**packaged._MODELS, NAME: small})
    return whole


def test_a_model_in_parts_is_put_together_once(parted: Path) -> None:
    with ThreadPoolExecutor(4) as together:
        files = set(together.map(lambda _: packaged.file(NAME), range(8)))
    (file,) = files
    assert file.read_bytes() == parted.read_bytes()
    written = file.stat().st_mtime_ns
    model = LanguageModel(path=f"pip:{NAME}", prompt="plain")
    assert file.stat().st_mtime_ns == written
    assert model.identity["content_sha256"] == hashlib.sha256(parted.read_bytes()).hexdigest()
    assert model.provenance()["path"] == f"pip:{NAME}"
    assert {each.name for each in file.parent.iterdir()} <= {f"{NAME}.gguf", f"{NAME}.lock"}


def test_another_file_than_the_known_one_is_refused(parted: Path) -> None:
    file = packaged.file(NAME)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"is not the file of 'pip:gemma-3-270m'.*Remove it"):
        LanguageModel(path=f"pip:{NAME}", prompt="plain")


def test_a_cache_that_cannot_be_written_is_said(parted: Path, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be put together in .*TRIMTAB_CACHE"):
        LanguageModel(path=f"pip:{NAME}", prompt="plain")


@pytest.mark.parametrize("name", packaged.names())
def test_an_absent_package_is_answered_with_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda package: None)
    with pytest.raises(ValueError, match="not installed") as refused:
        LanguageModel(path=f"pip:{name}", prompt="plain")
    assert str(refused.value).endswith(f"with: {packaged.installed_by(name)}")


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'gemma-3-270m'"):
        LanguageModel(path="pip:gemma-270m", prompt="plain")


def test_a_revision_of_a_packaged_model_is_refused(parted: Path) -> None:
    with pytest.raises(ValueError, match=r"revision='v2' of 'pip:.*a local file has none"):
        LanguageModel(path=f"pip:{NAME}", prompt="plain", revision="v2")
