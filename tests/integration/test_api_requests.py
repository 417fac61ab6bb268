"""Service requests over HTTP: opened, said, given, forwarded, solved, joined with others; lists and lessons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import Entry, What
from fleet.db.connect import connect
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.requests_world import differences
from tests.support import add_kits, execute, rows, value

V1 = "/api/v1"
PATH = f"{V1}/service-requests"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client on a database with two kits; afterwards every row is what its log comes to."""
    add_kits(database, "K-1", "K-2")
    async with api(database) as client:
        yield client
    connection = await connect(database, role="test")
    try:
        assert await differences(connection) == []
    finally:
        await connection.close()


async def opened(client: httpx.AsyncClient, kit: str = "K-1", **more: Any) -> dict[str, Any]:
    """A new request."""
    made = await client.post(PATH, json={"kit": kit, "cause": "cannot_measure", **more})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def done(client: httpx.AsyncClient, number: str, act: str, /, **body: Any) -> dict[str, Any]:
    """Something that is done with a request."""
    answer = await client.post(f"{PATH}/{number}/{act}", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_request_is_opened_once_for_a_kit_and_cause(client: httpx.AsyncClient, database: str) -> None:
    body = {"kit": "K-1", "cause": "cannot_measure", "description": "scale shows\nnothing"}
    made = await client.post(PATH, json=body)
    assert made.status_code == 201
    request = made.json()
    assert (request["line"], request["priority"], request["opened_by"]) == ("support", "high", "program")
    assert request["description"] == "scale shows\nnothing"
    assert made.headers["location"] == f"{PATH}/{request['number']}"
    assert made.headers["etag"] == (await client.get(made.headers["location"])).headers["etag"]
    refused = problem(await client.post(PATH, json=body), 409)
    assert refused["number"] == request["number"]
    assert await pages(client, PATH, opened_by="program", kit="K-1", unresolved="true") != []
    assert rows(database, "SELECT type, kit FROM events") == [("request.opened", "K-1")]


async def test_a_rule_is_a_cause_as_well_and_its_alert_joins(client: httpx.AsyncClient) -> None:
    request = await opened(client, cause="silent", line="service", priority="low")
    assert (request["cause"], request["line"], request["priority"]) == ("silent", "service", "low")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kit": "K-9"}, "kit"),
        ({"cause": "boredom"}, "cause"),
        ({"cause": "self-cleared"}, "cause"),
        ({"description": "of 010190-1234"}, "description"),
        ({"description": "\n"}, "description"),
        ({"description": "x" * 2001}, "description"),
        ({"assignee": "nobody"}, "assignee"),
        ({"line": "kitchen"}, "line"),
        ({"due_at": "2026-01-01T00:00:00Z"}, "due_at"),
    ],
)
async def test_what_cannot_be_opened_says_why(client: httpx.AsyncClient, changes: dict[str, str], field: str) -> None:
    problem(await client.post(PATH, json={"kit": "K-1", "cause": "other", **changes}), 422, field)


async def test_it_is_opened_again_instead_of_a_new_one(client: httpx.AsyncClient) -> None:
    number = (await opened(client))["number"]
    await done(client, number, "resolve", cause="use_error", remedy="advice", resolution="held it wrong")
    again = await opened(client, description="still nothing")
    assert (again["number"], again["state"], again["reopened"]) == (number, "open", 1)
    assert again["comments"][0]["text"] == "still nothing"
    assert (again["resolution"], again["found_cause"]) == (None, None)


async def test_repeats_with_a_key_change_nothing(client: httpx.AsyncClient) -> None:
    number = (await opened(client))["number"]
    for _ in range(2):
        said = await client.post(
            f"{PATH}/{number}/comments", json={"text": "called"}, headers={"Idempotency-Key": "k-1"}
        )
        assert said.status_code == 200
    assert len((await client.get(f"{PATH}/{number}")).json()["comments"]) == 1


