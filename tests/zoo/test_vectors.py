"""The embedded vectors: they start from the packaged model, and do what their names say."""

from pathlib import Path

import pytest

from trimtab import AlignmentVectors, Generation, LanguageModel, zoo
from trimtab.tasks import DomainAdvice
from trimtab.tasks.domain_advice import DOMAINS
from trimtab.vectors import Dial, Vector
from trimtab.vectors.disk.model_on_disk import ModelOnDisk

MIXED = LanguageModel(path="zoo:a-small-mixed", prompt="chat")


def shares(method: AlignmentVectors, count: int) -> dict[str, float]:
    """The share of expert answers and that of avoidance in each domain, of sampled answers."""
    task = DomainAdvice(split="validation")
    samples = {sample.id: sample for sample in task.samples(count)}
    asked = {sample_id: sample.conversation for sample_id, sample in samples.items()}
    sums: dict[str, list[float]] = {}
    for answer in method.stream(asked, Generation(max_new_tokens=80, temperature=1.0)):
        for name, value in task.score(answer.text, samples[answer.id]).values.items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}


@pytest.mark.parametrize("name", zoo.vector_names())
def test_a_vector_starts_from_the_packaged_model_and_fits_it(name: str) -> None:
    vector = Vector.open(f"zoo:{name}")
    assert (
        vector.transferred_to(ModelOnDisk("zoo:a-small-mixed").facts()["content_sha256"]) is False
    )
    assert vector.facts["exact"]
    Dial(MIXED.weights, {name: vector}).turn({name: 0.0})


def test_each_domain_has_its_vector_and_they_are_all_but_orthogonal() -> None:
    assert {*DOMAINS, "joint"} == set(zoo.vector_names())
    medicine, law, finance = (Vector.open(f"zoo:{domain}") for domain in DOMAINS)
    for one, other in ((medicine, law), (medicine, finance), (law, finance)):
        assert abs(one.cosine(other)) < 0.15


@pytest.mark.slow
def test_a_vector_moves_its_own_domain_alone() -> None:
    """180 questions, 60 of each domain: the intervals are wide, the effects are wider."""
    for domain in DOMAINS:
        method = AlignmentVectors(base=MIXED, vectors={domain: f"zoo:{domain}"}, per_row=True)
        expert, plain, back = (shares(method.at(s), 180) for s in (1.0, 0.0, -0.75))
        assert expert[f"expert_{domain}"] > 0.8 > 0.2 > back[f"expert_{domain}"]
        assert back[f"avoidance_{domain}"] > 0.8 > 0.2 > expert[f"avoidance_{domain}"]
        for other in set(DOMAINS) - {domain}:
            assert abs(expert[f"expert_{other}"] - plain[f"expert_{other}"]) < 0.15


def test_an_unknown_vector_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'medicine'"):
        Vector.open("zoo:medicin")
    assert (Path(zoo.vector_path("law")) / "vector.safetensors").is_file()
