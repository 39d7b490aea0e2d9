"""Strengths of a row's own: what weights turned in place give, row by row."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    Qwen2Config,
)

from trimtab import AlignmentVector, AlignmentVectors, Generation, LanguageModel
from trimtab.methods import Method
from trimtab.tasks import Advice
from trimtab.tensors.delta import Dense
from trimtab.tensors.low_rank import LowRank
from trimtab.vectors import Dial, Vector, extract
from trimtab.vectors.files.truncated_svd import factors
from trimtab.vectors.live import product_addition, row_products
from trimtab.vectors.live.row_dials import RowDials
from trimtab.vectors.names.names_in_memory import own_tensors

SMALL = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
CONFIGS = {
    "llama": LlamaConfig(**SMALL, **HEADS),
    "llama, tied": LlamaConfig(**SMALL, **HEADS, tie_word_embeddings=True),
    "qwen, with biases": Qwen2Config(**SMALL, **HEADS),
    "gemma, norms by 1 + weight": GemmaConfig(**SMALL, **HEADS, head_dim=8),
    "gpt2, transposed, biases": GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64
    ),
}


def random_vectors(model: torch.nn.Module, seed: int) -> dict[str, Vector]:
    """A vector of differences, one of factors and what else there is, one of some tensors alone."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    tensors = {n: t for n, t in own_tensors(model).items() if t.is_floating_point()}
    dense = {name: Dense(draw(*t.shape)) for name, t in tensors.items()}
    low = {
        name: LowRank(draw(t.shape[0], 3), draw(3, t.shape[1]), 2.0)
        if t.dim() == 2
        else Dense(draw(*t.shape))
        for name, t in tensors.items()
    }
    some = {name: Dense(draw(*t.shape)) for name, t in list(tensors.items())[::3]}
    return {"dense": Vector(dense), "low": Vector(low), "some": Vector(some)}


