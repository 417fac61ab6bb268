"""Credentials of tablets: what is told to the broker, how its file looks, what passwords become."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest

from fleet.cli.examine.entry import loose_clients, of_defaults, of_standing, wrong_roles
from fleet.cli.examine.finding import Level
from fleet.protocol.topics import Kind, Topics
from fleet.updates.credentials.deciding import LOST, Steps, Verdict, Wanted, judge, steps
from fleet.updates.credentials.dynsec import (
    DEFAULT_ACCESS,
    Account,
    Client,
    KitEntry,
    client_of,
    document,
    is_right,
    role_acls,
    role_name,
)
from fleet.updates.credentials.passwords import Envelope, hash_password, new_password
from fleet.updates.credentials.store import Expected, Standing

TOPICS = Topics()
KIT = "K-1"
RIGHT = Client(KIT, KIT, False, 2, frozenset({role_name(KIT)}), frozenset())
OFF = replace(RIGHT, disabled=True)
ROLE = {"rolename": role_name(KIT), "acls": role_acls(TOPICS, KIT)}
ISSUED, REVOKED = Wanted(KIT, 2, "issued", "secret"), Wanted(KIT, 2, "revoked")
KNOWN = Expected(1, KIT, 2, "issued", 1, applied=True, has_password=False, waits_for_file=False)


def told(done: Steps) -> list[str]:
    return [each["command"] for each in done.commands]


@pytest.mark.parametrize(
    ("wanted", "client", "role", "commands", "problem"),
    [
        (ISSUED, None, None, ["createRole", "createClient"], None),
        (ISSUED, None, ROLE, ["createClient"], None),
        (ISSUED, RIGHT, ROLE, ["modifyClient"], None),
        (ISSUED, OFF, ROLE, ["modifyClient", "enableClient"], None),
        (ISSUED, RIGHT, {**ROLE, "acls": []}, ["modifyRole", "modifyClient"], None),
        (REVOKED, None, None, [], None),
        (REVOKED, RIGHT, ROLE, ["disableClient"], None),
        (REVOKED, OFF, ROLE, [], None),
        (replace(ISSUED, password=None), RIGHT, ROLE, [], None),
        (replace(ISSUED, password=None), OFF, ROLE, ["enableClient"], None),
        (replace(ISSUED, password=None), replace(OFF, client_id=None), ROLE, ["modifyClient", "enableClient"], None),
        (replace(ISSUED, password=None), replace(OFF, generation=1), ROLE, [], LOST),
        (replace(ISSUED, password=None), replace(RIGHT, generation=1), ROLE, ["disableClient"], LOST),
        (replace(ISSUED, password=None), replace(RIGHT, generation=None), ROLE, ["disableClient"], LOST),
        (replace(ISSUED, password=None), None, ROLE, [], LOST),
    ],
)
def test_what_the_broker_is_told(
    wanted: Wanted, client: Client | None, role: dict[str, Any] | None, commands: list[str], problem: str | None
) -> None:
    done = steps(TOPICS, wanted, client, role)
    assert (told(done), done.problem) == (commands, problem)


def test_accounts_of_others_are_left_alone() -> None:
    """A kit by the name of an administrator must not shut it out."""
    other = Client(KIT, None, False, None, frozenset({"admin"}), frozenset())
    for wanted in (ISSUED, REVOKED):
        done = steps(TOPICS, wanted, other, None)
        assert not done.commands
        assert done.problem is not None


def test_a_password_goes_where_it_is_needed_and_into_no_repr() -> None:
    done = steps(TOPICS, ISSUED, None, None)
    assert done.commands[-1]["password"] == "secret"
    assert "secret" not in repr(ISSUED)
    assert done.commands[-1]["clientid"] == KIT


@pytest.mark.parametrize(
    ("client", "expected", "verdict"),
    [
        (RIGHT, None, Verdict.STRANGER),
        (OFF, None, Verdict.RIGHT),
        (RIGHT, KNOWN, Verdict.RIGHT),
        (OFF, KNOWN, Verdict.REPAIR),
        (replace(RIGHT, generation=1), KNOWN, Verdict.REPAIR),
        (replace(RIGHT, client_id="other"), KNOWN, Verdict.REPAIR),
        (replace(RIGHT, roles=RIGHT.roles | {"admin"}), KNOWN, Verdict.REPAIR),
        (replace(RIGHT, groups=frozenset({"all"})), KNOWN, Verdict.REPAIR),
        (RIGHT, replace(KNOWN, state="revoked"), Verdict.REPAIR),
        (OFF, replace(KNOWN, state="revoked"), Verdict.RIGHT),
        (RIGHT, replace(KNOWN, state="revoked", applied=False), Verdict.RIGHT),
        (RIGHT, replace(KNOWN, applied=False, has_password=True), Verdict.RIGHT),
        (RIGHT, replace(KNOWN, applied=False, waits_for_file=True), Verdict.ARRIVED),
        (replace(RIGHT, generation=1), replace(KNOWN, applied=False, waits_for_file=True), Verdict.REPAIR),
        (
            replace(RIGHT, generation=1, disabled=True),
            replace(KNOWN, applied=False, waits_for_file=True),
            Verdict.RIGHT,
        ),
    ],
)
def test_a_client_against_the_books(client: Client, expected: Expected | None, verdict: Verdict) -> None:
    assert judge(client, expected) is verdict


def test_a_kit_may_send_exactly_what_the_protocol_has_and_shares_nothing() -> None:
    acls = role_acls(TOPICS, KIT)
    allowed = {(each["acltype"], each["topic"]) for each in acls if each["allow"]}
    assert {topic for type_, topic in allowed if type_ == "publishClientSend"} == {
        TOPICS.device(KIT, kind, "+") for kind in Kind
    }
    heard = {TOPICS.desired(KIT), TOPICS.command(KIT, "+")}
    assert {topic for type_, topic in allowed if type_ != "publishClientSend"} == heard
    (denied,) = [each for each in acls if not each["allow"]]
    assert denied["topic"] == "$share/#"
    assert denied["priority"] > max(each["priority"] for each in acls if each["allow"])


def test_rights_are_the_same_in_any_order_and_without_defaults() -> None:
    plain = [{key: value for key, value in each.items() if value != 0 or key == "allow"} for each in ROLE["acls"]]
    assert is_right({"acls": list(reversed(plain))}, ROLE["acls"])
    assert not is_right({"acls": [*plain, {"acltype": "subscribePattern", "topic": "#", "allow": True}]}, ROLE["acls"])
    assert not is_right({"acls": plain[1:]}, ROLE["acls"])
    assert not is_right({}, ROLE["acls"])


def test_the_brokers_file_has_our_accounts_and_every_kit() -> None:
    hashed = hash_password("secret")
    kits = [KitEntry("K-1", 3, hashed), KitEntry("K-2", 7, None)]
    made = document(TOPICS, [Account("admin", hash_password("x"), ("admin",))], kits)
    admin, one, two = made["clients"]
    assert "clientid" not in admin
    assert one["clientid"] == one["username"] == "K-1"
    assert base64.b64decode(one["password"]) == hashed.hash
    assert two["disabled"] is True
    assert "password" not in two
    assert {role["rolename"] for role in made["roles"]} == {"admin", "fleet-server", "kit:K-1", "kit:K-2"}
    assert made["defaultACLAccess"] == DEFAULT_ACCESS
    assert client_of(one) == Client("K-1", "K-1", False, 3, frozenset({"kit:K-1"}), frozenset())


@pytest.mark.parametrize("text", ["", "generation x", "7", "generation 7 ", "generation ²", "generation 1e3"])
def test_what_is_no_generation_of_ours_is_none(text: str) -> None:
    assert client_of({"username": KIT, "textname": text}).generation is None


def test_a_password_is_hashed_as_mosquitto_does() -> None:
    made = hash_password("secret")
    assert made.hash == hashlib.pbkdf2_hmac("sha512", b"secret", made.salt, made.iterations, 64)
    assert hash_password("secret").salt != made.salt
    assert "hash" not in repr(made)


def test_passwords_are_long_and_fit_a_url() -> None:
    assert len({new_password() for _ in range(100)}) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", new_password()) for _ in range(100))


def test_an_envelope_opens_with_its_key_and_for_its_kit_only() -> None:
    envelope = Envelope("k" * 40)
    sealed = envelope.seal("secret", 7)
    assert b"secret" not in sealed
    assert envelope.open(sealed, 7) == "secret"
    assert envelope.open(sealed, 8) is None
    assert Envelope("l" * 40).open(sealed, 7) is None
    assert envelope.open(b"", 7) is None


@pytest.mark.parametrize(
    ("standing", "levels"),
    [
        (Standing(0, 0, 0, 0, None), {"broker told": Level.OK}),
        (Standing(3, 1, 0, 5, None), {"broker told": Level.OK}),
        (Standing(3, 0, 0, 300, "no"), {"broker told": Level.WARN}),
        (Standing(3, 1, 0, 300, None), {"broker told": Level.FAIL}),
        (Standing(0, 0, 9, 0, None), {"broker told": Level.OK, "broker file": Level.WARN}),
    ],
)
def test_doctor_tells_what_waits_long(standing: Standing, levels: dict[str, Level]) -> None:
    assert {each.what: each.level for each in of_standing(standing)} == levels


def test_doctor_tells_loose_rights() -> None:
    assert of_defaults({"publishClientSend": False, "publishClientReceive": True, "subscribe": False}).level is Level.OK
    assert of_defaults({"publishClientSend": True, "subscribe": False}).level is Level.FAIL
    assert of_defaults({}).level is Level.FAIL
    shared = {"acltype": "subscribePattern", "topic": "$share/#", "allow": True}
    wrong = {"rolename": "kit:K-2", "acls": [*role_acls(TOPICS, "K-2"), shared]}
    assert wrong_roles(TOPICS, [ROLE, wrong, {"rolename": "other", "acls": [shared]}]) == ["K-2"]
    assert loose_clients([RIGHT, replace(RIGHT, client_id=None), replace(RIGHT, roles=frozenset({"x"}))]) == [KIT]
