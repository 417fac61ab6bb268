"""Every timeline, played; what is seen and not expected, or expected and not seen, fails it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.timeline.judge import wrong
from tests.timeline.language import LanguageError, Scenario, read, span
from tests.timeline.stage import Stage

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.timeline"))
SCENARIOS = [pytest.param(each, id=f"{file.stem}: {each.name}") for file in FILES for each in read(file)]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_timeline(database: str, scenario: Scenario) -> None:
    stage = Stage(database, scenario)
    seen = await stage.play()
    problems = wrong(scenario, seen, stage.numbers)
    assert not problems, "\n".join([scenario.name, *problems])


def test_names_are_told_apart() -> None:
    names = [param.values[0].name for param in SCENARIOS]  # type: ignore[union-attr]
    assert len(names) == len(set(names))


def test_each_classic_failure_is_shown_not_to_happen() -> None:
    text = (Path(__file__).parents[2] / "docs" / "alert-proof.md").read_text(encoding="utf-8")
    told = text.split("### The classic failures")[1].split("\n## ")[0]
    failures = [line for line in told.splitlines() if line.endswith(":")]
    named = {line.removeprefix("* ") for line in told.splitlines() if line.startswith("* ")}
    assert len(failures) == 6
    assert len(named) > 3 * len(failures)
    assert named <= {param.values[0].name for param in SCENARIOS}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "line",
    [
        "expect A silent opens soon",
        "expect A silent closes 5m",
        "5m B beats",
        "10m..5m A beats",
        "nonsense",
        "expect requests many at 5m",
    ],
)
def test_a_line_that_says_nothing_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.timeline"
    file.write_text(f"scenario One\n  kit A every 60s\n  {line}\n", encoding="utf-8")
    with pytest.raises(LanguageError) as told:
        list(read(file))
    assert line.split(maxsplit=1)[0] in str(told.value) or "B" in str(told.value)


def test_times_add_up() -> None:
    assert span("13m10s..2h").start_s == 790
    assert span("13m10s..2h").end_s == 7200
