"""Tests that ask programs of others (`tools`) run where those are installed; in CI, `-m tools` insists on them."""

from __future__ import annotations

import os
import shutil

import pytest

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def find(program: str) -> str | None:
    """Where a program is."""
    return shutil.which(program, path=_PLACES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose program is not here, unless just those tests were asked for."""
    if config.option.markexpr:
        return
    missing = [item for item in items if any(not find(p) for m in item.iter_markers("tools") for p in m.args)]
    if missing:
        config.hook.pytest_deselected(items=missing)
        items[:] = [item for item in items if item not in missing]


@pytest.fixture
def tool() -> object:
    """Gives a program's path; fails with one line when it is not installed."""

    def path_of(program: str) -> str:
        path = find(program)
        assert path, f"{program} is not installed"
        return path

    return path_of