async def test_what_is_said_stands_in_the_log(client: httpx.AsyncClient, database: str) -> None:
    number = (await opened(client))["number"]
    await done(client, number, "comments", text="called back", audience="reporter")
    await done(client, number, "references", title="photo", url="https://files.example.org/17")
    found = await done(client, number, "references", title="contract", document="DOC-2026/17")
    assert [(each["text"], each["audience"]) for each in found["comments"]] == [("called back", "reporter")]
    assert [(each["url"], each["document"]) for each in found["references"]] == [
        (None, "DOC-2026/17"), ("https://files.example.org/17", None),
    ]  # fmt: skip
    log = await pages(client, f"{PATH}/{number}/events", limit=2)
    assert [each["what"] for each in log] == ["reference", "reference", "comment", "opened"]
    assert log == found["events"]
    assert [each["what"] for each in await pages(client, f"{PATH}/{number}/events", what="comment")] == ["comment"]
    types = rows(database, "SELECT type FROM events ORDER BY event_id")
    assert [each[0] for each in types] == ["request.opened", "request.commented", "request.changed", "request.changed"]


@pytest.mark.parametrize(
    ("act", "body", "field"),
    [
        ("comments", {"text": "it is 010190-1234"}, "text"),
        ("comments", {"text": "x", "audience": "press"}, "audience"),
        ("references", {"title": "x", "url": "data:text/plain,abc"}, "url"),
        ("references", {"title": "x", "url": "https://me:secret@example.org/"}, "url"),
        ("references", {"title": "x"}, "body"),
        ("references", {"title": "", "document": "D-1"}, "title"),
        ("forward", {"line": "supplier"}, "reason"),
        ("resolve", {"cause": "silent", "remedy": "advice"}, "cause"),
        ("resolve", {"cause": "use_error", "remedy": "prayer"}, "remedy"),
        ("reopen", {"reason": ""}, "reason"),
        ("assign", {}, "assignee"),
        ("links", {"kind": "friend", "number": "SR-1"}, "kind"),
    ],
)
async def test_what_cannot_be_said(client: httpx.AsyncClient, act: str, body: dict[str, str], field: str) -> None:
    number = (await opened(client))["number"]
    problem(await client.post(f"{PATH}/{number}/{act}", json=body), 422, field)


async def test_it_is_given_to_somebody_and_found_as_mine(client: httpx.AsyncClient, database: str) -> None:
    made = await client.post(f"{V1}/users", json={"username": "anders1", "roles": [{"role": "support"}]})
    assert made.status_code == 201
    number = (await opened(client))["number"]
    assert (await done(client, number, "assign", assignee="Anders1"))["assignee"] == "anders1"
    assert [each["number"] for each in await pages(client, PATH, assignee="anders1", assigned="true")] == [number]
    assert await pages(client, PATH, assignee="me") == []
    assert await pages(client, PATH, assigned="false") == []
    forwarded = await done(client, number, "forward", line="service", reason="beyond us")
    assert (forwarded["line"], forwarded["assignee"]) == ("service", None)
    problem(await client.post(f"{PATH}/{number}/forward", json={"line": "service", "reason": "x"}), 409)
    assert (await done(client, number, "assign", assignee=None))["events"][0]["what"] == "assigned"
    execute(database, "UPDATE users SET disabled_at = now()")
    problem(await client.post(f"{PATH}/{number}/assign", json={"assignee": "anders1"}), 422, "assignee")


async def test_two_requests_are_linked_in_both_logs(client: httpx.AsyncClient) -> None:
    first, second = [(await opened(client, kit))["number"] for kit in ("K-1", "K-2")]
    for _ in range(2):
        found = await done(client, first, "links", kind="caused_by", number=second)
    assert found["links"] == [{"kind": "caused_by", "number": second}]
    assert (await client.get(f"{PATH}/{second}")).json()["links"] == [{"kind": "causes", "number": first}]
    problem(await client.post(f"{PATH}/{first}/links", json={"kind": "related", "number": first}), 409)
    problem(await client.post(f"{PATH}/{first}/links", json={"kind": "related", "number": "SR-9"}), 404)


