"""Every table and view: a scope shows nothing of others and changes nothing of theirs, whoever asks and however."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.isolation.catalogue import Catalogue, Column, Connection, Relation, reading, rows_of
from tests.isolation.world import ELSEWHERE, OPERATOR, REGION, A, B

SHARED = {
    "alembic_version": "the schema's version",
    "models": "a catalogue of what can be bought",
    "kit_types": "what a kit of a programme contains",
    "kit_type_contents": "as above",
    "rules": "what is alerted, the same for all",
    "grafana_rules": "as above",
    "incident_settings": "when many are a mass event, the same for all",
    "request_causes": "what requests are opened for, and what is found",
    "request_remedies": "what is done about them",
    "request_settings": "how they end and come back, the same for all",
    "problem_trees": "questions that the first line asks, the same for all",
    "visit_failures": "why visits fail, the same for all",
    "visit_settings": "by when they are to be done, the same for all",
    "listening": "our own clock",
    "listening_outages": "when we did not listen",
    "grafana_listening": "our own clock",
    "heard_sample": "times alone, of no kit and nobody",
    "retention_policies": "how long things are kept, the same for all",
    "billing_start": "since when is charged, the same for all",
    "billing_months": "which months are closed, the same for all",
}
"""The same for everybody; they hold nothing of anybody."""
INSTALLATION = {
    "audit_chain": "hashes over everybody's lines",
    "audit_anchors": "as above",
    "audit_sealer": "as above",
    "quarantine": "whose it was is what could not be told",
    "grafana_quarantine": "as above",
    "retention_runs": "counts over everybody",
    "database_scopes": "logins of readers, an administrator's",
}
"""Shown to nobody who is bound to organisations."""
DIRECTORY = ("supplier", "lessor", "operator")
WRITTEN_BY_ALL = {"evaluation_queue": "asks the worker to look at a kit again, which it does anyway, and tells nothing"}
HISTORY = ("heartbeats", "reports", "changes")


@dataclass(frozen=True, slots=True)
class Reader:
    """A scope, and the principal who has it."""

    scope: str
    principal: str


@pytest.fixture
def connection(world: str) -> Iterator[Connection]:
    """An administrator's connection; whoever reads on it does so in transactions that leave nothing."""
    with psycopg.connect(world, autocommit=True) as opened:
        yield opened


@pytest.fixture
def catalogue(connection: Connection) -> Catalogue:
    """The relations as the API meets them."""
    return Catalogue(connection, "fleet_api")


def organisations(connection: Connection, slug: str) -> list[int]:
    """An organisation and what is below it."""
    query = "SELECT subtree_of(ARRAY[organisation_id]) FROM organisations WHERE slug = %s"
    found = connection.execute(query, (slug,)).fetchone()
    assert found
    numbers: list[int] = found[0]
    return numbers


def reader(connection: Connection, slug: str) -> Reader:
    """What somebody of an organisation reads by."""
    query = "SELECT scope_of(organisation_id)::text FROM organisations WHERE slug = %s"
    scope = connection.execute(query, (slug,)).fetchone()
    kept = connection.execute("SELECT principal FROM idempotency_keys WHERE key = %s", (f"{slug}-key",)).fetchone()
    assert scope
    return Reader(scope[0], kept[0] if kept else "")


def test_every_relation_is_of_somebody_or_told_to_be_of_nobody(catalogue: Catalogue) -> None:
    for name, relation in catalogue.relations.items():
        if relation.readable and name not in SHARED and name not in INSTALLATION:
            assert catalogue.ownership(name), f"{name}: nothing leads from a row to an organisation"
    assert set(SHARED) | set(INSTALLATION) <= set(catalogue.relations)


@pytest.mark.parametrize("slug", [A, OPERATOR, ELSEWHERE])
def test_a_scope_shows_nothing_of_others(connection: Connection, catalogue: Catalogue, slug: str) -> None:
    theirs = organisations(connection, B)
    stranger, own = reader(connection, slug), reader(connection, B)
    missing = []
    for name, relation in catalogue.relations.items():
        if not relation.readable or name in SHARED or name in INSTALLATION:
            continue
        rows = set(catalogue.owned(name, theirs))
        with reading(connection, stranger.scope, stranger.principal):
            shown = catalogue.shown(name)
        assert not rows & set(shown), f"{name} shows {slug} what is of {B}"
        assert not [row for row in shown if B in row], f"{name} tells {slug} of {B}"
        with reading(connection, own.scope, own.principal):
            if not rows & set(catalogue.shown(name)):
                missing.append(name)
    assert missing == [], f"the world has nothing of {B} in these, or {B} does not see it"


