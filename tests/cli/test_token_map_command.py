"""`trimtab token-map` counts what maps, and how."""

import json

from trimtab import LanguageModel

PAIR = ("zoo:a-small-base", "zoo:b-small-base")


def test_all_tokens_of_both_vocabularies_are_counted(trimtab):
    sizes = [len(LanguageModel(path=path, prompt="plain").vocabulary) for path in PAIR]
    code, out, _ = trimtab("token-map", *PAIR, "--json")
    found = json.loads(out)
    assert code == 0 and (found["target"], found["other"], found["kind"]) == (*PAIR, "pm-mined")
    assert sum(row["tokens"] for row in found["matches"].values()) == sizes[0]
    assert sum(found["other_tokens"].values()) == sizes[1]
    assert ["<|end|>", "</s>"] in found["matches"]["role"]["examples"]
    assert ["<|system|>", None] in found["matches"]["none"]["examples"]
    _, table, _ = trimtab("token-map", *PAIR)
    for match, row in found["matches"].items():
        assert [match, str(row["tokens"])] in [line.split()[:2] for line in table.splitlines()]
    assert f"896 tokens {found['other_tokens']['matched']} stand for one" in table


def test_an_exact_map_has_no_prefixes(trimtab):
    _, out, _ = trimtab("token-map", *PAIR, "--kind", "exact", "--examples", "2", "--json")
    found = json.loads(out)
    assert found["matches"]["prefix"]["tokens"] == 0
    assert len(found["matches"]["exact"]["examples"]) == 2


def test_what_is_no_model_is_said(trimtab):
    code, _, err = trimtab("token-map", "zoo:a-small-base", "zoo:c-small")
    assert code == 1 and "Embedded model 'c-small' is not known" in err
