"""Folders of vectors and adapters as an attacker, or a broken download, would leave them."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]
DENSE, EXACT, ADAPTER = "vector.safetensors", "exact.safetensors", "adapter_config.json"
FACTORS = "adapter_model.safetensors"
NAME = "model.norm.weight"
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"
DEEP = "[" * 200_000 + "]" * 200_000


def header_of(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(file: Path, header: str, data: bytes) -> None:
    text = header.encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def header(change: Callable[[dict[str, Any]], Any], file: str = DENSE) -> Damage:
    """Change a file's header; what the change returns, if anything, is the header."""

    def damage(folder: Path) -> None:
        said, data = header_of(folder / file)
        said = change(said) or said
        write(folder / file, json.dumps(said), data)

    return damage


def entry(file: str = DENSE, name: str = NAME, **changes: Any) -> Damage:
    return header(lambda said: said[name].update(changes), file)


def raw(change: Callable[[str], str], file: str = DENSE) -> Damage:
    """Change a file's header as text."""

    def damage(folder: Path) -> None:
        said, data = header_of(folder / file)
        write(folder / file, change(json.dumps(said)), data)

    return damage


def facts(**changes: Any) -> Damage:
    """Change what a vector says of itself; a text is taken as the whole."""

    def change(said: dict[str, Any]) -> None:
        own = said["__metadata__"]
        own["trimtab"] = changes.get("text") or json.dumps(json.loads(own["trimtab"]) | changes)

    return header(change)


