"""Attention as programs compute it on an accelerator, here on a CPU: blocks of `flex_attention`
against scores written out in float64, over documents, windows and context-parallel ranks."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from backends.python.templates import render
from backends.pytorch.helpers import needed
from tests.loader.programs import Layout, Setting

SEQ_LEN, BATCH, HEADS, KV_HEADS, HEAD_DIM = 512, 2, 6, 2, 16
SCALE, CAP, WINDOW = 0.3, 1.5, 100

pytestmark = pytest.mark.long  # masks are compiled

Names = dict[str, Callable[..., object]]


def helpers(cp: int, rank: int) -> Names:
    """The functions of a program's model.py, which take this device for another."""
    library = render(
        "backends.pytorch", "helpers.py.j2", {"f": SimpleNamespace(cp=cp > 1, selections=())}
    )
    used = needed("attention_mask, window_mask, attention, capped_attention", library)
    assert used.count('documents.device.type == "cpu"') == 2
    text = used.replace('documents.device.type == "cpu"', "False")
    data = vars(Setting("text", SEQ_LEN).rank(Layout("cp" if cp > 1 else "fsdp", cp=cp), cp=rank))
    names = {name: data[name] for name in ("own_positions", "head_and_tail") if name in data}
    names |= {"F": F, "math": math, "torch": torch, "Tensor": Tensor, "Mask": object}
    names |= {"BlockMask": BlockMask, "create_block_mask": create_block_mask}
    names |= {"cast": lambda _, x: x, "flex_attention": flex_attention, "CP": cp}
    names |= {"COMPILE": False, "DEVICE": "cpu"}
    exec(compile(ast.parse(text), "model.py", "exec"), names)
    return names


def written_out(
    q: Tensor, k: Tensor, v: Tensor, documents: Tensor, window: int | None, cap: float | None
) -> Tensor:
    """softmax(q k^T scale) v over what a position sees; [batch, seq, heads, head_dim]."""
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, 2) for x in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * SCALE
    scores = scores if cap is None else cap * torch.tanh(scores / cap)
    back = torch.arange(SEQ_LEN)[:, None] - torch.arange(SEQ_LEN)
    seen = (back >= 0) & (back < (window or SEQ_LEN))
    seen = seen & (documents[:, :, None] == documents[:, None, :])
    weights = scores.masked_fill(~seen[:, None], -math.inf).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def places(cp: int) -> Iterator[tuple[int, Tensor]]:
    """(rank, positions that it holds): piece r and piece 2 cp - 1 - r of 2 cp equal ones; of one
    rank, both are the sequence in its order."""
    pieces = torch.arange(SEQ_LEN).chunk(2 * cp)
    for rank in range(cp):
        yield rank, torch.cat([pieces[rank], pieces[-1 - rank]])


@pytest.mark.parametrize("cap", [None, CAP])
@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("cp", [1, 2])
def test_blocks_are_the_scores_written_out(cp: int, window: int | None, cap: float | None) -> None:
    # In a process of its own: compilation leaves threads, which ranks forked later would miss.
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        pool.submit(compare, cp, window, cap).result()


def compare(cp: int, window: int | None, cap: float | None) -> None:
    random = torch.Generator().manual_seed(cp)

    def drawn(heads: int) -> Tensor:
        shape = BATCH, SEQ_LEN, heads, HEAD_DIM
        return torch.randn(shape, generator=random, dtype=torch.float64)

    q, k, v = drawn(HEADS), drawn(KV_HEADS), drawn(KV_HEADS)
    documents = (torch.rand(BATCH, SEQ_LEN, generator=random) < 0.01).long().cumsum(1)
    expected = written_out(q, k, v, documents, window, cap)
    order = torch.cat([own for _, own in places(cp)])
    for rank, own in places(cp):
        names = helpers(cp, rank)
        sides = (documents[:, own], documents[:, order]) if cp > 1 else (documents,)
        width = () if window is None else (window,)
        mask = names["attention_mask" if window is None else "window_mask"](*sides, *width)
        assert isinstance(mask, BlockMask)
        function = names["attention" if cap is None else "capped_attention"]
        limit = () if cap is None else (cap,)
        with torch.no_grad():
            found = function(q[:, own], k[:, order], v[:, order], mask, SCALE, *limit)
        torch.testing.assert_close(found, expected[:, own], rtol=1e-12, atol=1e-12)
