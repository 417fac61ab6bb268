"""Compares what was seen with what a timeline expects; what is wrong is told in the timeline's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.timeline.language import NOBODY, VERBS, Change, Scenario
from tests.timeline.stage import Seen


def wrong(scenario: Scenario, seen: Sequence[Seen], numbers: dict[float, dict[str, int]]) -> list[str]:
    """Everything that is not as expected, a line each."""
    left = [each for each in seen if each.type in ("alert.opened", "incident.opened")]
    asked = {(type_of(change), kit, change.rule) for change in scenario.changes for kit in _kits(change, scenario)}
    left += [each for each in seen if (each.type, each.kit, _about(each)) in asked]
    found: list[str] = []
    for change in scenario.changes:
        matching = [each for each in seen if _is(each, change, scenario)]
        found += _misses(change, matching, scenario)
        left = [each for each in left if each not in matching]
    found += [f"not expected: {_told(each)}" for each in left]
    for number in scenario.numbers:
        counted = numbers[number.at_s][number.what]
        if counted != number.number:
            found.append(f"{number.line}: there are {counted}")
    return found


def type_of(change: Change) -> str:
    """The type of event that tells of it."""
    return f"{change.thing}.{VERBS[change.thing][change.verb]}"


def _kits(change: Change, scenario: Scenario) -> Sequence[str]:
    """Whose requests nothing else may happen to than what is expected."""
    return scenario.of(change.subject) if change.thing == "request" else ()


def _about(each: Seen) -> str | None:
    return each.body.get("rule", each.body.get("cause"))


def _is(each: Seen, change: Change, scenario: Scenario) -> bool:
    if each.type != type_of(change) or _about(each) != change.rule:
        return False
    if not change.span.start_s <= each.at_s <= change.span.end_s:
        return False
    return each.kit is None if change.subject in ("incident", NOBODY) else each.kit in scenario.of(change.subject)


def _misses(change: Change, matching: Sequence[Seen], scenario: Scenario) -> Iterator[str]:
    if change.subject in ("incident", NOBODY):
        wanted = change.count or 1
    else:
        wanted = change.count or len(scenario.of(change.subject))
        again = {each.kit for each in matching if sum(other.kit == each.kit for other in matching) > 1}
        if again:
            yield f"{change.line}: more than once for {', '.join(sorted(map(str, again))[:5])}"
    if len(matching) != wanted:
        yield f"{change.line}: seen {len(matching)} times, not {wanted}"
    for each in matching:
        said = {str(value) for value in each.body.values()} | (
            {"suppressed"} if each.body.get("suppressed_by") else set()
        )
        for word in change.words:
            if word not in said:
                yield f"{change.line}: {word} is not told by {each.body}"
        for name, value in change.values.items():
            told = f"{each.body.get('cohort_kind')}={each.body.get('cohort_value')}"
            if str(each.body.get(name)) != value and told != f"{name}={value}":
                yield f"{change.line}: {name} is not {value} in {each.body}"


def _told(each: Seen) -> str:
    minutes, seconds = divmod(each.at_s, 60)
    return f"{each.type} {each.kit or ''} {_about(each)} at {minutes:.0f}m{seconds:.0f}s"
