"""`rules/{rule}/dry-run`: settings tried on what was reported, before they count."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from fleet.alerts.judging import dryrun
from fleet.api.auth import Call, ReadAlerts
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.rules import RuleEdit, RulePath, Word
from fleet.api.shapes import PREFIX, Answer, KitId, Moment, Severity

router = APIRouter(prefix=PREFIX, tags=["rules"])


class DryRunOrder(RuleEdit):
    """Settings to try instead of those of the rule, over the last `days`, for some kits or all that the caller sees.

    The variants of the kits are laid over them as the worker does; without `variants` they do not count, as for trying
    a variant before it is made.
    """

    days: Annotated[int, Field(ge=1, le=30)] = 7
    kits: Annotated[list[KitId], Field(min_length=1, max_length=200)] | None = None
    organisation: Slug | None = None
    programme: Word | None = None
    kit_type: Word | None = None
    variants: bool = True


class Span(Answer):
    """From opening to clearing; `cleared_at` is null while it stands. `suppressed_by` kept it quiet."""

    opened_at: Moment
    cleared_at: Moment | None
    suppressed_by: str | None


class Would(Span):
    """An alert that would have been; one that was suppressed would have been told of at `heard_at`, if then it held."""

    severity: Severity
    resolution: str | None
    heard_at: Moment | None
    flapping: bool
    evidence: dict[str, Any]


class DryRunKit(Answer):
    """One kit: what would have opened, and what did."""

    kit: str
    would: list[Would]
    did: list[Span]


class DryRunDay(Answer):
    """Alerts that would have opened on a day (UTC), those somebody would have been told of, and those that opened."""

    day: date
    would: int
    told: int
    did: int


class DryRunKept(Answer):
    """What would have kept alerts quiet: maintenance and mass events that there were, shelves that stand, and mass
    events that these settings would have made (`incident:` with the cohort).

    `withheld` did not open, because their kits were not evaluated; `heard_later` held when it was over.
    """

    by: str
    suppressed: int
    withheld: int
    heard_later: int


class DryRun(Answer):
    """What would have been. `looked_at` of the `kits` were told again; `complete` is false when the time ran out.

    Somebody would have been told of `would_tell` of those that would have opened; `estimated` is that for all `kits`,
    where only some were looked at. Our own outages count as in the worker: they are known from `outages_known_from`
    on. What stood before the history begins is not known and counts as nothing.
    """

    begin: Moment
    end: Moment
    kits: int
    looked_at: int
    complete: bool
    varied: int = Field(description="Kits to which a variant applied")
    would_open: int
    would_clear: int
    would_tell: int
    estimated: int
    incidents: int = Field(description="Mass events that the settings would have made")
    kept_quiet: list[DryRunKept]
    did_open: int
    outages: int = Field(description="How often we did not listen")
    outages_s: float = Field(description="For how long altogether")
    outages_known_from: Moment | None
    days: list[DryRunDay]
    items: list[DryRunKit] = Field(description="Kits with anything to tell, 500 at most")


@router.post("/rules/{rule}/dry-run", responses=documented(404))
async def dry_run(call: ReadAlerts, rule: RulePath, body: DryRunOrder) -> DryRun:
    """Try settings on the history: what would have opened, beside what did. Nothing is changed."""
    return await tried(call, rule, body)


async def tried(call: Call, rule: str, body: DryRunOrder) -> DryRun:
    """A dry run as it is answered."""
    chosen = {"days", "kits", "organisation", "programme", "kit_type", "variants"}
    given = body.model_dump(exclude_unset=True, exclude=chosen)
    changes = {name: value for name, value in given.items() if value is not None}
    order = dryrun.Order(changes, **body.model_dump(include=chosen))
    result = await dryrun.run(call.connection, rule, order, datetime.now(UTC))
    return DryRun(
        begin=result.begin,
        end=result.end,
        kits=result.kits,
        looked_at=result.looked_at,
        complete=result.complete,
        varied=result.varied,
        would_open=result.opened,
        would_clear=result.cleared,
        would_tell=result.heard,
        estimated=round(result.heard * result.stride),
        incidents=result.incidents,
        kept_quiet=[DryRunKept.model_validate(each) for each in result.kept],
        did_open=result.did_open,
        outages=result.outages,
        outages_s=round(result.deaf_s, 3),
        outages_known_from=result.known_from,
        days=[DryRunDay(day=day, would=would, told=told, did=did) for day, would, told, did in result.per_day],
        items=[_dry_run_kit(each) for each in result.told],
    )


def _dry_run_kit(kit: dryrun.KitResult) -> DryRunKit:
    return DryRunKit(
        kit=kit.kit,
        would=[Would.model_validate(episode) for episode in kit.would],
        did=[Span.model_validate(each) for each in kit.did],
    )
