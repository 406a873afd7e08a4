"""The model, as each rank computes it.

Shapes in comments are those on one rank; `seq / tp` is this rank's part of the sequence. A layer's
docstring names its parts: their paths in the spec, and the kinds chosen there.
Between blocks a tensor-parallel rank holds its part of the sequence; inside a block it has the
whole sequence and its own heads or columns.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining.schedules import _PipelineSchedule as PipelineSchedule
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from config import (
    ATTENTION_SCALE,
    COMPILE,
    D_FF,
    D_MODEL,
    DEVICE,
    HEAD_DIM,
    HEADS,
    KV_HEADS,
    LOSS_CHUNK,
    NORM_EPS,
    PP,
    ROPE_THETA,
    TP,
    VOCAB,
)
from data import IGNORE
from parallel import (
    ACCUMULATE,
    STAGES,
    all_gather,
    all_reduce,
    coordinate,
    layout_of,
    parameter,
    reduce_scatter,
    sum_partials,
)

Mask = Tensor | BlockMask


class ParameterGroup(nn.Module):
    """Parameters by name."""

    def __init__(self, **parameters: nn.Parameter) -> None:
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, value)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor: ...


class Block(nn.Module):
    """One layer.

    From model.layer.attention (gqa), model.layer.ffn (swiglu).
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))
        self.attention = ParameterGroup(
            wq=parameter(HEADS * HEAD_DIM, D_MODEL, tp=0),
            wk=parameter(KV_HEADS * HEAD_DIM, D_MODEL, tp=0),
            wv=parameter(KV_HEADS * HEAD_DIM, D_MODEL, tp=0),
            wo=parameter(D_MODEL, HEADS * HEAD_DIM, tp=1),
        )
        self.ffn_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))
        self.ffn = ParameterGroup(
            w_gate=parameter(D_FF, D_MODEL, tp=0),
            w_up=parameter(D_FF, D_MODEL, tp=0),
            w_down=parameter(D_MODEL, D_FF, tp=1),
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        return recompute(self.compute, x, cos, sin, mask)

    def compute(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Mask) -> Tensor:
        attention_in = save(rms_norm(x, self.attention_norm.weight, NORM_EPS))
        attention_in_gathered = all_gather(attention_in, "tp", 1)  # [batch, seq, d_model]
        # [batch, seq, heads / tp, head_dim]
        q = F.linear(attention_in_gathered, self.attention.wq).unflatten(-1, (-1, HEAD_DIM))
        # [batch, seq, kv_heads / tp, head_dim]
        k = F.linear(attention_in_gathered, self.attention.wk).unflatten(-1, (-1, HEAD_DIM))
        # [batch, seq, kv_heads / tp, head_dim]
        v = F.linear(attention_in_gathered, self.attention.wv).unflatten(-1, (-1, HEAD_DIM))
        q_rotated = save(rotate_halves(q, cos, sin))
        k_rotated = save(rotate_halves(k, cos, sin))
        o = attention(q_rotated, k_rotated, v, mask, ATTENTION_SCALE)
        # [batch, seq, d_model]: partial sum
        attention_out = F.linear(o.flatten(-2), self.attention.wo)
        # [batch, seq / tp, d_model]
        attention_out_scattered = reduce_scatter(attention_out, "tp", 1)
        x_mid = save(x + attention_out_scattered)
        ffn_in = save(rms_norm(x_mid, self.ffn_norm.weight, NORM_EPS))
        ffn_in_gathered = all_gather(ffn_in, "tp", 1)  # [batch, seq, d_model]
        gate = F.linear(ffn_in_gathered, self.ffn.w_gate)  # [batch, seq, d_ff / tp]
        up = F.linear(ffn_in_gathered, self.ffn.w_up)  # [batch, seq, d_ff / tp]
        inner = save(F.silu(gate) * up)
        ffn_out = F.linear(inner, self.ffn.w_down)  # [batch, seq, d_model]: partial sum
        ffn_out_scattered = reduce_scatter(ffn_out, "tp", 1)  # [batch, seq / tp, d_model]
        return x_mid + ffn_out_scattered


class Model(nn.Module):
    """What this rank holds of the model: the layers of its stages, and the ends if they are its.
    The pipeline runs `stages`; parameters keep their names whichever stage has them."""

    schedule: PipelineSchedule
    shape: tuple[int, ...] = ()  # microbatches, and the sizes of each, that the schedule is for
    valid: Tensor  # targets of the global batch, by which a step divides its loss

    def __init__(self) -> None:
        super().__init__()
        own = range(coordinate("pp"), len(STAGES), PP)
        if own[0] == 0:
            self.embedding = ParameterGroup(weight=parameter(VOCAB, D_MODEL, tp=0))
        self.layers = nn.ModuleDict({str(i): Block() for s in own for i in layers_of(s)})
        if own[-1] == len(STAGES) - 1:
            self.final_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))
            self.head = ParameterGroup(weight=parameter(VOCAB, D_MODEL, tp=0))
        self.layout = layout_of(self)
        self.stages = [Stage(self, index) for index in own]


