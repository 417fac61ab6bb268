"""Values as PostgreSQL's binary COPY wants them, where psycopg's own dumpers cost too much per row.

`timestamptz` travels as a 64-bit count of microseconds since 2000-01-01 UTC and `jsonb` as a version byte and
text (PostgreSQL source, `timestamptz_recv` and `jsonb_recv`), so the columns are declared `int8` and `bytea` to the
copy and the values handed over ready.
"""

from __future__ import annotations

from datetime import UTC, datetime

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def timestamptz(value: datetime) -> int:
    """Microseconds since 2000-01-01 UTC."""
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def jsonb(encoded: bytes) -> bytes:
    """Binary `jsonb` of JSON text."""
    return b"\x01" + encoded
