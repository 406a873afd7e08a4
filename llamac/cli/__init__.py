"""The command line: one file per command. Results go to `stdout`, messages to `stderr`.

The file of a command holds its click command, and imports what it works with when it runs, so
`--help` loads little but click. To add one: a file like `check.py`, and its name in `COMMANDS`.
Exit codes: 0 success; 1 the spec is wrong or something was found; 2 usage, or a bug in llamac.
"""

from __future__ import annotations

import sys

from llamac.cli.exits import FAULT
from llamac.floors import shadowed


def main() -> None:
    """The entry point. Another package may shadow one of ours, so that is checked before they are
    imported."""
    problem = shadowed()
    if problem is not None:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(FAULT)
    from llamac.cli.commands import run_command

    run_command()
