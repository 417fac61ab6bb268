"""All rules about one kit at a moment: judge each, and step each on. Pure functions of values and `now`.

Only installed kits are judged. While a kit is prepared its versions are meant to change, a dispatched one is
switched off, and one that is paused or faulty is with people who know; a request would only disturb them. What
lasts is found when the kit is installed, because every change of state is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from fleet.alerts.actions import Action
from fleet.alerts.judging.advance import Judgement, advance
from fleet.alerts.judging.catalogue import CATALOGUE, JUDGED, About, Source
from fleet.alerts.judging.facts import Clock, Condition, KitFacts, Standing
from fleet.alerts.rules import Resolution, Rule, RuleName
from fleet.alerts.silence import regrade

Rules = Mapping[RuleName, Rule]
SOONEST_AGAIN_S, LATEST_AGAIN_S = 60.0, 3600.0
"""When a kit is looked at again that has yet to say that what it said has lasted: after one of its intervals."""
_NOTHING = Standing()
_OF_NOW = (Source.HEARTBEAT,)


def evaluate(facts: KitFacts, rules: Rules, clock: Clock, now: datetime) -> list[Action]:
    """What to do about one kit; nothing when all is as it stands. `rules` are those that apply to it."""
    actions: list[Action] = []
    for name, _ in JUDGED:
        rule = rules.get(name)
        if rule is None:
            continue
        standing = facts.standing.get(name)
        judgement = judgement_of(facts, rule, standing or _NOTHING, clock, now)
        if judgement.condition is not None or standing is not None:
            actions += advance(judgement, standing or _NOTHING, rule, now)
    silent = facts.standing.get(RuleName.SILENT)
    if silent is not None and RuleName.SILENT in rules:
        actions += regrade(silent, rules[RuleName.SILENT])
    return actions


def judgement_of(facts: KitFacts, rule: Rule, standing: Standing, clock: Clock, now: datetime) -> Judgement:
    """What one rule finds of a kit, and how certain that is."""
    about = CATALOGUE[rule.rule]
    condition = _judged(facts, rule, about, clock, now)
    return _judgement(facts, condition, about, standing, clock)


def wake(facts: KitFacts, rules: Rules, now: datetime) -> datetime | None:
    """When time alone may change what is said of the kit; None when only something new can."""
    if not facts.watched:
        return None
    moments = [
        about.wake(facts, rules[name].parameters, now)
        for name, about in JUDGED
        if about.wake is not None and name in rules and rules[name].enabled
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _judged(facts: KitFacts, rule: Rule, about: About, clock: Clock, now: datetime) -> Condition | None:
    if about.judge is None or not facts.watched or not rule.enabled:
        return None
    return about.judge(facts, rule.parameters, clock, now)


def _judgement(
    facts: KitFacts, condition: Condition | None, about: About, standing: Standing, clock: Clock
) -> Judgement:
    """Of a silent kit the last heartbeat says nothing of now: silence speaks for it."""
    certain = not facts.catching_up(clock) and not (about.source in _OF_NOW and facts.silent(clock))
    settled = Resolution.PROOF
    if about.settled is not None and condition is None and standing.evidence is not None:
        settled = about.settled(facts, standing.evidence)
    told_at = facts.told_at(clock) if about.source in _OF_NOW else None
    again_s = min(max(facts.watch_interval_s or 0.0, SOONEST_AGAIN_S), LATEST_AGAIN_S)
    pauses = facts.pauses if about.source in _OF_NOW else ()
    return Judgement(facts.kit_id, condition, facts.watched, certain, settled, told_at, again_s, pauses)
