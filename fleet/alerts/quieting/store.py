"""What keeps alerts quiet, read from the database and written to it; inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts.quieting import flapping
from fleet.alerts.quieting.flapping import Flap
from fleet.alerts.quieting.suppress import SEVERITIES, Cover, Shelf
from fleet.alerts.silence import LISTENING_STALE_S
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
About = int | str
"""A kit by its number, or what else an alert is about (`location:<slug>`)."""
Cause = tuple[About, str]
"""What an alert is about, and its rule."""

SQL = load_queries("fleet.alerts.quieting", "quieting.sql")
KEEP_OCCURRENCES = timedelta(days=400)
FORGOTTEN_AT_ONCE = 1_000
DOUBTFUL_PER_TICK = 500
"""Suppressed alerts looked at again in one tick, so that a large window ends without a storm."""
DOUBTFUL_SAMPLE = 250
"""About so many of those whose reason stands, where there are very many."""
DEFERRED_PER_TICK = 5_000
YOUNG_INCIDENT = timedelta(minutes=5)
"""As long as a mass event takes over the alerts of its cohort."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A suppressed alert whose reason may be gone; `waiting` is of how many it is."""

    alert_id: int
    kit_id: int | None
    subject: str | None
    rule: str
    severity: str
    suppressed_by: str
    waiting: int

    @property
    def about(self) -> About:
        """The kit, or what else it is about."""
        about = self.subject if self.kit_id is None else self.kit_id
        assert about is not None
        return about


@dataclass(frozen=True, slots=True)
class Belonging:
    """A suppressed alert of a kit that is in the cohort of an open mass event; clock and allowance are the kit's."""

    alert_id: int
    kit_id: int
    rule: str
    incident_id: int
    cohort: str
    heard_clock_s: float | None
    allowance_s: float | None


@dataclass(frozen=True, slots=True)
class Flapping:
    """A flapping alert: since when its condition is gone, and when it is looked at again for that."""

    alert_id: int
    rule: str
    recovering_since: datetime | None
    clears_at: datetime | None


async def covers(connection: Connection, kit_ids: Iterable[int], now: datetime) -> list[Cover]:
    """The maintenance that kits are in."""
    cursor = await connection.execute(SQL["covers"], {"kit_ids": list(kit_ids), "now": now})
    return [
        Cover(kit_id, window_id, collect, None if rules is None else frozenset(rules))
        for kit_id, window_id, collect, rules in await cursor.fetchall()
    ]


async def subject_covers(connection: Connection, subjects: Iterable[str], now: datetime) -> list[Cover]:
    """The maintenance that places and organisations are in."""
    cursor = await connection.execute(SQL["subject_covers"], {"subjects": list(subjects), "now": now})
    return [
        Cover(None, window_id, collect, None if rules is None else frozenset(rules), subject)
        for subject, window_id, collect, rules in await cursor.fetchall()
    ]


async def shelves(
    connection: Connection, kit_ids: Iterable[int], now: datetime, *, subjects: Iterable[str] = ()
) -> list[Shelf]:
    """The shelves that stand for kits, and for what else alerts are about."""
    async with connection.cursor(row_factory=class_row(Shelf)) as cursor:
        await cursor.execute(SQL["shelves"], {"kit_ids": list(kit_ids), "subjects": list(subjects), "now": now})
        return await cursor.fetchall()


async def standing(
    connection: Connection, about: Iterable[About], now: datetime
) -> tuple[Mapping[About, list[Cover]], Mapping[About, list[Shelf]]]:
    """What may keep alerts quiet, by what they are about: maintenance and shelves. Asks only for what is given."""
    about = set(about)
    kit_ids = sorted(each for each in about if isinstance(each, int))
    subjects = sorted(each for each in about if isinstance(each, str))
    found = await covers(connection, kit_ids, now) if kit_ids else []
    found += await subject_covers(connection, subjects, now) if subjects else []
    shelved = await shelves(connection, kit_ids, now, subjects=subjects) if about else []
    by_cover: dict[About, list[Cover]] = {}
    by_shelf: dict[About, list[Shelf]] = {}
    for cover in found:
        by_cover.setdefault(_about(cover), []).append(cover)
    for shelf in shelved:
        by_shelf.setdefault(_about(shelf), []).append(shelf)
    return by_cover, by_shelf


def _about(each: Cover | Shelf) -> About:
    about = each.subject if each.kit_id is None else each.kit_id
    assert about is not None
    return about


async def flaps(connection: Connection) -> dict[str, Flap]:
    """What flapping is, by rule."""
    cursor = await connection.execute(SQL["flaps"])
    return {row[0]: Flap(*row[1:]) for row in await cursor.fetchall()}


