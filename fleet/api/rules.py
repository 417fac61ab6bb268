"""`rules`: what the worker watches for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from fleet.alerts import desk
from fleet.api.auth import ReadAlerts
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Page,
    PageQuery,
    Priority,
    Severity,
    SupportLine,
    Title,
    decode_cursor,
    page,
)

router = APIRouter(prefix=PREFIX)


class Rule(Answer):
    """What is watched for; the delays are seconds."""

    rule: str
    severity: Severity
    line: SupportLine
    priority: Priority
    for_s: float
    keep_firing_for_s: float
    enabled: bool
    title: Title


@router.get("/rules", tags=["rules"], responses=documented())
async def list_rules(call: ReadAlerts, query: Annotated[PageQuery, Query()]) -> Page[Rule]:
    """What the worker watches for."""
    after = decode_cursor(query.cursor, str) or ("",)
    values = {"after": after[0], "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "rules", values), query.limit, "rule")
    return Page(items=[_rule(row) for row in rows], next=cursor)


def _rule(row: dict[str, Any]) -> Rule:
    title = Title(en=row.pop("title_en"), da=row.pop("title_da"))
    return Rule(**row, title=title)
