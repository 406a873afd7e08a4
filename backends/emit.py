"""emit: a compiled plan -> all files of its program, from a backend and the launch scripts."""

from __future__ import annotations

from backends.launch import scripts
from backends.program import Backend, Program
from backends.pytorch.emit import PyTorch
from compiler.pipeline import Compiled
from dsl.spec import Origins


def emit(
    compiled: Compiled, origins: Origins | None = None, backend: Backend | None = None
) -> Program:
    """The program that `backend` prints, PyTorch by default, with the scripts that start it.

    Raises ValueError if the plan has several programs: emit each of `pipeline.programs`.
    """
    if len(compiled.plan.parts) != 1:
        raise ValueError("a plan of several programs: emit each of `pipeline.programs`")
    launch = scripts(compiled.plan)
    program = (backend or PyTorch()).emit(compiled, origins or Origins(), launch.files.keys())
    return Program({**program.files, **launch.files}, program.executable | launch.executable)
