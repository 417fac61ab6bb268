"""Every route, tried by strangers with the real identifiers of somebody else, and by their owner."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from fleet.access.roles import NOT_LENT, Role, allowed
from fleet.api.shapes import PREFIX
from tests.api import caller, problem, running_app
from tests.isolation.asking import CSV, NOBODY, QUERIES, REFERRING, Finder, ask, blurred, referring, unknown, with_value
from tests.isolation.catalogue import Catalogue
from tests.isolation.operations import STREAM, Operation, operations
from tests.isolation.world import ELSEWHERE, OF_A, OF_B, OPERATOR, STRANGERS, A, B, Caller, make_caller

SHARED = {
    f"{PREFIX}/models": "a catalogue of what can be bought",
    f"{PREFIX}/kit-types": "what a kit of a programme contains",
    f"{PREFIX}/rules": "what is alerted, the same for all",
    f"{PREFIX}/incident-settings": "when many are a mass event, the same for all",
    f"{PREFIX}/request-causes": "what requests are opened for, and what is found",
    f"{PREFIX}/request-remedies": "what is done about them",
    f"{PREFIX}/request-settings": "how they end and come back, the same for all",
    f"{PREFIX}/visit-failures": "why visits fail",
    f"{PREFIX}/visit-settings": "by when they are to be done, the same for all",
    f"{PREFIX}/problem-trees": "questions that the first line asks, the same for all",
    f"{PREFIX}/exports/models": "a catalogue of what can be bought",
    f"{PREFIX}/exports/kit-types": "what a kit of a programme contains",
    f"{PREFIX}/exports/quarantine": "as the list of it",
    f"{PREFIX}/exports/quarantine-payloads": "as the list of it",
    f"{PREFIX}/retention": "how long things are kept, the same for all",
    f"{PREFIX}/quarantine": "the installation's: whose it was is what could not be told",
}
"""Collections that are nobody's."""
TELLS_NO_NAME = {
    f"{PREFIX}/kits/{{kit}}/steps": "what can be done, and what stands in its way",
    f"{PREFIX}/audit/head": "the last link of the chain, a hash over everybody's lines",
    f"{PREFIX}/quarantine": "shown to the installation only: whose it was is what could not be told",
    f"{PREFIX}/statistics": "counts; compared below",
    f"{PREFIX}/statistics/calls": "counts of calls",
    f"{PREFIX}/request-lessons": "counts by what was found",
}
"""Reads in which the owner finds nothing with a name of theirs."""

NOT_ALONE: dict[tuple[str, ...], str] = {
    (f"POST {PREFIX}/request-causes",): "the same for all",
    (f"POST {PREFIX}/request-remedies",): "the same for all",
    (f"PATCH {PREFIX}/request-settings",): "the same for all",
    (f"POST {PREFIX}/visit-failures",): "the same for all",
    (f"PATCH {PREFIX}/visit-settings",): "the same for all",
    (f"POST {PREFIX}/service-requests/{{number}}/redact", f"SR-{B}-2"): "a mass event's, which is of others as well",
}
"""What one sees and does not change by oneself."""

READS = [each for each in operations() if not each.changes and each.path != STREAM]
CHANGES = [each for each in operations() if each.changes]
BY_IDENTIFIER = [each for each in operations() if each.parts]


@asynccontextmanager
async def as_(database: str, *who: Caller) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of one application, one for each caller."""
    tokens = [await make_caller(database, each) for each in who]
    async with running_app(database) as app:
        yield [caller(app, token) for token in tokens]


def shared(operation: Operation) -> bool:
    """Whether what it is about is nobody's."""
    return any(f"{operation.path}/".startswith(f"{collection}/") for collection in SHARED)


def digests(database: str, side: str) -> dict[str, str]:
    """A hash of all that is a municipality's, by table."""
    with psycopg.connect(database, autocommit=True) as connection:
        catalogue = Catalogue(connection, "fleet_api")
        query = "SELECT subtree_of(ARRAY[organisation_id]) FROM organisations WHERE slug = %s"
        found = connection.execute(query, (side,)).fetchone()
        assert found
        return {
            name: hashlib.sha256(
                "\n".join(sorted(catalogue.owned(name, found[0], relation.names()))).encode()
            ).hexdigest()
            for name, relation in catalogue.relations.items()
            if relation.key and catalogue.ownership(name)
        }


