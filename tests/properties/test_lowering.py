"""Layer 0: what the rank program means on simulated ranks is what the graph means on one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from backends.interpreter.graph import loss_sum
from backends.interpreter.groups import cut
from backends.interpreter.step import own_rows, owners, shard_atoms
from backends.reference.model import logits, token_losses
from tests.properties.cases import Case, cases
from tests.properties.law import TOLERANCE, differences

SHARE_WITH_THREE_ATOMS = 0.4


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.long)])
def test_rank_program_means_what_the_graph_means(count: int) -> None:
    atoms: list[int] = []

    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(cases())
    def law(case: Case) -> None:
        atoms.append(len(case.program.mesh.atoms))
        assert differences(case, case.program) == {}

    law()
    assert len(atoms) >= count
    assert sum(count >= 3 for count in atoms) / len(atoms) >= SHARE_WITH_THREE_ATOMS


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_shards_partition_every_parameter(case: Case) -> None:
    """Every element lies on as many ranks as there are copies, and on no rank twice."""
    mesh = case.program.mesh
    for name, _, use, parameter in owners(case.program):
        whole = torch.arange(case.parameters[name].numel()).reshape(parameter.full_shape)
        held = cut(mesh, parameter.layout, parameter.dims, whole)
        assert tuple(held.shape[1:]) == parameter.shape
        shard = shard_atoms(case.program, use.block)
        rows = own_rows(mesh, shard, held.shape[1])
        kept = [held[rank][rows[rank]].flatten() for rank in range(mesh.world)]
        assert all(int(ids.bincount(minlength=1).max()) <= 1 for ids in kept)
        copies = mesh.world // mesh.size(shard + parameter.layout.sharding_atoms())
        counts = torch.cat(kept).bincount(minlength=whole.numel())
        assert torch.equal(counts, torch.full_like(counts, copies))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_graph_means_what_the_spec_means(case: Case) -> None:
    """Against the forward pass written by hand from the spec, which knows no graph.

    Its positions count from the start of a row.
    """
    seq = case.batch.tokens.shape[1]
    batch = replace(case.batch, positions=torch.arange(seq).expand_as(case.batch.tokens))
    scores = logits(case.spec.model, case.parameters, batch.tokens, batch.documents)
    counted = batch.targets >= 0
    wanted = token_losses(scores, batch.targets.clamp(min=0))[counted].sum()
    found = loss_sum(case.graph, case.parameters, batch)
    assert float((found - wanted).abs()) <= TOLERANCE * float(wanted.abs())
