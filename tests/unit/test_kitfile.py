"""The CSV file of kits: what people's programs really write, and every way it can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import UsageError
from fleet.state import kitfile
from fleet.state.kitfile import KitLine, read_kit_file, write_kit_file
from fleet.state.lifecycle import KitState
from fleet.state.texts import bad_text, slug_of


def test_all_columns_in_any_order() -> None:
    read = read_kit_file(
        b"state,kit,label,organisation,kit_type,expected_interval_s,tolerance,wanted_components\n"
        b"installed,K-1,Demo,Aalborg Kommune,copd,600,2.5,os=14;app=4.2.0\n"
    )
    assert read.bad == []
    assert read.lines == [
        KitLine("K-1", "Demo", "installed", "Aalborg Kommune", "copd", 600, 2.5, {"os": "14", "app": "4.2.0"}, line=2)
    ]


def test_a_danish_excel_file() -> None:
    content = '\ufeffkit;label;tolerance;wanted_components\r\nK-1;"Ærø; øst";1,5;"os=14;app=2"\r\n\r\nK-2;;;\r\n'
    read = read_kit_file(content.encode())
    assert read.bad == []
    assert read.lines == [
        KitLine("K-1", "Ærø; øst", tolerance=1.5, wanted_components={"os": "14", "app": "2"}, line=2),
        KitLine("K-2", line=4),
    ]


def test_lines_are_numbered_as_people_see_them() -> None:
    read = read_kit_file(b'kit,label\nK 1,a\n"K-2","b"\nK-3,b\nK/4,\n')
    assert [(bad.line, bad.kit) for bad in read.bad] == [(2, "K 1"), (5, "K/4")]
    assert [line.line for line in read.lines] == [3, 4]


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        ("kit,label", ",x", "kit: '' is no kit id"),
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
    read = read_kit_file(f"{header}\n{cells}\nK-2\n".encode())
    (bad,) = read.bad
    assert reason in bad.reason
    assert bad.line == 2
    assert [line.kit for line in read.lines] == ["K-2"]


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
        read_kit_file(content, name="kits.csv")
    assert reason in str(refused.value)
    assert str(refused.value).startswith("kits.csv")
    assert "\n" not in str(refused.value)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kitfile, "MAX_LINES", 2)
    monkeypatch.setattr(kitfile, "MAX_FILE_BYTES", 50)
    assert len(read_kit_file(b"kit\nA\nB\n").lines) == 2
    with pytest.raises(UsageError, match="more than 2 lines"):
        read_kit_file(b"kit\nA\nB\nC\n")
    with pytest.raises(UsageError, match="split it"):
        read_kit_file(b"kit\n" + b"x" * 50)


@given(st.binary(max_size=300))
def test_any_bytes_give_lines_or_one_error(content: bytes) -> None:
    try:
        read = read_kit_file(b"kit,label,tolerance\n" + content)
    except UsageError as refused:
        said = str(refused)
    else:
        said = ""
        assert all(kitfile.problem(line) is None for line in read.lines)
    assert "\n" not in said


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
    read = read_kit_file("".join(write_kit_file(rows)).encode())
    assert read.bad == []
    for row, line in zip(rows, read.lines, strict=True):
        for name, value in row.items():
            assert (getattr(line, name) or None) == (value or None)


@pytest.mark.parametrize(
    ("text", "slug"),
    [("Aalborg Kommune", "aalborg-kommune"), ("Ærø", "aeroe"), ("  A--B ", "a-b"), ("///", None), ("x" * 80, "x" * 63)],
)
def test_slugs_of_names(text: str, slug: str | None) -> None:
    assert slug_of(text) == slug
