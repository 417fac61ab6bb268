"""`fleet bench`: measures on servers it starts for itself and prints a table or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from fleet.cli import context


class Part(StrEnum):
    """What can be measured."""

    INGEST = "ingest"
    WORKER = "worker"
    API = "api"
    BOOKS = "books"
    MONTH = "month"
    ALL = "all"


def bench(
    part: Annotated[Part, typer.Argument(help="What to measure.")] = Part.ALL,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=300, help="Length of each ingest measurement.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Ingest rounds; medians are printed.")] = 3,
    kits: Annotated[
        int, typer.Option(min=1_000, max=2_000_000, help="Largest fleet of worker, API and books.")
    ] = 1_000_000,
    month_kits: Annotated[int, typer.Option(min=100, max=100_000, help="Kits of the simulated month.")] = 10_000,
    days: Annotated[int, typer.Option(min=7, max=30, help="Days of the simulated month.")] = 30,
) -> None:
    """Measure ingest, worker, API and books on this machine, and how right the requests of a simulated month are."""
    context.settings("bench")
    figures = _measure(part, seconds, rounds, kits)
    if part in (Part.MONTH, Part.ALL):
        figures["month"] = _month(month_kits, days)
    if as_json:
        print(json.dumps(figures if part is Part.ALL else figures[part.value]))
        return
    for name, values in figures.items():
        print(name)
        for figure, value in _flat(values):
            print(f"  {figure:<36} {value:>16}")


def _measure(part: Part, seconds: float, rounds: int, kits: int) -> dict[str, Any]:
    from fleet.bench import api, books, ingest, worker  # noqa: PLC0415 - each command imports what it runs

    figures: dict[str, Any] = {}
    if part in (Part.INGEST, Part.ALL):
        figures["ingest"] = asdict(ingest.measure(seconds, rounds))
    if part in (Part.WORKER, Part.ALL):
        figures["worker"] = {str(result.kits): asdict(result) for result in worker.measure((20_000, kits))}
    if part in (Part.API, Part.ALL):
        figures["api"] = asdict(api.measure(kits))
    if part in (Part.BOOKS, Part.ALL):
        figures["books"] = asdict(books.measure(kits))
    return figures


def _month(kits: int, days: int) -> dict[str, Any]:
    from fleet.bench import month  # noqa: PLC0415 - each command imports what it runs

    return asdict(month.measure(kits, days))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows
