"""Copies between two GridFTP servers: nothing of them passes us, and what breaks off goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins.errors import ChecksumMismatch, ObjectExists, ObjectNotFound, Transient, Unsupported
from storage_plugins.gridftp_control import Control
from storage_plugins.gridftp_tpc import Kept
from storage_plugins.powers import Remote
from storage_plugins.testing_tools import get, names, put
from tests.pki import Pki
from tests.proxies import make_proxy
from tests.servers import Running
from tests.storage_plugins.gridftp_server import gridftp, opened
from tests.storage_plugins.proxy import proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage_plugins.base import ObjectInfo

MIB = 1 << 20


@pytest.fixture
def servers() -> Iterator[tuple[tuple[Running, Path], tuple[Running, Path]]]:
    with gridftp() as (first, one), gridftp() as (second, two):
        yield (first, Path(one)), (second, Path(two))


def big_file(path: Path, size: int) -> str:
    """Bytes here and there, zeros between; returns its hash."""
    with path.open("wb") as file:
        for at in range(0, size, size // 64):
            file.seek(at)
            file.write(os.urandom(1000))
        file.truncate(size)
    path.chmod(0o644)
    return digest(path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (of files and other processes, no event tells)
            await asyncio.sleep(0.002)


def arrived(root: Path) -> int:
    """Bytes of what is on its way to this folder."""
    return sum(path.stat().st_size for path in (root / ".lading-staging").iterdir())


@pytest.mark.parametrize("data", ["clear", "authenticated", "private"])
async def test_between_two_servers_with_proxies(tmp_path: Path, data: str) -> None:
    pki = Pki(tmp_path / "pki")
    certificate = make_proxy(make_proxy(pki.user, tmp_path / "one"), tmp_path / "two")
    options: dict[str, Any] = {"certificate": str(certificate), "ca": str(pki.certificates), "data": data}
    with gridftp(pki) as (first, one), gridftp(pki) as (second, two):
        async with (
            opened(url=f"gsiftp://localhost:{first.port}{one}", **options) as source,
            opened(url=f"gsiftp://localhost:{second.port}{two}", **options) as target,
            opened(url=f"gsiftp://localhost:{second.port}{two}", **{**options, "data": "clear"}) as clear,
        ):
            content = os.urandom(9 * MIB + 1)
            await put(source, "x", content)
            assert (await target.copy_from(source, "x", "folder/y")).size == len(content)
            assert await get(target, "folder/y") == content
            if data != "clear":
                with pytest.raises(Unsupported, match="protect data"):
                    await clear.copy_from(source, "x", "z")
                with pytest.raises(Unsupported, match="foreign"):
                    await target.pull("z", Remote(f"gsiftp://localhost:{first.port}{one}/x"))
            else:
                await target.pull("z", Remote(f"gsiftp://localhost:{first.port}{one}/x"))
                assert await get(target, "z") == content


async def test_two_identities_do_not_mix(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    ca = str(pki.certificates)
    with gridftp(pki) as (first, one), gridftp(pki, subject="/O=TestGrid/CN=localhost") as (second, two):
        async with (
            opened(url=f"gsiftp://localhost:{first.port}{one}", certificate=str(pki.user), ca=ca) as source,
            opened(url=f"gsiftp://localhost:{second.port}{two}", certificate=str(pki.host), ca=ca) as target,
        ):
            await put(source, "x", b"x")
            with pytest.raises(Unsupported, match="different certificates"):
                await target.copy_from(source, "x", "y")
            assert await names(target, "") == []


async def test_pull_and_push_with_markers(servers: tuple[tuple[Running, Path], tuple[Running, Path]]) -> None:
    (first, one), (second, two) = servers
    async with opened(url=f"ftp://127.0.0.1:{first.port}{one}") as element:
        content = os.urandom(20 * MIB)
        (two / "a b%").write_bytes(content)
        (two / "a b%").chmod(0o644)
        moved: list[int] = []
        remote = Remote(f"ftp://127.0.0.1:{second.port}{two}/a%20b%25")
        info = await element.pull("to/there", remote, size=len(content), progress=moved.append)
        assert info.size == len(content) == moved[-1]
        assert moved == sorted(moved)
        assert await get(element, "to/there") == content
        with pytest.raises(ObjectExists):
            await element.pull("to/there", remote)
        with pytest.raises(ChecksumMismatch):
            await element.pull("elsewhere", remote, size=5)
        with pytest.raises(ObjectNotFound):
            await element.pull("elsewhere", Remote(f"ftp://127.0.0.1:{second.port}{two}/none"))
        moved.clear()
        pushed = Remote(f"ftp://127.0.0.1:{second.port}{two}/back")
        await element.push("to/there", pushed, progress=moved.append)
        assert moved[-1] == len(content)
        assert (two / "back").read_bytes() == content
        with pytest.raises(ObjectExists):
            await element.push("to/there", pushed)
        with pytest.raises(ObjectNotFound):
            await element.push("none", Remote(f"ftp://127.0.0.1:{second.port}{two}/none"))
        for url in ("https://127.0.0.1/x", "gsiftp://127.0.0.1/x", "ftp://127.0.0.1/x/"):
            with pytest.raises(Unsupported):
                await element.pull("elsewhere", Remote(url))
        assert await names(element, "") == ["to/there"]
        assert sorted(os.listdir(two)) == ["a b%", "back"], "nothing is left beside"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What servers are told."""
    told: list[str] = []
    send = Control.send

    async def recorded(self: Control, command: str) -> None:
        told.append(command)
        await send(self, command)

    monkeypatch.setattr(Control, "send", recorded)
    return told


