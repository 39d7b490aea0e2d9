"""A preview shows what models read, and runs nothing."""

from pathlib import Path

import pytest

from trimtab import LanguageModel, Nudging
from trimtab.cli import run_command
from trimtab.config.composition import ConfigError
from trimtab.launch.preview import Preview
from trimtab.tasks import QuestionAnswer


def test_each_model_is_shown_its_prompt_as_its_own_tokenizer_has_it(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,answer\nFrance?,Paris\nItaly?,Rome\nPeru?,Lima\n")
    base = LanguageModel(path="zoo:a-large-base", prompt="plain")
    guide = LanguageModel(path="zoo:b-small-chat", prompt="chat")  # whose tokenizer adds a sign
    preview = Preview(
        method=Nudging(base=base, guide=guide),
        task=QuestionAnswer(path=str(tmp_path / "q.csv"), system="Be brief."),
        limit=None,
        limit_seed=None,
    )
    text = "\n".join(preview.lines(2))
    assert "2 of 3 samples" in text
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Question: Italy?"},
    ]
    tokens = guide.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    whole = guide.tokenizer.decode(tokens)
    assert guide.tokenizer.bos_token in whole
    assert whole.rstrip("\n") in text
    assert f"guide: zoo:b-small-chat, chat prompt, {len(tokens)} tokens" in text
    assert "Be brief.\nQuestion: Italy?⏎" in text
    assert "target 'Rome'" in text and "Peru" not in text
    assert "weights" not in vars(base) and "weights" not in vars(guide)


def test_the_command_shows_the_first_jobs_prompts_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    setting = ["--multirun", "--show", "1", "method=dera", "base=a-small-sft", "guide=a-small-dpo"]
    assert (
        run_command.main([*setting, "task=stories", "method.strength=0,1", f"results={results}"])
        == 0
    )
    said = capsys.readouterr().out
    assert said.count("== sample") == 1
    assert "aligned: zoo:a-small-dpo, chat prompt" in said and "the same as for reference" in said
    assert not results.exists()


def test_mistakes_come_first() -> None:
    with pytest.raises(ConfigError, match="--show 0: accepted are whole numbers from 1 up"):
        run_command.main(["--show", "0"])
    with pytest.raises(ConfigError, match="Did you mean method"):
        run_command.main(["--show", "1", "method.treshold=1"])
