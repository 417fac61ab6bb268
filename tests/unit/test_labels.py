"""Labels: the codes are those of the standard's encoder, everything stands on its label, and both forms show it."""

from __future__ import annotations

import re
import zlib

import pytest
import segno

from fleet.api.labelling import QUIET_MODULES, SHEETS, Bar, SheetName, html, pages, pdf, style
from fleet.state.labels import Label

LABELS = [Label(f"K-{number:06d}", f"K-{number:06d}", "KOL & hjerte", "", f"{number:04d}") for number in range(30)]


def modules(bars: list[Bar], size: int) -> list[list[int]]:
    """The matrix that the bars of one code draw."""
    left, top = min(bar.x for bar in bars), min(bar.y for bar in bars)
    unit = bars[0].height
    drawn = [[0] * size for _ in range(size)]
    for bar in bars:
        row, column = round((bar.y - top) / unit), round((bar.x - left) / unit)
        for each in range(round(bar.width / unit)):
            drawn[row][column + each] = 1
    return drawn


@pytest.mark.parametrize("name", list(SheetName))
def test_every_label_lies_on_its_sheet_and_its_code_is_right(name: SheetName) -> None:
    sheet = SHEETS[name]
    made = pages(LABELS, sheet)
    assert len(made) == -(-len(LABELS) // sheet.per_page)
    assert [code for page in made for code in page.codes] == [label.code for label in LABELS]
    for page in made:
        for place, code in enumerate(page.codes):
            row, column = divmod(place, sheet.columns)
            x, y = sheet.left + column * sheet.pitch_x, sheet.top + row * sheet.pitch_y
            bars = [
                bar for bar in page.bars if x <= bar.x < x + sheet.label_width and y <= bar.y < y + sheet.label_height
            ]
            wanted = [list(line) for line in segno.make(code, error="m", micro=False).matrix]
            assert modules(bars, len(wanted)) == wanted
            assert min(bar.x for bar in bars) - x >= QUIET_MODULES * bars[0].height
            assert x + sheet.label_width <= sheet.width + 0.01
            assert y + sheet.label_height <= sheet.height + 0.01
    assert sum(len(page.texts) for page in made) == 3 * len(LABELS)


def test_html_prints_in_true_size_and_holds_no_markup_of_others() -> None:
    sheet = SHEETS[SheetName.A4_3X8]
    text = html(pages([Label("K-1", "<b>", "KOL & hjerte", "", "K-1")], sheet), sheet)
    assert "@page{size:210mm 297mm;margin:0}" in style(sheet)
    assert f"<style>{style(sheet)}</style>" in text
    assert 'width="210mm" height="297mm"' in text
    assert "&lt;b&gt;" in text
    assert "KOL &amp; hjerte" in text
    assert "style=" not in text


def test_pdf_draws_the_same() -> None:
    sheet = SHEETS[SheetName.A4_2X7]
    made = pages([*LABELS[:14], Label("Æ-1", "Målepunkt (1) Ж", "", "", "")], sheet)
    written = pdf(made, sheet)
    assert written.startswith(b"%PDF-1.7")
    assert len(re.findall(rb"/Type /Page\b", written)) == 2
    streams = [zlib.decompress(each) for each in re.findall(rb"stream\n(.*?)\nendstream", written, re.DOTALL)]
    assert [stream.count(b" re\n") for stream in streams] == [len(page.bars) for page in made]
    assert rb"(K-000000) Tj" in streams[0]
    assert "(Målepunkt \\(1\\) ?) Tj".encode("cp1252") in streams[1]


def test_what_is_too_long_is_cut() -> None:
    sheet = SHEETS[SheetName.ROLL_62]
    (page,) = pages([Label("K-1", "K" * 64, "", "", "")], sheet)
    assert page.texts[0].text.endswith("…")
