"""Dashboards and platform alerts against the code: every query runs, every metric is there."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import dict_row
from starlette.routing import Match

from fleet import metrics
from fleet.api.app import create_app
from fleet.config import Settings
from fleet.embedded.ports import free_port
from tests.support import eventually, process

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana/dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [
    (f"{name}: {panel['title']}", panel)
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
SQL_PANELS = [(name, panel) for name, panel in PANELS if "rawSql" in panel["targets"][0]]
INTERVAL_S = 300


def test_the_dashboards_are_those_that_the_code_builds() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "grafana/build.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(DASHBOARDS) == {"fleet-now", "ingest-and-platform", "service-desk"}


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=[name for name, _ in PANELS])
def test_a_panel_says_what_it_means_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 30
    assert panel["datasource"]["uid"] in ("fleet-postgres", "fleet-prometheus")
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]}
    refs = [target["refId"] for target in panel["targets"]]
    assert all(refs)
    assert len(set(refs)) == len(refs)
    if panel["type"] in ("stat", "timeseries", "bargauge"):
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_fits_its_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    assert DASHBOARDS[name]["refresh"] in ("10s", "30s")
    assert DASHBOARDS[name]["timezone"] == "browser"


def expanded(sql: str, organisations: tuple[str, ...] = ("(none)", "nord"), kit: str = "") -> str:
    """A query with Grafana's variables and macros filled in as its PostgreSQL data source does."""
    sql = sql.replace("${organisation:sqlstring}", ",".join(f"'{o}'" for o in organisations))
    sql = sql.replace("${kit:sqlstring}", f"'{kit}'")
    sql = sql.replace("$__interval_ms", str(INTERVAL_S * 1000)).replace("$__interval", f"{INTERVAL_S // 60}m")
    now = datetime.now(UTC)
    begin, end = f"{now - timedelta(hours=24):%FT%TZ}", f"{now:%FT%TZ}"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{begin}' AND '{end}'", sql)
    sql = re.sub(
        r"\$__timeGroupAlias\((\w+),\s*(\d+)m\)",
        lambda m: f'floor(extract(epoch from {m[1]})/{int(m[2]) * 60})*{int(m[2]) * 60} AS "time"',
        sql,
    )
    assert "$" not in sql, sql
    return sql


SEED = (Path(__file__).parent / "dashboards_seed.sql").read_text(encoding="utf-8")


@pytest.fixture
def seeded(database: str) -> str:
    """A migrated database in which every panel has something to show."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SEED.encode())
    return database


def read(database: str, sql: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a query, asked as Grafana's role."""
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SET ROLE fleet_grafana")
        cursor = connection.execute(expanded(sql).encode())
        return [column.name for column in cursor.description or ()], cursor.fetchall()


def test_every_panels_query_runs_and_shows_what_is_there(seeded: str) -> None:
    for name, panel in SQL_PANELS:
        for target in panel["targets"]:
            columns, found = read(seeded, target["rawSql"])
            assert found, f"{name} has nothing to show"
            check_columns(name, panel, columns)


def check_columns(name: str, panel: dict[str, Any], columns: list[str]) -> None:
    """A panel dresses exactly the columns that its query gives."""
    if panel["type"] == "timeseries":
        assert panel["targets"][0]["format"] == "time_series", name
        assert columns[0] == "time", name
    if panel["type"] == "bargauge":
        (named,) = panel["transformations"]
        assert [entry["fieldName"] for entry in named["options"]["mappings"]] == columns, name
    if panel["type"] == "table":
        dressed = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
        assert dressed == set(columns), f"{name}: a column has no heading, or a heading no column"


def test_every_panels_query_runs_on_an_empty_database(database: str) -> None:
    for _, panel in SQL_PANELS:
        for target in panel["targets"]:
            read(database, target["rawSql"])


def test_the_figures_count_what_they_say(seeded: str) -> None:
    shown = {
        panel["title"]: next(iter(read(seeded, panel["targets"][0]["rawSql"])[1][0].values()))
        for _, panel in SQL_PANELS
        if panel["type"] == "stat" and panel["title"] != "Listening"
    }
    assert shown == {
        "We are listening": "listening",
        "Installed kits": 5,
        "Reporting": Decimal("0.8"),
        "Silent": 1,
        "Version drift": 1,
        "Pairing lost": 1,
        "Open incidents": 1,
        "Overdue requests": 2,
        "Open requests": 5,
        "At risk": 1,
        "Breached": 2,
        "Waiting for others": 1,
        "Given to nobody": 4,
        "False alarms": Decimal("0.5"),
        "Visits to do": 2,
        "Visits past their target": 1,
    }


