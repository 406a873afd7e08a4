"""The twin of a plan: the same structure with tiny dimensions, small enough to run and compare.

Kept: every kind of layer, every mesh atom, tied or not, which heads share a tensor rank,
accumulation, sharding, the kind of learning-rate schedule, what is evaluated and saved. Changed:
numbers only. Sizes that faults could confuse differ pairwise: with every axis 2, dividing by the
wrong axis is invisible. The emitted text of a plan and of its twin is the same but `config.py`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from compiler.data import form_of
from compiler.mesh import Mesh
from compiler.plan import PhasePlan, Recompute
from compiler.planner.stages import ENDS
from compiler.schema.cluster import ClusterSpec, CpuNode
from compiler.schema.model import (
    ChunkedMask,
    FullMask,
    Gqa,
    InitSpec,
    LayerSpec,
    Llama3Scaling,
    Mask,
    ModelSpec,
    Rope,
    SlidingMask,
)
from compiler.schema.plan import ByStage, Interleaved, PlanPhase, PlanSpec, Schedule
from compiler.schema.train import (
    AdamW,
    Constant,
    Cosine,
    Data,
    EvalSpec,
    HfData,
    JsonlData,
    LrSchedule,
    MegatronData,
    MixtureData,
    ParquetData,
    PhaseSpec,
    ShardData,
    Source,
    TextData,
    TokenData,
    TrainSpec,
    Wsd,
)
from dsl.schema import AUTO, Count, Named, Pattern

STEPS = 3
"""Steps that are run and compared; the schedule ends one step later, so its last is not reached."""

FIRST_STEPS = 2
"""Of the first of several phases; each other has one, so that the state crosses every border."""
UNREACHED = 1

LOSS_CHUNK = 4
"""Positions of one chunk of the loss: several chunks a sequence, which is a multiple of this."""

CLIP = 1e-3
"""Far below the gradient norm of any twin, so that clipping acts in every step."""

SMALL_WORLD = 12
"""Ranks up to which a mesh is left as it is."""

WINDOW = 5
"""Positions of a sliding window: less than a sequence, more than one."""
SEPARATOR = 5
MIXTURE_WEIGHTS = (2.5, 1.0, 1.5)
"""Of three sources: a round of 10 sequences, and no two shares alike."""

NORM_EPS, QK_NORM_EPS = 3e-4, 7e-4

INITIAL_STD = 0.3
"""Large enough that every operator's output matters at width 10."""


LARGEST_WORLD = 72
MOST_TWINS = 2
RINGS = ("pp", "cp")
"""Axes of which a rank's place matters: with two ranks next and previous are the same, and every
permutation is its own inverse, so in some twin they get three at least."""


@dataclass(frozen=True)
class AtomSizes:
    """Ranks on each atom; 1 where the plan has none. Plain tp is all kv."""

    replicate: int = 1
    shard: int = 1
    pp: int = 1
    cp: int = 1
    kv: int = 1
    kv_copy: int = 1

    @property
    def dp(self) -> int:
        return self.replicate * self.shard

    @property
    def tp(self) -> int:
        return self.kv * self.kv_copy

    @property
    def world(self) -> int:
        return math.prod(dataclasses.astuple(self))


def twins_of(spec: PlanSpec, *phases: PhasePlan) -> tuple[PlanSpec, ...]:
    """One twin, or two in which as many pairs of atoms as possible differ once, of the program that
    goes through these phases; its twins go through as many."""
    twins = tuple(_twin(phases, atoms) for atoms in _atom_sizes(phases[0]))
    if len(phases) > 1 or not spec.train.phase.items:
        return twins
    # a program that is a phase of a run has other text
    only = Named((("only", PhaseSpec()),))
    return tuple(replace(twin, train=replace(twin.train, phase=only)) for twin in twins)


def _atom_sizes(phase: PhasePlan) -> tuple[AtomSizes, ...]:
    """A mesh that is small and has no two equal atoms stays; others get the fewest ranks, in one
    twin or two, that tell most apart. Every way to recompute has a pipeline rank."""
    mesh = phase.mesh
    own = {"kv" if atom.name == "tp" else atom.name: atom.size for atom in mesh.atoms}
    distinct = len(set(own.values())) == len(own)
    rings = all(own[ring] > 2 for ring in RINGS if ring in own)
    if distinct and rings and mesh.world <= SMALL_WORLD:
        return (AtomSizes(**own),)
    least = len(phase.policies)
    candidates = [sizes for sizes in _candidates(tuple(own)) if sizes.pp >= least]
    choices = (*((one,) for one in candidates), *itertools.combinations(candidates, MOST_TWINS))
    return min(choices, key=_cost)


