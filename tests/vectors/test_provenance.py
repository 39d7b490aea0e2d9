"""What is known of where a vector comes from, once it was calculated with and saved."""

import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from checkpoints import llama, saved
from typed_records import nameless

from trimtab.cli.vector_command import main
from trimtab.machine import shapes
from trimtab.vectors import (
    EmrMerge,
    Vector,
    apply,
    dare_linear,
    dare_ties,
    drop,
    extract,
    soup,
    ties,
    trim,
)
from trimtab.vectors.disk.vector_folder import VectorProvenance, provenance
from trimtab.vectors.facts import VectorFacts
from trimtab.vectors.files.checkpoint_record import CheckpointRecord
from trimtab.vectors.show.shown_vector import ShowRecord


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """Two models, a vector to each from one base, and one from another base."""
    root = tmp_path_factory.mktemp("origins")
    made = {f"m{seed}": saved(llama(seed=seed), root / f"m{seed}") for seed in range(4)}
    for name, base, aligned in (("a", "m0", "m1"), ("b", "m0", "m2"), ("c", "m3", "m1")):
        extract(base=made[base], aligned=made[aligned], out=root / name)
        made[name] = str(root / name)
    return made


def opened(folders: dict[str, str], *names: str) -> dict[str, Vector]:
    return {name: Vector.open(folders[name]) for name in names}


def reopened(vector: Vector, tmp_path: Path) -> Vector:
    return Vector.open(vector.save(tmp_path / "made"))


def test_arithmetic_names_every_term_with_its_strength(folders, tmp_path: Path) -> None:
    a, b = opened(folders, "a", "b").values()
    facts = reopened(0.5 * (a - 2 * b) + a, tmp_path).facts
    assert facts["base"] == a.facts["base"]
    assert "exact" not in facts
    terms = facts["made_of"]["vectors"]
    assert [term["strength"] for term in terms] == [1.5, -1.0]
    assert [term["aligned"] for term in terms] == [v.facts["aligned"] for v in (a, b)]
    for _ in range(20):  # terms of one vector are one
        a = a + a
    assert [term["strength"] for term in a.facts["made_of"]["vectors"]] == [2.0**20]


def test_vectors_of_two_bases_have_none(folders, tmp_path: Path) -> None:
    a, c = opened(folders, "a", "c").values()
    made = reopened(a + c, tmp_path)
    assert "base" not in made.facts
    assert made.transferred_to(a.facts["base"]["content_sha256"]) is None
    bases = [term["base"] for term in made.facts["made_of"]["vectors"]]
    assert bases == [a.facts["base"], c.facts["base"]]
    assert [term["base"] for term in (2 * made).facts["made_of"]["vectors"]] == bases


def test_what_is_not_known_is_not_made_up(folders) -> None:
    a = Vector.open(folders["a"])
    unknown = Vector(a.deltas)
    first, second = (unknown + a).facts["made_of"]["vectors"]
    assert first == {"strength": 1.0} and second["aligned"] == a.facts["aligned"]
    assert "base" not in (unknown + a).facts


MERGES = {
    "soup": lambda v: soup(v, weights={"a": 0.25, "b": 0.75}),
    "ties": lambda v: ties(v, density={"a": 0.5, "b": 0.2}),
    "dare_ties": lambda v: dare_ties(v, density=0.5, seed=3),
    "dare_linear": lambda v: dare_linear(v, density=0.5, seed=3, rescale="l1"),
    "emr": lambda v: EmrMerge.of(v).unified,
}


@pytest.mark.parametrize("how", MERGES)
def test_merges_name_their_settings_and_their_vectors(folders, tmp_path: Path, how: str) -> None:
    vectors = opened(folders, "a", "b")
    facts = reopened(MERGES[how](vectors), tmp_path).facts
    made_of = facts["made_of"]
    assert facts["base"] == vectors["a"].facts["base"] and made_of["how"] == how
    for part, (name, vector) in zip(made_of["vectors"], vectors.items(), strict=True):
        assert (part["name"], part["aligned"]) == (name, vector.facts["aligned"])
    settings = {
        "soup": ("weights", {"a": 0.25, "b": 0.75}),
        "ties": ("density", {"a": 0.5, "b": 0.2}),
        "dare_ties": ("seed", 3),
        "dare_linear": ("rescale", "l1"),
        "emr": ("scale", "elements"),
    }
    key, value = settings[how]
    assert made_of[key] == value


def test_settings_of_any_mapping_are_plain(folders, tmp_path: Path) -> None:
    vectors = opened(folders, "a", "b")
    given = MappingProxyType({"a": np.float64(0.5), "b": 1})
    made_of = reopened(ties(vectors, density=given), tmp_path).facts["made_of"]
    assert made_of["density"] == {"a": 0.5, "b": 1.0}


