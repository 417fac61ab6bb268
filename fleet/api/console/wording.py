"""How the pages say what the API answers: one object per page, with its language and its now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fleet.api.console import texts
from fleet.api.console.texts import Language
from fleet.api.kitdetail import Reason
from fleet.api.kits import ChangeItem
from fleet.api.shapes import Title
from fleet.api.steps import Missing
from fleet.state.verdict import ReasonCode

MAX_VALUE = 80
NOTHING = "\u2013"


@dataclass(frozen=True, slots=True)
class Wording:
    """Texts of one page."""

    language: Language
    now: datetime

    def t(self, key: str, *values: object) -> str:
        """A text by its key."""
        return texts.text(self.language, key, *values)

    def named(self, group: str, name: str) -> str:
        """The word for a slug of the API."""
        return texts.named(self.language, group, name)

    def duration(self, seconds: float) -> str:
        """A length of time."""
        return texts.duration(self.language, seconds)

    def since(self, moment: datetime | None) -> str:
        """How long ago."""
        if moment is None:
            return self.t("never")
        return self.t("ago", self.duration((self.now - moment).total_seconds()))

    def moment(self, moment: datetime) -> str:
        """A time of day in UTC; the browser shows its own zone."""
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    def reason(self, reason: Reason) -> str:
        """One reason of a verdict."""
        return self.t(f"reason.{reason.code.value}", *self._said(reason.code, reason.details))

    def _said(self, code: ReasonCode, details: Mapping[str, Any]) -> tuple[object, ...]:
        """What goes into the text of a reason."""
        said: tuple[object, ...] = ()
        match code:
            case ReasonCode.SILENT:
                since = details.get("since")
                said = (self.duration((self.now - since).total_seconds()) if since else "?",)
            case ReasonCode.PAIRING_LOST:
                said = (", ".join(self._device(each) for each in details["peripherals"]),)
            case ReasonCode.VERSION_DRIFT:
                said = ("; ".join(self._drift(each) for each in details["components"]),)
            case ReasonCode.BATTERY_LOW:
                said = (round(details["battery"]),)
            case ReasonCode.STORAGE_LOW:
                said = (round(details["storage_free_mb"]),)
            case ReasonCode.CLOCK_AHEAD | ReasonCode.CLOCK_BEHIND:
                said = (self.duration(details["offset_s"]),)
            case ReasonCode.NOT_INSTALLED:
                said = (self.named("state", details["state"]),)
        return said

    def suppressed(self, reason: str) -> str:
        """What keeps an alert quiet: `maintenance:12` and the like."""
        kind, _, which = reason.partition(":")
        return f"{self.t(kind)} {which}" if kind in ("maintenance", "incident") else reason

    def title(self, title: Title) -> str:
        """A text that the API answers in both languages."""
        return title.da if self.language is Language.DA else title.en

    def missing(self, item: Missing) -> str:
        """One thing that stands in the way of a step."""
        return item.detail_da if self.language is Language.DA else item.detail

    def change(self, item: ChangeItem) -> str:
        """What a change was, in a line."""
        if item.what == "pairing":
            return self.named("pairing", str(item.after).lower())
        after = self._value(item.after)
        return after if item.before is None else self.t("value_from_to", self._value(item.before), after)

    def _device(self, device: Mapping[str, Any]) -> str:
        return f"{self.named('kind', str(device.get('kind')))} {device.get('serial')}"

    def _drift(self, item: Mapping[str, Any]) -> str:
        reported = item["reported"] or self.t("reason.missing")
        return self.t("reason.drift_item", item["component"], reported, item["wanted"])

    def _value(self, value: Any) -> str:
        """Books log objects of fields, reports log texts."""
        if not isinstance(value, dict):
            return NOTHING if value is None else _short(value)
        said = [self._field(name, each, len(value)) for name, each in value.items() if each not in (None, "", {})]
        return ", ".join(said) or NOTHING

    def _field(self, name: str, value: Any, fields: int) -> str:
        said = self.named("state", value) if name == "state" else _short(value)
        # Of a single stage it is clear what it is.
        return said if name == "state" and fields == 1 else f"{self.named('field', name)}: {said}"


def _short(value: Any) -> str:
    said = " ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
    return said if len(said) <= MAX_VALUE else said[: MAX_VALUE - 1] + "…"
