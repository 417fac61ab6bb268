"""Expectations: pure functions of what was sent and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.compare import Comparison
from simulator.ledger import Ledger
from simulator.report import Expectation, Latency
from simulator.scenario import Expect
from simulator.store import Alert, Incident, Request
from simulator.watch import SILENT, Expected

NAMED = 4
RESOLVED = frozenset({"resolved", "closed"})


@dataclass(slots=True)
class Found:
    """What one reading of the database gave."""

    comparison: Comparison = field(default_factory=Comparison)
    quarantined: dict[tuple[str, str], int] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)


def exactly_once(comparison: Comparison) -> Expectation:
    """Every acknowledged message is stored once, none that was never sent."""
    wrong = comparison.missing + comparison.duplicates + comparison.foreign
    detail = (
        f"{comparison.checked} acknowledged: {comparison.missing} missing, {comparison.duplicates} more than once, "
        f"{comparison.foreign} never sent"
    )
    return Expectation("exactly_once", not wrong, detail)


def drained(ledger: Ledger, done: bool) -> Expectation:
    """Connected kits got an answer for everything they sent, and no bound was reached."""
    dropped = ledger.counts["dropped_at_bound"]
    unsent = ledger.unsent()
    detail = (
        f"{ledger.unacknowledged() - unsent} sent without an answer, {unsent} of kits without a connection not sent, "
        f"{dropped} dropped at a bound"
    )
    return Expectation("drained", done and not dropped, detail)


def quarantined(
    expect: Expect,
    taken: Mapping[tuple[str, str], int],
    sent: Mapping[tuple[str, str], int],
    stored: Mapping[tuple[str, str], int],
) -> Expectation:
    """What was malformed is in quarantine for its reason, once for each sending at most; nothing else is."""
    wrong = [
        f"{topic} {reason}: {stored.get((topic, reason), 0)} stored, {taken[topic, reason]} acknowledged"
        for topic, reason in sent
        if not taken[topic, reason] <= stored.get((topic, reason), 0) <= sent[topic, reason]
    ]
    wrong += [
        f"{topic} {reason}: {count}, none sent"
        for (topic, reason), count in stored.items() - sent.items()
        if (topic, reason) not in sent
    ]
    by_reason: Counter[str] = Counter()
    for (_, reason), count in taken.items():
        by_reason[reason] += count
    if isinstance(expect.quarantined, dict):
        wrong += [
            f"{reason}: {by_reason[reason]} taken, {count} expected"
            for reason, count in expect.quarantined.items()
            if by_reason[reason] != count
        ]
    return Expectation("quarantined", not wrong, _detail(f"{sum(taken.values())} malformed", wrong))


def alerts(expect: Expect, expected: Sequence[Expected], found: Sequence[Alert]) -> Expectation:
    """Alerts that follow from the faults are there, and no others."""
    counts = Counter((alert.kit, alert.rule) for alert in found)
    ranges = _ranges(expect, expected)
    wrong = list(_miscounted(ranges, counts)) if expect.derive else []
    wrong += list(_totals(expect.alerts, Counter(alert.rule for alert in found)))
    quiet = Counter(f"suppressed {alert.rule}" for alert in found if alert.suppressed_by is not None)
    wrong += list(_totals({f"suppressed {rule}": count for rule, count in expect.suppressed.items()}, quiet))
    must = sum(at_least for at_least, _ in ranges.values())
    return Expectation("alerts", not wrong, _detail(f"{len(found)} opened, at least {must} expected", wrong))


def requests(expect: Expect, expected: Sequence[Expected], found: Sequence[Request]) -> Expectation:
    """One service request per kit and cause, none for the members of an incident."""
    own = [request for request in found if request.kit is not None]
    counts = Counter((request.kit or "", request.cause) for request in own)
    ranges = _ranges(expect, expected, none_when_incident=True)
    wrong = list(_miscounted(ranges, counts)) if expect.derive else []
    wrong += list(_totals(expect.requests, Counter(request.cause for request in own)))
    return Expectation("requests", not wrong, _detail(f"{len(own)} of kits", wrong))


def incidents(
    expect: Expect, expected: Sequence[Expected], found: Sequence[Incident], requests_: Sequence[Request]
) -> Expectation:
    """As many incidents as expected, of the cohorts expected, each with one request; every kit that was silent for
    long is a member."""
    wrong = []
    silent = sum(one.at_least for one in expected if one.rule == SILENT)
    members = sum(one.members for one in found)
    if expect.incidents and expect.derive and members < silent:
        wrong.append(f"{members} members, {silent} kits were silent")
    if len(found) != expect.incidents:
        wrong.append(f"{expect.incidents} expected")
    cohorts = sorted(one.cohort for one in found)
    if expect.cohorts and cohorts != sorted(expect.cohorts):
        wrong.append(f"of {', '.join(cohorts)}, expected {', '.join(sorted(expect.cohorts))}")
    per = Counter(request.incident for request in requests_ if request.incident is not None)
    wrong += [f"incident {one.id} has {per[one.id]} requests" for one in found if per[one.id] != 1]
    return Expectation("incidents", not wrong, _detail(f"{len(found)} opened, {members} members", wrong))


def resolved(expected: Sequence[Expected], found: Found) -> Expectation:
    """Alerts of kits that recovered are cleared, their requests and all incidents resolved."""
    cleared = Counter((alert.kit, alert.rule) for alert in found.alerts if alert.cleared_at is not None)
    opened = {(alert.kit, alert.rule) for alert in found.alerts}
    recovered = {(one.kit, one.rule) for one in expected if one.cleared}
    wrong = [f"{kit} {rule} is not cleared" for kit, rule in sorted(recovered & opened) if not cleared[kit, rule]]
    wrong += [
        f"request {one.number} of {one.kit} is {one.state}"
        for one in found.requests
        if (one.kit or "", one.cause) in recovered and one.state not in RESOLVED and one.kit is not None
    ]
    wrong += [f"incident {one.id} is {one.state}" for one in found.incidents if one.cleared_at is None]
    of_incidents = {one.id for one in found.incidents}
    wrong += [
        f"request {one.number} of incident {one.incident} is {one.state}"
        for one in found.requests
        if one.incident in of_incidents and one.state not in RESOLVED
    ]
    return Expectation("resolved", not wrong, _detail(f"{len(recovered)} recovered", wrong))


def latency(expect: Expect, measured: Latency) -> Iterator[Expectation]:
    """Percentiles within their limits."""
    limits = (
        ("p99_received_s", expect.p99_received_s, measured.received_s.p99),
        ("p99_commit_s", expect.p99_commit_s, measured.commit_s.p99),
    )
    for name, limit, value in limits:
        if limit is not None:
            text = "no sample" if value is None else f"{value:.3f} s"
            yield Expectation(name, value is not None and value <= limit, f"{text}, at most {limit:g} s")


def _ranges(
    expect: Expect, expected: Sequence[Expected], *, none_when_incident: bool = False
) -> dict[tuple[str, str], tuple[int, int]]:
    """How many of each; silence may be an incident's where one is expected."""
    ranges = {}
    for one in expected:
        at_least, at_most = one.at_least, one.at_most
        if expect.incidents and one.rule == SILENT:
            at_least, at_most = 0, 0 if none_when_incident else at_most
        ranges[one.kit, one.rule] = at_least, at_most
    return ranges


def _miscounted(
    ranges: Mapping[tuple[str, str], tuple[int, int]], counts: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    for kit, rule in sorted(ranges.keys() | counts.keys()):
        at_least, at_most = ranges.get((kit, rule), (0, 0))
        count = counts.get((kit, rule), 0)
        if not at_least <= count <= at_most:
            wanted = f"{at_least}" if at_least == at_most else f"{at_least} to {at_most}"
            yield f"{kit} {rule}: {count}, expected {wanted}"


def _totals(wanted: Mapping[str, int], counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in wanted.items():
        if counts.get(name, 0) != count:
            yield f"{counts.get(name, 0)} {name}, expected {count}"


def _detail(summary: str, wrong: Sequence[str]) -> str:
    if not wrong:
        return summary
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return f"{summary}; " + "; ".join(wrong[:NAMED]) + more
