"""`llamac import` and `export`, and the folder of `init_from`: as they are used, as they fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.face.calling import Invoke
from tests.huggingface.sharded import write_checkpoint

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 256,
}
SPEC = """# From the config.json of a llama.
# Meant for sequences of up to 2,048 tokens.

model tiny_llama {
  vocab   = 256
  d_model = 16
  layers  = 2
  layer {
    attention = gqa {
      heads    = 4
      kv_heads = 2
      rope     = rope { theta = 500_000 }
    }
    ffn = swiglu(24)
  }
}
"""
PLAN = """
import "tiny.llama" as tiny
cluster here { node = cpu { devices = 4 } }
train short {
  steps = 6, seq_len = 16
  global_batch = 8 sequences
  optimizer = adamw { lr = 1e-2 }
  init_from = "tiny-llama"
}
plan main { model = tiny.tiny_llama, cluster = here, train = short, tp = 2 }
"""


@pytest.fixture
def folder(llamac: Invoke) -> Path:
    """`tiny-llama/config.json` in the current directory."""
    place = Path("tiny-llama")
    place.mkdir()
    write_config(place)
    return place


def write_config(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}, indent=2) + "\n")


def test_import_prints_a_spec_or_writes_it(llamac: Invoke, folder: Path) -> None:
    done = llamac("import", "tiny-llama")
    assert (done.exit_code, done.stdout, done.stderr) == (0, SPEC, "")
    done = llamac("import", "tiny-llama/config.json", "-o", "tiny.llama")
    assert (done.exit_code, done.stderr) == (0, "tiny.llama: written\n")
    assert Path("tiny.llama").read_text() == SPEC
    assert llamac("check", "tiny.llama").exit_code == 0
    done = llamac("import", "tiny-llama", "-o", "tiny.llama")
    assert (done.exit_code, done.stderr) == (2, "error: tiny.llama already exists\n")
    assert "model other {" in llamac("import", "tiny-llama", "--name", "other").stdout
    for word in ("No name", "none", "import"):
        assert llamac("import", "tiny-llama", "--name", word).exit_code == 2
    folder.rename("none")  # a word of the language names no model
    assert "model llama {" in llamac("import", "none").stdout


def test_import_lists_what_no_spec_can_say(llamac: Invoke, folder: Path) -> None:
    write_config(folder, attention_dropout=0.1, hidden_act="relu")
    done = llamac("import", "tiny-llama", "-o", "tiny.llama")
    assert (done.exit_code, done.stdout, Path("tiny.llama").exists()) == (1, "", False)
    assert (
        done.stderr
        == """\
error[cannot-import]: `attention_dropout = 0.1` has no equivalent in a spec
 --> tiny-llama/config.json:5:3
  |
5 |   "attention_dropout": 0.1,
  |   ^^^^^^^^^^^^^^^^^^^ only 0 or null is supported
  = help: `--ignore attention_dropout` leaves it out

error[cannot-import]: `hidden_act = "relu"` has no equivalent in a spec
 --> tiny-llama/config.json:6:3
  |
6 |   "hidden_act": "relu",
  |   ^^^^^^^^^^^^ only silu is supported
"""
    )
    write_config(folder, attention_dropout=0.1)
    done = llamac("import", "tiny-llama", "--ignore", "attention_dropout")
    assert done.exit_code == 0
    assert "# Left out: attention_dropout = 0.1.\n" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": ', "1:6"),
        (b"[1]", "an object is needed"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "not-a-config"),
        (b'{"model_type": "llama", "hidden_size": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b'{"model_type": "llama", "hidden_size": ' + b"9" * 4000 + b"}", "to 1,000,000,000"),
        (b"{}", "`model_type = null`"),
    ],
)
def test_what_is_no_config_is_located(llamac: Invoke, folder: Path, text: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(text)
    done = llamac("import", "tiny-llama")
    assert done.exit_code == 1
    assert said in done.stderr


def with_spec(folder: Path) -> None:
    Path("tiny.llama").write_text(SPEC)
    Path("run.llama").write_text(PLAN)


def test_the_folder_is_held_against_the_model(llamac: Invoke, folder: Path) -> None:
    with_spec(folder)
    assert llamac("check", "run.llama").output == "1 file: no errors\n"
    write_config(folder, rope_theta=10000.0)
    done = llamac("check", "run.llama")
    assert done.exit_code == 0
    assert (
        done.stdout
        == """\
warning[other-meaning]: the weights in tiny-llama come from a model that computes something else
 --> run.llama:8:15
  |