def side_of(who: Caller) -> str:
    """The municipality whose things a stranger sees."""
    return A if who.organisation == OPERATOR else who.organisation or ""


def reached(who: Caller, operation: Operation) -> bool:
    """Whether a caller does an operation with what it sees: what an agreement does not bring is not there for it."""
    return who.organisation != OPERATOR or operation.permission not in NOT_LENT


def told(operation: Operation, values: Any, answer: httpx.Response, more: str = "") -> str:
    """What to show of a wrong answer."""
    return f"{operation} {values}: {answer.status_code} {answer.text[:300]} {more}"


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_others_identifiers_are_as_if_there_were_no_such_thing(own_world: str, who: Caller) -> None:
    wrong = []
    async with as_(own_world, OF_B, who) as (own, stranger):
        theirs, mine = Finder(own, B), Finder(stranger, side_of(who))
        asked = {operation: await theirs.of(operation) for operation in BY_IDENTIFIER}
        before = digests(own_world, B)
        for operation, found in asked.items():
            if not found and not shared(operation):
                wrong.append(f"{operation}: the world has nothing of {B} there")
            body, tried = await mine.body(operation), [(values, unknown(values)) for values in found]
            # One's own thing in the path does not open what others have below theirs.
            if len(operation.parts) > 1 and (above := await mine.of(operation)):
                part = {operation.parts[0][1]: above[0][operation.parts[0][1]]}
                tried.append(({**found[0], **part}, {**unknown(found[0]), **part}))
            for values, nothing in tried:
                answer = await ask(stranger, operation, values, body)
                compared = await ask(stranger, operation, nothing, body)
                expected = 404 if allowed(who.role, operation.permission) else 403
                if answer.status_code != expected or blurred(answer, values) != blurred(compared, nothing):
                    wrong.append(told(operation, values, answer, f"against {compared.text[:200]}"))
        assert wrong == [], "\n".join(wrong)
        after = digests(own_world, B)
        assert [name for name in before if before[name] != after[name]] == []


async def test_ones_own_identifiers_lead_to_what_is_there(own_world: str) -> None:
    """That the questions of the test above are good ones: who owns a thing is not told that there is none."""
    wrong = []
    async with as_(own_world, OF_B) as (own,):
        theirs = Finder(own, B)
        asked = {
            operation: (await theirs.of(operation), await theirs.body(operation))
            for operation in operations()
            if operation.path != STREAM
        }
        for operation, (found, body) in asked.items():
            for values in found:
                answer = await ask(own, operation, values, body)
                refused = answer.status_code in (401, 403, 404) and (str(operation), *values.values()) not in NOT_ALONE
                if refused or answer.status_code >= 500:
                    wrong.append(told(operation, values, answer))
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_nothing_that_is_read_tells_of_others(world: str, who: Caller) -> None:
    wrong = []
    async with as_(world, who) as (stranger,):
        mine = Finder(stranger, side_of(who))
        for operation in READS:
            if not allowed(who.role, operation.permission):
                continue
            for values in await mine.of(operation):
                answer = await ask(stranger, operation, values)
                if not reached(who, operation) and answer.status_code == 404:
                    continue
                if not answer.is_success or B in answer.text.lower():
                    wrong.append(told(operation, values, answer))
    assert wrong == [], "\n".join(wrong)


async def test_what_is_read_tells_of_ones_own(world: str) -> None:
    wrong = []
    async with as_(world, OF_B) as (own,):
        theirs = Finder(own, B)
        for operation in READS:
            answers = [await ask(own, operation, values) for values in await theirs.of(operation)]
            assert all(answer.is_success for answer in answers), operation
            tells = any(B in answer.text.lower() for answer in answers)
            if tells == (shared(operation) or operation.path in TELLS_NO_NAME):
                wrong.append(f"{operation} tells {'some' if tells else 'no'} name of {B}")
    assert wrong == [], "\n".join(wrong)