def _cost(twins: tuple[AtomSizes, ...]) -> tuple[int, int, int]:
    """The most worth first, then the fewest ranks, also at once."""
    worlds = [sizes.world for sizes in twins]
    return -_worth(twins), sum(worlds), max(worlds)


def _candidates(present: tuple[str, ...]) -> list[AtomSizes]:
    """Sizes of 2 to 4 for every atom present."""
    every = (
        AtomSizes(**dict(zip(present, sizes, strict=True)))
        for sizes in itertools.product((2, 3, 4), repeat=len(present))
    )
    return [sizes for sizes in every if sizes.world <= LARGEST_WORLD]


def _worth(twins: tuple[AtomSizes, ...]) -> int:
    """How many pairs of atoms, and rings of more than two ranks, some twin shows."""
    pairs = set[tuple[str, str]]().union(*map(_told_apart, twins))
    return len(pairs) + sum(any(getattr(sizes, ring) > 2 for sizes in twins) for ring in RINGS)


def _told_apart(sizes: AtomSizes) -> set[tuple[str, str]]:
    """Pairs of atoms that differ, of those that are present."""
    named = {atom: size for atom, size in dataclasses.asdict(sizes).items() if size > 1}
    return {(a, b) for a, b in itertools.combinations(named, 2) if named[a] != named[b]}


def _twin(phases: tuple[PhasePlan, ...], atoms: AtomSizes) -> PlanSpec:
    phase = phases[0]
    spec = phase.spec
    schedule = _pipeline(spec.schedule)
    taken: set[int] = set()
    least = _least_vocab(spec.train.data)
    longest = max(phase.seq_len for phase in phases)
    model = _model(spec.model, phase.mesh, atoms, taken, least, longest)
    if atoms.pp > 1:
        chunks = schedule.chunks if isinstance(schedule, Interleaved) else 1
        model = _deeper(model, atoms.pp * chunks, whole=len(phase.policies) > 1)
    pieces = 2 * atoms.cp if atoms.cp > 1 else 1
    whole = math.lcm(pieces, LOSS_CHUNK * atoms.cp)  # equal pieces, and chunks of a rank's part
    shapes = _shapes(phases, atoms, taken, whole)
    return replace(
        spec,
        model=model,
        cluster=ClusterSpec(nodes=1, node=CpuNode(devices=atoms.world)),
        train=replace(
            _train(spec.train),
            seq_len=shapes[0].seq_len,
            global_batch=shapes[0].global_batch(atoms),
            eval=_evaluation(spec.train.eval, atoms.dp * shapes[-1].microbatch),
            phase=_train_phases(phases, shapes, atoms),
        ),
        dp=atoms.dp,
        fsdp=1 if phase.sharding == "none" else atoms.shard * atoms.cp,
        tp=atoms.tp,
        cp=atoms.cp,
        pp=atoms.pp,
        schedule=schedule,
        stages=AUTO,
        microbatch=shapes[0].microbatch,
        recompute=_recompute(phase, atoms.pp),
        compile=False,
        phase=_plan_phases(phases, shapes),
    )


@dataclass(frozen=True)
class Shape:
    """Of the batches in one phase of the twin."""

    seq_len: int
    microbatch: int
    microbatches: int

    def global_batch(self, atoms: AtomSizes) -> Count:
        return Count(atoms.dp * self.microbatch * self.microbatches, "sequences")


def _shapes(
    phases: tuple[PhasePlan, ...], atoms: AtomSizes, taken: set[int], whole: int
) -> tuple[Shape, ...]:
    """What is equal in two phases stays equal, what is less stays less; one forward stays one."""
    lengths = _ranked(phase.seq_len for phase in phases)
    sizes = _ranked(phase.microbatch for phase in phases)
    counts = _ranked(phase.microbatches for phase in phases if phase.microbatches > 1)
    parts = atoms.cp * atoms.tp
    seq_lens = [_free(parts, 12, taken, of=whole)]
    for times in range(2, len(lengths) + 1):
        seq_lens.append(_free(parts, times * seq_lens[0], taken, of=seq_lens[0]))
    unlike = list(itertools.islice(_unlike(atoms), len(counts)))
    return tuple(
        Shape(
            seq_len=seq_lens[lengths[phase.seq_len]],
            microbatch=2 + sizes[phase.microbatch],
            microbatches=1 if phase.microbatches == 1 else unlike[counts[phase.microbatches]],
        )
        for phase in phases
    )


def _ranked(values: Iterable[int]) -> dict[int, int]:
    """Each value's place among those that occur, the least first."""
    return {value: place for place, value in enumerate(sorted(set(values)))}


