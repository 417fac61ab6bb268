"""`python -m fleet.docs [--check] [--figures BENCH.json]`: write docs/reference/ and the README's figures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet.db.migrate import migrate
from fleet.docs import asyncapi, commands, figures, lifecycle, metrics, roles, settings, views
from fleet.embedded.postgres import start_temporary

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "asyncapi.yaml": asyncapi.page,
    "cli.md": commands.page,
    "lifecycle.md": lifecycle.page,
    "metrics.md": metrics.page,
    "roles.md": roles.page,
    "settings.md": settings.page,
}
"""Each page that needs nothing but the code."""

VIEWS_PAGE = "grafana-views.md"


def pages(database_url: str) -> dict[str, str]:
    """Every page by file name; `database_url` is a migrated database."""
    return {name: make() for name, make in PAGES.items()} | {VIEWS_PAGE: views.page(database_url)}


def stale(made: Mapping[str, str]) -> list[str]:
    """Names of the pages that are not on disk as they were made."""
    return [name for name, text in made.items() if not _is(REFERENCE / name, text)]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """0: all is written or up to date; 1: `--check` found stale pages."""
    parser = argparse.ArgumentParser(prog="python -m fleet.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--figures", type=Path, metavar="BENCH.json", help="put `fleet bench --json` into the README")
    options = parser.parse_args()
    if options.figures is not None:
        readme = ROOT / "README.md"
        bench = json.loads(options.figures.read_text(encoding="utf-8"))
        readme.write_text(figures.placed(readme.read_text(encoding="utf-8"), bench), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory(prefix="fleet-docs-") as folder, start_temporary(Path(folder)) as url:
        migrate(url)
        made = pages(url)
    old = stale(made)
    if options.check:
        for name in old:
            print(f"docs/reference/{name} is not up to date: run python -m fleet.docs", file=sys.stderr)
        return 1 if old else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name in old:
        (REFERENCE / name).write_text(made[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
