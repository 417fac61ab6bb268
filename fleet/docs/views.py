"""docs/reference/grafana-views.md, from the catalogue of a migrated database and the comments in it."""

from __future__ import annotations

from itertools import groupby

import psycopg

from fleet.db.queries import load_queries
from fleet.docs.markdown import code, document, table

INTRODUCTION = """
Stable views for dashboards and outside checks, readable by the role `fleet_grafana`, which has nothing else. All
times are UTC.
"""
SQL = load_queries("fleet.docs", "views.sql")


def page(database_url: str) -> str:
    """The page."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(SQL["columns"]).fetchall()
    parts = []
    for (view, meaning), rows in groupby(columns, key=lambda row: (row[0], row[1])):
        cells = [(code(column), kind, comment) for _, _, column, kind, comment in rows]
        parts.append(f"## {view}\n\n{meaning}\n\n" + table(("column", "type", "meaning"), cells))
    return document("Views for Grafana", INTRODUCTION, *parts)
