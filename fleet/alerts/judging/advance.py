"""From a condition and what stands to what happens next: one step of one rule for one kit. Pure.

Nothing opens before the condition has held for `for_s`, nothing clears before it has been gone for
`keep_firing_for_s`. While we may be wrong (`may_open` is False: nobody listens, we catch up, the kit is silent) what
holds waits as pending and opens nothing. What a kit's last word cannot tell leaves everything as it is. Whatever may
hold an opening back further (flapping, mass events, suppression) takes these actions and only ever makes less of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    DropPending,
    HoldPending,
    OpenAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.judging.facts import Condition, Standing
from fleet.alerts.rules import Resolution, Rule, has_held

SAID_AGAIN = 0.25
"""For this share of `for_s` a tablet says the same after a long pause, before what it said before counts as well."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule found of a kit.

    `watched` tells whether it counts there at all, `may_open` whether it is certain enough for an alert; `settled` is
    why an alert of it ends when the condition is gone. `told_at` is when the kit last said so, None where it need not:
    a tablet that is switched off says nothing more, and what it said before has not lasted since. It is looked at again
    after `again_s` when only that is missing.
    `pauses` are the times for which the tablet was switched off since the condition came, from the last word before to
    the first one after.
    """

    kit_id: int
    condition: Condition | None
    watched: bool
    may_open: bool
    settled: Resolution = Resolution.PROOF
    told_at: datetime | None = None
    again_s: float = 60.0
    pauses: Sequence[tuple[datetime, datetime]] = ()


def advance(judgement: Judgement, standing: Standing, rule: Rule, now: datetime) -> list[Action]:
    """What to do; nothing when all is as it stands."""
    counts = judgement.watched and rule.enabled
    condition = judgement.condition if counts else None
    if condition is not None and condition.untold:
        return _untold(judgement, standing, rule, now)
    if standing.alert_id is None:
        return _without_alert(judgement, condition, standing, rule, now)
    if not counts:
        return [ClearAlert(standing.alert_id, Resolution.NOT_WATCHED if rule.enabled else Resolution.RULE_DISABLED)]
    if condition is not None:
        return _still(condition, standing, standing.alert_id, rule)
    return _gone(judgement.settled, standing, standing.alert_id, rule, now)


def _untold(judgement: Judgement, standing: Standing, rule: Rule, now: datetime) -> list[Action]:
    """All stays as it stands until the kit says more; what is due by now is looked at again."""
    again_at = now + timedelta(seconds=judgement.again_s)
    if standing.pending_since is not None:
        return [HoldPending(judgement.kit_id, rule.rule, standing.pending_since, {}, again_at)]
    due = standing.clears_at is not None and standing.clears_at <= now
    if standing.alert_id is None or standing.recovering_since is None or not due:
        return []
    return [SetRecovering(standing.alert_id, standing.recovering_since, again_at)]


def _without_alert(
    judgement: Judgement, condition: Condition | None, standing: Standing, rule: Rule, now: datetime
) -> list[Action]:
    kit_id = judgement.kit_id
    if condition is None:
        return [] if standing.pending_since is None else [DropPending(kit_id, rule.rule)]
    since = _lasting_since(standing, judgement, rule) or judgement.told_at or now
    if judgement.may_open and has_held(since, judgement.told_at or now, rule.for_s):
        severity = condition.severity or rule.severity
        return [OpenAlert(kit_id, rule.rule, condition.evidence, severity, version=rule.version, line=rule.line)]
    due_at = since + timedelta(seconds=rule.for_s)
    if due_at <= now:
        due_at = now + timedelta(seconds=judgement.again_s)
    return [HoldPending(kit_id, rule.rule, since, condition.evidence, due_at)]


def _lasting_since(standing: Standing, judgement: Judgement, rule: Rule) -> datetime | None:
    """Since when the condition lasts: a pause as long as `for_s` does not count.

    What the tablet said before the pause counts once it has said the same for a share of `for_s` after it. One that
    said the same before and after two such pauses has it all along: there are tablets that are on for an hour a week.
    """
    since = standing.pending_since
    if since is None:
        return None
    for_s = timedelta(seconds=rule.for_s)
    long = [(off, on) for off, on in judgement.pauses if on > since and on - off > for_s]
    if len(long) != 1:
        return since
    off, on = long[0]
    return min(on, max(since + (on - off), on - (1 - SAID_AGAIN) * for_s))


def _still(condition: Condition, standing: Standing, alert_id: int, rule: Rule) -> list[Action]:
    actions: list[Action] = []
    if standing.recovering_since is not None:
        actions.append(SetRecovering(alert_id, None))
    severity = condition.severity or rule.severity
    told = (condition.evidence, severity, rule.version)
    if told != (standing.evidence, standing.severity, standing.version):
        actions.append(RefreshEvidence(alert_id, condition.evidence, severity, rule.version))
    return actions


def _gone(settled: Resolution, standing: Standing, alert_id: int, rule: Rule, now: datetime) -> list[Action]:
    """Proof must last; what was right all along, or is by other settings, ends at once."""
    if settled is not Resolution.PROOF:
        return [ClearAlert(alert_id, settled)]
    if standing.recovering_since is None and standing.version != rule.version:
        return [ClearAlert(alert_id, Resolution.RULE_CHANGED)]
    since = standing.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearAlert(alert_id, Resolution.PROOF)]
    due_at = since + timedelta(seconds=rule.keep_firing_for_s)
    noted = standing.recovering_since is not None and standing.clears_at in (None, due_at)
    return [] if noted else [SetRecovering(alert_id, since, due_at)]