8 |   init_from = "tiny-llama"
  |               ^^^^^^^^^^^^ its config.json describes another model
  = note: layer.attention.rope.theta is 500000.0 here, 10000.0 there
  = help: `llamac import tiny-llama` prints the model that they belong to
"""
    )
    write_config(folder, intermediate_size=32, tie_word_embeddings=True)
    done = llamac("compile", "run.llama")
    assert done.exit_code == 1
    assert (
        done.stderr
        == """\
error[other-weights]: the weights in tiny-llama do not fit this model
 --> run.llama:8:15
  |
8 |   init_from = "tiny-llama"
  |               ^^^^^^^^^^^^ its config.json describes another model
  = note: head.tied is false here, true there
  = note: layer.ffn.d_ff is 24 here, 32 there
  = help: `llamac import tiny-llama` prints the model that they belong to
"""
    )
    (folder / "config.json").write_text("[]")
    done = llamac("check", "run.llama")
    assert done.exit_code == 0
    assert (
        done.stdout
        == """\
warning[unchecked-weights]: cannot tell which model the weights in tiny-llama belong to
 --> run.llama:8:15
  |
8 |   init_from = "tiny-llama"
  |               ^^^^^^^^^^^^ its config.json: an object is needed
"""
    )
    write_config(folder, hidden_act="relu")
    said = llamac("check", "run.llama").stdout
    assert '^ its config.json: `hidden_act` is "relu", only silu is supported' in said
    (folder / "config.json").unlink()  # on the machine that compiles there may be no such folder
    assert llamac("compile", "run.llama").exit_code == 0
    assert 'INIT_FROM = "tiny-llama"' in Path("out/main/config.py").read_text()


def checkpoint() -> None:
    """Of the model, where `llamac run` leaves one."""
    shapes = {"embedding.weight": (256, 16), "final_norm.weight": (16,), "head.weight": (256, 16)}
    for layer in range(2):
        shapes |= {
            f"layers.{layer}.attention_norm.weight": (16,),
            f"layers.{layer}.attention.wq": (16, 16),
            f"layers.{layer}.attention.wk": (8, 16),
            f"layers.{layer}.attention.wv": (8, 16),
            f"layers.{layer}.attention.wo": (16, 16),
            f"layers.{layer}.ffn_norm.weight": (16,),
            f"layers.{layer}.ffn.w_gate": (24, 16),
            f"layers.{layer}.ffn.w_up": (24, 16),
            f"layers.{layer}.ffn.w_down": (16, 24),
        }
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    write_checkpoint(Path("runs/main/checkpoints/step-6"), weights, 2, 2, frozenset())


def test_export_writes_the_newest_checkpoint(llamac: Invoke, folder: Path) -> None:
    with_spec(folder)
    assert llamac("export", "run.llama", "-o", "hf").stderr == (
        "error: runs/main: no checkpoint is there\n"
    )
    checkpoint()
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"<end>": 0}}}')
    done = llamac("export", "run.llama", "main", "-o", "hf", "--tokenizer", "tiny-llama")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == (
        "hf: 12,112 parameters of runs/main/checkpoints/step-6 in 1 file, bf16\n"
    )
    assert sorted(path.name for path in Path("hf").iterdir()) == [
        *("config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]
    assert llamac("import", "hf", "--name", "tiny_llama").stdout == SPEC.replace("2,048", "16")
    done = llamac("export", "run.llama", "-o", "hf")
    assert done.exit_code == 2
    assert done.stderr == "error: hf already exists; choose another folder or remove it\n"
    assert llamac("export", "run.llama", "-o", "hf2", "--shard-size", "much").exit_code == 2
    done = llamac("export", "run.llama", "-o", "hf2", "--shard-size", "1MB", "--dtype", "fp32")
    assert done.exit_code == 0
    done = llamac("export", "run.llama", "-o", "hf3", "--checkpoint", "tiny-llama")
    assert (done.exit_code, done.stderr) == (
        1,
        "error: tiny-llama: not a checkpoint: it has no state.json\n",
    )


def test_export_refuses_what_no_architecture_computes(llamac: Invoke, folder: Path) -> None:
    with_spec(folder)
    done = llamac(
        *("export", "run.llama", "-o", "hf", "--set", "model.head.softcap=3"),
        *("--set", "train.init_from=none"),
    )
    assert done.exit_code == 1
    assert (
        done.stderr
        == """\
error[no-architecture]: no Hugging Face architecture computes this model
  --> run.llama:10:21
   |
10 | plan main { model = tiny.tiny_llama, cluster = here, train = short, tp = 2 }
   |                     ^^^^^^^^^^^^^^^ the nearest is LlamaForCausalLM
   = note: head.softcap is 3.0 here, none there
"""
    )