def test_the_choices_at_the_top_narrow_the_kits(seeded: str) -> None:
    (panel,) = (panel for _, panel in SQL_PANELS if panel["title"] == "Installed kits")
    counts = {}
    for organisations, kit in ((("nord",), ""), (("(none)",), ""), (("(none)", "nord"), "K-1"), (("o'none",), "")):
        quoted = tuple(organisation.replace("'", "''") for organisation in organisations)
        sql = expanded(panel["targets"][0]["rawSql"], quoted, kit)
        with psycopg.connect(seeded) as connection:
            row = connection.execute(sql.encode()).fetchone()
        counts[organisations, kit] = row and row[0]
    assert list(counts.values()) == [4, 1, 1, 0]


def test_the_organisations_offered_are_those_of_the_kits(seeded: str) -> None:
    (variable,) = (v for v in DASHBOARDS["fleet-now"]["templating"]["list"] if v["name"] == "organisation")
    assert [row["organisation"] for row in read(seeded, variable["query"])[1]] == ["(none)", "nord"]


def expressions() -> list[str]:
    """Every Prometheus expression of panels and alerts."""
    panels = [target["expr"] for _, panel in PANELS for target in panel["targets"] if "expr" in target]
    rules = yaml.safe_load((ROOT / "grafana/prometheus/rules/fleet.yml").read_text(encoding="utf-8"))
    return panels + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def named(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\b(fleet_\w+|up|process_\w+)\b", re.sub(r'"[^"]*"', "", expression)))


def labels_of(expression: str) -> set[str]:
    """The labels that an expression asks for or groups by."""
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    return grouped | set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))


@pytest.fixture
def live(settings: Settings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the real processes show at /metrics, by role."""
    ports = {"ingest": free_port(), "worker": free_port(), "api": free_port()}
    common = {
        "database_url": settings.dsn(),
        "mqtt_url": settings.mqtt_url.get_secret_value() if settings.mqtt_url else "",
    }
    with contextlib.ExitStack() as stack:
        for role, port in ports.items():
            which = "http_port" if role == "api" else "metrics_port"
            stack.enter_context(process("fleet", role, log=tmp_path / f"{role}.log", **common, **{which: str(port)}))
        yield {role: f"http://127.0.0.1:{port}/metrics" for role, port in ports.items()}


async def test_every_metric_named_is_on_a_live_process(live: dict[str, str]) -> None:
    samples: dict[str, set[str]] = {}
    async with httpx.AsyncClient() as client:

        async def text_of(url: str) -> str:
            try:
                answer = await client.get(url)
            except httpx.TransportError:
                return ""
            return answer.text if answer.status_code == 200 else ""

        for role, url in live.items():
            text = await eventually(lambda url=url: text_of(url), 30, f"metrics of {role}")
            for family in text_string_to_metric_families(text):
                suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
                names = {family.name + suffix for suffix in suffixes.get(family.type, [""])}
                for name in names:
                    samples.setdefault(name, set())
    for expression in expressions():
        for name in named(expression) - {"up"}:
            assert name in samples, f"{name} of {expression} is on no live /metrics"


@pytest.mark.parametrize("expression", expressions())
def test_the_labels_asked_for_are_those_of_the_metric(expression: str) -> None:
    known = {"le", "job", "instance"}
    for collector in (c for c in vars(metrics).values() if isinstance(c, MetricWrapperBase)):
        (family, *_) = collector.describe()
        if any(name.removesuffix("_total").startswith(family.name) for name in named(expression)):
            known |= set(collector._labelnames)
    assert labels_of(expression) <= known


def test_links_lead_to_pages_that_exist() -> None:
    urls = {url for d in DASHBOARDS.values() for url in re.findall(r"\$\{console\}([^\"]+)", json.dumps(d))}
    assert urls
    routes = create_app(Settings()).routes
    for url in urls:
        scope = {"type": "http", "method": "GET", "path": url.replace("${__value.raw}", "K-1"), "headers": []}
        assert any(route.matches(scope)[0] is Match.FULL for route in routes), url
