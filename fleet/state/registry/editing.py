"""Editing a row that people edit: locked, compared with the revision they saw, changed, read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fleet.db.rows import Connection
from fleet.errors import NotFoundError


class Revised(Protocol):
    """A row whose revision rises with every change."""

    @property
    def revision(self) -> int:
        """How often it was written."""
        ...


R = TypeVar("R", bound=Revised)


@dataclass(frozen=True, slots=True)
class Outdated:
    """The caller's revision is not the present one: somebody else was faster."""

    revision: int


async def edit(
    connection: Connection,
    kind: str,
    name: str,
    *,
    lock: Callable[[], Awaitable[R | None]],
    write: Callable[[R], Awaitable[Any]],
    read: Callable[[], Awaitable[R]],
    revisions: frozenset[int] | None,
) -> R | Outdated:
    """One edit in one transaction; `write` is given the row as it was. Raises NotFoundError."""
    async with connection.transaction():
        before = await lock()
        if before is None:
            raise NotFoundError(kind, name)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        await write(before)
        return await read()


def merged(before: Any, changes: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields `names` as they become: what `changes` says, else as before."""
    return {name: changes[name] if name in changes else getattr(before, name) for name in names}
