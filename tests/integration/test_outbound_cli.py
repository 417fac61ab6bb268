"""`fleet webhooks`: seeing how receivers fare, trying one, sending again."""

from __future__ import annotations

import json

import pytest

from fleet.cli import main
from tests.outbound_world import outbound
from tests.support import execute, rows


def run(database: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command."""
    monkeypatch.setenv("FLEET_DATABASE_URL", database)
    monkeypatch.setattr("sys.argv", ["fleet", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


async def made(database: str) -> int:
    """A webhook with two deliveries that were given up."""
    async with outbound(database) as here:
        hook = await here.webhook("https://desk.example.dk/fleet")
        for _ in range(2):
            await here.fact()
        await here.relay()
    execute(database, "UPDATE deliveries SET state = 'dead', ended_at = now()")
    return hook.outlet_id


def test_a_receiver_from_the_command_line(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    number = str(asyncio.run(made(database)))
    assert run(database, monkeypatch, "webhooks", "list") == 0
    assert "https://desk.example.dk/fleet" in capsys.readouterr().out
    assert run(database, monkeypatch, "webhooks", "redeliver", number) == 0
    assert "2 deliveries" in capsys.readouterr().out
    assert run(database, monkeypatch, "webhooks", "ping", number) == 0
    assert rows(database, "SELECT type FROM deliveries WHERE state = 'pending' ORDER BY ahead DESC, delivery_id") == [
        ("ping",),
        ("request.opened",),
        ("request.opened",),
    ]
    capsys.readouterr()
    assert run(database, monkeypatch, "webhooks", "list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["items"]
    assert found["pending"] == 3
    assert "secret" not in found
    assert run(database, monkeypatch, "webhooks", "ping", "987654321") == 1
