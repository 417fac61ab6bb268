"""One-time codes against the vectors of RFC 6238; what is sealed, and recovery codes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from hypothesis import given
from hypothesis import strategies as st

from fleet.access import totp
from fleet.access.totp import Sealer

RFC_SECRET = b"12345678901234567890"
KEY = "a key of forty characters for tests only"
NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_vectors_of_the_standard(seconds: int, code: str) -> None:
    """RFC 6238, appendix B has eight digits; ours are the last six of them."""
    assert TOTP(RFC_SECRET, 8, SHA1(), 30).generate(seconds) == code.encode()
    assert totp.code_at(RFC_SECRET, seconds // totp.STEP_S) == code[-6:]


@pytest.mark.parametrize(("offset", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(offset: int, taken: bool) -> None:
    step = totp.step_of(NOW) + offset
    found = totp.matching_step(RFC_SECRET, totp.code_at(RFC_SECRET, step), NOW, None)
    assert found == (step if taken else None)


def test_a_code_counts_once_and_none_before_it() -> None:
    present = totp.step_of(NOW)
    codes = {step: totp.code_at(RFC_SECRET, step) for step in (present - 1, present, present + 1)}
    assert totp.matching_step(RFC_SECRET, codes[present], NOW, present) is None
    assert totp.matching_step(RFC_SECRET, codes[present - 1], NOW, present) is None
    assert totp.matching_step(RFC_SECRET, codes[present + 1], NOW, present) == present + 1
    later = NOW + timedelta(seconds=totp.STEP_S)
    assert totp.matching_step(RFC_SECRET, codes[present + 1], later, present) == present + 1


@pytest.mark.parametrize("odd", ["", "000", "abcdef", "\ud800", "٠١٢٣٤٥", "1234567", "12345\x00"])
def test_what_is_no_code_is_wrong(odd: str) -> None:
    assert totp.matching_step(RFC_SECRET, odd, NOW, None) is None


def test_spaces_do_not_matter() -> None:
    code = totp.code_at(RFC_SECRET, totp.step_of(NOW))
    assert totp.matching_step(RFC_SECRET, f" {code[:3]} {code[3:]}\n", NOW, None) == totp.step_of(NOW)


def test_an_app_reads_the_same_secret_however_it_gets_it() -> None:
    secret = totp.new_secret()
    uri = urlsplit(totp.provisioning_uri(secret, "support-07"))
    told = {name: values[0] for name, values in parse_qs(uri.query).items()}
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/fleet:support-07")
    assert told == {"secret": told["secret"], "issuer": "fleet", "algorithm": "SHA1", "digits": "6", "period": "30"}
    assert base64.b32decode(told["secret"]) == secret
    assert totp.typed_secret(secret).replace(" ", "") == told["secret"]
    assert len(secret) * 8 >= 160


def test_the_qr_code_needs_nothing_from_elsewhere() -> None:
    uri = totp.provisioning_uri(RFC_SECRET, "support-07")
    assert totp.qr_svg(uri).startswith("<svg ")
    assert "http" not in totp.qr_svg(uri)
    assert "style" not in totp.qr_svg(uri)
    assert totp.qr_data_uri(uri).startswith("data:image/svg+xml")


@given(secret=st.binary(min_size=1, max_size=64), user_id=st.integers(1, 2**40))
def test_what_is_sealed_opens_for_its_user_and_key_only(secret: bytes, user_id: int) -> None:
    sealed = Sealer(KEY).seal(secret, user_id)
    assert secret not in sealed or len(secret) < 4
    assert Sealer(KEY).open(sealed, user_id) == secret
    assert Sealer(KEY).open(sealed, user_id + 1) is None
    assert Sealer(KEY[::-1]).open(sealed, user_id) is None
    assert Sealer(KEY).open(sealed[:-1] + bytes([sealed[-1] ^ 1]), user_id) is None


@given(st.binary(max_size=40))
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    assert Sealer(KEY).open(sealed, 1) is None


def test_recovery_codes_are_many_and_may_be_typed_carelessly() -> None:
    codes = totp.new_recovery_codes()
    assert len(set(codes)) == totp.RECOVERY_CODES
    for code in codes:
        assert totp.looks_like_recovery_code(code)
        assert totp.hash_recovery_code(f" {code.lower().replace('-', ' ')} ") == totp.hash_recovery_code(code)
    assert not totp.looks_like_recovery_code("123 456")
