"""GGUF files that are damaged, foreign or of another model: refused, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.models import gguf_files

from trimtab import LanguageModel
from trimtab.models import gguf_file
from trimtab.scorers import RewardModel
from trimtab.vectors import extract

NAME = "model.gguf"


def described(file: Path, **settings: Any) -> LanguageModel:
    return LanguageModel(path=str(file), prompt="chat", **settings)


def cut(place: Callable[[bytes], int]) -> Callable[[Path], None]:
    """Return what cuts a file off at a place."""

    def cutting(file: Path) -> None:
        content = gguf_files.write(file).read_bytes()
        file.write_bytes(content[: place(content)])

    return cutting


def written(**changes: Any) -> Callable[[Path], None]:
    return lambda file: gguf_files.write(file, **changes)


def patched(place: int, content: bytes) -> Callable[[Path], None]:
    def patching(file: Path) -> None:
        whole = bytearray(gguf_files.write(file).read_bytes())
        whole[place : place + len(content)] = content
        file.write_bytes(whole)

    return patching


# What is done, and what is said when the file is described.
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "is no GGUF file"),
    "text": (lambda file: file.write_text("version https://git-lfs"), "is no GGUF file"),
    "cut-header": (cut(lambda _: 10), "within its header: it is cut off. Download it again"),
    "cut-settings": (cut(lambda _: 300), "within its header: it is cut off"),
    "cut-words": (cut(lambda whole: whole.index(b"tokenizer.ggml.merges") + 90), "within its head"),
    "cut-table": (cut(lambda whole: whole.index(b"blk.1.ffn_up") + 4), "within its header"),
    "cut-weights": (cut(lambda whole: len(whole) // 2), r"it has [\d,]+ bytes of the [\d,]+ "),
    "cut-last": (cut(lambda whole: len(whole) - 64), r"is cut off: it has [\d,]+ bytes of the"),
    "version": (patched(4, b"\x09"), r"is of version 9 of GGUF\. Accepted: 2, 3"),
    "endless": (patched(16, b"\xff" * 7), "within its header"),
    "architecture": (
        written(architecture="rwkv6"),
        r"architecture 'rwkv6'.* reads: .*llama",
    ),
    "tokenizer": (written(tokenizer=False), "has no tokenizer .*Name a folder .*tokenizer_path"),
    "words": (
        written(settings={"tokenizer.ggml.model": "t5"}),
        "of the kind 't5' .*Name a folder .*tokenizer_path",
    ),
    "template": (written(name="a-small-base"), "has no chat template"),
    "part": (written(settings={"split.count": 3}), "is one of 3 parts.*llama-gguf-split --merge"),
    "stretched": (
        written(settings={"llama.rope.scaling.type": "yarn"}),
        "rope.scaling.type=yarn, which transformers does not read.*Take the model's safetensors",
    ),
    "frequencies": (written(beside="rope_freqs.weight"), "rope_freqs.weight.*answers would be oth"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_or_foreign_file_is_refused_when_it_is_described(
    tmp_path: Path, case: str
) -> None:
    change, said = REFUSED[case]
    change(tmp_path / NAME)
    with pytest.raises(ValueError, match=said) as refused:
        described(tmp_path / NAME)
    assert NAME in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"without": "blk.1.attn_norm.weight"}, "1 tensors are missing.*layers.1.input_layernorm"),
        ({"beside": "blk.0.attn_q.bias"}, "1 tensors that transformers has no place for, such as"),
    ],
)
def test_a_file_of_other_tensors_than_the_models_is_refused(
    tmp_path: Path, change: dict, said: str
) -> None:
    model = described(gguf_files.write(tmp_path / NAME, **change))
    with pytest.raises(ValueError, match=said):
        _ = model.weights


def test_settings_that_are_not_read_are_said(tmp_path: Path, caplog) -> None:
    described(gguf_files.write(tmp_path / NAME))
    assert not caplog.text
    described(gguf_files.write(tmp_path / "odd.gguf", settings={"llama.logit_scale": 2}))
    assert "does not read llama.logit_scale from a GGUF file" in caplog.text


@pytest.mark.parametrize("absent", ["gguf", "accelerate"])
def test_a_package_is_asked_for_where_it_is_absent(
    tmp_path: Path, monkeypatch, absent: str
) -> None:
    gguf_files.write(tmp_path / NAME)
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None if name == absent else name)
    said = rf"{absent}, which is not installed\. .*pip install 'trimtab\[gguf\]'"
    with pytest.raises(ValueError, match=said):
        described(tmp_path / NAME)


def test_names_of_files_that_are_none_are_refused(tmp_path: Path) -> None:
    gguf_files.write(tmp_path / NAME)
    asked = {"path": str(tmp_path), "prompt": "chat"}
    with pytest.raises(ValueError, match=r"no such file\. GGUF files there: model\.gguf\."):
        LanguageModel(**asked, gguf_file="other.gguf")
    with pytest.raises(ValueError, match=r"accepted is the name of a file \*\.gguf"):
        LanguageModel(**asked, gguf_file="../model.gguf")
    with pytest.raises(ValueError, match="is a file already"):
        described(tmp_path / NAME, gguf_file=NAME)
    with pytest.raises(ValueError, match="a local file has none"):
        described(tmp_path / NAME, revision="main")
    with pytest.raises(ValueError, match=r"'absent\.gguf' does not exist\. Give a folder, a"):
        described(Path("absent.gguf"))
    with pytest.raises(ValueError, match=r"holds GGUF files.*gguf_file=model\.gguf"):
        LanguageModel(**asked)


def test_what_needs_a_folder_says_so(tmp_path: Path) -> None:
    file = gguf_files.write(tmp_path / NAME)
    with pytest.raises(ValueError, match=r"is a GGUF file; a folder of safetensors is needed"):
        extract(base=str(file), aligned="zoo:a-small-chat", out=tmp_path / "v")
    with pytest.raises(ValueError, match="a GGUF file holds none"):
        RewardModel(path=str(file))


def test_packed_weights_are_refused_where_nothing_computes_on_them(tmp_path: Path) -> None:
    file = gguf_files.write(tmp_path / NAME, packing="Q8_0")
    with pytest.raises(ValueError, match=r"packed weights of the architectures .*'llama'"):
        described(file, quantization="gguf")
    with pytest.raises(ValueError, match="quantization"):
        described(file, quantization="int8")
    with pytest.raises(ValueError, match=r"no GGUF file\."):
        LanguageModel(path="zoo:a-small-chat", prompt="chat", quantization="gguf")
