"""The system user that servers run as when we are root: they refuse root, or should not have its rights."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAME = "fleet"


@dataclass(frozen=True, slots=True)
class Account:
    """A system user, with its main group."""

    name: str
    uid: int
    gid: int


def service_account(folder: Path) -> Account | None:
    """Whom the server that keeps its data in `folder` runs as; None: as ourselves.

    The owner of data that is there already; else the user `fleet`, made when missing; else `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        return _by_uid(folder.stat().st_uid, folder.stat().st_gid)
    return _named(NAME) or _created() or _named("nobody") or Account("nobody", 65534, 65534)


def hand_over(path: Path, account: Account | None) -> None:
    """Make `path` the account's."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _by_uid(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, gid)
    return Account(entry.pw_name, uid, entry.pw_gid)


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _created() -> Account | None:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        return None
    subprocess.run(
        [
            useradd, "--system", "--user-group", "--no-create-home",
            "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", NAME,
        ],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )  # fmt: skip
    # Also when it failed: another start may have made the user at the same time.
    return _named(NAME)
