"""What to write so that stored spells become those of a book: pure, and no more than differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from fleet.state.ledger.book import Spell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A spell as a row of a projection."""

    row_id: int
    spell: Spell[T]


@dataclass(frozen=True, slots=True)
class Difference(Generic[T]):
    """Rows to remove, rows whose end changes (those that shrink first), spells to add; to be done in this order.

    In this order no two spells of a subject overlap at any moment, so that the database's constraints hold throughout.
    """

    removed: tuple[int, ...] = ()
    ended: tuple[tuple[int, Spell[T]], ...] = ()
    added: tuple[Spell[T], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.ended or self.added)


def difference(stored: Sequence[Stored[T]], wanted: Iterable[Spell[T]]) -> Difference[T]:
    """How to get from the stored rows of one subject to the wanted spells."""
    begun = {(row.spell.value, row.spell.start): row for row in stored}
    kept: set[int] = set()
    ended, added = [], []
    for spell in wanted:
        row = begun.get((spell.value, spell.start))
        if row is None:
            added.append(spell)
            continue
        kept.add(row.row_id)
        if row.spell.end != spell.end:
            ended.append((row, spell))
    ended.sort(key=lambda each: not _shrinks(each[0].spell.end, each[1].end))
    removed = tuple(row.row_id for row in stored if row.row_id not in kept)
    return Difference(removed, tuple((row.row_id, spell) for row, spell in ended), tuple(added))


def _shrinks(before: datetime | None, after: Any) -> bool:
    return after is not None and (before is None or after < before)
