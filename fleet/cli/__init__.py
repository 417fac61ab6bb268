"""The `fleet` command: parses, calls, maps errors to exit codes once."""

from __future__ import annotations

import sys
import traceback

import typer

from fleet.cli import context
from fleet.cli.admin import token_app
from fleet.cli.audit import audit_app
from fleet.cli.bench import bench
from fleet.cli.books import books_app
from fleet.cli.broker import broker_app
from fleet.cli.doctor import doctor
from fleet.cli.erasing import placements_erase
from fleet.cli.exchange import components_app, export, kits_app, models_app, placements_app
from fleet.cli.labels import labels
from fleet.cli.readers import reader_app
from fleet.cli.retention import retention_app
from fleet.cli.roles import api, ingest, migrate, worker
from fleet.cli.steps import steps
from fleet.cli.stock import orders_app, stock_app
from fleet.cli.up import up
from fleet.cli.users import user_app
from fleet.cli.webhooks import webhooks_app
from fleet.errors import ExitCode, FleetError

app = typer.Typer(
    name="fleet",
    help="The server that keeps telemedicine kits working in people's homes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.callback()(context.options)
for command in (up, ingest, worker, api, migrate, doctor, bench, export, labels, steps):
    app.command()(command)
placements_app.command("erase")(placements_erase)
app.add_typer(token_app, name="token")
app.add_typer(user_app, name="user")
app.add_typer(kits_app, name="kits")
app.add_typer(models_app, name="models")
app.add_typer(components_app, name="components")
app.add_typer(placements_app, name="placements")
app.add_typer(books_app, name="books")
app.add_typer(broker_app, name="broker")
app.add_typer(orders_app, name="orders")
app.add_typer(stock_app, name="stock")
app.add_typer(reader_app, name="reader")
app.add_typer(audit_app, name="audit")
app.add_typer(retention_app, name="retention")
app.add_typer(webhooks_app, name="webhooks")


def main() -> None:
    """Entry point: one clear line per error, no traceback unless `--debug`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.FINDING))
    except FleetError as error:
        if context.debug:
            traceback.print_exc()
        print(f"fleet: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
