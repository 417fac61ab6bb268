"""A million kits, as many components and lines of the audit: finding, listing and moving them over HTTP, by who asks.

Three ask: who sees everything, one municipality of hundreds, and an operator with agreements over a hundred of them.
Row-level security is on for all of them, as always.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.bench.fleets import temporary_database
from fleet.bench.importing import LINES, import_s
from fleet.bench.serving import Client, at_share, serving
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.state.listing import KitSort
from fleet.state.verdict import Health

QUERIES = load_queries("fleet.bench", "books.sql")

MUNICIPALITIES = 300
AGREEMENTS = 98
MOVED_EVERY = 50
"""One kit in so many has its stays and custody in the books, and can be moved."""
REQUESTS = 200
WARM_UP = 10
PAGE = 50
GOAL_P95_S: Mapping[str, float] = {"search": 0.03, "list": 0.1, "filter": 0.1, "health": 0.1, "audit": 0.1}
"""What is promised at a million kits, by the first word of what is asked."""
SCOPES: Mapping[str, str | None] = {"everything": None, "municipality": "kommune-12", "operator": "operator"}
"""Who asks: the organisation of the token."""

_BEFORE = ("quietly", "regions", "municipalities", "operator", "agreements", "locations", "models", "kit_types")
_ROWS = (
    *(
        "chosen",
        "choose",
        "kits",
        "words",
        "references",
        "placements",
        "place",
        "latest",
        "reports",
        "marks",
        "listening",
    ),
    *("components", "log", "stays", "custodies", "audit", "audit_owned"),
)

Draw = Callable[[Any], tuple[str, Any]]
"""From the answer before (None at first) the next request: its path and, for a POST, its body."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds per request."""

    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class BooksResult:
    """Seconds per request by what was asked and who asked, over one kept connection each.

    `missed` names what took longer than its goal, with who asked. `import_s` is for a file of `imported` components
    into the full books.
    """

    kits: int
    components: int
    fill_s: float
    imported: int
    import_s: float
    goal_p95_s: Mapping[str, float]
    missed: str
    requests: dict[str, dict[str, Spread]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a caller has before them."""

    drawn: list[dict[str, str]]
    waiting: list[str]
    told: list[dict[str, str]]


def measure(kits: int = 1_000_000, requests: int = REQUESTS, *, imported: int = LINES) -> BooksResult:
    """Fill a database of its own and ask `fleet api` as each of `SCOPES`."""
    with temporary_database() as (dsn, _):
        fill_s = fill(dsn, kits)
        secrets = {scope: asyncio.run(_token(dsn, scope, slug)) for scope, slug in SCOPES.items()}
        found: dict[str, dict[str, Spread]] = {}
        with serving(dsn) as port:
            for scope, secret in secrets.items():
                client = Client(port, secret)
                for kind, draw in _kinds(_sample(dsn, SCOPES[scope], kits)).items():
                    found.setdefault(kind, {})[scope] = _spread(client, draw, requests)
                client.close()
        took_s = asyncio.run(import_s(dsn, imported))
    missed = ", ".join(_missed(found)) or "none"
    return BooksResult(kits, kits, round(fill_s, 1), imported, round(took_s, 1), GOAL_P95_S, missed, found)


def _missed(found: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    return [
        f"{kind} ({scope})"
        for kind, scopes in found.items()
        for scope, spread in scopes.items()
        if spread.p95_s > GOAL_P95_S.get(kind.partition("_")[0], float("inf"))
    ]


def fill(dsn: str, count: int) -> float:
    """Enter `count` kits and as many components, set by set; returns the seconds it took."""
    values = {
        "count": count,
        "municipalities": MUNICIPALITIES,
        "agreements": AGREEMENTS,
        "every": moved_every(count),
    }
    began = perf_counter()
    with psycopg.connect(dsn) as connection:
        for name in _BEFORE:
            connection.execute(QUERIES[name], values)
        indexes = connection.execute(QUERIES["indexes"]).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        for name in _ROWS:
            connection.execute(QUERIES[name], values)
        for _, definition in indexes:
            connection.execute(definition)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return perf_counter() - began


def moved_every(count: int) -> int:
    """In a small fleet every kit can be moved."""
    return MOVED_EVERY if count > 100 * MOVED_EVERY else 1


async def _token(dsn: str, scope: str, organisation: str | None) -> str:
    connection = await connect(dsn, role="bench")
    try:
        made = await tokens.create(connection, name=f"bench {scope}", role=Role.ADMIN, organisation=organisation)
    finally:
        await connection.close()
    return made.secret


def _sample(dsn: str, organisation: str | None, count: int) -> Sample:
    values = {"organisation": organisation, "every": moved_every(count)}
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        drawn = connection.execute(QUERIES["drawn"], values).fetchall()
        waiting = connection.execute(QUERIES["waiting"], values).fetchall()
        told = connection.execute(QUERIES["told"], values).fetchall()
    return Sample(drawn, [row["kit"] for row in waiting], told)


def _kinds(sample: Sample) -> dict[str, Draw]:
    """What is asked, each with a way to draw the next request."""
    chance = random.Random(1)  # noqa: S311 - the same requests every time

    def one(name: str) -> str:
        return chance.choice(sample.drawn)[name]

    def search(text: Callable[[], str], _: Any) -> tuple[str, Any]:
        return f"/api/v1/search?q={quote(text())}", None

    moved = iter(sample.waiting)
    kinds: dict[str, Draw] = {
        "search_kit": partial(search, lambda: one("kit")),
        "search_kit_prefix": partial(search, lambda: one("kit")[:6]),
        "search_label": partial(search, lambda: one("label").split()[2]),
        "search_label_prefix": partial(search, lambda: one("label")[:4]),
        "search_label_words": partial(search, lambda: " ".join(one("label").split()[:2])),
        "search_serial": partial(search, lambda: one("serial")),
        "search_tail": partial(search, lambda: one("serial")[-4:]),
        "search_reference": lambda _: ("/api/v1/placements/look-up", {"reference": one("reference")}),
        "kit": lambda _: (f"/api/v1/kits/{one('kit')}", None),
        "step": lambda _: (f"/api/v1/kits/{next(moved)}/transitions", {"to": "preparing"}),
    }
    lists = {
        "list_kits": "/api/v1/kits",
        "filter_kits_state": "/api/v1/kits?state=installed",
        "filter_kits_rare_state": "/api/v1/kits?state=lost",
        "filter_kits_type": "/api/v1/kits?kit_type=copd",
        "filter_kits_rare_type": "/api/v1/kits?kit_type=rare",
        "list_components": "/api/v1/components",
        "filter_components_kind": "/api/v1/components?kind=scale",
        "filter_components_rare_kind": "/api/v1/components?kind=thermometer",
        "filter_components_rare_state": "/api/v1/components?state=at_supplier",
        "filter_components_due": "/api/v1/components?calibration_due_before=2026-06-10",
    }
    for sort in KitSort:
        name = sort.value.replace("-", "down_")
        if sort is not KitSort.KIT:
            lists[f"list_kits_{name}"] = f"/api/v1/kits?sort={sort}"
        for health in Health:
            lists[f"health_{health}_by_{name}"] = f"/api/v1/kits?health={health}&sort={sort}"
    lists |= {"audit_list": "/api/v1/audit", "audit_rare_action": "/api/v1/audit?action=orders.changed"}
    return kinds | {kind: partial(_page, path) for kind, path in lists.items()} | _audited(sample, chance)


def _audited(sample: Sample, chance: random.Random) -> dict[str, Draw]:
    """The audit by what somebody looks for in it, and half a day of it as a file, which is a page of an export."""

    def ask(names: tuple[str, ...], _: Any) -> tuple[str, Any]:
        line = chance.choice(sample.told)
        chosen = "".join(f"&{name}={quote(line[name])}" for name in names)
        return f"/api/v1/audit?limit={PAGE}{chosen}", None

    def export(_: Any) -> tuple[str, Any]:
        line = chance.choice(sample.told)
        return f"/api/v1/audit/export?at_from={quote(line['midnight'])}&at_to={quote(line['noon'])}", None

    filters = {
        "actor": ("actor",),
        "principal": ("principal",),
        "action": ("action",),
        "kind": ("subject_kind",),
        "subject": ("subject_kind", "subject"),
        "kit": ("kit",),
        "organisation": ("organisation",),
        "actor_and_action": ("actor", "action"),
    }
    return {f"audit_{name}": partial(ask, names) for name, names in filters.items()} | {"audit_export": export}


def _page(path: str, before: Any) -> tuple[str, Any]:
    """Page after page by its cursor, and from the beginning again after the last."""
    first = f"{path}{'&' if '?' in path else '?'}limit={PAGE}"
    return (first if before is None or before["next"] is None else f"{first}&cursor={before['next']}"), None


def _spread(client: Client, draw: Draw, requests: int) -> Spread:
    took: list[float] = []
    answer: Any = None
    warm_up = min(WARM_UP, requests)
    for _ in range(warm_up + requests):
        try:
            path, body = draw(answer)
        except StopIteration:  # every kit that waited was moved
            break
        took_s, answer = client.ask(path, body)
        took.append(took_s)
    measured = took[min(warm_up, len(took) // 2) :]
    return Spread(at_share(measured, 0.5), at_share(measured, 0.95)) if measured else Spread(0.0, 0.0)
