"""What a batch means, decided before anything is written: which messages are new, which repeats, which refused.

A message is known to be new without a look into the history when its `seq` is above everything known of its boot, or
its kit never sent its kind; that is nearly all of them. The others (late, out of order, from another boot,
repeated) are `doubtful` and looked up by identity, whatever time they were given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from fleet.ingest.decode import Refusal, Report, refuse
from fleet.protocol.messages import Reason, Rejection
from fleet.protocol.times import Position
from fleet.protocol.topics import Kind
from fleet.state.latest import Accepted, Fold, Mark

Identity: TypeAlias = tuple[int, Kind, str, int]
Run: TypeAlias = tuple[int, Kind, str]
"""The messages of one kit, kind and boot."""
SEQUENCED = frozenset({Kind.HEARTBEAT, Kind.SOFTWARE, Kind.PAIRING, Kind.UPDATE})
_UNKNOWN = Rejection(Reason.UNKNOWN_KIT, "no kit by this id in the books")


@dataclass(slots=True)
class Plan:
    """One batch on its way into the database; filled by `sort_out` and `judge`."""

    new: list[tuple[int, Report]] = field(default_factory=list)
    doubtful: list[tuple[int, Report]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    repeats: Counter[Kind] = field(default_factory=Counter)
    heartbeats: dict[int, Accepted] = field(default_factory=dict)
    reports: list[Accepted] = field(default_factory=list)
    connections: list[Accepted] = field(default_factory=list)
    replies: list[Accepted] = field(default_factory=list)
    heard: dict[int, datetime] = field(default_factory=dict)

    def fold(self, clock_s: float) -> Fold:
        """What the latest state is to take from it."""
        return Fold(self.heartbeats, self.reports, self.connections, self.heard, clock_s, self.replies)


def sort_out(reports: Sequence[Report], marks: Mapping[str, Mark], *, doubt_all: bool = False) -> Plan:
    """Take what is surely new, set aside what must be looked up, refuse unknown kits. Advances the marks."""
    plan = Plan()
    for report in reports:
        mark = marks.get(report.kit)
        if mark is None:
            plan.refusals.append(refuse(report.source, _UNKNOWN, report.kind))
            continue
        if report.live:
            plan.heard[mark.kit_id] = report.received_at
        if doubt_all or not _surely_new(report, mark):
            plan.doubtful.append((mark.kit_id, report))
        else:
            plan.new.append((mark.kit_id, report))
            _advance(plan, report, mark)
    return plan


def judge(plan: Plan, stored: set[Identity], tops: Mapping[Run, int], marks: Mapping[str, Mark]) -> None:
    """Settle the doubtful ones, knowing which identities are `stored` already. Advances the marks.

    `tops` holds the highest `seq` stored per run. Only a message above it may become the newest: what is below is
    older than one of its own boot, whatever its clock says, and a mark below the top would take repeats for new.
    """
    seen = {identity(kit_id, report) for kit_id, report in plan.new} if plan.doubtful else set()
    tops = dict(tops)
    for kit_id, kind, boot, seq in seen:
        tops[kit_id, kind, boot] = max(seq, tops.get((kit_id, kind, boot), seq))
    for kit_id, report in plan.doubtful:
        key = identity(kit_id, report)
        if key in stored or key in seen:
            plan.repeats[report.kind] += 1
            continue
        seen.add(key)
        plan.new.append((kit_id, report))
        if report.kind not in SEQUENCED or report.seq > tops.get(key[:3], -1):
            tops[key[:3]] = report.seq
            _advance(plan, report, marks[report.kit])


def identity(kit_id: int, report: Report) -> Identity:
    """What makes two messages the same one."""
    return kit_id, report.kind, report.boot, report.seq


def _surely_new(report: Report, mark: Mark) -> bool:
    newest = mark.newest.get(report.kind)
    if newest is None:
        return report.kind in SEQUENCED
    return newest.boot == report.boot and report.seq > newest.seq


def _advance(plan: Plan, report: Report, mark: Mark) -> None:
    if report.kind is Kind.CONNECTION:
        plan.connections.append(_accepted(report, mark.kit_id))
        return
    if report.kind is Kind.REPLY:
        plan.replies.append(_accepted(report, mark.kit_id))
        return
    if report.kind not in SEQUENCED:
        return
    position = Position(report.boot, report.seq, report.stamp.time, report.received_at)
    if not position.newer_than(mark.newest.get(report.kind)):
        return
    mark.newest[report.kind] = position
    if report.kind is Kind.HEARTBEAT:
        plan.heartbeats[mark.kit_id] = _accepted(report, mark.kit_id)
    else:
        plan.reports.append(_accepted(report, mark.kit_id))


def _accepted(report: Report, kit_id: int) -> Accepted:
    return Accepted(kit_id, report.kind, report.boot, report.seq, report.stamp, report.received_at, report.payload)
