"""What strangers and owners ask: real identifiers for every path, and bodies that every operation takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from fleet.api.shapes import PREFIX
from tests.isolation.operations import Operation, example
from tests.isolation.world import A, B

NOBODY = "zznobody"
UNKNOWN_NUMBER = 987_654_321
MOST = 2
"""Things of one kind that are tried."""

Values = dict[str, Any]

ELSEWHERE = {
    f"{PREFIX}/commands": (f"{PREFIX}/kits/{{side}}-installed/commands", "items", "id"),
    f"{PREFIX}/placement-references": (f"{PREFIX}/placements", "items", "reference_id"),
    f"{PREFIX}/book-events": (f"{PREFIX}/kits/{{side}}-installed/history", "items", "id"),
    f"{PREFIX}/orders/{{id}}/lines": (f"{PREFIX}/orders/{{id}}", "lines", "id"),
}
"""Where the identifiers of a collection are listed that has no list itself: the address, the list in it, their name."""

PLAIN: Mapping[str, Any] = {
    "kit": "{side}-new",
    "slug": "{side}-new",
    "username": "{side}-new",
    "serial": "{side}-new",
    "reference": "{side}-ref-9",
    "organisation": "{side}",
    "location": "{side}-depot",
    "calendar": "{side}-hours",
    "operator": "helper-too",
    "supplier": "maker",
    "model_id": 3,
    "to": "lost",
    "name": "{side} new",
}
"""What fields of bodies hold, by name; the rest is made from the schema."""

BODIES: Mapping[str, Mapping[str, Any]] = {
    f"POST {PREFIX}/kits/{{kit}}/transitions": {"to": "lost", "reason": "of {side}"},
    f"POST {PREFIX}/components/{{id}}/transitions": {"to": "lost", "reason": "of {side}"},
    f"POST {PREFIX}/kits/{{kit}}/swaps": {"outgoing": "<components>", "state": "faulty"},
    f"POST {PREFIX}/bulk-transitions": {"mode": "itemised", "items": [{"kit": "{side}-lent", "to": "preparing"}]},
    f"POST {PREFIX}/orders": {"supplier": "maker", "organisation": "{side}", "lines": [{"model_id": 3, "quantity": 1}]},
    f"POST {PREFIX}/orders/{{id}}/receipts": {"lines": [{"line_id": "<lines>", "pieces": [{"serial": "{side}-new"}]}]},
    f"POST {PREFIX}/stock/minimums": {"model_id": 2, "organisation": "{side}"},
    f"POST {PREFIX}/repairs": {"component_id": "<components>", "kind": "repair"},
    f"POST {PREFIX}/reservations": {"component_id": "<components>", "visit": "{side}", "reserved_from": "2026-12-01"},
    f"POST {PREFIX}/kits/{{kit}}/moves": {"location": "{side}-van"},
    f"POST {PREFIX}/book-events/{{id}}/corrections": {"reason": "of {side}", "void": True},
    f"POST {PREFIX}/tokens": {"name": "{side} new", "role": "support", "organisation": "{side}"},
    f"POST {PREFIX}/webhooks": {"url": "https://desk.example.dk/", "events": ["*"], "organisation": "{side}"},
    f"POST {PREFIX}/mail-subscriptions": {"address": "new@example.dk", "events": ["*"], "organisation": "{side}"},
    f"POST {PREFIX}/connectors": {
        "url": "https://tickets.example.dk",
        "token": "of {side}",
        "group": "of {side}",
        "customer": "fleet@example.dk",
        "organisation": "{side}",
    },
    f"POST {PREFIX}/users": {"username": "{side}-new", "organisation": "{side}"},
    f"POST {PREFIX}/organisations": {"slug": "{side}-new", "name": "{side} new", "parent": "{side}"},
    f"POST {PREFIX}/locations": {"slug": "{side}-new", "name": "new", "kind": "depot", "organisation": "{side}"},
    f"POST {PREFIX}/calendars": {"slug": "{side}-new", "organisation": "{side}", "always": True},
    f"POST {PREFIX}/contracts": {"slug": "{side}-new", "organisation": "{side}"},
    f"POST {PREFIX}/service-requests": {"kit": "{side}-stock", "cause": "other", "description": "of {side}"},
    f"POST {PREFIX}/service-requests/{{number}}/references": {"title": "of {side}", "document": "D-1"},
    f"POST {PREFIX}/service-requests/{{number}}/links": {"kind": "related", "number": "SR-{side}-1"},
    f"POST {PREFIX}/service-requests/{{number}}/merge": {"into": "SR-{side}-1"},
    f"POST {PREFIX}/service-requests/{{number}}/resolve": {"cause": "use_error", "remedy": "advice"},
    f"POST {PREFIX}/service-requests/{{number}}/assign": {"assignee": None},
    f"POST {PREFIX}/visits": {"kind": "repair", "kit": "{side}-installed", "planned_on": "2027-01-04"},
    f"POST {PREFIX}/visits/{{number}}/fail": {"failure": "refused"},
    f"POST {PREFIX}/visits/{{number}}/complete": {"receipt": "citizen"},
    f"POST {PREFIX}/maintenance-windows": {
        "title": "of {side}",
        "organisation": "{side}",
        "starts_at": "2027-06-01T00:00:00Z",
        "ends_at": "2027-06-01T01:00:00Z",
    },
    f"POST {PREFIX}/kits": {"kit": "{side}-new", "organisation": "{side}", "location": "{side}-depot"},
    f"POST {PREFIX}/components": {"serial": "{side}-new", "model_id": 3, "organisation": "{side}"},
}
"""Bodies that make sense where the least that the schema asks for does not."""


QUERIES: Mapping[str, Mapping[str, Any]] = {
    f"{PREFIX}/contracts/{{slug}}/applies-to": {"kit": "{side}-stock"},
    f"{PREFIX}/exports/heartbeats": {"kit": "{side}-installed"},
    f"{PREFIX}/labels": {"kits": "{side}-stock"},
    f"{PREFIX}/search": {"q": "{side}"},
}
"""Query fields that name things, without which there is no answer."""

CSV: Mapping[str, str] = {
    f"{PREFIX}/imports/kits": "kit,organisation\n{side}-imported,{side}\n",
    f"{PREFIX}/imports/components": "manufacturer,model,serial,organisation\nMaker,Model scale,{side}-imported,"
    "{side}\n",
    f"{PREFIX}/imports/placements": "reference,organisation,kit\n{side}-ref-8,{side},{side}-stock\n",
    f"{PREFIX}/imports/models": "kind,manufacturer,name\nscale,Maker,Another\n",
}
"""What somebody of a municipality imports."""

REFERRING: Mapping[str, Any] = {
    "kit": f"{B}-stock",
    "kits": [f"{B}-stock"],
    "organisation": B,
    "owner": B,
    "parent": B,
    "operator": f"{B}-hospital",
    "supplier": f"{B}-hospital",
    "lessor": f"{B}-hospital",
    "workshop": f"{B}-hospital",
    "location": f"{B}-depot",
    "calendar": f"{B}-hours",
    "reference": f"{B}-ref-1",
    "roles": [{"role": "support", "organisation": B}],
    "codes": [f"{B}-scale-2"],
    "into": f"SR-{B}-1",
    "number": f"SR-{B}-1",
    "assignee": f"{B}-user",
    "service_request": f"SR-{B}-1",
    "placement": "<placements>",
    "placement_id": "<placements>",
    "component_id": "<components>",
    "component_ids": ["<components>"],
    "incoming": "<components>",
    "outgoing": "<components>",
    "line_id": "<lines>",
    "line_ids": ["<lines>"],
}
"""Fields of bodies that name a thing, with one of B's; a number is told by where it is listed."""
NAMES_NOTHING = {"model_id": "of the catalogue that all share", "system_id": "what is printed on a piece"}
"""Fields that look like the name of a thing of somebody's."""


