"""`trimtab vector` as a user types it: what it writes, what it says, and what it refuses."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from checkpoints import bits_differ, llama, read_folder, saved
from rich.console import Console

from trimtab import zoo
from trimtab.cli.vector_command import main
from trimtab.config.composition import ConfigError
from trimtab.vectors import Vector, apply, extract

EXTRACT = ["extract", "base=zoo:a-small-sft", "aligned=zoo:a-small-expert"]


@pytest.fixture(scope="module")
def vector(tmp_path_factory) -> str:
    """A vector of the embedded models, as the command writes it."""
    out = tmp_path_factory.mktemp("vectors") / "expert"
    assert main([*EXTRACT, f"out={out}"]) == 0
    return str(out)


def length(tensors: dict[str, torch.Tensor]) -> float:
    return float(torch.cat([tensor.double().flatten() for tensor in tensors.values()]).norm())


def mistakes(*arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        main(arguments)
    return error.value.mistakes


# ---------------------------------------------------------------------------- what it does


def test_extract_writes_what_the_library_writes(tmp_path: Path, capsys) -> None:
    main([*EXTRACT, f"out={tmp_path / 'typed'}", "dtype=bfloat16"])
    said = capsys.readouterr().out
    called = extract(
        base="zoo:a-small-sft",
        aligned="zoo:a-small-expert",
        out=tmp_path / "called",
        dtype="bfloat16",
    )
    typed = Vector.open(tmp_path / "typed")
    assert typed.facts == called.facts and typed == called
    assert said.startswith(f"{tmp_path / 'typed'}: vector, ") and said.count("\n") == 1
    size = sum(file.stat().st_size for file in (tmp_path / "typed").iterdir())
    assert f"{size / 1000:.3g} kB" in said
    squares = [
        m[key] ** 2 for key in ("norm", "base_norm") for m in typed.facts["tensors"].values()
    ]
    half = len(squares) // 2
    assert f"by {100 * (sum(squares[:half]) / sum(squares[half:])) ** 0.5:.3g} %" in said
    assert "are lost" in said


def test_extract_says_when_nothing_differs(tmp_path: Path, capsys) -> None:
    main(["extract", "base=zoo:a-small-sft", "aligned=zoo:a-small-sft", f"out={tmp_path / 'v'}"])
    assert "the weights are equal" in capsys.readouterr().out


def test_extract_takes_ranks_and_says_what_they_lose(tmp_path: Path, capsys) -> None:
    main([*EXTRACT, f"out={tmp_path / 'v'}", "rank=8"])
    assert Vector.open(tmp_path / "v").rank == 8
    assert "% are lost" in capsys.readouterr().out
    assert (tmp_path / "v" / "adapter_config.json").is_file()


def test_apply_writes_what_the_library_writes(tmp_path: Path, vector: str, capsys) -> None:
    typed, called = tmp_path / "typed", tmp_path / "called"
    main(["apply", "base=zoo:a-small-sft", f"vector={vector}", "strength=0.5", f"out={typed}"])
    said = capsys.readouterr().out
    apply(
        base="zoo:a-small-sft",
        vectors={"expert": Vector.open(vector)},
        strengths={"expert": 0.5},
        out=called,
    )
    assert bits_differ(read_folder(typed), read_folder(called)) == []
    assert said.startswith(f"{typed}: model, ") and "zoo:a-small-sft + 0.5 expert" in said
    assert "Transfer" not in said and said.count("\n") == 1
    start = read_folder(zoo.path("a-small-sft"))
    moved = {n: t.double() - start[n].double() for n, t in read_folder(typed).items()}
    assert f"moved by {100 * length(moved) / length(start):.3g} %" in said
    card = (typed / "README.md").read_text()
    assert "trimtab vector apply base=zoo:a-small-sft" in card and "strength=0.5" in card


def test_apply_is_the_aligned_model_unless_told_otherwise(tmp_path: Path, vector: str) -> None:
    main(["apply", "base=zoo:a-small-sft", f"vector={vector}", f"out={tmp_path / 'out'}"])
    expert = read_folder(zoo.path("a-small-expert"))
    assert bits_differ(read_folder(tmp_path / "out"), expert) == []


def test_apply_carries_along_what_lies_beside_the_weights(tmp_path: Path, vector: str) -> None:
    """A licence may ask for its notice; code and the base's own card stay behind."""
    base = tmp_path / "base"
    shutil.copytree(zoo.path("a-small-sft"), base)
    told = {"LICENSE", "NOTICE", "USE_POLICY.md"}
    for name in (*told, "README.md", "own.py"):
        (base / name).write_text("of the base")
    main(["apply", f"base={base}", f"vector={vector}", f"out={tmp_path / 'out'}"])
    same = {f.name for f in (tmp_path / "out").iterdir() if f.read_bytes() == b"of the base"}
    assert same == told


