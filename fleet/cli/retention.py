"""`fleet retention …`: how long data is kept, and removing what is past its time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from fleet.alerts import retention
from fleet.alerts.retention import Policy
from fleet.cli import context
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, actor, with_database

retention_app = typer.Typer(help="How long each kind of data is kept.", no_args_is_help=True)


@retention_app.command("show")
def retention_show(as_json: AsJson = False) -> None:
    """Show every kind of data, how many days it is kept, and when something of it was last removed."""
    found: list[Policy] = with_database(retention.policies)
    if as_json:
        print(json.dumps({"items": [asdict(each) for each in found]}, default=str))
        return
    print(f"{'kind':<22} {'days':>5} {'between':>11}  {'last looked at':<17} removed then")
    for each in found:
        bounds = f"{each.min_days}-{each.max_days}"
        looked = f"{each.last_run_at:%Y-%m-%d %H:%M}" if each.last_run_at else "never"
        print(f"{each.kind:<22} {each.keep_days:>5} {bounds:>11}  {looked:<17} {each.last_removed or 0}")


@retention_app.command("set")
def retention_set(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="As `fleet retention show` names it.")],
    days: Annotated[int, typer.Argument(metavar="DAYS", min=1)],
) -> None:
    """Keep a kind of data for DAYS days from now on; the worker's next hourly run goes by it."""

    async def work(connection: Connection) -> Policy:
        outcome = await retention.set_policy(connection, kind, days)
        assert isinstance(outcome, Policy)
        return outcome

    policy = with_database(work)
    print(f"{policy.kind} is kept for {policy.keep_days} days")


@retention_app.command("run")
def retention_run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove now what is past its time, as the worker does every hour; of the history that are days."""
    dsn = context.settings("admin").dsn()

    async def work(_: Connection) -> dict[str, int]:
        if dry_run:
            return await asyncio.to_thread(retention.due, dsn)
        return await asyncio.to_thread(retention.apply, dsn, actor=actor())

    done = with_database(work)
    if as_json:
        print(json.dumps(done))
        return
    for kind, count in done.items():
        if count:
            print(f"{kind}: {count} {'would be ' if dry_run else ''}removed")
    if not any(done.values()):
        print("nothing is past its time")
