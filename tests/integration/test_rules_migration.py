"""A database of the version before, with rules, alerts and what is pending, comes to the rules of today."""

from __future__ import annotations

import pytest
from alembic import command

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.db import migrate as migrating
from fleet.db.migrate import migrate
from tests.support import execute, rows, value

pytestmark = pytest.mark.storage


def test_what_stands_goes_on_and_every_kit_is_looked_at_once(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), "0002")
    execute(
        empty_database,
        """
        UPDATE rules SET for_s = 90 WHERE rule = 'version_drift';
        INSERT INTO kits (kit, state) SELECT 'K-' || g, 'installed' FROM generate_series(1, 3) g;
        INSERT INTO kit_latest (kit_id) SELECT kit_id FROM kits;
        INSERT INTO pending_alerts (kit_id, rule, since, evidence) VALUES
            (1, 'version_drift', '2026-03-01T00:00Z', '{}');
        INSERT INTO alerts (kit_id, rule, severity, state, opened_at, recovering_since, evidence) VALUES
            (2, 'version_drift', 'minor', 'active', '2026-03-01T00:00Z', '2026-03-02T00:00Z', '{}'),
            (3, 'silent', 'major', 'active', '2026-03-01T00:00Z', NULL, '{}');
        """,
    )
    assert migrate(empty_database) == ("0002", migrating.head())
    assert value(empty_database, "SELECT due_at = '2026-03-01T00:01:30Z' FROM pending_alerts")
    alerts = "SELECT rule, rule_version, clears_at = '2026-03-02T00:00:15Z' FROM alerts ORDER BY alert_id"
    assert rows(empty_database, alerts) == [("version_drift", 0, True), ("silent", None, None)]
    assert value(empty_database, "SELECT for_s FROM rules WHERE rule = 'version_drift'") == 90, "what was set stays"
    assert value(empty_database, "SELECT count(*) FROM rules") == len(CATALOGUE)
    assert value(empty_database, "SELECT laps FROM rule_sweep") == 2
    assert rows(empty_database, "SELECT DISTINCT rule_set FROM kit_latest") == [(0,)]
