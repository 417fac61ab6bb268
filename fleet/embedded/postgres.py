"""A PostgreSQL of our own: from an empty folder to a server that answers on loopback, as a direct child."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psycopg

from fleet.embedded.accounts import Account, hand_over, service_account
from fleet.embedded.binaries import programs
from fleet.embedded.files import make_folder, secret_in, write_private
from fleet.embedded.leftover import clear_leftover
from fleet.embedded.ports import LOOPBACK, PortBook
from fleet.embedded.process import FOLDER, Command, finish, run, start, wait_for
from fleet.errors import UnavailableError

OWNER = "fleet"
DATABASE = "fleet"

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "autovacuum_naptime": "20s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_cost_limit": "1000",
    "idle_in_transaction_session_timeout": "5min",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "cluster_name": "fleet",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One data folder and how to serve it."""

    data: Path
    programs: Path
    port: int
    password: str
    account: Account | None = None
    durable: bool = True
    replaced: int | None = None
    """Process id of a server left over from an earlier run that was stopped for this one."""

    @property
    def url(self) -> str:
        """The administrator's address of the database."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The administrator's address of some database on this server."""
        return f"postgresql://{OWNER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> Command:
        """Runs the server in the foreground; SIGINT ends sessions and stops it, SIGQUIT stops it at once."""
        settings = _SETTINGS | (_DURABLE if self.durable else _THROW_AWAY) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        quick = ((signal.SIGQUIT, 5.0),)
        return Command(
            (str(self.programs / "postgres"), "-D", FOLDER, *options),
            environment=_plain_language(),
            folder=self.data,
            account=self.account,
            stop=((signal.SIGINT, 20.0), *quick) if self.durable else quick,
            orphaned=signal.SIGINT if self.durable else signal.SIGQUIT,
        )

    def clear(self) -> PostgresServer:
        """Stop what an earlier process left in the folder; call it before every start."""
        return replace(self, replaced=clear_leftover(self.data))

    def is_ready(self) -> bool:
        """Whether it answers; makes the database on first contact."""
        try:
            with psycopg.connect(self.url_of("postgres"), connect_timeout=3, autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if found is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True

    async def wait_ready(self, deadline_s: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Return when it answers; raises UnavailableError at the deadline or when `alive` says no."""
        await asyncio.to_thread(self._await_ready, deadline_s, alive)

    def _await_ready(self, deadline_s: float, alive: Callable[[], bool]) -> None:
        ready = False

        def settled() -> bool:
            nonlocal ready
            ready = self.is_ready()
            return ready or not alive()

        if not wait_for(settled, deadline_s, 0.05):
            raise UnavailableError(f"PostgreSQL in {self.data} did not answer within {deadline_s:.0f} s")
        if not ready:
            raise UnavailableError(f"PostgreSQL in {self.data} ended at start")


def prepare(data_dir: Path, *, durable: bool = True) -> PostgresServer:
    """Make `data_dir/postgres` ready to be served: created on first use, left-overs stopped, port chosen.

    Blocks for about half a second on first use. Raises UnavailableError with one clear line.
    """
    make_folder(data_dir)
    data = data_dir / "postgres"
    account = service_account(data)
    server = PostgresServer(
        data=data,
        programs=programs(account),
        port=0,
        password=secret_in(data_dir / "postgres.password"),
        account=account,
        durable=durable,
    )
    if data.exists():
        _check_version(data)
        server = server.clear()
    else:
        _create(server)
    return replace(server, port=PortBook(data_dir / "ports.json").take("postgres"))


@contextlib.contextmanager
def start_temporary(directory: Path, *, durable: bool = False) -> Iterator[str]:
    """A throw-away server in `directory`: yields its administrator's URL.

    Unless `durable`, it is fast and nothing survives a crash.
    """
    server = prepare(directory, durable=durable)
    with (directory / "postgres.log").open("ab") as log:
        process = start(server.command(), log)
    try:
        server._await_ready(60.0, lambda: process.poll() is None)
        yield server.url
    finally:
        finish(process, server.command().stop)


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != "18":
        raise UnavailableError(
            f"{data} was written by PostgreSQL {found}, this is 18: move it away, or run that version "
            "yourself and set FLEET_DATABASE_URL"
        )


def _create(server: PostgresServer) -> None:
    """Run initdb in a folder beside, which takes its name only when complete."""
    fresh = server.data.with_name("postgres.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    hand_over(fresh, server.account)
    done = _initdb(replace(server, data=fresh))
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UnavailableError(f"initdb in {fresh} failed: {lines[-1] if lines else done.returncode}")
    fresh.rename(server.data)


def _initdb(server: PostgresServer) -> subprocess.CompletedProcess[str]:
    # The builtin provider sorts and folds by itself; libc's locale only has to exist.
    libc = "C.UTF-8" if sys.platform == "linux" else "C"
    secret = server.data.with_name("postgres.password.initdb")
    write_private(secret, server.password + "\n")
    hand_over(secret, server.account)
    argv = (
        str(server.programs / "initdb"), "-D", FOLDER, "-U", OWNER, "-E", "UTF8", "--pwfile=/dev/stdin",
        "--auth-host=scram-sha-256", "--auth-local=scram-sha-256",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--locale={libc}",
        *(() if server.durable else ("--no-sync",)),
    )  # fmt: skip
    command = Command(argv, _plain_language(), folder=server.data, account=server.account)
    try:
        with secret.open() as stdin:
            return run(command, timeout_s=120, stdin=stdin)
    finally:
        secret.unlink()


def _plain_language() -> dict[str, str]:
    return {"LC_ALL": "C", "LANG": "C", "TZ": "UTC"}