async def test_filters_find_nothing_of_others(world: str) -> None:
    wrong, found = [], 0
    async with as_(world, OF_B, OF_A) as (own, stranger):
        theirs, mine = Finder(own, B), Finder(stranger, A)
        for operation in READS:
            for values in (await theirs.of(operation))[:1]:
                items = listed(await ask(own, operation, values))
                for name, value in filters(operation, items):
                    query = {**operation.needed, name: value}
                    path = operation.path.format(**values)
                    answer = await own.get(path, params=query)
                    if not listed(answer):
                        wrong.append(told(operation, query, answer, "to the owner"))
                    for address in [operation.path.format(**each) for each in await mine.of(operation)]:
                        answer = await stranger.get(address, params=query)
                        compared = await stranger.get(address, params={**query, name: unknown(value)})
                        found += 1
                        if answer.is_success and B in answer.text.lower():
                            wrong.append(told(operation, query, answer))
                        elif not answer.is_success and blurred(answer, value) != blurred(compared, unknown(value)):
                            wrong.append(told(operation, query, answer, compared.text))
    assert wrong == [], "\n".join(wrong)
    assert found > 50


def listed(answer: httpx.Response) -> list[dict[str, Any]]:
    """The items of a list; of anything else none."""
    if not answer.is_success or answer.headers.get("content-type") != "application/json":
        return []
    items: list[dict[str, Any]] = answer.json().get("items", [])
    return items