def layers_of(stage: int) -> range:
    """Numbers of the layers that a virtual stage runs."""
    first = sum(STAGES[:stage])
    return range(first, first + STAGES[stage])


class Stage(nn.Module):
    """One virtual stage: some layers, behind the embedding if it is the first, before the head and
    the loss if it is the last."""

    def __init__(self, model: Model, index: int) -> None:
        super().__init__()
        self.index = index
        self.first, self.last = index == 0, index == len(STAGES) - 1
        if self.first:
            self.embedding = model.embedding
        self.layers = nn.ModuleList(model.layers[str(i)] for i in layers_of(index))
        if self.last:
            self.final_norm = model.final_norm
            self.head = model.head

    def forward(self, x: Tensor, targets: Tensor, documents: Tensor) -> Tensor:
        """Tokens [batch, seq] or activations in, activations out; of the last stage, the sum of the
        losses of all targets [batch, seq] that are not IGNORE, as [1].

        The logits of a chunk are computed again in the backward, so they never live all at once.
        """
        if self.first:
            x = embed(x, self.embedding.weight)  # [batch, seq, d_model]: partial sum
            x = reduce_scatter(x, "tp", 1)  # [batch, seq / tp, d_model]
        positions = torch.arange(documents.shape[1], device=x.device)
        cos, sin = angles(positions, frequencies(HEAD_DIM, ROPE_THETA, positions.device))
        mask = attention_mask(documents)
        for block in self.layers:
            x = block(x, cos, sin, mask)
        if not self.last:
            return x
        h = rms_norm(x, self.final_norm.weight, NORM_EPS)
        h_gathered = all_gather(h, "tp", 1)  # [batch, seq, d_model]
        pieces = (whole.split(LOSS_CHUNK, dim=1) for whole in (h_gathered, targets))
        losses = [
            checkpoint(chunk_loss, *piece, self.head.weight, use_reentrant=False)
            for piece in zip(*pieces, strict=True)
        ]
        return torch.stack(losses).sum()[None]


def chunk_loss(h_gathered: Tensor, targets: Tensor, head_weight: Tensor) -> Tensor:
    """Summed loss of one chunk of the sequence."""
    logits = F.linear(h_gathered, head_weight)  # [batch, seq, vocab / tp]
    largest = logits.detach().amax(-1)  # [batch, seq]
    largest_reduced = all_reduce(largest, "tp", "max")  # [batch, seq]
    shifted = logits.to(ACCUMULATE) - largest_reduced[..., None]
    total = shifted.exp().sum(-1)  # [batch, seq]: partial sum
    picked = pick(shifted, targets)  # [batch, seq]: partial sum
    total_reduced = sum_partials(total, "tp")  # [batch, seq]
    picked_reduced = sum_partials(picked, "tp")  # [batch, seq]
    return (total_reduced.log() - picked_reduced).masked_fill(targets == IGNORE, 0).sum()


