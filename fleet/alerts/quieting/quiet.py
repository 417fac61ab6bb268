"""The step between deciding and writing: what would open is kept quiet where it should be, what flaps stays.

One place for every rule, whoever decided; it takes actions away, gives some a reason, and never adds an opening.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    DropPending,
    HoldPending,
    OpenAlert,
    OpenSubjectAlert,
    SetRecovering,
)
from fleet.alerts.quieting import flapping, store
from fleet.alerts.quieting.flapping import Clearing
from fleet.alerts.quieting.store import About, Cause
from fleet.alerts.quieting.suppress import Opening, Suppression, suppressor
from fleet.alerts.rules import Rule, RuleName

Connection = AsyncConnection[Any]
Beginning = OpenAlert | OpenSubjectAlert | HoldPending


@dataclass(frozen=True, slots=True)
class Quieted:
    """Actions as they are carried out: openings of `reasons` open suppressed, those of `flapping` are marked."""

    actions: Sequence[Action]
    reasons: Mapping[Cause, str] = field(default_factory=dict)
    flapping: frozenset[Cause] = frozenset()


async def quiet(
    connection: Connection, actions: Sequence[Action], rules: Mapping[RuleName, Rule], now: datetime
) -> Quieted:
    """Actions with what keeps some of them quiet; asks nothing when none opens or clears."""
    clearing = await _too_soon(connection, actions, now)
    beginnings = [action for action in actions if isinstance(action, Beginning)]
    found = await _suppressions(connection, beginnings, rules, now)
    withheld = {
        cause: suppression.window_id
        for cause, suppression in found.items()
        if not suppression.opens and suppression.window_id is not None
    }
    # What is about no kit is compared again in seconds, whatever happens.
    deferred = {(about, rule): window for (about, rule), window in withheld.items() if isinstance(about, int)}
    if deferred:
        await store.defer(connection, deferred)
    kept = [each for action in actions for each in _kept(action, withheld, clearing)]
    opened = [(action.kit_id, action.rule.value) for action in kept if isinstance(action, OpenAlert)]
    reasons = {cause: suppression.by for cause, suppression in found.items() if suppression.opens}
    return Quieted(kept, reasons, await _flapping(connection, opened, now))


def _kept(action: Action, withheld: Collection[Cause], clearing: Mapping[int, list[Action]]) -> list[Action]:
    """What becomes of one action; `clearing` tells what happens to alerts that may not clear yet.

    What a window without evaluation withholds begins anew after it.
    """
    if isinstance(action, OpenAlert | HoldPending) and (action.kit_id, action.rule.value) in withheld:
        return [DropPending(action.kit_id, action.rule)]
    if isinstance(action, OpenSubjectAlert) and (action.subject, action.rule.value) in withheld:
        return []
    if isinstance(action, ClearAlert) and action.alert_id in clearing:
        return clearing[action.alert_id]
    return [action]


async def _suppressions(
    connection: Connection, beginnings: Sequence[Beginning], rules: Mapping[RuleName, Rule], now: datetime
) -> dict[Cause, Suppression]:
    if not beginnings:
        return {}
    covers, shelves = await store.standing(connection, map(_about, beginnings), now)
    found = {}
    for each in beginnings:
        about = _about(each)
        reason = suppressor(_opening(each, rules), covers.get(about, ()), shelves.get(about, ()), now)
        if reason is not None:
            found[about, each.rule.value] = reason
    return found


def _about(beginning: Beginning) -> About:
    return beginning.subject if isinstance(beginning, OpenSubjectAlert) else beginning.kit_id


def _opening(beginning: Beginning, rules: Mapping[RuleName, Rule]) -> Opening:
    own = None if isinstance(beginning, HoldPending) else beginning.severity
    severity = own or rules[beginning.rule].severity
    if isinstance(beginning, OpenSubjectAlert):
        return Opening(None, beginning.rule.value, severity, beginning.subject)
    return Opening(beginning.kit_id, beginning.rule.value, severity)


async def _flapping(connection: Connection, opened: Sequence[tuple[int, str]], now: datetime) -> frozenset[Cause]:
    if not opened:
        return frozenset()
    settings = await store.flaps(connection)
    before = await store.opened_lately(connection, opened, settings, now)
    return frozenset(cause for cause in opened if flapping.flaps(before.get(cause, 0), settings[cause[1]]))


async def _too_soon(connection: Connection, actions: Sequence[Action], now: datetime) -> dict[int, list[Action]]:
    """Flapping alerts that would clear too soon, and what happens instead: when they are looked at again is noted."""
    clearing = {
        action.alert_id: action.resolution
        for action in actions
        if isinstance(action, ClearAlert) and action.resolution in flapping.BY_ITSELF
    }
    marked = await store.flapping_among(connection, list(clearing)) if clearing else []
    settings = await store.flaps(connection) if marked else {}
    waiting: dict[int, list[Action]] = {}
    for each in marked:
        asked = Clearing(each.alert_id, True, each.recovering_since, clearing[each.alert_id])
        if flapping.must_wait(asked, settings[each.rule], now):
            due_at = flapping.quiet_at(asked, settings[each.rule], now)
            noted = each.clears_at == due_at
            waiting[each.alert_id] = (
                [] if noted else [SetRecovering(each.alert_id, each.recovering_since or now, due_at)]
            )
    return waiting
