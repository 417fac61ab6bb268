"""Change records between two reports of a kit."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.state.reported import Change, What, pairing_changes, software_changes


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, {"os": "14"}, []),
        ({"os": "14"}, {"os": "14"}, []),
        ({"os": "14"}, {"os": "15"}, [("os", "14", "15")]),
        ({"os": "15"}, {"os": "14"}, [("os", "15", "14")]),
        ({}, {"os": "14"}, [("os", None, "14")]),
        ({"os": "14"}, {}, [("os", "14", None)]),
        ({"b": "1", "a": "1"}, {"a": "2", "c": ""}, [("a", "1", "2"), ("b", "1", None), ("c", None, "")]),
    ],
)
def test_software(
    before: dict[str, str] | None, after: dict[str, str], changes: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(software_changes(before, after)) == [Change(What.VERSION, *change) for change in changes]


def peripheral(serial: str = "S", **more: Any) -> dict[str, Any]:
    return {"serial": serial, "kind": "scale", "paired": True} | more


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, [peripheral()], []),
        ([peripheral()], [peripheral()], []),
        ([peripheral(battery=90, rssi=-40)], [peripheral(battery=80, last_contact="2026-03-01T10:00:00Z")], []),
        ([], [peripheral()], [Change(What.PERIPHERAL, "S", None, "scale")]),
        ([peripheral()], [], [Change(What.PERIPHERAL, "S", "scale", None)]),
        ([peripheral()], [peripheral(paired=False)], [Change(What.PAIRING, "S", "paired", "lost")]),
        ([peripheral(paired=False)], [peripheral()], [Change(What.PAIRING, "S", "lost", "paired")]),
        ([peripheral(firmware="1")], [peripheral(firmware="2")], [Change(What.PERIPHERAL_FIRMWARE, "S", "1", "2")]),
        ([peripheral()], [peripheral(firmware="2")], [Change(What.PERIPHERAL_FIRMWARE, "S", None, "2")]),
        (
            [peripheral("B"), peripheral("A", firmware="1")],
            [peripheral("A", firmware="2", paired=False), peripheral("C")],
            [
                Change(What.PAIRING, "A", "paired", "lost"),
                Change(What.PERIPHERAL_FIRMWARE, "A", "1", "2"),
                Change(What.PERIPHERAL, "B", "scale", None),
                Change(What.PERIPHERAL, "C", None, "scale"),
            ],
        ),
        ([peripheral("A"), peripheral("B")], [peripheral("B"), peripheral("A")], []),
    ],
)
def test_pairing(before: list[dict[str, Any]] | None, after: list[dict[str, Any]], changes: list[Change]) -> None:
    assert list(pairing_changes(before, after)) == changes
