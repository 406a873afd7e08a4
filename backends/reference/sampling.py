"""Text that follows a prompt, drawn token by token. Nothing is cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.reference.model import Parameters, logits
from backends.reference.weights import keyed
from compiler.schema.model import ModelSpec


@dataclass(frozen=True)
class Sampling:
    """How a sample is drawn: `tokens` of them at most, each from what the last `seq_len` say."""

    prompt: str
    tokens: int
    temperature: float
    seq_len: int
    seed: int
    end: int


def next_logits(
    model: ModelSpec, parameters: Parameters, text: Sequence[int], seq_len: int
) -> Tensor:
    """Scores [vocab] of the token after the last `seq_len` of `text`, which is one document."""
    seen = torch.tensor([[*text[-seq_len:]]])
    return logits(model, parameters, seen, torch.zeros_like(seen))[0, -1]


def sample(
    model: ModelSpec, parameters: Parameters, how: Sampling
) -> tuple[str, tuple[Tensor, ...]]:
    """The text, and the scores of each token drawn. A token that is no byte ends it."""
    draw = torch.Generator("cpu").manual_seed(keyed(how.seed, "sample"))
    text = [*how.prompt.encode()] or [how.end]
    scores: list[Tensor] = []
    while len(scores) < how.tokens:
        scores.append(next_logits(model, parameters, text, how.seq_len))
        # single precision, so that a program in any precision draws alike
        chances = torch.softmax(scores[-1].to(torch.float32) / how.temperature, 0)
        token = int(torch.multinomial(chances, 1, generator=draw))
        if token == how.end or token >= 256:
            break
        text.append(token)
    return _printable(bytes(text).decode(errors="replace")), tuple(scores)


def repeated(how: Sampling, token: int) -> str:
    """The text where every draw is `token`."""
    ends = token == how.end or token >= 256
    drawn = b"" if ends else bytes([token]) * how.tokens
    return _printable((how.prompt.encode() + drawn).decode(errors="replace"))


def _printable(text: str) -> str:
    return "".join(
        c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
