"""Commands that run one role each."""

from __future__ import annotations

from fleet.cli import context


def ingest() -> None:
    """Take device messages from the broker into the database; further ones stand by."""
    from fleet.ingest import service  # noqa: PLC0415 - each command imports what it runs

    service.run(context.settings("ingest"))


def worker() -> None:
    """Turn state into alerts and service requests; further ones stand by."""
    from fleet.alerts import worker as service  # noqa: PLC0415

    service.run(context.settings("worker"))


def api() -> None:
    """Serve the HTTP API, the console and the events stream."""
    from fleet.api import service  # noqa: PLC0415

    service.run(context.settings("api"))


def migrate() -> None:
    """Bring the database schema to this version."""
    from fleet.db.migrate import migrate as run  # noqa: PLC0415

    before, after = run(context.settings("migrate").dsn())
    print(f"schema {after}" if before == after else f"schema {before or 'empty'} -> {after}")