@asynccontextmanager
async def broken_off(
    servers: tuple[tuple[Running, Path], tuple[Running, Path]], whose: str, moved: list[int]
) -> AsyncIterator[asyncio.Task[ObjectInfo]]:
    """A copy of `big` from the first to the second, which loses the session of its sender or receiver in the middle,
    after the receiver told what it has."""
    (first, one), (second, two) = servers
    async with (
        proxy((first if whose == "sender" else second).port) as relay,
        opened(url=f"ftp://127.0.0.1:{relay.port if whose == 'receiver' else second.port}{two}") as target,
    ):
        remote = Remote(f"ftp://127.0.0.1:{relay.port if whose == 'sender' else first.port}{one}/big")
        copying = asyncio.create_task(target.pull("copy", remote, progress=moved.append))
        await until(lambda: arrived(two) > 32 * MIB)
        os.killpg(first.pid, signal.SIGSTOP)  # the sender stands still, and the receiver tells what it has
        try:
            await until(lambda: moved and moved[-1] > 24 * MIB)
            moved.append(0)
            await asyncio.sleep(0.1)  # the marker that tells which bytes comes right after the one that tells how many
            relay.drop()
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        yield copying


async def test_what_broke_off_goes_on(
    servers: tuple[tuple[Running, Path], tuple[Running, Path]], commands: list[str]
) -> None:
    """The sender's session is lost: the next sends only what the markers do not tell, and the whole is compared."""
    size = 768 * MIB
    told = big_file(servers[0][1] / "big", size)
    moved: list[int] = []
    async with broken_off(servers, "sender", moved) as copying:
        assert (await copying).size == size
    assert moved[moved.index(0, 1) + 1] > 0, "it began where it was"
    assert moved[-1] == size
    restarts = [command for command in commands if command.startswith("REST ")]
    assert len(restarts) == 2, "both servers are told"
    assert restarts[0] == restarts[1]
    assert sum(command.startswith("CKSM ADLER32 ") for command in commands) == 2
    assert digest(servers[1][1] / "copy") == told


async def test_a_receiver_that_may_still_write_is_left_alone(
    servers: tuple[tuple[Running, Path], tuple[Running, Path]], commands: list[str]
) -> None:
    """Its session is lost, so nobody knows when it ends: what it has is not built on."""
    told = big_file(servers[0][1] / "big", 768 * MIB)
    async with broken_off(servers, "receiver", []) as copying:
        with pytest.raises(Transient):
            await copying
    assert not any(command.startswith("REST ") for command in commands)
    (first, one), (second, two) = servers
    assert not (two / "copy").exists()
    async with opened(url=f"ftp://127.0.0.1:{second.port}{two}") as target:
        await target.pull("copy", Remote(f"ftp://127.0.0.1:{first.port}{one}/big"))
    assert digest(two / "copy") == told


