"""`fleet stock` and `fleet orders` as an administrator types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.logistics_world import API, day, logistics, made, order, stocked
from tests.support import environment


def fleet(database: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        check=False,
        env=environment(database_url=database),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_stock_and_orders_are_shown(database: str, tmp_path: Path) -> None:
    nothing = fleet(database, tmp_path, "stock", "reorder")
    assert (nothing.returncode, nothing.stdout) == (0, "nothing falls below its minimum\n"), nothing.stderr
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1", "S-2")
        await order(
            world.a,
            {"model_id": world.models["scale"], "quantity": 4, "location": "depot-a", "expected_on": day(9)},
            reference="PO-1",
        )
        body = {"model_id": world.models["scale"], "location": "depot-a", "minimum": 9}
        await made(await world.a.post(f"{API}/stock/minimums", json=body))
    shown = fleet(database, tmp_path, "stock", "show")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1].split() == [
        *("Maker", "Model", "scale", "depot-a", "aalborg"),
        *("2", "2", "0", "4", day(9)),
    ]
    (level,) = json.loads(fleet(database, tmp_path, "stock", "show", "--kind", "scale", "--json").stdout)["items"]
    assert (level["in_stock"], level["on_order"]) == (2, 4)
    assert json.loads(fleet(database, tmp_path, "stock", "show", "--kind", "sim", "--json").stdout)["items"] == []
    short = fleet(database, tmp_path, "stock", "reorder")
    assert short.returncode == 1
    assert short.stdout.splitlines()[1].split()[-4:] == ["2", "4", "9", "3"]
    listed = fleet(database, tmp_path, "orders", "list", "--state", "open")
    assert "0 of 4" in listed.stdout
    assert listed.stdout.rstrip().endswith("PO-1")
    assert len(json.loads(fleet(database, tmp_path, "orders", "list", "--json").stdout)["items"]) == 1
