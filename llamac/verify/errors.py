"""Why a check could not run; what it found when it ran is a result, not an error."""

from __future__ import annotations


class CannotVerify(Exception):
    """There is nothing to run: the message says why."""
