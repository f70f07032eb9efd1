"""gfal2's elements beyond the suite: over GridFTP with a proxy, with tape behind, and when its process fails."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.chunks import chunked
from storage_plugins.errors import InvalidOptions, Nearline, PluginMissing, StorageError, Transient, Unavailable
from storage_plugins.gfal_element import GfalElement
from storage_plugins.powers import Locality, Stages, powers, supports
from storage_plugins.testing_tools import get, names, put, sums
from tests.pki import Pki
from tests.proxies import make_proxy
from tests.servers import free_port
from tests.storage_plugins.gfal_srm import TAPE
from tests.storage_plugins.gridftp_server import gridftp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PYTHON = "LADING_GFAL_PYTHON"


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[GfalElement]:
    element = registry.open("gfal", {"url": url, **options}, name="gfal")
    assert isinstance(element, GfalElement)
    try:
        yield element
    finally:
        await element.aclose()


async def children() -> list[int]:
    """The processes of gfal_worker that this one started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"gfal_worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def test_over_gridftp_with_a_proxy(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    proxy = make_proxy(pki.user, tmp_path / "proxy")
    with gridftp(pki) as (server, path):
        options = {"certificate": str(proxy), "ca": str(pki.certificates), "connections": 2}
        url = f"gsiftp://localhost:{server.port}{path}"
        async with opened(f"{url}/one", **options) as one, opened(f"{url}/two", **options) as two:
            assert (await one.probe()).ok is False
            assert (await one.probe(prepare=True)).ok
            assert (await two.probe(prepare=True)).ok
            data = os.urandom(5_000_000)
            info = await one.write("dir/50%/ü #?", chunked(data), checksums=sums(data, "md5"))
            assert (info.size, info.checksums) == (len(data), sums(data, "md5"))
            assert await get(one, "dir/50%/ü #?", 1_000_000, 4_000_001) == data[1_000_000:4_000_001]
            assert await one.checksum("dir/50%/ü #?", ["adler32", "md5", "sha1"]) == sums(data, "adler32", "md5")
            assert await two.copies_from(one)
            assert (await two.copy_from(one, "dir/50%/ü #?", "copy")).size == len(data)
            assert await get(two, "copy") == data
            await one.remove("dir/50%/ü #?")
            assert await names(one, "") == []
            assert sorted(p.name for p in Path(path, "one").iterdir()) == [".lading-element", ".lading-staging"]
        async with opened(f"{url}/one", certificate=str(pki.host), ca=str(tmp_path)) as nobody:
            report = await nobody.probe()
            assert (report.ok, report.read) == (False, False)


async def test_what_is_on_tape_is_staged_before_it_is_read(tmp_path: Path, srm: None) -> None:
    root = tmp_path / "root"
    async with opened(f"srm://host:8446/srm/managerv2?SFN={root}", certificate="/nobody") as element:
        assert (await element.probe(prepare=True)).ok
        for name in ("disk", "tape"):
            await put(element, name, b"bytes")
        (root / f"tape{TAPE}").touch()
        where = await element.locality(["disk", "tape", "none"])
        assert where == {"disk": Locality.ONLINE, "tape": Locality.NEARLINE}
        with pytest.raises(Nearline):
            await get(element, "tape")
        request = await element.stage(["tape", "none"], keep_seconds=60)
        assert (await element.locality(["tape"]))["tape"] is Locality.STAGING
        (root / f"tape{TAPE}").unlink()
        assert (await element.locality(["tape"]))["tape"] is Locality.ONLINE
        assert await get(element, "tape") == b"bytes"
        await element.release(["tape"], request)


async def test_gfal2s_own_tape(tmp_path: Path) -> None:
    async with opened("mock://host", marker=False) as element:
        assert supports(element, Stages)
        objects = ["f?size=10&staging_time=60", "g?size=10"]
        assert (await element.stat(objects[0])).size == 10
        request = await element.stage(objects, keep_seconds=60)
        await element.release(objects, request)
    async with opened(f"file://{tmp_path}") as element:
        assert "Stages" not in powers(element)


async def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    async with opened(f"file://{tmp_path}/root", connections=1) as element:
        assert (await element.probe(prepare=True)).ok
        [pid] = await children()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Transient, match="ended"):
            await element.stat("a")
        await put(element, "a", b"bytes")
        assert await get(element, "a") == b"bytes"
        go_on = asyncio.Event()

        async def cut() -> AsyncIterator[bytes]:
            yield b"x" * 3_000_000
            [busy] = await children()
            os.kill(busy, signal.SIGKILL)
            yield b"y" * 3_000_000
            go_on.set()

        with pytest.raises(Transient):
            await element.write("b", cut())
        assert await names(element, "") == ["a"]
        assert [entry async for entry in element.scan_staging()] == []
    assert await children() == []


async def test_a_process_that_hangs_is_killed(tmp_path: Path) -> None:
    async with opened(f"file://{tmp_path}/root", connections=1, timeout=1) as element:
        assert (await element.probe(prepare=True)).ok
        [pid] = await children()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Transient, match="no answer in 1 seconds"):
            await element.stat("a")
        assert (await element.probe()).ok
        assert pid not in await children()


async def test_bytes_that_arrive_changed_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(f"file://{tmp_path}/root") as element:
        assert (await element.probe(prepare=True)).ok

        async def spoilt(*_: object) -> dict[str, str]:
            return {"adler32": "00000001"}

        monkeypatch.setattr("storage_plugins.gfal_tree.Tree.checksums", spoilt)
        with pytest.raises(Transient, match="adler32"):
            await put(element, "a", b"bytes")
        assert await names(element, "") == []

        async def none(*_: object) -> dict[str, str]:
            return {}

        monkeypatch.setattr("storage_plugins.gfal_tree.Tree.checksums", none)  # it is read back then
        await put(element, "a", b"bytes")
        assert await names(element, "") == ["a"]


async def test_nothing_that_lies_about_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "secret-of-the-host")
    monkeypatch.setenv("LADING_DATABASE", "postgresql://lading:secret@host/db")
    async with opened(f"file://{tmp_path}/root") as element:
        assert (await element.probe(prepare=True)).ok
        [pid] = await children()
        environment = Path(f"/proc/{pid}/environ").read_text()
        assert "secret" not in environment
        assert "X509_USER_PROXY=/nonexistent" in environment


@pytest.mark.parametrize(("python", "why"), [("/nonexistent/python", "No such file"), ("no gfal2", "apt-get install")])
async def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, why: str) -> None:
    if python == "no gfal2":
        script = tmp_path / "python"
        script.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')  # without Debian's packages
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        python = str(script)
    monkeypatch.setenv(PYTHON, python)
    async with opened(f"file://{tmp_path}/root") as element:
        with pytest.raises(PluginMissing, match=why):
            await element.stat("a")
        assert "gfal2" in ((await element.probe()).error or "")


@pytest.mark.parametrize(
    "options",
    [
        {"url": "srm://host/x"},
        {"url": "gsiftp://user:password@host/x", "certificate": "/x"},
        {"url": "https://host/x"},
        {"url": "file:///x#y"},
        {"url": "file:///x\n"},
    ],
)
def test_options_that_can_be_none(options: dict[str, str]) -> None:
    with pytest.raises(InvalidOptions):
        registry.open("gfal", options)


async def test_a_server_that_is_away(tmp_path: Path) -> None:
    element: Element
    async with opened(f"ftp://127.0.0.1:{free_port()}/x") as element:
        with pytest.raises(Unavailable):
            await element.stat("a")
        with pytest.raises(StorageError):
            await put(element, "a", b"bytes")
