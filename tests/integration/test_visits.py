"""Visits over HTTP: planned with what to bring, done with the steps of the books, failed and planned again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api import problem
from tests.books_world import API, enter_pieces, log_of, made, prepare, step
from tests.support import rows, value
from tests.visits_world import INSTALLED, VISITS, World, act, day, heard, nord, place, plan, world


def reserved(database: str) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT visit, state, upper(during) - 1 FROM reservations ORDER BY reservation_id")


def told(database: str) -> list[str]:
    return [name for (name,) in rows(database, "SELECT type FROM events WHERE type LIKE 'visit.%%' ORDER BY event_id")]


async def spare(at: World, number: int = 7) -> int:
    """A scale on the shelf."""
    body = {"model_id": at.models["scale"], "serial": f"scale-{number}", "location": "depot", "organisation": "nord"}
    return int(
        (await made(await at.admin.post(f"{API}/components", json={**body, "calibrated_on": "2026-11-01"})))["id"]
    )


async def test_a_set_up_is_planned_and_done_with_its_proof(database: str) -> None:
    async with world(database) as at:
        visit = await plan(
            at.support, crew="van-2", window_from="08:00", window_to="10:30", placement_id=at.placement, note="Bell 2"
        )
        assert visit["number"].startswith(f"V-{datetime.now(UTC).year}-0000")
        assert (visit["state"], visit["organisation"], visit["placement_id"]) == ("planned", "nord", at.placement)
        assert visit["asks"] == ["instruction_given", "receipt"]
        assert (visit["target_days"], visit["overdue"]) == (12, False)
        assert visit["allowed_steps"] == ["cancelled"]
        begun = await act(at.logistics, visit, "start")
        assert (begun["state"], begun["revision"]) == ("under_way", 2)
        assert (await act(at.logistics, visit, "start"))["revision"] == 2
        refused = problem(await at.logistics.post(f"{VISITS}/{visit['number']}/complete", json=INSTALLED), 409)
        assert refused["type"].endswith("guards-not-met")
        assert {each["code"] for each in refused["unmet"]} >= {"not_heard_since_arrival"}
        assert (refused["action"], refused["do"], refused["subject"]) == (0, "install", "K-1")
        arrived = datetime.now(UTC) - timedelta(seconds=1)
        heard(database)
        done = await act(at.logistics, visit, "complete", arrived_at=arrived.isoformat(), **INSTALLED)
        assert (done["state"], done["receipt"], done["took_days"]) == ("done", "citizen", 0)
        assert done["done_on"] == day()
        kit = await made(await at.admin.get(f"{API}/kits/K-1"))
        assert (kit["state"], kit["placement_id"]) == ("installed", at.placement)
        assert told(database) == ["visit.planned", "visit.started", "visit.done"]
        again = problem(await at.logistics.post(f"{VISITS}/{visit['number']}/complete", json=INSTALLED), 409)
        assert again["allowed"] == []


async def test_who_goes_and_what_they_must_tell(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.support)
        path = f"{VISITS}/{visit['number']}/complete"
        problem(await at.support.post(path, json=INSTALLED), 403)
        problem(await at.support.post(f"{VISITS}/{visit['number']}/start"), 403)
        problem(await at.logistics.post(path, json={"receipt": "citizen"}), 422, "instruction_given")
        problem(await at.logistics.post(path, json={"instruction_given": True}), 422, "receipt")
        problem(await at.logistics.post(path, json={**INSTALLED, "receipt": "Inger"}), 422, "receipt")
        swap = {"do": "swap", "outgoing": 1, "incoming": 2, "state": "faulty"}
        problem(await at.logistics.post(path, json={**INSTALLED, "actions": [swap]}), 422, "actions")
        assert value(database, "SELECT state FROM kits WHERE kit = 'K-1'") == "dispatched"


async def test_a_guard_is_overridden_by_whoever_may_with_a_reason(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.support)
        over = {**INSTALLED, "override": True, "reason": "no coverage that day"}
        refused = problem(await at.logistics.post(f"{VISITS}/{visit['number']}/complete", json=over), 409)
        assert refused["overridable"] is False
        assert (await act(at.service, visit, "complete", **over))["state"] == "done"
        assert log_of(database, "K-1")[-1][3] == "no coverage that day"


async def test_pieces_are_swapped_in_order_or_not_at_all(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.support, "swap")
        first, second = await spare(at), await spare(at, 8)
        there = {"state": "faulty", "location": "depot"}
        pair = {"do": "swap", "outgoing": at.pieces["scale"], "incoming": first, **there}
        answers = {**INSTALLED, "old_equipment_taken": True}
        path = f"{VISITS}/{visit['number']}/complete"
        problem(await at.logistics.post(path, json=answers), 422, "actions")
        # The second pair does not go: an oximeter for a scale. Nothing of the first stays.
        wrong = {"do": "swap", "outgoing": at.pieces["oximeter"], "incoming": second, **there}
        before = log_of(database, "K-1")
        refused = problem(await at.logistics.post(path, json={**answers, "actions": [pair, wrong]}), 409)
        assert (refused["action"], refused["unmet"][0]["code"]) == (1, "kind_differs")
        assert log_of(database, "K-1") == before
        assert (await made(await at.admin.get(f"{VISITS}/{visit['number']}")))["state"] == "planned"
        # What went in first comes out again by the next pair: the order is the one that was told.
        back = {"do": "swap", "outgoing": first, "incoming": second, **there}
        done = await act(at.logistics, visit, "complete", actions=[pair, back], **answers)
        assert (done["state"], done["old_equipment_taken"]) == ("done", True)
        bundle = (await made(await at.admin.get(f"{API}/kits/K-1")))["bundle"]
        assert "scale-8" in {each["serial"] for each in bundle}
        assert value(database, "SELECT state FROM components WHERE component_id = %s", first) == "faulty"


async def test_a_kit_is_taken_down_and_its_placement_ends(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.support, "take_down")
        assert visit["placement_id"] == at.placement
        down = [{"do": "take_down", "location": "depot"}]
        answers = {"receipt": "care_staff", "old_equipment_taken": True}
        await act(at.logistics, visit, "complete", actions=down, **answers)
        kit = await made(await at.admin.get(f"{API}/kits/K-1"))
        assert (kit["state"], kit["location"]) == ("retrieved", "depot")
        assert (await made(await at.admin.get(f"{API}/placements/{at.placement}")))["state"] == "ended"


async def test_a_whole_kit_is_swapped_for_another(database: str) -> None:
    async with world(database, "installed") as at:
        pieces = await enter_pieces(at.admin, at.models, 2, organisation="nord")
        await prepare(at.admin, database, "K-2", pieces, organisation="nord")
        planned = await place(at.admin, "K-2", "KOL-8842")
        for state in ("ready", "dispatched"):
            await step(at.admin, "K-2", state)
        heard(database, "scale-2", "oximeter-2", kit="K-2")
        visit = await plan(at.support, "swap")
        actions = [{"do": "take_down", "location": "depot"}, {"do": "install", "kit": "K-2"}]
        answers = {**INSTALLED, "old_equipment_taken": True}
        await act(at.logistics, visit, "complete", actions=actions, **answers)
        states = dict(rows(database, "SELECT kit, state FROM kits"))
        assert states == {"K-1": "retrieved", "K-2": "installed"}
        assert value(database, "SELECT placement_id FROM kits WHERE kit = 'K-2'") == planned


async def test_a_calibration_is_recorded_there(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.logistics, "calibration")
        done_on = {"done_on": day(), "by": "workshop", "due": day(700)}
        action = {"do": "calibrate", "component_id": at.pieces["scale"], "calibration": done_on}
        problem(await at.logistics.post(f"{VISITS}/{visit['number']}/complete", json={}), 422, "actions")
        await act(at.logistics, visit, "complete", actions=[action])
        piece = await made(await at.admin.get(f"{API}/components/{at.pieces['scale']}"))
        assert piece["calibration_due"] == day(700)


async def test_a_repair_and_a_training_leave_the_books_alone(database: str) -> None:
    async with world(database, "installed") as at:
        before = log_of(database, "K-1")
        repair = await plan(at.support, "repair")
        assert (await act(at.logistics, repair, "complete", receipt="relative"))["state"] == "done"
        training = await plan(at.support, "training", kit=None, organisation="nord")
        assert (training["kit"], training["organisation"]) == (None, "nord")
        await act(at.logistics, training, "complete", instruction_given=True)
        assert log_of(database, "K-1") == before


async def test_what_the_books_know_already_is_not_done_twice(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.support)
        refused = problem(await at.logistics.post(f"{VISITS}/{visit['number']}/complete", json=INSTALLED), 409)
        assert (refused["state"], refused["action"]) == ("installed", 0)
        done = await act(at.logistics, visit, "complete", entered_already=True, **INSTALLED)
        assert done["state"] == "done"


async def test_what_to_bring_is_reserved_moved_and_used(database: str) -> None:
    async with world(database) as at:
        scale = await spare(at)
        model = {"model_id": at.models["oximeter"], "location": "depot"}
        short = {"kind": "install", "planned_on": day(1), "kit": "K-1", "bring": [model]}
        problem(await at.logistics.post(VISITS, json=short), 409)
        assert rows(database, "SELECT 1 FROM visits") == [], "all of it or nothing"
        problem(await at.support.post(VISITS, json={**short, "bring": [{"component_id": scale}]}), 403)
        things = [{"component_id": scale}, {**model, "quantity": 2, "beyond_stock": True}]
        visit = await plan(at.logistics, bring=things)
        assert [(each["what"], each["quantity"], each["short"]) for each in visit["bring"]] == [
            ("component", 1, 0),
            ("model", 2, 2),
        ]
        assert {each["location"] for each in visit["bring"]} == {None, "depot"}
        last = datetime.fromisoformat(day(1)).date()
        assert reserved(database) == [(visit["number"], "active", last)] * 2
        path, seen = f"{VISITS}/{visit['number']}", {"If-Match": '"1"'}
        moved = await at.support.patch(path, json={"planned_on": day(4)}, headers=seen)
        assert moved.headers["etag"] == '"2"'
        problem(await at.support.patch(path, json={"planned_on": day(5)}, headers=seen), 412)
        last = datetime.fromisoformat(day(4)).date()
        assert reserved(database) == [(visit["number"], "active", last)] * 2
        line = visit["bring"][1]["id"]
        left = await act(at.logistics, visit, "bring", remove=[line])
        assert [each["what"] for each in left["bring"]] == ["component"]
        problem(await at.logistics.post(f"{path}/bring", json={"remove": [line]}), 404)
        heard(database)
        done = await act(at.logistics, visit, "complete", **INSTALLED)
        assert [each["reserved"] for each in done["bring"]] == ["fulfilled"]
        assert [state for _, state, _ in reserved(database)] == ["fulfilled", "released"]


async def test_what_is_called_off_frees_what_was_kept(database: str) -> None:
    async with world(database) as at:
        scale = await spare(at)
        visit = await plan(at.logistics, bring=[{"component_id": scale}])
        other = {"kind": "repair", "planned_on": day(1), "kit": "K-1", "bring": [{"component_id": scale}]}
        problem(await at.logistics.post(VISITS, json=other), 409)
        problem(await at.support.post(f"{VISITS}/{visit['number']}/cancel", json={"reason": ""}), 422, "reason")
        ended = await act(at.support, visit, "cancel", reason="moved to another town")
        assert (ended["state"], ended["ended_reason"]) == ("cancelled", "moved to another town")
        assert [state for _, state, _ in reserved(database)] == ["released"]
        await made(await at.logistics.post(VISITS, json=other))
        problem(await at.support.patch(f"{VISITS}/{visit['number']}", json={"planned_on": day(9)}), 409)


async def test_a_visit_fails_for_a_reason_and_is_planned_again(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics, crew="van-1", window_from="08:00", window_to="09:00")
        path = f"{VISITS}/{visit['number']}/fail"
        problem(await at.logistics.post(path, json={"failure": "sunshine"}), 422, "failure")
        failed = await act(at.logistics, visit, "fail", failure="nobody_home", note="rang twice")
        assert (failed["state"], failed["attempts"], failed["failure"]) == ("failed", 1, "nobody_home")
        again = await made(await at.support.patch(f"{VISITS}/{visit['number']}", json={"planned_on": day(2)}))
        assert (again["state"], again["crew"], again["window_from"]) == ("planned", "van-1", "08:00")
        at_once = await act(at.logistics, visit, "fail", failure="no_access", planned_on=day(3), crew="van-2")
        assert (at_once["state"], at_once["attempts"], at_once["planned_on"]) == ("planned", 2, day(3))
        assert at_once["crew"] == "van-2"
        assert [(each["failure"], each["crew"]) for each in at_once["failures"]] == [
            ("no_access", "van-1"),
            ("nobody_home", "van-1"),
        ]
        assert told(database).count("visit.failed") == 2


async def test_its_request_is_told_and_resolved(database: str) -> None:
    async with world(database, "installed") as at:
        asked = {"kit": "K-1", "cause": "peripheral_fault"}
        request = (await made(await at.support.post(f"{API}/service-requests", json=asked)))["number"]
        visit = await plan(at.support, "repair", kit=None, service_request=request)
        assert (visit["kit"], visit["service_request"]) == ("K-1", request)
        answers = {"receipt": "citizen", "resolve": {"cause": "nonsense", "remedy": "repaired"}}
        path = f"{VISITS}/{visit['number']}/complete"
        problem(await at.logistics.post(path, json=answers), 422, "cause")
        assert (await made(await at.admin.get(f"{VISITS}/{visit['number']}")))["state"] == "planned"
        answers["resolve"] = {"cause": "peripheral_fault", "remedy": "repaired"}
        await act(at.logistics, visit, "complete", **answers)
        found = await made(await at.admin.get(f"{API}/service-requests/{request}"))
        assert found["state"] == "resolved"
        entries = [each["body"] for each in found["events"] if each["what"] == "visit"]
        assert {each["did"] for each in entries} == {"planned", "done"}
        assert all(each["visit"] == visit["number"] for each in entries)
        listed = await made(await at.support.get(VISITS, params={"service_request": request}))
        assert [each["number"] for each in listed["items"]] == [visit["number"]]


async def test_targets_count_from_the_order_in_danish_working_days(database: str) -> None:
    async with world(database) as at:
        ordered = (datetime.now(UTC) - timedelta(days=40)).isoformat()
        late = await plan(at.support, ordered_at=ordered)
        assert (late["overdue"], late["target_days"]) == (True, 12)
        urgent = await plan(at.support, "repair", urgent=True)
        assert urgent["target_days"] == 2
        assert urgent["due_on"] < (await plan(at.support, "repair"))["due_on"]
        overdue = await made(await at.support.get(VISITS, params={"overdue": True}))
        assert [each["number"] for each in overdue["items"]] == [late["number"]]
        changed = await made(await at.support.patch(f"{VISITS}/{late['number']}", json={"urgent": True}))
        assert changed["target_days"] == 2
        assert changed["due_on"] < late["due_on"]


async def test_targets_are_of_the_contract_or_else_of_the_settings(database: str) -> None:
    async with world(database) as at:
        path = f"{API}/visit-settings"
        settings = await at.admin.get(path)
        assert settings.json() == {"working_days": 12, "urgent_days": 2, "revision": 1}
        await made(await at.admin.patch(path, json={"working_days": 10}, headers={"If-Match": '"1"'}))
        problem(await at.admin.patch(path, json={"working_days": 9}, headers={"If-Match": '"1"'}), 412)
        before = await plan(at.support, "repair")
        assert before["target_days"] == 10
        contract = {
            "slug": "north",
            "name": "North",
            "organisation": "nord",
            "calendar": "working-days",
            "valid_from": "2020-01-01T00:00:00Z",
            "targets": [{"priority": each, "solution_min": 60} for each in ("urgent", "high", "normal", "low")],
        }
        await made(await at.admin.post(f"{API}/contracts", json=contract))
        target = f"{API}/contracts/north/visit-targets"
        assert (await made(await at.admin.get(target)))["working_days"] is None
        await made(await at.admin.patch(target, json={"working_days": 5}))
        assert (await plan(at.support, "repair"))["target_days"] == 5
        # What was planned before keeps what it was planned with, also when it is moved.
        moved = await made(await at.support.patch(f"{VISITS}/{before['number']}", json={"planned_on": day(3)}))
        assert (moved["target_days"], moved["due_on"]) == (10, before["due_on"])
        assert (await plan(at.support, "repair", urgent=True))["target_days"] == 2


async def test_visits_are_listed_by_day_and_filtered(database: str) -> None:
    async with world(database) as at:
        made_ones = [await plan(at.support, "repair", planned_on=day(n), crew=f"van-{n % 2}") for n in (3, 1, 2)]
        by_day = [made_ones[1]["number"], made_ones[2]["number"], made_ones[0]["number"]]
        first = await made(await at.support.get(VISITS, params={"limit": 2}))
        rest = await made(await at.support.get(VISITS, params={"limit": 2, "cursor": first["next"]}))
        assert [each["number"] for each in first["items"] + rest["items"]] == by_day
        filtered: list[tuple[dict[str, Any], list[str]]] = [
            ({"crew": "van-0"}, [by_day[1]]),
            ({"day_from": day(2), "day_to": day(2)}, [by_day[1]]),
            ({"kind": "install"}, []),
            ({"kit": "K-1", "state": "planned"}, by_day),
            ({"organisation": "nord", "placement_id": at.placement}, by_day),
            ({"overdue": True}, []),
        ]
        for query, expected in filtered:
            found = await made(await at.support.get(VISITS, params=query))
            assert [each["number"] for each in found["items"]] == expected, query
        problem(await at.support.get(VISITS, params={"cursor": "WyJ4IiwxXQ"}), 422, "cursor")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kit": "K-9"}, "kit"),
        ({"kit": None}, "organisation"),
        ({"kit": None, "organisation": "nord"}, "kit"),
        ({"organisation": "syd"}, "organisation"),
        ({"placement_id": 99}, "placement_id"),
        ({"service_request": "SR-1"}, "service_request"),
        ({"planned_on": "1999-01-01"}, "planned_on"),
        ({"window_from": "08:00"}, "window_to"),
        ({"window_from": "08:00", "window_to": "07:00"}, "window_to"),
        ({"window_from": "8", "window_to": "09:00"}, "window_from"),
        ({"crew": "Inger Hansen"}, "crew"),
        ({"crew": "0101901234"}, "crew"),
        ({"note": "010190-1234"}, "note"),
        ({"ordered_at": "2999-01-01T00:00:00Z"}, "ordered_at"),
        ({"kind": "party"}, "kind"),
    ],
)
async def test_what_is_wrong_with_a_visit_is_named(database: str, change: dict[str, Any], field: str) -> None:
    async with world(database) as at:
        body = {"kind": "install", "planned_on": day(1), "kit": "K-1", **change}
        sent = {name: each for name, each in body.items() if each is not None}
        problem(await at.support.post(VISITS, json=sent), 422, field)


async def test_reasons_are_a_list_that_is_kept(database: str) -> None:
    async with world(database) as at:
        path = f"{API}/visit-failures"
        assert {each["failure"] for each in (await made(await at.support.get(path)))["items"]} >= {
            "nobody_home", "refused", "wrong_equipment", "no_access", "faulty_on_arrival", "other",
        }  # fmt: skip
        new = {"failure": "dog", "title": {"en": "Dog", "da": "Hund"}}
        await made(await at.admin.post(path, json=new))
        problem(await at.admin.post(path, json=new), 409)
        await made(await at.admin.patch(f"{path}/dog", json={"active": False}, headers={"If-Match": '"1"'}))
        problem(await at.admin.patch(f"{path}/dog", json={"active": True}, headers={"If-Match": '"1"'}), 412)
        visit = await plan(at.support)
        problem(await at.logistics.post(f"{VISITS}/{visit['number']}/fail", json={"failure": "dog"}), 422, "failure")


async def test_statistics_tell_what_was_done_in_which_time_and_what_failed(database: str) -> None:
    async with world(database, "installed") as at:
        for ago in (0, 60):
            visit = await plan(at.support, "repair", ordered_at=(datetime.now(UTC) - timedelta(days=ago)).isoformat())
            await act(at.logistics, visit, "complete", receipt="citizen")
        vain = await plan(at.support, "repair")
        await act(at.logistics, vain, "fail", failure="nobody_home", planned_on=day(2))
        await act(at.logistics, vain, "fail", failure="nobody_home")
        (line,) = (await made(await at.support.get(f"{API}/statistics/visits")))["items"]
        assert (line["month"], line["kind"], line["organisation"]) == (day()[:7], "repair", "nord")
        assert (line["done"], line["within_target"], line["within_target_share"]) == (2, 1, 0.5)
        assert (line["failed"], line["failures"]) == (2, {"nobody_home": 2})
        assert (line["kits"], line["visits_per_kit"]) == (1, 2.0)
        assert 15 < line["median_days"] < 25
        none = await made(await at.support.get(f"{API}/statistics/visits", params={"to": "2020-01", "from": "2019-12"}))
        assert none["items"] == []
        problem(
            await at.support.get(f"{API}/statistics/visits", params={"to": "2026-01", "from": "2026-02"}), 422, "from"
        )


async def test_a_visit_is_not_done_before_it_was_asked_for(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.support, "repair")
        long_ago = (datetime.now(UTC) - timedelta(days=300)).isoformat()
        path = f"{VISITS}/{visit['number']}/complete"
        early = {"receipt": "citizen", "occurred_at": long_ago}
        refused = problem(await at.logistics.post(path, json=early), 422, "occurred_at")
        assert "before" in refused["detail"]
        done = await act(at.logistics, visit, "complete", **early, entered_afterwards=True)
        assert (done["state"], done["took_days"]) == ("done", None)
        in_time = await plan(at.support, "repair")
        done = await act(at.logistics, in_time, "complete", receipt="citizen", entered_afterwards=True)
        assert done["took_days"] == 0, "it was not done before: it counts as any other"
        since = {"from": long_ago[:7]}
        lines = (await made(await at.support.get(f"{API}/statistics/visits", params=since)))["items"]
        figures = [(line["done"], line["entered_afterwards"], line["within_target_share"]) for line in lines]
        assert figures == [(1, 1, None), (1, 0, 1.0)]
        assert lines[0]["median_days"] is None
        within = rows(database, "SELECT took_days, within_target FROM grafana_visits ORDER BY number")
        assert within == [(None, None), (0, True)]


async def test_the_sheet_of_a_day_says_where_to_go_and_what_to_bring(database: str) -> None:
    async with world(database) as at:
        scale = await spare(at)
        await plan(at.logistics, crew="van-1", window_from="10:00", window_to="11:00", bring=[{"component_id": scale}])
        await plan(at.support, "repair", crew="van-1", window_from="08:00", window_to="09:00", note="<b>bell</b>")
        await plan(at.support, "repair", crew="van-2")
        answer = await at.logistics.get(f"{API}/visit-sheets", params={"crew": "van-1", "day": day(1)})
        assert answer.status_code == 200
        assert "style-src 'sha256-" in answer.headers["content-security-policy"]
        assert answer.text.index("Reparation") < answer.text.index("Opsætning")
        assert "Acme scale scale-7" in answer.text
        assert "&lt;b&gt;bell" in answer.text
        assert answer.text.count("<section>") == 2
        empty = await at.logistics.get(f"{API}/visit-sheets", params={"language": "en"})
        assert "No visits on that day." in empty.text


async def test_texts_are_blackened_and_not_audited(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics, note="told me something")
        await act(at.logistics, visit, "fail", failure="other", note="told me more")
        await act(at.support, visit, "cancel", reason="told me all")
        for _ in range(2):
            found = await act(at.admin, visit, "redact")
            assert (found["note"], found["ended_reason"]) == ("[redacted]", "[redacted]")
            assert [each["note"] for each in found["failures"]] == ["[redacted]"]
        texts = "SELECT count(*) FROM audit WHERE concat(before, after, reason) LIKE '%%told me%%'"
        assert value(database, texts) == 0


async def test_an_open_visit_goes_with_its_kit(database: str) -> None:
    async with world(database) as at:
        body = {"slug": "syd", "name": "Syd", "kind": "municipality"}
        await made(await at.admin.post(f"{API}/organisations", json=body))
        await made(await at.admin.post(f"{API}/kits", json={"kit": "K-5", "organisation": "nord", "location": "depot"}))
        done, other = await plan(at.support, "repair", kit="K-5"), await plan(at.support, "repair", kit="K-5")
        await act(at.logistics, done, "complete", receipt="citizen")
        await made(await at.admin.patch(f"{API}/kits/K-5", json={"organisation": "syd"}))
        whose = [
            (await made(await at.admin.get(f"{VISITS}/{each['number']}")))["organisation"] for each in (done, other)
        ]
        assert whose == ["nord", "syd"]


async def test_what_is_kept_of_the_stock_of_others_goes_free_as_well(database: str) -> None:
    async with world(database) as at:
        body = {"slug": "syd", "name": "Syd", "kind": "municipality"}
        await made(await at.admin.post(f"{API}/organisations", json=body))
        piece = {"model_id": at.models["scale"], "serial": "scale-9", "location": "depot", "organisation": "syd"}
        lent = (await made(await at.admin.post(f"{API}/components", json=piece)))["id"]
        visit = await plan(at.logistics, bring=[{"component_id": lent}])
        async with nord(database) as own:
            (line,) = (await made(await own.get(f"{VISITS}/{visit['number']}")))["bring"]
            assert (line["name"], line["reserved"], line["short"]) == ("Acme Acme scale scale-9", None, 0)
            await made(await own.patch(f"{VISITS}/{visit['number']}", json={"planned_on": day(6)}))
            assert reserved(database)[0][2].isoformat() == day(6)
            await act(own, visit, "cancel", reason="not needed")
        assert reserved(database)[0][1] == "released"


async def test_two_who_end_a_visit_at_once_end_it_once(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics)
        heard(database)
        path = f"{VISITS}/{visit['number']}/complete"
        answers = await asyncio.gather(*(at.logistics.post(path, json=INSTALLED) for _ in range(3)))
        assert sorted(each.status_code for each in answers) == [200, 409, 409]
        assert [to for _, _, to, _ in log_of(database, "K-1")].count("installed") == 1


async def test_a_repeat_with_its_key_plans_one_visit(database: str) -> None:
    async with world(database) as at:
        body = {"kind": "repair", "planned_on": day(1), "kit": "K-1"}
        key = {"Idempotency-Key": "once"}
        numbers = {(await made(await at.support.post(VISITS, json=body, headers=key)))["number"] for _ in range(2)}
        assert len(numbers) == 1
        assert value(database, "SELECT count(*) FROM visits") == 1