async def test_a_merged_request_is_read_from_both(client: httpx.AsyncClient) -> None:
    first, second = [(await opened(client, kit))["number"] for kit in ("K-1", "K-2")]
    await done(client, first, "comments", text="of the first")
    closed = await done(client, first, "merge", into=second)
    assert (closed["state"], closed["merged_into"], closed["resolution"]) == ("closed", second, f"merged:{second}")
    assert closed["allowed_steps"] == []
    assert closed["proven"] is False
    target = (await client.get(f"{PATH}/{second}")).json()
    assert target["merged"] == [first]
    assert [(each["request"], each["text"]) for each in target["comments"]] == [(first, "of the first")]
    problem(await client.post(f"{PATH}/{first}/merge", json={"into": second}), 409)
    problem(await client.post(f"{PATH}/{first}/reopen", json={"reason": "x"}), 409)
    problem(await client.post(f"{PATH}/{second}/merge", json={"into": first}), 409)
    refused = problem(await client.post(PATH, json={"kit": "K-1", "cause": "cannot_measure"}), 409)
    assert refused["number"] == second, "it speaks for the first as well"


async def test_closing_without_proof_asks_why(client: httpx.AsyncClient) -> None:
    number = (await opened(client))["number"]
    tag = (await client.get(f"{PATH}/{number}")).headers["etag"]
    await done(client, number, "resolve", cause="use_error", remedy="advice")
    problem(await client.patch(f"{PATH}/{number}", json={"line": "service"}, headers={"If-Match": tag}), 412)
    problem(await client.patch(f"{PATH}/{number}", json={"state": "closed"}), 422, "reason")
    closed = await client.patch(f"{PATH}/{number}", json={"state": "closed", "reason": "kit goes back"})
    assert (closed.json()["state"], closed.json()["proven"], closed.json()["remedy"]) == ("closed", False, "advice")
    problem(await client.patch(f"{PATH}/{number}", json={"state": "open"}), 422, "reason")
    assert (await done(client, number, "reopen", reason="not at all"))["reopened"] == 1
    problem(await client.post(f"{PATH}/{number}/reopen", json={"reason": "x"}), 409)


async def test_what_ends_by_hand_gives_cause_and_remedy(client: httpx.AsyncClient) -> None:
    number = (await opened(client))["number"]
    path = f"{PATH}/{number}"
    problem(await client.patch(path, json={"state": "resolved", "resolution": "just so"}), 422, "found_cause")
    lesson = {"found_cause": "use_error", "remedy": "advice"}
    problem(await client.patch(path, json={"state": "resolved", **lesson, "remedy": "prayer"}), 422, "remedy")
    problem(await client.patch(path, json={"state": "resolved", **lesson, "found_cause": "fate"}), 422, "found_cause")
    ended = (await client.patch(path, json={"state": "resolved", **lesson})).json()
    assert (ended["found_cause"], ended["remedy"], ended["cause_missing"]) == ("use_error", "advice", False)
    put_right = (await client.patch(path, json={"found_cause": "app_fault"})).json()
    assert (put_right["state"], put_right["found_cause"], put_right["remedy"]) == ("resolved", "app_fault", "advice")


async def test_what_the_kit_proves_asks_for_its_cause(client: httpx.AsyncClient, database: str) -> None:
    number = (await opened(client, cause="silent"))["number"]
    path = f"{PATH}/{number}"
    await client.patch(path, json={"state": "in_progress"})
    async with await connect(database, role="test") as connection:
        request = (await writing.lock(connection, numbers=[number]))[number]
        said = {"from": "in_progress", "to": "resolved", "resolution": "proof"}
        entry = Entry(What.STATE, "system", datetime.now(UTC), said)
        await writing.append(connection, [writing.Change(request, [entry])], entry.at)
    assert [each["number"] for each in await pages(client, PATH, cause_missing="true")] == [number]
    problem(await client.patch(path, json={"state": "closed", "reason": "x"}), 422, "found_cause")
    await done(client, number, "resolve", cause="switched_off", remedy="advice")
    assert await pages(client, PATH, cause_missing="true") == []
    closed = await client.patch(path, json={"state": "closed", "reason": "x"})
    assert (closed.json()["found_cause"], closed.json()["resolved_by"]) == ("switched_off", "system")
    late = await done(client, number, "resolve", cause="battery_fault", remedy="charged")
    assert (late["state"], late["found_cause"], late["remedy"]) == ("closed", "battery_fault", "charged")


