"""The schema: made once however often and by however many, and told apart from none and from another."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import psycopg
import pytest
from alembic.script import ScriptDirectory

from fleet.db.connect import connect, conninfo
from fleet.db.migrate import MIGRATIONS, head, is_current, migrate
from fleet.errors import UnavailableError
from tests.support import environment, execute, rows, value

pytestmark = pytest.mark.storage


def test_from_nothing_to_this_version_and_then_nothing_to_do(empty_database: str) -> None:
    assert migrate(empty_database) == (None, head())
    tables = rows(empty_database, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    assert {"kits", "kit_latest", "heartbeats", "quarantine", "listening"} <= {name for (name,) in tables}
    assert migrate(empty_database) == (head(), head())
    assert value(empty_database, "SELECT count(*) FROM listening") == 1


def test_several_at_once_make_it_once(empty_database: str) -> None:
    one = [sys.executable, "-m", "fleet", "migrate"]
    running = [
        subprocess.Popen(one, env=environment(database_url=empty_database), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert all(line.endswith(head()) for line in said), said
    assert value(empty_database, "SELECT count(*) FROM listening") == 1
    assert rows(empty_database, "SELECT version_num FROM alembic_version") == [(head(),)]


def test_a_second_database_on_the_server_is_no_matter(empty_database: str, database: str) -> None:
    assert migrate(empty_database) == (None, head())
    assert migrate(database) == (head(), head())


def test_a_step_that_fails_leaves_nothing(empty_database: str) -> None:
    execute(empty_database, "CREATE TABLE quarantine (other integer)")
    with pytest.raises(Exception, match="quarantine"):
        migrate(empty_database)
    assert rows(empty_database, "SELECT to_regclass('kits'), to_regclass('kit_latest')") == [(None, None)]
    execute(empty_database, "DROP TABLE quarantine")
    assert migrate(empty_database)[1] == head()


@pytest.mark.parametrize(
    ("change", "current"),
    [
        ("SELECT 1", True),
        ("UPDATE alembic_version SET version_num = '9999'", False),
        ("DELETE FROM alembic_version", False),
        ("DROP TABLE alembic_version", False),
    ],
)
async def test_whether_the_schema_is_the_one_this_code_needs(database: str, change: str, current: bool) -> None:
    execute(database, change)
    connection = await connect(database, role="test")
    async with connection:
        assert await is_current(connection) is current


def test_the_last_step_is_the_one_that_alembic_finds() -> None:
    assert head() == ScriptDirectory(str(MIGRATIONS)).get_current_head()


async def test_an_empty_database_is_not_current(empty_database: str) -> None:
    connection = await connect(empty_database, role="test")
    async with connection:
        assert await is_current(connection) is False


async def test_a_database_that_is_away_is_one_line() -> None:
    away = "postgresql://u:hidden@127.0.0.1:1/none"
    for attempt in (lambda: asyncio.to_thread(migrate, away), lambda: connect(away, role="test")):
        with pytest.raises(UnavailableError) as caught:
            await attempt()
        assert "\n" not in str(caught.value)
        assert "hidden" not in str(caught.value)


def test_every_session_is_in_utc_and_shows_its_role(database: str) -> None:
    with psycopg.connect(conninfo(f"{database}?options=-c%20search_path%3Dpublic", role="test")) as connection:
        row = connection.execute(
            "SELECT current_setting('timezone'), current_setting('application_name'), current_setting('search_path'),"
            " current_setting('statement_timeout')"
        ).fetchone()
    assert row == ("UTC", "fleet-test", "public", "30s")