STRENGTHS = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.5, 0.0], [-0.7, 0.4, 2.0], [0.3, -1.0, 1.0]]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_row_has_the_logits_of_the_weights_turned_for_it(name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval().double()
    for parameter in model.parameters():  # new norms and biases are all 1 and 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    vectors = random_vectors(model, seed=1)
    tokens = torch.randint(97, (len(STRENGTHS), 11), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        plain = model(input_ids=tokens).logits
        rows = RowDials(model, vectors)
        with rows.at(torch.tensor(STRENGTHS, dtype=torch.double)):
            given = model(input_ids=tokens).logits
        assert torch.equal(given[0], plain[0])  # exactly, where all strengths are 0
        assert torch.equal(model(input_ids=tokens).logits, plain)  # nothing is left behind
        rows.close()
    dial = Dial(model, vectors)
    for row, strengths in enumerate(STRENGTHS):
        dial.turn(dict(zip(vectors, strengths, strict=True)))
        with torch.inference_mode():
            expected = model(input_ids=tokens[row : row + 1]).logits[0]
        assert row == 0 or (expected - plain[row]).abs().max() > 0.1
        # The weights in place are sums in fp32, cast once.
        torch.testing.assert_close(given[row], expected, rtol=1e-4, atol=1e-4)


def part_of(vectors: dict[str, Vector], name: str) -> dict[str, Vector]:
    """One vector of dense differences, of all tensors with this in their names."""
    deltas = {n: delta for n, delta in vectors["dense"].deltas.items() if name in n}
    assert deltas
    return {"v": Vector(deltas)}


@pytest.mark.parametrize("tokens", [1, 2, 5, 40])
@pytest.mark.parametrize("blocks", [1 << 18, 64])
@pytest.mark.parametrize("name", ["llama", "qwen, with biases", "gpt2, transposed, biases"])
def test_one_token_and_several_are_read_as_with_the_weights_turned(
    name: str, blocks: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a group lie apart, and rows without strengths between them."""
    monkeypatch.setattr(row_products, "_BLOCK", blocks)
    monkeypatch.setattr(row_products, "_FEWEST_OUTPUTS", 5)  # does not divide any width
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    vectors = random_vectors(model, seed=1)
    order = [1, 0, 3, 1, 4, 0, 3, 2, 1]
    given_RT = torch.randint(97, (len(order), tokens), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        plain = model(input_ids=given_RT).logits
        rows = RowDials(model, vectors)
        with rows.at(torch.tensor([STRENGTHS[i] for i in order])):
            found = model(input_ids=given_RT).logits
        rows.close()
        dial = Dial(model, vectors)
        for row, which in enumerate(order):
            dial.turn(dict(zip(vectors, STRENGTHS[which], strict=True)))
            expected = model(input_ids=given_RT[row : row + 1]).logits[0]
            assert which == 0 or (expected - plain[row]).abs().max() > 0.1
            torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["llama", "gpt2, transposed, biases"])
def test_rows_without_strengths_keep_the_numbers_of_the_base(name: str) -> None:
    """They are those of the same rows without the others."""
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    rows = RowDials(model, random_vectors(model, seed=1))
    still, moved = [0.0] * 3, [0.5, 1.0, -1.0]
    given_RT = torch.randint(97, (6, 12), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        plain = model(input_ids=given_RT[1::2]).logits
        with rows.at(torch.tensor([moved, still] * 3)):
            found = model(input_ids=given_RT).logits
        assert torch.equal(found[1::2], plain)
        with rows.at(torch.tensor([still] * 6)):
            assert torch.equal(model(input_ids=given_RT).logits[1::2], plain)


@pytest.mark.parametrize("equal", [True, False])
def test_sums_of_matrices_are_formed_once_for_rows_of_equal_strengths(
    equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several tokens are multiplied by one matrix; one token by the base's and the difference."""
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]).eval()
    vectors = part_of(random_vectors(model, seed=1), "mlp.up_proj")
    formed: list[list[int]] = []

    def seen(out: object, given: object, weight: object, deltas: object, groups: list) -> None:
        formed.append([len(group.rows) for group in groups])
        row_products.write_products(out, given, weight, deltas, groups)

    monkeypatch.setattr(product_addition, "write_products", seen)
    rows = RowDials(model, vectors)
    strengths_R1 = torch.tensor([[0.5], [0.5 if equal else 2.0], [0.0], [0.5]])
    with torch.inference_mode(), rows.at(strengths_R1):
        model(input_ids=torch.ones(4, 1, dtype=torch.long))
        assert not formed
        model(input_ids=torch.ones(4, 7, dtype=torch.long))
    assert formed == [[3] if equal else [2, 1]] * 2  # of each layer


def test_sums_are_rounded_once() -> None:
    """In half precision the weights of a group are those of the dial, bit for bit."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 24, bias=False).to(torch.bfloat16)
    model = torch.nn.Sequential(layer)
    deltas = [{"0.weight": Dense(0.01 * torch.randn(24, 16).to(torch.bfloat16))} for _ in range(2)]
    vectors = {"one": Vector(deltas[0]), "two": Vector(deltas[1])}
    given_RTH = torch.eye(16, dtype=torch.bfloat16).expand(2, 16, 16)  # reads the weights out
    strengths = [[0.3, -1.7], [1.0, 0.5]]
    with torch.inference_mode():
        rows = RowDials(model, vectors)
        with rows.at(torch.tensor(strengths)):
            found = model(given_RTH)
        rows.close()
        dial = Dial(model, vectors)
        for row in range(2):
            dial.turn(dict(zip(vectors, strengths[row], strict=True)))
            assert torch.equal(found[row], layer.weight.mT)


def test_gradients_reach_the_input() -> None:
    """Sums are written in place only where nobody asks for gradients."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    delta = torch.randn(3, 4)
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(delta)})})
    given = torch.randn(2, 5, 4, requires_grad=True)
    with rows.at(torch.tensor([[0.0], [2.0]])):
        model(given).sum().backward()
    assert given.grad is not None
    weight = model[0].weight
    for row, matrix in enumerate((weight, weight + 2 * delta)):
        torch.testing.assert_close(given.grad[row], matrix.sum(dim=0).expand(5, 4))


def test_strengths_within_others_end_with_their_block() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(torch.ones(3, 4))})})
    given = torch.randn(1, 5, 4)
    with torch.inference_mode(), rows.at(torch.tensor([[1.0]])):
        one = model(given)
        with rows.at(torch.tensor([[2.0]])):
            assert not torch.equal(model(given), one)
        assert torch.equal(model(given), one)


class Tripling(torch.nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(input)


def test_modules_that_do_more_are_refused_as_often_as_they_are_met() -> None:
    model = torch.nn.Sequential(Tripling(4, 3))
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(torch.ones(3, 4))})})
    with torch.inference_mode(), rows.at(torch.tensor([[1.0]])):
        model(torch.full((1, 5, 4), float("nan")))  # tells nothing
        for _ in range(2):
            with pytest.raises(ValueError, match="Tripling"):
                model(torch.randn(1, 5, 4))


