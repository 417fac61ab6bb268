"""docs/reference/lifecycle.md, drawn from the tables of the two state machines."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from fleet.access.roles import Role
from fleet.docs.markdown import code, document, table
from fleet.state.ledger.guards import PROOF_MAX_AGE
from fleet.state.lifecycle import COMPONENTS, KITS, OVERRIDABLE, SWAPPING, Guard, Machine, Step

INTRODUCTION = """
A kit and each piece in it are in one state at a time. A step that is not drawn here is refused (`409`) with the steps
that are allowed; one whose guards are not met is refused with each thing that is missing.
`GET /api/v1/kits/{kit}/steps` tells both beforehand. Silence, drift and lost pairings are faults only while a kit is
`installed`.
"""
KIT_NOTE = f"""
A kit that is out of use for good is empty first, or takes its pieces along (`with_components`). Pieces go into a kit
while it is {", ".join(code(state) for state in sorted(SWAPPING))}; out of one that is `ready` nothing is taken.
"""
COMPONENT_NOTE = """
In a kit a piece shares the kit's life; it can only break and be mended there. Into a kit and out of it goes a swap, one
event for both pieces: `POST /api/v1/kits/{kit}/swaps`. Any other step of a piece in a kit takes it out.
"""
GUARDS: dict[Guard, str] = {
    Guard.BUNDLE_COMPLETE: "the kit holds what its type asks for, no more and no less, and nothing in it is faulty",
    Guard.CALIBRATION_VALID: "calibrations last to the end of the planned placement, and the type's margin beyond",
    Guard.SOFTWARE_AS_WANTED: "the tablet told its software since it was prepared, and it is what is wanted",
    Guard.PROOF_OF_FUNCTION: "heard live after it arrived, and every peripheral in the books, by serial number, in"
    f" contact since; both at most {PROOF_MAX_AGE.total_seconds() / 3600:.0f} h ago, by the tablet's clock and by ours",
    Guard.BUNDLE_EMPTY: "no piece is left in the kit, or the pieces go the same way",
    Guard.CLEANED: "what was with a citizen was cleaned since",
    Guard.STILL_IN_KIT: "the piece is still in its kit",
}


def page() -> str:
    """The page."""
    return document(
        "The life of a kit and of each piece",
        INTRODUCTION,
        "## Kits",
        KIT_NOTE,
        _picture(KITS),
        _steps(KITS),
        "## Components",
        COMPONENT_NOTE,
        _picture(COMPONENTS),
        _steps(COMPONENTS),
        "## Guards",
        _guards(),
    )


def _picture(machine: Machine[Any]) -> str:
    arrows = [f"    {step.source} --> {step.target}" for step in machine.steps]
    ends = [f"    {state} --> [*]" for state in _states(machine) if state in machine.final]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> ordered", *arrows, *ends, "```"])


def _states(machine: Machine[Any]) -> list[StrEnum]:
    return list(dict.fromkeys(end for step in machine.steps for end in (step.source, step.target)))


def _steps(machine: Machine[Any]) -> str:
    rows = [
        (code(step.source), code(step.target), _named(step.guards), _roles(step), _needs(step))
        for step in machine.steps
    ]
    return table(("from", "to", "guards", "roles", "needs"), rows)


def _roles(step: Step[Any]) -> str:
    return ", ".join(role.value for role in Role if role in step.roles)


def _needs(step: Step[Any]) -> str:
    return ", ".join([*sorted(step.required), *([] if step.reversible else ["for good"])])


def _named(guards: Iterable[Guard]) -> str:
    return ", ".join(code(guard) for guard in guards)


def _guards() -> str:
    rows = [(code(guard), GUARDS[guard], "yes" if guard in OVERRIDABLE else "") for guard in Guard]
    note = "Who holds `kits.override` there may take the step all the same, with a reason; the log marks it."
    return table(("guard", "what must be so", "a reason may replace it"), rows) + "\n\n" + note
