"""What only an SSH server can do to an element: keys, lost connections, silence, quotas, odd files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.base import Chunk, Element
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.powers import KeepsStaging, Renames, ReportsUsage, ServerCopies, supports
from storage_plugins.sftp_element import SftpElement
from storage_plugins.sftp_requests import opened
from storage_plugins.testing_tools import get, names, put
from storage_plugins.timed import Timed
from tests.storage_plugins.proxy import Proxy, proxy
from tests.storage_plugins.sshd import make_key, sshd

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from tests.servers import Running

Options = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Options]]:
    with sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def options(server: tuple[Running, Options], tmp_path: Path) -> Options:
    return {**server[1], "path": str(tmp_path / "root")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
async def element(options: Options) -> AsyncIterator[Element]:
    element = registry.open("sftp", options, name="ssh")
    assert (await element.probe(prepare=True)).ok
    yield element
    await element.aclose()


@pytest.fixture
async def relay(server: tuple[Running, Options]) -> AsyncIterator[Proxy]:
    async with proxy(server[0].port) as relay:
        yield relay


@pytest.fixture
async def far(options: Options, relay: Proxy) -> AsyncIterator[Element]:
    """The element behind a network."""
    element = registry.open("sftp", {**options, "port": relay.port}, name="far")
    assert (await element.probe(prepare=True)).ok
    yield element
    await element.aclose()


async def refused(options: Options, **changed: Any) -> str:
    """The message with which an element does not come into being."""
    element = registry.open("sftp", {**options, **changed}, name="ssh")
    try:
        with pytest.raises((Denied, InvalidOptions)) as raised:
            await element.stat("x")
        report = await element.probe(prepare=True)
        assert not report.ok
        assert report.error == raised.value.message
        return report.error
    finally:
        await element.aclose()


# ── who is who ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_wrong_key_or_password_is_denied(
    options: Options, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make_key(tmp_path / "other")
    assert "wrong key or password" in await refused(options, key_file=str(tmp_path / "other"))
    assert "wrong key or password" in await refused(options, key_file=None, password="hunter2")
    assert "hunter2" not in caplog.text


async def test_an_unknown_server_is_refused(options: Options, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    told = await refused(options, host_key=(tmp_path / "other.pub").read_text())
    assert "is not known" in told
    assert f"ssh-keyscan -p {options['port']} 127.0.0.1" in told
    (tmp_path / "known_hosts").write_text("")
    assert "is not known" in await refused(options, host_key=None, known_hosts=str(tmp_path / "known_hosts"))


async def test_a_file_of_known_hosts(options: Options, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{options['port']} {options['host_key']}")
    known = {**options, "host_key": None, "known_hosts": str(tmp_path / "known_hosts")}
    element = registry.open("sftp", known, name="ssh")
    assert (await element.probe(prepare=True)).ok
    await element.aclose()


async def test_keys_that_are_none(options: Options, tmp_path: Path) -> None:
    assert "cannot be used: " in await refused(options, key="no key at all", key_file=None)
    assert "No such file" in await refused(options, key_file=str(tmp_path / "none"))
    assert "known_hosts" in await refused(options, host_key="ssh-ed25519 AAAA")
    make_key(tmp_path / "locked", passphrase="correct horse")
    locked = (tmp_path / "locked").read_text()
    for passphrase in (None, "battery staple"):
        told = await refused(options, key=locked, key_file=None, passphrase=passphrase)
        assert "passphrase" in told.lower()
        assert "battery" not in told


async def test_a_key_with_a_passphrase_as_an_option(options: Options, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.touch(0o600)
    locked.write_bytes(Path(options["key_file"]).read_bytes())
    process = await asyncio.create_subprocess_exec(
        "ssh-keygen", "-q", "-p", "-N", "correct horse", "-f", str(locked), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    inline = {**options, "key": locked.read_text(), "key_file": None, "passphrase": "correct horse"}
    element = registry.open("sftp", inline, name="ssh")
    assert (await element.probe(prepare=True)).ok
    await element.aclose()


def test_secrets_are_marked() -> None:
    [sftp] = [info for info in registry.types() if info.name == "sftp"]
    assert {option.name for option in sftp.options if option.secret} == {"password", "key", "passphrase"}
    assert all(option.description for option in sftp.options)


# ── away, silent, lost ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_server_stopped_and_back(tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd") as (server, options):
        async with proxy(server.port) as relay:  # what sshd forked outlives it: the proxy ends their connections
            element = registry.open("sftp", {**options, "port": relay.port, "path": str(tmp_path / "root")}, name="ssh")
            assert (await element.probe(prepare=True)).ok
            await put(element, "kept", b"kept")
            server.stop()
            relay.drop()
            with contextlib.suppress(Transient):  # this one may be under way as the connection is lost
                await element.stat("kept")
            for call in (element.stat("kept"), element.stat("none"), put(element, "new", b"x"), names(element, "")):
                with pytest.raises(Unavailable):
                    await call
            assert not (await element.probe()).ok
            server.start()
            assert await get(element, "kept") == b"kept"
            assert await names(element, "") == ["kept"]
            await element.aclose()
            with pytest.raises(Unavailable, match="closed"):
                await element.stat("kept")


async def test_a_host_that_does_not_exist(options: Options) -> None:
    element = registry.open("sftp", {**options, "host": "no-such-host.invalid"}, name="ssh")
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid"):
        await element.stat("x")
    await element.aclose()


async def test_a_connection_lost_in_a_read(far: Element, relay: Proxy) -> None:
    data = os.urandom(16 * BATCH)
    await put(far, "big", data)
    chunks = far.read("big")
    await anext(chunks)
    relay.drop()
    with pytest.raises(Transient):
        async for _ in chunks:
            pass
    assert await get(far, "big") == data


@pytest.mark.parametrize("old", [None, b"old"])
async def test_a_connection_lost_in_a_write(far: Element, relay: Proxy, old: bytes | None) -> None:
    if old:
        await put(far, "big", old)

    async def chunks() -> AsyncGenerator[Chunk, None]:
        for turn in range(16):
            if turn == 8:
                relay.drop()
            yield bytes(BATCH)

    with pytest.raises(Transient):
        await far.write("big", chunks(), overwrite=True)
    assert await names(far, "") == (["big"] if old else [])
    if old:
        assert await get(far, "big") == old
    assert supports(far, KeepsStaging)
    assert await far.clean_staging(0) == 1
    await put(far, "big", b"new", overwrite=True)


async def test_a_silent_server(far: Element, relay: Proxy) -> None:
    await put(far, "folder/big", os.urandom(16 * BATCH))
    timed = Timed(far, 0.3)
    chunks = timed.read("folder/big")
    await anext(chunks)
    relay.stall()
    with pytest.raises(Transient, match="no answer"):
        async for _ in chunks:
            pass
    for call in (
        timed.stat("folder/big"),
        timed.remove("folder/big"),
        put(timed, "new", bytes(16 * BATCH)),
        get(timed, "folder/big"),
        names(timed, ""),
    ):
        with pytest.raises(Transient, match="no answer"):
            await asyncio.wait_for(call, 5)
    relay.resume()
    assert await names(far, "new") == []
    await put(far, "new", b"new")
    assert supports(far, KeepsStaging)
    assert isinstance(far, SftpElement)
    await asyncio.gather(*far._tasks)  # what was given up is swept up as soon as it can be
    assert [entry async for entry in far.scan_staging()] == []


async def test_an_sftp_process_that_ends_alone(element: Element) -> None:
    """The connection stays and is of no use: another is made."""
    assert isinstance(element, SftpElement)
    async with element._links.client() as client:
        client.exit()
        await client.wait_closed()
    await asyncio.sleep(0)
    await put(element, "x", b"x")
    assert await get(element, "x") == b"x"


async def test_openings_given_up_leave_no_open_files(tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd", limit="-n 64") as (_, options):
        element = registry.open("sftp", {**options, "path": str(tmp_path / "root")}, name="ssh")
        assert isinstance(element, SftpElement)
        assert (await element.probe(prepare=True)).ok
        await put(element, "x", b"x")
        async with element._links.client() as client:
            for _ in range(100):
                opening = asyncio.create_task(opened(client, bytes(tmp_path / "root/x"), "rb"))
                await asyncio.sleep(0)
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
        assert await get(element, "x") == b"x"
        await element.aclose()


# ── disks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_no_space(tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with sshd(tmp_path / "sshd", limit=f"-f {2 * BATCH // 512}") as (_, options):
        element = registry.open("sftp", {**options, "path": str(tmp_path / "root")}, name="ssh")
        assert (await element.probe(prepare=True)).ok
        await put(element, "fits", bytes(2 * BATCH))
        for size in (3 * BATCH, None):
            with pytest.raises(NoSpace):
                await element.write("big", chunked(bytes(3 * BATCH)), size=size)
        assert await names(element, "") == ["fits"]
        assert supports(element, KeepsStaging)
        assert [entry async for entry in element.scan_staging()] == []
        (tmp_path / "root/grown").write_bytes(bytes(3 * BATCH))
        assert supports(element, ServerCopies)
        with pytest.raises(NoSpace):
            await element.copy_from(element, "grown", "copy")
        await element.aclose()


@pytest.mark.parametrize("marker", [True, False])
async def test_a_lost_disk_is_no_lost_file(options: Options, root: Path, marker: bool) -> None:
    element = registry.open("sftp", {**options, "marker": marker}, name="ssh")
    assert (await element.probe(prepare=True)).ok
    await put(element, "there/object", b"x")
    root.rename(root.with_name("away"))
    if marker:
        root.mkdir()
    assert supports(element, Renames)
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
    await element.aclose()


async def test_only_regular_files_are_objects(element: Element, root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    for pfn in ("fifo", "link"):
        for call in (element.stat(pfn), get(element, pfn), element.remove(pfn)):
            with pytest.raises(InvalidPath):
                await asyncio.wait_for(call, 10)
        with pytest.raises(ObjectExists):
            await put(element, pfn, b"x")
    assert await names(element, "") == []
    await put(element, "link", b"mine", overwrite=True)  # the link itself is replaced, not what it points to
    assert (tmp_path / "secret").read_bytes() == b"secret"
    with pytest.raises(ObjectExists):
        await put(element, "folder", b"x")
    with pytest.raises(InvalidPath):
        await put(element, "folder", b"x", overwrite=True)
    for overwrite in (False, True):
        with pytest.raises(InvalidPath):
            await put(element, "link/below/further", b"x", overwrite=overwrite)
    assert await names(element, "") == ["link"]


async def test_the_element_s_own_files_are_no_objects(element: Element, root: Path) -> None:
    for pfn in (".lading-element", ".lading-staging/x", ".lading-staging"):
        for call in (put(element, pfn, b"x", overwrite=True), get(element, pfn), element.remove(pfn)):
            with pytest.raises(InvalidPath):
                await call
    await put(element, "a/.lading-element", b"x")  # further down the name is free
    assert await names(element, "") == ["a/.lading-element"]


async def test_names_that_are_not_utf8(element: Element, root: Path) -> None:
    (root / "latin").mkdir()
    os.close(os.open(os.fsencode(root) + b"/latin/caf\xe9", os.O_CREAT | os.O_WRONLY))
    assert await names(element, "") == ["latin/caf\udce9"]
    assert await get(element, "latin/caf\udce9") == b""
    await put(element, "caf\udce9", b"x")
    await element.remove("latin/caf\udce9")
    assert os.listdir(os.fsencode(root)).count(b"caf\xe9") == 1


async def test_names_and_depths_beyond_what_a_disk_takes(element: Element) -> None:
    deep = "/".join(["d" * 203] * 20)
    with pytest.raises(InvalidPath):
        await put(element, deep, b"x")  # with the root in front it is more than 4,096 bytes
    many = "/".join(["d"] * 1500) + "/x"
    await put(element, many, b"x")
    assert await names(element, "") == [many]
    await element.remove(many)


async def test_folders_that_are_empty_go(element: Element, root: Path) -> None:
    await put(element, "a/b/c", b"x")
    await put(element, "a/d", b"x")
    await element.remove("a/b/c")
    assert sorted(os.listdir(root / "a")) == ["d"]
    assert supports(element, Renames)
    await element.rename("a/d", "e")
    assert sorted(os.listdir(root)) == [".lading-element", ".lading-staging", "e"]


async def test_of_two_renames_of_one_object_one_wins(element: Element) -> None:
    assert supports(element, Renames)
    for turn in range(20):
        await put(element, f"{turn}/one", b"x")
        # two connections: each holds a stream while the other works
        results = await asyncio.gather(
            *(element.rename(f"{turn}/one", f"{turn}/{name}") for name in ("two", "three")), return_exceptions=True
        )
        assert [type(result) for result in results].count(ObjectNotFound) == 1, results
        assert len(await names(element, f"{turn}/")) == 1


async def test_an_object_that_shrinks_is_not_read_to_a_false_end(element: Element, root: Path) -> None:
    await put(element, "x", bytes(16 * BATCH))
    source = element.read("x")
    await anext(source)
    os.truncate(root / "x", BATCH)
    with pytest.raises(Transient, match="shorter"):
        async for _ in source:
            pass


async def test_copies_stay_on_one_server(element: Element, options: Options, tmp_path: Path) -> None:
    """Another folder of the same user is reached, another user's or server's is not."""
    other = registry.open("sftp", {**options, "path": str(tmp_path / "other")}, name="other")
    stranger = registry.open("sftp", {**options, "host": "localhost"}, name="stranger")
    assert (await other.probe(prepare=True)).ok
    data = os.urandom(40 * BATCH + 1)  # more than one step
    await put(element, "x", data)
    assert supports(other, ServerCopies)
    assert (await other.copy_from(element, "x", "far/away")).size == len(data)
    assert await get(other, "far/away") == data
    with pytest.raises(Unsupported):
        await other.copy_from(stranger, "x", "y")
    with pytest.raises(ObjectNotFound):
        await other.copy_from(element, "none", "y")
    for one in (other, stranger):
        await one.aclose()


async def test_usage(element: Element) -> None:
    assert supports(element, ReportsUsage)
    usage = await element.usage()
    assert usage.total_bytes
    assert usage.free_bytes
    assert usage.used_bytes
    assert (await element.probe()).total_bytes == usage.total_bytes
