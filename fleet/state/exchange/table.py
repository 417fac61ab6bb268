"""A CSV file with a header: bytes → lines, each good or bad with its number and reason; pure.

Comma, semicolon (as a Danish spreadsheet writes) and tab separate cells; UTF-8 with or without byte order mark. An
empty cell says nothing: the default for what is new, no change for what is known. The file is read piece by piece.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, Generic, TypeVar

from fleet.errors import InvalidError, UsageError
from fleet.state.exchange.cells import Parser, unguarded

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_LINES = 1_000_000
MAX_CELL = 16 * 1024

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be imported, counted from 1 as an editor shows it, what it is about, and why."""

    line: int
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Table(Generic[L]):
    """What a file of one kind holds.

    `columns` are those known with what reads a cell of each; those of `key` are required. `make` gets the values that
    are not empty, by column, and `line`; what it raises (ValueError, InvalidError) is why the line is bad. A bad line
    is named by `told`, or by its key.
    """

    columns: Mapping[str, Parser]
    key: tuple[str, ...]
    make: Callable[..., L]
    told: tuple[str, ...] = ()


def read_table(table: Table[L], source: bytes | BinaryIO, *, name: str = "file") -> Iterator[L | BadLine]:
    """The lines of a file; raises UsageError when it is no such file at all (header, encoding, size), also later on.

    `source` is read from its beginning and must be able to go back there.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    if file.seek(0, io.SEEK_END) > MAX_FILE_BYTES:
        raise UsageError(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: split it")
    file.seek(0)
    if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{name} is UTF-16: save it as CSV UTF-8")
    file.seek(0)
    rows = _rows(file, name)
    columns = _header(next(rows, None), table, name)
    return _lines(table, columns, rows, name)


Row = tuple[int, list[str]]


def _rows(file: BinaryIO, name: str) -> Iterator[Row]:
    """Records that are not blank with the number of their first line; the header, which may not be blank, first."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader, number = None, 0
    try:
        header = text.readline()
        delimiter = max(",;\t", key=header.count)
        reader = csv.reader(chain([header] if header else [], text), delimiter=delimiter, strict=True)
        while True:
            number = reader.line_num + 1
            cells = next(reader)
            if number == 1 or any(map(str.strip, cells)):
                yield number, cells
    except StopIteration:
        return
    except csv.Error as error:
        raise UsageError(f"{name}, line {number}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name}, line {_undecodable(file)}: not UTF-8; save it as CSV UTF-8") from None
    finally:
        # The file is its owner's to close, who may have done so.
        if not file.closed:
            text.detach()


def _undecodable(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def _header(row: Row | None, table: Table[Any], name: str) -> list[str]:
    columns = [] if row is None else [cell.strip() for cell in row[1]]
    if not any(columns):
        raise UsageError(f"{name} is empty: a header with the column {table.key[0]} is needed")
    for column in columns:
        if column not in table.columns:
            raise UsageError(f"{name}: unknown column {column[:80]!r}; known are {', '.join(table.columns)}")
        if columns.count(column) > 1:
            raise UsageError(f"{name}: column {column} stands twice")
    for column in table.key:
        if column not in columns:
            raise UsageError(f"{name}: the column {column} is missing")
    return columns


def _lines(table: Table[L], columns: list[str], rows: Iterator[Row], name: str) -> Iterator[L | BadLine]:
    for count, (number, cells) in enumerate(rows, 1):
        if count > MAX_LINES:
            raise UsageError(f"{name} has more than {MAX_LINES} lines: split it")
        line = _line(table, columns, cells, number)
        yield line


def _line(table: Table[L], columns: list[str], cells: list[str], number: int) -> L | BadLine:
    texts = {column: unguarded(cell.strip()) for column, cell in zip(columns, cells, strict=False)}
    try:
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise ValueError(f"{len(cells)} cells, the header has {len(columns)}")
        return table.make(**_values(table, texts), line=number)
    except (ValueError, InvalidError) as error:
        told = " ".join(texts.get(column, "")[:80] for column in table.told or table.key)
        return BadLine(number, told.strip(), str(error))


def _values(table: Table[Any], texts: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, text in texts.items():
        if not text:
            continue
        if len(text) > MAX_CELL:
            raise ValueError(f"{column}: at most {MAX_CELL} characters")
        try:
            values[column] = table.columns[column](text)
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from None
    for column in table.key:
        if column not in values:
            raise ValueError(f"{column}: is missing")
    return values
