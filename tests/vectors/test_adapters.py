"""Low-rank vectors: the best of their rank, read by PEFT, and PEFT's own adapters read back."""

import json
import warnings
from pathlib import Path

import pytest
import torch
from checkpoints import bits_differ, gpt2, llama, read_folder, saved
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from trimtab.vectors import Dial, Vector, apply, extract

peft = pytest.importorskip("peft")
# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

TOKENS = torch.arange(24).view(2, 12)
MATRIX = "model.layers.1.mlp.up_proj.weight"


def pair_of(root: Path, make, **settings) -> tuple[str, str]:
    return tuple(saved(make(seed=seed, **settings), root / f"m{seed}") for seed in (0, 1))


def differences(base: str, aligned: str) -> dict[str, torch.Tensor]:
    start, end = read_folder(base), read_folder(aligned)
    return {name: end[name].double() - start[name].double() for name in start}


def is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim == 2


def logits_of_sum(base: str, vector: Vector) -> torch.Tensor:
    """Return the logits of base weights plus reconstruction, summed here."""
    model = AutoModelForCausalLM.from_pretrained(base)
    weights = dict(model.named_parameters())  # tied weights once
    with torch.no_grad():
        for name, delta in vector.deltas.items():
            weights[name] += delta.dense()
        return model(TOKENS).logits


# ---------------------------------------------------------------------------- the best of a rank


@pytest.mark.parametrize("rank", [1, 5, 16])
def test_no_matrix_of_the_rank_is_nearer(tmp_path: Path, rank: int) -> None:
    """Eckart and Young: the error of the best is the length of the singular values left out."""
    base, aligned = pair_of(tmp_path, llama)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", rank=rank)
    for name, delta in differences(base, aligned).items():
        recorded = vector.facts["tensors"][name]["error"]
        if not is_matrix(name, delta):
            assert recorded == 0
            torch.testing.assert_close(vector.deltas[name].dense().double(), delta)
            continue
        best = float(torch.linalg.svdvals(delta)[rank:].norm())
        kept = vector.deltas[name].dense().double()
        assert torch.linalg.matrix_rank(kept, tol=1e-5) == min(rank, *delta.shape)
        assert float((kept - delta).norm()) == pytest.approx(best, rel=1e-4, abs=1e-5)
        assert recorded == pytest.approx(best, rel=1e-3, abs=1e-5)


def test_a_wide_matrix_is_factored_nearly_as_well_as_possible(tmp_path: Path) -> None:
    """Wider than 1024 it is decomposed in a random subspace; the values fall as of fine-tuning."""
    from trimtab.vectors.files.truncated_svd import factors

    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(1100, 1100, dtype=torch.float64))[0] for _ in "ab")
    values = 1 / torch.arange(1, 1101, dtype=torch.float64)
    delta = (left * values) @ right
    kept = factors(delta.float(), 32).dense().double()
    best = float(values[32:].norm())
    assert float((kept - delta).norm()) == pytest.approx(best, rel=0.01)
    assert torch.equal(factors(delta.float(), 32).left_MK, factors(delta.float(), 32).left_MK)


