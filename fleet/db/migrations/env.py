"""How alembic reaches the database: through psycopg, under an advisory lock, in one transaction."""

from __future__ import annotations

import psycopg
from alembic import context
from sqlalchemy import NullPool, create_engine, text

from fleet.db.connect import conninfo

MIGRATE_LOCK = 7_310_001


def run() -> None:
    """Run the asked-for steps."""
    dsn = conninfo(context.config.attributes["dsn"], role="migrate", statement_timeout_s=None)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATE_LOCK})
        context.configure(connection=connection, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
