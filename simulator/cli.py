"""The `simulator` command: parses, runs, maps errors to exit codes once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from fleet import __version__
from simulator.books import BOOKS
from simulator.errors import LedgerError, ScenarioError, SimulatorError
from simulator.report import Report, to_json, to_table
from simulator.run import Options, check_file, endpoint_of, simulate
from simulator.scenario import SHIPPED, Scenario, load

DONE, FINDING = 0, 1
_show_traceback = False
T = TypeVar("T")

app = typer.Typer(
    name="simulator",
    help="Virtual tablets that hold the fleet server to its promise.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO.toml", help="A file, or a shipped scenario's name.")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", envvar="FLEET_DATABASE_URL", help="PostgreSQL.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Kits = Annotated[int | None, typer.Option(help="Number of kits instead of the scenario's.", show_default=False)]


def _version(value: bool) -> None:
    if value:
        print(f"simulator {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    global _show_traceback  # noqa: PLW0603 - set once, before any command runs
    _show_traceback = debug


@app.command()
def run(
    scenario: ScenarioFile,
    *,
    as_json: AsJson = False,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the scenario's.", show_default=False)] = None,
    mqtt_url: Annotated[
        str | None, typer.Option(envvar="FLEET_MQTT_URL", help="mqtt:// or mqtts:// broker.", show_default=False)
    ] = None,
    database_url: DatabaseUrl = None,
    kits: Kits = None,
    duration: Annotated[float | None, typer.Option(help="Seconds to run.", show_default=False)] = None,
    endless: Annotated[bool, typer.Option("--endless", help="Run until stopped; nothing is checked.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not look at the database.")] = False,
    boot_prefix: Annotated[
        str | None, typer.Option(help="Begins every boot's name; a new one per run by default.", show_default=False)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report here as JSON.", show_default=False)] = None,
    ledger: Annotated[Path | None, typer.Option(help="Write the ledger here as NDJSON.", show_default=False)] = None,
) -> None:
    """Run a scenario and check that the server kept its promise."""
    chosen = load(scenario).with_changes(kits=kits, seed=seed, duration_s=duration, endless=endless or None)
    _writable(report, ledger)
    options = Options(
        endpoint=endpoint_of(_needed("--mqtt-url", "FLEET_MQTT_URL", mqtt_url), **_tls_files()),
        dsn=_database(chosen, database_url, no_check=no_check),
        topic_root=os.environ.get("FLEET_TOPIC_ROOT") or "fleet/v1",
        boot_prefix=boot_prefix,
        ledger_path=ledger,
        progress=True,
    )
    done = _on_loop(lambda stop: simulate(chosen, options, stop=stop))
    _finish(done, as_json=as_json, file=report, quiet=chosen.fleet.endless)


def _prints(kind: str) -> None:
    """A command that prints one kind of the scenario's books."""

    def printed(scenario: ScenarioFile, kits: Kits = None) -> None:
        print(BOOKS[kind](load(scenario).with_changes(kits=kits)), end="")

    printed.__doc__ = f"Print the {kind} as CSV for `fleet {kind} import`."
    app.command(kind)(printed)


for _kind in BOOKS:
    _prints(_kind)


@app.command("check")
def check_again(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="Written by `run --ledger`.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check a saved ledger against the database again."""
    dsn = _needed("--database-url", "FLEET_DATABASE_URL", database_url)
    _finish(check_file(ledger, dsn), as_json=as_json, file=None)


@app.command("scenarios")
def list_scenarios() -> None:
    """List the shipped scenarios."""
    for file in sorted(SHIPPED.glob("*.toml")):
        first = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{file.stem:<14} {first}")


def _needed(option: str, variable: str, value: str | None) -> str:
    if not value:
        raise ScenarioError(f"{variable} is not set: set it or give {option}")
    return value


def _database(scenario: Scenario, url: str | None, *, no_check: bool) -> str | None:
    if scenario.fleet.endless or no_check:
        return None
    if not url:
        raise ScenarioError("FLEET_DATABASE_URL is not set: the ledger is checked against it (or give --no-check)")
    return url


def _tls_files() -> dict[str, Path | None]:
    names = {"ca": "FLEET_MQTT_CA_FILE", "cert": "FLEET_MQTT_CERT_FILE", "key": "FLEET_MQTT_KEY_FILE"}
    return {name: Path(value) if (value := os.environ.get(variable)) else None for name, variable in names.items()}


def _writable(*files: Path | None) -> None:
    """Find out before the run, not after it."""
    for file in files:
        if file is None:
            continue
        try:
            file.open("ab").close()
        except OSError as error:
            raise LedgerError(f"{file}: {error.strerror}") from None


def _finish(report: Report, *, as_json: bool, file: Path | None, quiet: bool = False) -> None:
    if file is not None:
        file.write_text(to_json(report) + "\n", encoding="utf-8")
    if as_json or not quiet:
        print(to_json(report) if as_json else to_table(report))
    raise typer.Exit(DONE if report.passed else FINDING)


def _on_loop(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run on uvloop where there is one; the first SIGINT or SIGTERM ends the run, a second the process."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_signal(work))


async def _until_signal(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    return await work(stop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main() -> None:
    """Entry point: one clear line per error, no traceback unless `--debug`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(FINDING)
    except SimulatorError as error:
        sys.exit(_failed(error))
    except BaseExceptionGroup as group:
        known = group.subgroup(SimulatorError)
        if known is None:
            raise
        sys.exit(_failed(_first(known)))


def _first(group: BaseException) -> SimulatorError:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    assert isinstance(group, SimulatorError)
    return group


def _failed(error: SimulatorError) -> int:
    if _show_traceback:
        traceback.print_exception(error)
    print(f"simulator: {error}", file=sys.stderr)
    return error.exit_code
