"""Dry run: one rank of each class (first, middle, last pipeline stage) of the emitted program, at
its real size, on a machine that has none of the devices: fake tensors, a fake process group.

`probe` runs in a process of its own and says what the program did (`recorder` listens to it);
`dryrun` starts it and holds the collectives against `compiler.traffic`, `result` shows both.
To watch more of a program: a field of `record.Record`, filled by the recorder.
"""

from __future__ import annotations
