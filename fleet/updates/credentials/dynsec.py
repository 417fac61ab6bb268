"""What Mosquitto's dynamic security shall hold: a client and a role for each kit, in its own JSON.

A role names its kit, because roles know no placeholder for whoever uses them. Everything not named is denied.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.protocol.topics import Kind, Topics
from fleet.updates.credentials.passwords import Hashed

ROLE_PREFIX = "kit:"
ADMIN_ROLE, SERVER_ROLE = "admin", "fleet-server"
CONTROL = "$CONTROL/dynamic-security/#"
SHARED = "$share/#"
_HEARING = ("publishClientReceive", "subscribePattern")
_GENERATION = "generation "
_FIRST = 100
"""Above the others: looked at before them."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """A client as the broker tells it, of what says who may enter; `generation` is None where it says none of ours."""

    username: str
    client_id: str | None
    disabled: bool
    generation: int | None
    roles: frozenset[str]
    groups: frozenset[str]

    @property
    def is_a_kits(self) -> bool:
        """Whether it was made for a kit: everybody else's accounts are none of our business."""
        return any(role.startswith(ROLE_PREFIX) for role in self.roles)

    def enters_as(self, generation: int) -> bool:
        """Whether it lets its kit in with the password of that generation, as nobody else and with no more rights."""
        return not self.disabled and self.is_bound and self.generation == generation

    @property
    def is_bound(self) -> bool:
        """Whether it has the name and the role of its kit, and nothing else."""
        return self.client_id == self.username and self.roles == {role_name(self.username)} and not self.groups


def client_of(found: Mapping[str, Any]) -> Client:
    """Read a client of the broker's answer."""
    return Client(
        username=found["username"],
        client_id=found.get("clientid"),
        disabled=bool(found.get("disabled", False)),
        generation=_generation_of(found.get("textname") or ""),
        roles=frozenset(each["rolename"] for each in found.get("roles") or ()),
        groups=frozenset(each["groupname"] for each in found.get("groups") or ()),
    )


def _generation_of(text: str) -> int | None:
    number = text.removeprefix(_GENERATION)
    return int(number) if number != text and number.isascii() and number.isdecimal() and len(number) < 10 else None


def text_name(generation: int) -> str:
    """Where the broker keeps which password it has: the only thing it tells about it again."""
    return f"{_GENERATION}{generation}"


def role_name(kit: str) -> str:
    """The role of a kit."""
    return f"{ROLE_PREFIX}{kit}"


def role_acls(topics: Topics, kit: str) -> list[Json]:
    """What a tablet may: send its own messages, and hear what is for it; never share a subscription with others."""
    heard = (topics.desired(kit), topics.command(kit, "+"))
    return [
        _acl("subscribePattern", SHARED, allow=False, priority=_FIRST),
        *(_acl("publishClientSend", topics.device(kit, kind, "+")) for kind in Kind),
        *(_acl(type_, topic) for type_ in _HEARING for topic in heard),
    ]


def server_acls(topics: Topics) -> list[Json]:
    """What ingest, worker and API may: everything under the root, and read what the broker counts."""
    return [
        _acl("publishClientSend", topics.everything),
        *(_acl(type_, topic) for type_ in _HEARING for topic in (topics.everything, "$SYS/#")),
    ]


def admin_acls() -> list[Json]:
    """What whoever administers accounts may: only that, and read what the broker counts."""
    return [
        _acl("publishClientSend", CONTROL),
        *(
            _acl(type_, topic)
            for type_ in ("publishClientReceive", "subscribePattern")
            for topic in (CONTROL, "$SYS/#")
        ),
    ]


def is_right(role: Mapping[str, Any], acls: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a role of the broker's answer has these rights and no others, in whatever order."""
    return {_key(each) for each in role.get("acls") or ()} == {_key(each) for each in acls}


def _key(acl: Mapping[str, Any]) -> tuple[Any, ...]:
    return acl["acltype"], acl["topic"], bool(acl.get("allow")), acl.get("priority", 0) >= _FIRST


def _acl(type_: str, topic: str, *, allow: bool = True, priority: int = 0) -> Json:
    return {"acltype": type_, "topic": topic, "priority": priority, "allow": allow}


DENIED = ("publishClientSend", "subscribe")
"""What must be denied to whoever has no right to it; without a subscription nothing is received either."""
DEFAULT_ACCESS = {"publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True}


@dataclass(frozen=True, slots=True)
class Account:
    """A login at the broker that is no kit's, with its role."""

    username: str
    hashed: Hashed
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KitEntry:
    """A kit's credentials for the broker's file; without a password they are revoked."""

    kit: str
    generation: int
    hashed: Hashed | None


def clients(accounts: Iterable[Account], kits: Iterable[KitEntry]) -> Iterator[Json]:
    """The clients of the broker's file."""
    for account in accounts:
        roles = [{"rolename": role} for role in account.roles]
        yield {"username": account.username, "textname": "fleet", **_password(account.hashed), "roles": roles}
    for each in kits:
        yield {
            "username": each.kit,
            "clientid": each.kit,
            "textname": text_name(each.generation),
            **({"disabled": True} if each.hashed is None else _password(each.hashed)),
            "roles": [{"rolename": role_name(each.kit)}],
        }


def roles(topics: Topics, kits: Iterable[KitEntry]) -> Iterator[Json]:
    """The roles of the broker's file."""
    yield {"rolename": ADMIN_ROLE, "acls": admin_acls()}
    yield {"rolename": SERVER_ROLE, "acls": server_acls(topics)}
    for each in kits:
        yield {"rolename": role_name(each.kit), "acls": role_acls(topics, each.kit)}


def document(topics: Topics, accounts: Iterable[Account], kits: list[KitEntry]) -> Json:
    """The whole file of the plugin."""
    return {
        "defaultACLAccess": DEFAULT_ACCESS,
        "clients": list(clients(accounts, kits)),
        "groups": [],
        "roles": list(roles(topics, kits)),
    }


def _password(hashed: Hashed) -> Json:
    return {
        "password": base64.b64encode(hashed.hash).decode(),
        "salt": base64.b64encode(hashed.salt).decode(),
        "iterations": hashed.iterations,
    }