# ---------------------------------------------------------------------------- PEFT reads ours


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rank", [3, 64])
def test_peft_gives_the_logits_of_the_sum(tmp_path: Path, tied: bool, rank: int) -> None:
    base, aligned = pair_of(tmp_path, llama, tied=tied)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", rank=rank)
    assert ("lm_head.weight" in vector.deltas) is not tied
    # Norms are no matrices: they lie beside the adapter, which PEFT alone does not read.
    of_adapter = {name: d for name, d in vector.deltas.items() if len(d.shape) == 2}
    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        # Both uses of a tied weight are adapted alike, which is what PEFT warns may be missing.
        warnings.filterwarnings("ignore", ".*tie", UserWarning)
        adapted = peft.PeftModel.from_pretrained(model, tmp_path / "v")
    with torch.no_grad():
        found = adapted(TOKENS).logits
    torch.testing.assert_close(found, logits_of_sum(base, Vector(of_adapter)), atol=2e-5, rtol=1e-4)
    assert not torch.allclose(found, AutoModelForCausalLM.from_pretrained(base)(TOKENS).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_transposed_weights_are_read_by_peft_and_by_us(tmp_path: Path, tied: bool) -> None:
    base, aligned = pair_of(tmp_path, gpt2, tied=tied)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", rank=16)
    for name, delta in differences(base, aligned).items():  # rank 16 is all of it
        torch.testing.assert_close(
            vector.deltas[name].dense().double(), delta, atol=2e-6, rtol=1e-4
        )
    of_adapter = {name: d for name, d in vector.deltas.items() if len(d.shape) == 2}
    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(tie|fan_in_fan_out)", UserWarning)
        adapted = peft.PeftModel.from_pretrained(model, tmp_path / "v")
    with torch.no_grad():
        found = adapted(TOKENS).logits
    torch.testing.assert_close(found, logits_of_sum(base, Vector(of_adapter)), atol=5e-5, rtol=1e-4)


def test_factors_may_be_stored_in_sixteen_bits(tmp_path: Path) -> None:
    base, aligned = pair_of(tmp_path, llama)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v", rank=4, dtype="bfloat16")
    stored = load_file(tmp_path / "v" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    delta = differences(base, aligned)[MATRIX]
    error = float((vector.deltas[MATRIX].dense().double() - delta).norm())
    assert vector.facts["tensors"][MATRIX]["error"] == pytest.approx(error, rel=1e-3)


# ---------------------------------------------------------------------------- we read PEFT's

LLAMA_MODULES = ["q_proj", "down_proj", "embed_tokens", "lm_head"]
KINDS = {
    "plain": {"r": 4, "lora_alpha": 4},
    "alpha": {"r": 4, "lora_alpha": 32},
    "rslora": {"r": 4, "lora_alpha": 16, "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6},
        "alpha_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 5, r".*\.1\.mlp\..*": 9},
    },
}


def trained(model, **settings):
    """Return a model with an adapter whose factors are all random, as training would leave them."""
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    return adapted


@pytest.mark.parametrize(
    "kind",
    ["plain", "alpha", "rslora", pytest.param("patterns", marks=pytest.mark.process)],
)
def test_adapters_are_what_peft_merges(tmp_path: Path, kind: str) -> None:
    base = saved(llama(seed=0), tmp_path / "base")
    adapted = trained(llama(seed=0), target_modules=LLAMA_MODULES, **KINDS[kind])
    # By itself PEFT writes the frozen embedding and head beside their factors.
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=kind != "plain")
    vector = Vector.open(tmp_path / "adapter")
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    merged, found = adapted.merge_and_unload().state_dict(), read_folder(tmp_path / "out")
    assert bits_differ(found, read_folder(base))
    for name, tensor in merged.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)


def test_adapters_of_transposed_weights_are_what_peft_merges(tmp_path: Path) -> None:
    base = saved(gpt2(seed=0), tmp_path / "base")
    modules = ["c_attn", "c_proj", "c_fc"]  # of which attention's c_proj is square
    adapted = trained(gpt2(seed=0), r=4, target_modules=modules, fan_in_fan_out=True)
    adapted.save_pretrained(tmp_path / "adapter")
    vector = Vector.open(tmp_path / "adapter")
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    merged, found = adapted.merge_and_unload().state_dict(), read_folder(tmp_path / "out")
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, merged[name], atol=1e-6, rtol=1e-5)
    assert bits_differ(found, read_folder(base))


def on_disk_and_in_memory(base: str, vector: Vector, out: Path) -> list[dict[str, torch.Tensor]]:
    """Return a model's tensors with a vector added, by both ways."""
    apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=out)
    live = AutoModelForCausalLM.from_pretrained(base)
    Dial(live, {"v": vector}).turn({"v": 1.0})
    return [AutoModelForCausalLM.from_pretrained(out).state_dict(), live.state_dict()]


MIXED = {
    "flag of the head": (["attn.c_proj", "lm_head"], {}),
    "flag of the layers": (["lm_head", "c_attn", "attn.c_proj"], {"fan_in_fan_out": True}),
    "embedding": (["attn.c_proj", "mlp.c_fc", "wte"], {}),
}


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.filterwarnings("ignore:.*(tie|fan_in_fan_out):UserWarning")
def test_adapters_of_modules_of_two_kinds_are_what_peft_merges(
    tmp_path: Path, kind: str, tied: bool
) -> None:
    """PEFT's one flag does not hold for all of them, and square weights fit either way."""
    base = saved(gpt2(seed=0, tied=tied), tmp_path / "base")
    modules, settings = MIXED[kind]
    vectors = []
    merged = dict(gpt2(seed=0, tied=tied).state_dict())
    start = {name: tensor.clone() for name, tensor in merged.items()}
    for number in range(2):
        adapted = trained(gpt2(seed=0, tied=tied), r=4, target_modules=modules, **settings)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.mul_(1 + number)
        adapted.save_pretrained(tmp_path / f"v{number}", save_embedding_layers="lm_head" in modules)
        vectors.append(Vector.open(tmp_path / f"v{number}"))
        for name, tensor in adapted.merge_and_unload().state_dict().items():
            merged[name] = merged[name] + tensor - start[name]
    for found in on_disk_and_in_memory(base, vectors[0] + vectors[1], tmp_path / "out"):
        for name, tensor in merged.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