def _train_phases(
    phases: tuple[PhasePlan, ...], shapes: tuple[Shape, ...], atoms: AtomSizes
) -> Named[PhaseSpec]:
    if len(phases) == 1:
        return Named()
    steps = [FIRST_STEPS, *(1 for _ in phases[1:])]
    steps[-1] += UNREACHED
    return Named(
        tuple(
            (
                phase.name,
                PhaseSpec(
                    steps=count, seq_len=shape.seq_len, global_batch=shape.global_batch(atoms)
                ),
            )
            for phase, shape, count in zip(phases, shapes, steps, strict=True)
        )
    )


def _plan_phases(phases: tuple[PhasePlan, ...], shapes: tuple[Shape, ...]) -> Named[PlanPhase]:
    if len(phases) == 1:
        return Named()
    return Named(
        tuple(
            (phase.name, PlanPhase(microbatch=shape.microbatch))
            for phase, shape in zip(phases, shapes, strict=True)
        )
    )


def _least_vocab(data: Data) -> int:
    """Room for every token that the data can hold, and never a round number."""
    return 257 if form_of(data) == "text" else 29


def _unlike(atoms: AtomSizes) -> Iterator[int]:
    """Microbatches a step: counts above 1, the smallest first, that are the size of no axis; more
    than the stages of a pipeline, and in whole rounds of them."""
    sizes = {*dataclasses.astuple(atoms), atoms.dp, atoms.tp}
    for count in itertools.count(max(2, atoms.pp)):
        if count not in sizes and count % max(1, count // atoms.pp) == 0:
            yield count


def _pipeline(schedule: Schedule) -> Schedule:
    return Interleaved(chunks=2) if isinstance(schedule, Interleaved) else schedule


def _recompute(phase: PhasePlan, pp: int) -> Recompute | ByStage:
    """Of every rank of as many; of another number each way once, then the last one's."""
    ways = phase.policies
    if len(ways) == 1:
        return ways[0]
    if len(phase.recompute) == pp:
        return ByStage(stages=phase.recompute)
    return ByStage(stages=(*ways, *phase.recompute[-1:] * (pp - len(ways))))


def _deeper(model: ModelSpec, virtual: int, whole: bool) -> ModelSpec:
    """As many layers as stages: with the ends, the first stage runs none and a late one two.
    `whole`: so many that every stage runs as many as there are kinds."""
    wanted = max(model.layers, virtual)
    if whole:
        wanted = max(wanted, (len(model.layer.kinds) + 1) * virtual - ENDS)
    pattern = model.layer.indices
    indices = tuple(pattern[i % len(pattern)] for i in range(wanted))
    return replace(model, layers=wanted, layer=Pattern(kinds=model.layer.kinds, indices=indices))


def _free(parts: int, minimum: int, taken: set[int], of: int = 1) -> int:
    """The smallest size such that neither it nor one of its `parts` is taken; takes both.

    It is a multiple of `of` too. Equal sizes would let a reshape along the wrong dimension pass.
    """
    step = math.lcm(parts, of)
    size = math.ceil(minimum / step) * step
    while {size, size // parts} & taken:
        size += step
    taken |= {size, size // parts}
    return size


def _model(
    model: ModelSpec,
    mesh: Mesh,
    atoms: AtomSizes,
    taken: set[int],
    least_vocab: int,
    plan_seq_len: int,
) -> ModelSpec:
    """Equal numbers of the model stay equal, different ones stay different."""
    attentions: dict[tuple[int, int, int], Gqa] = {}
    widths: dict[int, int] = {}
    kinds: list[LayerSpec] = []
    for index, kind in enumerate(model.layer.kinds):
        attention, d_ff = kind.attention, kind.ffn.d_ff
        key = (attention.heads, attention.kv_heads, attention.head_dim)
        if key not in attentions:
            attentions[key] = _attention(attention, mesh, atoms, taken)
        if d_ff not in widths:
            widths[d_ff] = _free(atoms.tp, 14, taken)
        shrunk = attentions[key]
        kinds.append(
            replace(
                kind,
                attention=replace(
                    attention,
                    heads=shrunk.heads,
                    kv_heads=shrunk.kv_heads,
                    head_dim=shrunk.head_dim,
                    scale=_scale(attention, shrunk.head_dim),
                    rope=_rope(attention.rope, index, shrunk.head_dim),
                    mask=_mask(attention.mask, plan_seq_len),
                    qk_norm=attention.qk_norm and replace(attention.qk_norm, eps=QK_NORM_EPS),
                ),
                ffn=replace(kind.ffn, d_ff=widths[d_ff]),
            )
        )
    # each kind once in its order, then the first again: a first and a last layer exist
    indices = (*range(len(kinds)), 0)
    return replace(
        model,
        vocab=_free(atoms.tp, least_vocab, taken),
        d_model=_free(1, 10, taken),
        norm=replace(model.norm, eps=NORM_EPS),
        layers=len(indices),
        layer=Pattern(kinds=tuple(kinds), indices=indices),
        init=InitSpec(std=INITIAL_STD),
    )


def _attention(attention: Gqa, mesh: Mesh, atoms: AtomSizes, taken: set[int]) -> Gqa:
    """Heads of the twin: a rank holds one key/value head, several, or a copy of one, as before."""
    tp = mesh.axis_size("tp")
    group = attention.heads // attention.kv_heads
    if attention.kv_heads % tp == 0:
        kv_heads = atoms.tp * min(attention.kv_heads // tp, 2)
        twin_group = min(group, 3)
    else:
        kv_heads = atoms.kv
        twin_group = atoms.kv_copy * min(group * attention.kv_heads // tp, 2)
    heads = kv_heads * twin_group
    taken |= {heads, kv_heads, heads // atoms.tp, max(1, kv_heads // atoms.tp)}
    head_dim = _free(1, 6, taken, of=2)
    return replace(attention, heads=heads, kv_heads=kv_heads, head_dim=head_dim)


def _mask(mask: Mask, seq_len: int) -> Mask:
    """A window inside the sequence stays inside it, one beyond it beyond."""
    match mask:
        case SlidingMask(window=window):
            return SlidingMask(window=WINDOW if window < seq_len else 1000 * WINDOW)
        case FullMask() | ChunkedMask():
            return mask


def _scale(attention: Gqa, head_dim: int) -> float:
    usual = math.isclose(attention.scale, attention.head_dim**-0.5)
    return head_dim**-0.5 if usual else attention.scale


def _rope(rope: Rope | None, kind: int, head_dim: int) -> Rope | None:
    """Frequencies of which all matter within a dozen positions, different for each kind.

    With scaling, the first pair turns faster than `high`, the second between `high` and `low`,
    the others slower: all three branches of the formula are met.
    """
    if rope is None:
        return None
    if rope.scaling is None:
        return replace(rope, theta=50.0 + 7 * kind)
    scaling = rope.scaling
    first, second = 1.3 * scaling.high, math.sqrt(scaling.low * scaling.high)
    return replace(
        rope,
        theta=(first / second) ** (head_dim / 2) + kind,
        scaling=Llama3Scaling(
            factor=scaling.factor,
            low=scaling.low,
            high=scaling.high,
            original=max(1, round(2 * math.pi * first)),
        ),
    )


def _evaluation(evaluation: EvalSpec | None, at_once: int) -> EvalSpec | None:
    """One sequence more than all ranks read at once, so that some ranks have nothing to read."""
    return None if evaluation is None else replace(evaluation, sequences=at_once + 1)


def _train(train: TrainSpec) -> TrainSpec:
    return replace(
        train,
        steps=STEPS + UNREACHED,
        tokens=None,
        optimizer=_optimizer(train.optimizer),
        lr_schedule=_schedule(train.lr_schedule, train.optimizer.lr),
        clip=None if train.clip is None else CLIP,
        seed=train.seed + 17,
        data=_data(train.data),
    )


LR = 0.02
"""Moves a weight by several per cent a step, so that a wrong update shows."""


def _optimizer(optimizer: AdamW) -> AdamW:
    """Numbers that nobody writes, so that one left in the text instead of config.py shows."""
    return AdamW(
        lr=LR if optimizer.lr > 0 else 0.0,
        betas=(0.8, 0.9),
        eps=1e-6,
        weight_decay=0.3 if optimizer.weight_decay > 0 else 0.0,
    )


def _data(data: Data) -> Data:
    """The same form; what is prepared first is shards that verification writes itself."""
    shards = ShardData(train="shards", validation="shards")
    match data:
        case TextData(tokenizer=None):
            return data
        case TokenData() | MegatronData():
            return replace(data, separator=SEPARATOR)
        case MixtureData():
            sources = (
                (name, Source(data=shards, weight=weight))
                for name, weight in zip("abc", MIXTURE_WEIGHTS, strict=True)
            )
            return MixtureData(source=Named(tuple(sources)))
        case TextData() | JsonlData() | ParquetData() | HfData() | ShardData():
            return shards


def _schedule(schedule: LrSchedule, peak: float) -> LrSchedule:
    """The kind is kept; warm-up, if any, takes two steps, so that all parts are met by step 3."""
    warmup = min(schedule.warmup, 1)
    match schedule:
        case Constant():
            return Constant(warmup=min(schedule.warmup, 2))
        case Cosine():
            return Cosine(warmup=warmup, min_lr=_min_lr(schedule.min_lr, peak))
        case Wsd():
            return Wsd(warmup=warmup, decay=2, min_lr=_min_lr(schedule.min_lr, peak))


def _min_lr(written: float, peak: float) -> float:
    """The same share of the peak as in the plan."""
    return LR * written / peak if peak > 0 else 0.0
