"""Build the dashboards: `python grafana/build.py` writes grafana/dashboards/*.json, `--check` compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fleet_now
import ingest_and_platform
import service_desk
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """Each file's name and text."""
    built = {
        "fleet-now": fleet_now.build(),
        "ingest-and-platform": ingest_and_platform.build(),
        "service-desk": service_desk.build(),
    }
    return {f"{name}.json": _text(dashboard) for name, dashboard in built.items()}


def _text(dashboard: Dashboard) -> str:
    """JSON with panels numbered in their order, so that links to a panel stay."""
    content = json.loads(JSONEncoder().encode(dashboard.build()))
    for number, panel in enumerate(content["panels"], start=1):
        panel["id"] = number
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files, or with `--check` say which differ (exit code 1)."""
    stale = []
    for name, text in dashboards().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"not up to date: {', '.join(stale)}: run python grafana/build.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
