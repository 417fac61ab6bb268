"""Every named query of every `.sql` file is understood by a migrated database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet.db.queries import load_queries

FILES = sorted(
    path.relative_to(Path(str(resources.files("fleet"))).parent)
    for path in Path(str(resources.files("fleet"))).rglob("*.sql")
    if "migrations" not in path.parts
)
LEDGER = load_queries("fleet.state.ledger", "ledger.sql")
_COMMENTS = re.compile(r"\A(\s*--[^\n]*\n)+")
_MAKES_STAGE = re.compile(r"CREATE TEMP(ORARY)? TABLE")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%(%)")


def prepared(query: bytes) -> str:
    """The query with `$n` for its named values."""
    names: dict[str, int] = {}
    return _PLACEHOLDER.sub(
        lambda match: "%" if match[2] else f"${names.setdefault(match[1], len(names) + 1)}", query.decode()
    )


def test_there_are_files_with_queries() -> None:
    assert len(FILES) >= 5


@pytest.mark.storage
def test_every_query_prepares(database: str) -> None:
    bodies = {}
    for file in FILES:
        queries = load_queries(".".join(file.parent.parts), file.name)
        bodies |= {f"{file} {name}": _COMMENTS.sub("", prepared(query)) for name, query in queries.items()}
    # Stages that are made out of others come after those.
    stages = sorted(filter(_MAKES_STAGE.match, bodies.values()), key=lambda body: "SELECT" in body)
    with psycopg.connect(database, autocommit=True) as connection:
        for body in stages:
            connection.execute(body.replace("ON COMMIT DROP", "").encode())
        failures = [f"{name}: {error}" for name, error in _failures(connection, bodies)]
    assert not failures


def _failures(connection: psycopg.Connection[Any], bodies: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, body in bodies.items():
        try:
            with connection.transaction(force_rollback=True):
                _understand(connection, body)
        except psycopg.Error as error:
            yield name, str(error)


def _understand(connection: psycopg.Connection[Any], body: str) -> None:
    """PREPARE what can be prepared; run the others (COPY, SET …) to be taken back."""
    if body.upper().startswith("COPY"):
        with connection.cursor().copy(body.encode()):
            pass
    elif body.upper().startswith(("(SELECT", "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES")):
        connection.execute(b"PREPARE understood AS " + body.encode())
        connection.execute(b"DEALLOCATE understood")
    elif not _MAKES_STAGE.match(body):
        connection.execute(body.encode())


@pytest.mark.parametrize(
    ("query", "values", "lookups"),
    [
        (LEDGER["kit_spells"], {"kit_id": 7}, ["kit_id"] * 3),
        (LEDGER["component_spells"], {"component_id": 7}, ["component_id"] * 2),
        (b"SELECT kit_id FROM known_kits WHERE kit = %(kit)s", {"kit": "K-7"}, ["kit"]),
        (b"SELECT kit FROM known_kits WHERE kit_id = ANY(%(ids)s)", {"ids": [7, 8]}, ["kit_id"]),
        (b"SELECT serial FROM known_components WHERE component_id = %(id)s", {"id": 7}, ["component_id"]),
    ],
    ids=["of a kit over time", "of a piece over time", "a kit's number", "names of kits", "a serial"],
)
def test_what_is_asked_by_number_is_looked_up_in_an_index(
    database: str, query: bytes, values: Mapping[str, Any], lookups: list[str]
) -> None:
    with psycopg.connect(database) as connection:
        # An empty table is read as a whole, unless that is forbidden.
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = [text for (text,) in connection.execute(b"EXPLAIN " + query, values).fetchall()]
    for column in set(lookups):
        found = [line for line in plan if re.search(rf"Index Cond: \(+{column} = ", line)]
        assert len(found) >= lookups.count(column), "\n".join(plan)
