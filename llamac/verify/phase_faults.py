"""Faults of programs that go through several phases: what a border leaves as it was."""

from __future__ import annotations

from llamac.verify.fault import Fault

PHASES = (
    Fault(
        "phase-ends-a-step-late",
        "the first step of a phase has batches of the one before",
        ("ramp",),
        "data.py",
        "if position < phase.end)",
        "if position <= phase.end)",
    ),
    Fault(
        "microbatches-of-the-first-phase",
        "every phase runs as many microbatches as the first, and drops the others",
        ("ramp", "accumulation"),
        "data.py",
        "    for i in range(phase.microbatches):\n",
        "    for i in range(Phase(*PHASES[0]).microbatches):\n",
    ),
    Fault(
        "data-read-again",
        "a phase reads the data from its start, as if nothing had been read",
        ("ramp",),
        "data.py",
        "    phase = phase_at(position)\n    batches: list[Batch] = []\n",
        "    phase = phase_at(position)\n    batches: list[Batch] = []\n"
        "    before = max([0, *(row[1] for row in PHASES if row[1] <= position)])\n"
        "    position -= before // BLOCK * BLOCK\n",
    ),
    Fault(
        "order-of-its-own",
        "a phase shuffles sequences of its own length, which earlier ones have partly read",
        ("ramp",),
        "data.py",
        "place(corpus, position + row * phase.seq_len) for row",
        "shuffled(\n"
        "            position // phase.seq_len + row, corpus.blocks * BLOCK // phase.seq_len, 0\n"
        "        ) * phase.seq_len for row",
    ),
    Fault(
        "state-left-at-a-border",
        "the first moment of the optimizer is reset at every phase",
        ("ramp",),
        "train.py",
        "        optimizer.step()\n",
        "        shape = batches[0].tokens.shape\n"
        '        if optimizer.defaults.setdefault("shape", shape) != shape:\n'
        '            optimizer.defaults["shape"] = shape\n'
        "            for state in optimizer.state.values():\n"
        '                state["exp_avg"].zero_()\n'
        "        optimizer.step()\n",
    ),
)
