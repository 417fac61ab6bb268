"""docs/reference/lifecycle.md, drawn from the state machine's table."""

from __future__ import annotations

from fleet.docs.markdown import code, document, table
from fleet.state.lifecycle import FINAL, STEPS, KitState

INTRODUCTION = """
A kit is in one state at a time. A step that is not drawn here is refused (`409`) with the steps that are allowed.
Silence, drift and lost pairings are faults only while a kit is `installed`.
"""


def page() -> str:
    """The page."""
    return document("The life of a kit", INTRODUCTION, _picture(), "## Steps", _steps())


def _picture() -> str:
    arrows = [f"    {step.source} --> {step.target}" for step in STEPS]
    ends = [f"    {state} --> [*]" for state in KitState if state in FINAL]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> ordered", *arrows, *ends, "```"])


def _steps() -> str:
    rows = []
    for state in KitState:
        steps = [step for step in STEPS if step.source is state]
        ways = ", ".join(code(step.target) + ("*" if step.required else "") for step in steps)
        rows.append((code(state), ways or "none: it stays"))
    needs = "\\* needs a `reason`."
    return table(("from", "to"), rows) + "\n\n" + needs