def filled(value: Any, side: str) -> Any:
    """A value with the municipality's name in it."""
    if isinstance(value, list):
        return [filled(each, side) for each in value]
    if isinstance(value, str):
        return value.format(side=side)
    if isinstance(value, Mapping):
        return {name: filled(each, side) for name, each in value.items()}
    return value


@dataclass
class Finder:
    """Finds a municipality's identifiers by asking for its lists as somebody of it."""

    client: httpx.AsyncClient
    side: str
    found: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    async def of(self, operation: Operation) -> list[Values]:
        """Values for the path of an operation, of the municipality's things; empty when there are none."""
        if operation.path in QUERIES and self.side not in (A, B):
            return []
        all_values: list[Values] = [filled(QUERIES.get(operation.path, {}), self.side)]
        for collection, name in operation.parts:
            more = []
            for values in all_values:
                for value in await self._identifiers(collection, values, name):
                    more.append({**values, name: value})
            all_values = more[:MOST]
        return all_values

    async def body(self, operation: Operation) -> Any:
        """What somebody of the municipality sends, with things of its own."""
        if operation.media_type is None:
            return None
        if operation.media_type == "text/csv":
            return CSV[operation.path].format(side=self.side)
        given = BODIES.get(str(operation), {})
        body = example(operation.body, {**filled(PLAIN, self.side), **filled(given, self.side)})
        return await self.named({**body, **filled(given, self.side)})

    async def named(self, value: Any) -> Any:
        """A value with the number of a thing in place of the name of its list in angle brackets."""
        if isinstance(value, list):
            return [await self.named(each) for each in value]
        if isinstance(value, Mapping):
            return {name: await self.named(each) for name, each in value.items()}
        if value == "<lines>":
            found = [each["line_id"] for each in await self._below("/orders", "lines", "line_id")]
        elif isinstance(value, str) and value.startswith("<"):
            found = await self._identifiers(f"{PREFIX}/{value.strip('<>')}", {}, "id")
        else:
            return value
        return found[0] if found else UNKNOWN_NUMBER

    async def _below(self, collection: str, part: str, name: str) -> list[Values]:
        above = [{"id": each} for each in await self._identifiers(PREFIX + collection, {}, "id")]
        path = f"{PREFIX}{collection}/{{id}}/{part}"
        return [{**each, name: found} for each in above for found in await self._identifiers(path, each, name)]

    async def _identifiers(self, collection: str, values: Values, name: str) -> list[Any]:
        listed, within, key = ELSEWHERE.get(collection, (collection, "items", name))
        address = listed.format(side=self.side, **values)
        if (address, key) not in self.found:
            answer = await self.client.get(address)
            # What is below one's own is one's own; of a list that others share, what has the name in it.
            items = answer.json()[within] if answer.is_success else []
            mine = [each for each in items if self.side in str(each) or values]
            self.found[address, key] = [each[key] for each in mine if each.get(key) is not None][:MOST]
        return self.found[address, key]


