"""The whole fleet as one pure machine: which fault strikes whom when, and what every tablet then does."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from simulator.effects import Effect
from simulator.faults import FaultBase
from simulator.orders import Orders
from simulator.scenario import Scenario
from simulator.tablet import Tablet
from simulator.troubles import inflict


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One fault striking some kits (by their index) from `at_s` to `until_s`."""

    at_s: float
    until_s: float | None
    fault: FaultBase
    kits: tuple[int, ...]


def occurrences(scenario: Scenario, operators: Sequence[str | None] = ()) -> Iterator[Occurrence]:
    """All faults in order of time; endless where one repeats. `operators` are the kits' by their index.

    Kits are drawn without putting back, so faults meet different kits while there are enough, and a
    repetition goes on with the next ones.
    """
    ids = {kit: index for index, kit in enumerate(scenario.kit_ids())}
    named = {ids[kit] for fault in scenario.faults for kit in fault.kits or ()}
    pool = [index for index in ids.values() if index not in named] or list(ids.values())
    Random(f"{scenario.fleet.seed}:faults").shuffle(pool)  # noqa: S311 - chance, not secrecy
    sizes = [_size(fault, len(ids), len(pool)) for fault in scenario.faults]
    streams = []
    for number, fault in enumerate(scenario.faults):
        own = tuple(ids[kit] for kit in fault.kits) if fault.kits else _of_operator(fault, operators)
        draw = own if own is not None else _Draw(pool, offset=sum(sizes[:number]), size=sizes[number], step=sum(sizes))
        streams.append(_repeated(fault, draw))
    return heapq.merge(*streams, key=lambda occurrence: occurrence.at_s)


@dataclass(frozen=True, slots=True)
class _Draw:
    """Slices of the shuffled pool: the kits of one fault, round after round."""

    pool: list[int]
    offset: int
    size: int
    step: int

    def kits(self, round_: int) -> tuple[int, ...]:
        first = self.offset + round_ * self.step
        return tuple(self.pool[(first + n) % len(self.pool)] for n in range(self.size))


def _of_operator(fault: FaultBase, operators: Sequence[str | None]) -> tuple[int, ...] | None:
    if fault.operator is None:
        return None
    return tuple(index for index, operator in enumerate(operators) if operator == fault.operator)


def _size(fault: FaultBase, kits: int, pool: int) -> int:
    if fault.kits or fault.operator is not None:
        return 0
    wanted = fault.count if fault.count is not None else max(1, round((fault.share or 0) * kits))
    return min(wanted, pool)


def _repeated(fault: FaultBase, kits: tuple[int, ...] | _Draw) -> Iterator[Occurrence]:
    for round_ in count():
        shift = round_ * (fault.every_s or 0)
        until_s = None if fault.until_s is None else fault.until_s + shift
        struck = kits.kits(round_) if isinstance(kits, _Draw) else kits
        yield Occurrence(fault.at_s + shift, until_s, fault, struck)
        if fault.every_s is None:
            return


class Stage:
    """Every tablet of a scenario, advanced together."""

    def __init__(self, scenario: Scenario, *, boot_prefix: str, epoch: float) -> None:
        fleet = scenario.fleet
        self.tablets = [
            Tablet(
                kit,
                scenario,
                boot_prefix=boot_prefix,
                epoch=epoch,
                start_s=fleet.ramp_s * number / fleet.kits,
            )
            for number, kit in enumerate(scenario.kit_ids())
        ]
        self._orders: dict[int, Orders] = {}
        self._queue: list[tuple[float, int]] = []
        self._queued = array("d", [float("inf")]) * len(self.tablets)
        self._occurrences = occurrences(scenario, [tablet.vitals.operator for tablet in self.tablets])
        self._next_occurrence = next(self._occurrences, None)
        for index in range(len(self.tablets)):
            self._enqueue(index)

    def next_at(self) -> float:
        """When something happens the next time; infinity when nothing does."""
        strike_s = self._next_occurrence.at_s if self._next_occurrence else float("inf")
        return min(strike_s, self._queue[0][0] if self._queue else float("inf"))

    def advance(self, now_s: float) -> Iterator[tuple[int, Effect]]:
        """Let time pass; yields kit index and effect in order of time."""
        while self.next_at() <= now_s:
            occurrence = self._next_occurrence
            if occurrence and (not self._queue or occurrence.at_s <= self._queue[0][0]):
                self._strike(occurrence)
                continue
            at_s, index = heapq.heappop(self._queue)
            if at_s > self._queued[index]:
                continue  # it was called earlier than this entry says, and has a newer one
            self._queued[index] = float("inf")
            for effect in self.tablets[index].advance(at_s):
                yield index, effect
            self._enqueue(index)

    def _strike(self, occurrence: Occurrence) -> None:
        self._next_occurrence = next(self._occurrences, None)
        for index in occurrence.kits:
            inflict(self.tablets[index], occurrence.fault, occurrence.at_s, occurrence.until_s)
            self._enqueue(index)

    def _enqueue(self, index: int) -> None:
        at_s = self.tablets[index].next_at
        if at_s is not None and at_s < self._queued[index]:
            self._queued[index] = at_s
            heapq.heappush(self._queue, (at_s, index))

    def command(self, index: int, at_s: float, command: str, payload: bytes) -> list[Effect]:
        """A command arrived at a kit."""
        self._orders_of(index).command(at_s, command, payload)
        return self._after_input(index)

    def desired(self, index: int, at_s: float, payload: bytes) -> list[Effect]:
        """The wanted state arrived at a kit."""
        self._orders_of(index).desired(at_s, payload)
        return self._after_input(index)

    def _orders_of(self, index: int) -> Orders:
        return self._orders.setdefault(index, Orders(self.tablets[index]))

    def _after_input(self, index: int) -> list[Effect]:
        effects = self.tablets[index].advance(float("-inf"))
        self._enqueue(index)
        return effects