def filters(operation: Operation, items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Filters of a list with values that things of the owner have."""
    names = operation.queries - {"limit", "cursor", "sort"}
    return [
        (name, next(item[name] for item in items if item.get(name) is not None))
        for name in sorted(names)
        if any(isinstance(item.get(name), str | int) for item in items)
    ]


async def test_what_is_asked_for_by_name_is_as_if_there_were_no_such_thing(world: str) -> None:
    async with as_(world, OF_A) as (stranger,):
        for operation in READS:
            if operation.path in QUERIES and not operation.parts:
                values = {name: value.format(side=B) for name, value in QUERIES[operation.path].items()}
                answer = await ask(stranger, operation, values)
                compared = await ask(stranger, operation, unknown(values))
                assert blurred(answer, values) == blurred(compared, unknown(values)), told(operation, values, answer)


async def test_a_cursor_of_others_leads_nowhere(world: str) -> None:
    followed = 0
    async with as_(world, OF_B, OF_A) as (own, stranger):
        for operation in READS:
            if operation.parts or "cursor" not in operation.queries:
                continue
            query = {**operation.needed, "limit": 1}
            cursor = (await own.get(operation.path, params=query)).json()["next"]
            if cursor is not None:
                answer = await stranger.get(operation.path, params={**query, "cursor": cursor, "limit": 500})
                assert B not in answer.text.lower(), operation
                followed += 1
    assert followed > 5


UNIQUE = {
    f"POST {PREFIX}/kits": "numbers of kits are the installation's: a taken one is told to be taken",
}
OWN_WORDS = {
    "reference": "pseudonyms are one's own",
    "codes": "whatever was scanned is written down as it was read",
}
"""Fields of bodies that name a thing, or are taken as they are where there is none."""


async def test_bodies_cannot_name_what_others_have(own_world: str) -> None:
    wrong, asked = [], 0
    async with as_(own_world, OF_B, OF_A) as (own, stranger):
        theirs, mine = Finder(own, B), Finder(stranger, A)
        named = {name: await theirs.named(value) for name, value in REFERRING.items()}
        before = digests(own_world, B)
        for operation in CHANGES:
            for path in referring(operation.body):
                if path == ("kit",) and str(operation) in UNIQUE:
                    continue
                for values in (await mine.of(operation))[:1]:
                    value, body = named[path[-1]], await mine.body(operation)
                    strange = with_value(body, operation.body, path, value)
                    nothing = with_value(body, operation.body, path, unknown(value))
                    answer = await ask(stranger, operation, values, strange)
                    compared = await ask(stranger, operation, values, nothing)
                    asked += 1
                    if answer.is_success and path[-1] in OWN_WORDS:
                        same = B not in re.sub(rf"{value}(-\d+)?" if isinstance(value, str) else B, "", answer.text)
                    else:
                        same = blurred(answer, value) == blurred(compared, unknown(value))
                    if not same or answer.status_code >= 500:
                        wrong.append(told(operation, {path: value}, answer, f"against {compared.text[:300]}"))
        assert wrong == [], "\n".join(wrong)
        after = digests(own_world, B)
        assert [name for name in before if before[name] != after[name]] == []
    assert asked > 60


async def test_imports_cannot_name_what_others_have(own_world: str) -> None:
    wrong = []
    async with as_(own_world, OF_A, OF_B) as (stranger, own):
        before = digests(own_world, B)
        for operation in CHANGES:
            if operation.media_type != "text/csv" or shared(operation) or operation.path.endswith("/models"):
                continue
            parts = CSV[operation.path].split("{side}")
            for at in range(len(parts) - 1):
                line = parts[0] + "".join(f"{B if at == n else A}{part}" for n, part in enumerate(parts[1:]))
                answer = await ask(stranger, operation, {"dry_run": True}, line)
                compared = await ask(stranger, operation, {"dry_run": True}, line.replace(B, NOBODY))
                if answer.status_code >= 500 or blurred(answer, B) != blurred(compared, NOBODY):
                    wrong.append(told(operation, line, answer, f"against {compared.text[:300]}"))
            answer = await ask(stranger, operation, {}, CSV[operation.path].format(side=B))
            if answer.is_success:
                wrong.append(told(operation, f"all of {B}", answer))
        assert wrong or digests(own_world, B) == before
        for operation in CHANGES:
            if operation.media_type == "text/csv" and not operation.path.endswith("/models"):
                answer = await ask(own, operation, {}, CSV[operation.path].format(side=B))
                if not answer.is_success:
                    wrong.append(told(operation, "to the owner", answer))
    assert wrong == [], "\n".join(wrong)


async def test_kept_answers_are_ones_own(own_world: str) -> None:
    key = {"Idempotency-Key": f"{B}-key"}
    async with as_(own_world, OF_B, OF_A) as (own, stranger):
        (theirs,) = [each["id"] for each in (await own.get(f"{PREFIX}/alerts")).json()["items"]]
        (mine,) = [each["id"] for each in (await stranger.get(f"{PREFIX}/alerts")).json()["items"]]
        problem(await stranger.post(f"{PREFIX}/alerts/{theirs}/acknowledge", headers=key), 404)
        answer = await stranger.post(f"{PREFIX}/alerts/{mine}/acknowledge", headers=key)
        assert answer.status_code == 200
        assert answer.json()["kit"] == f"{A}-installed"


async def test_tags_tell_nothing(world: str) -> None:
    async with as_(world, OF_B, OF_A) as (own, stranger):
        theirs, mine = Finder(own, B), Finder(stranger, A)
        for operation in BY_IDENTIFIER:
            if operation.method != "PATCH" or shared(operation):
                continue
            for values in await theirs.of(operation):
                body = await mine.body(operation)
                for tag in ('"1"', '"2"', "*", 'W/"1"'):
                    answer = await ask(stranger, operation, values, body, **{"If-Match": tag})
                    assert answer.status_code == 404, told(operation, values, answer)


async def test_figures_count_ones_own(world: str) -> None:
    async with as_(world, OF_A, OF_B, Caller(Role.ADMIN, ELSEWHERE), Caller(Role.ADMIN)) as clients:
        counted = [(await client.get(f"{PREFIX}/statistics")).json() for client in clients]
    assert [sum(figures["kits"]["by_state"].values()) for figures in counted] == [4, 4, 0, 8]


@pytest.mark.parametrize("role", Role)
async def test_a_role_in_scope_opens_what_it_may_and_nothing_else(world: str, role: Role) -> None:
    """With real identifiers, which are no way around the permission; what is allowed and changes things is not done."""
    wrong = []
    async with as_(world, OF_B, Caller(role, B)) as (own, tried):
        theirs = Finder(own, B)
        for operation in operations():
            found = (await theirs.of(operation))[:1]
            if not allowed(role, operation.permission):
                values = found[0] if found else dict.fromkeys((name for _, name in operation.parts), "1")
                answer = await ask(tried, operation, values, await theirs.body(operation))
                if answer.status_code != 403 or answer.json().get("permission") != operation.permission:
                    wrong.append(told(operation, values, answer))
            elif operation in READS and found:
                answer = await ask(tried, operation, found[0])
                if not answer.is_success:
                    wrong.append(told(operation, found, answer))
    assert wrong == [], "\n".join(wrong)
