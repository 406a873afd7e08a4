"""Cases of the lowering law: a plan of a random spec with weights and a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter
from torch import Tensor

from backends.interpreter.batch import Batch
from backends.interpreter.graph import parameter_shapes
from compiler.build_graph import build_graph
from compiler.graph import ModelGraph
from compiler.lower import lower
from compiler.plan import PhasePlan
from compiler.planner import plan
from compiler.rank_program import RankProgram
from compiler.schema import PlanSpec
from dsl.spec import Origins
from tests.strategies import EVERY_RANKS, USUAL_WORLD, Ranks, plan_specs


@dataclass(frozen=True, repr=False)
class Case:
    """`made(spec, loss_chunks, seed)`, which is what a failing test prints of it."""

    spec: PlanSpec
    loss_chunks: int
    seed: int
    graph: ModelGraph
    phase: PhasePlan
    program: RankProgram
    parameters: dict[str, Tensor]
    batch: Batch

    def __repr__(self) -> str:
        return f"made({self.spec!r}, {self.loss_chunks}, {self.seed})"

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """Hypothesis would print the fields of a dataclass, tensors and all."""
        printer.text(repr(self))


def meshes() -> st.SearchStrategy[Ranks]:
    """Mostly of few ranks, which run faster; hybrids, rare among all, weigh more."""
    few, usual = ([m for m in EVERY_RANKS if m.world <= most] for most in (12, USUAL_WORLD))
    hybrids = [m for m in usual if m.replicate > 1 and m.shard > 1]
    return st.sampled_from([*few * 6, *usual * 2, *EVERY_RANKS, *hybrids * 8])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    spec = draw(plan_specs(meshes()))
    seq_len = (spec.train.seq_len or 0) // spec.cp
    chunks = draw(st.sampled_from([n for n in (1, 2, 3) if seq_len % n == 0]))
    return made(spec, chunks, draw(st.integers(0, 2**31 - 1)))


def made(spec: PlanSpec, loss_chunks: int, seed: int) -> Case:
    graph = build_graph(spec.model)
    found, problems = plan("main", spec, graph, Origins())
    if found is None:
        raise AssertionError(f"a valid spec was refused: {problems}")
    phase = replace(found.main, loss_chunks=loss_chunks)
    draw = torch.Generator().manual_seed(seed)
    return Case(
        spec,
        loss_chunks,
        seed,
        graph,
        phase,
        lower(phase, graph, spec.train.clip),
        weights(graph, draw),
        batch(phase, spec.model.vocab, draw),
    )


def weights(graph: ModelGraph, draw: torch.Generator) -> dict[str, Tensor]:
    """Norm weights too are drawn, so that none of them is a factor of 1."""
    return {
        name: torch.randn(shape, dtype=torch.float64, generator=draw) * 0.5
        for name, shape in parameter_shapes(graph).items()
    }


def batch(phase: PhasePlan, vocab: int, draw: torch.Generator) -> Batch:
    """Documents end anywhere; a third of the targets is invalid, and whole sequences are, so that
    ranks without a valid target occur. One sequence is one document and counts its last target, so
    that something is learnt and attention matters."""
    shape = (phase.global_batch, phase.seq_len)

    def chance(share: float, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=draw) < share

    targets = torch.randint(vocab, shape, generator=draw)
    ignored = chance(0.3, shape) | chance(0.4, (shape[0], 1))
    ends = chance(0.3, shape)
    whole = int(torch.randint(shape[0], (), generator=draw))
    ignored[whole, -1], ends[whole] = False, False
    return Batch(
        tokens=torch.randint(vocab, shape, generator=draw),
        targets=targets.masked_fill(ignored, -1),
        documents=ends.long().cumsum(1),
        positions=torch.randint(2 * phase.seq_len, shape, generator=draw),
    )