def embed(tokens: Tensor, weight: Tensor) -> Tensor:
    """Rows of the table that this rank holds, zeros for other tokens: a partial sum over tp."""
    local = tokens - coordinate("tp") * (VOCAB // TP)
    elsewhere = (local < 0) | (local >= VOCAB // TP)
    return F.embedding(local.masked_fill(elsewhere, 0), weight).masked_fill(elsewhere[..., None], 0)


def pick(logits: Tensor, targets: Tensor) -> Tensor:
    """The target's entry where this rank has it, else zero: a partial sum over tp."""
    local = targets - coordinate("tp") * (VOCAB // TP)
    elsewhere = (local < 0) | (local >= VOCAB // TP)
    picked = logits.gather(-1, local.masked_fill(elsewhere, 0)[..., None])[..., 0]
    return picked.masked_fill(elsewhere, 0)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def frequencies(head_dim: int, theta: float, device: torch.device) -> Tensor:
    """Radians per position of each rotating pair [head_dim / 2]."""
    exponents = torch.arange(0, head_dim, 2, dtype=ACCUMULATE, device=device) / head_dim
    return 1.0 / theta**exponents


def angles(positions: Tensor, radians: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of position x frequency, each [seq, 1, head_dim / 2]."""
    turns = torch.outer(positions.to(radians), radians)[:, None]
    return turns.cos(), turns.sin()


def rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: element i of a head turns with element i + head_dim / 2."""
    a, b = x.to(ACCUMULATE).chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


# Without compilation it would build the whole [q, kv] first, at ten bytes per element.
compiled_mask = torch.compile(create_block_mask, dynamic=False)


def attention_mask(documents: Tensor) -> Mask:
    """What a position sees: itself and what precedes it in its document.

    Dense [batch, 1, seq, seq] on a CPU, elsewhere the blocks that flex_attention visits.
    """
    seq_len = documents.shape[1]
    if documents.device.type == "cpu":
        causal = torch.ones(seq_len, seq_len, dtype=torch.bool).tril()
        return (causal & (documents[:, :, None] == documents[:, None, :]))[:, None]

    def visible(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        return (q >= kv) & (documents[b, q] == documents[b, kv])

    batch, device = len(documents), str(documents.device)
    return compiled_mask(visible, batch, None, seq_len, seq_len, device=device)


# A compiled block compiles this too. Otherwise it is compiled here, or all scores would be stored.
flex = flex_attention if COMPILE or DEVICE == "cpu" else torch.compile(flex_attention)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask, scale: float) -> Tensor:
    """q [batch, seq, heads, head_dim], k and v with their own number of heads -> like q.

    With `attention_mask`, the one place that knows devices.
    """
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if isinstance(mask, Tensor):
        o = F.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=True)
    else:
        o = cast(Tensor, flex(q, k, v, block_mask=mask, scale=scale, enable_gqa=True))
    return o.transpose(1, 2)


# What the backward of a block finds saved: values marked with `save`, and the outputs of the
# operators in SAVED. It computes everything else again, and gathers again what was gathered.
def save(x: Tensor) -> Tensor:
    """x, marked to be saved. A compiled block recognises operators only, hence the two negations:
    inductor merges them with what computes x (torch 2.11 and 2.13), while a copy or a view would be
    removed before `save_policy` is asked. Without compilation a mark has no effect."""
    return x.neg().neg() if COMPILE else x


SAVED = (
    torch.ops.aten.neg.default,  # what `save` inserts
    torch.ops.aten.mm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.higher_order.flex_attention,
    torch.ops._c10d_functional.reduce_scatter_tensor.default,
)


def save_policy(ctx: object, op: object, *args: object, **kwargs: object) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in SAVED else CheckpointPolicy.PREFER_RECOMPUTE


saving = partial(create_selective_checkpoint_contexts, save_policy, allow_cache_entry_mutation=True)


def recompute(function: Callable[..., Tensor], *inputs: object) -> Tensor:
    """function(*inputs), of which only what is saved stays in memory for the backward."""
    return checkpoint(function, *inputs, use_reentrant=False, context_fn=saving)
