"""Label sheets: one layout in millimetres, drawn as printable HTML and as PDF. Pure.

The QR code of a label holds the id itself (a kit's id, a component's asset tag or serial number), not an address: it
stays true when the server moves, and every scanner reads it. What stands beside it says nothing of a citizen.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

import pydyf
import segno
from markupsafe import escape

from fleet.state.labels import Label

PADDING_MM = 2.0
QUIET_MODULES = 4
"""White around a code that scanners need (ISO/IEC 18004)."""
TEXT_HEIGHT_MM = 18.0
"""Of all lines of a label, which stand in its middle: printers leave the edges of a sheet white."""
MM_PER_INCH, POINTS_PER_INCH = 25.4, 72
_WIDTH_OF_HEIGHT = 0.56
"""Width of an average character of Helvetica, by its size."""


class SheetName(StrEnum):
    """What is printed on."""

    A4_3X8 = "a4-3x8"
    A4_2X7 = "a4-2x7"
    ROLL_62 = "roll-62"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The geometry of a page of labels, in millimetres from its upper left corner; pitches go from label to label."""

    width: float
    height: float
    columns: int
    rows: int
    label_width: float
    label_height: float
    left: float = 0
    top: float = 0
    pitch_x: float = 0
    pitch_y: float = 0

    @property
    def per_page(self) -> int:
        """Labels on one page."""
        return self.columns * self.rows


