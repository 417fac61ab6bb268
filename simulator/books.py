"""A scenario's kits as the books have them: what is in each and whose home it is in, as CSV for `fleet … import`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from random import Random

from simulator.scenario import Scenario
from simulator.tablet import Tablet

MANUFACTURER = "Simulated"
PROGRAMME = "copd"
TABLET, SIM = "T-10", "M2M"
_ISSUER = "8945"
"""How the ICCID of a Danish SIM begins (ITU-T E.118)."""


def kits_csv(scenario: Scenario) -> str:
    """For `fleet kits import`."""
    fleet = scenario.fleet
    wanted = ";".join(f"{name}={version}" for name, version in scenario.software.wanted.items())
    return _table(
        ("kit", "label", "state", "organisation", "expected_interval_s", "wanted_components"),
        (
            (kit, f"Simulated {kit}", fleet.state, fleet.organisation, fleet.expected_interval_s, wanted)
            for kit in scenario.kit_ids()
        ),
    )


def models_csv(scenario: Scenario) -> str:
    """For `fleet models import`: the tablet, its SIM and the peripherals."""
    models = {"tablet": TABLET, "sim": SIM, **scenario.peripherals.models}
    return _table(("kind", "manufacturer", "name"), ((kind, MANUFACTURER, name) for kind, name in models.items()))


def components_csv(scenario: Scenario) -> str:
    """For `fleet components import`: the pieces of each kit, peripherals with the serial numbers they report."""
    return _table(
        ("manufacturer", "model", "serial", "kit", "organisation", "iccid"),
        (row for kit in scenario.kit_ids() for row in _pieces(scenario, kit)),
    )


def placements_csv(scenario: Scenario) -> str:
    """For `fleet placements import`: every kit with a citizen of its own; nothing where no kit is installed."""
    fleet = scenario.fleet
    rows = ((f"SIM-{kit}", fleet.organisation, kit, PROGRAMME) for kit in scenario.kit_ids())
    placed = fleet.organisation and fleet.state == "installed"
    return _table(("reference", "organisation", "kit", "programme"), rows if placed else ())


BOOKS: Mapping[str, Callable[[Scenario], str]] = {
    "kits": kits_csv,
    "models": models_csv,
    "components": components_csv,
    "placements": placements_csv,
}
"""What can be printed, in the order in which it is imported."""


def _pieces(scenario: Scenario, kit: str) -> Iterable[tuple[str, ...]]:
    organisation = scenario.fleet.organisation
    tablet = Tablet(kit, scenario, boot_prefix="", epoch=0.0, start_s=0.0)
    yield MANUFACTURER, TABLET, f"TB{kit}", kit, organisation, ""
    yield MANUFACTURER, SIM, f"SI{kit}", kit, organisation, _iccid(scenario, kit)
    for device in tablet.devices:
        yield MANUFACTURER, device.model, device.serial, kit, organisation, ""


def _iccid(scenario: Scenario, kit: str) -> str:
    """Nineteen digits, the last of them the check digit (ISO/IEC 7812-1)."""
    rng = Random(f"{scenario.fleet.seed}:{kit}:sim")  # noqa: S311 - chance, not secrecy
    number = _ISSUER + "".join(str(rng.randint(0, 9)) for _ in range(14))
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[::-2]]
    total = sum(doubled) + sum(int(digit) for digit in number[-2::-2])
    return f"{number}{-total % 10}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()
