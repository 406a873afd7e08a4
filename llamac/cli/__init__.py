"""The command line: one file a verb. `stdout` is data, `stderr` is talk.

A verb's file holds its click command and imports what it works with when it runs, so `--help` loads
nothing but click. To add a verb: a file like `check.py`, and its name in VERBS below.
Exit codes: 0 fine; 1 the spec is wrong or something was found; 2 usage, or a fault of ours.
"""

from llamac.cli.main import main

__all__ = ["main"]
