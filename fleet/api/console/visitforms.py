"""What is done with a visit from its page: each act reads its own fields of the form and calls the use case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from fleet.alerts.visits import bringing, planning, store
from fleet.alerts.visits.steps import Kind
from fleet.api.auth import Call
from fleet.api.console import visitbring
from fleet.api.console.visitbring import BringForm
from fleet.api.visitacts import DENMARK, CompletionBody, FailureBody, completed
from fleet.api.visits import VisitEdit, done
from fleet.errors import InvalidError

Act = Literal["start", "complete", "fail", "plan", "bring", "cancel"]
SWAP_ROWS = 3
"""Pieces that one form exchanges; more of them in another kit are the API's."""

FORM_NAMES: Mapping[str, str] = {
    "arrived_at": "arrived",
    "remove": "removed",
    "by": "workshop",
    "actions": "outgoing",
    "kit": "new_kit",
}
"""Fields of the API that the form calls otherwise."""


class ActForm(BringForm):
    """What is done with a visit; each act looks at its own fields.

    `outgoing`, `after` and `incoming` go together, a swap in each row.
    """

    act: Act
    revision: int = 0
    instruction_given: str = Field("", max_length=10)
    receipt: str = Field("", max_length=20)
    old_equipment_taken: str = Field("", max_length=10)
    arrived: str = Field("", max_length=10)
    outgoing: list[str] = Field(default_factory=list, max_length=SWAP_ROWS)
    after: list[str] = Field(default_factory=list, max_length=SWAP_ROWS)
    incoming: list[str] = Field(default_factory=list, max_length=SWAP_ROWS)
    new_kit: str = Field("", max_length=64)
    location: str = Field("", max_length=200)
    calibrated: str = Field("", max_length=20)
    done_on: str = Field("", max_length=10)
    calibrated_until: str = Field("", max_length=10)
    workshop: str = Field("", max_length=200)
    certificate: str = Field("", max_length=200)
    result: str = Field("", max_length=10)
    entered_already: str = Field("", max_length=10)
    override: str = Field("", max_length=10)
    reason: str = Field("", max_length=200)
    note: str = Field("", max_length=store.MAX_NOTE)
    cause: str = Field("", max_length=63)
    remedy: str = Field("", max_length=63)
    failure: str = Field("", max_length=63)
    planned_on: str = Field("", max_length=10)
    window_from: str = Field("", max_length=5)
    window_to: str = Field("", max_length=5)
    crew: str = Field("", max_length=40)
    urgent: str = Field("", max_length=10)
    removed: list[str] = Field(default_factory=list, max_length=bringing.MAX_LINES)

    def row(self, name: str, at: int) -> str:
        """A field of one of the rows of swaps."""
        values: list[str] = getattr(self, name)
        return values[at].strip() if at < len(values) else ""


async def do(call: Call, number: str, form: ActForm) -> None:
    """Do it; raises ValidationError, FleetError and ProblemError."""
    await _ACTS[form.act](call, number, form)


async def _start(call: Call, number: str, _: ActForm) -> None:
    done(await planning.start(call.connection, number, by=call.principal))


async def _complete(call: Call, number: str, form: ActForm) -> None:
    visit = await store.find_visit(call.connection, number)
    body: dict[str, Any] = {
        "actions": await _actions(call, Kind(visit.kind), form),
        "entered_already": bool(form.entered_already),
        "instruction_given": bool(form.instruction_given),
        "receipt": form.receipt or None,
        "old_equipment_taken": {"yes": True, "no": False}.get(form.old_equipment_taken),
        "arrived_at": _arrived(form.arrived),
        "override": bool(form.override),
        "reason": form.reason.strip() or None,
        "note": plain(form.note) or None,
    }
    if form.cause or form.remedy:
        body["resolve"] = {"cause": form.cause, "remedy": form.remedy}
    await completed(call, number, CompletionBody.model_validate(body).completion())


