"""What is shown of vectors, against plain arithmetic on the tensors of their models."""

import errno
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from checkpoints import gpt2, llama, read_folder, saved, write_folder
from matplotlib.image import imread
from rich.console import Console

from trimtab.cli.vector_command import main
from trimtab.config.composition import ConfigError
from trimtab.tensors.delta import Dense
from trimtab.vectors import Vector, extract
from trimtab.vectors.show import picture
from trimtab.vectors.show.cosines import cosines
from trimtab.vectors.show.profile import Profile, kinds
from trimtab.vectors.show.shown_vector import ShownVector
from trimtab.vectors.show.vector_tables import render


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A base, two models that were tuned from it, and their vectors."""
    root = tmp_path_factory.mktemp("shown")
    base = saved(llama(seed=0), root / "base")
    found = {"base": base}
    for seed in (1, 2):
        found[f"m{seed}"] = saved(llama(seed=seed), root / f"m{seed}")
        extract(base=base, aligned=found[f"m{seed}"], out=root / f"v{seed}")
        found[f"v{seed}"] = str(root / f"v{seed}")
    return found


def flat(tensors: dict[str, torch.Tensor], *parts: str) -> torch.Tensor:
    """Return all tensors whose names hold one of some parts as one vector in fp64."""
    names = sorted(name for name in tensors if any(part in name for part in parts))
    return torch.cat([tensors[name].double().flatten() for name in names])


def printed(shown: list[ShownVector]) -> str:
    angles = cosines([each.vector for each in shown]) if len(shown) > 1 else None
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render(shown, angles))
    return capture.get()


def shown(folders: dict[str, str], *names: str) -> list[ShownVector]:
    return ShownVector.open({name: folders[name] for name in names})


# ---------------------------------------------------------------------------- lengths


def test_lengths_by_layer_and_kind_are_those_of_the_tensors(folders) -> None:
    start, end = read_folder(folders["base"]), read_folder(folders["m1"])
    delta = {name: end[name].double() - start[name].double() for name in start}
    profile = Profile.of(Vector.open(folders["v1"]))
    places = profile.by_place()
    for layer in ("0", "1"):
        for kind in ("q_proj", "up_proj", "input_layernorm"):
            part = next(name for name in start if f"layers.{layer}." in name and kind in name)
            ratio = float(delta[part].norm() / start[part].double().norm())
            assert places[layer, kind].relative == pytest.approx(ratio, rel=1e-4)
    by_kind = profile.by_kind()
    for kind in ("k_proj", "embed_tokens", "post_attention_layernorm"):
        of_kind = flat(delta, kind)
        assert by_kind[kind].norm == pytest.approx(float(of_kind.norm()), rel=1e-4)
        ratio = float(of_kind.norm() / flat(start, kind).norm())
        assert by_kind[kind].relative == pytest.approx(ratio, rel=1e-4)
        assert by_kind[kind].parameters == len(of_kind)
    everything = flat(delta, "")
    assert profile.total.norm == pytest.approx(float(everything.norm()), rel=1e-4)
    assert profile.total.changed == int(everything.count_nonzero())
    assert profile.total.parameters == len(everything)
    # Every tensor is counted in one place, and in one alone.
    assert sum(sums.parameters for sums in places.values()) == len(everything)
    assert sum(sums.parameters for sums in by_kind.values()) == len(everything)


def test_what_low_rank_loses_is_shown(tmp_path: Path, folders) -> None:
    extract(base=folders["base"], aligned=folders["m1"], out=tmp_path / "v", rank=2)
    start, end = read_folder(folders["base"]), read_folder(folders["m1"])
    by_kind = Profile.of(Vector.open(tmp_path / "v")).by_kind()
    lost, whole = 0.0, 0.0
    for name in start:
        if "gate_proj" in name:
            values = torch.linalg.svdvals(end[name].double() - start[name].double())
            lost, whole = lost + float(values[2:].square().sum()), whole + float(values.norm() ** 2)
    assert by_kind["gate_proj"].error == pytest.approx(math.sqrt(lost / whole), rel=1e-3)
    assert by_kind["norm"].error == 0


def test_vectors_without_records_are_measured(tmp_path: Path, folders) -> None:
    (3 * Vector.open(folders["v1"])).save(tmp_path / "thrice")
    recorded = Profile.of(Vector.open(folders["v1"])).by_place()
    for place, sums in Profile.of(Vector.open(tmp_path / "thrice")).by_place().items():
        assert sums.norm == pytest.approx(3 * recorded[place].norm, rel=1e-4)
        assert sums.relative is sums.error is sums.share is None


def test_kinds_tell_modules_of_one_name_apart() -> None:
    names = [name for name, _ in gpt2(seed=0).named_parameters()]
    found = kinds(names)
    assert found["transformer.h.1.attn.c_proj.weight"] == "attn.c_proj"
    assert found["transformer.h.1.attn.c_proj.bias"] == "attn.c_proj"
    assert found["transformer.h.0.mlp.c_proj.weight"] == "mlp.c_proj"
    assert found["transformer.h.0.attn.c_attn.weight"] == "c_attn"
    assert found["transformer.wte.weight"] == "wte"


def test_experts_are_one_kind_and_stacks_are_told_apart(tmp_path: Path) -> None:
    names = [f"model.layers.0.mlp.experts.{i}.up_proj.weight" for i in range(2)]
    names += ["model.layers.0.mlp.shared.up_proj.weight", "vision.blocks.0.q_proj.weight"]
    start = {name: torch.zeros(2, 2) for name in names}
    base = write_folder(tmp_path / "b", start)
    aligned = write_folder(tmp_path / "a", {name: tensor + 1 for name, tensor in start.items()})
    places = Profile.of(extract(base=base, aligned=aligned, out=tmp_path / "v")).by_place()
    assert {place: sums.parameters for place, sums in places.items()} == {
        ("model.layers.0", "experts.up_proj"): 8,
        ("model.layers.0", "shared.up_proj"): 4,
        ("vision.blocks.0", "q_proj"): 4,
    }
    assert places["vision.blocks.0", "q_proj"].relative is None  # of zeros there is no ratio


# ---------------------------------------------------------------------------- cosines


def test_cosines_are_those_of_the_differences(folders) -> None:
    start = read_folder(folders["base"])
    ends = [read_folder(folders[name]) for name in ("m1", "m2")]
    deltas = [{n: end[n].double() - start[n].double() for n in start} for end in ends]
    found = cosines([Vector.open(folders[name]) for name in ("v1", "v2")])
    for kind, parts in (("all", ("",)), ("q_proj", ("q_proj",)), ("lm_head", ("lm_head",))):
        one, other = (flat(delta, *parts) for delta in deltas)
        wanted = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
        assert found[kind][0][1] == found[kind][1][0] == pytest.approx(wanted, abs=1e-6)
        assert found[kind][0][0] == pytest.approx(1)


def test_cosines_of_opposite_and_of_separate_vectors(folders) -> None:
    vector = Vector.open(folders["v1"])
    halves = [
        Vector({n: d for n, d in vector.deltas.items() if ("mlp" in n) is inside})
        for inside in (True, False)
    ]
    found = cosines([vector, -vector, *halves])
    assert found["all"][0][1] == pytest.approx(-1)
    assert found["all"][2][3] == 0
    assert found["all"][0][2] > 0.1
    assert math.isnan(found["up_proj"][0][3])  # which the last one does not change


def test_vectors_of_two_architectures_have_no_angle(tmp_path: Path, folders) -> None:
    models = [saved(llama(seed=i, head_dim=4), tmp_path / str(i)) for i in (0, 1)]
    other = extract(base=models[0], aligned=models[1], out=tmp_path / "v")
    with pytest.raises(ValueError, match=r"differ in shape:\n  .*k_proj.*\n(.*\n)*.*one at a time"):
        cosines([Vector.open(folders["v1"]), other])


# ---------------------------------------------------------------------------- tables and pictures


def test_tables_say_where_a_vector_comes_from(folders) -> None:
    (each,) = shown(folders, "v1")
    text = printed([each])
    for end in ("base", "aligned"):
        facts = each.vector.facts[end]
        assert f"{facts['name']}  (content {facts['content_sha256'][:12]}" in text
    size = sum(file.stat().st_size for file in Path(folders["v1"]).iterdir())
    assert each.bytes == size
    assert "float32" in text and "exact at strength 1" in text and "cosine" not in text
    relative = 100 * each.profile.by_place()["1", "q_proj"].relative
    assert f"{relative:.3g}" in text


def test_tables_of_several_vectors_compare_them(folders) -> None:
    several = shown(folders, "v1", "v2")
    found = cosines([each.vector for each in several])
    lines = printed(several).splitlines()
    matrix = lines[next(i for i, line in enumerate(lines) if line.startswith("cosine")) :]
    row = next(line.split() for line in matrix if line.startswith(" v2 "))
    assert row == ["v2", f"{found['all'][0][1]:.3f}", "1.000"]
    row = next(line.split() for line in matrix if line.startswith(" o_proj "))
    assert row == ["o_proj", f"{found['o_proj'][0][1]:.3f}"]


def test_layers_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    start = {f"model.layers.{i}.up_proj.weight": torch.ones(2, 2) for i in range(12)}
    base = write_folder(tmp_path / "b", start)
    aligned = write_folder(tmp_path / "a", {name: tensor + 1 for name, tensor in start.items()})
    extract(base=base, aligned=aligned, out=tmp_path / "v")
    text = printed(ShownVector.open({"v": str(tmp_path / "v")}))
    rows = [line.split() for line in text[text.index("by layer") :].splitlines()]
    assert [row[0] for row in rows if len(row) == 2 and row[0].isdigit()] == [*map(str, range(12))]


def test_an_empty_vector_is_said_to_be_empty(tmp_path: Path, folders) -> None:
    extract(base=folders["base"], aligned=folders["base"], out=tmp_path / "v")
    assert "Empty: the two models' weights are equal." in printed(
        ShownVector.open({"v": str(tmp_path / "v")})
    )


@pytest.mark.parametrize("names", [("v1",), ("v1", "v2")])
def test_pictures_name_what_they_show(tmp_path: Path, folders, names) -> None:
    each = shown(folders, *names)
    angles = cosines([one.vector for one in each]) if len(each) > 1 else None
    file = tmp_path / "map.svg"
    picture.save(picture.draw(each, angles), file)
    # Matplotlib writes the texts that it draws as comments beside their outlines.
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    comments = {
        (node.text or "").strip()
        for node in ElementTree.parse(file, parser).iter(ElementTree.Comment)
    }
    assert {*names, "q_proj", "embed_tokens", "layer"} <= comments
    assert ("cosine" in comments) is (len(names) > 1)
    again = tmp_path / "again.svg"
    picture.save(picture.draw(each, angles), again)
    assert again.read_bytes() == file.read_bytes()


def test_a_map_has_the_numbers_at_their_places(folders) -> None:
    (each,) = shown(folders, "v1")
    figure = picture.draw([each], None)
    panel = figure.axes[0]
    cells = panel.images[0].get_array()
    across = [label.get_text() for label in panel.get_xticklabels()]
    down = [label.get_text() for label in panel.get_yticklabels()]
    for (layer, kind), sums in each.profile.by_place().items():
        cell = cells[down.index(kind), across.index(layer or "none")]
        assert cell == pytest.approx(100 * sums.relative)
    assert int(cells.count()) == len(each.profile.by_place())  # the others are empty


def test_pictures_are_written_as_png(tmp_path: Path, folders) -> None:
    file = tmp_path / "map.png"
    picture.save(picture.draw(shown(folders, "v1"), None), file)
    height, width, _ = imread(file).shape
    assert height > 300 and width > 800


def test_there_is_no_picture_of_nothing(tmp_path: Path) -> None:
    Vector({}).save(tmp_path / "v")
    with pytest.raises(ValueError, match="nothing to draw"):
        picture.draw(ShownVector.open({"v": str(tmp_path / "v")}), None)


def test_names_are_no_markup(tmp_path: Path, folders) -> None:
    name = "a$x_1$ [b]"
    both = ShownVector.open({name: folders["v1"], "other": folders["v2"]})
    rows = [line for line in printed(both).splitlines() if line.startswith(f" {name} ")]
    assert len(rows) == 1  # of the matrix of cosines
    angles = cosines([each.vector for each in both])
    picture.save(picture.draw(both, angles), tmp_path / "map.svg")
    assert f"<!-- {name} -->" in (tmp_path / "map.svg").read_text()


def test_a_picture_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, folders, monkeypatch
) -> None:
    file = tmp_path / "map.png"
    file.write_bytes(b"the picture before")
    figure = picture.draw(shown(folders, "v1"), None)

    def full(self: object, draft: Path, **settings: object) -> None:
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(figure), "savefig", full)
    with pytest.raises(OSError, match="No space"):
        picture.save(figure, file)
    assert file.read_bytes() == b"the picture before" and [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("name", ["nowhere/map.svg", "x" * 300 + ".png", "folder.png"])
def test_where_no_picture_can_be_written_no_work_begins(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match="--picture"):
        main(["show", "./no-vector", "--picture", str(tmp_path / name)])


def test_names_of_any_length_are_drawn(tmp_path: Path) -> None:
    kind = "k" * 300
    Vector({f"model.layers.0.{kind}.weight": Dense(torch.ones(2, 2))}).save(tmp_path / ("v" * 200))
    main(["show", str(tmp_path / ("v" * 200)), "--picture", str(tmp_path / "map.png")])
    height, width, _ = imread(tmp_path / "map.png").shape
    assert height < 2000 and width < 2000


HOSTILE = "\x1b[31mred\x07\x9b2J\ud800`|<img src=x>\n# Heading [a](http://b)"


def test_texts_of_a_vector_steer_neither_a_terminal_nor_a_card(
    tmp_path: Path, folders, capsys
) -> None:
    opened = Vector.open(folders["v1"])
    model = {"name": HOSTILE, "content_sha256": "ab\x1b[5m"}
    Vector(opened.deltas, {"base": model, "aligned": model}).save(tmp_path / "v")
    made_of = {"how": HOSTILE, "vectors": [{"name": HOSTILE}]}
    Vector(opened.deltas, {"base": model, "made_of": made_of}).save(tmp_path / "w")
    paths = [str(tmp_path / name) for name in "vw"]
    main(["show", *paths])
    main(["show", *paths, "--json"])
    main(["apply", f"base={folders['base']}", f"vector={','.join(paths)}", f"out={tmp_path / 'o'}"])
    said = capsys.readouterr().out
    assert all(sign.isprintable() or sign == "\n" for sign in said)
    assert "\\x1b[31mred" in said
    card = (tmp_path / "o" / "README.md").read_text("utf-8")
    assert all(sign.isprintable() or sign == "\n" for sign in card)
    outside = re.sub(r"`[^`\n]*`", "", card)  # what is code shows as it is
    assert "<" not in outside and "](" not in outside and "\n# Heading" not in card
    (first, second) = (line for line in card.splitlines() if line.startswith(("| v |", "| w |")))
    assert first.replace("\\|", "").count("|") == second.count("|") - second.count("\\|") == 5
