"""Two tablets under one kit's number: runs of a tablet that come back after others, or identities that do. Pure.

A tablet that starts anew begins a run (`boot`) that was never there before, and the one before is over. So runs that
are heard live by turns, for longer than one start takes, are of two tablets. Live is what came about when it was made:
reports that were kept and sent later belong to a run that is over, and those of a clock that is wrong tell no order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import combinations, pairwise

from fleet.state.findings.facts import Found, Runs, ToldIdentities
from fleet.state.findings.kinds import Kind

LIVE = timedelta(minutes=2)
"""What came within this of the time it bears was sent as it was made; so far a clock may be off unnoticed."""
WITHIN = timedelta(days=1)
"""How far back runs are looked at; so long after the last turn two tablets stand."""
TOGETHER = timedelta(minutes=10)
"""Two runs that are heard by turns for so long are of two tablets: kept reports follow a start within minutes."""
TURNS = 3
"""So often either of them came after the other again."""
IDENTITIES_WITHIN = timedelta(days=7)
RETURNS = 2
"""Identities that came back so often are no swap and its correction."""
MOST_RUNS = 200
MOST_BOOTS = 20
IMEI_DIGITS = 14
"""The last digit checks the others, and some firmware says two others in its place."""


def judge_runs(kits: Iterable[Runs]) -> Iterator[Found]:
    """Kits of which two runs are heard by turns."""
    for kit in kits:
        found = _together(kit)
        if found is not None:
            began, ended = found
            evidence = {"by": "boot", "since": _to_the_hour(began), "last": _to_the_hour(ended)}
            yield Found(Kind.TWO_TABLETS, f"kit:{kit.kit_id}", evidence, kit_id=kit.kit_id)


def judge_told(kits: Iterable[ToldIdentities]) -> Iterator[Found]:
    """Kits whose tablet says by turns that it is this one and that one."""
    for kit in kits:
        told = [imei[:IMEI_DIGITS] for imei in kit.imeis]
        if _returns(told) >= RETURNS:
            evidence = {"by": "imei", "since": _to_the_hour(kit.changed[0]), "last": _to_the_hour(kit.changed[-1])}
            yield Found(Kind.TWO_TABLETS, f"kit:{kit.kit_id}", evidence, kit_id=kit.kit_id)


def _together(kit: Runs) -> tuple[datetime, datetime] | None:
    """From when to when two runs were heard by turns, the last such pair; None when none were."""
    stretches: dict[str, list[int]] = defaultdict(list)
    for place, boot in enumerate(kit.boots):
        stretches[boot].append(place)
    back = [boot for boot, places in stretches.items() if len(places) > 1][-MOST_BOOTS:]
    found = [_pair(kit, sorted([*stretches[one], *stretches[other]])) for one, other in combinations(back, 2)]
    return max((each for each in found if each is not None), key=lambda each: each[1], default=None)


def _pair(kit: Runs, places: Sequence[int]) -> tuple[datetime, datetime] | None:
    """The time for which both of two runs were heard, if they took turns for long enough."""
    boots = [kit.boots[place] for place in places]
    turns = sum(one != other for one, other in pairwise(boots)) - 1
    one, other = set(boots)
    both_from = max(kit.began[places[boots.index(boot)]] for boot in (one, other))
    both_to = min(max(kit.ended[p] for p in places if kit.boots[p] == boot) for boot in (one, other))
    return (both_from, both_to) if turns >= TURNS and both_to - both_from >= TOGETHER else None


def _returns(told: Sequence[str]) -> int:
    """How often something comes back that was there before something else."""
    before: set[str] = set()
    count = 0
    for last, now in pairwise(told):
        before.add(last)
        count += now != last and now in before
    return count


def _to_the_hour(moment: datetime) -> str:
    return moment.replace(minute=0, second=0, microsecond=0).isoformat()
