"""Named SQL in files."""

from __future__ import annotations

import pytest

from fleet.db.queries import Queries


def test_queries_are_found_by_name_without_the_last_semicolon() -> None:
    queries = Queries("x.sql", "-- a comment before\n-- name: one\nSELECT 1;\n\n-- name: two\n-- why\nSELECT 'a;b'\n")
    assert dict(queries.items()) == {"one": b"SELECT 1", "two": b"-- why\nSELECT 'a;b'"}


def test_an_unknown_name_is_named_with_its_file() -> None:
    with pytest.raises(KeyError, match=r"x\.sql has no query 'three'"):
        Queries("x.sql", "-- name: one\nSELECT 1")["three"]


def test_what_is_no_name_starts_no_query() -> None:
    assert dict(Queries("x.sql", "-- name: one\n-- name: Not One\n--name: two\nSELECT 1").items()).keys() == {"one"}
