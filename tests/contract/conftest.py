"""Tests marked `tools` ask programs of others; they fail with one line where such a program is not installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Gives a program's path."""

    def path_of(program: str) -> str:
        path = shutil.which(program, path=_PLACES)
        assert path, f"{program} is not installed"
        return path

    return path_of
