"""Who is told before, and after, a promise of a contract is broken: its steps of escalation, row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Role
from fleet.alerts.sla import contractbook
from fleet.alerts.sla.measuring import Target
from fleet.api.calendars import WriteContracts
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.contracts import MOST_MINUTES
from fleet.api.organisations import SlugPath
from fleet.errors import ForbiddenError, InvalidError
from fleet.state.registry.editing import Outdated

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SPARE_ROWS = 2
MOST_PERCENT = 500
_OPEN_TIME = re.compile(r"([0-9]{1,4})(?::([0-5][0-9]))?", re.ASCII)


class StepsForm(ConsoleForm):
    """Steps of escalation, row by row; `value` is percent, or open hours and minutes before the end. Empty rows go."""

    revision: int = Field(0, ge=0)
    target: list[str] = Field(default_factory=list, max_length=100)
    how: list[str] = Field(default_factory=list, max_length=100)
    value: list[str] = Field(default_factory=list, max_length=100)
    tell: list[str] = Field(default_factory=list, max_length=100)
    raises: list[str] = Field(default_factory=list, max_length=100)

    def rows(self) -> list[dict[str, str]]:
        """The rows as they were sent."""
        columns = (self.target, self.how, self.value, self.tell, self.raises)
        names = ("target", "how", "value", "tell", "raises")
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=False)]


@router.get("/contracts/{slug}/escalations")
async def steps_page(request: Request, call: WriteContracts, slug: SlugPath) -> Response:
    """Who is told before, and after, a promise is broken."""
    found = await contractbook.find_contract(call.connection, slug)
    return _steps(request, found, [_row(each) for each in found.escalations], revision=found.revision)


@router.post("/contracts/{slug}/escalations")
async def save_steps(
    request: Request, call: WriteContracts, slug: SlugPath, form: Annotated[StepsForm, Form()]
) -> Response:
    """Set the steps; what is wrong stands beside its row."""
    found = await contractbook.find_contract(call.connection, slug)
    rows = form.rows()
    wanted, errors = steps_of(rows)
    refused = None
    if not errors:
        changes = {"escalations": wanted}
        seen = frozenset({form.revision})
        try:
            outcome = await contractbook.edit_contract(call.connection, slug, changes, revisions=seen)
        except ForbiddenError:
            refused = "list_for_all"
        except InvalidError:
            refused = "steps_refused"
        else:
            if not isinstance(outcome, Outdated):
                return RedirectResponse(f"/contracts/{slug}", HTTPStatus.SEE_OTHER)
            refused, form.revision = "list_stale", outcome.revision
    return _steps(request, found, rows, revision=form.revision, errors=errors, refused=refused)


def steps_of(rows: Sequence[Mapping[str, str]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The steps that rows of the form mean, and the text's key by `value-<row>` of what is wrong."""
    made: list[dict[str, Any]] = []
    errors = {}
    for number, row in enumerate(rows):
        if not row["value"].strip():
            continue
        amount = _amount(row["how"], row["value"].strip())
        role = row["tell"].removeprefix("role:") if row["tell"].startswith("role:") else None
        known = row["target"] in set(Target) and (row["tell"] in ("line", "assignee") or role in set(Role))
        if amount is None:
            errors[f"value-{number}"] = "steps_bad_percent" if row["how"] == "percent" else "steps_bad_time"
        elif not known:
            errors[f"value-{number}"] = "scan_choose"
        made.append(
            {
                "target": row["target"],
                "percent": amount if row["how"] == "percent" else None,
                "before_min": None if row["how"] == "percent" else amount,
                "notify": "role" if role is not None else row["tell"],
                "role": role,
                "raise_priority": row["raises"] == "yes",
            }
        )
    if len(made) > contractbook.MAX_STEPS:
        errors[f"value-{len(rows) - 1}"] = "steps_too_many"
    return made, errors


def _amount(how: str, text: str) -> int | None:
    """Percent, or minutes for `4:30` and `4` (hours); None for what is neither or out of bounds."""
    if how == "percent":
        number = text.removesuffix("%").strip()
        most = MOST_PERCENT
        amount = int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else 0
    else:
        found = _OPEN_TIME.fullmatch(text)
        most = MOST_MINUTES
        amount = int(found[1]) * 60 + int(found[2] or 0) if found else 0
    return amount if 1 <= amount <= most else None


def _row(step: Mapping[str, Any]) -> dict[str, str]:
    """A step as its row of the form shows it."""
    minutes = step["before_min"]
    return {
        "target": step["target"],
        "how": "percent" if step["percent"] is not None else "before",
        "value": str(step["percent"]) if step["percent"] is not None else f"{minutes // 60}:{minutes % 60:02}",
        "tell": f"role:{step['role']}" if step["role"] else step["notify"],
        "raises": "yes" if step["raise_priority"] else "no",
    }


def _steps(
    request: Request,
    found: contractbook.Contract,
    rows: Sequence[Mapping[str, str]],
    *,
    revision: int,
    errors: Mapping[str, str] | None = None,
    refused: str | None = None,
) -> Response:
    spare = {"target": "solution", "how": "percent", "value": "", "tell": "line", "raises": "no"}
    # Rows that were sent hold their empty ones already.
    shown = [*rows, *([spare] * SPARE_ROWS if all(row["value"] for row in rows) else [])]
    return render(
        request,
        "escalations.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.CONFLICT if refused else HTTPStatus.OK,
        path=f"/contracts/{found.slug}/escalations",
        live=False,
        contract=found,
        revision=revision,
        rows=shown,
        errors=errors or {},
        refused=refused,
        targets=[each.value for each in Target],
        roles=[each.value for each in Role if each is not Role.GRAFANA],
    )