def test_one_base_under_two_names_is_one(folders) -> None:
    a, b = opened(folders, "a", "b").values()
    renamed = Vector(b.deltas, b.facts | {"base": b.facts["base"] | {"name": "elsewhere"}})
    assert (a + renamed).facts["base"] == a.facts["base"]


def test_rounding_adds_to_the_recorded_errors(folders, tmp_path: Path) -> None:
    vector = Vector.open(folders["a"])
    measures = Vector.open(vector.save(tmp_path / "v", "bfloat16")).facts["tensors"]
    for name, delta in vector.deltas.items():
        exact = delta.dense().double()
        error = float((exact - exact.bfloat16().double()).norm())
        assert measures[name]["error"] == pytest.approx(error, rel=1e-4)


def test_what_was_thinned_says_how(folders, tmp_path: Path) -> None:
    a = Vector.open(folders["a"])
    made_of = reopened(drop(trim(a, 0.5), 0.25, seed=4), tmp_path).facts["made_of"]
    assert (made_of["how"], made_of["density"], made_of["seed"]) == ("drop", 0.25, 4)
    (trimmed,) = made_of["vectors"]
    assert (trimmed["made_of"]["how"], trimmed["made_of"]["density"]) == ("trim", 0.5)
    assert trimmed["made_of"]["vectors"][0]["aligned"] == a.facts["aligned"]


def test_a_task_of_a_merge_names_the_merge(folders) -> None:
    facts = EmrMerge.of(opened(folders, "a", "b")).vector("b").facts
    assert facts["made_of"]["task"] == "b"
    assert facts["made_of"]["vectors"][0]["made_of"]["how"] == "emr"


def test_it_is_shown_and_goes_into_models(folders, tmp_path: Path, capsys) -> None:
    a, b = opened(folders, "a", "b").values()
    (0.5 * a + 0.25 * ties({"a": a, "b": b})).save(tmp_path / "mixed")
    main(["show", str(tmp_path / "mixed")])
    said = " ".join(capsys.readouterr().out.split())
    assert f"made of 0.5 x {folders['m1']} + 0.25 x (ties of a, b (density 0.2," in said
    out = tmp_path / "out"
    apply(
        base=folders["m3"],
        vectors=opened({"m": str(tmp_path / "mixed")}, "m"),
        strengths={"m": 1.0},
        out=out,
    )
    assert "0.25 x (ties of a, b" in (out / "README.md").read_text()
    main(["apply", f"base={folders['m3']}", f"vector={tmp_path / 'mixed'}", f"out={out}-2"])
    assert "Transfer: mixed was extracted from" in capsys.readouterr().out


def test_a_key_without_a_line_is_noticed() -> None:
    model = {"name": "m", "made": "up"}
    facts = {"base": model, "made_of": {"how": "sum", "vectors": [{"aligned": model}], "odd": 1}}
    assert nameless({**facts, "tensors": {"w": {"size": 2}}}, VectorFacts) == {
        "made",
        "odd",
        "size",
    }


@pytest.mark.parametrize("how", [*MERGES, "extract", "sum", "trim", "drop", "mask"])
def test_every_key_of_a_vectors_facts_has_a_line_in_their_record(
    folders, tmp_path: Path, how: str
) -> None:
    vectors = opened(folders, "a", "b")
    others = {
        "extract": lambda v: v["a"],
        "sum": lambda v: v["a"] - 0.5 * trim(v["b"], 0.5),
        "trim": lambda v: trim(v["a"], 0.5, over="vector"),
        "drop": lambda v: drop(v["a"], 0.5, seed=2**70),
        "mask": lambda v: EmrMerge.of(v).vector("b"),
    }
    facts = reopened((MERGES | others)[how](vectors), tmp_path).facts
    shapes.of(VectorFacts)(facts)
    assert nameless(facts, VectorFacts) == set()


def test_what_programs_read_has_a_line_for_every_key(folders, tmp_path: Path, capsys) -> None:
    vectors = opened(folders, "a", "b")
    vectors["merged"] = ties(vectors)
    out = apply(
        base=folders["m0"],
        vectors=vectors,
        strengths=dict.fromkeys(vectors, 0.5),
        out=tmp_path / "o",
    )
    vectors["merged"].save(tmp_path / "merged")
    main(["show", folders["a"], str(tmp_path / "merged"), "--json"])
    for said, record in (
        (json.loads((out / "vectors.json").read_text()), CheckpointRecord),
        (json.loads(capsys.readouterr().out), ShowRecord),
        (provenance(folders["a"], base=None), VectorProvenance),
    ):
        shapes.of(record)(said)
        assert nameless(said, record) == set()
