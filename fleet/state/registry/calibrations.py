"""Calibrations that were done: each is an event of its piece; one that was passed moves the day until when it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from psycopg.types.json import Jsonb

from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection
from fleet.errors import InvalidError
from fleet.state.registry.checks import checked
from fleet.state.registry.components import Component, due, find_component, locked
from fleet.state.registry.models import find_model

_SQL = load_queries("fleet.state.registry", "components.sql")


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration that was done: when, by which workshop, until when it holds, and how it went."""

    done_on: date
    by: str
    due: date | None = None
    certificate: str | None = None
    result: Literal["pass", "fail"] = "pass"


async def calibrate(connection: Connection, component_id: int, done: Calibration, *, by: Principal) -> Component:
    """Record a calibration; a failed one is kept in the history and changes nothing by itself."""
    values = checked(
        {"calibrated_on": done.done_on, "calibrated_by": done.by, "calibration_certificate": done.certificate}
    )
    async with connection.transaction():
        before = await locked(connection, component_id)
        until = done.due or due(done.done_on, await find_model(connection, before.model_id))
        if until is not None and until <= done.done_on:
            raise InvalidError("due", "must be after the day it was done")
        record = {
            **values,
            "calibrated_on": done.done_on.isoformat(),
            "result": done.result,
            "due": until and until.isoformat(),
        }
        event = {
            "id": component_id,
            "before": None,
            "after": Jsonb({"calibration": record}),
            "actor": by.actor,
            "reason": None,
        }
        await connection.execute(_SQL["log"], event)
        if done.result == "fail":
            return before
        await connection.execute(_SQL["calibrated"], {**values, "due": until, "id": component_id})
        return await find_component(connection, component_id)
