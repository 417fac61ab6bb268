"""`fleet audit …`: whether the audit is whole, where its chain ends, and all of it as a file."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from fleet.access import audit, sealing
from fleet.access.audit import Filters, Format, Standing
from fleet.access.chain import MEANINGS, Finding, Head
from fleet.access.sealing import Verified
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, with_database
from fleet.cli.moments import MOMENTS, utc
from fleet.errors import ExitCode, UsageError

audit_app = typer.Typer(help="Who did and saw what, and whether that was tampered with.", no_args_is_help=True)


@audit_app.command("verify")
def audit_verify(
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head noted earlier elsewhere, POSITION:HASH; may be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every line with the chain of hashes; exit 1 when anything does not fit."""
    noted = [_head(text) for text in head or []]
    verified = with_database(lambda connection: sealing.verify(connection, noted))
    if as_json:
        print(json.dumps(_as_json(verified)))
    else:
        _show(verified, noted)
    if verified.report.faults:
        raise typer.Exit(int(ExitCode.FINDING))


@audit_app.command("head")
def audit_head(as_json: AsJson = False) -> None:
    """Print where the chain ends, POSITION:HASH; keep it elsewhere for `verify --head`."""
    standing: Standing = with_database(audit.standing)
    if as_json:
        since = standing.unsealed_since
        told = {
            "head": str(standing.head),
            "unsealed": standing.unsealed,
            "unsealed_since": None if since is None else since.isoformat(),
        }
        print(json.dumps(told))
    else:
        print(standing.head)


@audit_app.command("export")
def audit_export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="- writes to standard output.", allow_dash=True)],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=MOMENTS, help="From this time on, UTC.", show_default=False)
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", formats=MOMENTS, help="Before this time, UTC.", show_default=False),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="One JSON object a line, or CSV.")] = Format.NDJSON,
) -> None:
    """Write every line of the audit to FILE, the oldest first; that it was taken out is noted."""
    filters = Filters(since=utc(since), until=utc(until))
    if str(file) == "-":
        with_database(lambda connection: _write(connection, filters, form, sys.stdout))
        return
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            with_database(lambda connection: _write(connection, filters, form, out))
        part.replace(file)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


async def _write(connection: Connection, filters: Filters, form: Format, out: TextIO) -> None:
    async for piece in audit.export(connection, filters, form):
        out.write(piece)


def _head(text: str) -> Head:
    head = Head.parse(text)
    if head is None:
        raise UsageError(f"--head {text!r} is no POSITION:HASH as `fleet audit head` prints it")
    return head


def _show(verified: Verified, noted: list[Head]) -> None:
    report = verified.report
    for finding in report.findings:
        print(_line(finding))
    if report.faults > len(report.findings):
        print(f"… and {report.faults - len(report.findings)} more")
    first = f" from position {report.first} on" if report.first > 1 else ""
    compared = f", {len(noted)} noted heads compared" if noted else ""
    print(
        f"{report.links} lines{first}, {report.redacted} redacted, {verified.unsealed} not chained yet{compared}:"
        f" {report.faults or 'no'} faults"
    )
    print(f"head {report.head}")


def _line(finding: Finding) -> str:
    place = "without a position" if finding.position is None else f"position {finding.position}"
    line = "" if finding.audit_id is None else f", line {finding.audit_id}"
    return f"{place}{line}: {MEANINGS[finding.fault]}"


def _as_json(verified: Verified) -> dict[str, Any]:
    report = verified.report
    return {
        "faults": report.faults,
        "findings": [
            {"position": each.position, "audit_id": each.audit_id, "fault": each.fault, "meaning": MEANINGS[each.fault]}
            for each in report.findings
        ],
        "head": str(report.head),
        "first": report.first,
        "links": report.links,
        "redacted": report.redacted,
        "unsealed": verified.unsealed,
    }