async def test_a_kit_that_is_well_needs_no_reason(client: httpx.AsyncClient, database: str) -> None:
    number = (await opened(client))["number"]
    await done(client, number, "resolve", cause="use_error", remedy="advice")
    execute(database, "UPDATE service_requests SET resolved_at = now() - interval '2 days'")
    execute(database, "UPDATE kit_latest SET last_heard_at = now(), heard_clock_s = 0")
    closed = await client.patch(f"{PATH}/{number}", json={"state": "closed"})
    assert (closed.json()["state"], closed.json()["proven"]) == ("closed", True)
    execute(database, "UPDATE service_requests r SET resolved_at = (SELECT at FROM request_events e"
            " WHERE e.request_id = r.request_id AND body ->> 'to' = 'resolved')")  # fmt: skip


async def test_support_does_not_close_what_is_not_proven(database: str) -> None:
    add_kits(database, "K-1")
    async with running_app(database) as app:
        async with caller(app, await make_token(database, Role.SUPPORT)) as support:
            number = (await opened(support))["number"]
            found = await done(support, number, "resolve", cause="use_error", remedy="advice")
            assert found["allowed_steps"] == ["open"]
            refused = problem(await support.patch(f"{PATH}/{number}", json={"state": "closed", "reason": "x"}), 409)
            assert refused["allowed"] == ["open"]
        async with caller(app, await make_token(database, Role.AUDITOR)) as auditor:
            assert (await auditor.get(f"{PATH}/{number}")).json()["allowed_steps"] == []
            problem(await auditor.post(f"{PATH}/{number}/comments", json={"text": "x"}), 403)


