"""What only a GridFTP server can do to an element: certificates, lost sessions, silence, odd files."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import signal
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from storage_plugins import registry
from storage_plugins.base import Chunk
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
)
from storage_plugins.gridftp import GridftpOptions
from storage_plugins.gridftp_channels import Listener, secured
from storage_plugins.gridftp_control import Control
from storage_plugins.gridftp_credentials import Credential
from storage_plugins.gridftp_element import GridftpElement
from storage_plugins.gridftp_gsi import Tls, server_context
from storage_plugins.powers import Checksums, KeepsStaging, Renames, supports
from storage_plugins.testing_tools import get, names, put, stopping, sums
from tests.pki import Pki
from tests.proxies import LIMITED, make_proxy
from tests.storage_plugins.gridftp_server import gridftp
from tests.storage_plugins.proxy import proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

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


@pytest.fixture
def open_to_all() -> Iterator[tuple[Running, Path]]:
    with gridftp() as (server, path):
        yield server, Path(path)


@contextlib.asynccontextmanager
async def opened(options: Options, **changed: Any) -> AsyncIterator[GridftpElement]:
    element = registry.open("gridftp", {**options, **changed}, name="grid")
    assert isinstance(element, GridftpElement)
    try:
        report = await element.probe(prepare=True)
        assert report.ok, report.error
        yield element
    finally:
        await element.aclose()


def at(server: tuple[Running, Path], port: int = 0) -> Options:
    return {"url": f"ftp://127.0.0.1:{port or server[0].port}{server[1]}"}


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


# ── who is who ───────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── away, silent, lost ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_server_stopped_and_back(open_to_all: tuple[Running, Path]) -> None:
    server = open_to_all[0]
    async with opened(at(open_to_all)) as element:
        await put(element, "kept", BIG)
        chunks = element.read("kept")
        await anext(chunks)
        server.stop()
        with pytest.raises(Transient):
            async for _ in chunks:
                pass
        for call in (element.stat("kept"), element.stat("none"), put(element, "new", b"x"), names(element, "")):
            with pytest.raises(Unavailable):
                await call
        assert not (await element.probe()).ok
        server.start()
        assert await get(element, "kept") == BIG
        assert await names(element, "") == ["kept"]
    with pytest.raises(Unavailable, match="closed"):
        await element.stat("kept")


@pytest.mark.parametrize("old", [None, b"old"])
async def test_the_server_is_killed_in_a_write(open_to_all: tuple[Running, Path], old: bytes | None) -> None:
    server = open_to_all[0]
    async with opened(at(open_to_all)) as element:
        if old:
            await put(element, "big", old)

        async def chunks() -> AsyncGenerator[Chunk, None]:
            yield bytes(BATCH)
            async with asyncio.timeout(20):
                while not list((open_to_all[1] / ".lading-staging").iterdir()):  # noqa: ASYNC110  (of another process)
                    await asyncio.sleep(0.01)
            server.stop()
            for _ in range(32):
                yield bytes(BATCH)

        with pytest.raises(Transient):
            await element.write("big", chunks(), overwrite=True)
        server.start()
        assert await names(element, "") == (["big"] if old else [])
        if old:
            assert await get(element, "big") == old
        assert await element.clean_staging(0) == 1
        await put(element, "big", b"new", overwrite=True)


async def test_a_silent_server(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all), timeout=0.5, passive=True) as element:
        await put(element, "folder/big", BIG)
        chunks = element.read("folder/big")
        await anext(chunks)
        os.killpg(open_to_all[0].pid, signal.SIGSTOP)
        try:
            with pytest.raises(Transient):
                async for _ in chunks:
                    pass
            for call in (
                element.stat("folder/big"),
                element.remove("folder/big"),
                put(element, "new", BIG),
                get(element, "folder/big"),
                names(element, ""),
                element.checksum("folder/big", ["md5"]),
                element.rename("folder/big", "x"),
            ):
                with pytest.raises(Transient):
                    await asyncio.wait_for(call, 20)
        finally:
            os.killpg(open_to_all[0].pid, signal.SIGCONT)
        assert await names(element, "") == ["folder/big"]
        assert await get(element, "folder/big") == BIG


async def test_a_session_that_was_lost_is_made_again(open_to_all: tuple[Running, Path]) -> None:
    async with proxy(open_to_all[0].port) as relay, opened(at(open_to_all, relay.port)) as element:
        await put(element, "x", b"x")
        relay.drop()
        await asyncio.sleep(0.05)
        assert await get(element, "x") == b"x"


async def test_breaking_off_again_and_again(open_to_all: tuple[Running, Path]) -> None:
    """It costs no new log-ins: the server notices, says so, and goes on."""
    log = open_to_all[1].parent / "log"
    async with opened(at(open_to_all)) as element:
        await put(element, "x", BIG)
        logins = log.read_text().count("New connection")
        for _ in range(5):
            async with contextlib.aclosing(element.read("x")) as chunks:
                await anext(chunks)
            await element._sessions.settled()
            assert await get(element, "x", 1, 9) == BIG[1:9]
            half = asyncio.Event()
            writing = asyncio.create_task(element.write("y", stopping(half, asyncio.Event())))
            await half.wait()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await asyncio.gather(*element._tasks)
        assert [entry async for entry in element.scan_staging()] == []
        assert await names(element, "") == ["x"]
        assert log.read_text().count("New connection") - logins <= 1  # the cleaning up may have had one of its own


async def test_nobody_waits_for_long_at_the_end(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all), connections=2) as element:
        await put(element, "x", b"x")
        await asyncio.gather(*(get(element, "x") for _ in range(12)))
        assert len(element._sessions._idle) == 2


# ── files and folders ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("marker", [True, False])
async def test_a_lost_disk_is_no_lost_file(open_to_all: tuple[Running, Path], marker: bool) -> None:
    root = open_to_all[1] / "mount/se"
    async with opened({"url": f"{at(open_to_all)['url']}/mount/se", "marker": marker}) as element:
        await put(element, "there/object", b"x")
        root.rename(root.with_name("away"))
        if marker:
            root.mkdir(0o777)
            root.chmod(0o777)
        for call in (
            element.stat("there/object"),
            get(element, "there/object"),
            element.remove("there/object"),
            element.rename("there/object", "x"),
            put(element, "new/object", b"x"),
            names(element, ""),
            names(element, "none/"),
        ):
            with pytest.raises(Unavailable, match="mounted"):
                await call
        assert not (await element.probe()).ok
        if marker:
            assert list(root.iterdir()) == [], "nothing was made in the bare mount point"
            root.rmdir()
        root.with_name("away").rename(root)
        assert await get(element, "there/object") == b"x"


async def test_only_regular_files_are_objects(open_to_all: tuple[Running, Path], tmp_path: Path) -> None:
    root = open_to_all[1]
    async with opened(at(open_to_all)) as element:
        os.mkfifo(root / "fifo")
        (root / "folder").mkdir()
        (root / "folder/up").symlink_to("..")
        (root / "secret").write_bytes(b"secret")
        (root / "link").symlink_to("secret")
        (root / "secret").chmod(0o644)
        for pfn in ("fifo", "link"):
            for call in (element.stat(pfn), get(element, pfn), element.remove(pfn)):
                with pytest.raises(InvalidPath):
                    await asyncio.wait_for(call, 10)
            with pytest.raises(ObjectExists):
                await put(element, pfn, b"x")
        assert await names(element, "") == ["secret"], "and no going round in circles"
        await put(element, "link", b"mine", overwrite=True)  # the link itself is replaced, not what it points to
        assert (root / "secret").read_bytes() == b"secret"
        with pytest.raises(ObjectExists):
            await put(element, "folder", b"x")
        with pytest.raises(InvalidPath):
            await put(element, "folder", b"x", overwrite=True)
        for overwrite in (False, True):
            with pytest.raises(InvalidPath):
                await put(element, "link/below/further", b"x", overwrite=overwrite)
        for call in (put(element, ".lading-element", b"x", overwrite=True), element.remove(".lading-staging/x")):
            with pytest.raises(InvalidPath):
                await call


async def test_what_may_not_be_read(open_to_all: tuple[Running, Path]) -> None:
    if os.geteuid():
        pytest.skip("the server runs as ourselves, and owns every file")
    root = open_to_all[1]
    async with opened(at(open_to_all)) as element:
        (root / "closed").write_bytes(b"x")
        (root / "closed").chmod(0)
        assert (await element.stat("closed")).size == 1
        with pytest.raises(Denied):
            await get(element, "closed")
        (root / "shut").mkdir(0o700)
        for call in (names(element, ""), put(element, "shut/x", b"x"), element.stat("shut/x")):
            with pytest.raises(Denied):
                await call


async def test_names_that_are_not_utf8(options: Options, grid: tuple[Running, Path], tmp_path: Path) -> None:
    async with opened(options) as element:
        for name in ("caf\udce9", "\udcff\udcfe x", "ü", "日本\t語"):
            await put(element, f"{name}/{name}", b"x")
            assert await names(element, "") == [f"{name}/{name}"]
            assert await get(element, f"{name}/{name}") == b"x"
            await element.remove(f"{name}/{name}")
        folders = {name for name in os.listdir(os.fsencode(grid[1] / tmp_path.name)) if not name.startswith(b".")}
        assert folders == {b"caf\xe9", b"\xff\xfe x", "ü".encode(), "日本\t語".encode()}


async def test_names_with_line_breaks_are_told_and_left_alone(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        for name in ("two\nlines", "end\r"):
            (open_to_all[1] / name).write_bytes(b"x")
        assert await names(element, "") == ["end\r", "two\nlines"]
        for name in ("two\nlines", "end\r"):
            with pytest.raises(InvalidPath):
                await element.remove(name)
        assert sorted(name for name in os.listdir(open_to_all[1]) if name[0] != ".") == ["end\r", "two\nlines"]


async def test_deep_folders(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        many = "/".join(["d"] * 300) + "/x"
        await put(element, many, b"x")
        assert await names(element, "") == [many]
        with pytest.raises(InvalidPath):
            await put(element, "/".join(["d" * 203] * 20), b"x")  # with the root in front it is too long


async def test_sums_by_the_server(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        await put(element, "x", BIG)
        kinds = ("adler32", "md5", "sha1", "sha256", "sha512")
        assert supports(element, Checksums)
        assert await element.checksum("x", [*kinds, "crc32c", "MD5"]) == sums(BIG, *kinds)
        with pytest.raises(ObjectNotFound):
            await element.checksum("none", ["crc32c"])


async def test_of_two_renames_of_one_object_one_wins(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:
        assert supports(element, Renames)
        assert supports(element, KeepsStaging)
        for turn in range(10):
            await put(element, f"{turn}/one", b"x")
            results = await asyncio.gather(
                *(element.rename(f"{turn}/one", f"{turn}/{name}") for name in ("two", "three")), return_exceptions=True
            )
            assert [type(result) for result in results].count(ObjectNotFound) == 1, results
            assert len(await names(element, f"{turn}/")) == 1


async def test_an_object_that_shrinks_is_not_read_to_a_false_end(open_to_all: tuple[Running, Path]) -> None:
    for passive in (False, True):
        async with opened(at(open_to_all), passive=passive, timeout=2) as element:
            await put(element, "x", bytes(64 * BATCH), overwrite=True)
            source = element.read("x")
            await anext(source)
            os.truncate(open_to_all[1] / "x", BATCH)
            with pytest.raises(Transient):
                async for _ in source:
                    pass


async def test_many_writers_at_once(open_to_all: tuple[Running, Path]) -> None:
    async with opened(at(open_to_all)) as element:

        async def one(number: int) -> None:
            await element.write(f"many/{number}", chunked(BIG), size=len(BIG), checksums=sums(BIG, "adler32"))
            assert await get(element, f"many/{number}") == BIG

        await asyncio.gather(*(one(number) for number in range(8)))