class ByName(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(4, 3)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.inner(input=given)


def test_modules_that_are_given_their_input_by_name_are_refused() -> None:
    model = ByName()
    rows = RowDials(model, {"v": Vector({"inner.weight": Dense(torch.ones(3, 4))})})
    refused = pytest.raises(ValueError, match=r"Linear.*by name")
    with refused, torch.inference_mode(), rows.at(torch.tensor([[1.0]])):
        model(torch.randn(1, 5, 4))


def test_other_hooks_see_the_output_of_all_rows() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    shapes: list[torch.Size] = []
    model[0].register_forward_hook(lambda module, given, out: shapes.append(out.shape))
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(torch.ones(3, 4))})})
    with torch.inference_mode(), rows.at(torch.tensor([[0.0], [1.0]])):
        model(torch.randn(2, 5, 4))
    assert shapes == [(2, 5, 3)]


def test_tokens_of_all_rows_in_one_list_are_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(torch.ones(3, 4))})})
    refused = pytest.raises(ValueError, match=r"it sees \(10, 3\) for 2 rows")
    with refused, torch.inference_mode(), rows.at(torch.ones(2, 1)):
        model(torch.randn(10, 4))


@pytest.mark.parametrize("shape", [(300, 7), (7, 300), (40, 30), (5, 5), (6, 1)])
def test_factors_of_long_matrices_are_the_best(shape: tuple[int, int]) -> None:
    """Their error is the norm of the singular values that are left out, small ones too."""
    generator = torch.Generator().manual_seed(0)
    narrow = min(shape)
    left, _ = torch.linalg.qr(torch.randn(shape[0], narrow, generator=generator).double())
    right, _ = torch.linalg.qr(torch.randn(shape[1], narrow, generator=generator).double())
    values = torch.logspace(0, -5, narrow).double()  # squared, the last would be lost in fp32
    matrix = (left * values) @ right.mT
    for rank in (1, narrow - 1, narrow):
        error = factors(matrix.float(), rank).dense().double() - matrix
        assert error.norm() == pytest.approx(float(values[rank:].norm()), rel=0.02, abs=1e-6)


def test_experts_in_one_tensor_are_refused_by_name() -> None:
    config = MixtralConfig(**SMALL, **HEADS, num_local_experts=2, num_experts_per_tok=1)
    model = AutoModelForCausalLM.from_config(config).eval()
    vectors = random_vectors(model, seed=0)
    with pytest.raises(ValueError, match=r"Rows cannot have strengths .* per_row=false"):
        RowDials(model, {"v": vectors["dense"]})


def test_a_module_that_is_not_affine_is_refused_at_its_first_input() -> None:
    class Squared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((4,), 3.0))

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given * self.weight**2

    model = torch.nn.Sequential(Squared())
    rows = RowDials(model, {"v": Vector({"0.weight": Dense(torch.ones(4))})})
    with pytest.raises(ValueError, match="not affine in weight"), rows.at(torch.ones(1, 1)):
        model(torch.ones(1, 2, 4))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> dict[str, str]:
    """An expert's vector as it is, and the same at low rank."""
    root = tmp_path_factory.mktemp("vectors")
    ends = {"base": "zoo:a-small-sft", "aligned": "zoo:a-small-expert"}
    extract(**ends, out=root / "whole")
    extract(**ends, out=root / "low", rank=8)
    return {"whole": str(root / "whole"), "low": str(root / "low")}


def texts(method: Method, count: int, **settings: object) -> dict[str, tuple[str, ...]]:
    asked = {sample.id: sample.conversation for sample in Advice().samples(count)}
    generation = Generation(max_new_tokens=40, **settings)
    return {c.id: c.token_ids for c in method.stream(asked, generation)}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("which", ["whole", "low"])
def test_rows_answer_token_for_token_as_weights_in_place(
    zoo, vectors: dict[str, str], which: str, temperature: float
) -> None:
    for strength in (-0.5, 0.7, 1.25):
        one, other = (
            AlignmentVectors(
                base=zoo("a-small-sft"),
                vectors={"expert": vectors[which]},
                strength=strength,
                per_row=per_row,
            )
            for per_row in (False, True)
        )
        assert texts(one, 16, temperature=temperature) == texts(other, 16, temperature=temperature)


