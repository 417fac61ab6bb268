"""Whose a row is and who may touch it, read off PostgreSQL's catalogue: a new table is covered the day it appears."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what a database role may do with it."""

    name: str
    given: bool
    """Whether whoever inserts says what stands in it."""
    readable: bool
    insertable: bool
    updatable: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    deletable: bool

    def names(self) -> frozenset[str]:
        """Its columns."""
        return frozenset(column.name for column in self.columns)

    @property
    def readable(self) -> list[str]:
        """The columns that the role reads."""
        return [column.name for column in self.columns if column.readable]


@dataclass(frozen=True, slots=True)
class Link:
    """A column that leads to a row of another table."""

    column: str
    table: str
    key: str


_RELATIONS = """
SELECT c.relname::text, ARRAY(
           SELECT a.attname::text
           FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
           WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum),
       has_table_privilege(%(role)s, c.oid, 'DELETE'),
       (SELECT jsonb_agg(jsonb_build_object(
           'name', a.attname, 'given', a.attidentity = '' AND a.attgenerated = '',
           'readable', has_column_privilege(%(role)s, c.oid, a.attnum, 'SELECT'),
           'insertable', has_column_privilege(%(role)s, c.oid, a.attnum, 'INSERT'),
           'updatable', has_column_privilege(%(role)s, c.oid, a.attnum, 'UPDATE')) ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
ORDER BY c.relname
"""
_LINKS = """
SELECT t.relname::text, a.attname::text, f.relname::text, b.attname::text
FROM pg_constraint n JOIN pg_class t ON t.oid = n.conrelid JOIN pg_class f ON f.oid = n.confrelid
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = n.conkey[1]
JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = n.confkey[1]
WHERE n.contype = 'f' AND cardinality(n.conkey) = 1 AND t.relnamespace = 'public'::regnamespace
"""
_BY_NAME = {
    "kit_id": ("kits", "kit_id"),
    "kit": ("kits", "kit"),
    "component_id": ("components", "component_id"),
    "placement_id": ("placements", "placement_id"),
    "organisation": ("organisations", "slug"),
    "incident": ("incidents", "incident_id"),
    "user_id": ("users", "user_id"),
    "audit_id": ("audit", "audit_id"),
}
"""What columns without a foreign key (in views, in history) lead to."""
_OTHERWISE = {
    "incidents": "EXISTS (SELECT FROM incident_members m JOIN kits k USING (kit_id)"
    " WHERE m.incident_id = {row}.incident_id AND k.organisation_id = ANY (%(who)s))",
    "grafana_incidents": "EXISTS (SELECT FROM incident_members m JOIN kits k USING (kit_id)"
    " WHERE m.incident_id = {row}.id AND k.organisation_id = ANY (%(who)s))",
    "idempotency_keys": "EXISTS (SELECT FROM tokens t WHERE {row}.principal = 'token:' || t.token_id"
    " AND t.organisation_id = ANY (%(who)s))",
}
"""Whose a row is where no column of it tells."""


class Catalogue:
    """The relations of a database as one database role meets them."""

    def __init__(self, connection: Connection, role: str) -> None:
        self._connection = connection
        self._role = role

    @cached_property
    def relations(self) -> dict[str, Relation]:
        """All tables and views by name."""
        found = self._connection.execute(_RELATIONS, {"role": self._role}).fetchall()
        return {
            name: Relation(name, tuple(Column(**column) for column in columns), tuple(key), deletable)
            for name, key, deletable, columns in found
        }

    @cached_property
    def links(self) -> dict[str, list[Link]]:
        """What each relation's columns lead to."""
        found: dict[str, list[Link]] = {name: [] for name in self.relations}
        for table, column, target, key in self._connection.execute(_LINKS).fetchall():
            found[table].append(Link(column, target, key))
        for name, links in found.items():
            told = {link.column for link in links}
            for column in sorted(self.relations[name].names() - told):
                if column in _BY_NAME and _BY_NAME[column][0] != name:
                    links.append(Link(column, *_BY_NAME[column]))
        return found

    def ownership(self, name: str, row: str = "r", seen: tuple[str, ...] = ()) -> str | None:
        """The condition under which a row is one of `%(who)s`; None where nothing leads to an organisation."""
        if name in _OTHERWISE:
            return _OTHERWISE[name].format(row=row)
        whose = [column for column in ("organisation_id", "owner_id") if column in self.relations[name].names()]
        direct = [f"{row}.{column} = ANY (%(who)s)" for column in whose]
        led = [part for link in self.links[name] if (part := self._through(link, row, (*seen, name)))]
        if not direct:
            return f"({' OR '.join(led)})" if led else None
        nobodys = " AND ".join(f"{row}.{column} IS NULL" for column in whose)
        return f"({' OR '.join(direct)}" + (f" OR {nobodys} AND ({' OR '.join(led)}))" if led else ")")

    def _through(self, link: Link, row: str, seen: tuple[str, ...]) -> str | None:
        if link.table in seen or link.column in ("organisation_id", "owner_id") or link.column.startswith("operator"):
            return None
        alias = f"t{len(seen)}"
        inner = self.ownership(link.table, alias, seen)
        if inner is None:
            return None
        return f"EXISTS (SELECT FROM {link.table} {alias} WHERE {alias}.{link.key} = {row}.{link.column} AND {inner})"

    def owned(self, name: str, who: Iterable[int], columns: Iterable[str] | None = None) -> list[str]:
        """The rows of organisations, as JSON of the columns that the role reads (or of those given)."""
        condition = self.ownership(name)
        assert condition is not None, f"{name}: nothing leads from a row to an organisation"
        chosen = self.relations[name].readable if columns is None else list(columns)
        query = f"SELECT {_json('r', chosen)} FROM {name} r WHERE {condition}"
        return [text for (text,) in self._connection.execute(query.encode(), {"who": list(who)}).fetchall()]

    def shown(self, name: str) -> list[str]:
        """What the present reader gets of a relation, in the same form."""
        query = f"SELECT {_json('r', self.relations[name].readable)} FROM {name} r"
        return [text for (text,) in self._connection.execute(query.encode()).fetchall()]


def _json(row: str, columns: Iterable[str]) -> str:
    return "jsonb_build_array(" + ", ".join(f"{row}.{column}" for column in columns) + ")::text"


@contextmanager
def reading(connection: Connection, scope: str | None, principal: str = "") -> Iterator[None]:
    """As the API in a transaction with a scope (None: none was set), which leaves nothing."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL ROLE fleet_api")
        if scope is not None:
            settings = {"scope": scope, "principal": principal}
            connection.execute(
                "SELECT set_config('fleet.scope', %(scope)s, true), set_config('fleet.principal', %(principal)s, true)",
                settings,
            )
        yield


def rows_of(connection: Connection, name: str, condition: str, who: Iterable[int]) -> list[dict[str, Any]]:
    """A few whole rows that fulfil a condition."""
    query = f"SELECT to_jsonb(r)::text FROM {name} r WHERE {condition} LIMIT 5"
    return [json.loads(text) for (text,) in connection.execute(query.encode(), {"who": list(who)}).fetchall()]
