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
