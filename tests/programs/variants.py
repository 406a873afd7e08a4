"""One plan for each thing that changes the text of a program."""

from __future__ import annotations

from collections.abc import Mapping

from backends.emit import emit
from compiler.pipeline import Compiled
from tests.programs.support import TEXT, compiled

Settings = tuple[tuple[str, str], ...]

MIXTURE = """mixture {
  source web { data = jsonl { train = "web", validation = "w" }, weight = 7 },
  source code { data = shards { train = "code", validation = "c" }, weight = 3 }
}"""

SETTINGS: Mapping[str, Settings] = {
    "sharded and tensor-parallel": (),
    "hybrid": (("tp", "1"), ("dp", "4"), ("fsdp", "2")),
    "hybrid, optimizer cut only": (
        ("tp", "1"),
        ("dp", "4"),
        ("fsdp", "2"),
        ("sharding", "zero1"),
    ),
    "recomputed by stage": (
        ("dp", "1"),
        ("pp", "2"),
        ("recompute", "by_stage([full, [linear]])"),
    ),
    "copies of key/value heads": (("tp", "4"), ("dp", "1")),
    "one key/value head, tied": (
        ("model.layer.attention.kv_heads", "1"),
        ("model.head.tied", "true"),
    ),
    "interleaved pairs, no clipping": (
        ("model.layer.attention.rope.pairs", "interleaved"),
        ("train.clip", "none"),
    ),
    "no evaluation": (("train.eval", "none"), ("train.checkpoint", "none")),
    "tokens, wsd": (
        ("train.data", "tokens { separator = 7 }"),
        ("train.eval", "none"),
        ("train.lr_schedule", "wsd { decay = 2 }"),
    ),
    "mixture": (("train.data", MIXTURE), ("train.eval.prompt", "none")),
    "shards, concatenated": (
        ("train.data", 'shards { train = "code" }'),
        ("train.eval", "none"),
        ("train.packing", "concatenate"),
    ),
    "megatron": (
        ("train.data", 'megatron { train = "pair", separator = 3 }'),
        ("train.eval", "none"),
    ),
    "megatron, concatenated": (
        ("train.data", 'megatron { train = "pair", separator = 3 }'),
        ("train.eval", "none"),
        ("train.packing", "concatenate"),
    ),
    "constant rate": (("train.lr_schedule", "constant"), ("model.layer.attention.qk_norm", "none")),
    "scaled positions": (
        ("model.layer.attention.rope.scaling", "llama3 { factor = 8, original = 16 }"),
    ),
    "reported": (("train.log", 'log { every = 1 steps, tensorboard = true, wandb = "llamas" }'),),
    "bf16, compiled": (("train.precision", "bf16"), ("compile", "true")),
    "two nodes": (("cluster.nodes", "2"), ("cluster.node.devices", "2")),
    "from weights": (("train.init_from", '"weights"'), ("model.head.tied", "true")),
}

KINDS = TEXT.replace(
    "}\ncluster",
    """
  layer where i == 1 { attention { rope = none, heads = 8 }, ffn { d_ff = 40 } }
}
cluster""",
    1,
)


def variants() -> dict[str, Compiled]:
    found = {name: compiled(*settings) for name, settings in SETTINGS.items()}
    return found | {"two kinds of layer": compiled(text=KINDS)}


def modules(plan: Compiled) -> dict[str, str]:
    """The Python files of a plan's program."""
    return {name: text for name, text in emit(plan).files.items() if name.endswith(".py")}
