"""Fixtures: a real PostgreSQL with a migrated template, a real broker, both for this run alone.

`FLEET_TEST_DATABASE_URL` (an administrator's) and `FLEET_TEST_BROKER` (`mosquitto`, `rumqttd`) point the same tests at
other servers; `.ci/run` does.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fleet.config import Settings
from fleet.db.migrate import migrate
from fleet.embedded import broker as embedded_broker
from fleet.embedded import postgres as embedded_postgres
from tests import guarded_broker
from tests.servers import mosquitto
from tests.support import execute, kept_connection

MEMORY = Path("/dev/shm")
MEMORY_WANTED = 2 * 1024**3

_numbers = count(1)

# What only Mosquitto can do is tested where it is installed; the legs on the real things have it.
collect_ignore = [] if mosquitto() else ["integration/test_ingest_secured.py", "faults"]
if not guarded_broker.installed() or os.environ.get("FLEET_TEST_BROKER") == "rumqttd":
    collect_ignore += ["integration/test_credentials_broker.py", "integration/test_credentials_doctor.py"]

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("fleet", deadline=None, print_blob=True)
hypothesis_settings.load_profile("fleet")


LONG = ("test_openapi_fuzz.py", "test_up.py", "test_month.py", "test_outbound_process.py", "test_worker_cut_rules.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process works on it alone in the end; the rest stays as it is shuffled."""
    items.sort(key=lambda item: item.path.name not in LONG)


def url_of(admin_url: str, database: str) -> str:
    """The URL of another database on the same server."""
    parts = conninfo_to_dict(admin_url)
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{database}"


@pytest.fixture(scope="session")
def admin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An administrator's URL on a PostgreSQL of this run's own, or on the one given."""
    given = os.environ.get("FLEET_TEST_DATABASE_URL")
    if given:
        with kept_connection(given):
            yield given
        return
    with _folder(tmp_path_factory) as folder, embedded_postgres.start_temporary(folder) as url:
        _make_logins_cheap(url)
        with kept_connection(url):
            yield url


def _make_logins_cheap(url: str) -> None:
    """Derive the password's key in one round: tests open thousands of connections, and nobody guesses this password."""
    parts = conninfo_to_dict(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(str(parts["user"])), sql.Literal(parts["password"])))


@contextmanager
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the server keeps its files: in memory where there is room, because each test copies a database."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_WANTED:
        with tempfile.TemporaryDirectory(prefix="fleet-test-", dir=MEMORY) as folder:
            Path(folder).chmod(0o755)  # the server runs as a user of its own
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="session")
def template(admin_url: str, worker_id: str) -> Iterator[str | None]:
    """Name of a migrated database to copy; None where copies are not possible (TimescaleDB)."""
    name = f"fleet_template_{os.getpid()}_{worker_id}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
        if row and row[0]:
            yield None
            return
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(url_of(admin_url, name))
    yield name
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(admin_url: str) -> Iterator[str]:
    """URL of a database without a schema."""
    yield from _database(admin_url, None)


@pytest.fixture
def database(admin_url: str, template: str | None) -> Iterator[str]:
    """URL of a migrated, empty database of this test's own."""
    for url in _database(admin_url, template):
        if template is None:
            migrate(url)
        yield url


def _database(admin_url: str, template: str | None) -> Iterator[str]:
    name = f"fleet_test_{os.getpid()}_{next(_numbers)}"
    copied = "" if template is None else f" TEMPLATE {template} STRATEGY FILE_COPY"
    execute(admin_url, f"CREATE DATABASE {name}{copied}")
    url = url_of(admin_url, name)
    try:
        with kept_connection(url):
            yield url
    finally:
        execute(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[embedded_broker.BrokerUrls]:
    """A broker of this test's own."""
    with embedded_broker.start_temporary(tmp_path / "broker", os.environ.get("FLEET_TEST_BROKER", "auto")) as urls:
        yield urls


@pytest.fixture
def settings(database: str, broker: embedded_broker.BrokerUrls, tmp_path: Path) -> Settings:
    """Settings of every role for this test's database and broker."""
    return Settings(
        database_url=database,
        mqtt_url=broker.mqtt5_url,
        data_dir=tmp_path / "data",
        http_port=0,
        secret_key="a key of forty characters for tests only",
    )