async def _actions(call: Call, kind: Kind, form: ActForm) -> list[dict[str, Any]]:
    """What the form says was done to the books; none where the kind's usual is meant."""
    down = {"do": "take_down", "location": form.location.strip() or None}
    install = {"do": "install", "kit": form.new_kit.strip()}
    if form.entered_already:
        return []
    match kind:
        case Kind.TAKE_DOWN:
            return [down]
        case Kind.INSTALL:
            return [install] if install["kit"] else []
        case Kind.CALIBRATION:
            return [*_calibrations(form), *await _swaps(call, form)]
        case Kind.SWAP:
            return [down, install] if install["kit"] else await _swaps(call, form)
    return []


async def _swaps(call: Call, form: ActForm) -> list[dict[str, Any]]:
    made = []
    for at in range(SWAP_ROWS):
        out, into = form.row("outgoing", at), form.row("incoming", at)
        swap: dict[str, Any] = {"do": "swap"}
        if out.isdecimal():
            swap |= {"outgoing": int(out), "state": form.row("after", at) or None}
            swap["location"] = form.location.strip() or None
        if into:
            swap["incoming"] = await visitbring.piece(call, "incoming", into)
        if len(swap) > 1:
            made.append(swap)
    return made


def _calibrations(form: ActForm) -> list[dict[str, Any]]:
    if not form.calibrated.isdecimal():
        return []
    found = {
        "done_on": form.done_on,
        "by": form.workshop.strip(),
        "due": form.calibrated_until or None,
        "certificate": form.certificate.strip() or None,
        "result": form.result or "pass",
    }
    return [{"do": "calibrate", "component_id": int(form.calibrated), "calibration": found}]


def _arrived(text: str) -> str | None:
    """A time of today, by Danish clocks."""
    if not text:
        return None
    try:
        at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day, whose zone comes with the day
    except ValueError:
        raise InvalidError("arrived_at", "must be a time such as 09:30") from None
    now = datetime.now(DENMARK)
    return datetime.combine(now.date(), at, DENMARK).astimezone(UTC).isoformat()


async def _fail(call: Call, number: str, form: ActForm) -> None:
    said = {**_when(form), "failure": form.failure, "note": plain(form.note)}
    failed = planning.Failure(**FailureBody.model_validate(said).model_dump())
    done(await planning.fail(call.connection, number, failed, by=call.principal))


async def _plan(call: Call, number: str, form: ActForm) -> None:
    """What differs from how the visit is: a day that stays does not plan anew what is under way."""
    visit = await store.find_visit(call.connection, number)
    asked: dict[str, Any] = dict.fromkeys(("window_from", "window_to", "crew")) | _when(form)
    asked |= {"urgent": bool(form.urgent), "note": plain(form.note)}
    edit = VisitEdit.model_validate(asked)
    asked = edit.model_dump(include=edit.model_fields_set)
    again = visit.state == "failed"
    changes = {name: new for name, new in asked.items() if again or new != getattr(visit, name)}
    revisions = frozenset({form.revision}) if form.revision else None
    if changes:
        done(await planning.change(call.connection, number, changes, by=call.principal, revisions=revisions))


async def _bring(call: Call, number: str, form: ActForm) -> None:
    removed = [int(each) for each in form.removed if each.isdecimal()]
    added = await visitbring.given(call, form)
    if not removed and not added:
        raise InvalidError("bring", "choose it from the list")
    await bringing.change(call.connection, number, added=added, removed=removed, by=call.principal)


async def _cancel(call: Call, number: str, form: ActForm) -> None:
    done(await planning.cancel(call.connection, number, reason=form.reason.strip(), by=call.principal))


_ACTS: dict[Act, Callable[[Call, str, ActForm], Awaitable[None]]] = {
    "start": _start,
    "complete": _complete,
    "fail": _fail,
    "plan": _plan,
    "bring": _bring,
    "cancel": _cancel,
}


def plain(text: str) -> str:
    """A text of a form in one line."""
    return " ".join(text.split())


def _when(form: ActForm) -> dict[str, str]:
    """Day, window and crew as far as they were filled in."""
    names = ("planned_on", "window_from", "window_to", "crew")
    return {name: getattr(form, name).strip() for name in names if getattr(form, name).strip()}
