"""`fleet user …` as an administrator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import running_app
from tests.people import add_organisations, browser, make_user
from tests.support import environment, rows, value


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


async def test_a_user_is_made_listed_disabled_and_let_in_again(database: str, tmp_path: Path) -> None:
    add_organisations(database, "a-by")
    options = ("--role", "support", "--role", "logistics", "--organisation", "a-by")
    made = fleet(database, tmp_path, "user", "create", "support-07", *options)
    assert made.returncode == 0, made.stderr
    password = made.stdout.strip()
    again = fleet(database, tmp_path, "user", "create", "Support-07", *options)
    assert (again.returncode, again.stderr) == (1, "fleet: the account name Support-07 is taken\n")
    (listed,) = json.loads(fleet(database, tmp_path, "user", "list", "--json").stdout)["items"]
    assert listed["roles"] == [
        {"role": "logistics", "organisation": "a-by"},
        {"role": "support", "organisation": "a-by"},
    ]
    assert password not in str(listed)
    assert "support-07" in fleet(database, tmp_path, "user", "list").stdout
    async with running_app(database) as app, browser(app) as person:
        await person.log_in("support-07", password)
        assert (await person.get("/")).headers["location"] == "/account"
        assert fleet(database, tmp_path, "user", "disable", "SUPPORT-07").stdout == "support-07 is disabled\n"
        assert (await person.get("/account")).headers["location"].startswith("/login")
        assert fleet(database, tmp_path, "user", "enable", "support-07").returncode == 0
    made_by = value(database, "SELECT actor FROM audit WHERE action = 'users.created'")
    assert made_by.startswith("command line (")
    assert password not in str(rows(database, "SELECT to_jsonb(a) FROM audit a"))


async def test_resets_let_somebody_in_who_is_locked_out(database: str, tmp_path: Path) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT), second_factor=True)
    async with running_app(database) as app, browser(app) as person:
        for _ in range(5):
            await person.log_in("support-07", "forkert")
        assert (await person.log_in("support-07")).status_code == 429
        reset = fleet(database, tmp_path, "user", "reset-password", "support-07", "--json")
        assert fleet(database, tmp_path, "user", "reset-totp", "support-07").returncode == 0
        answer = await person.log_in("support-07", json.loads(reset.stdout)["password"])
        assert answer.headers["location"] == "/"
    assert value(database, "SELECT totp_secret IS NULL AND must_change_password FROM users")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("create", "x", "--role", "support"), 2, "username"),
        (("create", "u0101801234", "--role", "support"), 2, "civil registration number"),
        (("create", "support-07", "--role", "support", "--organisation", "nowhere"), 2, "organisation"),
        (("create", "support-07", "--role", "king"), 2, "king"),
        (("create", "support-07"), 2, "--role"),
        (("disable", "nobody"), 1, "no user named 'nobody'"),
        (("reset-password", "nobody"), 1, "no user named 'nobody'"),
        (("reset-totp", "nobody"), 1, "no user named 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    database: str, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = fleet(database, tmp_path, "user", *arguments)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert value(database, "SELECT count(*) FROM users") == 0