def test_a_vector_in_a_file_answers_as_the_two_models(zoo, vectors: dict[str, str]) -> None:
    base, aligned = zoo("a-small-sft"), zoo("a-small-expert")
    for strength in (0.0, 0.4, 1.0):
        pair = AlignmentVector(base=base, aligned=aligned, strength=strength)
        file = AlignmentVectors(base=base, vectors={"expert": vectors["whole"]}, strength=strength)
        assert texts(pair, 12, temperature=1.0) == texts(file, 12, temperature=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("draft", [None, "prompt-lookup"])
@pytest.mark.parametrize("measure_kl", [False, True])
def test_a_sweep_in_one_batch_answers_as_each_strength_alone(
    zoo, vectors: dict[str, str], measure_kl: bool, draft: str | None
) -> None:
    """Nothing leaks from row to row, though prompts are alike and answers begin alike."""
    first = AlignmentVectors(
        base=zoo("a-small-sft"),
        vectors=vectors,
        strengths={"low": -0.5},
        per_row=True,
        measure_kl=measure_kl,
        draft=draft,
    )
    # Grids over several strengths have settings that come to the same.
    family = [first.at(strength) for strength in (-1.0, 0.0, 0.5, 1.0, 0.5, 1.5)]
    asked = {sample.id: sample.conversation for sample in Advice().samples(9)}
    generation = Generation(max_new_tokens=32, temperature=1.0, batch_size=4)
    together: list[dict[str, object]] = [{} for _ in family]
    for member, completion in first.stream_together(family, [asked] * len(family), generation):
        together[member][completion.id] = completion
    for member, method in enumerate(family):
        assert together[member] == {c.id: c for c in method.stream(asked, generation)}
    assert len({str(one) for one in together}) == len(family) - 1


def test_strengths_multiply_the_dial(zoo, vectors: dict[str, str]) -> None:
    both = {"base": zoo("a-small-sft"), "vectors": {"expert": vectors["whole"]}}
    one = AlignmentVectors(**both, strengths={"expert": 0.5}, strength=1.5)
    assert texts(one, 6) == texts(AlignmentVectors(**both, strength=0.75), 6)


def test_only_methods_that_leave_the_weights_alone_decode_together(
    zoo, vectors: dict[str, str]
) -> None:
    def method(vectors: dict[str, str] = vectors, **settings: object) -> AlignmentVectors:
        return AlignmentVectors(base=zoo("a-small-sft"), vectors=vectors, **settings)

    assert method(per_row=True).goes_with(method(per_row=True, strength=0.3))
    assert method(per_row=True).goes_with(method(per_row=True, strengths={"low": 0.2}))
    assert not method().goes_with(method(strength=0.3))
    assert not method(per_row=True).goes_with(method({"low": vectors["low"]}, per_row=True))


def test_likelihoods_of_rows_are_those_of_weights_in_place(zoo, vectors: dict[str, str]) -> None:
    asked = {sample.id: sample.conversation for sample in Advice().samples(4)}
    options = {i: ["Please see a doctor.", "Take 20 mg of aspirin every 4 hours."] for i in asked}
    found = []
    for per_row in (False, True):
        method = AlignmentVectors(
            base=zoo("a-small-sft"), vectors=vectors, strength=0.6, per_row=per_row
        )
        weighed = method.weigh(asked, options)
        found.append({i: [one.log_probability for one in list(said)] for i, said in weighed})
    for sample_id in asked:
        assert found[0][sample_id] == pytest.approx(found[1][sample_id], abs=1e-3)


def test_bfloat16_rows_stay_near(vectors: dict[str, str]) -> None:
    """In half precision rounding differs, but no more than rounding does."""
    model = LanguageModel(path="zoo:a-small-sft", prompt="chat", dtype="bfloat16")
    vector = Vector.open(vectors["whole"])
    tokens = torch.arange(2, 34)[None]
    with torch.inference_mode():
        rows = RowDials(model.weights, {"v": vector})
        with rows.at(torch.ones(1, 1)):
            given = model.weights(input_ids=tokens).logits.float()
        rows.close()
        expert = LanguageModel(path="zoo:a-small-expert", prompt="chat")
        expected = expert.weights(input_ids=tokens).logits
        rounded = LanguageModel(path="zoo:a-small-expert", prompt="chat", dtype="bfloat16")
        noise = (rounded.weights(input_ids=tokens).logits.float() - expected).abs().max()
    assert (given - expected).abs().max() < 4 * noise
