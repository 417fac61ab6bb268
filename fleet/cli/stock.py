"""`fleet stock` and `fleet orders`: what is where, what to order, what is to come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, with_database
from fleet.errors import ExitCode
from fleet.state.logistics import orders, stock

PAGE = 500

stock_app = typer.Typer(help="Stock by model, place and organisation.", no_args_is_help=True)
orders_app = typer.Typer(help="Purchase orders.", no_args_is_help=True)

_WHERE = ("model:<32", "location:<20", "organisation:<16")
_ORDER = ("id:>6", "ordered on:<10", "supplier:<16", "for:<16", "state:<9")

Location = Annotated[str | None, typer.Option(help="Short name of a location.", show_default=False)]
Kind = Annotated[str | None, typer.Option(help="Kind of piece, for example oximeter.", show_default=False)]
Organisation = Annotated[str | None, typer.Option(help="Short name of whose they are.", show_default=False)]


@stock_app.command("show")
def stock_show(
    kind: Kind = None, location: Location = None, organisation: Organisation = None, as_json: AsJson = False
) -> None:
    """Show how many of each model are where, in what condition, and what is to come."""
    chosen: dict[str, Any] = {"kind": kind, "location": location, "organisation": organisation}

    async def read(connection: Connection) -> list[stock.Level]:
        found: list[stock.Level] = []
        after = (0, 0, 0)
        while page := await stock.levels(connection, after=after, limit=PAGE, **chosen):
            found += page
            after = (page[-1].model_id, page[-1].location_key, page[-1].organisation_key)
        return found

    found = with_database(read)
    if as_json:
        _print_json(found, without=("location_key", "organisation_key"))
        return
    _print_table(
        (
            "model:<32",
            "location:<20",
            "organisation:<16",
            "stock:>6",
            "free:>6",
            "away:>6",
            "ordered:>7",
            "expected:<10",
        ),
        [
            (
                _model(each),
                each.location,
                each.organisation,
                each.in_stock,
                each.available,
                each.faulty + each.cleaning + each.calibrating + each.in_repair + each.at_supplier,
                each.on_order,
                each.expected_on,
            )
            for each in found
        ],
    )


@stock_app.command("reorder")
def stock_reorder(
    kind: Kind = None, location: Location = None, organisation: Organisation = None, as_json: AsJson = False
) -> None:
    """Show what falls below its minimum, also when all that is on order has come; ends with 1 when anything does."""
    chosen: dict[str, Any] = {"kind": kind, "location": location, "organisation": organisation}

    async def read(connection: Connection) -> list[stock.Minimum]:
        return await stock.minimums(connection, below=True, limit=stock.MAX_SHORTAGES, **chosen)

    found = with_database(read)
    if as_json:
        _print_json(found)
    elif found:
        _print_table(
            (*_WHERE, "free:>6", "ordered:>7", "minimum:>7", "order:>6"),
            [
                (
                    _model(each),
                    each.location,
                    each.organisation,
                    each.available,
                    each.on_order,
                    each.minimum,
                    each.to_order,
                )
                for each in found
            ],
        )
    else:
        print("nothing falls below its minimum")
    if found:
        raise typer.Exit(ExitCode.FINDING)


@orders_app.command("list")
def orders_list(
    state: Annotated[str | None, typer.Option(help="open, received or cancelled.", show_default=False)] = None,
    organisation: Organisation = None,
    as_json: AsJson = False,
) -> None:
    """Show purchase orders and how much of each has come."""
    chosen: dict[str, Any] = {"state": state, "organisation": organisation}

    async def read(connection: Connection) -> list[orders.Order]:
        found: list[orders.Order] = []
        while page := await orders.list_orders(
            connection, after=found[-1].order_id if found else 0, limit=PAGE, **chosen
        ):
            found += page
        return found

    found = with_database(read)
    if as_json:
        _print_json(found)
        return
    _print_table(
        (
            "id:>6",
            "ordered on:<10",
            "supplier:<16",
            "for:<16",
            "state:<9",
            "received:>13",
            "expected:<10",
            "reference:<1",
        ),
        [
            (
                each.order_id,
                each.ordered_on,
                each.supplier,
                each.organisation,
                each.state,
                f"{each.received} of {each.quantity}",
                each.expected_on,
                each.reference,
            )
            for each in found
        ],
    )


def _model(each: stock.Level | stock.Minimum) -> str:
    return f"{each.manufacturer} {each.model}"[:32]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns are `heading:format`; what there is not is shown as a dash."""
    headings, formats = zip(*(column.split(":") for column in columns), strict=True)
    for row in (headings, *rows):
        cells = [format("-" if cell is None else str(cell), spec) for cell, spec in zip(row, formats, strict=True)]
        print("  ".join(cells).rstrip())


def _print_json(found: Sequence[Any], without: Sequence[str] = ()) -> None:
    items = [{name: value for name, value in asdict(each).items() if name not in without} for each in found]
    print(json.dumps({"items": items}, default=str))
