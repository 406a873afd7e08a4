"""Exit codes of the command line; `run` returns that of the program."""

from __future__ import annotations

FINE = 0
FOUND = 1  # the spec has errors, or a check found what it looks for
FAULT = 2  # wrong usage, a system error, or a bug in llamac
INTERRUPTED = 130  # by Ctrl-C, as shells report it
