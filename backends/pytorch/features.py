"""Features: all that the fixed parts of a program depend on. No size, no dtype, no path.

A plan and its twin have equal features, so every file but config.py is the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from backends.pytorch.selections import selections
from compiler.data import Form, form_of
from compiler.plan import Plan
from compiler.rank_program import Pipeline, RankProgram
from compiler.schedules import ScheduleKind
from compiler.schema.train import Constant, Cosine, LrSchedule, MixtureData, Wsd


@dataclass(frozen=True)
class Features:
    """What the templates print.

    replicate, tp, kv_copies   mesh axes beside fsdp, which is always there
    zero1                      every rank of fsdp holds all of the parameters, and updates some rows
    cp                         sequences are cut over ranks of fsdp (or of replicate)
    pp                         the schedule, where there is a pipeline
    numbered                   dp, pp, cp, tp as far as present: how ranks count, outermost first
    partial_axes               axes over which some gradients are still to be summed
    kinds                      layers compute different things
    selections                 torch's operators whose outputs a checkpoint keeps, by policy
    phased                     the program is a part of a run in phases, or all of it
    ramped                     it has several phases, with batches of several shapes
    pretrained                 it starts from the weights of a folder
    data                       the form in which it finds its tokens
    mixture                    several sources take turns
    packed                     documents of one sequence do not see each other
    """

    replicate: bool
    zero1: bool
    tp: bool
    kv_copies: bool
    cp: bool
    pp: ScheduleKind | None
    numbered: tuple[str, ...]
    partial_axes: tuple[str, ...]
    kinds: bool
    selections: tuple[tuple[str, ...], ...]
    tied: bool
    clip: bool
    phased: bool
    ramped: bool
    pretrained: bool
    schedule: Literal["cosine", "wsd", "constant"]
    data: Form
    mixture: bool
    packed: bool
    evaluates: bool
    samples: bool
    tensorboard: bool
    wandb: bool

    @property
    def schedule_class(self) -> str:
        """torch's name of the pipeline schedule."""
        names: dict[ScheduleKind | None, str] = {
            None: "",
            "gpipe": "ScheduleGPipe",
            "one_f_one_b": "Schedule1F1B",
            "interleaved": "ScheduleInterleaved1F1B",
        }
        return names[self.pp]

    @property
    def tied_ends(self) -> bool:
        """The first and the last stage hold one matrix each, which must stay equal."""
        return self.pp is not None and self.tied

    @property
    def data_axes(self) -> tuple[str, ...]:
        return ("replicate", "fsdp") if self.replicate else ("fsdp",)

    @property
    def plain(self) -> bool:
        """Ranks count replicate, fsdp, tp: nothing has to be turned around."""
        return self.numbered in (("dp",), ("dp", "tp"))

    @property
    def rank_order(self) -> tuple[str, ...]:
        """Outermost first: the mesh before its last two axes change places."""
        stages = ("pp",) if self.pp else ()
        return (*stages, *self.data_axes, *(("tp",) if self.tp else ()))

    @property
    def canonical(self) -> tuple[str, ...]:
        """The same axes as `numbered`, data first, tp last."""
        return tuple(axis for axis in ("pp", "dp", "cp", "tp") if axis in self.numbered)

    @property
    def turns(self) -> tuple[int, ...]:
        """The permutation from `numbered` to `canonical`; empty where it is the identity."""
        places = tuple(self.numbered.index(axis) for axis in self.canonical)
        return () if places == tuple(range(len(places))) else places

    @property
    def mesh_axes(self) -> tuple[str, ...]:
        """fsdp last: rows of a parameter are dealt out over tp first, then over fsdp."""
        stages = ("pp",) if self.pp else ()
        tensor = ("tp",) if self.tp else ()
        return (*stages, *self.data_axes[:-1], *tensor, "fsdp")

    @property
    def kv_mesh_axes(self) -> tuple[str, ...]:
        return (*self.mesh_axes[:-2], "kv", "kv_copy", "fsdp")

    @property
    def axes(self) -> tuple[str, ...]:
        """Everything that has a process group."""
        context = ("cp",) if self.cp else ()
        heads = ("kv", "kv_copy") if self.kv_copies else ()
        return (*self.mesh_axes, *context, *heads)

    @property
    def atoms(self) -> tuple[str, ...]:
        """The axes whose product are the ranks."""
        return self.kv_mesh_axes if self.kv_copies else self.mesh_axes


def features_of(program: RankProgram, plan: Plan) -> Features:
    """`program` is that of any phase of the plan, which is one program's."""
    atoms = {atom.name for atom in program.mesh.atoms}
    train = plan.spec.train
    evaluation = train.eval
    return Features(
        replicate=bool(program.data_contract.replicas),
        zero1=bool(program.step.row_updates),
        tp=bool(program.mesh.axis("tp")),
        kv_copies={"kv", "kv_copy"} <= atoms,
        cp="cp" in atoms,
        pp=next((n.schedule for n in program.delegated if isinstance(n, Pipeline)), None),
        numbered=tuple(axis for axis, has in program.mesh.axes if has or axis == "dp"),
        partial_axes=tuple(program.mesh.name(s.atoms) for s in program.step.gradient_sums),
        kinds=len(program.variants) > 1,
        selections=selections(program),
        tied=any(parameter.tied_to for parameter in program.head.parameters),
        clip=program.step.clip is not None,
        phased=bool(train.phase.items),
        ramped=len(plan.phases) > 1,
        pretrained=train.init_from is not None,
        schedule=schedule(train.lr_schedule),
        data=form_of(train.data),
        mixture=isinstance(train.data, MixtureData),
        packed=train.packing == "documents",
        evaluates=evaluation is not None,
        samples=evaluation is not None and evaluation.prompt is not None,
        tensorboard=train.log.tensorboard,
        wandb=train.log.wandb is not None,
    )


def schedule(schedule: LrSchedule) -> Literal["cosine", "wsd", "constant"]:
    match schedule:
        case Cosine():
            return "cosine"
        case Wsd():
            return "wsd"
        case Constant():
            return "constant"
        case _:
            assert_never(schedule)