def test_what_is_shared_is_the_same_for_all_and_what_is_not_is_shown_to_nobody(
    connection: Connection, catalogue: Catalogue
) -> None:
    for name in [*SHARED, *INSTALLATION]:
        shown = []
        for slug in (A, B):
            with reading(connection, reader(connection, slug).scope):
                # The age of the clock moves while we look.
                shown.append([] if name == "grafana_listening" else catalogue.shown(name))
        assert shown[0] == shown[1], name
        assert not any(A in row or B in row for row in shown[0]), name
        assert name in SHARED or shown[0] == [], f"{name} is shown to {A}"


@pytest.mark.parametrize("scope", [None, "", "{}"])
def test_without_a_scope_there_is_nothing(connection: Connection, catalogue: Catalogue, scope: str | None) -> None:
    for name, relation in catalogue.relations.items():
        if relation.readable and name not in SHARED:
            with reading(connection, scope):
                shown = catalogue.shown(name)
            if name == "organisations":
                shown = [row for row in shown if not any(f'"{kind}"' in row for kind in DIRECTORY)]
            assert shown == [], name


def test_the_region_above_sees_both(connection: Connection, catalogue: Catalogue) -> None:
    above = reader(connection, REGION)
    for slug in (A, B):
        rows = set(catalogue.owned("kits", organisations(connection, slug)))
        with reading(connection, above.scope):
            assert rows <= set(catalogue.shown("kits"))


def writable(catalogue: Catalogue, what: str) -> Iterator[tuple[Relation, list[Column]]]:
    """Relations with the columns that the API may insert or update, those that are nobody's aside."""
    for name, relation in catalogue.relations.items():
        columns = [column for column in relation.columns if getattr(column, what) and column.given]
        if columns and name not in SHARED and name not in INSTALLATION:
            yield relation, columns


def attempt(connection: Connection, who: Reader, statement: sql.Composable, values: dict[str, Any]) -> int | str:
    """How many rows a statement touched, or the SQLSTATE of its refusal; nothing stays."""
    with reading(connection, who.scope, who.principal):
        try:
            return connection.execute(statement, values).rowcount
        except psycopg.Error as error:
            return error.sqlstate or "?"


DENIED = "42501"
_MATCH = "jsonb_populate_record(NULL::{table}, %(row)s) v WHERE {match}"


def statement(text: str, relation: Relation, columns: list[str] | None = None) -> sql.Composed:
    """A statement about the one row that is given as JSON."""
    return sql.SQL(text + _MATCH).format(
        table=sql.Identifier(relation.name),
        match=sql.SQL(" AND ").join(sql.SQL("t.{0} = v.{0}").format(sql.Identifier(key)) for key in relation.key),
        changes=sql.SQL(", ").join(sql.SQL("{0} = v.{0}").format(sql.Identifier(each)) for each in columns or ()),
    )


@pytest.mark.parametrize("slug", [A, OPERATOR])
def test_nothing_of_others_is_changed_or_deleted(connection: Connection, catalogue: Catalogue, slug: str) -> None:
    theirs = organisations(connection, B)
    stranger, own = reader(connection, slug), reader(connection, B)
    for relation, columns in writable(catalogue, "updatable"):
        found = rows_of(connection, relation.name, catalogue.ownership(relation.name) or "false", theirs)
        assert found, f"the world has nothing of {B} in {relation.name}"
        query = statement("UPDATE {table} t SET {changes} FROM ", relation, [columns[0].name])
        rows = [{"row": Jsonb(row)} for row in found]
        assert {attempt(connection, stranger, query, row) for row in rows} == {0}, relation.name
        assert not {attempt(connection, own, query, row) for row in rows} <= {0, DENIED}, relation.name
    for name, relation in catalogue.relations.items():
        if relation.deletable and name not in SHARED and name not in INSTALLATION:
            query = statement("DELETE FROM {table} t USING ", relation)
            for row in rows_of(connection, name, catalogue.ownership(name) or "false", theirs):
                assert attempt(connection, stranger, query, {"row": Jsonb(row)}) == 0, name


@pytest.mark.parametrize("slug", [A, OPERATOR])
def test_nothing_is_written_into_the_books_of_others(connection: Connection, catalogue: Catalogue, slug: str) -> None:
    theirs = organisations(connection, B)
    stranger, own = reader(connection, slug), reader(connection, B)
    for relation, columns in writable(catalogue, "insertable"):
        if relation.name in WRITTEN_BY_ALL:
            continue
        found = rows_of(connection, relation.name, catalogue.ownership(relation.name) or "false", theirs)
        assert found, f"the world has nothing of {B} in {relation.name}"
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        query = sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_populate_record(NULL::{table}, %(row)s)"
        ).format(table=sql.Identifier(relation.name), names=names)
        rows = [{"row": Jsonb(row)} for row in found]
        assert {attempt(connection, stranger, query, row) for row in rows} == {DENIED}, relation.name
        # Of some things not every row is one's own to make: a municipality stands below a region.
        assert {attempt(connection, own, query, row) for row in rows} != {DENIED}, relation.name


