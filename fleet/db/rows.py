"""Reading rows as values: one row, many, or a single value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

T = TypeVar("T")
Connection = AsyncConnection[Any]
Values = Mapping[str, Any]


async def fetch_all(connection: Connection, query: bytes, values: Values, row: type[T]) -> list[T]:
    """Every row as a `row`. Not prepared: optional filters are planned for the values at hand."""
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, values, prepare=False)
        return await cursor.fetchall()


async def fetch_one(connection: Connection, query: bytes, values: Values, row: type[T]) -> T | None:
    """The first row as a `row`; None when there is none."""
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchone()


async def fetch_dicts(connection: Connection, query: bytes, values: Values) -> list[dict[str, Any]]:
    """Every row as a dict. Not prepared, as `fetch_all`."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values, prepare=False)
        return await cursor.fetchall()


async def fetch_value(connection: Connection, query: bytes, values: Values) -> Any:
    """The first column of the first row; None when there is none."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchone()
