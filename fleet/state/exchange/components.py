"""Components into the books: each as its opening balance says it stands, those in a kit with their place in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from fleet.db.queries import load_queries
from fleet.state.exchange import cells
from fleet.state.exchange.importing import Counts, Importer, Run
from fleet.state.exchange.table import BadLine, Table
from fleet.state.lifecycle import HELD, ComponentState
from fleet.state.registry import checks
from fleet.state.registry.checks import FITTING
from fleet.state.texts import bad_kit


@dataclass(frozen=True, slots=True)
class ComponentLine:
    """One component to import; None says nothing.

    Organisations are slugs or names: `organisation` whose it is, `owner` who bought it. `since` is when it came into
    its state. In a kit it is the kit's organisation's, and has no location of its own.
    """

    manufacturer: str
    model: str
    serial: str
    asset_tag: str | None = None
    state: str | None = None
    since: datetime | None = None
    kit: str | None = None
    location: str | None = None
    organisation: str | None = None
    owner: str | None = None
    supplier: str | None = None
    order_line_id: int | None = None
    purchased_on: date | None = None
    price: Decimal | None = None
    currency: str | None = None
    warranty_until: date | None = None
    lessor: str | None = None
    lease_contract: str | None = None
    lease_until: date | None = None
    calibrated_on: date | None = None
    calibration_due: date | None = None
    calibrated_by: str | None = None
    calibration_certificate: str | None = None
    imei: str | None = None
    iccid: str | None = None
    bluetooth_address: str | None = None
    system_id: str | None = None
    firmware: str | None = None
    note: str | None = None
    line: int = 0


def _make(**values: Any) -> ComponentLine:
    made = ComponentLine(**values)
    if made.kit is not None and made.location is not None:
        raise ValueError("location: a piece in a kit is where the kit is")
    if made.kit is not None and made.state is not None and made.state not in HELD:
        raise ValueError(f"state: a piece in a kit is {' or '.join(sorted(HELD))}")
    if made.kit is None and made.state == ComponentState.IN_KIT:
        raise ValueError("kit: is missing, and the state is in_kit")
    if made.calibration_due and made.calibrated_on and made.calibration_due <= made.calibrated_on:
        raise ValueError("calibration_due: must be after the day it was calibrated")
    return made


def _kit(text: str) -> str:
    problem = bad_kit(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def _order_line(text: str) -> int:
    number = cells.whole(text)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


TABLE = Table(
    columns={
        "manufacturer": cells.line,
        "model": cells.line,
        "serial": checks.serial,
        "asset_tag": checks.serial,
        "state": cells.one_of(ComponentState),
        "since": cells.moment,
        "kit": _kit,
        "location": cells.named,
        "organisation": cells.named,
        "owner": cells.named,
        "supplier": cells.named,
        "order_line_id": _order_line,
        "purchased_on": cells.day,
        "price": cells.amount,
        "currency": checks.currency,
        "warranty_until": cells.day,
        "lessor": cells.named,
        "lease_contract": cells.line,
        "lease_until": cells.day,
        "calibrated_on": cells.day,
        "calibration_due": cells.day,
        "calibrated_by": cells.line,
        "calibration_certificate": cells.line,
        "imei": checks.imei,
        "iccid": checks.iccid,
        "bluetooth_address": checks.bluetooth_address,
        "system_id": checks.system_id,
        "firmware": cells.line,
        "note": cells.line,
    },
    key=("manufacturer", "model", "serial"),
    make=_make,
)


class ComponentImporter(Importer[ComponentLine]):
    """A component that is known is left alone, or with `update` described anew; moving it takes a step."""

    kind = "components"
    table: ClassVar[Table[ComponentLine]] = TABLE
    queries = load_queries("fleet.state.exchange", "components.sql")
    staged = ("line", *TABLE.columns)
    organisations = ("organisation", "owner", "supplier", "lessor")
    locations = ("location",)

    def values(self, run: Run) -> dict[str, Any]:
        """Also which kinds have which identities."""
        return {
            "update": run.options.update,
            "makes_names": run.makes_names,
            "imei_kinds": sorted(FITTING["imei"]),
            "iccid_kinds": sorted(FITTING["iccid"]),
        }

    async def enter(self, run: Run) -> Counts:
        """Change what is known, then add what is not, with its opening event, its place and its kit."""
        about = {"actor": run.by.actor, "batch": run.batch}
        updated = await self._update(run) if run.options.update else 0
        await run.do(self.queries, "make_added")
        created = await run.number(self.queries, "insert")
        if created:
            # Statements of their own: the policies of these tables ask for the piece, which must be visible by then.
            await run.do(self.queries, "log_added", **about)
            await run.do(self.queries, "place_added", "bundle_added")
        await run.do(self.queries, "announce")
        return Counts(created, updated)

    async def refused(self, run: Run) -> list[BadLine]:
        """What was not entered, although nothing in sight is against it."""
        return await run.bad(self.queries, "not_entered")

    async def _update(self, run: Run) -> int:
        await run.do(self.queries, "lock_known", "make_change", "analyze_change")
        updated = await run.do(self.queries, "update")
        await run.do(self.queries, "log_changes", actor=run.by.actor, batch=run.batch)
        return updated
