"""*Fleet now*, what kits report: versions, pairings, changes, and what could not be taken."""

from __future__ import annotations

from collections.abc import Sequence

from columns import KIT, WHEN
from parts import CHOSEN, CHOSEN_KIT, AnyPanel, Place, Sql, bars, lines, listing


def changes() -> Sequence[AnyPanel]:
    """What the kits report, and what of it changed."""
    versions = f"""
        SELECT component || ' ' || version AS version, count(*) AS kits
        FROM grafana_software s JOIN grafana_kits k USING (kit)
        WHERE k.state = 'installed' AND kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        GROUP BY component, version ORDER BY component, 2 DESC LIMIT 40"""
    pairings = f"""
        SELECT p.kit, p.kind, p.model, p.serial, p.last_contact, p.time AS reported_at
        FROM grafana_peripherals p JOIN grafana_kits k ON k.kit = p.kit AND k.state = 'installed'
        WHERE NOT p.paired AND p.kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        ORDER BY p.last_contact NULLS FIRST LIMIT 500"""
    recent = f"""
        SELECT time, kit, what, subject, before, after FROM grafana_changes
        WHERE $__timeFilter(received_at) AND {CHOSEN_KIT} ORDER BY id DESC LIMIT 200"""
    quarantine = """
        SELECT $__timeGroupAlias(received_at, $__interval), reason AS metric, count(*) AS messages
        FROM grafana_quarantine WHERE $__timeFilter(received_at) GROUP BY 1, 2 ORDER BY 1"""
    return (
        bars(
            "Versions on installed kits",
            "How far each version of each component has spread. More than two of one component: finish the roll-out.",
            Place([Sql(versions)], width=8, height=10),
            "version",
        ),
        listing(
            "Lost pairings",
            "Peripherals that the tablet no longer reaches. Ask for a measurement; else repair the pairing.",
            Place([Sql(pairings)], width=16, height=10),
            {
                "kit": KIT,
                "kind": {"displayName": "Peripheral"},
                "model": {"displayName": "Model"},
                "serial": {"displayName": "Serial number"},
                "last_contact": {"displayName": "Last contact", **WHEN},
                "reported_at": {"displayName": "Reported", **WHEN},
            },
        ),
        listing(
            "Recent changes",
            "Versions and pairings that changed. Many of one kind at once: an update reached the fleet.",
            Place([Sql(recent)], width=12, height=10),
            {
                "time": {"displayName": "When", **WHEN},
                "kit": KIT,
                "what": {"displayName": "What"},
                "subject": {"displayName": "Of"},
                "before": {"displayName": "Before"},
                "after": {"displayName": "After"},
            },
        ),
        lines(
            "Quarantined messages by reason",
            "Messages that could not be taken; they are kept for a look. unknown_kit: a kit is missing from the books."
            " invalid_field or invalid_json: an app version sends what it should not.",
            Place([Sql(quarantine, time_series=True)], width=12, height=10),
            unit="short",
            stacked=True,
        ),
    )
