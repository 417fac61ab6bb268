"""Files and folders that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fleet.errors import UnavailableError


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def secret_in(path: Path) -> str:
    """The secret kept in `path`; made on first use."""
    try:
        kept = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        kept = ""
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from None
    if kept:
        return kept
    made = secrets.token_urlsafe(32)
    write_private(path, made + "\n")
    return made


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Create `path` with `mode` unless it is there; raises UnavailableError with one clear line."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"cannot create the folder {path}: {error.strerror}") from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise UnavailableError(f"the folder {path} is not writable for this user")
