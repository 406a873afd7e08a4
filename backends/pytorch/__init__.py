"""RankProgram -> a readable PyTorch training program. `emit.PyTorch` is the backend.

model.py is printed from the block programs, one line per statement (`operators/` has one printer
per operator). The other files are templates that depend on `Features` only; every number and dtype
is in config.py. Imports are computed from the names that a text uses. To add an operator see
`operators/__init__.py`, a constant `config.py`, a torch version `versions.py`.
"""
