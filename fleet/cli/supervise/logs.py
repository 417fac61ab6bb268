"""The log file of each role: bounded in size, watched for errors."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fleet.embedded.files import make_folder

LARGEST_BYTES = 20_000_000
_TAIL_BYTES = 20_000
_ERROR = re.compile(r'\[(error|critical)\s*\]|"level": ?"(error|critical)"|^Traceback ')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(slots=True)
class LogFolder:
    """`<folder>/<role>.log`, with the one before as `<role>.log.1`."""

    folder: Path
    largest_bytes: int = LARGEST_BYTES
    _seen: dict[str, int] = field(default_factory=dict)

    def path(self, role: str) -> Path:
        """Where `role` writes."""
        return self.folder / f"{role}.log"

    def open(self, role: str) -> IO[bytes]:
        """Open the log of `role` for appending."""
        make_folder(self.folder)
        file = self.path(role).open("ab")
        self._seen.setdefault(role, file.tell())
        return file

    def bound(self) -> None:
        """Move each log that has grown too large aside; its writer goes on at the start of the file."""
        for path in self.folder.glob("*.log"):
            if path.stat().st_size > self.largest_bytes:
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
                with path.open("r+b") as file:
                    file.truncate(0)
                self._seen[path.stem] = 0

    def last_lines(self, role: str, count: int = 3) -> list[str]:
        """The last lines that `role` wrote, without empty and indented ones (the inside of a traceback)."""
        lines = [line for line in self._text_from(role, -_TAIL_BYTES).splitlines() if line[:1].strip()]
        return lines[-count:]

    def new_error(self, role: str) -> str | None:
        """The first line told as an error since the last call, if any."""
        text = self._text_from(role, self._seen.get(role, 0))
        return next((line for line in text.splitlines() if _ERROR.search(line)), None)

    def _text_from(self, role: str, offset: int) -> str:
        """Text of the log from `offset` (negative: from its end), at most its last part."""
        try:
            with self.path(role).open("rb") as file:
                end = file.seek(0, 2)
                start = max(end + offset, 0) if offset < 0 else min(offset, end)
                file.seek(max(start, end - _TAIL_BYTES))
                content = file.read()
        except OSError:
            return ""
        if offset >= 0:
            self._seen[role] = end
        return _COLOUR.sub("", content.decode(errors="replace"))
