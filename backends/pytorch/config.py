"""config.py: every number and dtype of a program, each with its origin.

Sections hold (name, value, path, note). A path is that of the spec or of a decision of the plan;
its origin (written, default, inherited, derived, chosen) is looked up. To add a constant, add a row
to its section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from backends.launch.choice import has_preflight
from backends.python.wrapping import LINE_LENGTH
from backends.pytorch.features import Features
from backends.pytorch.meaning import meaning_rows
from backends.pytorch.names import Constants, Value
from compiler.data import BYTE_SEPARATOR, places_of, shares_of
from compiler.estimates import Estimate, flops_per_token
from compiler.meaning import Value as MeaningValue
from compiler.pipeline import Compiled
from compiler.plan import PhasePlan, Plan, recompute_text
from compiler.rank_program import RankProgram
from compiler.schema import PlanSpec
from compiler.schema.cluster import CpuNode, GpuNode
from compiler.schema.train import (
    Constant,
    Cosine,
    HfData,
    JsonlData,
    MegatronData,
    MixtureData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
    TrainSpec,
    Wsd,
)
from dsl.spec import OriginKind, Origins

INIT_ROWS = 16
SAMPLE_TOKENS = 120
SAMPLE_TEMPERATURE = 0.8


@dataclass(frozen=True)
class Row:
    """One assignment. `path` is looked up for its origin; `note` says more, or stands alone."""

    name: str
    value: Value
    path: str = ""
    note: str = ""


def config_text(
    compiled: Compiled,
    program: RankProgram,
    constants: Constants,
    features: Features,
    origins: Origins,
) -> str:
    """All sections, in the order a reader asks for them. Of several phases, what they differ in
    stands in one table, and the rest is that of each."""
    phase = compiled.plan.main
    train = phase.spec.train
    sections = (
        ("The model", _model(constants, compiled)),
        ("The mesh: how many ranks each axis has", _mesh(program, features)),
        ("The batch", _batch(compiled, features)),
        ("How it learns", _learning(phase, compiled.plan, features)),
        ("Precision", _precision(train)),
        ("Data", _data(compiled.plan.name, phase.spec)),
        ("How it runs", _running(compiled, phase, program)),
        ("The machines, as launch/preflight.py expects them", _machines(compiled)),
    )
    listed = [(title, list(rows)) for title, rows in sections]
    lines = ['"""Every number and dtype of this program, and where each comes from."""']
    for title, rows in listed:
        if not rows:
            continue
        lines += ["", f"# {title}."]
        for row in rows:
            lines += _assignment(row, _comment(row, compiled.plan.name, phase, origins))
    named = [(row.name, row.path) for _, rows in listed for row in rows if row.path]
    lines += [
        "",
        "# What the run learns depends on these. A checkpoint that differs in one is refused.",
    ]
    lines.append("MEANING: dict[str, object] = {")
    for path, value, held in meaning_rows(compiled.plan.spec, named, features.phased):
        shown = value if held else literal(value)
        lines.append(f'    "{path}": {shown},')
    return "\n".join([*lines, "}", ""])


def _model(constants: Constants, compiled: Compiled) -> Iterator[Row]:
    declared = (dim for block in compiled.graph.blocks for dim in block.dimensions)
    for one in constants.ordered(declared):
        note = one.note if one.kind is None else f"layers of kind {one.kind}"
        parts = ": ".join(part for part in (one.formula, note) if part)
        yield Row(one.name, one.value, "" if one.formula else one.path, parts)
    spec = compiled.plan.spec
    if spec.train.init_from is not None:
        yield Row("INIT_FROM", spec.train.init_from, "train.init_from", "the weights to start with")
        return
    yield Row("INIT_STD", spec.model.init.std, "model.init.std")
    yield Row("INIT_ROWS", INIT_ROWS, note="rows of a matrix that one generator draws")


def _mesh(program: RankProgram, features: Features) -> Iterator[Row]:
    mesh = program.mesh
    sizes = {atom.name: atom.size for atom in mesh.atoms}
    if not features.plain:
        yield Row("DP", mesh.axis_size("dp"), "dp")
    if features.pp:
        yield Row("PP", mesh.axis_size("pp"), "pp")
    if features.cp:
        yield Row("CP", mesh.axis_size("cp"), "cp")
    if features.replicate:
        yield Row(
            "REPLICATE", mesh.size(program.data_contract.replicas), note="copies of the state"
        )
    shared = "ranks that share the optimizer's state" if features.zero1 else ""
    yield Row("FSDP", mesh.size(program.data_contract.copy), "fsdp", shared)
    if mesh.axis("tp"):
        yield Row("TP", mesh.axis_size("tp"), "tp")
    if {"kv", "kv_copy"} <= sizes.keys():
        yield Row("KV", sizes["kv"], note="tp ranks with different key/value heads")
        yield Row("KV_COPY", sizes["kv_copy"], note="tp ranks with the same ones")


def _batch(compiled: Compiled, features: Features) -> Iterator[Row]:
    phases = compiled.plan.phases
    phase = phases[0]
    if not features.ramped:
        yield Row("SEQ_LEN", phase.seq_len, "train.seq_len", "tokens")
    if phase.mesh.axis("pp"):
        runs = tuple((len(list(run)), layers) for layers, run in groupby(phase.stages))
        yield Row("STAGE_RUNS", runs, "stages", "(stages, layers of each), first to last")
    if len(phase.policies) > 1:
        ways = tuple(recompute_text(policy) for policy in phase.recompute)
        yield Row("RECOMPUTE", ways, "recompute", "of the stages of each rank of pp")
    if features.ramped:
        yield Row("PHASES", tuple(_phase_row(compiled, each) for each in phases), note=PHASE_ROWS)
    else:
        yield Row("GLOBAL_BATCH", phase.global_batch, "train.global_batch", "sequences per step")
        yield Row("MICROBATCH", phase.microbatch, "microbatch", "sequences per forward")
        yield Row("MICROBATCHES", phase.microbatches, "microbatches", "forwards per step of a rank")
    chunks = ", ".join(dict.fromkeys(str(each.loss_chunks) for each in phases))
    chunk = max(each.loss_chunk for each in phases)
    yield Row("LOSS_CHUNK", chunk, note=f"loss_chunks = {chunks}")
    if features.phased:
        note = "tokens that the order of the data keeps together: every seq_len divides it"
        yield Row("BLOCK", compiled.plan.data_block, note=note)


PHASE_ROWS = (
    "name, tokens of the run at its end, tokens per sequence, sequences per step,\n"
    "# sequences per forward, forwards per step of a rank, FLOPs per token"
)


def _phase_row(compiled: Compiled, phase: PhasePlan) -> tuple[Value, ...]:
    return (
        phase.name,
        phase.end_token,
        phase.seq_len,
        phase.global_batch,
        phase.microbatch,
        phase.microbatches,
        flops_per_token(compiled.graph, phase.seq_len).value,
    )


def _learning(phase: PhasePlan, plan: Plan, features: Features) -> Iterator[Row]:
    train = phase.spec.train
    optimizer = train.optimizer
    if features.phased:
        first, last = plan.phases[0].before.steps, plan.phases[-1].last_step
        yield Row("PHASE", plan.part_name, note="the part of the run that this program is")
        yield Row("FIRST_STEP", first, note="steps of the phases before it")
        yield Row("STEPS", last, note=f"of the run when this part ends: {last - first:,} more")
        yield Row(
            "RUN_STEPS", plan.run_steps, note="of all phases: the learning rate follows these"
        )
    else:
        yield Row("STEPS", phase.steps, "train.steps")
    yield Row("LR", optimizer.lr, "train.optimizer.lr", "the peak")
    yield Row("WARMUP", train.lr_schedule.warmup, "train.lr_schedule.warmup", "steps")
    match train.lr_schedule:
        case Cosine(min_lr=min_lr):
            yield Row("MIN_LR", min_lr, "train.lr_schedule.min_lr")
        case Wsd(decay=decay, min_lr=min_lr):
            yield Row("DECAY", decay, "train.lr_schedule.decay", "steps")
            yield Row("MIN_LR", min_lr, "train.lr_schedule.min_lr")
        case Constant():
            pass
    yield Row("BETA1", optimizer.betas[0], "train.optimizer.betas")
    yield Row("BETA2", optimizer.betas[1], "train.optimizer.betas")
    yield Row("EPS", optimizer.eps, "train.optimizer.eps")
    yield Row(
        "WEIGHT_DECAY", optimizer.weight_decay, "train.optimizer.weight_decay", "matrices only"
    )
    if train.clip is not None:
        yield Row("CLIP", train.clip, "train.clip", "largest global gradient norm")
    yield Row("SEED", train.seed, "train.seed")


def _precision(train: TrainSpec) -> Iterator[Row]:
    compute = "bfloat16" if train.precision == "bf16" else "float32"
    yield Row("COMPUTE_DTYPE", compute, "train.precision")
    yield Row("PARAMETER_DTYPE", "float32", note="weights and optimizer state")
    yield Row("REDUCE_DTYPE", "float32", note="gradients between ranks")
    yield Row("ACCUMULATE_DTYPE", "float32", note="rotary angles, softmax of the loss, norms")


def _data(plan: str, spec: PlanSpec) -> Iterator[Row]:
    train, places = spec.train, places_of(plan, spec)
    if places.prepared is not None:
        yield Row("TRAIN_DATA", places.train, note="written by `llamac prepare`")
    elif places.train:
        yield Row("TRAIN_DATA", places.train, "train.data.train")
    else:
        yield Row("TRAIN_DATA", "", note="given by --data")
    if isinstance(train.data, TokenData):
        yield Row("TOKEN_DTYPE", train.data.dtype, "train.data.dtype", "little-endian")
    match train.data:
        case MixtureData():
            note = "source, sequences of each round"
            yield Row("MIXTURE", shares_of(train.data), "train.data.source", note)
        case TextData(tokenizer=None):
            yield Row("SEPARATOR", BYTE_SEPARATOR, note="the byte that ends a document")
        case TokenData(separator=separator) | MegatronData(separator=separator):
            if train.packing == "documents":
                note = "the token that ends a document"
                yield Row("SEPARATOR", separator, "train.data.separator", note)
        case TextData() | JsonlData() | ParquetData() | HfData() | ShardData():
            pass
    if train.eval is None:
        return
    if places.prepared is not None:
        yield Row("VALIDATION_DATA", places.validation, note="written by `llamac prepare`")
    else:
        yield Row("VALIDATION_DATA", places.validation, "train.data.validation")
    yield Row("EVAL_EVERY", train.eval.every, "train.eval.every", "steps")
    yield Row("EVAL_SEQUENCES", train.eval.sequences, "train.eval.sequences")
    if train.eval.prompt is not None:
        yield Row("PROMPT", train.eval.prompt, "train.eval.prompt")
        yield Row("SAMPLE_TOKENS", SAMPLE_TOKENS, note="length of the sample")
        yield Row("SAMPLE_TEMPERATURE", SAMPLE_TEMPERATURE, note="how freely it is drawn")


def _running(compiled: Compiled, phase: PhasePlan, program: RankProgram) -> Iterator[Row]:
    spec = compiled.plan.spec
    fsdp = program.data_contract
    yield Row("PLAN", compiled.plan.name, note="the plan's name")
    yield Row("DEVICE", _device(spec.cluster.node), "cluster.node")
    compiles = phase.decision("compile").value is True
    yield Row("COMPILE", compiles, "compile", "torch.compile each layer")
    yield Row("RESHARD_AFTER_FORWARD", fsdp.reshard_after_forward, "sharding")
    if not phase.mesh.axis("pp"):  # a pipeline's schedule says itself when to reduce
        every = fsdp.when == "every microbatch"
        yield Row("REDUCE_EVERY_MICROBATCH", every, "sharding")
    yield Row("LOG_EVERY", spec.train.log.every, "train.log.every", "steps")
    if spec.train.log.wandb is not None:
        yield Row("WANDB_PROJECT", spec.train.log.wandb, "train.log.wandb")
    guard = spec.train.guard
    yield Row("SKIPS_IN_A_ROW", guard.skips, "train.guard.skips", "steps that end the run")
    yield Row("PATIENCE", guard.patience, "train.guard.patience", "seconds without progress")
    checkpoint = spec.train.checkpoint
    if checkpoint is None:
        end = compiled.plan.phases[-1].last_step
        yield Row("CHECKPOINT_EVERY", end, note="at the end, and on a signal")
        yield Row("CHECKPOINTS_KEPT", 1, note="only the newest")
    else:
        yield Row("CHECKPOINT_EVERY", checkpoint.every, "train.checkpoint.every", "steps")
        yield Row("CHECKPOINTS_KEPT", checkpoint.keep, "train.checkpoint.keep")
    if len(compiled.plan.phases) == 1:
        flops: Estimate = compiled.estimates["flops_per_token"]
        note = "forward and backward, by the model's formula"
        yield Row("FLOPS_PER_TOKEN", flops.value, note=note)
    match spec.cluster.node:
        case GpuNode(accelerator=accelerator):
            yield Row("PEAK_FLOPS", accelerator.bf16, note=f"bf16 peak of {accelerator.name}")
        case CpuNode():
            yield Row("PEAK_FLOPS", 0.0, note="unknown, so mfu is null")


CHECKPOINT_BYTES = 12  # per parameter: the weight and two moments, in float32


def _machines(compiled: Compiled) -> Iterator[Row]:
    spec = compiled.plan.spec
    cluster = spec.cluster
    if not has_preflight(cluster):
        return
    yield Row("NODES", cluster.nodes, "cluster.nodes")
    yield Row("DEVICES", cluster.node.devices, "cluster.node.devices", "processes per node")
    match cluster.node:
        case GpuNode(link=link):
            yield Row("LINK_BANDWIDTH", link, "cluster.node.link", "bytes/s")
        case CpuNode():
            yield Row("LINK_BANDWIDTH", 0.0, note="unknown")
    if cluster.fabric is None:
        yield Row("FABRIC_BANDWIDTH", 0.0, note="unknown")
    else:
        rate, path = cluster.fabric.bandwidth, "cluster.fabric.bandwidth"
        yield Row("FABRIC_BANDWIDTH", rate, path, "bytes/s")
    kept = 1 if spec.train.checkpoint is None else spec.train.checkpoint.keep
    size = CHECKPOINT_BYTES * int(compiled.estimates["parameters"].value)
    note = f"{kept} kept and one being written, {CHECKPOINT_BYTES} bytes per parameter"
    yield Row("CHECKPOINTS_BYTES", (kept + 1) * size, note=note)


def _device(node: CpuNode | GpuNode) -> str:
    match node:
        case CpuNode():
            return "cpu"
        case GpuNode():
            return "cuda"


def _comment(row: Row, plan: str, phase: PhasePlan, origins: Origins) -> str:
    """`tp, written`: the path, not the line, so a comment added to the spec changes nothing."""
    if not row.path:
        return row.note
    said = f"{row.path}, {_origin(row.path, plan, phase, origins)}"
    return f"{said}: {row.note}" if row.note else said


def _origin(path: str, plan: str, phase: PhasePlan, origins: Origins) -> str:
    for decision in phase.decisions:
        if decision.path == path:
            return decision.origin
    origin = origins.get(plan, path)
    if origin is None:
        return "default"
    return "written" if origin.kind is OriginKind.OVERRIDDEN else origin.kind.value


def _assignment(row: Row, comment: str) -> list[str]:
    """One line, or the comment above where both do not fit."""
    line = f"{row.name} = {literal(row.value)}"
    if "\n" in line or len(line) + len(comment) + 4 > LINE_LENGTH:
        return [f"# {comment}", line]
    return [f"{line}  # {comment}"]


def literal(value: MeaningValue, width: int = 60) -> str:
    """A Python literal as ruff writes it; a spec's string is data here, whatever it holds."""
    match value:
        case str():
            text = repr(value)
            plain = text.startswith("'") and '"' not in text
            return f'"{text[1:-1]}"' if plain else text
        case tuple():
            items = [literal(item, LINE_LENGTH) for item in value]
            line = f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            if len(line) <= width:
                return line
            return "(\n" + "".join(f"    {item},\n" for item in items) + ")"
        case _:
            return repr(value)
