"""Fixtures of the tests of programs."""

from __future__ import annotations

import pytest

from tests.programs.survival import Reference, reference


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return reference(tmp_path_factory.mktemp("whole"))
