"""Every kind of export, by name; a part that has something to take out adds its own here."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.state.exchange import exports
from fleet.state.exchange.exports import Export

_SQL = load_queries("fleet.api", "exportable.sql")

_ALL: tuple[Export, ...] = (
    *exports.EXPORTS,
    Export("orders", Permission.ORDERS_READ, _SQL["orders"]),
    Export("repairs", Permission.STOCK_READ, _SQL["repairs"]),
    Export("findings", Permission.FINDINGS_READ, _SQL["findings"]),
    Export("billable-events", Permission.BILLING_READ, _SQL["billable_events"]),
    Export("alerts", Permission.ALERTS_READ, _SQL["alerts"]),
    Export("service-requests", Permission.REQUESTS_READ, _SQL["service_requests"]),
    Export("incidents", Permission.ALERTS_READ, _SQL["incidents"]),
    Export("receipts", Permission.ORDERS_READ, _SQL["receipts"]),
    Export("stock-minimums", Permission.STOCK_READ, _SQL["stock_minimums"]),
    Export("reservations", Permission.STOCK_READ, _SQL["reservations"]),
    Export("stocktakes", Permission.STOCK_READ, _SQL["stocktakes"]),
    Export("commands", Permission.TELEMETRY_READ, _SQL["commands"]),
    Export("service-request-log", Permission.REQUESTS_READ, _SQL["service_request_log"]),
    Export("calls", Permission.CALLS_READ, _SQL["calls"]),
    Export("visits", Permission.VISITS_READ, _SQL["visits"]),
    Export("contracts", Permission.CONTRACTS_READ, _SQL["contracts"]),
    Export("maintenance-windows", Permission.ALERTS_READ, _SQL["maintenance_windows"]),
    Export("rules", Permission.ALERTS_READ, _SQL["rules"]),
    Export("agreements", Permission.ORGANISATIONS_READ, _SQL["agreements"]),
)

EXPORTS: Mapping[str, Export] = {each.kind: each for each in _ALL}