def test_nothing_is_pushed_upon_others(connection: Connection, catalogue: Catalogue) -> None:
    """One's own row is not made another's, with all by which it is theirs."""
    own = organisations(connection, A)
    (kit,) = rows_of(connection, "kits", f"r.kit = '{B}-stock'", [])
    given = dict.fromkeys(("organisation_id", "owner_id", "parent_id"), organisations(connection, B)[0])
    given["kit_id"] = kit["kit_id"]
    asked = 0
    for relation, columns in writable(catalogue, "updatable"):
        names = {column.name for column in columns} & given.keys() - set(relation.key)
        by_kit = {"organisation_id", "kit_id"} <= relation.names() and "owner_id" not in relation.names()
        if not names - {"kit_id"} or (by_kit and "kit_id" not in names):
            continue
        query = statement("UPDATE {table} t SET {changes} FROM ", relation, sorted(names))
        for row in rows_of(connection, relation.name, catalogue.ownership(relation.name) or "false", own):
            if by_kit and row["kit_id"] is None:
                continue  # an incident's, which stays with the incident
            values = {"row": Jsonb({**row, **{name: given[name] for name in names}})}
            assert attempt(connection, reader(connection, A), query, values) == DENIED, relation.name
            asked += 1
    assert asked > 10


def test_history_is_read_through_views_only(connection: Connection) -> None:
    tables = connection.execute(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p')"
        " AND (c.relname = ANY (%(names)s) OR c.oid IN (SELECT relid FROM pg_partition_tree('heartbeats')"
        " UNION ALL SELECT relid FROM pg_partition_tree('reports')))",
        {"names": list(HISTORY)},
    ).fetchall()
    assert len(tables) >= len(HISTORY)
    for (table,) in tables:
        for role in ("fleet_api", "fleet_grafana"):
            query = (
                "SELECT has_table_privilege(%(role)s, %(table)s, %(what)s)"
                " OR has_any_column_privilege(%(role)s, %(table)s, 'SELECT')"
            )
            values = {"role": role, "table": table, "what": "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"}
            assert connection.execute(query, values).fetchone() == (False,), (table, role)


@pytest.fixture
def login(own_world: str, admin_url: str, worker_id: str) -> Iterator[Any]:
    """Opens connections as a dashboard's login of an organisation."""
    made: list[str] = []
    opened: list[Connection] = []

    def open_as(slug: str | None) -> Connection:
        name, password = f"fleet_dashboard_{os.getpid()}_{worker_id}_{len(made)}", "a password"
        with psycopg.connect(own_world, autocommit=True) as connection:
            role = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
            made.append(name)
            connection.execute(sql.SQL("GRANT fleet_grafana TO {}").format(role))
            if slug is not None:
                query = "INSERT INTO database_scopes SELECT %s, organisation_id FROM organisations WHERE slug = %s"
                connection.execute(query, (name, slug))
        target = psycopg.conninfo.conninfo_to_dict(own_world)
        opened.append(
            psycopg.connect(**{**target, "user": name, "password": password}, autocommit=True)  # type: ignore[arg-type]
        )
        return opened[-1]

    try:
        yield open_as
    finally:
        for each in opened:
            each.close()
        with psycopg.connect(own_world, autocommit=True) as connection:
            for name in made:
                connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def test_a_dashboards_login_sees_its_organisation_only(own_world: str, login: Any) -> None:
    with psycopg.connect(own_world, autocommit=True) as owner:
        catalogue = Catalogue(owner, "fleet_grafana")
        theirs = organisations(owner, B)
        views = [name for name, relation in catalogue.relations.items() if relation.readable]
        assert views
        assert all(name.startswith("grafana_") for name in views)
        rows = {name: set(catalogue.owned(name, theirs)) for name in views if catalogue.ownership(name)}
        strangers, own = [login(A), login(OPERATOR), login(None)], login(B)
        for name in views:
            for stranger in strangers:
                shown = Catalogue(stranger, "fleet_grafana").shown(name)
                assert not rows.get(name, set()) & set(shown), name
                assert not [row for row in shown if B in row], name
            if name not in SHARED and name not in INSTALLATION:
                assert rows[name] & set(Catalogue(own, "fleet_grafana").shown(name)), f"{B} sees nothing in {name}"


def test_nothing_that_a_reader_sets_widens_its_scope(login: Any) -> None:
    reader_of_a = login(A)
    for setting in ("fleet.scope = '*'", "fleet.replayed_kits = '{1,2,3,4,5,6,7,8,9}'", "ROLE fleet_grafana"):
        reader_of_a.execute(f"SET {setting}".encode())
        assert reader_of_a.execute("SELECT count(*) FROM grafana_kits WHERE kit LIKE %s", (f"{B}%",)).fetchone() == (0,)
    for role in ("fleet_api", "fleet_worker", "fleet_ingest"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader_of_a.execute(f"SET ROLE {role}".encode())
