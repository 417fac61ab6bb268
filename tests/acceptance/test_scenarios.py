"""The simulator's short scenarios against `fleet up`: what each expects is what the real processes do."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_up import ROLES, START_S, fleet, running
from tests.support import environment, execute, process

pytestmark = pytest.mark.scenarios

TOGETHER = ("flapping", "duty-cycle", "maintenance")
ALONE = ("incident",)
LONGEST_S = 180.0
WINDOW = """
WITH window_ AS (
    INSERT INTO maintenance_windows (title, names_kits, starts_at, ends_at, current_from, current_to, created_by)
    VALUES ('work', true, now(), now() + interval '1 hour', now(), now() + interval '1 hour', 'test')
    RETURNING window_id)
INSERT INTO maintenance_window_kits SELECT w.window_id, k.kit_id FROM window_ w, kits k WHERE k.kit LIKE 'WORK-%%'
"""


def enter(scenario: str, tmp_path: Path, run: dict[str, Any]) -> None:
    """The books, as the scenario wants them."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "kits", scenario],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    file = tmp_path / f"{scenario}.csv"
    file.write_text(done.stdout, encoding="utf-8")
    imported = fleet("kits", "import", str(file), database_url=run["database_url"])
    assert imported.returncode == 0, imported.stderr


async def play(scenario: str, run: dict[str, Any]) -> None:
    """Run it to its end within the time it may take; it passes."""
    playing = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "simulator", "run", scenario, "--json"),
        env=environment(mqtt_url=run["mqtt_url"], database_url=run["database_url"]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(playing.communicate(), LONGEST_S)
    finally:
        if playing.returncode is None:
            playing.kill()
            await playing.wait()
    assert playing.returncode in {0, 1}, err.decode()
    failed = {each["name"]: each["detail"] for each in json.loads(out)["expectations"] if not each["met"]}
    assert not failed, (scenario, failed)


@pytest.mark.parametrize("scenarios", [TOGETHER, ALONE], ids="-".join)
@pytest.mark.timeout(LONGEST_S + START_S)
async def test_scenarios_pass(tmp_path: Path, scenarios: tuple[str, ...]) -> None:
    """Those that expect a mass event are played without others, whose kits it would be about as well."""
    data_dir = tmp_path / "data"
    with process("fleet", "up", log=tmp_path / "up.log", data_dir=str(data_dir), http_port="0") as up:
        run = await running(data_dir, up, ROLES)
        for scenario in scenarios:
            enter(scenario, tmp_path, run)
        execute(run["database_url"], WINDOW)
        async with asyncio.TaskGroup() as group:
            for scenario in scenarios:
                group.create_task(play(scenario, run))