async def opened_lately(
    connection: Connection, causes: Sequence[tuple[int, str]], settings: Mapping[str, Flap], now: datetime
) -> dict[tuple[int, str], int]:
    """How often alerts of these causes opened within the window of their rule, and cleared by themselves."""
    values = {
        "kit_ids": [kit_id for kit_id, _ in causes],
        "rules": [rule for _, rule in causes],
        "since": [flapping.since(now, settings[rule]) for _, rule in causes],
        "by_itself": sorted(flapping.BY_ITSELF),
    }
    cursor = await connection.execute(SQL["opened_lately"], values)
    return {(kit_id, rule): count for kit_id, rule, count in await cursor.fetchall()}


async def flapping_among(connection: Connection, alert_ids: Sequence[int]) -> list[Flapping]:
    """The flapping ones among alerts."""
    async with connection.cursor(row_factory=class_row(Flapping)) as cursor:
        await cursor.execute(SQL["flapping_among"], {"alert_ids": list(alert_ids)})
        return await cursor.fetchall()


async def defer(connection: Connection, windows: Mapping[tuple[int, str], int]) -> None:
    """Note kits that are to be judged again when their maintenance is over, each with the window that is on."""
    causes = sorted(windows)
    values = {
        "kit_ids": [kit_id for kit_id, _ in causes],
        "rules": [rule for _, rule in causes],
        "window_ids": [windows[cause] for cause in causes],
    }
    await connection.execute(SQL["defer"], values)


async def judge_again(connection: Connection, now: datetime) -> None:
    """Put kits whose maintenance is over into the queue."""
    await connection.execute(SQL["judge_again"], {"now": now, "limit": DEFERRED_PER_TICK})


async def end_shelves(connection: Connection, now: datetime) -> None:
    """Remove shelves whose time is over."""
    await connection.execute(SQL["end_shelves"], {"now": now})


async def tell_flapping(connection: Connection, alert_ids: Sequence[int], now: datetime) -> None:
    """Say which of these alerts are flapping."""
    await connection.execute(SQL["tell_flapping"], {"alert_ids": list(alert_ids), "now": now})


async def doubtful(connection: Connection, now: datetime) -> list[Doubtful]:
    """Suppressed alerts that hold, to look at again: those whose reason is gone first, and of the others some."""
    values = {
        "now": now,
        "young": now - YOUNG_INCIDENT,
        "severities": list(SEVERITIES),
        "stale_s": LISTENING_STALE_S,
        "sample": DOUBTFUL_SAMPLE,
        "limit": DOUBTFUL_PER_TICK,
    }
    async with connection.cursor(row_factory=class_row(Doubtful)) as cursor:
        await cursor.execute(SQL["doubtful"], values)
        return await cursor.fetchall()


async def rename(connection: Connection, reasons: Mapping[int, str]) -> None:
    """Say by what else alerts are suppressed now."""
    values = {"alert_ids": list(reasons), "reasons": list(reasons.values())}
    await connection.execute(SQL["rename"], values)


async def belonging(connection: Connection, alert_ids: Sequence[int]) -> list[Belonging]:
    """Those of the alerts that are of a mass event that is on, each with its narrowest."""
    async with connection.cursor(row_factory=class_row(Belonging)) as cursor:
        await cursor.execute(SQL["belonging"], {"alert_ids": list(alert_ids)})
        return await cursor.fetchall()


async def heard_lately(connection: Connection, now: datetime) -> int:
    """How many alerts were let be heard within the last minute."""
    cursor = await connection.execute(SQL["heard_lately"], {"after": now - timedelta(minutes=1)})
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def lift(connection: Connection, alert_ids: Sequence[int], now: datetime) -> list[int]:
    """Let alerts be heard; gives those that really were suppressed."""
    cursor = await connection.execute(SQL["lift"], {"alert_ids": list(alert_ids), "now": now})
    return [alert_id for (alert_id,) in await cursor.fetchall()]


async def tell_lifted(connection: Connection, reasons: Mapping[int, str], lifted: Sequence[int], now: datetime) -> None:
    """Say of alerts that they are heard now, and by what they were suppressed."""
    values = {
        "alert_ids": list(reasons),
        "reasons": list(reasons.values()),
        "lifted": list(lifted),
        "now": now,
    }
    await connection.execute(SQL["tell_lifted"], values)


async def forget_occurrences(connection: Connection, now: datetime) -> None:
    """Remove what is so long ago that no silence reaches back to it."""
    values = {"before": now - KEEP_OCCURRENCES, "limit": FORGOTTEN_AT_ONCE}
    await connection.execute(SQL["forget_occurrences"], values)
