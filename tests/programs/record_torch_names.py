"""Writes the names that a torch version has, where generated programs look for them.

    cd tests/programs; PYTHON-WITH-TORCH-2.11 record_torch_names.py > torch_names/2.11.txt

Modules are those that programs import from; of others, and of operators, single names. Needs
torch and tensorboard.
"""

from __future__ import annotations

import importlib
import warnings

import torch

MODULES = (
    "torch",
    "torch.accelerator",
    "torch.autograd",
    "torch.cuda.memory",
    "torch.distributed",
    "torch.distributed._functional_collectives",
    "torch.distributed.checkpoint",
    "torch.distributed.checkpoint.api",
    "torch.distributed.checkpoint.hf_storage",
    "torch.distributed.checkpoint.metadata",
    "torch.distributed.checkpoint.state_dict_loader",
    "torch.distributed.checkpoint.state_dict_saver",
    "torch.distributed.device_mesh",
    "torch.distributed.fsdp",
    "torch.distributed.pipelining",
    "torch.distributed.pipelining.schedules",
    "torch.distributed.tensor",
    "torch.nn",
    "torch.nn.attention.flex_attention",
    "torch.nn.functional",
    "torch.optim",
    "torch.profiler",
    "torch.utils.checkpoint",
    "torch.utils.tensorboard",
)
CLASSES = ("torch.Tensor", "torch.distributed.fsdp.FSDPModule", "torch.distributed.tensor.DTensor")
SINGLE = (
    "torch._C._distributed_c10d",
    "torch._C._distributed_c10d._dump_fr_trace_json",
    "torch.distributed.checkpoint.default_planner",
    "torch.distributed.checkpoint.default_planner.DefaultLoadPlanner",
    "torch.ops._c10d_functional.all_gather_into_tensor.default",
    "torch.ops._c10d_functional.all_reduce.default",
    "torch.ops._c10d_functional.reduce_scatter_tensor.default",
    "torch.ops._c10d_functional.wait_tensor.default",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default",
    "torch.ops.aten.bmm.default",
    "torch.ops.aten.mm.default",
    "torch.ops.aten.neg.default",
    "torch.ops.higher_order.flex_attention",
)


def resolve(path: str) -> object:
    found: object = torch
    for name in path.split(".")[1:]:
        found = getattr(found, name)
    return found


def names() -> list[str]:
    found = {"torch.ops", *MODULES}
    for module in MODULES:
        loaded = importlib.import_module(module)
        found |= {f"{module}.{name}" for name in dir(loaded) if not name.startswith("__")}
    for path in CLASSES:
        found |= {f"{path}.{name}" for name in dir(resolve(path)) if not name.startswith("_")}
    for path in SINGLE:
        resolve(path)
        found.add(path)
    return sorted(found)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # looking at deprecated names warns
        listed = names()
    version = torch.__version__.split("+")[0]
    print(f"# Names of torch {version}, by tests/programs/record_torch_names.py")
    print("\n".join(listed))
