"""docs/reference/asyncapi.yaml: the MQTT contract, its payloads taken from `fleet.protocol.messages`."""

from __future__ import annotations

from typing import Any

import msgspec

from fleet import __version__
from fleet.protocol.messages import MAX_PAYLOAD_BYTES, PAYLOADS
from fleet.protocol.topics import COMMAND_ID, KIT_ID, Kind, Topics

ROOT = Topics()
DESCRIPTION = f"""\
MQTT 5 and 3.1.1 for tablets; the server itself speaks 5. Device messages are QoS 1, JSON in UTF-8, at most
{MAX_PAYLOAD_BYTES // 1024} KiB; all times are RFC 3339 in UTC. Unknown fields are passed over. A wrong type, a missing
required field, an unknown kit, an oversized or unparsable message is quarantined, never dropped silently.

A message is acknowledged to the broker only after it is committed. A tablet keeps what it sent until a PUBACK with
success (0x10, no matching subscribers, is not success), keeps it some 10 seconds longer, and sends it again after any
reconnect; (kit, kind, boot, seq) identifies a message, a repeat is stored once. The client id is the kit's id.
"""
# The contract for what goes to tablets; it has no types in the code while nothing sends it.
DOWNLINK: dict[str, dict[str, Any]] = {
    "Desired": {
        "title": "Desired",
        "description": "Retained wanted state of a kit; the highest `version` counts. Not sent by this version.",
        "type": "object",
        "required": ["version"],
        "properties": {
            "version": {"type": "integer", "minimum": 0},
            "heartbeat_interval_s": {"type": "integer", "minimum": 1},
            "baseline": {"type": ["string", "null"]},
            "components": {"type": "object", "additionalProperties": {"type": "string"}},
            "window": {"type": ["string", "null"]},
            "campaign": {"type": ["string", "null"]},
        },
    },
    "Command": {
        "title": "Command",
        "description": "One command; its message expires as `expires_at` says. The same id again is the same command.",
        "type": "object",
        "required": ["name", "expires_at"],
        "properties": {
            "name": {"enum": ["ping", "diagnostics", "locate", "reboot", "repair_pairing"]},
            "arguments": {"type": "object"},
            "expires_at": {"type": "string", "format": "date-time"},
        },
    },
}


def document() -> dict[str, Any]:
    """The document as AsyncAPI 3.0 has it."""
    types = list(PAYLOADS.values())
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    messages = {kind.value: _message(kind.value, payload.__name__) for kind, payload in PAYLOADS.items()}
    messages |= {name.lower(): _message(name.lower(), name) for name in DOWNLINK}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "fleet", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": messages, "schemas": {**components, **DOWNLINK}},
    }


def _message(name: str, schema: str) -> dict[str, Any]:
    return {"name": name, "contentType": "application/json", "payload": {"$ref": f"#/components/schemas/{schema}"}}


def _channels() -> dict[str, Any]:
    addresses = {kind.value: ROOT.device("{kit}", kind, "{command}") for kind in Kind}
    addresses |= {"desired": ROOT.desired("{kit}"), "command": ROOT.command("{kit}", "{command}")}
    return {name: _channel(name, address) for name, address in addresses.items()}


def _channel(name: str, address: str) -> dict[str, Any]:
    parameters = {"kit": {"description": f"id of a kit, {KIT_ID.pattern}, for example K-004711"}}
    if "{command}" in address:
        parameters["command"] = {"description": f"id of a command, {COMMAND_ID.pattern}"}
    return {
        "address": address,
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operations() -> dict[str, Any]:
    received = {f"receive_{kind}": _operation("receive", kind.value, kind is Kind.CONNECTION) for kind in Kind}
    return received | {
        "send_desired": _operation("send", "desired", True),
        "send_command": _operation("send", "command", False),
    }


def _operation(action: str, channel: str, retained: bool) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"mqtt": {"qos": 1, "retain": retained, "bindingVersion": "0.2.0"}},
    }


def page() -> str:
    """The document as YAML."""
    import yaml  # noqa: PLC0415 - of the extra `dev`, which only this page needs

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as they are read."""

    def text_of(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, text_of)
    text: str = yaml.dump(document(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return "# Generated by `python -m fleet.docs`; change the code instead.\n" + text
