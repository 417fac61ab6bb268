"""Settings of what goes out: each bad value is named."""

from __future__ import annotations

import pytest

from fleet.config import load_settings
from fleet.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"FLEET_OUTBOUND_NETWORKS": "10.0.0.0/8,nowhere"}, "FLEET_OUTBOUND_NETWORKS"),
        ({"FLEET_SMTP_URL": "mail.example.dk"}, "FLEET_SMTP_URL"),
        ({"FLEET_SMTP_URL": "smtp://"}, "FLEET_SMTP_URL"),
        ({"FLEET_SMTP_URL": "smtp://mail.example.dk:port"}, "FLEET_SMTP_URL"),
        ({"FLEET_SMTP_URL": "smtp://mail.example.dk"}, "FLEET_MAIL_FROM"),
        ({"FLEET_MAIL_FROM": "nobody"}, "FLEET_MAIL_FROM"),
        ({"FLEET_ALERTMANAGER_URL": "alertmanager:9093"}, "FLEET_ALERTMANAGER_URL"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named):
        load_settings(env_file=None)


def test_good_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_OUTBOUND_NETWORKS", "10.20.0.0/16, 127.0.0.0/8")
    monkeypatch.setenv("FLEET_SMTP_URL", "smtps://fleet:hidden-word@mail.example.dk")
    monkeypatch.setenv("FLEET_MAIL_FROM", "fleet@example.dk")
    monkeypatch.setenv("FLEET_ALERTMANAGER_URL", "http://alertmanager:9093/")
    settings = load_settings(env_file=None)
    assert settings.alertmanager_url == "http://alertmanager:9093"
    assert "hidden-word" not in repr(settings)
