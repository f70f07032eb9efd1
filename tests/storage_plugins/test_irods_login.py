"""How iRODS elements log in, and how a zone is named to these tests."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_plugins import registry
from storage_plugins.errors import Denied, Unavailable
from storage_plugins.irods_sums import read_checksum
from storage_plugins.testing_tools import get, put, sums
from tests.pki import Pki
from tests.storage_plugins.irods_fake import FakeServer
from tests.storage_plugins.irods_named import fake, options, read


@pytest.fixture
def secure(grid: Pki) -> Iterator[FakeServer]:
    with fake() as server:
        server.tls = grid.server()
        server.pam["lading"] = "of PAM"
        yield server


async def test_tls(secure: FakeServer, grid: Pki) -> None:
    more: dict[str, Any] = {"host": "localhost", "tls": True, "ca": str(grid.ca)}
    element = registry.open("irods", options(secure, **more))
    assert (await element.probe(prepare=True)).ok
    await put(element, "it", bytes(9 << 20))
    assert await get(element, "it") == bytes(9 << 20)
    assert {type(agent.socket) for agent in secure.agents} == {ssl.SSLSocket}
    await element.aclose()


@pytest.mark.parametrize("wrong", [{"ca": None}, {"host": "127.0.0.2"}, {"tls": False, "ca": None}])
async def test_a_server_that_is_not_the_one(secure: FakeServer, grid: Pki, wrong: dict[str, Any]) -> None:
    """Also with no authority named: the client verifies nothing then, and we do."""
    more = {"host": "localhost", "tls": True, "ca": str(grid.ca), **wrong}
    element = registry.open("irods", options(secure, **more))
    with pytest.raises(Unavailable) as raised:
        await element.stat("it")
    assert ("CERTIFICATE_VERIFY_FAILED" in raised.value.message) == more["tls"]
    await element.aclose()


async def test_no_ca_there(secure: FakeServer, tmp_path: Path) -> None:
    element = registry.open("irods", options(secure, tls=True, ca=str(tmp_path / "none.pem")))
    with pytest.raises(Unavailable, match="No such file"):
        await element.stat("it")
    await element.aclose()


async def test_tls_that_the_server_refuses(grid: Pki) -> None:
    with fake() as server:
        element = registry.open("irods", options(server, tls=True, ca=str(grid.ca)))
        with pytest.raises(Unavailable, match="negotiation"):
            await element.stat("it")
        await element.aclose()


async def test_pam(secure: FakeServer, grid: Pki) -> None:
    more = {"host": "localhost", "tls": True, "ca": str(grid.ca), "authentication": "pam_password"}
    element = registry.open("irods", options(secure, **more, password="of PAM"))
    assert (await element.probe(prepare=True)).ok
    await element.aclose()
    element = registry.open("irods", {**options(secure, **more), "password": "no!"})
    with pytest.raises(Denied, match="PAM_AUTH_PASSWORD_FAILED") as raised:
        await element.stat("it")
    assert "no!" not in raised.value.message
    await element.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "irods://u%40x:p%20w@h:1247/z",
        "irods://u%40x@h:1247/z",
        "irods://u%40x@h/z",
        "h:1247:u@x:z",
        "h,1247,u@x,z",
        "h, 1247, u@x, z",
        "h 1247 u@x z p w",
        "host=h port=1247 user=u@x zone=z",
        "host=h,port=1247,user=u@x,zone=z",
    ],
)
def test_how_a_zone_is_named(text: str) -> None:
    named = read(text, "p w")
    assert {**named, "port": int(named["port"])} == {
        "host": "h", "port": 1247, "user": "u@x", "zone": "z", "password": "p w",
    }  # fmt: skip
    assert read(f"{text.split()[0]}?tls=true&ca=/x", "p")["tls"] == "true" if "://" in text else True


def test_checksums_of_irods() -> None:
    empty = sums(b"", "sha256", "sha512", "sha1", "md5", "adler32")
    for text, kind in (
        ("sha2:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha256"),
        ("sha1:2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1"),
        ("d41d8cd98f00b204e9800998ecf8427e", "md5"),
        ("D41D8CD98F00B204E9800998ECF8427E", "md5"),
        ("adler32:00000001", "adler32"),
    ):
        assert read_checksum(text) == {kind: empty[kind]}
    for text in ("", None, "sha2:", "sha2:x", "sha2:AAAA", "sha3:AAAA", "d41d", "adler32:0", "md5", "é"):
        assert read_checksum(text) == {}
