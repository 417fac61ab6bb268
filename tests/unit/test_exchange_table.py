"""Files of lines: what people's programs really write, every way it can be wrong, and what is written reads back."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import UsageError
from fleet.state.exchange import components, kits, models, placements, table
from fleet.state.exchange.cells import cell, guarded, unguarded
from fleet.state.exchange.kits import KitLine
from fleet.state.exchange.table import BadLine, Table, read_table
from fleet.state.lifecycle import KitState
from fleet.state.texts import bad_text, slug_of


def read(content: bytes, kind: Table[Any] = kits.TABLE, *, name: str = "file") -> tuple[list[Any], list[BadLine]]:
    """The good lines and the bad ones."""
    lines = list(read_table(kind, content, name=name))
    return [each for each in lines if not isinstance(each, BadLine)], [
        each for each in lines if isinstance(each, BadLine)
    ]


def test_all_columns_in_any_order() -> None:
    good, bad = read(
        b"state,kit,label,organisation,kit_type,expected_interval_s,tolerance,wanted_components\n"
        b"installed,K-1,Demo,Aalborg Kommune,copd,600,2.5,os=14;app=4.2.0\n"
    )
    assert bad == []
    assert good == [
        KitLine("K-1", "Demo", "installed", "Aalborg Kommune", "copd", 600, 2.5, {"os": "14", "app": "4.2.0"}, line=2)
    ]


def test_a_danish_excel_file() -> None:
    content = '\ufeffkit;label;tolerance;wanted_components\r\nK-1;"Ærø; øst";1,5;"os=14;app=2"\r\n\r\nK-2;;;\r\n'
    good, bad = read(content.encode())
    assert bad == []
    assert good == [
        KitLine("K-1", "Ærø; øst", tolerance=1.5, wanted_components={"os": "14", "app": "2"}, line=2),
        KitLine("K-2", line=4),
    ]
    content = "manufacturer;model;serial;purchased_on;price;since\r\nMaker;Tab;S-1;31-03-2025;1234,50;01.04.2025\r\n"
    ((piece,), bad) = read(content.encode(), components.TABLE)
    assert (piece.purchased_on, piece.price) == (date(2025, 3, 31), Decimal("1234.50"))
    assert piece.since == datetime(2025, 4, 1, tzinfo=UTC)


def test_lines_are_numbered_as_people_see_them() -> None:
    good, bad = read(b'kit,label\nK 1,a\n"K-2","b\nc"\nK-3,b\n\nK/4,\n')
    assert [(each.line, each.key) for each in bad] == [(2, "K 1"), (3, "K-2"), (7, "K/4")]
    assert [line.line for line in good] == [5]


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        ("kit,label", ",x", "kit: is missing"),
        ("kit", "x" * 65, "is no kit id"),
        ("kit,state", "K-1,sold", "state: 'sold' is none of ordered"),
        ("kit,expected_interval_s", "K-1,5.5", "'5.5' is no whole number"),
        ("kit,expected_interval_s", "K-1,1_0", "'1_0' is no whole number"),
        ("kit,expected_interval_s", "K-1,0", "must be 1 to"),
        ("kit,expected_interval_s", "K-1,99999999999999", "must be 1 to"),
        ("kit,tolerance", "K-1,x", "'x' is no number"),
        ("kit,tolerance", "K-1,nan", "must be 1 to 100"),
        ("kit,tolerance", "K-1,inf", "must be 1 to 100"),
        ("kit,wanted_components", "K-1,app", "'app' is not name=version"),
        ("kit,wanted_components", "K-1,app=1;app=2", "app stands twice"),
        ("kit,wanted_components", "K-1,app=" + "1" * 129, "app has no version"),
        ("kit,organisation", "K-1,///", "no letter or digit"),
        ("kit,label", "K-1," + "x" * 201, "at most 200 characters"),
        ("kit,label", "K-1,a\x01b", "control character"),
        ("kit,label", "K-1,Jens 010203-1234", "civil registration number"),
        ("kit,label", "K-1,a,b", "3 cells, the header has 2"),
        ("kit,label", "K-1," + "x" * 20000, "at most"),
    ],
)
def test_a_bad_line_tells_why(header: str, cells: str, reason: str) -> None:
    good, (bad,) = read(f"{header}\n{cells}\nK-2\n".encode())
    assert reason in bad.reason
    assert bad.line == 2
    assert [line.kit for line in good] == ["K-2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"label\nx\n", "the column kit is missing"),
        (b"kit,colour\n", "unknown column 'colour'"),
        (b"kit,label,label\n", "label stands twice"),
        ("kit\nÅ".encode("utf-16"), "UTF-16"),
        ("kit,label\nK-1,a\nK-2,Ærø\n".encode("cp1252"), "line 3: not UTF-8"),
        (b'kit,label\nK-1,"open\n', "line 2"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(content, name="kits.csv")
    assert reason in str(refused.value)
    assert str(refused.value).startswith("kits.csv")
    assert "\n" not in str(refused.value)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_LINES", 2)
    monkeypatch.setattr(table, "MAX_FILE_BYTES", 50)
    assert len(read(b"kit\nA\nB\n")[0]) == 2
    with pytest.raises(UsageError, match="more than 2 lines"):
        read(b"kit\nA\nB\nC\n")
    with pytest.raises(UsageError, match="split it"):
        read(b"kit\n" + b"x" * 50)


@given(st.binary(max_size=300))
def test_any_bytes_give_lines_or_one_error(content: bytes) -> None:
    try:
        good, _ = read(b"kit,label,tolerance\n" + content)
    except UsageError as refused:
        said = str(refused)
    else:
        said = ""
        assert all(line.label is None or bad_text(line.label) is None for line in good)
    assert "\n" not in said


BAD_PIECES = (
    ("serial", "", "serial: is missing"),
    ("imei", "123456789012345", "imei: has a wrong check digit"),
    ("price", "1.234,50", "is no amount"),
    ("purchased_on", "31-31-2025", "is no date"),
    ("since", "2025-01-01T10:00", "is no time"),
    ("state", "sold", "is none of ordered"),
    ("state", "in_kit", "kit: is missing"),
    ("note", "010203-1234", "civil registration number"),
    ("supplier", "///", "no letter or digit"),
)


@pytest.mark.parametrize(("column", "text", "reason"), BAD_PIECES)
def test_a_bad_component_tells_why(column: str, text: str, reason: str) -> None:
    values = {"manufacturer": "Maker", "model": "Tab", "serial": "S-1", column: text}
    content = f"{','.join(values)}\n" + ",".join(f'"{each}"' for each in values.values()) + "\n"
    _, (bad,) = read(content.encode(), components.TABLE)
    assert reason in bad.reason


def test_a_piece_in_a_kit_is_where_the_kit_is() -> None:
    header = "manufacturer,model,serial,kit,state,location\n"
    _, bad = read(f"{header}M,T,1,K-1,,depot\nM,T,2,K-1,lost,\n".encode(), components.TABLE)
    assert [each.reason.partition(":")[0] for each in bad] == ["location", "state"]


def test_a_reference_is_no_civil_registration_number_and_is_not_told() -> None:
    header = "reference,organisation,kit\n"
    good, bad = read(f"{header}0102031234,nord,K-1\nJens,nord,K-2\nKOL-1,nord,K-3\n".encode(), placements.TABLE)
    assert [line.kit for line in good] == ["K-3"]
    assert [(each.line, each.key) for each in bad] == [(2, "K-1 nord"), (3, "K-2 nord")]
    assert "could be a civil registration number" in bad[0].reason
    assert "could be a name" in bad[1].reason
    assert not any("0102031234" in each.reason or "Jens" in each.reason for each in bad)


def test_models() -> None:
    good, bad = read(b"manufacturer,name,kind,active\nM,T,tablet,nej\nM,U,Tablet,\n", models.TABLE)
    assert good[0].active is False
    assert "kind" in bad[0].reason


def test_the_guide_names_every_column() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    for kind in (models, kits, components, placements):
        line = next(row for row in guide.splitlines() if row.startswith(f"| {kind.__name__.rpartition('.')[2]} |"))
        assert set(re.findall(r"`([a-z_]+)`", line)) == set(kind.TABLE.columns)


@given(st.text(alphabet="=+-@'x1 ", max_size=6))
def test_no_cell_is_a_formula_and_each_reads_back(text: str) -> None:
    written = guarded(text)
    assert not written.startswith(("=", "+", "-", "@"))
    assert unguarded(written) == text


TEXT = st.text(max_size=20).filter(lambda text: bad_text(text) is None and text == text.strip())
NAME = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "kit": st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
                "label": TEXT,
                "state": st.sampled_from([state.value for state in KitState]),
                "organisation": st.none() | st.just("nord"),
                "kit_type": st.none() | TEXT.filter(bool),
                "expected_interval_s": st.integers(1, 5_184_000),
                "tolerance": st.none() | st.floats(1, 100),
                "wanted_components": st.dictionaries(NAME, st.from_regex(r"[0-9.]{1,9}", fullmatch=True), max_size=4),
            }
        ),
        max_size=5,
    )
)
def test_what_is_written_reads_back_the_same(rows: list[dict[str, object]]) -> None:
    names = [
        "kit",
        "label",
        "state",
        "organisation",
        "kit_type",
        "expected_interval_s",
        "tolerance",
        "wanted_components",
    ]
    out = io.StringIO()
    csv.writer(out).writerows([names, *([cell(row[name]) for name in names] for row in rows)])
    good, bad = read(out.getvalue().encode())
    assert bad == []
    for row, line in zip(rows, good, strict=True):
        for name, value in row.items():
            assert (getattr(line, name) or None) == (value or None)


@pytest.mark.parametrize(
    ("text", "slug"),
    [("Aalborg Kommune", "aalborg-kommune"), ("Ærø", "aeroe"), ("  A--B ", "a-b"), ("///", None), ("x" * 80, "x" * 63)],
)
def test_slugs_of_names(text: str, slug: str | None) -> None:
    assert slug_of(text) == slug
