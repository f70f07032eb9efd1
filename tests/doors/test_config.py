"""Settings: defaults < file < environment < options, and each mistake is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from doors.config import Config, load, make_private, secret_key
from lading.model.errors import InvalidRequest


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lading.toml"
    file.write_text('port = 1\nhost = "h"\nname = "n"\ntrusted_proxies = ["10.0.0.0/8"]\n')
    environment = {"LADING_SERVER_PORT": "2", "LADING_SERVER_HOST": "e", "PORT": "9"}
    config = load(file, environment, port=3, host=None)
    assert (config.port, config.host, config.name, config.trusted_proxies) == (3, "e", "n", ["10.0.0.0/8"])
    assert config.pool_size == Config().pool_size
    assert load(None, {"LADING_SERVER_TRUSTED_PROXIES": "::1, 10.0.0.1"}).trusted_proxies == ["::1", "10.0.0.1"]


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("prot = 1", {}, "prot"),
        ("port = 'x'", {}, "lading.toml.*port"),
        ("port = ", {}, "not TOML"),
        ("trusted_proxies = ['nonsense']", {}, "nonsense"),
        ("", {"LADING_SERVER_PORT": "99999"}, "LADING_SERVER_PORT"),
        ("", {"LADING_SERVER_PROT": "1"}, "LADING_SERVER_PROT"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, environment: dict[str, str], said: str) -> None:
    file = tmp_path / "lading.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        load(file, environment)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.toml"):
        load(tmp_path / "none.toml", {})


def test_the_key_is_made_once_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LADING_SECRET_KEY", raising=False)
    monkeypatch.delenv("LADING_SECRET_KEY_FILE", raising=False)
    key = secret_key(str(tmp_path))
    assert len(key) == 32
    assert secret_key(str(tmp_path)) == key
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret.key"]
    with pytest.raises(InvalidRequest, match="LADING_SECRET_KEY_FILE"):
        secret_key("")
    monkeypatch.setenv("LADING_SECRET_KEY_FILE", str(tmp_path / "secret.key"))
    assert secret_key("") == key
    monkeypatch.setenv("LADING_SECRET_KEY", "ab" * 32)
    assert secret_key("") == b"\xab" * 32
    monkeypatch.setenv("LADING_SECRET_KEY", "short")
    with pytest.raises(InvalidRequest, match="64 hex digits"):
        secret_key("")


def test_a_private_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "t"
    assert make_private(file, "1")
    assert not make_private(file, "2")
    assert file.read_text() == "1"
    assert make_private(file, "3", replace=True)
    assert file.read_text() == "3"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
