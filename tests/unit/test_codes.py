"""What scanners type: labels, links, and the serial number inside a device's barcode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.state.logistics.codes import MAX_CODE, readings


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (" K-004711 ", ["K-004711"]),
        ("https://fleet.example.dk/kits/K-004711", ["K-004711"]),
        ("https://fleet.example.dk/kits/K%2D1/", ["K-1"]),
        ("(01)05712345678901(21)SC-77", ["(01)05712345678901(21)SC-77", "SC-77"]),
        ("01057123456789011726010121SC-77", ["01057123456789011726010121SC-77", "SC-77"]),
        ("]d2010571234567890110LOT9\x1d21SC-77\x1d17260101", ["SC-77"]),
        ("45712345678901234", ["45712345678901234"]),
        ("two\nlines", []),
        ("", []),
        ("x" * (MAX_CODE + 1), []),
    ],
)
def test_what_may_be_meant(typed: str, meant: list[str]) -> None:
    assert readings(typed) == meant


@given(st.text(max_size=300))
def test_every_text_is_read(typed: str) -> None:
    for reading in readings(typed):
        assert reading == reading.strip()
        assert 0 < len(reading) <= MAX_CODE
        assert reading.isprintable()
