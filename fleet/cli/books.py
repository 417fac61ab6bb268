"""`fleet books …`: whether what is current still is what the log says, and making it so."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fleet.cli.database import Connection, with_database
from fleet.errors import ExitCode
from fleet.state.ledger.check import Found, check, rebuild

books_app = typer.Typer(help="The books compared with their log.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SHOWN = 1000
"""Differences that are listed; beyond it they are counted."""


@books_app.command("check")
def books_check(as_json: AsJson = False) -> None:
    """Replay the log of every kit and component and compare; exit 1 when anything differs."""
    report = with_database(_check)
    _tell(report, as_json=as_json)
    if report["differences"]:
        raise typer.Exit(int(ExitCode.FINDING))


@books_app.command("rebuild")
def books_rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be repaired.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store anew what the log says wherever it differs; exit 1 when something could not be repaired."""

    async def work(connection: Connection) -> dict[str, Any]:
        return await _rebuild(connection, dry_run=dry_run)

    report = with_database(work)
    _tell(report, as_json=as_json)
    if report["failed"]:
        raise typer.Exit(int(ExitCode.FINDING))


async def _check(connection: Connection) -> dict[str, Any]:
    started, subjects = time.monotonic(), Counter[str]()
    found: list[Found] = []
    differences = 0
    async for checked in check(connection):
        subjects[checked.kind] += checked.subjects
        differences += len(checked.found)
        found += checked.found[: SHOWN - len(found)]
    return {
        "kits": subjects["kit"],
        "components": subjects["component"],
        "differences": differences,
        "found": [asdict(each) for each in found],
        "duration_s": round(time.monotonic() - started, 3),
    }


async def _rebuild(connection: Connection, *, dry_run: bool) -> dict[str, Any]:
    """Batch by batch: what is found in one is repaired before the next is read, so that nothing piles up."""
    shown: list[Found] = []
    repaired, failed = 0, []
    async for checked in check(connection):
        differing = {(each.kind, each.number) for each in checked.found}
        bad = [each async for each in rebuild(connection, checked.found)] if not dry_run else []
        failed += bad
        repaired += len(differing) - len({(each.kind, each.number) for each in bad})
        shown += checked.found[: SHOWN - len(shown)]
    return {
        "dry_run": dry_run,
        "repaired": repaired,
        "failed": [asdict(each) for each in failed[:SHOWN]],
        "found": [asdict(each) for each in shown],
    }


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, default=str))
        return
    for each in report["found"]:
        print(f"{each['kind']} {each['name']}: {each['detail']}")
    for each in report.get("failed", ()):
        print(f"{each['kind']} {each['name']} was not repaired: {each['detail']}")
    if "kits" in report:
        counted = f"{report['kits']} kits and {report['components']} components checked"
        print(f"{counted}: {report['differences']} differences")
    else:
        verb = "would be repaired" if report["dry_run"] else "repaired"
        print(f"{report['repaired']} {verb}, {len(report['failed'])} not")
