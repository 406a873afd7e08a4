"""Steps of training, with everything that can be observed of them.

loss = sum of token losses / number of counted targets, over the global batch of the step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.reference.data import Batch
from backends.reference.model import logits, token_losses
from backends.reference.parameters import decaying
from compiler.schema.model import ModelSpec
from compiler.schema.train import AdamW, Constant, Cosine, LrSchedule, TrainSpec, Wsd


@dataclass(frozen=True)
class State:
    """Parameters and optimizer state after some number of steps."""

    parameters: dict[str, Tensor]
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]
    steps: int


@dataclass(frozen=True)
class Step:
    """What one step shows. Gradients are as they come, before clipping; `tokens` counts the
    targets; `after` is the state, and `val_loss` its loss on the evaluation's sequences, if any."""

    loss: Tensor
    tokens: int
    gradients: dict[str, Tensor]
    grad_norm: Tensor
    lr: float
    after: State
    val_loss: Tensor | None


def train(
    model: ModelSpec,
    spec: TrainSpec,
    total_steps: int,
    initial: Mapping[str, Tensor],
    batches: tuple[Batch, ...],
    evaluation: Batch | None = None,
) -> tuple[Step, ...]:
    """One step per batch, from step 0 of a run of `total_steps`."""
    state = State(
        parameters=dict(initial),
        exp_avg={name: torch.zeros_like(value) for name, value in initial.items()},
        exp_avg_sq={name: torch.zeros_like(value) for name, value in initial.items()},
        steps=0,
    )
    steps: list[Step] = []
    for batch in batches:
        loss, gradients = loss_and_gradients(model, state.parameters, batch)
        squares = torch.stack([(gradient * gradient).sum() for gradient in gradients.values()])
        norm = squares.sum().sqrt()
        lr = learning_rate(spec.lr_schedule, spec.optimizer.lr, total_steps, state.steps + 1)
        factor = clip_factor(norm, spec.clip)
        clipped = {name: gradient * factor for name, gradient in gradients.items()}
        state = adamw(spec.optimizer, lr, state, clipped, decaying(model))
        val_loss = None if evaluation is None else mean_loss(model, state.parameters, evaluation)
        steps.append(Step(loss, int(batch.counted.sum()), gradients, norm, lr, state, val_loss))
    return tuple(steps)


def loss_and_gradients(
    model: ModelSpec, parameters: Mapping[str, Tensor], batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    watched = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    loss = mean_loss(model, watched, batch)
    gradients = torch.autograd.grad(loss, list(watched.values()))
    return loss.detach(), dict(zip(watched, gradients, strict=True))


def mean_loss(model: ModelSpec, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Over all targets that count."""
    losses = token_losses(logits(model, parameters, batch.tokens, batch.documents), batch.targets)
    return losses[batch.counted].sum() / batch.counted.sum()


def clip_factor(norm: Tensor, limit: float | None) -> Tensor:
    """What gradients are multiplied by so that their norm is at most `limit` (Pascanu, 2013).

    The 1e-6 is that of `torch.nn.utils.clip_grad_norm_`.
    """
    if limit is None:
        return torch.ones_like(norm)
    return torch.clamp(limit / (norm + 1e-6), max=1.0)


def learning_rate(schedule: LrSchedule, peak: float, total: int, step: int) -> float:
    """Of step 1, 2, ..., `total`; warm-up rises linearly and reaches the peak at its last step."""
    if step <= schedule.warmup:
        return peak * step / schedule.warmup
    match schedule:
        case Constant():
            return peak
        case Cosine(warmup=warmup, min_lr=low):
            share = 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (total - warmup))
        case Wsd(decay=decay, min_lr=low):
            share = min(1.0, (total - step) / decay)
    return low + (peak - low) * share


def adamw(
    spec: AdamW,
    lr: float,
    state: State,
    gradients: Mapping[str, Tensor],
    decays: Set[str],
) -> State:
    """Loshchilov and Hutter (2019), algorithm 2, both moments unbiased.

    `decays` names the parameters with weight decay.
    """
    first, second = spec.betas
    t = state.steps + 1
    parameters: dict[str, Tensor] = {}
    exp_avg: dict[str, Tensor] = {}
    exp_avg_sq: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        old = state.parameters[name]
        m = first * state.exp_avg[name] + (1 - first) * gradient
        v = second * state.exp_avg_sq[name] + (1 - second) * gradient * gradient
        update = (m / (1 - first**t)) / ((v / (1 - second**t)).sqrt() + spec.eps)
        decay = spec.weight_decay * old if name in decays else torch.zeros_like(old)
        parameters[name] = old - lr * (update + decay)
        exp_avg[name], exp_avg_sq[name] = m, v
    return State(parameters, exp_avg, exp_avg_sq, t)
