"""Models of the hub where no hub is: from the cache at once, or an error that helps."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants
from tests.models import hub_server

from trimtab import Conversation, LanguageModel, Plain
from trimtab import zoo as embedded
from trimtab.machine import network
from trimtab.runs.preconditions import require_same
from trimtab.vectors import extract

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache after somebody/small was downloaded, and no hub."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")  # RFC 2606: never a host
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--small"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    for folder in (snapshot, blobs, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    for file in embedded.path("a-small-chat").iterdir():
        blob = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blobs / blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob)
    return tmp_path


@contextmanager
def _hub(there: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make a folder a hub's only repository; yield what is downloaded."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with hub_server.serving(there) as (address, downloaded):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        files = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield downloaded


def test_a_cached_model_loads_without_a_hub(cache: Path, tmp_path: Path, zoo) -> None:
    model, twin = LanguageModel(path="somebody/small", prompt="chat"), zoo("a-small-chat")
    asked = Conversation(system="Be brief.", question="Hi")
    assert model.render(asked) == twin.render(asked)
    assert model.weights.num_parameters() == twin.weights.num_parameters()
    assert model.identity["commit"] == COMMIT
    vector = extract(base="zoo:a-small-chat", aligned="somebody/small", out=tmp_path / "v")
    assert not vector.deltas


def test_a_model_that_is_not_cached_is_refused_with_what_to_do(
    cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = r"'somebody/other'.*https://hub\.invalid.*does not answer.*hf download somebody/oth"
    model = LanguageModel(path="somebody/other", prompt="plain")
    for load in (lambda: model.tokenizer, lambda: model.weights, lambda: model.identity):
        with pytest.raises(ValueError, match=expected):
            load()
    missing = LanguageModel(path="somebody/small", prompt="plain", revision="v2")
    with pytest.raises(ValueError, match="does not hold v2"):
        _ = missing.tokenizer
    assert "Retry" not in "".join(capfd.readouterr())


def test_of_a_repository_what_is_needed_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some hold their weights twice, in another format below; a tokenizer needs none of them."""
    there = shutil.copytree(embedded.path("a-small-chat"), tmp_path / "there")
    for name in ("original/model.safetensors", "pytorch_model.bin", "own.py"):
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_text("x")
    with _hub(there, tmp_path / "cache", monkeypatch) as downloaded:
        model = LanguageModel(path=hub_server.NAME, prompt="chat")
        model.render(Conversation(question="Hi"))
        assert "tokenizer.json" in downloaded
        assert not {"model.safetensors", "own.py"} & {*downloaded}
        before = len(downloaded)
        _ = model.weights
        assert downloaded[before:] == ["model.safetensors"]
        _ = LanguageModel(path=hub_server.NAME, prompt="chat").weights
        assert len(downloaded) == before + 1
        assert model.identity["commit"] == hub_server.COMMIT
        with pytest.raises(ValueError, match=r"'somebody/none': .*the hub gives none: .*404"):
            _ = LanguageModel(path="somebody/none", prompt="plain").tokenizer


def test_a_quantized_repository_is_refused_before_its_weights_are_downloaded(cache: Path) -> None:
    snapshot = cache / "models--somebody--small/snapshots" / COMMIT
    (snapshot / "model.safetensors").unlink()
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").unlink()
    config["quantization_config"] = {"quant_method": "eetq"}
    (snapshot / "config.json").write_text(json.dumps(config))
    model = LanguageModel(path="somebody/small", prompt="chat")
    with pytest.raises(ValueError, match=r"'somebody/small' is quantized already \(by eetq"):
        Plain(model=model).complete(["Hi"])


def test_a_gguf_file_of_a_repository_is_downloaded_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shutil.copytree(embedded.path("a-small-chat"), tmp_path / "there")
    gguf_files = pytest.importorskip("tests.models.gguf_files")
    gguf_files.write(there / "small-F16.gguf", packing="F16")
    gguf_files.write(there / "small-Q8_0.gguf", packing="Q8_0")
    with _hub(there, tmp_path / "cache", monkeypatch) as downloaded:
        asked = {"path": hub_server.NAME, "prompt": "chat"}
        model = LanguageModel(**asked, gguf_file="small-F16.gguf")
        assert model.weights.num_parameters() and model.tokenizer.chat_template
        assert downloaded == ["small-F16.gguf"]
        assert model.identity["commit"] == hub_server.COMMIT
        with pytest.raises(ValueError, match=r"has no file 'other\.gguf'"):
            _ = LanguageModel(**asked, gguf_file="other.gguf").tokenizer


def test_a_run_that_did_not_record_the_commit_goes_on(tmp_path: Path) -> None:
    """One that did is compared by it."""
    now = {"models": {"model": {"content_sha256": None, "commit": COMMIT}}, "data": "d"}
    require_same(now, {"models": {"model": {"commit": None}}, "data": "d"}, tmp_path)
    with pytest.raises(ValueError, match=r"begun with other models \(model\)"):
        require_same(now, {"models": {"model": {"commit": "1" * 40}}, "data": "d"}, tmp_path)


def test_a_link_out_of_the_cache_is_not_followed(cache: Path) -> None:
    """Nor one to another repository's blobs."""
    other = cache / "models--somebody--secret/blobs/1"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    snapshot = cache / "models--somebody--small/snapshots" / COMMIT
    (snapshot / "special_tokens_map.json").symlink_to(other)
    with pytest.raises(ValueError, match="leads out of its folder"):
        _ = LanguageModel(path="somebody/small", prompt="chat").tokenizer


def test_a_host_that_does_not_answer_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of TEST-NET-1 (RFC 5737) drops what is sent to it, or is not routed at all."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(network, "_SOON", 0.1)
    assert not network.answers_soon("https://192.0.2.1")


@pytest.mark.parametrize("setting", ["http_proxy=http://localhost:1", "no_proxy=hub.invalid"])
def test_a_proxy_of_other_hosts_is_none(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("https_proxy", "http://localhost:1")
    assert network.answers_soon("https://hub.invalid")
    if setting.startswith("http_proxy"):
        monkeypatch.delenv("https_proxy")
        monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv(*setting.split("="))
    assert not network.answers_soon("https://hub.invalid")


def test_a_revision_of_a_local_folder_is_refused() -> None:
    folder = str(embedded.path("a-small-base"))
    for path in (folder, "zoo:a-small-base"):
        with pytest.raises(ValueError, match=r"revision='v1' of .* a local folder has none"):
            LanguageModel(path=path, prompt="plain", revision="v1")
    with pytest.raises(ValueError, match="a local folder has none"):
        extract(base=folder, base_revision="v1", aligned="zoo:a-small-sft", out="nowhere")
