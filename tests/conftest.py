"""What all tests share: one hypothesis profile, and the switch that rewrites golden files."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# The same examples every time and nothing left on disk, so that a red run can be repeated. To look
# further: HYPOTHESIS_PROFILE=explore draws new ones on every run.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", database=None, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the files that tests compare with; review them as a diff",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether expected files are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))


def pytest_runtest_setup() -> None:
    """Under `nohup make test &`, SIGINT and SIGHUP are ignored, and children would inherit that. A
    handler they do not inherit, and one that does nothing keeps this process as deaf as it was."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
