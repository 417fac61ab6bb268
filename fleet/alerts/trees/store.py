"""Trees of this installation: those that came with the program, and the versions that people entered over them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

from fleet.access.principal import Principal
from fleet.alerts.trees.facts import Around
from fleet.alerts.trees.tree import Tree, parse
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.log import get_logger

_LOG = get_logger("fleet.alerts.trees")
_SQL = load_queries("fleet.alerts.trees", "trees.sql")
MOST_TREES = 500
SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Kept:
    """A version of a tree as it is kept; `source` is who entered it, or `shipped`."""

    tree: str
    version: int
    body: str
    retired: bool
    created_at: datetime | None
    source: str


@cache
def shipped() -> dict[str, str]:
    """The trees that came with the program, by name, as YAML."""
    folder = resources.files("fleet.alerts.trees").joinpath("shipped")
    found = {}
    for file in folder.iterdir():
        if file.name.endswith(".yaml"):
            body = file.read_text(encoding="utf-8")
            found[parse(body).tree] = body
    return found


async def list_trees(connection: Connection) -> list[Kept]:
    """The newest version of every tree that is offered, by name.

    A version that was taken by rules of an earlier release and is refused by today's is left out and told in the log:
    it must not cost anybody the others.
    """
    rows = await fetch_all(connection, _SQL["newest"], {"limit": MOST_TREES}, Kept)
    kept = {row.tree: row for row in rows}
    trees = {name: _shipped(name) for name in shipped() if name not in kept} | kept
    return [tree for _, tree in sorted(trees.items()) if not tree.retired and _readable(tree)]


async def find_tree(connection: Connection, tree: str, version: int | None = None) -> Kept:
    """A tree in its newest version, or in the one that is named; raises NotFoundError."""
    values = {"tree": tree, "version": version}
    row = await fetch_one(connection, _SQL["find"], values, Kept)
    if row is not None and (version is not None or not row.retired):
        return row
    if row is None and tree in shipped() and version in (None, _shipped(tree).version):
        return _shipped(tree)
    raise NotFoundError("problem tree", tree)


async def versions(connection: Connection, tree: str) -> list[Kept]:
    """Every version of a tree, the newest first; raises NotFoundError."""
    kept = await fetch_all(connection, _SQL["versions"], {"tree": tree, "limit": MOST_TREES}, Kept)
    if tree in shipped():
        kept.append(_shipped(tree))
    if not kept:
        raise NotFoundError("problem tree", tree)
    return kept


async def enter_version(connection: Connection, name: str, body: str, *, by: Principal) -> Tree:
    """Enter a new version of a tree; it counts from now on.

    Raises InvalidError naming what is wrong with it, ConflictError when its version is no higher than what there is.
    """
    tree = parse(body)
    if tree.tree != name:
        raise InvalidError("tree", f"says {tree.tree!r}, and is entered as {name!r}")
    async with connection.transaction():
        await connection.execute(_SQL["serialise"], {"tree": name})
        newest = await fetch_value(connection, _SQL["newest_version"], {"tree": name}) or 0
        if name in shipped():
            newest = max(newest, _shipped(name).version)
        if tree.version <= newest:
            raise ConflictError(f"{name} has version {newest} already: give this one version {newest + 1}")
        values = {"tree": name, "version": tree.version, "body": body, "actor": by.actor}
        await connection.execute(_SQL["enter"], values)
    return tree


async def retire(connection: Connection, name: str, *, by: Principal) -> None:
    """Offer a tree no more; its versions stay, since calls name them. Raises NotFoundError."""
    async with connection.transaction():
        await connection.execute(_SQL["serialise"], {"tree": name})
        kept = await find_tree(connection, name)
        if kept.source == SHIPPED:
            values = {"tree": name, "version": kept.version + 1, "body": _renumbered(kept), "actor": by.actor}
            await connection.execute(_SQL["enter"], values)
        await connection.execute(_SQL["retire"], {"tree": name})


async def around(connection: Connection, kit: str) -> Around:
    """What stands around a kit besides what it reports."""
    row: Around | None = await fetch_one(connection, _SQL["around"], {"kit": kit}, Around)
    return row or Around()


def _readable(kept: Kept) -> bool:
    try:
        parse(kept.body)
    except InvalidError as error:
        _LOG.warning("problem tree left out: enter a new version", tree=kept.tree, error=str(error))
        return False
    return True


def _renumbered(kept: Kept) -> str:
    """The body with the next version, so that the retired one is a version of its own."""
    return kept.body.replace(f"version: {kept.version}", f"version: {kept.version + 1}", 1)


@cache
def _shipped(name: str) -> Kept:
    body = shipped()[name]
    return Kept(name, parse(body).version, body, retired=False, created_at=None, source=SHIPPED)
