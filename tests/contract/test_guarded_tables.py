"""Row-level security, read off the catalogue: a table nobody thought of fails here the day it appears."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.support import rows

UNGUARDED = {"alembic_version": "the schema's version", "heartbeats": "no grant", "reports": "no grant"}
"""History is read through views only, because neither COPY nor compression goes with policies."""
SHARED = {
    "models": "a catalogue of what can be bought",
    "kit_types": "what a kit of a programme contains",
    "kit_type_contents": "as above",
    "rules": "what is alerted, the same for all",
    "incident_settings": "when many are a mass event, the same for all",
    "visit_failures": "why visits fail, the same for all",
    "visit_settings": "by when they are to be done, the same for all",
    "listening": "our own clock",
    "listening_outages": "when we did not listen",
    "problem_trees": "questions that the first line asks, the same for all",
    "request_causes": "what requests are opened for, and what is found",
    "request_remedies": "what is done about them",
    "request_settings": "how they end and come back, the same for all",
    "billing_start": "a day, the same for all",
    "billing_months": "which months are over",
}
"""Readable by everybody who may call at all: they hold nothing of anybody."""

TABLES = """
SELECT c.relname, c.relrowsecurity,
       coalesce(array_agg(p.policyname::text) FILTER (WHERE 'fleet_api' = ANY (p.roles)), '{}'),
       bool_or(has_table_privilege('fleet_api', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
               OR has_any_column_privilege('fleet_api', c.oid, 'SELECT, INSERT, UPDATE'))
FROM pg_class c
LEFT JOIN pg_policies p ON p.schemaname = 'public' AND p.tablename = c.relname
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
GROUP BY c.oid, c.relname, c.relrowsecurity
"""


def test_every_table_has_a_policy(database: str) -> None:
    for name, guarded, policies, reachable in rows(database, TABLES):
        if name in UNGUARDED:
            assert reachable == (name == "alembic_version"), name
            continue
        assert guarded, f"{name} has no row-level security: CALL one of the guard procedures"
        assert policies or not reachable, f"{name} can be reached by fleet_api and has no policy for it"
        assert ("shared" in policies) == (name in SHARED), f"{name}: shared with all, or not, against the list"


def test_no_process_owns_what_it_is_bound_by(database: str) -> None:
    owned = rows(
        database,
        "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) IN ('fleet_api', 'fleet_worker', 'fleet_ingest')"
        " AND relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace"
        " AND relname !~ '^(heartbeats|reports)'",
    )
    assert owned == []
    mighty = "SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, 'fleet_') AND (rolsuper OR rolbypassrls)"
    assert rows(database, mighty) == []


def test_without_a_scope_the_api_sees_nothing(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO organisations (slug, name) VALUES ('a', 'A')")
        connection.execute(
            "INSERT INTO kits (kit, state, organisation_id) SELECT 'K', 'in_stock', organisation_id FROM organisations"
        )
        for scope in (None, "", "{}"):
            with connection.transaction(force_rollback=True):
                connection.execute("SET LOCAL ROLE fleet_api")
                if scope is not None:
                    connection.execute("SELECT set_config('fleet.scope', %s, true)", (scope,))
                assert connection.execute("SELECT count(*) FROM kits").fetchone() == (0,)
                assert connection.execute("SELECT count(*) FROM grafana_kits").fetchone() == (0,)


@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_audit_is_append_only_even_for_its_owner(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT note_audit('test', 'test', '1', NULL)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL(statement).format(sql.Identifier("audit")))
