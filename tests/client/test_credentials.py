from __future__ import annotations

import stat

import pytest

from lading import Client, InvalidRequest, Unauthenticated
from lading.client import credentials
from lading.client.credentials import Credentials


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.save("demo", Credentials("https://a.example", "saved"))
    assert credentials.find() == Credentials("https://a.example", "saved")
    monkeypatch.setenv("LADING_URL", "https://B.example:1/")
    monkeypatch.setenv("LADING_TOKEN", "given")
    assert credentials.find() == Credentials("https://b.example:1", "given")
    assert credentials.find("http://c", "argument") == Credentials("http://c", "argument")


def test_a_saved_token_goes_to_its_own_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.save("a", Credentials("https://a.example", "secret-a"))
    credentials.save("b", Credentials("https://b.example", "secret-b"), default=False)
    assert credentials.find("https://b.example/").token == "secret-b"
    with pytest.raises(Unauthenticated, match=r"lading login https://evil\.example"):
        credentials.find("https://evil.example")
    with pytest.raises(Unauthenticated):
        credentials.find("https://a.example.evil")
    monkeypatch.setenv("LADING_SERVER", "b")
    assert credentials.find() == Credentials("https://b.example", "secret-b")
    monkeypatch.setenv("LADING_SERVER", "c")
    with pytest.raises(Unauthenticated, match="no server 'c'"):
        credentials.find()


def test_nothing_known_says_what_to_do() -> None:
    with pytest.raises(Unauthenticated, match="lading login URL"):
        Client()


def test_the_file_is_private_and_must_stay_so() -> None:
    path = credentials.save("demo", Credentials("https://a.example", 'q"uo\\te\u00e9'.replace("\u00e9", "")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials.find().token == 'q"uo\\te'
    path.chmod(0o640)
    with pytest.raises(Unauthenticated, match="chmod 600"):
        credentials.find()


@pytest.mark.parametrize("text", ["x = [", "servers = 3", "[servers.a]\nurl = 3", "\xff"])
def test_a_broken_file_is_named(text: str) -> None:
    path = credentials.path()
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(Unauthenticated, match=r"credentials\.toml"):
        credentials.find()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://x",
        "http://",
        "http://u:p@h",
        "https://h?x=1",
        "https://h:99999",
        "http://[::1",
        "file:///x",
    ],
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(InvalidRequest):
        credentials.clean(url)


@pytest.mark.parametrize("token", ["a b", "a\nb", "é", "a\x00"])
def test_a_token_that_cannot_be_one(token: str) -> None:
    with pytest.raises(Unauthenticated, match="characters"):
        credentials.find("http://h", token)


def test_forget() -> None:
    credentials.save("a", Credentials("https://a", "x"))
    credentials.save("b", Credentials("https://b", "y"))
    assert credentials.forget(None) == "b"
    assert credentials.find().url == "https://a"
    with pytest.raises(InvalidRequest):
        credentials.forget("b")


def test_tokens_are_never_shown() -> None:
    client = Client("http://h", "very-secret")
    assert "very-secret" not in repr(client) + str(client) + repr(client.http.credentials) + str(vars(client))
