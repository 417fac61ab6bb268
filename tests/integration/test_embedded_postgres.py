"""A PostgreSQL of our own: first use, later uses, crashes and what they leave behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fleet.embedded import postgres
from fleet.embedded.postgres import PostgresServer
from fleet.embedded.process import finish, is_alive, start, wait_for
from fleet.errors import UnavailableError
from tests.support import environment, execute, value


@contextmanager
def serving(server: PostgresServer) -> Iterator[subprocess.Popen[bytes]]:
    process = start(server.command())
    try:
        assert wait_for(server.is_ready, 30)
        yield process
    finally:
        if process.poll() is None:
            finish(process, server.command().stop)


def test_the_first_use_makes_a_durable_server_on_loopback_only(tmp_path: Path) -> None:
    server = postgres.prepare(tmp_path)
    with serving(server):
        assert value(server.url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        assert value(server.url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"
        assert value(server.url, "SELECT current_setting('listen_addresses')") == "127.0.0.1"
        assert value(server.url, "SELECT current_setting('unix_socket_directories')") == ""
        assert value(server.url, "SELECT current_database()::text") == "fleet"
        assert value(server.url, "SELECT lower('ÆØÅ')") == "æøå"
    assert stat.S_IMODE((tmp_path / "postgres.password").stat().st_mode) == 0o600


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    server = postgres.prepare(tmp_path)
    with serving(server), pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(server.password, "wrong"))


def test_data_and_port_are_the_same_in_the_next_run(tmp_path: Path) -> None:
    first = postgres.prepare(tmp_path)
    with serving(first):
        execute(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    second = postgres.prepare(tmp_path)
    with serving(second):
        assert value(second.url, "SELECT answer FROM kept") == 42
    assert second.url == first.url
    assert second.replaced is None


def test_committed_data_survives_the_kill_of_the_server(tmp_path: Path) -> None:
    server = postgres.prepare(tmp_path)
    with serving(server) as process:
        execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait(10)
    again = server.clear()
    with serving(again):
        assert value(again.url, "SELECT answer FROM kept") == 42


def test_a_server_left_over_is_stopped_and_replaced(tmp_path: Path) -> None:
    with serving(postgres.prepare(tmp_path)) as left_over:
        server = postgres.prepare(tmp_path)
        assert left_over.wait(10) == 0
    assert server.replaced == left_over.pid
    with serving(server):
        assert value(server.url, "SELECT 1") == 1


def test_a_living_process_that_got_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    server = postgres.prepare(tmp_path)
    foreign = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        lock = tmp_path / "postgres" / "postmaster.pid"
        lock.write_text(f"{foreign.pid}\n{tmp_path}/postgres\n1\n{server.port}\n\n127.0.0.1\n\nready\n")
        server = postgres.prepare(tmp_path)
        assert server.replaced is None
        assert foreign.poll() is None
        with serving(server):
            assert value(server.url, "SELECT 1") == 1
    finally:
        foreign.communicate(b"\n")


def test_a_busy_port_of_the_last_run_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    first = postgres.prepare(tmp_path / "one")
    with serving(first):
        postgres.prepare(tmp_path / "other")
        (tmp_path / "other" / "ports.json").write_bytes((tmp_path / "one" / "ports.json").read_bytes())
        second = postgres.prepare(tmp_path / "other")
        assert second.port != first.port
        with serving(second):
            assert value(second.url, "SELECT 1") == 1


def test_a_first_use_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    server = postgres.prepare(tmp_path)
    with serving(server):
        assert value(server.url, "SELECT 1") == 1


def test_data_of_another_version_gives_one_clear_line(tmp_path: Path) -> None:
    postgres.prepare(tmp_path)
    (tmp_path / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(UnavailableError, match="was written by PostgreSQL 17, this is 18"):
        postgres.prepare(tmp_path)


def test_a_folder_that_cannot_be_made_gives_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match=r"cannot create the folder .*/file/data: Not a directory"):
        postgres.prepare(tmp_path / "file" / "data")


@pytest.mark.parametrize("mode", ["durable", "temporary"])
def test_the_server_ends_with_its_parent(tmp_path: Path, mode: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path / "data"), mode],
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    assert wait_for(lambda: not is_alive(pid), 10)


_PARENT = """
import sys
from pathlib import Path
from fleet.embedded import postgres
from fleet.embedded.process import start, wait_for
server = postgres.prepare(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
process = start(server.command())
assert wait_for(server.is_ready, 30)
print(process.pid, flush=True)
process.wait()
"""


def test_a_temporary_server_is_gone_afterwards(tmp_path: Path) -> None:
    with postgres.start_temporary(tmp_path) as url:
        assert value(url, "SELECT current_setting('fsync')") == "off"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)


def test_as_root_the_server_runs_as_somebody_else_even_below_a_closed_folder(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    server = postgres.prepare(tmp_path / "closed" / "data")
    with serving(server) as process:
        owner = Path(f"/proc/{process.pid}").stat().st_uid if Path("/proc/self").exists() else os.geteuid()
        assert owner != 0
        assert value(server.url, "SELECT 1") == 1
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o700