async def test_support_merges_only_what_belongs_together(client: httpx.AsyncClient, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with running_app(database) as app, caller(app, token) as support:
        first, second = [(await opened(support, kit))["number"] for kit in ("K-1", "K-2")]
        same = (await opened(support, cause="tablet_fault"))["number"]
        assert (await done(support, same, "merge", into=first))["merged_into"] == first
        problem(await support.post(f"{PATH}/{first}/merge", json={"into": same}), 409)
        refused = problem(await support.post(f"{PATH}/{first}/merge", json={"into": second}), 403)
        assert "not about the same kit" in refused["detail"]
        await done(support, first, "links", kind="related", number=second)
        problem(await support.post(f"{PATH}/{first}/merge", json={"into": second}), 403)
        # Whoever may close without proof says the same, and then they belong together.
        for _ in range(2):
            linked = await done(client, second, "links", kind="related", number=first)
        assert linked["links"] == [{"kind": "related", "number": first}]
        assert (await done(support, first, "merge", into=second))["state"] == "closed"
    log = "SELECT count(*) FROM request_events WHERE what = 'linked'"
    assert value(database, log) == 4


async def test_lists_by_due_time_and_by_what_is_late(client: httpx.AsyncClient, database: str) -> None:
    late = (await opened(client, priority="low"))["number"]
    soon = (await opened(client, "K-2", priority="urgent"))["number"]
    by_due = await pages(client, PATH, sort="due_at", limit=1)
    assert [each["number"] for each in by_due] == [soon, late]
    assert await pages(client, PATH, breached="true") == []
    execute(database, "UPDATE service_requests SET due_at = now() - interval '1 hour' WHERE number = %s", late)
    assert [each["number"] for each in await pages(client, PATH, breached="true")] == [late]
    assert [each["number"] for each in await pages(client, PATH, sort="due_at")] == [late, soon]


async def test_what_people_wrote_is_blackened_everywhere(client: httpx.AsyncClient, database: str) -> None:
    number = (await opened(client, description="SECRET"))["number"]
    await done(client, number, "comments", text="SECRET")
    await done(client, number, "references", title="SECRET", url="https://SECRET.example.org")
    await done(client, number, "forward", line="service", reason="SECRET")
    await done(client, number, "resolve", cause="other", remedy="advice", resolution="SECRET")
    answer = await client.post(f"{PATH}/{number}/redact", json={"reason": "a name"})
    assert answer.status_code == 200, answer.text
    found = await client.get(f"{PATH}/{number}")
    assert "SECRET" not in found.text
    assert found.json()["events"][0]["what"] == "redacted"
    for table in ("service_requests", "request_events", "audit", "events"):
        stored = value(database, f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%%SECRET%%'")
        assert stored == 0, table


async def test_the_lists_are_edited_for_the_installation(client: httpx.AsyncClient, database: str) -> None:
    title = {"en": "Cable", "da": "Kabel"}
    made = await client.post(f"{V1}/request-causes", json={"cause": "cable", "title": title, "line": "logistics"})
    assert made.status_code == 201, made.text
    problem(await client.post(f"{V1}/request-causes", json={"cause": "cable", "title": title}), 409)
    assert (await opened(client, cause="cable"))["line"] == "logistics"
    edited = await client.patch(f"{V1}/request-causes/cable", json={"active": False}, headers={"If-Match": '"1"'})
    assert (edited.json()["active"], edited.json()["title"], edited.headers["etag"]) == (False, title, '"2"')
    stale = await client.patch(f"{V1}/request-causes/cable", json={"active": True}, headers={"If-Match": '"1"'})
    problem(stale, 412)
    problem(await client.post(PATH, json={"kit": "K-2", "cause": "cable"}), 422, "cause")
    assert "cable" in {each["cause"] for each in await pages(client, f"{V1}/request-causes", limit=5)}
    assert "cable" not in {each["cause"] for each in await pages(client, f"{V1}/request-causes", active="true")}
    made = await client.post(f"{V1}/request-remedies", json={"remedy": "new_cable", "title": title})
    assert made.status_code == 201, made.text
    assert "new_cable" in {each["remedy"] for each in await pages(client, f"{V1}/request-remedies", limit=5)}
    problem(await client.patch(f"{V1}/request-remedies/none", json={"active": False}), 404)
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('nord', 'N')")
    token = await make_token(database, Role.SECRETARIAT, organisation="nord")
    async with running_app(database) as app, caller(app, token) as other:
        problem(await other.patch(f"{V1}/request-causes/cable", json={"active": True}), 403)
        problem(await other.patch(f"{V1}/request-settings", json={"proof_for_s": 60}), 403)


async def test_how_requests_end_is_set_for_all(client: httpx.AsyncClient) -> None:
    before = await client.get(f"{V1}/request-settings")
    assert (before.json()["reopen_within_s"], before.json()["proof_for_s"]) == (7 * 86400, 86400)
    tag = {"If-Match": before.headers["etag"]}
    changed = await client.patch(f"{V1}/request-settings", json={"reopen_within_s": 0}, headers=tag)
    assert (changed.json()["reopen_within_s"], changed.json()["proof_for_s"]) == (0, 86400)
    problem(await client.patch(f"{V1}/request-settings", json={"proof_for_s": 3600}, headers=tag), 412)
    problem(await client.patch(f"{V1}/request-settings", json={"proof_for_s": 1}), 422, "proof_for_s")
    number = (await opened(client))["number"]
    await done(client, number, "resolve", cause="other", remedy="advice")
    assert (await opened(client))["number"] != number


async def test_what_was_learned_is_counted(client: httpx.AsyncClient, database: str) -> None:
    execute(
        database,
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        ' SELECT kit_id, \'software\', \'b\', 1, now(), now(), \'{"app": "4.2", "imei": "490154203237518"}\' FROM kits',
    )
    for kit in ("K-1", "K-2"):
        number = (await opened(client, kit))["number"]
        await done(client, number, "resolve", cause="app_fault", remedy="rolled_back")
    lesson = {"found_cause": "app_fault", "remedy": "rolled_back", "requests": 2}
    for by, what in (("cause", "cannot_measure"), ("app", "4.2"), ("model", None), ("os", None)):
        assert await pages(client, f"{V1}/request-lessons", by=by) == [{"value": what, **lesson}]
    await done(client, number, "resolve", cause="update_fault", remedy="rolled_back")
    assert len(await pages(client, f"{V1}/request-lessons", by="app")) == 2, "put right"
    assert await pages(client, f"{V1}/request-lessons", ended_to="2020-01-01T00:00:00Z") == []
    assert "490154203237518" not in str(rows(database, "SELECT versions FROM request_lessons"))
