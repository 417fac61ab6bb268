"""Scenario files: the shipped ones are good, and every mistake is named."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.protocol.messages import Rejection, decode
from fleet.protocol.topics import DeviceTopic, Topics
from simulator.books import kits_csv
from simulator.errors import ScenarioError
from simulator.faults import ALL_SORTS
from simulator.malformed import REASONS, build
from simulator.scenario import SHIPPED, load, parse
from simulator.stage import Stage

ONE = "[fleet]\nkits = 3\n"
FAULT = ONE + '[[faults]]\nkind = "{}"\n{}'


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_shipped_scenarios_are_good_and_play(file: Path) -> None:
    scenario = load(file.stem)
    assert scenario.name == file.stem
    stage = Stage(scenario.with_changes(kits=min(30, scenario.fleet.kits)), boot_prefix="b", epoch=0.0)
    assert sum(1 for _ in stage.advance(300)) > 100


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[fleet]\nkits = 3\nkitz = 4", "fleet: Object contains unknown field `kitz`"),
        ("[fleet]\nkits = 0", "fleet.kits"),
        ("[fleet]\n", "fleet: Object missing required field `kits`"),
        ("[flet]\nkits = 3", "flet"),
        (ONE + "[software]\nversions = 3", "software.versions"),
        (FAULT.format("silence", "at_s = 1"), "exactly one of kits, count, share and operator"),
        (FAULT.format("silence", "at_s = 1\ncount = 1\nshare = 0.5"), "exactly one of kits, count, share and operator"),
        (FAULT.format("silence", "at_s = 5\nuntil_s = 5\ncount = 1"), "until_s must be later"),
        (FAULT.format("late", "at_s = 5\ncount = 1"), "until_s is missing"),
        (FAULT.format("late", "at_s = 5\nuntil_s = 9\nevery_s = 3\ncount = 1"), "before it repeats"),
        (FAULT.format("silence", "at_s = 1\nshare = 1.5"), "faults[0].share"),
        (FAULT.format("sleepy", "at_s = 1\ncount = 1"), "'sleepy'"),
        (FAULT.format("malformed", 'at_s = 1\ncount = 1\nsorts = ["ugly"]'), "faults[0].sorts[0]"),
        (FAULT.format("silence", 'at_s = 1\nkits = ["K-9"]'), "faults[0].kits: K-9 is not in the fleet"),
        (FAULT.format("pairing_lost", 'at_s = 1\ncount = 1\nperipheral = "lamp"'), "faults[0].peripheral: lamp"),
        (ONE + "[expect]\nquarantined = { ugly = 1 }", "expect.quarantined.ugly"),
        ("[fleet]\nkits = 3\nduration_s = 1e9", "fleet.duration_s"),
        ("[fleet", "end of document"),
    ],
)
def test_mistakes_are_named(text: str, named: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(text)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_the_command_line_wins_and_is_checked_too() -> None:
    scenario = parse(ONE).with_changes(kits=7, seed=9, duration_s=5)
    assert (scenario.fleet.kits, scenario.fleet.seed, scenario.fleet.duration_s) == (7, 9, 5)
    with pytest.raises(ScenarioError, match=r"fleet\.kits"):
        parse(ONE).with_changes(kits=0)
    with pytest.raises(ScenarioError, match="K-000003"):
        parse(FAULT.format("silence", 'at_s = 1\nkits = ["K-000003"]')).with_changes(kits=2)


def test_kits_csv_is_what_the_books_import() -> None:
    scenario = parse(
        ONE + 'expected_interval_s = 10\norganisation = "demo"\n[software]\nwanted = {app = "2", os = "1"}'
    )
    rows = list(csv.DictReader(io.StringIO(kits_csv(scenario))))
    assert rows[2] == {
        "kit": "K-000003",
        "label": "Simulated K-000003",
        "state": "installed",
        "organisation": "demo",
        "expected_interval_s": "10",
        "wanted_components": "app=2;os=1",
    }


@pytest.mark.parametrize(("expected_s", "silent_s"), [(5, 30), (10, 30), (300, 900), (3600, 10_800), (86_400, 129_600)])
def test_silent_after(expected_s: int, silent_s: float) -> None:
    assert parse(ONE + f"expected_interval_s = {expected_s}").silent_after_s() == silent_s


@pytest.mark.parametrize("sort", ALL_SORTS)
def test_each_sort_of_malformed_is_refused_for_its_reason(sort: str) -> None:
    topics = Topics()
    bad = build(sort, topics, "K-1", "b", datetime.now(UTC))
    topic = topics.parse(bad.topic)
    assert bad.reason is REASONS[sort]
    assert len(bad.payload) < 64 * 1024
    if sort == "wrong_topic":
        assert topic is None
        return
    assert isinstance(topic, DeviceTopic)
    decoded = decode(topic.kind, bad.payload)
    if sort == "unknown_kit":
        assert topic.kit != "K-1"
        assert not isinstance(decoded, Rejection)
    else:
        assert isinstance(decoded, Rejection)
        assert decoded.reason is bad.reason
