"""Checkpoints of any layout become folders that `transformers` loads, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModelForCausalLM

from backends.reference.model import logits
from backends.reference.parameters import parameter_shapes
from compiler.schema import ModelSpec
from dsl.schema import Pattern
from llamac.huggingface import safetensors_file
from llamac.huggingface.checkpoint import Checkpoint, Unusable, newest, open_checkpoint
from llamac.huggingface.config import NoFamily, config_json
from llamac.huggingface.export import tensors_of, write_folder
from llamac.huggingface.tokenizer import Ends
from tests.huggingface.sharded import oracle_of, ours, write_checkpoint, write_sums
from tests.models.families import CASES, VOCAB
from tests.models.names import transformers_name

KNOWN = [
    n for n, c in CASES.items() if c.config.model_type in ("llama", "mistral", "qwen3", "gemma2")
]
COLUMNS = frozenset({"wo", "w_down"})
TOKENS = torch.arange(2 * 11).view(2, 11) * 7 % VOCAB


def exported(
    model: ModelSpec, checkpoint: Path, target: Path, dtype: str = "fp32", largest: int = 4096
) -> Path:
    config = config_json(model, Ends(eos=5), 64, dtype)
    write_folder(
        target, config, tensors_of(model, open_checkpoint(checkpoint)), dtype, largest=largest
    )
    return target


@pytest.mark.parametrize(
    ("name", "tp", "fsdp"), [*((name, 2, 3) for name in KNOWN), ("gemma2", 1, 1), ("gemma2", 2, 20)]
)
def test_logits_are_identical(name: str, tp: int, fsdp: int, tmp_path: Path) -> None:
    """Of every family, through several shards that many ranks saved, or one."""
    case = CASES[name]
    oracle = oracle_of(case)
    weights = ours(case, oracle, parameter_shapes(case.model))
    saved = write_checkpoint(tmp_path / "step-1", weights, tp, fsdp, COLUMNS)
    alone = fsdp == 1
    folder = exported(case.model, saved, tmp_path / "hf", largest=10**9 if alone else 4096)
    assert (folder / "model.safetensors").exists() == alone
    again = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    assert type(again) is type(oracle)
    theirs = dict(oracle.named_parameters())
    for key, value in again.named_parameters():
        assert torch.equal(value, theirs[key]), key
    with torch.no_grad():
        assert torch.equal(again(TOKENS).logits, oracle(TOKENS).logits)
    assert (again.config.eos_token_id, again.config.pad_token_id) == (5, None)
    assert again.generation_config.eos_token_id == 5


def test_bf16_is_rounded_as_torch_does(tmp_path: Path) -> None:
    case = CASES["llama gqa"]
    oracle = oracle_of(case)
    weights = ours(case, oracle, parameter_shapes(case.model))
    saved = write_checkpoint(tmp_path / "step-1", weights, 2, 2, COLUMNS)
    folder = exported(case.model, saved, tmp_path / "hf", "bf16")
    again = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert again.dtype == torch.bfloat16
    theirs = dict(oracle.named_parameters())
    for key, value in again.named_parameters():
        assert torch.equal(value, theirs[key].to(torch.bfloat16)), key


def interleaved(weight: Tensor, head_dim: int) -> Tensor:
    """Elements i and i + head_dim / 2 of every head become 2i and 2i + 1."""
    rows = [
        head * head_dim + (i // 2 + head_dim // 2 * (i % 2))
        for head in range(weight.shape[0] // head_dim)
        for i in range(head_dim)
    ]
    return weight[rows]


@pytest.mark.parametrize("name", ["llama gqa biased", "llama gqa scaled", "qwen3"])
def test_interleaved_pairs_are_put_in_the_order_of_the_folder(name: str, tmp_path: Path) -> None:
    """The model with the other pairs computes the same, and the folder is the same too."""
    case = CASES[name]
    (kind,) = case.model.layer.kinds
    assert kind.attention.rope is not None
    attention = replace(kind.attention, rope=replace(kind.attention.rope, pairs="interleaved"))
    kinds = (replace(kind, attention=attention),)
    model = replace(case.model, layer=Pattern(kinds, case.model.layer.indices))
    oracle = oracle_of(case)
    shapes = parameter_shapes(model)
    half = ours(case, oracle, shapes)
    turned = ("wq", "wk", "bq", "bk", "q_norm", "k_norm")
    other = {
        key: interleaved(value, attention.head_dim) if key.endswith(turned) else value
        for key, value in half.items()
    }

    def as_reference(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.double().reshape(shapes[key]) for key, value in weights.items()}

    documents = torch.zeros_like(TOKENS)
    torch.testing.assert_close(
        logits(model, as_reference(other), TOKENS, documents),
        logits(case.model, as_reference(half), TOKENS, documents),
        rtol=1e-12,
        atol=1e-12,
    )
    saved = write_checkpoint(tmp_path / "step-1", other, 2, 3, COLUMNS)
    folder = exported(model, saved, tmp_path / "hf")
    again = dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())
    assert all(torch.equal(again[case.name(key)], value) for key, value in half.items())


def test_no_more_than_a_block_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound on what is in memory: every read of a tensor is a block of rows."""
    case = CASES["gemma2"]
    weights = ours(case, oracle_of(case), parameter_shapes(case.model))
    saved = write_checkpoint(tmp_path / "step-1", weights, 2, 2, COLUMNS)
    block, largest = 8 * 24 * 3, 0  # three rows of d_model 24 in float64
    monkeypatch.setattr(safetensors_file, "BLOCK", block)
    read = Checkpoint.rows

    def watched(self: Checkpoint, name: str, first: int, last: int) -> Tensor:
        nonlocal largest
        found = read(self, name, first, last)
        largest = max(largest, found.numel())
        return found

    monkeypatch.setattr(Checkpoint, "rows", watched)
    folder = exported(case.model, saved, tmp_path / "hf")
    assert largest * 8 == block
    again = dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())
    assert all(torch.equal(again[case.name(key)], value) for key, value in weights.items())


