"""Certificates and proxies: whom a GridFTP server and an element let in, and how data is protected."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from storage_plugins import registry
from storage_plugins.chunks import BATCH
from storage_plugins.errors import (
    Denied,
    InvalidOptions,
    StorageError,
)
from storage_plugins.gridftp import GridftpOptions
from storage_plugins.gridftp_channels import Listener, secured
from storage_plugins.gridftp_control import Control
from storage_plugins.gridftp_credentials import Credential
from storage_plugins.gridftp_gsi import Tls, server_context
from storage_plugins.testing_tools import get, names, put
from tests.pki import Pki
from tests.proxies import LIMITED, make_proxy
from tests.storage_plugins.gridftp_server import gridftp, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Running

Options = dict[str, Any]
BIG = os.urandom(20 * BATCH + 3)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def grid(pki: Pki) -> Iterator[tuple[Running, Path]]:
    with gridftp(pki) as (server, path):
        yield server, Path(path)


@pytest.fixture
def options(grid: tuple[Running, Path], pki: Pki, tmp_path: Path) -> Options:
    server, root = grid
    url = f"gsiftp://localhost:{server.port}{root}/{tmp_path.name}"
    certificate = make_proxy(pki.user, tmp_path / "proxy")
    return {"url": url, "certificate": str(certificate), "ca": str(pki.certificates), "data": "clear"}


async def refused(options: Options, kind: type[StorageError], **changed: Any) -> str:
    """The message with which an element does not come into being."""
    element = registry.open("gridftp", {**options, **changed}, name="grid")
    try:
        with pytest.raises(StorageError) as raised:
            await element.stat("x")
        assert type(raised.value) is kind, raised.value.message
        report = await element.probe(prepare=True)
        assert not report.ok
        return raised.value.message
    finally:
        await element.aclose()


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("data", ["clear", "authenticated", "private"])
async def test_data_in_every_way(options: Options, data: str, passive: bool) -> None:
    async with opened(options, data=data, passive=passive, data_ports="23000-24000") as element:
        for content in (b"", b"x", BIG):
            await put(element, "x", content, overwrite=True)
            assert await get(element, "x") == content
        assert await get(element, "x", 5, BATCH + 7) == BIG[5 : BATCH + 7]
        assert await names(element, "") == ["x"]


async def test_any_certificate_of_the_user_will_do(options: Options, pki: Pki, tmp_path: Path) -> None:
    first = make_proxy(pki.user, tmp_path / "first")
    second = make_proxy(first, tmp_path / "second")
    limited = make_proxy(pki.user, tmp_path / "limited", policy=LIMITED)
    for certificate in (pki.user, first, second, limited):
        async with opened(options, certificate=str(certificate), data="authenticated") as element:
            await put(element, "x", BIG)
            await element.remove("x")
    apart = tmp_path / "apart"
    pem = pki.user.read_text()
    cut = pem.index("-----BEGIN RSA")
    apart.write_text(pem[cut:])
    (tmp_path / "only").write_text(pem[:cut])
    async with opened(options, certificate=str(tmp_path / "only"), key=str(apart)) as element:
        await put(element, "x", b"x")


async def test_an_expired_proxy_says_when_it_ended(options: Options, pki: Pki, tmp_path: Path) -> None:
    expired = make_proxy(pki.user, tmp_path / "expired", hours=-1)
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    for certificate in (expired, make_proxy(expired, tmp_path / "below")):
        told = await refused(options, Denied, certificate=str(certificate))
        assert f"expired at {ended:%Y-%m-%d %H:}" in told
        assert str(certificate) in told


async def test_a_proxy_is_read_again_when_it_was_renewed(options: Options, pki: Pki, tmp_path: Path) -> None:
    path = make_proxy(pki.user, tmp_path / "renewed", hours=0.05)  # too short for a session to be used again
    async with opened(options, certificate=str(path)) as element:
        assert not element._sessions._idle
        path.unlink()
        with pytest.raises(InvalidOptions, match="No such file"):
            await element.stat("x")
        make_proxy(pki.user, path)
        await put(element, "x", b"x")
        assert element._sessions._idle


async def test_certificates_that_cannot_be_used(
    options: Options, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pem = pki.user.read_text()
    cut = pem.index("-----BEGIN RSA")
    (tmp_path / "none").write_text("nothing of the kind")
    (tmp_path / "keyless").write_text(pem[:cut])
    (tmp_path / "mixed").write_text(pem[:cut] + (tmp_path / "proxy").read_text())
    (tmp_path / "strange").write_text(pki.host.read_text()[: pki.host.read_text().index("-----BEGIN RSA")] + pem[cut:])
    assert "no certificate" in await refused(options, InvalidOptions, certificate=str(tmp_path / "none"))
    assert "no private key" in await refused(options, InvalidOptions, certificate=str(tmp_path / "keyless"))
    assert "is not that of" in await refused(options, InvalidOptions, certificate=str(tmp_path / "mixed"))
    assert "is not that of" in await refused(options, InvalidOptions, certificate=str(tmp_path / "strange"))
    assert "'ca'" in await refused(options, InvalidOptions, ca=str(tmp_path / "nowhere"))
    assert "'ca'" in await refused(options, InvalidOptions, ca=str(tmp_path / "none"))
    old = make_proxy(pki.user, tmp_path / "old", policy=None)
    assert "RFC 3820" in await refused(options, InvalidOptions, certificate=str(old))
    assert pem[cut + 40 : cut + 80] not in caplog.text


async def test_whom_the_server_does_not_know(options: Options, pki: Pki, tmp_path: Path) -> None:
    await refused(options, Denied, certificate=str(pki.host))  # a good certificate, and no account
    stranger = Pki(tmp_path / "stranger")  # of a CA that the server does not trust
    await refused(options, Denied, certificate=str(stranger.user))


async def test_a_server_that_is_not_who_it_should_be(options: Options, pki: Pki, tmp_path: Path) -> None:
    stranger = Pki(tmp_path / "stranger")
    assert "certificate is refused" in await refused(options, Denied, ca=str(stranger.certificates))
    other_name = options["url"].replace("localhost", "127.1")  # the same host
    assert "certificate is refused" in await refused({**options, "url": other_name}, Denied)


def test_a_user_s_proxy_is_no_server(options: Options, pki: Pki, tmp_path: Path) -> None:
    """Everybody can make a proxy whose last name is that of a host."""
    false = make_proxy(pki.user, tmp_path / "false", common="localhost")
    for certificate, good in ((pki.host, True), (false, False)):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        theirs = Tls(server, server_side=True)
        credential = Credential(options["certificate"])
        ours = Tls(server_context(credential, options["ca"], crl=False), host="localhost")
        token, done = ours.handshake()
        with contextlib.nullcontext() if good else pytest.raises(Denied):
            while not done:
                token, done = ours.handshake(theirs.handshake(token)[0])
        assert done == good


async def test_a_revoked_server(options: Options, pki: Pki, tmp_path: Path) -> None:
    ca = tmp_path / "certificates"
    ca.mkdir()
    authority = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    host = x509.load_pem_x509_certificate(pki.host.read_bytes())
    told = subprocess.check_output(["openssl", "x509", "-hash", "-noout", "-in", pki.ca], text=True)  # noqa: ASYNC221  (short)
    (ca / f"{told.strip()}.0").write_bytes(pki.ca.read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(authority.subject, now, now + datetime.timedelta(days=1))
    revoked = x509.RevokedCertificateBuilder(host.serial_number, now).build()
    trusting = {**options, "ca": str(ca), "crl": True}
    assert "CRL" in await refused(trusting, Denied)
    for crl in (builder, builder.add_revoked_certificate(revoked)):
        signed = crl.sign(pki._key, hashes.SHA256())
        (ca / f"{told.strip()}.r0").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        if crl is builder:
            async with opened(trusting) as element:
                await put(element, "x", b"x")
    assert "revoked" in await refused(trusting, Denied)


async def test_only_our_server_may_bring_data(options: Options, pki: Pki) -> None:
    """Somebody else of the same CA connects to where we wait for the server."""
    control = await Control.open(GridftpOptions(**{**options, "data": "authenticated"}))
    listener = Listener("127.0.0.1", range(1))
    stranger = ssl.create_default_context(cafile=pki.ca)
    stranger.check_hostname = False
    stranger.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
    stranger.load_cert_chain(pki.host)
    connecting = asyncio.create_task(asyncio.open_connection(*listener.address, ssl=stranger))
    channel = await listener.accept(control, patience=5, other_hosts=False)
    with pytest.raises(Denied, match="not the server"):
        await secured(channel, control, ours=False)
    channel.close()
    _, writer = await connecting
    writer.close()
    listener.close()
    control.close()


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    good = {"url": "gsiftp://host/x", "certificate": "c"}
    registry.validate("gridftp", good)
    for wrong in (
        {"url": "http://host/x"},
        {"url": "gsiftp:///x", "certificate": "c"},
        {"url": "gsiftp://host:port/x", "certificate": "c"},
        {"url": "gsiftp://user:secret@host/x", "certificate": "c"},
        {"url": "ftp://host/%0d%0aDELE"},
        {"url": "gsiftp://host/x"},
        {"url": "ftp://host/x", "certificate": "c"},
        {"url": "ftp://host/x", "username": "u"},
        {"url": "ftp://host/x", "username": "u\r\nDELE x", "password": "p"},
        {**good, "username": "u", "password": "p"},
        {**good, "data": "perhaps"},
        {**good, "data_ports": "5-4"},
        {**good, "data_ports": "0-70000"},
    ):
        with pytest.raises(InvalidOptions) as raised:
            registry.validate("gridftp", wrong)
        assert "secret" not in str(raised.value)
    [info] = [info for info in registry.types() if info.name == "gridftp"]
    assert {option.name for option in info.options if option.secret} == {"password"}
    assert all(option.description for option in info.options)


async def test_names_that_are_not_utf8(options: Options, grid: tuple[Running, Path], tmp_path: Path) -> None:
    async with opened(options) as element:
        for name in ("caf\udce9", "\udcff\udcfe x", "ü", "日本\t語"):
            await put(element, f"{name}/{name}", b"x")
            assert await names(element, "") == [f"{name}/{name}"]
            assert await get(element, f"{name}/{name}") == b"x"
            await element.remove(f"{name}/{name}")
        folders = {name for name in os.listdir(os.fsencode(grid[1] / tmp_path.name)) if not name.startswith(b".")}
        assert folders == {b"caf\xe9", b"\xff\xfe x", "ü".encode(), "日本\t語".encode()}
