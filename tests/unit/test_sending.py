"""What an answer of the broker means for a command, and when it is tried again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.errors import InvalidError
from fleet.updates.commands import CommandState, check_arguments
from fleet.updates.link import Answer
from fleet.updates.sender import Delivery, Due, becomes, delivery_of, pause_after, payload_of


@pytest.mark.parametrize(
    ("answer", "delivery", "state"),
    [
        (Answer.SUCCESS, Delivery.TAKEN, CommandState.SENT),
        (Answer.NO_MATCHING_SUBSCRIBERS, Delivery.NO_SUBSCRIBER, CommandState.PENDING),
        (Answer.QUOTA_EXCEEDED, Delivery.NO_SUBSCRIBER, CommandState.PENDING),
        (Answer.NOT_AUTHORIZED, Delivery.REFUSED, CommandState.FAILED),
    ],
)
def test_only_success_is_sent(answer: Answer, delivery: Delivery, state: CommandState) -> None:
    assert delivery_of(answer) is delivery
    assert becomes(delivery) is state


@pytest.mark.parametrize("delivery", Delivery)
def test_pauses_grow_and_end(delivery: Delivery) -> None:
    pauses = [pause_after(delivery, attempts) for attempts in range(2_000)]
    assert pauses == sorted(pauses)
    assert 1 <= pauses[0] <= 10
    assert pauses[-1] == (3600 if delivery is Delivery.TAKEN else 60)


def test_the_message_is_the_contracts() -> None:
    until = datetime(2026, 11, 25, 12, tzinfo=UTC)
    due = Due("c-1", "K-1", "ping", {"deep": True}, until, 0, 60.0)
    body = json.loads(payload_of(due))
    assert body == {"name": "ping", "arguments": {"deep": True}, "expires_at": "2026-11-25T12:00:00Z"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": "x" * 3000},
        {"a": float("nan")},
        {"a": {"b": ["0101701234"]}},
        {"0101701234": 1},
        {"a": "line\nbreak"},
        {"a": 101701234.0, "b": "010170-1234"},
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        check_arguments(arguments)


def test_arguments_that_are_taken() -> None:
    check_arguments({"timeout_s": 30, "deep": True, "only": ["scale", None], "more": {"name": "åben"}})
