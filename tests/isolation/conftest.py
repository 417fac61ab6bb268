"""The world is built once in a run; tests that only read share one copy of it, tests that write get their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from itertools import count

import pytest

from fleet.db.migrate import migrate
from tests.conftest import url_of
from tests.isolation.world import build
from tests.support import execute

_numbers = count(1)


@pytest.fixture(scope="session")
def built(admin_url: str, template: str | None, worker_id: str) -> Iterator[str]:
    """Name of the database with the world; nobody is connected to it."""
    name = f"fleet_world_{os.getpid()}_{worker_id}"
    _create(admin_url, name, template)
    try:
        if template is None:
            migrate(url_of(admin_url, name))
        asyncio.run(build(url_of(admin_url, name)))
        yield name
    finally:
        _drop(admin_url, name)


@pytest.fixture(scope="session")
def world(admin_url: str, template: str | None, built: str, worker_id: str) -> Iterator[str]:
    """URL of a copy of the world for those who change nothing that others look at."""
    yield from _copy(admin_url, template, built, f"fleet_world_read_{os.getpid()}_{worker_id}")


@pytest.fixture
def own_world(admin_url: str, template: str | None, built: str, worker_id: str) -> Iterator[str]:
    """URL of a copy of the world of this test's own."""
    yield from _copy(admin_url, template, built, f"fleet_world_own_{os.getpid()}_{worker_id}_{next(_numbers)}")


def _copy(admin_url: str, template: str | None, built: str, name: str) -> Iterator[str]:
    _create(admin_url, name, None if template is None else built)
    try:
        if template is None:  # no copies with TimescaleDB
            migrate(url_of(admin_url, name))
            asyncio.run(build(url_of(admin_url, name)))
        yield url_of(admin_url, name)
    finally:
        _drop(admin_url, name)


def _create(admin_url: str, name: str, template: str | None) -> None:
    copied = "" if template is None else f" TEMPLATE {template} STRATEGY FILE_COPY"
    execute(admin_url, f"CREATE DATABASE {name}{copied}")


def _drop(admin_url: str, name: str) -> None:
    execute(admin_url, f"DROP DATABASE {name} WITH (FORCE)")