def referring(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The fields of a body that name things, those within its lists too."""
    for name, part in schema.get("properties", {}).items():
        here = (*path, name)
        if name in REFERRING:
            yield here
        elif part.get("type") == "array":
            yield from referring(part["items"], here)
        else:
            strange = name.endswith(("_id", "_ids")) and name not in NAMES_NOTHING
            assert not strange, f"{name}: tell in REFERRING or NAMES_NOTHING what it is"


def with_value(body: Any, schema: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Any:
    """A body with another value in a field, in the first thing of a list on the way."""
    name, *rest = path
    if not rest:
        return {**body, name: value}
    within = schema["properties"][name]["items"]
    first = (body.get(name) or [example(within, {})])[0]
    return {**body, name: [with_value(first, within, tuple(rest), value)]}


def unknown(value: Any) -> Any:
    """The same with identifiers that nothing has, of the same form."""
    if isinstance(value, list):
        return [unknown(each) for each in value]
    if isinstance(value, Mapping):
        return {name: unknown(each) for name, each in value.items()}
    if isinstance(value, int):
        return UNKNOWN_NUMBER
    return str(value).replace(B, NOBODY)


def leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a value."""
    if isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, Mapping):
        yield from leaves(list(value.values()))
    else:
        yield str(value)


async def ask(
    client: httpx.AsyncClient, operation: Operation, values: Values, body: Any = None, **headers: str
) -> httpx.Response:
    """One request; `values` are of its path, and of its query where it needs one."""
    address = operation.path.format(**values)
    parts = {name for _, name in operation.parts}
    query = {**operation.needed, **{name: value for name, value in values.items() if name not in parts}}
    if operation.media_type in (None, "application/json"):
        return await client.request(operation.method, address, json=body, params=query, headers=headers)
    content = body if isinstance(body, str | bytes) else ""
    headers = {"Content-Type": str(operation.media_type), **headers}
    return await client.request(operation.method, address, content=content, params=query, headers=headers)


def blurred(answer: httpx.Response, asked: Any) -> tuple[int, str]:
    """An answer without the identifiers that were asked for, to be compared with another."""
    text = answer.text
    for value in sorted(set(leaves(asked)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text)
    return answer.status_code, text
