"""What the simulator prints for the books."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from simulator.books import BOOKS, components_csv, placements_csv
from simulator.scenario import load
from simulator.tablet import Tablet

DEMO = load(Path("demo")).with_changes(kits=3)


def rows(text: str) -> list[dict[str, str]]:
    """The lines of a CSV with a header."""
    return list(csv.DictReader(io.StringIO(text)))


def test_the_pieces_are_those_that_the_tablets_report() -> None:
    pieces = rows(components_csv(DEMO))
    for kit in DEMO.kit_ids():
        tablet = Tablet(kit, DEMO, boot_prefix="x", epoch=1e9, start_s=5.0)
        reported = {(device.model, device.serial) for device in tablet.devices}
        in_books = {(row["model"], row["serial"]) for row in pieces if row["kit"] == kit}
        assert reported < in_books
        assert len(in_books) == len(reported) + 2


def test_every_kind_is_printed_the_same_twice_and_identities_are_unique() -> None:
    for printed in BOOKS.values():
        assert printed(DEMO) == printed(DEMO)
    pieces = rows(components_csv(DEMO))
    cards = [row["iccid"] for row in pieces if row["iccid"]]
    assert len(set(cards)) == len(cards) == 3
    assert len({(row["model"], row["serial"]) for row in pieces}) == len(pieces)


def test_only_installed_kits_are_in_homes() -> None:
    assert len(rows(placements_csv(DEMO))) == 3
    assert rows(placements_csv(load(Path("smoke")))) == []
