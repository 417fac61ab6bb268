"""`fleet webhooks …`: how what goes out to others fares, trying it, and sending again what was given up."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import OutletView
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, with_database

webhooks_app = typer.Typer(help="What goes out to others: webhooks, mail, connectors.", no_args_is_help=True)

KINDS = ("webhook", "mail", "connector")
MOST = 500

Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `fleet webhooks list` names it.")]


@webhooks_app.command("list")
def webhooks_list(as_json: AsJson = False) -> None:
    """List all receivers with what waits for them and what was given up."""

    async def work(connection: Connection) -> list[OutletView]:
        return [each for kind in KINDS for each in await outlets.list_outlets(connection, kind, limit=MOST)]

    found = with_database(work)
    if as_json:
        print(json.dumps({"items": [asdict(each) for each in found]}, default=str))
        return
    print(f"{'id':>5} {'kind':<10} {'state':<9} {'waits':>6} {'given up':>9}  to")
    for each in found:
        error = f" ({each.last_error})" if each.last_error else ""
        print(
            f"{each.outlet_id:>5} {each.kind:<10} {each.state:<9} {each.pending:>6} {each.dead:>9} "
            f" {each.url or each.address}{error}"
        )


@webhooks_app.command("ping")
def webhooks_ping(id: Id) -> None:
    """Send a test to a webhook; a worker sends it within a second, `fleet webhooks list` tells what came of it."""

    async def work(connection: Connection) -> int:
        return (await outlets.ping(connection, "webhook", id)).delivery_id

    print(f"delivery {with_database(work)} waits to be sent")


@webhooks_app.command("redeliver")
def webhooks_redeliver(id: Id) -> None:
    """Send again what was given up for a webhook, in its order."""

    async def work(connection: Connection) -> int:
        return await outlets.redeliver_all(connection, "webhook", id)

    print(f"{with_database(work)} deliveries are sent again")