def test_apply_says_when_a_vector_is_of_another_model(tmp_path: Path, vector: str, capsys) -> None:
    main(["apply", "base=zoo:a-small-dpo", f"vector={vector}", f"out={tmp_path / 'out'}"])
    assert "Transfer: expert was extracted from zoo:a-small-sft" in capsys.readouterr().out


def test_several_vectors_have_names_and_strengths_of_their_own(
    tmp_path: Path, vector: str, capsys
) -> None:
    out = tmp_path / "out"
    twice = f"vector={vector},{vector}/"
    main(["apply", "base=zoo:a-small-sft", twice, "strength=0.25,-0.5", f"out={out}"])
    record = json.loads((out / "vectors.json").read_text())
    strengths = {name: term["strength"] for name, term in record["vectors"].items()}
    assert strengths == {"expert": 0.25, "expert-2": -0.5}
    assert "0.25 expert + -0.5 expert-2" in capsys.readouterr().out


def test_show_prints_tables_and_draws(tmp_path: Path, vector: str, capsys) -> None:
    file = tmp_path / "map.png"
    assert main(["show", vector, "--picture", str(file)]) == 0
    said = capsys.readouterr().out
    assert "zoo:a-small-expert" in said and "q_proj" in said and said.endswith(f"{file}\n")
    assert file.read_bytes().startswith(b"\x89PNG")


def test_show_prints_whole_columns_on_narrow_terminals(vector: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    main(["show", vector])
    said = capsys.readouterr().out
    assert "…" not in said and "post_attention_layernorm" in said


def test_show_gives_programs_numbers_and_no_nan(tmp_path: Path, vector: str, capsys) -> None:
    (0 * Vector.open(vector)).save(tmp_path / "zero")
    capsys.readouterr()
    main(["show", vector, str(tmp_path / "zero"), "--json"])

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    said = json.loads(capsys.readouterr().out, parse_constant=refuse)
    names = [each["name"] for each in said["vectors"]]
    assert names == ["expert", "zero"]
    assert said["cosines"]["all"][0][0] == pytest.approx(1)
    assert said["cosines"]["all"][0][1] is None
    first = said["vectors"][0]
    assert first["base"]["name"] == "zoo:a-small-sft" and first["exact"] is True
    parameters = sum(place["parameters"] for place in first["places"])
    assert parameters == first["total"]["parameters"] > 100_000


def test_a_bar_is_shown_at_a_terminal_alone(tmp_path: Path, capsys, monkeypatch) -> None:
    main([*EXTRACT, f"out={tmp_path / 'quiet'}"])
    assert "million weights" not in capsys.readouterr().out
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    main([*EXTRACT, f"out={tmp_path / 'shown'}"])
    assert "million weights" in capsys.readouterr().out


# ---------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_action(capsys, arguments: list[str]) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"trimtab vector {action}" in said for action in ("extract", "apply", "show"))


@pytest.mark.parametrize(
    ("action", "keys"),
    [
        ("extract", ["base", "aligned", "out", "dtype", "rank", "vocabulary", "base_revision"]),
        ("apply", ["base", "vector", "strength", "out", "base_revision"]),
        ("show", ["PATH", "--picture", "--json"]),
    ],
)
def test_help_names_every_setting(capsys, action: str, keys: list[str]) -> None:
    assert main([action, "base=x", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"  {key} ") for line in lines) for key in keys)


def test_typos_are_named_with_the_nearest_name_and_all_others() -> None:
    assert mistakes("extrat") == [
        "trimtab vector: 'extrat' is not known. Did you mean 'extract'? "
        "Accepted: apply, extract, show."
    ]
    (typo,) = mistakes(*EXTRACT, "out=x", "dtyp=float32")
    assert "'dtyp' is not known. Did you mean 'dtype'?" in typo and "vocabulary" in typo
    (flag,) = mistakes("show", "x", "--jsn")
    assert "Did you mean '--json'?" in flag and "--picture" in flag


