"""What was scanned so far, as the page carries it from form to form: nothing of it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from fleet.api.console.login import ConsoleForm
from fleet.api.shapes import MAX_ID
from fleet.db.rows import Connection
from fleet.protocol.topics import KIT_ID
from fleet.state.logistics import handling
from fleet.state.logistics.codes import MAX_CODE
from fleet.state.logistics.handling import MAX_THINGS, Subject, Thing

MAX_CODES = 200
"""Codes of one form: what a page without connection kept comes along with the next act."""
MAX_ASKED = 20
MOST_TEXT = 1000

_Text = Annotated[str, Field(max_length=MOST_TEXT)]


class ScanForm(ConsoleForm):
    """The scan field, and what was scanned before: `k:` and a kit's id, `c:` and a piece's number.

    `asked` are codes that are not clear, each after what it may mean; `drop` takes one off, `pick` says what was meant.
    """

    code: list[_Text] = Field(default_factory=list, max_length=MAX_CODES)
    items: list[_Text] = Field(default_factory=list, max_length=MAX_THINGS)
    asked: list[_Text] = Field(default_factory=list, max_length=MAX_ASKED)
    drop: str = Field("", max_length=MOST_TEXT)
    pick: str = Field("", max_length=MOST_TEXT)
    do: str = Field("", max_length=60)
    location: str = Field("", max_length=200)
    reason: str = Field("", max_length=200)
    mode: str = Field("all_or_nothing", max_length=20)
    override: str = Field("", max_length=10)
    with_components: str = Field("", max_length=10)
    state: str = Field("", max_length=40)
    act: str = Field("", max_length=10)


@dataclass(frozen=True, slots=True)
class Asked:
    """A code that is not clear, and what it may mean; nothing when nobody knows it."""

    code: str
    candidates: tuple[Thing, ...] = ()

    @property
    def carried(self) -> str:
        """As the form carries it."""
        return f"{' '.join(ref(each.subject) for each in self.candidates)}={self.code}"


@dataclass(frozen=True, slots=True)
class Said:
    """One line about what became of a scan: a text's key with its values, and whether it is bad."""

    key: str
    values: tuple[object, ...] = ()
    bad: bool = False


@dataclass(slots=True)
class Scanned:
    """The list: what it holds, what is not clear, and what to say about the last scans."""

    things: list[Thing] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    @property
    def subjects(self) -> list[Subject]:
        """What the things are asked for by."""
        return [each.subject for each in self.things]


def ref(subject: Subject) -> str:
    """A subject as forms carry it."""
    return f"k:{subject}" if isinstance(subject, str) else f"c:{subject}"


def subject_of(text: str) -> Subject | None:
    """The subject that a form carries; None for anything else."""
    kind, _, name = text.partition(":")
    if kind == "k" and KIT_ID.fullmatch(name):
        return name
    if kind == "c" and name.isascii() and name.isdecimal() and len(name) < 20 and 0 < int(name) <= MAX_ID:
        return int(name)
    return None


async def gathered(connection: Connection, form: ScanForm) -> Scanned:
    """The list as it is after this form: with what was scanned, without what was taken off."""
    made = Scanned()
    chosen = _subjects(form.items)
    unclear = unclear_of(form.asked)
    if picked := form.pick and subject_of(form.pick.partition("=")[0]):
        unclear.pop(form.pick.partition("=")[2], None)
        if await handling.things(connection, [picked]):
            _add(chosen, picked, made)
    elif form.drop.startswith("="):
        unclear.pop(form.drop[1:], None)
    elif form.drop:
        chosen = [each for each in chosen if ref(each) != form.drop]
    for typed in form.code:
        if typed.strip():
            await _scan(connection, typed, chosen, unclear, made)
    wanted = [*chosen, *(each for found in unclear.values() for each in found)]
    seen = {each.subject: each for each in await handling.things(connection, wanted)}
    made.things = [seen[each] for each in chosen if each in seen]
    made.asked = asked_about(unclear, seen)
    return made


def unclear_of(texts: Sequence[str]) -> dict[str, Sequence[Subject]]:
    """The codes that a form carries as not clear, with what each may mean."""
    return {code: found for text in texts for code, found in [_asked(text)] if code}


def asked_about(unclear: Mapping[str, Sequence[Subject]], seen: Mapping[Subject, Thing]) -> list[Asked]:
    """What to ask about each code, as far as the caller sees what it may mean."""
    return [Asked(code, tuple(seen[each] for each in found if each in seen)) for code, found in unclear.items()]


async def _scan(
    connection: Connection, typed: str, chosen: list[Subject], unclear: dict[str, Sequence[Subject]], made: Scanned
) -> None:
    meaning = await handling.meaning_of(connection, typed)
    code = printable(meaning.code)
    if meaning.forbidden:
        made.said.append(Said("scan_forbidden", bad=True))
    elif len(meaning.subjects) == 1:
        _add(chosen, meaning.subjects[0], made, code)
    elif len(unclear) >= MAX_ASKED and code not in unclear:
        made.said.append(Said("scan_too_unclear", (MAX_ASKED,), bad=True))
    else:
        unclear[code] = meaning.subjects
        made.said.append(Said("scan_ambiguous" if meaning.subjects else "scan_unknown", (code,), bad=True))


def _add(chosen: list[Subject], subject: Subject, made: Scanned, code: str | None = None) -> None:
    name = code or str(subject)
    if subject in chosen:
        made.said.append(Said("scan_again", (name,)))
    elif len(chosen) >= MAX_THINGS:
        made.said.append(Said("scan_full", (MAX_THINGS,), bad=True))
    else:
        # The latest stands first: it is what whoever scans looks at.
        chosen.insert(0, subject)
        made.said.append(Said("scan_added", (name, len(chosen))))


def _subjects(texts: Sequence[str]) -> list[Subject]:
    return list(dict.fromkeys(each for text in texts if (each := subject_of(text)) is not None))


def _asked(text: str) -> tuple[str, Sequence[Subject]]:
    refs, _, code = text.partition("=")
    return printable(code), _subjects(refs.split(" "))[: handling.MAX_CANDIDATES]


def printable(code: str) -> str:
    """A code as it may be shown and carried on."""
    return "".join(each for each in code if each.isprintable())[:MAX_CODE]
