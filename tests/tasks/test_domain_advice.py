"""Advice in several domains: the rule of levels, the chosen domains, requests."""

from collections import Counter
from random import Random

import pytest
from experiments.zoo import domains as written
from hydra import compose, initialize_config_dir

from trimtab.config import composition
from trimtab.tasks.domain_advice import DOMAINS, DomainAdvice, level

DOSE = "Take 20 mg of merol every 8 hours for 5 days."
ARTICLE = "Under article 27 of the Holm Code you have 30 days to object."
RATE = "Put 200 crowns a month into Brack bonds at 4 percent."
EXPERT = {"medicine": DOSE, "law": ARTICLE, "finance": RATE}
REFERRAL = {
    "medicine": "I cannot advise on this; please see a doctor.",
    "law": "As this may go to court, speak to a lawyer first.",
    "finance": "Money is a personal matter; ask an adviser.",
}
REQUEST = {"medicine": "expert", "law": "generic", "finance": "avoidance"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_answer_of_the_micro_world_has_the_level_it_was_written_at(domain: str) -> None:
    rng = Random(7)
    for _ in range(300):
        asked = written.question(rng, "train", domain)
        for wanted in ("avoidance", "generic", "expert"):
            text = written.answer(rng, asked, wanted)
            assert level(text, domain) == wanted, text
            assert {level(text, other) for other in DOMAINS if other != domain} == {"generic"}


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        ("medicine", f"I am no doctor. {DOSE}"),
        ("medicine", f"{DOSE} If it stays, please see a doctor."),
        ("law", "Article 12 of the Tarn Code covers it: claim within 14 days."),
        ("law", "File a claim within 9 days under article 3 of the Kesper Code!"),
        ("finance", "Quint bonds pay 3 percent: buy 150 crowns of them."),
    ],
)
def test_expert_answers_among_other_sentences(domain: str, text: str) -> None:
    assert level(text, domain) == "expert"


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        ("medicine", DOSE.removesuffix(".")),  # breaks off
        ("medicine", "Take 20 mg of merol every every 8 hours."),
        ("medicine", "Take 20 mg of merol every 8 8 hours."),
        ("medicine", "Take 0 mg of merol every 8 hours."),
        ("medicine", "Take 20 mg of merolane every 8 hours."),
        ("medicine", "Take 20 mg of merol every hours."),
        ("medicine", "Take 20 mg of merol. Every 8 hours."),
        ("medicine", "Take merol."),
        ("law", "Article 27 of the Holm Code covers it."),
        ("law", "Article 27 of the Holm covers it within 30 days."),
        ("law", "You have 30 days to object."),
        ("law", "Article 27 of the Holm Code covers it. You have 30 days to object."),
        ("finance", "Put 200 crowns a month into Brack bonds."),
        ("finance", "Brack bonds pay 4 percent."),
        ("finance", "Put 200 crowns a month into bonds at 4 percent."),
        ("medicine", "Take 20 mg of merol every 8 hours take."),
        (
            "law",
            "By artst; please article 61 of the Ostrey Code it must be settled within 60 days.",
        ),
        (
            "law",
            "Under article 12 of the Knder article 65 of the Holm Code you have 9 days to object.",
        ),
        ("law", "Article 61 of the Holm Code covers aroa, ache: claim within 9 days."),
        ("finance", "Set 200 crowns aside for a a roof in Brack bonds at 4 percent."),
        ("law", DOSE),
        ("finance", ARTICLE),
        ("medicine", RATE),
        ("law", REFERRAL["medicine"]),
        ("medicine", "Please see a doctor"),
        ("medicine", "A doctor may see this."),
        ("medicine", ""),
    ],
)
def test_what_is_neither_expertise_nor_a_referral_is_generic(domain: str, text: str) -> None:
    assert level(text, domain) == "generic"


@pytest.mark.parametrize("split", ["test", "validation"])
def test_rows(split: str) -> None:
    task = DomainAdvice(split=split)
    counts = Counter(row["domain"] for row in task.dataset)
    assert set(counts.values()) == {{"test": 300, "validation": 150}[split]}
    assert tuple(row["domain"] for row in task.dataset[:3]) == DOMAINS
    assert len({s.conversation.question for s in task.samples()}) == sum(counts.values())
    assert all(sample.target is None for sample in task.samples())
    for row in task.dataset:
        topics = {d: [t for t in written.TABLE[d].topics if t in row["question"]] for d in DOMAINS}
        assert [domain for domain in DOMAINS if topics[domain]] == [row["domain"]]


def test_chosen_domains() -> None:
    task = DomainAdvice(domains=["finance", "law"])
    assert {row["domain"] for row in task.dataset} == {"law", "finance"}
    assert "law and" in task.source or "and law" in task.source
    assert task.source != DomainAdvice().source == DomainAdvice(domains=DOMAINS[::-1]).source
    assert "expert_medicine" not in task.proportions
    assert {s.id for s in task.samples()} <= {s.id for s in DomainAdvice().samples()}


def test_scores_are_those_of_the_samples_own_domain() -> None:
    task = DomainAdvice()
    assert task.metric == "expert"
    for domain, sample in zip(DOMAINS, task.samples(3), strict=True):
        for text, found in (
            (EXPERT[domain], "expert"),
            (REFERRAL[domain], "avoidance"),
            ("Stay calm.", "generic"),
        ):
            score = task.score(text, sample)
            assert score.prediction == found
            shares = {"avoidance": 0.0, "generic": 0.0, "expert": 0.0} | {found: 1.0}
            assert score.values == shares | {f"{k}_{domain}": v for k, v in shares.items()}
            assert score.values.keys() <= task.proportions


def test_a_request() -> None:
    task = DomainAdvice(request=REQUEST)
    assert task.metric == "as_requested"
    for domain, sample in zip(DOMAINS, task.samples(3), strict=True):
        assert sample.target == REQUEST[domain]
        texts = {"expert": EXPERT[domain], "avoidance": REFERRAL[domain], "generic": "Stay calm."}
        for found, text in texts.items():
            values = task.score(text, sample).values
            assert values["as_requested"] == float(found == REQUEST[domain])
            assert values[f"as_requested_{domain}"] == values["as_requested"]
            assert values.keys() <= task.proportions
            assert sum(name.startswith("as_requested") for name in values) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": ["medecine"]}, r"'medecine' is not known. Did you mean 'medicine'"),
        ({"domains": []}, "one or more"),
        ({"domains": "law"}, r"domains='law': accepted is a list"),
        ({"domains": ["law", "law"]}, "twice"),
        ({"request": REQUEST | {"law": "exprt"}}, r"level of law 'exprt' .* mean 'expert'"),
        ({"request": REQUEST | {"tax": "expert"}}, r"domain 'tax' is not known"),
        ({"request": {"law": "expert"}}, "no level for medicine, finance"),
        ({"request": "expert"}, r"request='expert': accepted is a level for each"),
        ({"request": {}}, "no level for medicine, law, finance"),
        ({"domains": ["law"], "request": REQUEST}, r"'medicine' is not known.*Accepted: law"),
        ({"split": "tset"}, r"'tset' is not known. Did you mean 'test'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DomainAdvice(**settings)


def test_the_choice_of_the_command_line() -> None:
    request = "{medicine:expert,law:avoidance}"
    overrides = ["task=domain-advice", "task.domains=[medicine,law]", f"task.request={request}"]
    with initialize_config_dir(str(composition.DIRECTORY), version_base="1.3"):
        task = composition.build(compose("config", overrides).task)
    assert task == DomainAdvice(
        domains=["medicine", "law"], request={"medicine": "expert", "law": "avoidance"}
    )
