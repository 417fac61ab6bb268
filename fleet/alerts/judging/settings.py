"""Which settings of the rules apply to which kits: the rules themselves, and variants laid over them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.judging.parameters import checked
from fleet.alerts.rules import Line, Rule, RuleName, graded

Rules = Mapping[RuleName, Rule]


@dataclass(frozen=True, slots=True)
class Variant:
    """Other settings for some kits; what is None is as below it. `depth` is how deep its organisation lies, from 1."""

    variant_id: int
    rule: RuleName
    version: int
    depth: int = 0
    programme: str | None = None
    kit_type: str | None = None
    model_id: int | None = None
    severity: str | None = None
    line: Line | None = None
    for_s: float | None = None
    keep_firing_for_s: float | None = None
    enabled: bool | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int, int]:
        """What is laid on later says more: programme, then kit type, then model; alike, the deeper organisation."""
        kinds = (self.programme, self.kit_type, self.model_id)
        return max((i + 1 for i, each in enumerate(kinds) if each is not None), default=0), self.depth, self.variant_id


def varied(rule: Rule, variants: Iterable[Variant]) -> Rule:
    """The rule with its variants laid over it, the more specific last."""
    for each in sorted(variants, key=lambda variant: variant.order):
        told = {
            name: value
            for name in ("line", "for_s", "keep_firing_for_s", "enabled")
            if (value := getattr(each, name)) is not None
        }
        parameters = checked(CATALOGUE[rule.rule].parameters, each.parameters, base=rule.parameters)
        rule = replace(rule, **told, parameters=parameters, version=max(rule.version, each.version))
        rule = graded(rule, each.severity)
    return rule


@dataclass(frozen=True, slots=True)
class Settings:
    """All rules as they apply: `of[number]` to kits with that set of variants, `of[0]` to those without any."""

    of: Mapping[int, Rules]
    varies: bool = False
    """Whether there are variants at all."""

    @property
    def base(self) -> Rules:
        """The rules themselves."""
        return self.of[0]

    def rules_of(self, rule_set: int) -> Rules:
        """The rules for kits with this set; the rules themselves when it is not known yet."""
        return self.of.get(rule_set, self.of[0])


def resolve(rules: Rules, variants: Iterable[Variant], sets: Mapping[int, Sequence[int]]) -> Settings:
    """Lay the variants of every set over the rules; what a set names and is no more does not count."""
    known = {each.variant_id: each for each in variants}
    of: dict[int, Rules] = {0: rules}
    for number, members in sets.items():
        laid = [known[member] for member in members if member in known]
        of[number] = {name: varied(rule, [each for each in laid if each.rule == name]) for name, rule in rules.items()}
    return Settings(of, bool(known))
