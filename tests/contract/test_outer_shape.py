"""The stack as others run it: compose file, image, broker and Prometheus configuration against the code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict
from typer.main import get_command

from fleet import cli
from fleet.config import PREFIX, Settings
from fleet.embedded import binaries
from simulator import cli as simulator_cli
from simulator.scenario import SHIPPED

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
VARIABLE = re.compile(r"(?<!\$)\$\{?(\w+)(:\?[^}]+|:-[^}]*)?\}?")
OPTIONAL = {"MQTT_TABLET_PASSWORD", "PUBLIC_URL"}
"""What may stay empty: simulated tablets have it, those in the field have passwords of their own; and this machine."""
LEADS_TO_THE_CONSOLE = {"api", "worker"}
"""Logins come back there, and mails and tickets carry links."""


def environment(service: dict[str, Any]) -> dict[str, str]:
    """The variables a service gets."""
    given: dict[str, str] = service.get("environment", {})
    return given


def test_compose_has_the_whole_stack() -> None:
    assert set(SERVICES) == {
        "timescaledb",
        "mosquitto",
        "migrate",
        "ingest",
        "worker",
        "api",
        "prometheus",
        "grafana",
        "simulator-kits",
        "simulator",
    }
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["simulator"]} == {
        "simulator-kits",
        "simulator",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_compose_names_only_what_exists(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], other
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"
    for volume in service.get("volumes", []):
        source, _, *mode = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"], f"{volume} is ours, the container must not write it"
        else:
            assert source in COMPOSE["volumes"], source


def test_every_volume_is_used() -> None:
    used = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if not v.startswith("./")}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_compose_bounds_and_guards_every_service(name: str) -> None:
    service = SERVICES[name]
    one_shot = service["restart"] == "no"
    assert service["restart"] in ("no", "unless-stopped")
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert one_shot or name == "simulator" or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    # The database's image starts as root to give its folder to its own user, then drops to it.
    assert name == "timescaledb" or not service["user"].startswith("0")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{port} would be open to the network"
    tag = service["image"].rpartition(":")[2]
    assert tag == "local" or re.search(r"\d+\.\d+", tag), f"{service['image']} is not pinned"


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_as_nobody_in_a_read_only_image(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", OURS)
def test_settings_in_compose_exist_and_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment(OURS[name])
    assert all(variable.startswith(PREFIX) for variable in given)
    known = {variable.removeprefix(PREFIX).lower() for variable in given}
    assert known <= set(Settings.model_fields), known - set(Settings.model_fields)
    for variable in given:
        monkeypatch.delenv(variable, raising=False)
    values = {variable.removeprefix(PREFIX).lower(): filled(text) for variable, text in given.items()}
    settings = Settings(**values)
    assert (settings.http_public_url is not None) == (name in LEADS_TO_THE_CONSOLE)
    if settings.database_url is not None:
        target = conninfo_to_dict(settings.dsn())
        assert target["host"] in SERVICES
        assert target["dbname"] == environment(SERVICES["timescaledb"])["POSTGRES_DB"]
        assert target["user"] == environment(SERVICES["timescaledb"])["POSTGRES_USER"]
    if settings.mqtt_url is not None:
        assert settings.endpoint().host in SERVICES
    if settings.mqtt_admin_url is not None:
        assert settings.admin_endpoint().host in SERVICES
        assert settings.secret_key is not None, "passwords that the API sealed could not be opened"


def filled(text: str) -> str:
    """A value as compose would make it, each secret being forty letters, and what has a default that."""
    return VARIABLE.sub(lambda found: (found[2] or "").removeprefix(":-") if ":-" in found[0] else "s" * 40, text)


def test_every_secret_is_demanded_and_documented() -> None:
    content = re.sub(r"^\s*#.*$", "", COMPOSE_FILE, flags=re.MULTILINE)
    variables = dict(VARIABLE.findall(content.replace("$$", "")))
    assert all(message.startswith(":?") or name in OPTIONAL for name, message in variables.items()), variables
    names = re.findall(r"^(\w+)=$", (ROOT / "deploy/compose.env").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(variables)


def check_command(words: list[str], program: Any) -> None:
    """Walk down the groups of a typer command and see that each word and option exists."""
    found = program
    for word in words:
        if hasattr(found, "commands"):
            assert word in found.commands, f"{word} is no command of {found.name}"
            found = found.commands[word]
        elif word.startswith("-"):
            options = {name for parameter in found.params for name in parameter.opts}
            assert word in options, f"{word} is no option of {found.name}"
    assert not hasattr(found, "commands"), words


@pytest.mark.parametrize("name", OURS)
def test_commands_in_compose_exist(name: str) -> None:
    service = OURS[name]
    programs = {"fleet": get_command(cli.app), "simulator": get_command(simulator_cli.app)}
    entry = service.get("entrypoint", ["fleet"])
    if entry[0] == "/bin/sh":
        lines = [part.split(">")[0].split() for part in service["command"][0].split(";")]
    else:
        lines = [[entry[0], *service["command"]]]
    for program, *words in lines:
        check_command(words, programs[program])
        if program == "simulator":
            assert (SHIPPED / f"{words[1]}.toml").exists()


def dockerfile() -> list[list[str]]:
    """The instructions, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_copies_what_exists_and_what_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for instruction in dockerfile()
        if instruction[0] == "COPY" and not instruction[1].startswith("--")
        for source in instruction[1:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} is kept out of the build"


