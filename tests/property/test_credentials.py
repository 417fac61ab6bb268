"""Whatever the broker has of a kit, telling it once makes it as the books want, or says why not and lets nobody in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fleet.protocol.topics import Topics
from fleet.updates.credentials.deciding import Verdict, Wanted, judge, steps
from fleet.updates.credentials.dynsec import Client, client_of, is_right, role_acls, role_name
from fleet.updates.credentials.store import Expected

TOPICS = Topics()
KIT = "K-1"
OTHER_RIGHTS = [{"acltype": "subscribePattern", "topic": "#", "priority": 0, "allow": True}]


@dataclass(slots=True)
class Plugin:
    """What Mosquitto's plugin has of one name, and how its commands change that (2.0, plugins/dynamic-security)."""

    client: dict[str, Any] | None
    role: dict[str, Any] | None
    done: list[str] = field(default_factory=list)

    def seen(self) -> Client | None:
        return None if self.client is None else client_of(self.client)

    def run(self, command: dict[str, Any]) -> None:
        name = command["command"]
        self.done.append(name)
        given = {key: value for key, value in command.items() if key != "command"}
        if name in ("createRole", "modifyRole"):
            assert (self.role is None) == (name == "createRole")
            self.role = given
        elif name == "createClient":
            assert self.client is None
            self.client = given
        else:
            assert self.client is not None
            change = {"disableClient": {"disabled": True}, "enableClient": {"disabled": False}}.get(name, given)
            self.client = {**self.client, **change}


clients = st.none() | st.fixed_dictionaries(
    {
        "username": st.just(KIT),
        "password": st.sampled_from(["old", "new"]),
        "disabled": st.booleans(),
        "textname": st.sampled_from(["generation 1", "generation 2", "generation 3", "", "by hand"]),
        "roles": st.sampled_from([[KIT], [KIT, "admin"], ["admin"], []]).map(
            lambda names: [{"rolename": role_name(name) if name == KIT else name} for name in names]
        ),
        "groups": st.sampled_from([[], [{"groupname": "all"}]]),
    },
    optional={"clientid": st.sampled_from([KIT, "K-2"])},
)
roles = st.none() | st.sampled_from([role_acls(TOPICS, KIT), [], OTHER_RIGHTS]).map(
    lambda acls: {"rolename": role_name(KIT), "acls": acls}
)
wanted = st.builds(
    Wanted,
    st.just(KIT),
    st.sampled_from([1, 2]),
    st.sampled_from(["issued", "revoked"]),
    st.sampled_from([None, "new"]),
)


@given(clients, roles, wanted)
def test_telling_once_is_enough(client: dict[str, Any] | None, role: dict[str, Any] | None, want: Wanted) -> None:
    plugin = Plugin(client, role)
    others = client is not None and not client_of(client).is_a_kits
    planned = steps(TOPICS, want, plugin.seen(), role)
    for command in planned.commands:
        plugin.run(command)
    after = plugin.seen()
    if others:
        assert plugin.client == client
        assert planned.problem is not None
        return
    known = Expected(1, KIT, want.generation, want.state, 1, applied=True, has_password=False, waits_for_file=False)
    if planned.problem is not None:
        assert after is None or after.disabled
        assert want.password is None
    elif want.state == "revoked":
        assert after is None or after.disabled
    else:
        assert after is not None
        assert after.enters_as(want.generation)
        assert plugin.role is not None
        assert is_right(plugin.role, role_acls(TOPICS, KIT))
        assert want.password is None or plugin.client == {**(plugin.client or {}), "password": want.password}
    if planned.problem is None and after is not None:
        assert judge(after, known) is Verdict.RIGHT


@given(clients, roles, wanted)
def test_telling_again_after_a_death_does_no_harm(
    client: dict[str, Any] | None, role: dict[str, Any] | None, want: Wanted
) -> None:
    """The worker may die after any of the commands; the next one begins anew with what is there then."""
    whole = steps(TOPICS, want, None if client is None else client_of(client), role)
    ends = []
    for cut in range(len(whole.commands) + 1):
        plugin = Plugin(client, role)
        for command in whole.commands[:cut]:
            plugin.run(command)
        again = steps(TOPICS, want, plugin.seen(), plugin.role)
        for command in again.commands:
            plugin.run(command)
        after = plugin.seen()
        ends.append((again.problem, after is not None and not after.disabled))
    assert len(set(ends)) == 1