def test_shards_are_no_larger_than_asked(tmp_path: Path) -> None:
    case = CASES["qwen3 tied"]
    weights = ours(case, oracle_of(case), parameter_shapes(case.model))
    saved = write_checkpoint(tmp_path / "step-1", weights, 1, 2, COLUMNS)
    folder = exported(case.model, saved, tmp_path / "hf", largest=5000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    elements = sum(value.numel() for value in weights.values())
    assert index["metadata"]["total_size"] == 4 * elements
    assert index["weight_map"].keys() == {transformers_name(k, case.names) for k in weights}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as shard:
            sizes = [shard.get_tensor(key).numel() * 4 for key in sorted(shard.keys())]
        assert sum(sizes) <= 5000


def test_what_is_no_checkpoint_of_the_model_is_refused(tmp_path: Path) -> None:
    case = CASES["llama gqa"]
    weights = ours(case, oracle_of(case), parameter_shapes(case.model))
    with pytest.raises(Unusable, match="no checkpoint is there"):
        newest(tmp_path)
    run = tmp_path / "checkpoints"
    for step in (2, 10):
        write_checkpoint(run / f"step-{step}", weights, 2, 2, COLUMNS)
    (run / "step-11.partial").mkdir()
    assert newest(tmp_path) == run / "step-10"
    saved = run / "step-10"
    with pytest.raises(Unusable, match=r"1 tensors differ, the first is head\.weight: \[29, 24\] "):
        tensors_of(CASES["llama gqa tied scaled"].model, open_checkpoint(saved))
    open_checkpoint(saved)
    shard = saved / "shard-00003-model-00001-of-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(Unusable, match=r"shard-00003.*: not what was written"):
        open_checkpoint(saved)
    shard.unlink()
    write_sums(saved)
    with pytest.raises(Unusable, match=r"embedding\.weight has \d+ of \d+ elements"):
        open_checkpoint(saved)
    (saved / "SHA256SUMS").unlink()
    with pytest.raises(Unusable, match="it has no SHA256SUMS"):
        open_checkpoint(saved)
    (run / "step-2" / "state.json").unlink()
    with pytest.raises(Unusable, match="not a checkpoint"):
        open_checkpoint(run / "step-2")


@pytest.mark.parametrize("name", [name for name in CASES if name not in KNOWN])
def test_a_model_of_no_architecture_here_is_refused(name: str) -> None:
    with pytest.raises(NoFamily):
        config_json(CASES[name].model, Ends(), 64, "fp32")


def test_nothing_is_written_over_and_nothing_is_left(tmp_path: Path) -> None:
    case = CASES["llama gqa"]
    weights = ours(case, oracle_of(case), parameter_shapes(case.model))
    saved = write_checkpoint(tmp_path / "step-1", weights, 1, 1, COLUMNS)
    (tmp_path / "out").mkdir()
    target = exported(case.model, saved, tmp_path / "out" / "hf")
    with pytest.raises(FileExistsError):
        exported(case.model, saved, target)
    shard = next(saved.glob("*.safetensors"))
    tensors = tensors_of(case.model, open_checkpoint(saved))
    shard.unlink()
    with pytest.raises(OSError, match="shard-00001"):
        write_folder(tmp_path / "out" / "new", {}, tensors, "fp32")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["hf"]
