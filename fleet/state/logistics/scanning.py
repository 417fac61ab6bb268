"""Scanning: what is meant by a code on a label, and that it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_value
from fleet.errors import InvalidError
from fleet.state.logistics.stocktakes import Held, hold
from fleet.state.texts import looks_like_cpr

_SQL = load_queries("fleet.state.logistics", "scanning.sql")
MAX_SCANS = 500
MAX_CODE = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kit or a piece that a code may mean, and where the books have it."""

    code: str
    kit_id: int | None
    component_id: int | None
    name: str
    model_id: int | None
    manufacturer: str | None
    model: str | None
    in_kit: str | None
    location: str | None
    state: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What became of a code: `recorded`, `repeated`, `unknown` (recorded as such), `ambiguous` or `refused`.

    An ambiguous one is not noted but asked about: scan the whole number, or name one of the candidates. Refused is what
    nobody knows and may be a civil registration number.
    """

    code: str
    outcome: Literal["recorded", "repeated", "unknown", "ambiguous", "refused"]
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """What was scanned, when and by whom; neither a kit nor a piece when the books do not know it."""

    scan_id: int
    code: str
    kit: str | None
    component_id: int | None
    scanned_at: datetime
    actor: str


async def scan(
    connection: Connection,
    stocktake_id: int,
    codes: Sequence[str],
    *,
    component_ids: Sequence[int] = (),
    kits: Sequence[str] = (),
    by: Principal,
) -> list[Scanned]:
    """Note what is there: codes as scanned, and pieces or kits that somebody pointed at; answers in that order.

    Raises NotFoundError, InvalidError, ConflictError when it is over.
    """
    plain = [_code(each) for each in codes]
    if len(plain) + len(component_ids) + len(kits) > MAX_SCANS:
        raise InvalidError("codes", f"at most {MAX_SCANS} at once")
    async with connection.transaction():
        held = await hold(connection, stocktake_id, "share")
        meant = await _resolve(connection, held, plain)
        answers = [await _note(connection, held, code, meant.get(code, []), by=by) for code in plain]
        for each in await _pointed_at(connection, component_ids, kits):
            answers.append(await _note(connection, held, each.name, [each], by=by))
        return answers


async def scans_of(connection: Connection, stocktake_id: int, *, after: int = 0, limit: int = 100) -> list[Scan]:
    """What was scanned, in that order."""
    values = {"stocktake_id": stocktake_id, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["scans"], values, Scan)


async def _resolve(connection: Connection, held: Held, codes: Sequence[str]) -> dict[str, list[Candidate]]:
    if not codes:
        return {}
    values = {"codes": list(codes), "location_id": held.location_id}
    meant: dict[str, list[Candidate]] = {}
    for each in await fetch_all(connection, _SQL["resolve"], values, Candidate):
        meant.setdefault(each.code, []).append(each)
    return meant


async def _pointed_at(connection: Connection, component_ids: Sequence[int], kits: Sequence[str]) -> list[Candidate]:
    if not component_ids and not kits:
        return []
    values = {"component_ids": list(component_ids), "kits": list(kits)}
    rows = await fetch_all(connection, _SQL["named"], values, Candidate)
    found: dict[int | str, Candidate] = {each.component_id or each.name: each for each in rows}
    asked: list[int | str] = [*component_ids, *kits]
    for name in asked:
        if name not in found:
            raise InvalidError("kits" if isinstance(name, str) else "component_ids", f"there is no {name}")
    return [found[name] for name in asked]


async def _note(connection: Connection, held: Held, code: str, meant: Sequence[Candidate], *, by: Principal) -> Scanned:
    if len(meant) > 1:
        return Scanned(code, "ambiguous", tuple(meant))
    if not meant and looks_like_cpr(code):
        return Scanned(code, "refused")
    found = meant[0] if meant else None
    values = {
        "stocktake_id": held.stocktake_id,
        "organisation_id": held.organisation_id,
        "code": code,
        "kit_id": found and found.kit_id,
        "component_id": found and found.component_id,
        "actor": by.actor,
    }
    new = await fetch_value(connection, _SQL["scan"], values) is not None
    return Scanned(code, ("recorded" if new else "repeated") if found else "unknown", tuple(meant))


def _code(text: str) -> str:
    plain = text.strip()
    if not plain or len(plain) > MAX_CODE:
        raise InvalidError("codes", f"each must be 1 to {MAX_CODE} characters")
    if not plain.isprintable():
        raise InvalidError("codes", "holds a line break or another control character")
    return plain
