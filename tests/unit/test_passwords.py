"""Which passwords are good enough, how they are kept, and that hashing is bounded."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from argon2 import PasswordHasher, extract_parameters

from fleet.access import passwords
from fleet.access.passwords import HashingThreads, Weakness
from fleet.errors import UnavailableError
from tests.support import eventually


@pytest.mark.parametrize(
    ("password", "weakness"),
    [
        ("", Weakness.TOO_SHORT),
        ("elleve tegn", Weakness.TOO_SHORT),
        ("x" * 129, Weakness.TOO_LONG),
        ("Support-07 er god", Weakness.HOLDS_USERNAME),
        ("password1234", Weakness.COMMON),
        ("PASSWORD1234", Weakness.COMMON),
        ("123456789012", Weakness.COMMON),
        ("aaaaaaaaaaaa", Weakness.COMMON),
        ("abababababab", Weakness.COMMON),
        ("qwertyuiop123", Weakness.COMMON),
        ("Sommer2026!!", Weakness.COMMON),
        ("adgangskode1", Weakness.COMMON),
        ("Velkommen123", Weakness.COMMON),
        ("AalborgKommune", Weakness.COMMON),
        ("correct horse battery", None),
        ("kaffe og regnvejr", None),
        ("89 ugler på taget", None),
        ("xq7-vvw2-kmp9", None),
        ("x" * 64 + "abcdefghijk", None),
    ],
)
def test_length_and_the_worst_ones(password: str, weakness: Weakness | None) -> None:
    assert passwords.weakness(password, "support-07") is weakness


def test_every_weakness_is_told() -> None:
    assert set(passwords.SAID) == set(Weakness)


def test_it_is_argon2id_as_owasp_has_it() -> None:
    parameters = extract_parameters(passwords.hash_password("kaffe og regnvejr"))
    assert (parameters.type.name, parameters.version) == ("ID", 19)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19456, 2, 1)
    assert parameters.salt_len >= 16


def test_a_password_verifies_however_its_letters_are_encoded() -> None:
    written = unicodedata.normalize("NFC", "blåbær på taget")
    stored = passwords.hash_password(written)
    assert passwords.verify(stored, unicodedata.normalize("NFD", written))
    assert not passwords.verify(stored, "blåbær på tagEt")
    assert passwords.hash_password(written) != stored


@pytest.mark.parametrize("odd", ["", "\x00", "\ud800", "x" * 5000])
def test_odd_input_is_wrong_not_an_error(odd: str) -> None:
    assert not passwords.verify(passwords.hash_password("kaffe og regnvejr"), odd)


@pytest.mark.parametrize("stored", [None, "", "no hash"])
def test_where_there_is_no_password_none_is_right(stored: str | None) -> None:
    assert not passwords.verify(stored, "kaffe og regnvejr")


def test_a_hash_of_other_parameters_is_outdated() -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x")
    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(passwords.hash_password("x"))


def test_one_time_passwords_are_good_enough_and_never_the_same() -> None:
    made = {passwords.one_time() for _ in range(100)}
    assert len(made) == 100
    assert all(passwords.weakness(each, "support-07") is None for each in made)


async def test_hashing_neither_stops_the_loop_nor_takes_all_memory() -> None:
    threads = HashingThreads()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.001)

    async with asyncio.TaskGroup() as group:
        turning = group.create_task(turn())
        stored = await threads.hash("kaffe og regnvejr")
        assert await threads.verify(stored, "kaffe og regnvejr")
        await eventually(lambda: turns > 5)
        turning.cancel()
    most = passwords.THREADS + passwords.MOST_WAITING
    outcomes = await asyncio.gather(*(threads.verify(stored, "x") for _ in range(most + 5)), return_exceptions=True)
    assert sum(isinstance(each, UnavailableError) for each in outcomes) == 5
    assert sum(each is False for each in outcomes) == most
    assert await threads.verify(stored, "kaffe og regnvejr")
    threads.close()
