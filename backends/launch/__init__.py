"""A plan and its cluster -> the scripts that start its program, as text.

`scripts` is the door. `choice.py` says which scripts a cluster gets, `quoting.py` how a text of the
spec gets into bash: as an assignment, never as code. A launcher is a template in `templates/` and
its values in `scripts.py`. To add one, add its entry to `Launch` in `compiler/schema/cluster.py`,
say in `choice.py` who gets it, and run it for real in tests, as `tests/slurm/` does.
"""

from backends.launch.scripts import Scripts, scripts

__all__ = ["Scripts", "scripts"]
