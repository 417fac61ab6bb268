"""The language of timelines: what happens when, and what may be seen when. Everything that is not expected is wrong.

A file holds scenarios; `#` begins a comment. A scenario begins with its sentence and goes on with indented lines:

    scenario A kit that falls silent is alerted once
      kit A every 60s                              one kit; installed unless `state paused`
      kits F 40 every 60s operator "TDC NET"       F1 to F40; `F` names all of them
      piece scale W-1 in=A warranty_until=20d      in a kit or `at=depot`; days count from the beginning
      rule silent for 60s keep 15s                 a rule's delays and parameters (`battery=15`)
      0s..10m A beats battery=80                   heartbeats, one per interval; fields as in the message
      5m A reports app=2.1 tablet_serial=T-1       software; `A pairs scale paired=no`, `A updates failed campaign=c1`
      6m A reboots                                 a new boot from here on
      7m A repeats                                 everything it ever sent, once more
      8m..9m A offline                             keeps what it would send, and sends it afterwards
      8m..9m A twinned                             another tablet with its credentials sends heartbeats as well
      12m A becomes paused                         a step in the books
      20m..25m broker down                         or `ingest`, `database`, `worker`; they are up again afterwards
      30m A wants app=3                            other versions are wanted
      1h..2h A maintained collect=no rule=silent repeats=FREQ=DAILY   a window for these kits; only the times are needed
      1h A shelved silent until=3h                 the alert that stands, and those after it, as grave as it is now
      1h A unshelved silent                        or `acknowledged silent`
      1h A solved silent                           somebody says that its request is solved
      1h A visit planned repair for=silent         from its request, if it is for one; for the next day
      2h A visit failed nobody_home                in vain; planned anew
      3h A visit done cause=tablet_fault remedy=restarted   and the request is solved; `out=W-1 in=W-2` swaps pieces
      1h A waits silent for=citizen                clocks stand still, until `2h A resumes silent`
      1h books compared                            findings, and the alerts of those
      30m sql UPDATE rules SET enabled = false     what has no word of its own; `$now` and `$begin` are times
      expect A silent opens 13m..13m10s            in that time, once; `2 of F silent opens 1h..2h`
      expect A silent clears 20m..21m proof
      expect incident silent opens 13m..14m operator="TDC NET" members=40
      expect incident silent clears 30m..40m
      expect A silent flaps 20m..30m               or `unsuppressed`; an opening that says `suppressed` or `flapping`
      expect request A silent reopens 20m..30m     or opens, resolves, closes, escalates, breaches, rises
      expect nobody stock_low opens 5m..6m         what is about no kit
      expect request A silent closes 2d..3d proof=True
      expect requests 1 at 15m                     open ones; also `alerts`, `members`, `incidents`, `suppressed`,
                                                   `acknowledged`, `everything` (requests of any state),
                                                   `visits` (to do)
      ends 40m

Times count from the scenario's beginning: `90s`, `10m`, `2h`, `3d`, and sums (`13m10s`). Every alert and every incident
that opens must be expected; clearing needs no expectation, but when there is one it must happen. Requests are told of
alerts and incidents; what happens to one is expected like an alert, where a scenario is about that, and then nothing
else of that kind may happen to it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
NOBODY = "nobody"
SERVICES = ("broker", "ingest", "database", "worker")
COUNTED = ("requests", "alerts", "members", "incidents", "suppressed", "acknowledged", "everything", "visits")

VERBS = {
    "alert": {"opens": "opened", "clears": "cleared", "flaps": "flapping", "unsuppressed": "unsuppressed"},
    "incident": {"opens": "opened", "clears": "cleared"},
    "request": {
        "opens": "opened",
        "reopens": "reopened",
        "resolves": "resolved",
        "closes": "closed",
        "escalates": "escalated",
        "breaches": "breached",
        "rises": "risen",
    },
}
"""What may be expected of each thing, and the type of event that tells of it."""


class LanguageError(Exception):
    """A line that says nothing; names the file and the line."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_s` to `end_s`, both included, in seconds from the beginning."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Kits:
    """A kit, or `count` of them by one name; `options` are interval, state and what else they are entered with."""

    name: str
    count: int | None
    options: Mapping[str, str]

    def ids(self) -> list[str]:
        """Every kit's id."""
        return [self.name] if self.count is None else [f"{self.name}{n}" for n in range(1, self.count + 1)]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happens: `verb` with `words` and `values` (`name=value`) by `subject` (kits, a service)."""

    span: Span
    subject: str
    verb: str
    words: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    line: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that must be seen within `span`: `count` kits of `subject` (None: every one), or one incident.

    `thing` is `alert`, `incident` or `request`; that of an incident has the subject `incident`.
    """

    thing: str
    span: Span
    subject: str
    count: int | None
    rule: str
    verb: str
    words: tuple[str, ...]
    values: Mapping[str, str]
    line: str