def settings(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        said = json.loads((folder / ADAPTER).read_text())
        (folder / ADAPTER).write_text(json.dumps(said | changes))

    return damage


def size(file: str, change: Callable[[int], int]) -> Damage:
    def damage(folder: Path) -> None:
        os.truncate(folder / file, change((folder / file).stat().st_size))

    return damage


def pipe(file: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).unlink()
        os.mkfifo(folder / file)

    return damage


def link(file: str, to: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to(to)

    return damage


def places(*numbers: int, count: int | None = None) -> Damage:
    """Write other exact places; as many numbers, or some other count."""

    def damage(folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        own = {f"{NAME}.places": torch.tensor(numbers, dtype=torch.int64)}
        own[f"{NAME}.values"] = torch.ones(len(numbers) if count is None else count)
        save_file(own, folder / EXACT)

    return damage


def _measures(name: str = NAME, **changes: Any) -> Mapping[str, Any]:
    plain = {"norm": 1.0, "base_norm": 1.0, "error": 0.0, "changed": 1, "parameters": 16}
    return {name: plain | changes}


def _twice(text: str) -> str:
    """Name a tensor twice: readers that take the last would see other numbers than these."""
    said = json.loads(text)
    return text[:-1] + f', "{NAME}": {json.dumps(said[NAME])}}}'


VECTORS: dict[str, tuple[Damage, str]] = {
    "deep header": (raw(lambda text: f'{{"a": {DEEP}}}'), "nested too deeply"),
    "null header": (raw(lambda text: "null"), "of another kind"),
    "list as header": (raw(lambda text: "[1]"), "of another kind"),
    "no JSON": (raw(lambda text: text[:-3]), "cut off"),
    "name twice": (raw(_twice), "twice"),
    "entry is null": (header(lambda said: said.update({NAME: None})), "where .* lies"),
    "entry is a list": (header(lambda said: said.update({NAME: [1]})), "where .* lies"),
    "no shape": (raw(lambda text: text.replace('"shape"', '"form"')), "where .* lies"),
    "dtype is a list": (entry(dtype=["F32"]), "not known"),
    "dtype is unknown": (entry(dtype="F3"), "not known"),
    "shape is null": (entry(shape=None), "no whole numbers"),
    "shape of floats": (entry(shape=[16.0]), "no whole numbers"),
    "shape below 0": (entry(shape=[-4, -4]), "no whole numbers"),
    "shape of true": (entry(shape=[True, 16]), "no whole numbers"),
    "shape too large": (entry(shape=[1 << 70, 0], data_offsets=[0, 0]), "no whole numbers"),
    "offsets of floats": (entry(data_offsets=[0.0, 64.0]), "no whole numbers"),
    "one offset": (entry(data_offsets=[0]), "no whole numbers"),
    "offsets beyond": (entry(data_offsets=[1 << 40, (1 << 40) + 64]), "leaves a gap"),
    "offsets overlap": (entry(data_offsets=[32, 96]), "overlaps"),
    "offsets turned": (entry(data_offsets=[64, 0]), "bytes for shape"),
    "shorter": (size(DENSE, lambda n: n - 1), "cut off"),
    "tail": (size(DENSE, lambda n: n + 7), "none of its tensors"),
    "empty": (size(DENSE, lambda n: 0), "cut off"),
    "huge header": (size(DENSE, lambda n: 3), "cut off"),
    "integers": (entry(dtype="I32"), "is of type int32"),
    "metadata are a list": (header(lambda said: said.update(__metadata__=["a"])), "no texts"),
    "metadata of numbers": (header(lambda said: said.update(__metadata__={"a": 1})), "no texts"),
    "facts are no JSON": (facts(text="{"), "no JSON"),
    "facts are a list": (facts(text="[]"), "an object is expected"),
    "facts are deep": (facts(text='{"made_of": ' + DEEP + "}"), "nested too deeply"),
    "base is a text": (facts(base="x"), "has base"),
    "name is a list": (facts(base={"name": ["x"]}), r"has base\.name"),
    "hash is a number": (facts(aligned={"content_sha256": 5}), r"aligned\.content_sha256"),
    "rank is a text": (facts(rank="4"), "has rank"),
    "exact is a text": (facts(exact="yes"), "true or false"),
    "measures are a list": (facts(tensors=[1]), "has tensors"),
    "measures are few": (facts(tensors={NAME: {"norm": 1}}), "has no tensors"),
    "measures are texts": (facts(tensors=_measures(norm="1")), "norm"),
    "measures below 0": (facts(tensors=_measures(norm=-1)), "a length or a count"),
    "measures too large": (facts(tensors=_measures(error=1e300)), "a length or a count"),
    "made of a text": (facts(made_of="x"), "made_of"),
    "made of no vectors": (facts(made_of={"how": "sum"}), r"made_of\.vectors"),
    "a sum without strengths": (
        facts(made_of={"how": "sum", "vectors": [{}]}),
        "has no made_of.*strength",
    ),
    "places beyond": (places(0, 16), "places"),
    "places below 0": (places(-1, 3), "places"),
    "places that fall": (places(5, 3), "places"),
    "places that wrap": (places(5, -(2**63)), "places"),
    "places twice": (places(3, 3), "places"),
    "places without numbers": (places(1, 2, count=1), "places"),
    "places of integers": (entry(EXACT, f"{NAME}.values", dtype="I32"), "places"),
    "places of another tensor": (
        header(lambda s: {n.replace("norm", "nor"): e for n, e in s.items()}, EXACT),
        "belongs to no tensor",
    ),
    "pipe": (pipe(DENSE), "no regular file"),
    "pipe for places": (pipe(EXACT), "no regular file"),
    "device": (link(DENSE, "/dev/zero"), "leads out"),
    "link that leads out": (link(EXACT, "../secret"), "leads out"),
}
# What is odd, but says what it says.
HARMLESS: dict[str, Damage] = {
    "null metadata": header(lambda said: said.update(__metadata__=None)),
    "null facts": facts(base=None, aligned=None, tensors=None, made_of=None, exact=None),
    "a name of 300 characters": facts(base={"name": "x" * 300}),
    "a digit that is no decimal": facts(tensors=_measures("model.²." + "a" * 300)),
}
ADAPTERS: dict[str, tuple[Damage, str]] = {
    "deep": (lambda folder: _write(folder, f'{{"a": {DEEP}}}'), "nested too deeply"),
    "list": (lambda folder: _write(folder, "[]"), "no JSON object"),
    "torn": (lambda folder: _write(folder, '{"peft_type": "LO'), "no whole JSON"),
    "null type": (settings(peft_type=None), "of type None"),
    "null alpha": (settings(lora_alpha=None), "lora_alpha=None"),
    "alpha is a text": (settings(lora_alpha="8"), "lora_alpha='8'"),
    "alpha is NaN": (settings(lora_alpha=float("nan")), "lora_alpha=nan"),
    "alpha is huge": (settings(lora_alpha=10**400), "lora_alpha=1000"),
    "rank is another": (settings(r=3), "of rank 2"),
    "rank is a list": (settings(r=[2]), r"r=\[2\]"),
    "patterns are a list": (settings(alpha_pattern=["q_proj"]), "alpha_pattern="),
    "a pattern for ever": (settings(alpha_pattern={"(.*.*)*(.*.*)*x": 4}), "to match"),
    "a pattern of many ways": (settings(rank_pattern={"(.|_|\\w)+!": 2}), "to match"),
    "no pattern": (settings(alpha_pattern={"(": 4}), "no regular expressions"),
    "a pattern of a text": (settings(alpha_pattern={"q_proj": "4"}), "q_proj='4'"),
    "a flag that is a text": (settings(use_rslora="false"), "use_rslora='false'"),
    "what is not known": (settings(adds_more=True), "adds_more=True"),
    "start is a list": (settings(init_lora_weights=["pissa"]), "init_lora_weights="),
    "a factor of one axis": (entry(FACTORS, f"{PREFIX}.lora_A.weight", shape=[32]), "factors of"),
    "a factor of integers": (entry(FACTORS, f"{PREFIX}.lora_A.weight", dtype="I32"), "factors of"),
    "a factor too long": (entry(FACTORS, f"{PREFIX}.lora_A.weight", shape=[16, 2]), "factors of"),
    "transposed is no list": (
        header(lambda said: said.update(__metadata__={"transposed": "5"}), FACTORS),
        "transposed=",
    ),
    "transposed is deep": (
        header(lambda said: said.update(__metadata__={"transposed": DEEP}), FACTORS),
        "transposed=",
    ),
    "a pipe": (pipe(ADAPTER), "no regular file"),
    "a pipe for factors": (pipe(FACTORS), "no regular file"),
    "no factors": (lambda folder: (folder / FACTORS).unlink(), "has no adapter_model"),
    "a large config": (size(ADAPTER, lambda n: 1 << 40), "bytes"),
}


def _write(folder: Path, text: str) -> None:
    (folder / ADAPTER).write_text(text)
