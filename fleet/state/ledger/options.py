"""What can be done with a kit, for whoever asks: the steps it has, what each asks for and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.access.principal import Principal
from fleet.state.ledger.facts import kit_facts
from fleet.state.ledger.guards import KitFacts, Unmet, unmet
from fleet.state.ledger.steps import may_override
from fleet.state.ledger.store import Connection, kit_id_of, opened
from fleet.state.lifecycle import KITS, Guard, KitState, Step


@dataclass(frozen=True, slots=True)
class Option:
    """A step that the caller may take: what it asks for, and what stands in its way at present."""

    to: KitState
    required: frozenset[str]
    guards: tuple[Guard, ...]
    unmet: tuple[Unmet, ...]
    overridable: bool


async def kit_options(connection: Connection, kit: str, *, by: Principal) -> list[Option]:
    """The steps a kit has for the caller, with what is missing for each; raises NotFoundError."""
    kit_id = await kit_id_of(connection, kit)
    async with connection.transaction(), opened(connection, kits=[kit_id], bundles=True) as log:
        row, book = log.kits[kit_id], log.kit(kit_id)
        whose = (row.organisation_id, row.owner_id)
        facts = await kit_facts(connection, log, kit_id, book, log.now)
        roles = by.roles_for(*whose)
        return [_option(step, facts, by, whose) for step in KITS.steps_from(book.state) if step.roles & roles]


def _option(step: Step[KitState], facts: KitFacts, by: Principal, whose: tuple[int | None, int | None]) -> Option:
    missing = unmet(step.guards, facts)
    may = may_override(by, {each.guard for each in missing}, *whose)
    return Option(step.target, step.required, step.guards, missing, may)
