"""What attempts to log in are counted under, and how patience runs out."""

from __future__ import annotations

import pytest

from fleet.access import lockout
from fleet.access.lockout import ACCOUNT, ORIGIN, attempt


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        (None, "no address", True),
    ],
)
def test_who_has_one_address_of_a_network_has_all(one: str | None, other: str | None, same: bool) -> None:
    assert (attempt(one).origin == attempt(other).origin) is same


def test_names_count_however_written_and_are_not_kept() -> None:
    made = attempt("192.0.2.1", "Support-07")
    assert made.account == lockout.account_key("support-07")
    assert made.account != attempt("192.0.2.1", "support-08").account
    assert len(made.origin) == len(made.account or b"") == 32
    assert attempt("192.0.2.1", "\ud800").account
    # A name that reads like an address is none.
    assert attempt("192.0.2.1", "192.0.2.1").account != made.origin


def test_a_known_browser_is_counted_by_itself() -> None:
    usual = attempt("192.0.2.1", "Support-07", "browser")
    assert usual.account == attempt("192.0.2.9", "support-07", "browser").account
    others = (attempt("192.0.2.1", "support-07"), attempt("192.0.2.1", "support-07", "other"),
              attempt("192.0.2.1", "support-08", "browser"))  # fmt: skip
    assert len({usual.account, *(each.account for each in others)}) == 4


@pytest.mark.parametrize("patience", [ACCOUNT, ORIGIN])
def test_waits_only_grow(patience: lockout.Patience) -> None:
    assert list(patience.waits_s) == sorted(patience.waits_s)
    assert patience.waits_s[0] == 0
    assert patience.waits_s[-1] >= 60


def test_a_day_of_guessing_gets_nowhere() -> None:
    """At most a hundred guesses a day at one account, also at its six-digit codes, of which three count at a time."""
    a_day = 24 * 3600 / ACCOUNT.waits_s[-1]
    assert a_day <= 100
    assert a_day * 3 / 10**6 < 0.001