async def test_what_went_on_wrongly_is_not_shown(
    servers: tuple[tuple[Running, Path], tuple[Running, Path]],
) -> None:
    """Bytes that the receiver told it has are others by now."""
    big_file(servers[0][1] / "big", 768 * MIB)
    two = servers[1][1]
    async with broken_off(servers, "sender", []) as copying:
        (staged,) = (two / ".lading-staging").iterdir()
        with staged.open("r+b") as file:
            file.seek(20 * MIB)
            file.write(b"something else")
        with pytest.raises(Transient, match="its checksum is not the source's"):
            await copying
    assert not (two / "copy").exists()
    assert arrived(two) == 0


async def test_a_cancelled_copy_leaves_nothing(servers: tuple[tuple[Running, Path], tuple[Running, Path]]) -> None:
    (first, one), (second, two) = servers
    big_file(one / "big", 512 * MIB)
    async with (
        opened(url=f"ftp://127.0.0.1:{first.port}{one}") as source,
        opened(url=f"ftp://127.0.0.1:{second.port}{two}") as target,
    ):
        copying = asyncio.create_task(target.copy_from(source, "big", "copy"))
        await until(lambda: arrived(two) > 8 * MIB)
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        await until(lambda: not target._tasks and not target._sessions._tasks and not source._sessions._tasks)
        assert await names(target, "") == []
        assert arrived(two) == 0
        assert (await target.copy_from(source, "big", "copy")).size == 512 * MIB


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_a_copy_that_stands_still_ends(
    servers: tuple[tuple[Running, Path], tuple[Running, Path]], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver goes on telling, every second, that it has as much as before: that is no progress."""
    (first, one), (second, two) = servers
    monkeypatch.setattr("storage_plugins.gridftp_copies._PAUSES", (0.1,))
    big_file(one / "big", 512 * MIB)
    standing = (first if who == "sender" else second).pid
    async with (
        opened(url=f"ftp://127.0.0.1:{first.port}{one}", timeout=0.6) as source,
        opened(url=f"ftp://127.0.0.1:{second.port}{two}", timeout=0.6) as target,
    ):
        copying = asyncio.create_task(target.copy_from(source, "big", "copy"))
        await until(lambda: arrived(two) > 8 * MIB)
        os.killpg(standing, signal.SIGSTOP)
        try:
            with pytest.raises(Transient):
                await asyncio.wait_for(copying, 100)
        finally:
            os.killpg(standing, signal.SIGCONT)
        assert await names(target, "") == []


async def test_the_receiver_is_killed(servers: tuple[tuple[Running, Path], tuple[Running, Path]]) -> None:
    (first, one), (second, two) = servers
    big_file(one / "big", 512 * MIB)
    async with (
        opened(url=f"ftp://127.0.0.1:{first.port}{one}") as source,
        opened(url=f"ftp://127.0.0.1:{second.port}{two}") as target,
    ):
        copying = asyncio.create_task(target.copy_from(source, "big", "copy"))
        await until(lambda: arrived(two) > 8 * MIB)
        second.stop()
        with pytest.raises(Transient):
            await copying
        second.start()
        assert await names(target, "") == []
        assert await target.clean_staging(0) == 1
        assert (await target.copy_from(source, "big", "copy")).size == 512 * MIB


def test_markers_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_plugins.gridftp_tpc._DOUBTFUL", 8)
    kept = Kept(100)
    kept.add("Range Marker 10-20,30-40")
    kept.add("Range Marker 18-30, nonsense, 50-40, 90-101, 0-")
    assert (kept.total, kept.told) == (30, "10-40")
    kept.add("0-5,0-12")
    assert kept.told == "8-40"
    kept.clear()
    assert (kept.total, kept.told) == (0, "")
    kept = Kept(1000)
    for start in range(8, 400, 2):
        kept.add(f"{start}-{start + 1}")
    kept.add("500-900")
    assert kept.told.count("-") == 64
    assert kept.told.endswith("500-900")
