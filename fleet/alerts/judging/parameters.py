"""The parameters of the rules: one frozen type per rule, with defaults, units and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fleet.errors import InvalidError

DAY_S = 86_400.0
LONGEST_WINDOW_S = 7 * DAY_S


def _number(default: float, unit: str, bounds: tuple[float, float], en: str, da: str) -> Any:
    about = {"unit": unit, "least": bounds[0], "most": bounds[1], "en": en, "da": da}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class NoParameters:
    """A rule that has none."""


@dataclass(frozen=True, slots=True)
class NeverHeard:
    """How long after installation a kit may take."""

    at_least_s: float = _number(
        900,
        "s",
        (0, 30 * DAY_S),
        "Listening time after installation, or the kit's own allowance where that is longer",
        "Lyttetid efter opsætning, eller telekittets egen frist, hvor den er længere",
    )


@dataclass(frozen=True, slots=True)
class PairingLost:
    """How long a paired device may be out of contact while the tablet is in use."""

    used_days: float = _number(
        14,
        "d",
        (1, 28),
        "Days on which the tablet was in use without contact with the device",
        "Dage, hvor tabletten var i brug uden kontakt med udstyret",
    )


@dataclass(frozen=True, slots=True)
class PeripheralBattery:
    """When a device's battery is low."""

    below_percent: float = _number(15, "%", (1, 100), "Battery of a device below", "Udstyrets batteri under")


@dataclass(frozen=True, slots=True)
class TabletBattery:
    """When the tablet's battery is low."""

    below_percent: float = _number(15, "%", (1, 100), "Battery below, not charging", "Batteri under, oplades ikke")


@dataclass(frozen=True, slots=True)
class NotCharging:
    """When a tablet that does not charge matters."""

    below_percent: float = _number(40, "%", (1, 101), "Only while the battery is below", "Kun mens batteriet er under")
    from_percent: float = _number(
        15,
        "%",
        (0, 101),
        "Only from this on: a lower battery has a rule of its own",
        "Kun herfra: et lavere batteri har sin egen regel",
    )


@dataclass(frozen=True, slots=True)
class Storage:
    """When storage is low."""

    below_mb: float = _number(500, "MB", (1, 1_000_000), "Free storage below", "Ledig lagerplads under")


@dataclass(frozen=True, slots=True)
class Network:
    """When the way to us is bad."""

    weak_below_dbm: float = _number(-110, "dBm", (-150, -50), "Mobile signal weaker than", "Mobilsignal svagere end")
    late_s: float = _number(
        3600,
        "s",
        (60, 30 * DAY_S),
        "The newest heartbeat came later than this after it was made",
        "Det nyeste livstegn kom senere end dette, efter at det blev lavet",
    )


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """When a tablet's clock is wrong; what is within 2 minutes ahead and 30 days behind is not seen."""

    over_s: float = _number(120, "s", (120, 365 * DAY_S), "Clock off by more than", "Uret går forkert med mere end")


@dataclass(frozen=True, slots=True)
class Restarts:
    """How many starts are too many."""

    more_than: float = _number(6, "", (1, 1_000), "More starts than", "Flere genstarter end")
    within_s: float = _number(DAY_S, "s", (600, LONGEST_WINDOW_S), "Within", "Inden for")


Parameters = (
    NoParameters
    | NeverHeard
    | PairingLost
    | PeripheralBattery
    | TabletBattery
    | NotCharging
    | Storage
    | Network
    | ClockSkew
    | Restarts
)


def checked(kind: type[Parameters], given: Mapping[str, Any], *, base: Parameters | None = None) -> Parameters:
    """A value of `kind`: the defaults, or `base`, with what is `given`; raises InvalidError naming the parameter."""
    known = {each.name: each.metadata for each in fields(kind)}
    values = {} if base is None else {name: getattr(base, name) for name in known}
    for name, value in given.items():
        if name not in known:
            raise InvalidError(f"parameters.{name}", f"is none of the rule's: {', '.join(known) or 'it has none'}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidError(f"parameters.{name}", "must be a number")
        about = known[name]
        if not about["least"] <= value <= about["most"]:
            raise InvalidError(f"parameters.{name}", f"must lie between {about['least']:g} and {about['most']:g}")
        values[name] = round(float(value), 3)
    return kind(**values)


def able_to_speak(parameters: Parameters) -> Parameters:
    """The same; raises InvalidError when no kit could ever be as they say. For what is set, not for what is kept."""
    if isinstance(parameters, NotCharging) and parameters.from_percent >= parameters.below_percent:
        told = f"must be below below_percent, which is {parameters.below_percent:g}: the rule would never speak"
        raise InvalidError("parameters.from_percent", told)
    return parameters


def plain(parameters: Parameters) -> dict[str, float]:
    """The values by name, as they are stored."""
    return {each.name: float(getattr(parameters, each.name)) for each in fields(parameters)}
