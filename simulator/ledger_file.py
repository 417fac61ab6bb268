"""The ledger as a file: NDJSON, a header and then one message a line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from fleet.protocol.topics import Kind
from simulator.errors import LedgerError
from simulator.ledger import BadOf, BootOf, Ledger, Owner, ReplyOf, Row, Status
from simulator.report import Spread
from simulator.scenario import Scenario
from simulator.watch import Expected

FORMAT = "simulator-ledger/1"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what is needed to check the ledger again."""

    format: str = FORMAT
    started_at: datetime
    stopped_s: float
    drained: bool
    boot_prefix: str
    topic_root: str
    scenario: Scenario
    expected: list[Expected]
    commit_s: Spread = Spread()


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message; `kind` is absent for a malformed one, which has `topic` and `reason` instead."""

    kit: str
    ts: datetime
    status: Status
    sends: int = 0
    sent_s: float | None = None
    acked_s: float | None = None
    kind: Kind | None = None
    boot: str | None = None
    seq: int = 0
    command: str | None = None
    topic: str | None = None
    reason: str | None = None


def write(path: Path, header: Header, ledger: Ledger) -> None:
    """Write header and messages; raises LedgerError."""
    encoder = msgspec.json.Encoder()
    try:
        with path.open("wb") as file:
            file.write(encoder.encode(header) + b"\n")
            for row in ledger.rows():
                file.write(encoder.encode(_line(row)) + b"\n")
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from None


def read(path: Path) -> tuple[Header, Ledger]:
    """Read a ledger file; raises LedgerError naming the line."""
    number = 1
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(), type=Header)
            if header.format != FORMAT:
                raise LedgerError(f"{path}: format {header.format!r} is not {FORMAT!r}")
            ledger = Ledger(boot_prefix=header.boot_prefix, started_at=header.started_at)
            decoder = msgspec.json.Decoder(Line)
            for number, line in enumerate(file, 2):  # noqa: B007 - names the line in the error
                ledger.restore(_row(decoder.decode(line)))
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}, line {number}: {error}") from None
    return header, ledger


def _line(row: Row) -> Line:
    owner = row.owner
    return Line(
        kit=owner.kit,
        ts=row.ts,
        status=row.status,
        sends=row.sends,
        sent_s=row.sent_s,
        acked_s=row.acked_s,
        kind=row.kind,
        boot=owner.boot if isinstance(owner, BootOf) else None,
        seq=row.seq,
        command=owner.command if isinstance(owner, ReplyOf) else None,
        topic=owner.topic if isinstance(owner, BadOf) else None,
        reason=owner.reason if isinstance(owner, BadOf) else None,
    )


def _row(line: Line) -> Row:
    owner: Owner
    if line.boot is not None:
        owner = BootOf(line.kit, line.boot)
    elif line.command is not None:
        owner = ReplyOf(line.kit, line.command)
    else:
        owner = BadOf(line.kit, line.topic or "", line.reason or "")
    return Row(owner, line.kind, line.seq, line.ts, line.sent_s, line.acked_s, line.sends, line.status)
