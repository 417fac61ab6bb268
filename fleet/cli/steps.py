"""`fleet steps FILE.csv`: hundreds of steps of kits and components, all or none, or each by itself, as over HTTP."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.access.principal import SYSTEM
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, with_database
from fleet.cli.exchange import SHOWN_BAD_LINES, DryRun, File, opened
from fleet.errors import ExitCode, FleetError, UsageError
from fleet.state.exchange import cells
from fleet.state.exchange.table import BadLine, Table, read_table
from fleet.state.ledger import bulk
from fleet.state.ledger.bulk import Item, Outcome
from fleet.state.ledger.steps import ComponentStep, KitStep, Taken
from fleet.state.lifecycle import ComponentState, KitState

MAX_ITEMISED = 20_000
"""Steps of a file where each stands by itself; all or nothing are as many as over HTTP."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A line: a step of a kit or of a component."""

    line: int
    name: str
    subject: str | int
    step: KitStep | ComponentStep


def _make(
    *,
    line: int,
    to: str,
    kit: str | None = None,
    component: int | None = None,
    location: str | None = None,
    reason: str | None = None,
    occurred_at: datetime | None = None,
    override: bool = False,
) -> _Asked:
    more: dict[str, Any] = {
        "location": location,
        "reason": reason,
        "occurred_at": occurred_at,
        "override": override,
    }
    if (kit is None) == (component is None):
        raise ValueError("name a kit or a component")
    if kit is not None:
        return _Asked(line, kit, kit, KitStep(KitState(cells.one_of(KitState)(to)), **more))
    assert component is not None
    step = ComponentStep(ComponentState(cells.one_of(ComponentState)(to)), **more)
    return _Asked(line, f"component {component}", component, step)


TABLE = Table(
    columns={
        "kit": cells.line,
        "component": cells.whole,
        "to": cells.line,
        "location": cells.line,
        "reason": cells.line,
        "occurred_at": cells.moment,
        "override": cells.flag,
    },
    key=("to",),
    make=_make,
    told=("kit", "component"),
)


class _Run:
    """The steps of a file, what became of them, and how far it is."""

    def __init__(self, asked: Sequence[_Asked]) -> None:
        self.asked = asked
        self.items = [Item(index, each.subject, each.step) for index, each in enumerate(asked)]
        self.outcomes: list[Outcome] = []

    async def together(self, connection: Connection, *, itemised: bool, dry_run: bool) -> bool:
        """All of them in one transaction; whether they were kept."""
        how = {"itemised": itemised, "dry_run": dry_run}
        return await bulk.take_together(connection, self.items, by=SYSTEM, tell=self._tell, **how)

    async def by_themselves(self, connection: Connection) -> bool:
        """A few in a transaction, which are stored before the next are tried."""
        for chunk in await bulk.chunks(connection, self.items):
            await bulk.take_together(connection, chunk, by=SYSTEM, tell=self._tell, itemised=True)
        return True

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        done = len(self.outcomes)
        if len(self.items) > bulk.CHUNK and (done % bulk.CHUNK == 0 or done == len(self.items)):
            print(f"{done} of {len(self.items)} tried", file=sys.stderr)


def steps(
    file: File,
    itemised: Annotated[
        bool, typer.Option("--itemised", help="Take those that can be taken; without, all or none.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take the steps of a CSV file: kit or component, to, and location, reason, occurred_at, override.

    Exit 1 when any is refused.
    """
    asked = _read(file, MAX_ITEMISED if itemised else bulk.MAX_ITEMS)
    run = _Run(asked)

    async def work(connection: Connection) -> bool:
        if itemised and not dry_run:
            return await run.by_themselves(connection)
        return await run.together(connection, itemised=itemised, dry_run=dry_run)

    kept = with_database(work)
    refused = _show(run, kept=kept, as_json=as_json)
    if refused:
        raise typer.Exit(int(ExitCode.FINDING))


def _read(file: Path, most: int) -> list[_Asked]:
    """Every line; raises UsageError when there are too many and FleetError when any is bad."""
    good: list[_Asked] = []
    bad: list[BadLine] = []
    with opened(file) as source:
        for each in read_table(TABLE, source, name=str(file)):
            if isinstance(each, BadLine):
                bad.append(each)
            else:
                good.append(each)
            if len(good) > most:
                raise UsageError(f"{file} has more than {most} steps: split it")
    for wrong in bad[:SHOWN_BAD_LINES]:
        print(f"line {wrong.line} ({wrong.key or 'no name'}): {wrong.reason}", file=sys.stderr)
    if bad:
        raise FleetError(f"no step was tried: {len(bad)} bad lines")
    if not good:
        raise UsageError(f"{file} holds no step")
    return good


def _show(run: _Run, *, kept: bool, as_json: bool) -> int:
    """Tell what became of each, and answer how many were refused."""
    found = [_told(run.asked[each.index], each, kept=kept) for each in sorted(run.outcomes, key=lambda o: o.index)]
    counted = Counter(each["outcome"] for each in found)
    if as_json:
        taken, refused = counted["done"], counted["refused"]
        print(json.dumps({"kept": kept, "taken": taken, "refused": refused, "items": found}))
        return refused
    for each in found:
        if each["outcome"] == "refused":
            print(f"line {each['line']} ({each['name']}): {each['detail']}")
    done, possible = counted["done"], counted["possible"]
    print(f"{done} steps taken, {possible} possible and not taken, {counted['refused']} refused")
    return counted["refused"]


def _told(asked: _Asked, outcome: Outcome, *, kept: bool) -> dict[str, Any]:
    about = {"line": asked.line, "name": asked.name, "to": str(asked.step.to)}
    if isinstance(outcome.result, Taken):
        return {**about, "outcome": "done" if kept else "possible"}
    return {**about, "outcome": "refused", "detail": bulk.why(outcome.result)}
