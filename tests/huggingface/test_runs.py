"""Real runs: a folder that `transformers` wrote, trained on processes, and exported again.

With a learning rate of zero the weights come back as they were, bit for bit, whatever the layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from backends.emit import emit
from compiler.pipeline import Compiled, compile_named, read
from llamac.huggingface.checkpoint import newest, open_checkpoint
from llamac.huggingface.config import config_json, import_config
from llamac.huggingface.export import tensors_of, write_folder
from llamac.huggingface.tokenizer import Ends
from tests.programs.support import launch, write

PLAN = """
cluster here {{ node = cpu {{ devices = {world} }} }}
train still {{
  steps = 1, seq_len = 16
  global_batch = 8 sequences
  precision = fp32
  optimizer = adamw {{ lr = 0.0, weight_decay = 0.0 }}
  data = tokens {{ train = "tokens.bin" }}
  init_from = "folder"
}}
plan main {{ model = m, cluster = here, train = still, {layout} }}
"""
SIZES: Mapping[str, object] = {
    "vocab_size": 48,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
WINDOW = {"sliding_window": 5}


def llama(**settings: object) -> PreTrainedConfig:
    return LlamaConfig(**SIZES, rms_norm_eps=1e-5, **settings)


RUNS: dict[str, tuple[PreTrainedConfig, int, str]] = {
    "llama, kv copies": (llama(attention_bias=True, mlp_bias=True), 4, "tp = 4"),
    "llama, uneven shares": (llama(tie_word_embeddings=True), 4, "dp = 4, fsdp = 4"),
    "llama, tied ends": (
        llama(tie_word_embeddings=True),
        4,
        "pp = 2, tp = 2, microbatch = 2 sequences",
    ),
    "qwen3, tp x fsdp": (Qwen3Config(**SIZES), 4, "tp = 2, dp = 2"),
    "mistral, hybrid": (MistralConfig(**SIZES, **WINDOW), 4, "dp = 4, fsdp = 2"),
    "gemma2, pipeline": (
        Gemma2Config(**SIZES, **WINDOW),
        4,
        "pp = 2, dp = 2, microbatch = 1 sequences",
    ),
}


def planned(folder: Path, world: int, layout: str) -> Compiled:
    """From the folder's own config.json."""
    imported = import_config(folder, "m")
    assert imported.model is not None, imported.diagnostics
    text = imported.text + PLAN.format(world=world, layout=layout)
    loaded = read("run.llama", lambda _: text)
    assert loaded.spec is not None, loaded.diagnostics
    result = compile_named(loaded.spec, "main")
    assert result.compiled is not None, result.diagnostics
    return result.compiled


def folder_of(config: PreTrainedConfig, folder: Path) -> torch.nn.Module:
    """Random weights in several shards, and tokens beside them to read."""
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder, max_shard_size="8KB")
    tokens = b"".join((7 * i % 48).to_bytes(4, "little") for i in range(400))
    (folder.parent / "tokens.bin").write_bytes(tokens)
    return model


@pytest.mark.long
@pytest.mark.parametrize("name", RUNS)
def test_weights_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    config, world, layout = RUNS[name]
    before = folder_of(config, tmp_path / "folder")
    assert len(list((tmp_path / "folder").glob("*.safetensors"))) > 1
    compiled = planned(tmp_path / "folder", world, layout)
    done = launch(write(emit(compiled), tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "weights of folder" in done.stdout
    spec = compiled.plan.spec
    checkpoint = open_checkpoint(newest(tmp_path / "runs" / "main"))
    settings = config_json(spec.model, Ends(eos=0), 16, "fp32")
    write_folder(tmp_path / "again", settings, tensors_of(spec.model, checkpoint), "fp32")
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "again", attn_implementation="eager")
    theirs = dict(before.named_parameters())
    for key, value in after.eval().named_parameters():
        assert torch.equal(value, theirs[key]), key
    tokens = torch.arange(24).view(2, 12)
    with torch.no_grad():
        assert torch.equal(after(tokens).logits, before(tokens).logits)


SPOILT = {
    "missing": "1 tensors differ, the first is model.norm.weight: absent there, (24,) here",
    "more": "1 tensors differ, the first is odd: (2,) there, absent here",
    "shape": "model.norm.weight: (25,) there, (24,) here",
    "dtype": "model.norm.weight is I64",
    "cut": "cannot read 'folder/model.safetensors': ",
    "absent": "folder has neither model.safetensors nor model.safetensors.index.json",
    "index": "cannot read 'folder': ",
    "two saves": "model.safetensors and folder/model.safetensors.index.json are two sets",
    "lost shard": "names model-00002-of-00002.safetensors, which is not there",
    "lost tensor": "the index puts model.norm.weight in model-1.safetensors: not there",
    "other kind": "folder has neither model.safetensors nor model.safetensors.index.json",
}
"""What is wrong with the folder -> what the program says of it."""


@pytest.mark.long
@pytest.mark.parametrize("fault", SPOILT)
def test_a_folder_that_does_not_fit_ends_with_78(fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    model = folder_of(llama(), folder)
    compiled = planned(folder, 1, "tp = 1")
    for file in folder.glob("model*"):
        file.unlink()
    tensors = {name: value.detach() for name, value in model.named_parameters()}
    match fault:
        case "missing":
            del tensors["model.norm.weight"]
        case "more":
            tensors["odd"] = torch.zeros(2)
        case "shape":
            tensors["model.norm.weight"] = torch.zeros(25)
        case "dtype":
            tensors["model.norm.weight"] = torch.zeros(24, dtype=torch.int64)
        case _:
            pass
    # old files hold these too, and they are nobody's business
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    if fault != "absent":
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    if fault == "cut":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-100])
    if fault == "index":
        (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    if fault in ("two saves", "lost shard", "lost tensor"):
        single = folder / "model.safetensors"
        names = dict.fromkeys(tensors, "model-1.safetensors")
        if fault == "lost shard":
            names["model.norm.weight"] = "model-00002-of-00002.safetensors"
        if fault == "lost tensor":
            del tensors["model.norm.weight"]
        save_file(tensors, folder / "model-1.safetensors", {"format": "pt"})
        if fault != "two saves":
            single.unlink()
        index = json.dumps({"weight_map": names})
        (folder / "model.safetensors.index.json").write_text(index)
    if fault == "other kind":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    done = launch(write(emit(compiled), tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 78
    assert SPOILT[fault] in done.stderr
    assert not (tmp_path / "runs" / "main" / "checkpoints").exists()


@pytest.mark.long
def test_a_run_goes_on_from_its_checkpoint_not_from_the_folder(tmp_path: Path) -> None:
    """And a folder with a file that no index names, as some publish, is read by the index."""
    folder = tmp_path / "folder"
    folder_of(llama(), folder)
    save_file({"other.names": torch.zeros(2)}, folder / "consolidated.safetensors")
    program = write(emit(planned(folder, 1, "tp = 1")), tmp_path / "out")
    assert launch(program, cwd=tmp_path).returncode == 0
    for file in folder.iterdir():
        file.unlink()
    done = launch(program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert "weights of" not in done.stdout
