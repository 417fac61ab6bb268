"""The demo: simulated kits in the books and a simulator that plays them."""

from __future__ import annotations

import csv
import io
import resource
import sys
from typing import TypeAlias

from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.plan import Plan, plain_command
from fleet.cli.supervise.steps import printed, run_step
from fleet.cli.supervise.supervisor import Role
from fleet.embedded.files import write_private
from fleet.embedded.process import Command
from fleet.errors import UsageError

SCENARIO = "demo"
_SIMULATOR = (sys.executable, "-P", "-c", "from simulator.cli import main; main()")
_OPEN_FILES_BESIDE = 200
_MOST_OPEN_FILES = 65_536
_STORED = "in_stock"
_WITH_THEM = ("models", "components", "placements")
"""In this order. What a demo before this one entered are bad lines to be left out."""

Row: TypeAlias = dict[str, str]


def allow_connections(kits: int) -> None:
    """Raise our limit of open files, which the children inherit; raises UsageError when it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if kits + _OPEN_FILES_BESIDE > max(soft, most):
        raise UsageError(
            f"--simulate {kits} needs as many open files, this machine allows {most} (ulimit -Hn): "
            f"at most --simulate {most - _OPEN_FILES_BESIDE}"
        )


async def seed(plan: Plan, kits: int, logs: LogFolder) -> None:
    """Enter the simulated kits into the books, with what is in them and whose homes they are in.

    Those of an earlier, larger demo that nobody plays any more go into stock, where silence is no fault. What is in
    the books already stays.
    """
    path = plan.data_dir / "demo-kits.csv"
    played = _rows(await _printed(plan, "kits", kits, logs))
    earlier = _rows(path.read_text(encoding="utf-8")) if path.exists() else []
    write_private(path, _table(with_stored(played, earlier)))
    await run_step("demo", plan.command("kits", "import", str(path), "--update"), logs)
    for kind in _WITH_THEM:
        path = plan.data_dir / f"demo-{kind}.csv"
        write_private(path, await _printed(plan, kind, kits, logs))
        await run_step("demo", plan.command(kind, "import", str(path), "--skip-bad"), logs)


async def _printed(plan: Plan, kind: str, kits: int, logs: LogFolder) -> str:
    return await printed("demo", _simulator(plan, kind, SCENARIO, "--kits", str(kits)), logs)


def with_stored(played: list[Row], earlier: list[Row]) -> list[Row]:
    """The kits that are played, and those of `earlier` that are not any more, in stock."""
    names = {row["kit"] for row in played}
    return played + [{**row, "state": _STORED} for row in earlier if row["kit"] not in names]


def simulator_role(plan: Plan, kits: int) -> Role:
    """Plays the demo without end; every start is a new boot of every tablet."""
    return Role("simulator", lambda: _simulator(plan, "run", SCENARIO, "--kits", str(kits), "--endless", within_s=8.0))


def _simulator(plan: Plan, *arguments: str, within_s: float = 10.0) -> Command:
    return plain_command(*_SIMULATOR, *arguments, environment=plan.environment, folder=plan.data_dir, within_s=within_s)


def _rows(text: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(text)))


def _table(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
