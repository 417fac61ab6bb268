"""Civil registration numbers are seen wherever they stand, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.state.texts import bad_text, could_hide_cpr, looks_like_cpr


@pytest.mark.parametrize(
    "text",
    [
        "0101011234",
        "010101-1234",
        "010101 1234",
        "010101.1234",
        "the citizen is 3112991111, call",
        "K0101011234x",
        "2902004321",
        "6101011234",  # a replacement number: 60 added to the day
        "x-010101-1234-y",
        "010101_1234",
        "010101 - 1234",
        "010101\u20131234",
        "01.01.01-1234",
        "01-01-01 1234",
        "01/01/01-1234",
        "01.01.1990-1234",
        "19900101-1234",
        "1990-01-01 1234",
        "born 010190:1234",
        "010190,1234",
        "010190--1234",
        "01 01 90 12 34",
        "0101 90 1234",
        "13 45 010190-1234",
        "kl. 13.45 010190-1234",
        "55 66 77 88 010190-1234",
        "Tlf. 22 33 44 55, 010190-1234",
        "01/01/901234",
        "\uff10\uff11\uff10\uff11\uff19\uff10-\uff11\uff12\uff13\uff14",  # full width
        "\u0660\u0661\u0660\u0661\u0669\u0660-\u0661\u0662\u0663\u0664",  # Arabic-Indic
    ],
)
def test_numbers_that_could_be_one(text: str) -> None:
    assert looks_like_cpr(text)
    assert bad_text(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "356938035643809",  # an IMEI
        "8945012345678901234",  # an ICCID
        "3202011234",  # no day 32
        "0113011234",  # no month 13
        "3004011",
        "00000000",
        "12345678901",  # eleven digits
        "K-004711",
        "+4512345678",
        "3002991111",  # no 30 February
        "01.02.03.0045",  # a version
        "2026-11-25 18:30:00",
        "+45 12 34 56 78",
        "+45 12 05 56 78 or 31 12 56 78",
        "05.11.26 14:30",
        "05.11.2026 14.30",
        "2026-11-05 - 2026-11-09",
        "delivery note 20261105-0012",
        "35 209900 176148 1",
        "198503120001",  # a serial number that begins with a date
        "10.12.11.250",
    ],
)
def test_numbers_that_cannot_be_one(text: str) -> None:
    assert not looks_like_cpr(text)


@pytest.mark.parametrize(
    "text", ["01.01.01.1234", "0101:01:1234", "a_01_01_01_1234", "P01011990-1234", "01:01:1990:1234", "199001011234"]
)
def test_ids_that_could_hide_one(text: str) -> None:
    assert could_hide_cpr(text)


@pytest.mark.parametrize("text", ["KOL-NORD-8841", "P-2026-000123", "/api/v1/components/4711/history"])
def test_ids_that_hide_none(text: str) -> None:
    assert not could_hide_cpr(text)


@given(st.dates(), st.integers(0, 9999), st.sampled_from(["", "-", " ", "."]), st.text("abc ", max_size=5))
def test_every_date_with_any_four_digits(day, last, sign, around) -> None:  # type: ignore[no-untyped-def]
    assert looks_like_cpr(f"{around}{day:%d%m%y}{sign}{last:04d}{around}")