@pytest.mark.filterwarnings("ignore:.*tie:UserWarning")
def test_an_adapter_at_one_use_of_a_tied_weight_is_what_peft_merges(tmp_path: Path, module) -> None:
    base = saved(llama(seed=0, tied=True), tmp_path / "base")
    adapted = trained(llama(seed=0, tied=True), r=4, target_modules=[module, "v_proj"])
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    merged = adapted.merge_and_unload().state_dict()
    vector = Vector.open(tmp_path / "adapter")
    for found in on_disk_and_in_memory(base, vector, tmp_path / "out"):
        for name, tensor in merged.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tie:UserWarning")
def test_an_adapter_that_changes_both_uses_of_a_tied_weight_is_refused(tmp_path: Path) -> None:
    base = saved(llama(seed=0, tied=True), tmp_path / "base")
    modules = ["embed_tokens", "lm_head"]
    adapted = trained(llama(seed=0, tied=True), r=4, target_modules=modules)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    vector = Vector.open(tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"lm_head\.weight and .*, which are one tensor"):
        Dial(AutoModelForCausalLM.from_pretrained(base), {"v": vector})
    with pytest.raises(ValueError, match=r"lm_head\.weight and .*, which are one tensor"):
        apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")


REFUSED = {
    "DoRA": ({"use_dora": True}, "use_dora=True"),
    "modules_to_save": ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
    "bias": ({"bias": "lora_only"}, "bias='lora_only'"),
    "PiSSA": ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
    "repeated layers": ({"layer_replication": [(0, 2), (1, 2)]}, "layer_replication="),
    "rows": ({"trainable_token_indices": [1, 2]}, "trainable_token_indices="),
    "for some texts": ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens="),
    "parameters": (
        {"target_parameters": ["mlp.up_proj.weight"]},
        "target_parameters=",
    ),
    "OLoRA": ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_adapters_that_do_more_than_add_are_refused(tmp_path: Path, kind: str) -> None:
    settings, why = REFUSED[kind]
    adapted = trained(llama(seed=0), r=4, target_modules=["q_proj"], **settings)
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match=f"{why}.*merge_and_unload"):
        Vector.open(tmp_path / "adapter")


def test_other_kinds_of_adapters_are_refused(tmp_path: Path) -> None:
    settings = peft.IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[]
    )
    peft.get_peft_model(llama(seed=0), settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="of type IA3"):
        Vector.open(tmp_path / "adapter")


def test_adapters_with_parts_missing_are_refused(tmp_path: Path) -> None:
    adapted = trained(llama(seed=0), r=4, target_modules=["q_proj"])
    folder = tmp_path / "adapter"
    adapted.save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    lost = sorted(tensors)[1]
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, file)
    with pytest.raises(ValueError, match="partner"):
        Vector.open(folder)
    save_file(tensors | {"base_model.model.score.weight": torch.ones(2)}, file)
    with pytest.raises(ValueError, match=r"score\.weight"):
        Vector.open(folder)
    file.unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors"):
        Vector.open(folder)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", ')
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        Vector.open(folder)


def test_an_adapter_of_another_architecture_does_not_fit(tmp_path: Path) -> None:
    trained(gpt2(seed=0), r=4, target_modules=["c_attn"], fan_in_fan_out=True).save_pretrained(
        tmp_path / "adapter"
    )
    vector, base = Vector.open(tmp_path / "adapter"), saved(llama(seed=0), tmp_path / "base")
    with pytest.raises(ValueError, match=r"'gpt' does not fit [^\n]*\n.*c_attn\.weight: not in"):
        apply(base=base, vectors={"gpt": vector}, strengths={"gpt": 1.0}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_adapter_says_which_model_it_is_for(tmp_path: Path) -> None:
    base, aligned = pair_of(tmp_path, llama)
    extract(base=base, aligned=aligned, out=tmp_path / "v", rank=4)
    said = json.loads((tmp_path / "v" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == base