def test_all_mistakes_are_listed_at_once() -> None:
    found = mistakes("apply", "bas=x", "out=", "vector=a", "vector=b")
    parts = [
        "'bas' is not known",
        "out needs a value",
        "vector is given twice",
        "base=... is missing",
    ]
    assert len(found) == len(parts)
    assert all(part in mistake for part, mistake in zip(parts, found, strict=True))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["extract", "base=a", "aligned=b", "out=c", "rank=0"], "rank=0"),
        (["extract", "base=a", "aligned=b", "out=c", "rank=many"], "rank=many"),
        (["apply", "base=a", "vector=b", "out=c", "strength=nan"], "strength=nan"),
        (["apply", "base=a", "vector=b", "out=c", "strength=1,"], "strength=1,"),
        (["apply", "base=a", "vector=b", "out=c", "strength=1,2"], "2 numbers for 1 vectors (b)"),
        (["apply", "base=a", "vector=b,,c", "out=c"], "vector=b,,c"),
        (["show"], "PATH is missing"),
        (["show", "x", "--picture"], "--picture : accepted are .png and .svg"),
        (["show", "x", "--picture", "map.gif"], "map.gif"),
        (["show", "x", "--picture=map.pdf"], "map.pdf"),
    ],
)
def test_values_out_of_range_are_refused(arguments: list[str], part: str) -> None:
    (mistake,) = mistakes(*arguments)
    assert part in mistake


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "base=zoo:a-small-sft", "aligned=zoo:nix", "out=OUT"], "'nix' is not known"),
        (["extract", "base=zoo:a-small-sft", "aligned=./nix", "out=OUT"], "does not exist"),
        ([*EXTRACT, "out=OUT", "dtype=float23"], "Did you mean 'float32'"),
        ([*EXTRACT, "out=OUT", "vocabulary=some"], "'some' is not known"),
        (["apply", "base=zoo:a-small-sft", "vector=./nix", "out=OUT"], "does not exist"),
        (["apply", "base=zoo:a-large-sft", "vector=VECTOR", "out=OUT"], "Did you mean"),
        (["apply", "base=zoo:a-large-chat", "vector=VECTOR", "out=OUT"], "does not fit"),
        (["show", "zoo:nix"], "'nix' is not known"),
        (["show", "./nix"], "does not exist"),
        (["show", "OUT"], "holds no vector"),
    ],
)
def test_errors_are_messages(tmp_path: Path, vector: str, arguments, message: str) -> None:
    """ValueError and OSError are what the command line prints without a traceback."""
    out = tmp_path / "out"
    if arguments == ["show", "OUT"]:
        out.mkdir()
    names = {"OUT": str(out), "VECTOR": vector}
    for name, path in names.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    with pytest.raises((ValueError, OSError), match=message):
        main(arguments)
    assert not out.exists() or not list(out.iterdir())


_LIGHT = """
import sys
from trimtab.cli.vector_command import main
main(sys.argv[1:])
assert "torch" not in sys.modules
"""


@pytest.mark.process
def test_commands_do_not_wait_for_torch(tmp_path: Path, vector: str) -> None:
    """Importing it takes longer than the work itself on a model of average size."""
    base = "zoo:a-small-sft"
    for arguments in (
        ["extract", "--help"],
        ["extract", f"base={base}", f"aligned={base}", f"out={tmp_path / 'none'}"],
        ["apply", f"base={base}", f"vector={vector}", "strength=0.5", f"out={tmp_path / 'out'}"],
        ["show", vector, vector],
    ):
        done = subprocess.run(
            [sys.executable, "-c", _LIGHT, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_adapters_are_applied_too(tmp_path: Path, capsys) -> None:
    peft = pytest.importorskip("peft")
    base = saved(llama(seed=0), tmp_path / "base")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an old name
        adapted = peft.get_peft_model(llama(seed=0), config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(parameter)
    adapted.save_pretrained(tmp_path / "adapter")
    main(["apply", f"base={base}", f"vector={tmp_path / 'adapter'}", f"out={tmp_path / 'out'}"])
    said = capsys.readouterr().out
    assert "1 adapter" in said and "Transfer" not in said  # where it is from is not known
    main(["show", str(tmp_path / "adapter")])
    said = capsys.readouterr().out
    assert "factors of rank 2" in said and "unknown" in said and "norm, by layer" in said