@dataclass(frozen=True, slots=True)
class Number:
    """So many of `what` at a moment."""

    at_s: float
    what: str
    number: int
    line: str


@dataclass(slots=True)
class Scenario:
    """A sentence, and what it means."""

    name: str
    kits: dict[str, Kits] = field(default_factory=dict)
    rules: list[Action] = field(default_factory=list)
    pieces: list[Action] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    ends_s: float = 0.0

    def of(self, name: str) -> list[str]:
        """The ids that a name stands for: a group's, or one kit's."""
        if name in self.kits:
            return self.kits[name].ids()
        if any(name in each.ids() for each in self.kits.values()):
            return [name]
        raise LanguageError(f"{name} is no kit of {self.name!r}")


def read(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file; raises LanguageError."""
    scenario: Scenario | None = None
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.split(" #")[0].rstrip() if not raw.startswith("#") else ""
        if not line:
            continue
        try:
            if line.startswith("scenario "):
                if scenario is not None:
                    yield _whole(scenario)
                scenario = Scenario(line.removeprefix("scenario ").strip())
            elif scenario is None:
                raise LanguageError("a line before the first scenario")
            else:
                _take(scenario, line.strip())
        except (LanguageError, ValueError, IndexError) as error:
            raise LanguageError(f"{path.name}:{number}: {line.strip()!r}: {error}") from error
    if scenario is not None:
        yield _whole(scenario)


def seconds(text: str) -> float:
    """`13m10s` in seconds."""
    if not _TIME.fullmatch(text):
        raise LanguageError(f"{text!r} is no time: 90s, 10m, 2h, 3d, 13m10s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def span(text: str) -> Span:
    """`10m..12m`, or a moment."""
    start, _, end = text.partition("..")
    found = Span(seconds(start), seconds(end or start))
    if found.end_s < found.start_s:
        raise LanguageError(f"{text} ends before it begins")
    return found


def _take(scenario: Scenario, line: str) -> None:
    words = shlex.split(line)
    match words[0]:
        case "kit" | "kits":
            kits = _kits(words)
            scenario.kits[kits.name] = kits
        case "piece":
            scenario.pieces.append(_action(Span(0, 0), "piece", words[1:], line))
        case "rule":
            scenario.rules.append(_action(Span(0, 0), "rule", words[1:], line))
        case "expect":
            _expect(scenario, words[1:], line)
        case "ends":
            scenario.ends_s = seconds(words[1])
        case _:
            when = span(words[0])
            if words[1] == "sql":
                statement = line.split(" sql ", 1)[1]
                scenario.actions.append(Action(when, "sql", "sql", (statement,), {}, line))
            else:
                scenario.actions.append(_action(when, words[1], words[2:], line))


def _kits(words: list[str]) -> Kits:
    count = int(words[2]) if words[0] == "kits" else None
    rest = words[3:] if words[0] == "kits" else words[2:]
    return Kits(words[1], count, dict(zip(rest[::2], rest[1::2], strict=True)))


def _action(when: Span, subject: str, words: list[str], line: str) -> Action:
    plain, values = _sorted_out(words)
    return Action(when, subject, plain[0], tuple(plain[1:]), values, line)


def _sorted_out(words: list[str]) -> tuple[list[str], dict[str, str]]:
    values = dict(word.split("=", 1) for word in words if "=" in word)
    return [word for word in words if "=" not in word], values


def _expect(scenario: Scenario, words: list[str], line: str) -> None:
    if words[0] in COUNTED:
        what, number, _, moment = words
        scenario.numbers.append(Number(seconds(moment), what, int(number), line))
        return
    thing, count = "alert", None
    if words[1] == "of":
        count, words = int(words[0]), words[2:]
    if words[0] == "request":
        thing, words = "request", words[1:]
    elif words[0] == "incident":
        thing = "incident"
    plain, values = _sorted_out(words)
    subject, rule, verb, when, *more = plain
    if verb not in VERBS[thing]:
        raise LanguageError(f"{thing} {verb} is none of {', '.join(VERBS[thing])}")
    scenario.changes.append(Change(thing, span(when), subject, count, rule, verb, tuple(more), values, line))


def _whole(scenario: Scenario) -> Scenario:
    """The scenario with an end, and every name known."""
    told: list[Action | Change] = [*scenario.actions, *scenario.changes]
    for each in told:
        if each.subject not in (*SERVICES, "sql", "incident", "books", NOBODY):
            scenario.of(each.subject)
    last = [each.span.end_s for each in told] + [number.at_s for number in scenario.numbers]
    if not scenario.ends_s:
        scenario.ends_s = max(last, default=0.0) + 60.0
    elif scenario.ends_s < max(last, default=0.0):
        raise LanguageError(f"{scenario.name!r} ends before its last line")
    return scenario
