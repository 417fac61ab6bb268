"""The docs against the code: what they name exists, what is generated is up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from fleet import cli
from fleet.api.app import create_app
from fleet.config import PREFIX, Settings
from fleet.db import roles
from fleet.docs import __main__ as docs
from fleet.docs import figures
from fleet.docs.metrics import registered
from fleet.errors import UsageError
from fleet.protocol.messages import PAYLOADS
from simulator import cli as simulator_cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def codes(text: str) -> list[str]:
    """Everything that is written as code, line by line."""
    return [line.strip() for block, inline in CODE.findall(text) for line in (block or inline).splitlines()]


def prose_pages() -> dict[str, str]:
    """The pages written by hand."""
    return {name: text for name, text in TEXTS.items() if not name.startswith("docs/reference/")}


def test_the_reference_is_up_to_date(database: str) -> None:
    assert docs.stale(docs.pages(database)) == [], "run python -m fleet.docs"


def test_every_view_column_has_a_meaning(database: str) -> None:
    page = docs.pages(database)[docs.VIEWS_PAGE]
    assert not re.findall(r"^\| `\w+` \| [^|]+ \|  \|$", page, re.MULTILINE)


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        link = urlsplit(target)
        if not link.scheme and link.path:
            assert ((ROOT / page).parent / link.path).exists(), target


@pytest.mark.parametrize("page", prose_pages())
def test_paths_named_exist(page: str) -> None:
    folders = ("fleet/", "simulator/", "tests/", "grafana/", "docs/", "deploy/", ".ci/")
    for code in codes(TEXTS[page]):
        for word in code.split():
            if word.startswith(folders) and "=" not in word and "{" not in word and "v1" not in word:
                assert list(ROOT.glob(word.rstrip("/.,"))), f"{word} does not exist"


@pytest.mark.parametrize("page", TEXTS)
def test_settings_named_exist(page: str) -> None:
    for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", TEXTS[page]):
        field = name.removeprefix(PREFIX).lower()
        assert field in Settings.model_fields or name == "FLEET_", f"{name} is no setting"


@pytest.mark.parametrize("page", TEXTS)
def test_metrics_named_exist(page: str) -> None:
    stored = set(registered()) | {roles.API, roles.WORKER, roles.INGEST, "fleet_owner", "fleet_grafana"}
    for name in re.findall(r"`(fleet_\w+)`", TEXTS[page]):
        assert name in stored, f"{name} is no metric"


def known(words: list[str], command: Any) -> bool:
    """Whether the words are a command of the program, with options that it has."""
    for word in words:
        if hasattr(command, "commands"):
            if word not in command.commands:
                return word.startswith(("-", "…"))
            command = command.commands[word]
        elif word.startswith("--"):
            options = {name for parameter in command.params for name in parameter.opts}
            if word.split("=")[0] not in options:
                return False
    return True


@pytest.mark.parametrize("page", TEXTS)
def test_commands_named_exist(page: str) -> None:
    programs = {"fleet": get_command(cli.app), "simulator": get_command(simulator_cli.app)}
    for code in codes(TEXTS[page]):
        words = re.split(r"\s+", re.split(r"[#>|;]", code)[0].strip())
        name = words[0].removeprefix(".venv/bin/")
        if name in programs and len(words) > 1:
            assert known(words[1:], programs[name]), code


def test_compose_commands_named_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    program = get_command(cli.app)
    runs = [
        code.split("run --rm ")[1].split()
        for text in [*prose_pages().values(), (ROOT / "docker-compose.yml").read_text(encoding="utf-8")]
        for code in re.findall(r"docker compose run --rm [^`\n]+", text)
    ]
    assert runs
    for service, *words in runs:
        assert service in services
        assert not words or known(words, program), words


@pytest.mark.parametrize("page", TEXTS)
def test_make_targets_named_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for code in codes(TEXTS[page]):
        match = re.match(r"make ([a-z]+)\b", code)
        if match:
            assert match[1] in targets, code


def test_routes_named_exist() -> None:
    paths = set(create_app(Settings()).openapi()["paths"]) | {"/openapi.json"}
    for page, text in prose_pages().items():
        for route in re.findall(r"`(?:GET |POST )?(/(?:api/v1/[\w/{}-]+|[a-z]+z|metrics|openapi\.json))`", text):
            assert route in paths, f"{page}: {route} is no route"


def test_alerts_named_in_the_docs_are_rules() -> None:
    rules = yaml.safe_load((ROOT / "grafana/prometheus/rules/fleet.yml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    named = set(re.findall(r"`(Fleet[A-Z]\w+)`", TEXTS["docs/operations.md"]))
    assert named
    assert named <= alerts


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_readme_has_each_of_its_two_commands_once(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci/readme_commands.py"), str(ROOT / "README.md"), name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"make {name}\n")


def test_decisions_are_numbered_without_gaps_and_short() -> None:
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]
    for name in names:
        text = TEXTS[f"docs/decisions/{name}"]
        assert text.startswith(f"# {name[:4]} ")
        assert len(text.splitlines()) <= 20


def test_asyncapi_describes_every_kind_and_refers_to_what_is_there() -> None:
    document = yaml.safe_load((docs.REFERENCE / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert {kind.value for kind in PAYLOADS} <= set(document["channels"])

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [ref for inner in value.values() for ref in references(inner)]
        return [ref for inner in value for ref in references(inner)] if isinstance(value, list) else []

    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


BENCH = {
    "ingest": {"null_consumer_msgs_s": 40000.4, "ingest_msgs_s": 36000, "ratio": 0.9, "p99_commit_lag_s": 0.12},
    "worker": {"20000": {"kits": 20000, "quiet_tick_s": 0.01, "changed_tick_s": 0.5}},
    "api": {"kits": 20000, "kit_p95_s": 0.0042},
}


def test_figures_are_placed_between_their_markers_and_can_be_placed_again() -> None:
    readme = f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n"
    once = figures.placed(readme, BENCH)
    assert once == figures.placed(once, BENCH)
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "| messages/s of `fleet ingest`, committed before acknowledged | 36,000 |" in once
    assert "| tick of the worker when nothing changed, 20,000 kits | 10.0 ms |" in once
    assert "old" not in once
    with pytest.raises(UsageError):
        figures.placed("no markers", BENCH)
    assert TEXTS["README.md"].count(figures.BEGIN) == 1


def test_nothing_speaks_of_how_the_work_is_organised() -> None:
    for name, text in TEXTS.items():
        for word in ("/work/", "/tmp/w", "TODO", "FIXME"):
            assert word not in text, f"{name} has {word}"
