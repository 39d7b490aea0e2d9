"""Files call and lay out tensors otherwise than models in memory: vectors go both ways, exactly.

transformers' own saving and loading is the oracle: what it loads from the aligned model's files.
"""

import copy
from pathlib import Path

import pytest
import torch
from checkpoints import Tensors, bits_differ, gpt2, llama, read_folder, saved
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from trimtab.vectors import Dial, RowDials, Vector, apply, extract

SIZES = {
    **{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_experts_per_tok": 2},
    **{"max_position_embeddings": 64, "tie_word_embeddings": False, "moe_intermediate_size": 16},
    **{"num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "n_group": 1},
    **{"topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8},
    **{"qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1, "n_shared_experts": 1},
    **{"shared_expert_intermediate_size": 16, "moe_num_experts": 4, "moe_k": 2},
    **{"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
}
# Renamed heads, experts in one tensor, and tensors of the files that are parted.
KINDS = [
    *("gpt_neox", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "phimoe"),
    *("deepseek_v3", "ernie4_5_moe", "hrm_text", "nemotron_h"),
]


def of_kind(kind: str) -> torch.nn.Module:
    """Return a tiny random model of an architecture."""
    given = AutoConfig.for_model(kind)
    settings = given.to_dict() | {n: v for n, v in SIZES.items() if hasattr(given, n)}
    settings = {n: v for n, v in settings.items() if n not in ("layer_types", "mlp_layer_types")}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(type(given).from_dict(settings)).float().eval()


def moved(model: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """Return a copy with other weights; of experts in one tensor, one alone is another.

    Differences of many magnitudes, which sums in fp32 do not all give back.
    """
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            part = parameter[1] if parameter.dim() == 3 else parameter
            sizes = 10 ** torch.randn(part.shape, generator=generator)
            part += 1e-3 * sizes * torch.randn(part.shape, generator=generator)
    return other


def loaded(folder: str | Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def state(model: torch.nn.Module) -> Tensors:
    return {n: t.reshape(t.shape or (1,)).clone() for n, t in model.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_go_from_files_to_memory_and_back_bit_for_bit(tmp_path: Path, kind: str) -> None:
    model = of_kind(kind)
    base, aligned = saved(model, tmp_path / "a"), saved(moved(model), tmp_path / "b")
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    assert not vector.deltas.keys() <= model.state_dict().keys()  # or there was nothing to show
    live, ends = loaded(base), [state(loaded(folder)) for folder in (base, aligned)]
    dial = Dial(live, {"v": vector})
    for strength in (1.0, 0.0):
        dial.turn({"v": strength})
        assert not bits_differ(state(live), ends[int(strength)])
    in_memory = Vector.between(live.state_dict(), loaded(aligned).state_dict())
    apply(base=base, vectors={"v": in_memory}, strengths={"v": 1.0}, out=tmp_path / "out")
    assert not bits_differ(read_folder(tmp_path / "out"), read_folder(aligned))


def test_rows_take_renamed_tensors_and_refuse_experts_by_name(tmp_path: Path) -> None:
    tokens = torch.arange(12).view(2, 6)
    model = of_kind("gpt_neox")
    base, aligned = saved(model, tmp_path / "a"), saved(moved(model), tmp_path / "b")
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    live = loaded(base)
    rows = RowDials(live, {"v": vector})
    with torch.no_grad(), rows.at(torch.tensor([[0.0], [1.0]])):
        found = live(tokens).logits
    for row, folder in enumerate((base, aligned)):
        expected = loaded(folder)(tokens).logits[row]
        torch.testing.assert_close(found[row], expected, atol=1e-4, rtol=1e-4)
    model = of_kind("mixtral")
    base, aligned = saved(model, tmp_path / "c"), saved(moved(model), tmp_path / "d")
    vector = extract(base=base, aligned=aligned, out=tmp_path / "w")
    experts = Vector({n: delta for n, delta in vector.deltas.items() if ".experts." in n})
    with pytest.raises(ValueError, match=r"MixtralExperts.* gate_up_proj.*per_row=false"):
        RowDials(loaded(base), {"v": experts})


def test_a_vector_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    model = of_kind("mixtral")
    base = saved(model, tmp_path / "a")
    odd = {n: t[:, :5] for n, t in read_folder(base).items() if ".experts.1.w1." in n}
    vector = Vector.between({n: t * 0 for n, t in odd.items()}, odd)
    with pytest.raises(ValueError, match=r"'v' changes .*experts.1.w1.* same version"):
        Dial(model, {"v": vector})


# ---------------------------------------------------------------------------- files of other names


def rewritten(folder: str, change) -> str:
    """Write a folder's tensors anew."""
    file = Path(folder) / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def short(tensors: Tensors) -> Tensors:
    """Return the names that the first GPT-2 has on the hub, with the buffers of that time."""
    own = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    return own | {"h.0.attn.bias": torch.ones(1, 1, 32, 32)}


@pytest.mark.parametrize("which", ["base", "aligned"])
def test_files_without_a_prefix_are_of_the_same_model(tmp_path: Path, which: str) -> None:
    folders = {
        name: saved(gpt2(seed=i), tmp_path / name) for i, name in enumerate(("base", "aligned"))
    }
    rewritten(folders[which], short)
    vector = extract(**folders, out=tmp_path / "v")
    live = loaded(folders["base"])
    Dial(live, {"v": vector}).turn({"v": 1.0})
    assert not bits_differ(state(live), state(gpt2(seed=1)))
    for base in folders.values():  # whatever its files call them
        out = apply(
            base=base,
            vectors={"v": vector},
            strengths={"v": 1.0 if base == folders["base"] else 0.0},
            out=tmp_path / f"out-{Path(base).name}",
        )
        assert not bits_differ(state(loaded(out)), state(gpt2(seed=1)))
    assert ("h.0.attn.bias" in read_folder(tmp_path / "out-base")) == (which == "base")


def test_a_rank_is_refused_where_no_module_has_a_matrix_of_the_files(tmp_path: Path) -> None:
    base, aligned = (rewritten(saved(gpt2(seed=i), tmp_path / f"m{i}"), short) for i in (0, 1))
    with pytest.raises(ValueError, match=r"rank=4: none of the matrices.*save_pretrained"):
        extract(base=base, aligned=aligned, out=tmp_path / "v", rank=4)
    for folder in (base, aligned):
        saved(loaded(folder), Path(folder))
    assert extract(base=base, aligned=aligned, out=tmp_path / "v", rank=4).rank == 4


def with_head(tensors: Tensors) -> Tensors:
    """Return a tied model's tensors as some programs write them: the head once more."""
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


@pytest.mark.parametrize("written", [(False, True), (True, False), (True, True)])
def test_a_tied_head_may_be_written_out(tmp_path: Path, written: tuple[bool, bool]) -> None:
    base, aligned = (saved(llama(seed=i, tied=True), tmp_path / f"m{i}") for i in (0, 1))
    for folder, twice in zip((base, aligned), written, strict=True):
        if twice:
            rewritten(folder, with_head)
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    live = loaded(base)
    Dial(live, {"v": vector}).turn({"v": 1.0})
    assert not bits_differ(state(live), state(llama(seed=1, tied=True)))
    for twice in (False, True):  # bases of either kind
        folder = saved(llama(seed=0, tied=True), tmp_path / f"base-{twice}")
        if twice:
            rewritten(folder, with_head)
        out = apply(
            base=folder, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / f"out-{twice}"
        )
        assert ("lm_head.weight" in read_folder(out)) == twice
        assert not bits_differ(state(loaded(out)), state(llama(seed=1, tied=True)))


def test_a_head_that_was_moved_away_from_the_embedding_does_not_fit_a_tied_model(tmp_path) -> None:
    base, aligned = (saved(llama(seed=i, tied=True), tmp_path / f"m{i}") for i in (0, 1))
    rewritten(base, with_head)
    rewritten(aligned, lambda tensors: with_head(tensors) | {"lm_head.weight": torch.ones(48, 16)})
    vector = extract(base=base, aligned=aligned, out=tmp_path / "v")
    with pytest.raises(ValueError, match=r"lm_head\.weight.* one tensor .*tie_word_embeddings"):
        Dial(loaded(base), {"v": vector})
    out = apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    assert not bits_differ(read_folder(out), read_folder(aligned))


# ---------------------------------------------------------------------------- sums and adapters


def test_a_sum_that_names_one_tensor_in_two_ways_is_refused(tmp_path: Path) -> None:
    """Added as two vectors, it is right: in files and in memory."""
    model = of_kind("mixtral")
    base, aligned = saved(model, tmp_path / "a"), saved(moved(model), tmp_path / "b")
    of_files = extract(base=base, aligned=aligned, out=tmp_path / "v")
    of_memory = Vector.between(model.state_dict(), moved(model, seed=2).state_dict())
    both = of_files + of_memory
    with pytest.raises(ValueError, match=r"'v' changes .*not summed first"):
        Dial(loaded(base), {"v": both})
    with pytest.raises(ValueError, match=r"'v' changes .*not summed first"):
        apply(base=base, vectors={"v": both}, strengths={"v": 1.0}, out=tmp_path / "out")
    live, named = loaded(base), {"f": of_files, "m": of_memory}
    Dial(live, named).turn({"f": 0.5, "m": 2.0})
    out = apply(base=base, vectors=named, strengths={"f": 0.5, "m": 2.0}, out=tmp_path / "out")
    for name, tensor in state(loaded(out)).items():
        torch.testing.assert_close(state(live)[name], tensor, atol=1e-6, rtol=1e-5)


def test_adapters_of_single_experts_are_added_to_experts_in_one_tensor(tmp_path: Path) -> None:
    """As transformers before 5 had them, PEFT's adapters name each expert's layers."""
    base = saved(of_kind("mixtral"), tmp_path / "base")
    expert = "model.layers.1.block_sparse_moe.experts.2.w1"
    a, b = torch.randn(2, 32), torch.randn(48, 2)
    (tmp_path / "adapter").mkdir()
    prefix = f"base_model.model.{expert}"
    save_file(
        {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b},
        tmp_path / "adapter" / "adapter_model.safetensors",
    )
    config = '{"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["w1"]}'
    (tmp_path / "adapter" / "adapter_config.json").write_text(config)
    weights = read_folder(base)
    weights[f"{expert}.weight"] = weights[f"{expert}.weight"] + 3 * b @ a
    expected = saved(of_kind("mixtral"), tmp_path / "expected")
    rewritten(expected, lambda _: weights)
    vector = Vector.open(tmp_path / "adapter")
    live = loaded(base)
    Dial(live, {"v": vector}).turn({"v": 1.0})
    out = apply(base=base, vectors={"v": vector}, strengths={"v": 1.0}, out=tmp_path / "out")
    for found in (live, loaded(out)):
        for name, tensor in state(loaded(expected)).items():
            torch.testing.assert_close(state(found)[name], tensor, atol=1e-5, rtol=1e-5)
