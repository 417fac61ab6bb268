"""Models into the books, by manufacturer and name."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from fleet.db.queries import load_queries
from fleet.state.exchange import cells
from fleet.state.exchange.importing import Counts, Importer, Run
from fleet.state.exchange.table import Table
from fleet.state.registry import checks


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model to import; None says nothing. `kind` is needed for a new one and never changes."""

    manufacturer: str
    name: str
    kind: str
    calibration_interval_days: int | None = None
    firmware_source: str | None = None
    expected_firmware: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    photo_url: str | None = None
    active: bool | None = None
    line: int = 0


def _interval(text: str) -> int:
    days = cells.whole(text)
    if not 1 <= days <= 36_500:
        raise ValueError("must be 1 to 36500 days")
    return days


TABLE = Table(
    columns={
        "manufacturer": cells.line,
        "name": cells.line,
        "kind": checks.kind,
        "calibration_interval_days": _interval,
        "firmware_source": cells.line,
        "expected_firmware": cells.line,
        "price": cells.amount,
        "currency": checks.currency,
        "photo_url": cells.line,
        "active": cells.flag,
    },
    key=("manufacturer", "name", "kind"),
    make=ModelLine,
)


class ModelImporter(Importer[ModelLine]):
    """A model that is known is left alone, or with `update` described anew."""

    kind = "models"
    table: ClassVar[Table[ModelLine]] = TABLE
    queries = load_queries("fleet.state.exchange", "models.sql")
    staged = ("line", *TABLE.columns)

    async def enter(self, run: Run) -> Counts:
        """Change what is known, then add what is not."""
        updated = await run.do(self.queries, "update") if run.options.update else 0
        return Counts(created=await run.do(self.queries, "insert"), updated=updated)