def test_the_image_runs_as_nobody_from_the_entry_point() -> None:
    last = {instruction[0]: instruction[1:] for instruction in dockerfile()}
    assert last["USER"] == ["10001:10001"]
    assert last["ENTRYPOINT"] == ['["fleet"]']
    stages = [instruction for instruction in dockerfile() if instruction[0] == "FROM"]
    assert [stage[1] for stage in stages] == ["python:3.12-slim"] * 2
    for instruction in dockerfile():
        if instruction[0] == "ENV":
            names = [word.split("=")[0] for word in instruction[1:]]
            assert {n.removeprefix(PREFIX).lower() for n in names if n.startswith(PREFIX)} <= set(Settings.model_fields)


def test_prometheus_scrapes_every_process_where_it_serves() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    for role in ("ingest", "worker", "api"):
        (target,) = jobs[role]["dns_sd_configs"]
        given = environment(SERVICES[role])
        port = given["FLEET_HTTP_PORT"] if role == "api" else given["FLEET_METRICS_PORT"]
        host = given["FLEET_HTTP_HOST"] if role == "api" else given["FLEET_METRICS_HOST"]
        assert target["names"] == [role]
        assert str(target["port"]) == port
        assert host == "0.0.0.0", f"{role} would be seen from its own container only"
        exposed = SERVICES[role].get("expose") or [p.rpartition(":")[2] for p in SERVICES[role]["ports"]]
        assert exposed == [port]
    assert set(jobs) == {"ingest", "worker", "api", "prometheus"}
    for pattern in PROMETHEUS["rule_files"]:
        assert list((ROOT / "grafana/prometheus").glob(pattern)), pattern


def test_grafana_reads_the_database_and_prometheus_of_the_stack() -> None:
    folder = ROOT / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/fleet.yml").read_text(encoding="utf-8"))["datasources"]
    database, prometheus = sources
    assert database["url"] == "timescaledb:5432"
    assert database["jsonData"]["database"] == environment(SERVICES["timescaledb"])["POSTGRES_DB"]
    assert prometheus["url"] == "http://prometheus:9090"
    (variable,) = re.findall(r"\$__env\{(\w+)\}", str(sources))
    assert variable in environment(SERVICES["grafana"])
    assert variable in environment(SERVICES["timescaledb"])
    script = (ROOT / "deploy/postgres/10-grafana-reader.sh").read_text(encoding="utf-8")
    assert f"CREATE ROLE {database['user']} LOGIN" in script
    (provider,) = yaml.safe_load((folder / "dashboards/fleet.yml").read_text(encoding="utf-8"))["providers"]
    mounts = {v.split(":")[1]: v.split(":")[0] for v in SERVICES["grafana"]["volumes"]}
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    home = environment(SERVICES["grafana"])["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "grafana/dashboards" / Path(home).name).exists()


@pytest.fixture
def reader_url(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated database in which the script has made Grafana's login."""
    target = conninfo_to_dict(database)
    monkeypatch.setenv("PATH", f"{binaries.programs(None)}:/usr/bin:/bin")
    for name, value in {
        "PGHOST": target["host"],
        "PGPORT": target["port"],
        "PGPASSWORD": target["password"],
        "POSTGRES_USER": target["user"],
        "POSTGRES_DB": target["dbname"],
        "GRAFANA_READER_PASSWORD": "it's",
    }.items():
        monkeypatch.setenv(name, str(value))
    try:
        subprocess.run(["/bin/sh", str(ROOT / "deploy/postgres/10-grafana-reader.sh")], check=True, timeout=30)
        yield f"postgresql://grafana_reader:it%27s@{target['host']}:{target['port']}/{target['dbname']}"
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS grafana_reader")


def test_grafanas_login_reads_the_views_and_nothing_else(reader_url: str) -> None:
    with psycopg.connect(reader_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM grafana_kits").fetchone() == (0,)
        for statement in ("SELECT * FROM kits", "SELECT * FROM tokens", "SELECT * FROM heartbeats"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE mine (i int)")


@pytest.mark.tools
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "grafana/prometheus/prometheus.yml"),
        ("check", "rules", "grafana/prometheus/rules/fleet.yml"),
        ("test", "rules", "grafana/prometheus/tests/fleet.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_configuration_and_rules(tool: Callable[[str], str], arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_platform_alert_has_a_unit_test_and_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "grafana/prometheus/rules/fleet.yml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    tests = yaml.safe_load((ROOT / "grafana/prometheus/tests/fleet.yml").read_text(encoding="utf-8"))
    firing = {case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert {alert["alert"] for alert in alerts} == firing
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "major", "minor")
        assert alert["annotations"]["summary"]
        assert len(alert["annotations"]["description"]) > 40