SHEETS = {
    # 24 labels of 70 by 37 mm without gaps (for example Avery 3474).
    SheetName.A4_3X8: Sheet(210, 297, 3, 8, 70, 37, left=0, top=0.5, pitch_x=70, pitch_y=37),
    # 14 labels of 99.1 by 38.1 mm (for example Avery L7163).
    SheetName.A4_2X7: Sheet(210, 297, 2, 7, 99.1, 38.1, left=4.65, top=15.15, pitch_x=101.6, pitch_y=38.1),
    # A continuous roll of 62 mm: one label after the other.
    SheetName.ROLL_62: Sheet(62, 29, 1, 1, 62, 29),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """Dark modules of a code side by side, as a rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; x and y are where its base line begins."""

    x: float
    y: float
    size: float
    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What is drawn on one page; `codes` are the texts of its QR codes."""

    codes: tuple[str, ...]
    bars: tuple[Bar, ...]
    texts: tuple[Text, ...]


def pages(labels: Sequence[Label], sheet: Sheet) -> list[Page]:
    """The labels row by row, page by page."""
    made = []
    for begin in range(0, len(labels), sheet.per_page):
        bars: list[Bar] = []
        texts: list[Text] = []
        shown = labels[begin : begin + sheet.per_page]
        for place, label in enumerate(shown):
            row, column = divmod(place, sheet.columns)
            x, y = sheet.left + column * sheet.pitch_x, sheet.top + row * sheet.pitch_y
            side = sheet.label_height - 2 * PADDING_MM
            bars += _code(label.code, x + PADDING_MM, y + PADDING_MM, side)
            texts += _texts(label, x + PADDING_MM + side, y, sheet)
        made.append(Page(tuple(label.code for label in shown), tuple(bars), tuple(texts)))
    return made


def _code(text: str, x: float, y: float, side: float) -> Iterator[Bar]:
    matrix = segno.make(text, error="m", micro=False).matrix
    module = side / (len(matrix) + 2 * QUIET_MODULES)
    for row, modules in enumerate(matrix):
        column = 0
        for dark, run in groupby(modules):
            length = len(list(run))
            if dark:
                left, top = x + (QUIET_MODULES + column) * module, y + (QUIET_MODULES + row) * module
                yield Bar(left, top, length * module, module)
            column += length


def _texts(label: Label, x: float, y: float, sheet: Sheet) -> Iterator[Text]:
    room = sheet.label_width - (sheet.label_height - PADDING_MM) - PADDING_MM
    base = y + (sheet.label_height - TEXT_HEIGHT_MM) / 2 + 4.2
    for text, size, bold, leap in (
        (label.title, 4.2, True, 5.2),
        (label.line, 2.9, False, 4.2),
        (label.detail, 2.9, False, 8.4),
        (label.tail, 6.4, True, 0.0),
    ):
        if text:
            yield Text(x, base, size, _fitting(text, size, room), bold)
        base += leap


def _fitting(text: str, size: float, room: float) -> str:
    length = int(room / (size * _WIDTH_OF_HEIGHT))
    return text if len(text) <= length else f"{text[: length - 1]}…"


def style(sheet: Sheet) -> str:
    """The style of a document; a content security policy names it by its hash."""
    return (
        f"@page{{size:{sheet.width}mm {sheet.height}mm;margin:0}}"
        "body{margin:0}svg{display:block;break-after:page}"
        "@media screen{body{background:#888}svg{background:#fff;margin:8px}}"
    )


def html(made: Sequence[Page], sheet: Sheet) -> str:
    """A document that prints in true size."""
    drawn = "\n".join(_svg(page, sheet) for page in made)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Labels</title>'
        f"<style>{style(sheet)}</style></head>\n<body>\n{drawn}\n</body></html>\n"
    )


def _svg(page: Page, sheet: Sheet) -> str:
    path = "".join(f"M{b.x:.3f} {b.y:.3f}h{b.width:.3f}v{b.height:.3f}h-{b.width:.3f}z" for b in page.bars)
    texts = "".join(
        f'<text x="{t.x:.2f}" y="{t.y:.2f}" font-size="{t.size}" font-weight="{"bold" if t.bold else "normal"}">'
        f"{escape(t.text)}</text>"
        for t in page.texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}mm" height="{sheet.height}mm"'
        f' viewBox="0 0 {sheet.width} {sheet.height}" font-family="Helvetica, Arial, sans-serif">'
        f'<path d="{path}" shape-rendering="crispEdges"/>{texts}</svg>'
    )


def pdf(made: Sequence[Page], sheet: Sheet) -> bytes:
    """The same as PDF, in the fonts that every reader has; letters from outside of Western Europe become `?`."""
    document = pydyf.PDF()
    fonts = pydyf.Dictionary({"Plain": _font(document, "Helvetica"), "Bold": _font(document, "Helvetica-Bold")})
    for page in made:
        stream = _stream(page, sheet)
        document.add_object(stream)
        document.add_page(
            pydyf.Dictionary(
                {
                    "Type": "/Page",
                    "Parent": document.pages.reference,
                    "Contents": stream.reference,
                    "Resources": pydyf.Dictionary({"Font": fonts}),
                    "MediaBox": pydyf.Array([0, 0, _points(sheet.width), _points(sheet.height)]),
                }
            )
        )
    written = io.BytesIO()
    document.write(written)
    return written.getvalue()


def _stream(page: Page, sheet: Sheet) -> Any:
    stream = pydyf.Stream(compress=True)
    for bar in page.bars:
        below = sheet.height - bar.y - bar.height
        stream.rectangle(_points(bar.x), _points(below), _points(bar.width), _points(bar.height))
    stream.fill()
    for text in page.texts:
        stream.begin_text()
        stream.set_font_size("Bold" if text.bold else "Plain", _points(text.size))
        stream.move_text_to(_points(text.x), _points(sheet.height - text.y))
        stream.show_text_string(text.text.encode("cp1252", errors="replace"))
        stream.end_text()
    return stream


def _font(document: Any, name: str) -> Any:
    font = pydyf.Dictionary(
        {"Type": "/Font", "Subtype": "/Type1", "BaseFont": f"/{name}", "Encoding": "/WinAnsiEncoding"}
    )
    document.add_object(font)
    return font.reference


def _points(mm: float) -> float:
    return round(mm / MM_PER_INCH * POINTS_PER_INCH, 3)
