"""The CSV file of kits: bytes → lines, each good or bad with its number and reason; pure.

A header is required. Comma, semicolon (as a Danish Excel writes) and tab separate cells; UTF-8 with or
without byte order mark. An empty cell says nothing: the default for a new kit, no change for a known one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from fleet.errors import UsageError
from fleet.state.kits import bad_value
from fleet.state.texts import slug_of

COLUMNS = (
    "kit",
    "label",
    "state",
    "organisation",
    "kit_type",
    "expected_interval_s",
    "tolerance",
    "wanted_components",
    "owner",
    "location",
)
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_LINES = 2_000_000
MAX_CELL = 16 * 1024


@dataclass(frozen=True, slots=True)
class KitLine:
    """One kit to import; None says nothing. `line` counts from 1.

    `organisation` (whose it is), `owner` (who bought it) and `location` are slugs or names.
    """

    kit: str
    label: str | None = None
    state: str | None = None
    organisation: str | None = None
    kit_type: str | None = None
    expected_interval_s: int | None = None
    tolerance: float | None = None
    wanted_components: dict[str, str] | None = None
    owner: str | None = None
    location: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be imported, and why."""

    line: int
    kit: str
    reason: str


@dataclass(slots=True)
class KitFile:
    """What was read from a file."""

    lines: list[KitLine] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)


def problem(line: KitLine) -> str | None:
    """Why a line cannot be imported, naming the column; None when it can."""
    for f in fields(line):
        reason = bad_value(f.name, getattr(line, f.name)) if f.name != "line" else None
        if reason is not None:
            return f"{f.name}: {reason}"
    for name in ("organisation", "owner", "location"):
        given = getattr(line, name)
        if given is not None and slug_of(given) is None:
            return f"{name}: {given[:80]!r} holds no letter or digit"
    return None


def read_kit_file(content: bytes, *, name: str = "file") -> KitFile:
    """Read a whole file; raises UsageError when it is no such file at all (header, encoding, size)."""
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: split it")
    text = _decode(content, name)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    columns = _header(rows, name)
    result = KitFile()
    for number, cells in _numbered(rows, name):
        read = _read_line(columns, cells, number)
        if isinstance(read, KitLine):
            result.lines.append(read)
        else:
            result.bad.append(read)
        if len(result.lines) + len(result.bad) > MAX_LINES:
            raise UsageError(f"{name} has more than {MAX_LINES} lines: split it")
    return result


def _decode(content: bytes, name: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"{name} is UTF-16: save it as CSV UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}, line {line}: not UTF-8; save it as CSV UTF-8") from None


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _header(rows: Iterator[list[str]], name: str) -> list[str]:
    try:
        columns = [cell.strip() for cell in next(rows)]
    except StopIteration:
        raise UsageError(f"{name} is empty: a header with the column kit is needed") from None
    except csv.Error as error:
        raise UsageError(f"{name}, line 1: {error}") from None
    for column in columns:
        if column not in COLUMNS:
            raise UsageError(f"{name}: unknown column {column!r}; known are {', '.join(COLUMNS)}")
        if columns.count(column) > 1:
            raise UsageError(f"{name}: column {column} stands twice")
    if "kit" not in columns:
        raise UsageError(f"{name}: the column kit is missing")
    return columns


def _numbered(rows: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank with the number of their first line."""
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            # After a broken quote nothing that follows can be trusted.
            raise UsageError(f"{name}, line {number}: {error}") from None
        if any(cell.strip() for cell in cells):
            yield number, cells


def _read_line(columns: list[str], cells: list[str], number: int) -> KitLine | BadLine:
    values: dict[str, Any] = {}
    kit = ""
    try:
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise ValueError(f"{len(cells)} cells, the header has {len(columns)}")
        for column, cell in zip(columns, cells, strict=False):
            text = cell.strip()
            if column == "kit":
                kit = text
            if len(text) > MAX_CELL:
                raise ValueError(f"{column}: at most {MAX_CELL} characters")
            if text:
                values[column] = _PARSERS.get(column, str)(text)
        line = KitLine(**{"kit": "", **values}, line=number)
    except ValueError as error:
        return BadLine(number, kit, str(error))
    reason = problem(line)
    return line if reason is None else BadLine(number, kit, reason)


def _interval(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):  # int() also reads 1_0 and digits of other scripts
        raise ValueError(f"expected_interval_s: {text[:80]!r} is no whole number of seconds")
    return int(text)


def _tolerance(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"tolerance: {text[:80]!r} is no number") from None


def _components(text: str) -> dict[str, str]:
    components: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, version = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not version:
            raise ValueError(f"wanted_components: {part[:80]!r} is not name=version")
        if name in components:
            raise ValueError(f"wanted_components: {name} stands twice")
        components[name] = version
    return components


_PARSERS: dict[str, Callable[[str], Any]] = {
    "expected_interval_s": _interval,
    "tolerance": _tolerance,
    "wanted_components": _components,
}


def write_kit_file(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Lines of a file that `read_kit_file` reads back the same."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        components = ";".join(f"{name}={version}" for name, version in row["wanted_components"].items())
        cells = {**row, "wanted_components": components}
        writer.writerow("" if cells.get(column) is None else cells[column] for column in COLUMNS)
        if buffer.tell() > 2**16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
