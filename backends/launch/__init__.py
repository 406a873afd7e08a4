"""A plan and its cluster -> the scripts that start its program, as text.

`scripts` is the entry point. `choice.py` chooses the scripts for a cluster; `quoting.py` puts text
of the spec into bash as data, never as code. A launcher is a template in `templates/` and its
values in `scripts.py`. To add one, add its entry to `Launch` in `compiler/schema/cluster.py`,
choose it in `choice.py`, and run it for real in tests, as `tests/slurm/` does.
"""

from backends.launch.scripts import Scripts, scripts

__all__ = ["Scripts", "scripts"]
