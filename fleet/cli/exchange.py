"""`fleet models|kits|components|placements import`, `fleet export` and `fleet kits export`: files in and out."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from fleet.access.principal import SYSTEM
from fleet.api.exportable import EXPORTS
from fleet.cli.database import Connection, with_database
from fleet.cli.moments import MOMENTS, utc
from fleet.errors import FleetError, UsageError
from fleet.state.exchange.components import ComponentImporter
from fleet.state.exchange.exports import Format, Span, find_kit, note_export, span_of, written
from fleet.state.exchange.importing import Importer, Options, Report, import_lines
from fleet.state.exchange.kits import KitImporter
from fleet.state.exchange.models import ModelImporter
from fleet.state.exchange.placements import PlacementImporter
from fleet.state.exchange.table import MAX_FILE_BYTES, read_table

kits_app = typer.Typer(help="Kits into and out of the books.", no_args_is_help=True)
models_app = typer.Typer(help="Models of tablets, SIMs and peripherals.", no_args_is_help=True)
components_app = typer.Typer(help="Tablets, SIMs and peripherals.", no_args_is_help=True)
placements_app = typer.Typer(help="Which citizen has which kit.", no_args_is_help=True)

SHOWN_BAD_LINES = 50
File = Annotated[Path, typer.Argument(metavar="FILE.csv", help="- reads standard input.", allow_dash=True)]
Out = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Standard output without.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done and what is bad; store nothing.")]
Update = Annotated[bool, typer.Option("--update", help="Change what is in the books.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Import the good lines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@kits_app.command("import")
def kits_import(
    file: File, dry_run: DryRun = False, update: Update = False, skip_bad: SkipBad = False, as_json: AsJson = False
) -> None:
    """Enter kits from a CSV file with a header; nothing is entered when any line is bad."""
    _import(KitImporter(), file, Options(dry_run, update, skip_bad), as_json)


@models_app.command("import")
def models_import(
    file: File, dry_run: DryRun = False, update: Update = False, skip_bad: SkipBad = False, as_json: AsJson = False
) -> None:
    """Enter models from a CSV file with a header; nothing is entered when any line is bad."""
    _import(ModelImporter(), file, Options(dry_run, update, skip_bad), as_json)


@components_app.command("import")
def components_import(
    file: File, dry_run: DryRun = False, update: Update = False, skip_bad: SkipBad = False, as_json: AsJson = False
) -> None:
    """Enter components from a CSV file with a header; `--update` changes what describes them, steps move them."""
    _import(ComponentImporter(), file, Options(dry_run, update, skip_bad), as_json)


@placements_app.command("import")
def placements_import(file: File, dry_run: DryRun = False, skip_bad: SkipBad = False, as_json: AsJson = False) -> None:
    """Enter placements from a CSV file with a header; those of kits in use are active, the others planned."""
    _import(PlacementImporter(), file, Options(dry_run=dry_run, skip_bad=skip_bad), as_json)


@kits_app.command("export")
def kits_export(file: Out = None) -> None:
    """Write all kits as CSV that `import` reads, to FILE or standard output."""
    _export("kits", Format.CSV, None, file)


def export(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(sorted(EXPORTS))}.")],
    file: Out = None,
    *,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.CSV,
    organisation: Annotated[
        str | None, typer.Option(help="Only what is this organisation's; its short name.", show_default=False)
    ] = None,
    kit: Annotated[str | None, typer.Option(help="Of which kit, for heartbeats.", show_default=False)] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=MOMENTS, help="Heartbeats from this time on, UTC.", show_default=False),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=MOMENTS, help="And before this, UTC.", show_default=False)
    ] = None,
) -> None:
    """Write everything of one kind, to FILE or standard output."""
    if kind not in EXPORTS:
        raise UsageError(f"{kind!r} is none of {', '.join(sorted(EXPORTS))}")
    chosen = EXPORTS[kind]
    if chosen.by_span != (kit is not None) or (not chosen.by_span and (since or until)):
        needs = f"{kind} are of one --kit" if chosen.by_span else f"{kind} are of no kit and time alone: leave them out"
        raise UsageError(needs)
    _export(kind, form, organisation, file, None if kit is None else span_of(kit, utc(since), utc(until)))


def _export(kind: str, form: Format, organisation: str | None, file: Path | None, span: Span | None = None) -> None:
    chosen = EXPORTS[kind]
    if organisation is not None and not chosen.by_organisation:
        raise UsageError(f"{kind} are no organisation's: leave --organisation out")

    async def write(connection: Connection, take: Callable[[str], Any]) -> None:
        if span is not None:
            await find_kit(connection, span.kit)
        await note_export(connection, chosen, organisation=organisation)
        async for piece in written(connection, chosen, form, organisation=organisation, span=span):
            take(piece)

    with writing(file) as out:
        with_database(lambda connection: write(connection, out))


@contextmanager
def writing(file: Path | None) -> Iterator[Callable[[str], Any]]:
    """What writes to a file that is there when all of it is, or to standard output."""
    if file is None:
        yield sys.stdout.write
        return
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out.write
        part.replace(file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _import(importer: Importer[Any], file: Path, options: Options, as_json: bool) -> None:
    with opened(file) as source:
        lines = read_table(importer.table, source, name=str(file))

        async def enter(connection: Connection) -> Report:
            return await import_lines(connection, importer, lines, options, by=SYSTEM)

        report = with_database(enter)
    _show_bad(report)
    if as_json:
        print(json.dumps(asdict(report)))
    elif report.done or options.dry_run:
        _show(importer.kind, report)
    if report.bad and not options.skip_bad:
        hint = "would be imported" if options.dry_run else "was imported"
        raise FleetError(f"nothing {hint}: {len(report.bad)} bad lines (--skip-bad imports the others)")


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """A file to read from its beginning, again if needed; `-` is standard input."""
    if str(file) == "-":
        yield io.BytesIO(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    with source:
        if not source.seekable():
            yield io.BytesIO(source.read(MAX_FILE_BYTES + 1))
        else:
            yield source


def _show(kind: str, report: Report) -> None:
    would = "would be " if report.dry_run else ""
    print(
        f"{report.created} {kind} {would}entered, {report.updated} changed, {report.unchanged} as they were,"
        f" {len(report.bad)} lines left out"
    )
    if report.organisations_created:
        print(f"organisations {would}entered: {', '.join(report.organisations_created)}")


def _show_bad(report: Report) -> None:
    for bad in report.bad[:SHOWN_BAD_LINES]:
        print(f"line {bad.line} ({bad.key or 'no name'}): {bad.reason}", file=sys.stderr)
    if len(report.bad) > SHOWN_BAD_LINES:
        print(f"… and {len(report.bad) - SHOWN_BAD_LINES} more bad lines", file=sys.stderr)
