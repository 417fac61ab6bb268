"""Signatures as Standard Webhooks gives them, and secrets that open for what they were sealed for only."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.outbound import sealing
from fleet.alerts.outbound.sealing import OutletSealer

SEALER = OutletSealer("a key of forty characters for tests only")


def test_the_example_of_the_specification() -> None:
    """From the library of Standard Webhooks for Python, its test of signing."""
    secret = sealing.parsed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert secret is not None
    made = sealing.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        [secret],
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert made["webhook-timestamp"] == "1614265330"


@given(st.binary(min_size=1, max_size=64))
def test_a_secret_comes_back_as_it_went(secret: bytes) -> None:
    assert sealing.parsed(sealing.shown(secret)) == secret
    sealed = SEALER.seal(secret, "one")
    assert secret not in sealed or len(secret) < 4
    assert SEALER.open(sealed, "one") == secret
    assert SEALER.open(sealed, "another") is None
    assert OutletSealer("another key of forty characters at least").open(sealed, "one") is None


def test_what_is_no_secret() -> None:
    assert sealing.parsed("whsec_ ???") is None
    assert SEALER.open(b"", "one") is None
