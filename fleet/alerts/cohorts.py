"""Cohorts: what kits have in common that may be why they fail together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias


class CohortKind(StrEnum):
    """What a cohort has in common. Of those that explain a mass event alike, the earlier one is named."""

    FLEET = "fleet"
    CAMPAIGN = "campaign"
    """The campaign of the newest update report."""
    APP = "app"
    OS = "os"
    MDM = "mdm"
    """Versions of the telemedicine app, the tablet's system and the management agent, as reported."""
    MODEL = "model"
    """The tablet's, by the books."""
    OPERATOR = "operator"
    """The mobile network's name, as reported."""
    ORGANISATION = "organisation"
    REGION = "region"
    """An organisation with all below it."""


RANK = {kind: number for number, kind in enumerate(CohortKind)}


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort; `value` is a version, a name or the short name of an organisation, and empty for the fleet."""

    kind: CohortKind
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


FLEET = Cohort(CohortKind.FLEET)
Traits: TypeAlias = frozenset[Cohort]
"""Every cohort that a kit is in; the fleet always is one of them."""


@lru_cache(maxsize=4096)
def cohort_of(text: str) -> Cohort:
    """The cohort that is written `kind:value`, as the database says it."""
    kind, _, value = text.partition(":")
    return Cohort(CohortKind(kind), value)
