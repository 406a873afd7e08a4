"""The import block of a printed module, from the names its text uses but does not define.

So no template lists imports, and none can be missing or left over. The block is laid out as ruff
sorts it: standard library, torch, the program's own modules.
"""

from __future__ import annotations

import builtins
import symtable
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from backends.python.wrapping import LINE_LENGTH


@dataclass(frozen=True)
class Origin:
    """Where a name comes from: `import module [as alias]`, or `from module import name`."""

    module: str
    name: str | None = None
    alias: str | None = None


def modules(*names: str) -> dict[str, Origin]:
    return {name: Origin(name) for name in names}


def members(module: str, *names: str) -> dict[str, Origin]:
    return {name: Origin(module, name) for name in names}


STANDARD: Mapping[str, Origin] = {
    **modules("argparse", "errno", "hashlib", "io", "json", "logging", "math", "mmap", "os"),
    **modules("resource", "shutil", "signal", "socket", "struct", "sys", "textwrap", "threading"),
    **modules("time", "traceback"),
    **members("bisect", "bisect_right"),
    **members("collections.abc", "Callable", "Iterator", "Mapping"),
    **members("concurrent.futures", "Future", "ThreadPoolExecutor", "wait"),
    **members("contextlib", "ExitStack", "contextmanager", "suppress"),
    **members("dataclasses", "dataclass"),
    **members("datetime", "timedelta"),
    **members("fcntl", "LOCK_EX", "LOCK_NB", "flock"),
    **members("functools", "cache", "lru_cache", "partial", "reduce"),
    **members("itertools", "accumulate", "count", "pairwise"),
    **members("pathlib", "Path"),
    **members("typing", "TYPE_CHECKING", "Any", "NamedTuple", "NoReturn", "TypeVar", "cast"),
}
TORCH: Mapping[str, Origin] = {
    "torch": Origin("torch"),
    "dist": Origin("torch.distributed", alias="dist"),
    "functional": Origin("torch.distributed", "_functional_collectives", "functional"),
    "F": Origin("torch.nn.functional", alias="F"),
    **members("safetensors", "SafetensorError", "safe_open"),
    **members("torch", "Tensor", "nn"),
    **members("torch.distributed.checkpoint", "api", "hf_storage"),
    **members("torch.distributed.checkpoint", "state_dict_loader", "state_dict_saver"),
    **members("torch.distributed.checkpoint.default_planner", "DefaultLoadPlanner"),
    **members("torch.distributed.checkpoint.metadata", "Metadata", "TensorStorageMetadata"),
    **members("torch.distributed.device_mesh", "DeviceMesh"),
    **members("torch._C", "_distributed_c10d"),
    **members(
        "torch.distributed.fsdp",
        "FSDPModule",
        "MixedPrecisionPolicy",
        "fully_shard",
        "register_fsdp_forward_method",
    ),
    **members(
        "torch.distributed.pipelining",
        "PipelineStage",
        "Schedule1F1B",
        "ScheduleGPipe",
        "ScheduleInterleaved1F1B",
    ),
    "PipelineSchedule": Origin(
        "torch.distributed.pipelining.schedules", "_PipelineSchedule", "PipelineSchedule"
    ),
    **members("torch.utils.tensorboard", "SummaryWriter"),
    "wandb": Origin("wandb"),
    **members("torch.distributed.tensor", "DTensor", "Replicate", "Shard"),
    **members(
        "torch.nn.attention.flex_attention", "BlockMask", "create_block_mask", "flex_attention"
    ),
    **members(
        "torch.utils.checkpoint",
        "CheckpointPolicy",
        "checkpoint",
        "create_selective_checkpoint_contexts",
    ),
}


def import_block(body: str, own: Mapping[str, Origin]) -> str:
    """Imports that `body` needs; `own` says where the program's other modules define names."""
    known = {**STANDARD, **TORCH, **own}
    needed = {name: known[name] for name in names_in(body).free}
    sections = (
        [o for n, o in needed.items() if n in STANDARD and n not in own],
        [o for n, o in needed.items() if n in TORCH and n not in own],
        [o for n, o in needed.items() if n in own],
    )
    return "\n\n".join(section(origins) for origins in sections if origins)


@dataclass(frozen=True)
class ModuleNames:
    """Names that a module defines at its top level, and those that it uses although neither it nor
    Python defines them; sorted."""

    defined: tuple[str, ...]
    free: tuple[str, ...]


@lru_cache(maxsize=1024)  # the modules of a program are alike from plan to plan
def names_in(body: str) -> ModuleNames:
    table = symtable.symtable(body, "<program>", "exec")
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_namespace()}
    used = {name for scope in walk(table) for name in global_uses(scope)}
    free = used - defined - set(dir(builtins)) - {"__name__", "__file__"}
    return ModuleNames(tuple(sorted(defined)), tuple(sorted(free)))


def walk(table: symtable.SymbolTable) -> Iterable[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from walk(child)


def global_uses(scope: symtable.SymbolTable) -> Iterable[str]:
    top = scope.get_type() == "module"
    for symbol in scope.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or top):
            yield symbol.get_name()


def section(origins: Iterable[Origin]) -> str:
    plain: list[str] = []
    grouped: dict[str, list[str]] = {}
    for origin in origins:
        if origin.name is None:
            alias = f" as {origin.alias}" if origin.alias else ""
            plain.append(f"import {origin.module}{alias}")
        elif origin.alias:
            plain_from = f"from {origin.module} import {origin.name} as {origin.alias}"
            grouped.setdefault(f"{origin.module} {plain_from}", []).append("")
        else:
            grouped.setdefault(origin.module, []).append(origin.name)
    lines = [*sorted(plain), *(from_import(m, grouped[m]) for m in sorted(grouped))]
    return "\n".join(lines)


def from_import(module: str, names: list[str]) -> str:
    if " " in module:  # an aliased import stands by itself
        return module.split(" ", 1)[1]
    ordered = sorted(names, key=isort_key)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as isort orders members."""
    if name.isupper() and len(name) > 1:
        return 0, name.lower()
    return (1, name.lower()) if name[0].isupper() else (2, name.lower())
