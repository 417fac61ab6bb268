"""Settings: where they come from, what is refused and how it is named, what is hidden."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from fleet.config import LogFormat, Settings, load_settings
from fleet.errors import ConfigError, ExitCode


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_wins_over_the_file_and_the_file_over_env(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toml = tmp_path / "fleet.toml"
    toml.write_text('http_port = 1\nFLEET_LOG_FORMAT = "json"\n')
    (tmp_path / ".env").write_text("FLEET_HTTP_HOST=0.0.0.0\nOTHER=1\n")
    monkeypatch.setenv("FLEET_HTTP_PORT", "2")
    settings = load_settings(toml)
    assert (settings.http_port, settings.log_format, settings.http_host) == (2, LogFormat.JSON, "0.0.0.0")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_HTTP_PORT", "")
    assert load_settings().http_port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLEET_HTTP_PORT", "many"),
        ("FLEET_HTTP_PORT", "70000"),
        ("FLEET_METRICS_PORT", "-1"),
        ("FLEET_LOG_FORMAT", "xml"),
        ("FLEET_LOG_LEVEL", "loud"),
        ("FLEET_MQTT_URL", "tcp://host"),
        ("FLEET_MQTT_URL", "mqtt://"),
        ("FLEET_MQTT_URL", "mqtt://host:1883/path"),
        ("FLEET_MQTT_URL", "mqtt://host:port"),
        ("FLEET_MQTT_URL", "mqtt://host:99999"),
        ("FLEET_MQTT_ADMIN_URL", "http://host"),
        ("FLEET_MQTT_ADMIN_URL", "mqtts://admin:secret@"),
        ("FLEET_DATABASE_URL", "mysql://host/db"),
        ("FLEET_DATABASE_URL", "postgresql://user:50%@host/db"),
        ("FLEET_DATABASE_URL", "postgresql://host/db?colour=blue"),
        ("FLEET_TOPIC_ROOT", "/fleet"),
        ("FLEET_TOPIC_ROOT", "fleet/#"),
        ("FLEET_TOPIC_ROOT", "fleet//v1"),
        ("FLEET_SECRET_KEY", "short"),
        ("FLEET_HTTP_PUBLIC_URL", "fleet.example.dk"),
        ("FLEET_HTTP_PUBLIC_URL", "https://fleet.example.dk/console"),
        ("FLEET_HTTP_PUBLIC_URL", "https://user@fleet.example.dk"),
        ("FLEET_HTTP_TRUSTED_PROXIES", "*"),
        ("FLEET_HTTP_TRUSTED_PROXIES", "127.0.0.1,proxy"),
        ("FLEET_HTTP_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("FLEET_OIDC_ISSUER", "http://login.example.dk"),
        ("FLEET_OIDC_ISSUER", "login.example.dk"),
        ("FLEET_COLOUR", "blue"),
        ("FLEET_HTTP_PROT", "80"),
    ],
)
def test_a_bad_value_or_name_stops_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.WRONG_USE


def test_a_provider_needs_our_name_there_and_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_OIDC_ISSUER", "https://login.example.dk/realms/nord")
    for name, value in (("FLEET_OIDC_CLIENT_ID", "fleet"), ("FLEET_HTTP_PUBLIC_URL", "https://fleet.example.dk/")):
        with pytest.raises(ConfigError, match=name):
            load_settings()
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.http_public_url == "https://fleet.example.dk"
    assert settings.secure_cookies


@pytest.mark.parametrize(
    ("url", "secure"),
    [(None, False), ("http://fleet.example.dk", False), ("http://[::1]:8000", False), ("https://10.0.0.1:8443", True)],
)
def test_cookies_are_for_tls_where_people_come_by_tls(url: str | None, secure: bool) -> None:
    assert Settings(http_public_url=url).secure_cookies is secure


@pytest.mark.parametrize("content", ["colour = 1", "http_port = [", "\x00", "[http]\nport = 1"])
def test_a_bad_file_is_named(tmp_path: Path, content: str) -> None:
    toml = tmp_path / "fleet.toml"
    toml.write_text(content)
    with pytest.raises(ConfigError, match=r"fleet\.toml"):
        load_settings(toml)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_settings(tmp_path / "nowhere.toml")


def test_an_unknown_name_in_env_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FLEET_COLOUR=blue\n")
    with pytest.raises(ConfigError, match=r"FLEET_COLOUR"):
        load_settings()


@pytest.mark.parametrize("name", ["database_url", "mqtt_url", "secret_key"])
def test_secrets_are_hidden_when_printed(name: str) -> None:
    settings = Settings(
        database_url="postgresql://u:hidden-secret@h/d",
        mqtt_url="mqtt://u:hidden-secret@h",
        secret_key="hidden-secret hidden-secret hidden-secret",
    )
    assert name in repr(settings)
    assert "hidden-secret" not in repr(settings) + str(settings) + repr(settings.endpoint()) + str(settings.endpoint())
    assert "hidden-secret" not in settings.model_dump_json()


def test_a_bad_url_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in (
        ("FLEET_MQTT_URL", "tcp://u:hidden-secret@h"),
        ("FLEET_DATABASE_URL", "mysql://u:hidden-secret@h"),
        ("FLEET_DATABASE_URL", "postgresql://u:hidden-secret%zz@h"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, url)
            with pytest.raises(ConfigError) as caught:
                load_settings()
            assert "hidden-secret" not in str(caught.value)


def test_settings_are_frozen_and_know_no_extras() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.http_port = 1
    with pytest.raises(ValidationError):
        Settings.model_validate({"colour": "blue"})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_endpoints() -> None:
    plain = Settings(mqtt_url="mqtt://user:p%40ss@broker").endpoint()
    assert (plain.host, plain.port, plain.tls, plain.username, plain.password) == (
        "broker",
        1883,
        False,
        "user",
        "p@ss",
    )
    assert plain.tls_context() is None
    assert Settings(mqtt_url="mqtts://broker").endpoint().port == 8883
    assert str(Settings(mqtt_url="mqtts://u:p@[::1]:1").endpoint()) == "mqtts://::1:1"


def test_what_is_not_set_is_asked_for_by_name() -> None:
    with pytest.raises(ConfigError, match="FLEET_DATABASE_URL"):
        Settings().dsn()
    with pytest.raises(ConfigError, match="FLEET_MQTT_URL"):
        Settings().endpoint()


def test_the_administrators_address_is_read_like_the_brokers_and_its_password_hidden() -> None:
    settings = Settings(mqtt_admin_url="mqtts://admin:h%40rdly@broker.example.dk", mqtt_ca_file=Path("ca.pem"))
    endpoint = settings.admin_endpoint()
    assert (endpoint.host, endpoint.port, endpoint.username, endpoint.password) == (
        "broker.example.dk",
        8883,
        "admin",
        "h@rdly",
    )
    assert endpoint.ca_file == Path("ca.pem")
    for text in (repr(settings), str(settings), repr(endpoint), str(endpoint)):
        assert "rdly" not in text
    with pytest.raises(ConfigError, match="FLEET_MQTT_ADMIN_URL is not set"):
        Settings().admin_endpoint()
