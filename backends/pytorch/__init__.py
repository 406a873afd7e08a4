"""RankProgram -> a readable PyTorch training program.

`emit` is the door. model.py is printed from the block programs, one line a statement (`operators/`
has a printer an operator); the other files are templates that depend on `Features` only; every
number and dtype stands in config.py. Imports are computed from the names a text uses. To add an
operator see `operators/__init__.py`, a constant `config.py`, a torch version `versions.py`.
"""

from backends.pytorch.emit import MODULES, Program, emit

__all__ = ["MODULES", "Program", "emit"]
