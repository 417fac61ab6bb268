"""What `fleet up` tells while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.cli.supervise.summary import Numbers, lines


def alerts(count: int) -> list[dict[str, Any]]:
    return [{"kit": f"K-{number}", "subject": None, "rule": "silent"} for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("told", "suppressed", "said"),
    [
        (6, 54, "6 (54 suppressed): K-1 silent, K-2 silent, K-3 silent, K-4 silent and 2 more"),
        (1, 0, "1: K-1 silent"),
        (0, 54, "none (54 suppressed)"),
        (0, 0, "none"),
        (1, 500, "1 (500+ suppressed): K-1 silent"),
        (500, 0, "500+: K-1 silent, K-2 silent, K-3 silent, K-4 silent and 496+ more"),
    ],
)
def test_alerts_that_something_else_speaks_for_are_told_apart(told: int, suppressed: int, said: str) -> None:
    place = {"kit": None, "subject": "location:depot", "number": "SR-1", "cause": "stock_low"}
    now = Numbers(0.0, None, None, alerts(told), [place], alerts(suppressed))
    shown = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines(now, None, "http://x")}
    assert shown["alerts"] == said
    assert shown["requests"] == "1: SR-1 location:depot stock_low"


def test_an_api_that_does_not_answer_is_said_so() -> None:
    shown = lines(Numbers(0.0, None, None, None, None), None, "http://x")
    assert [line.split(maxsplit=1)[1] for line in shown[2:]] == ["the API does not answer"] * 3
