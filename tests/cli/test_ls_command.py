"""`trimtab ls` has a line for all that a command can name."""

from trimtab import zoo
from trimtab.config import composition


def test_listings_have_a_line_for_each_choice(trimtab):
    _, everything, _ = trimtab("ls")
    for kind, group in (("models", "model"), ("methods", "method"), ("tasks", "task")):
        code, out, _ = trimtab("ls", kind)
        assert code == 0
        rows = {row[0]: row[1:] for row in map(str.split, out.splitlines()[1:])}
        assert rows.keys() == {file.stem for file in (composition.DIRECTORY / group).glob("*.yaml")}
        assert all(rows.values()), "each has a description"
        assert out in everything
    _, out, _ = trimtab("ls", "vectors")
    assert [row.split()[0] for row in out.splitlines()[1:]] == [
        f"zoo:{name}" for name in zoo.vector_names()
    ]
    assert "from a-small-mixed to a-small-law" in out and out in everything


def test_methods_say_for_which_models_they_are(trimtab, tmp_path, monkeypatch):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("# Mine\n_target_: my_method.Mine\n")
    (tmp_path / "method" / "lost.yaml").write_text("# Lost\n_target_: nowhere_at_all.Lost\n")
    (tmp_path / "method" / "like.yaml").write_text("# Like\ndefaults: [mine, _self_]\n")
    (tmp_path / "my_method.py").write_text(
        "from trimtab.methods import Mixture\nclass Mine(Mixture): needs = 'one model'\n"
    )
    monkeypatch.chdir(tmp_path)
    _, out, _ = trimtab("ls", "methods", "--config-dir", str(tmp_path))
    heading, *rows = out.splitlines()
    assert heading.split() == ["methods", "needs"]
    said = {row.split()[0]: row for row in rows}
    for name, needs in {
        "base": "one model",
        "nudging": "any models",
        "dera": "one vocabulary, or a token map",
        "vectors": "one architecture",
        "mine": "one model",
        "like": "one model",
    }.items():
        assert said[name].rstrip().endswith(f" {needs}")
    assert said["lost"].rstrip().endswith(f"({tmp_path})"), "what cannot be found is no error here"


def test_listings_have_scorers_launchers_and_choices_of_ones_own(trimtab, tmp_path):
    _, everything, _ = trimtab("ls")
    for row in (
        "correctness  Is the final",
        "function_reward  A function",
        "ray             A Ray",
    ):
        assert " ".join(row.split()) in " ".join(everything.split())
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text("# Sums [of mine]\n_target_: mine.Sums\n")
    code, out, _ = trimtab("ls", "tasks", "--config-dir", str(tmp_path))
    assert code == 0 and f"Sums [of mine] ({tmp_path})" in " ".join(out.split())
    assert "word-problems" in out
    code, _, err = trimtab("ls", "--config-dir", str(tmp_path / "nowhere"))
    assert code == 2 and "no such folder" in err
