"""What is particular to fsspec's file systems: archives, secrets, FTP servers that go away, lost disks."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import zipfile
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from storage_plugins import registry
from storage_plugins.base import Chunk, Element
from storage_plugins.chunks import BATCH
from storage_plugins.errors import (
    Denied,
    InvalidOptions,
    InvalidPath,
    ObjectNotFound,
    PluginMissing,
    Transient,
    Unavailable,
)
from storage_plugins.fsspec_workers import told
from storage_plugins.powers import KeepsStaging, powers, supports
from storage_plugins.testing_tools import get, names, put
from tests.storage_plugins.proxy import proxy
from tests.storage_plugins.vsftpd import vsftpd

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path


def opened(url: str, **options: Any) -> Element:
    return registry.open("fsspec", {"url": url, **options}, name="fsspec")


# ── archives: read, never written ────────────────────────────────────────────────────────────────────────────────────

CONTENT = {"a b": b"", "d/e": os.urandom(2 * BATCH + 7), "d/f/ü": b"x", "deep/er/still/g": b"yz"}


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Element]:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in CONTENT.items():
            file.writestr(name, data)
    element = opened(f"zip://::file://{tmp_path}/data.zip", read_only="true")
    yield element
    await element.aclose()


async def test_a_zip_archive_is_read(archive: Element) -> None:
    for name, data in CONTENT.items():
        assert (await archive.stat(name)).size == len(data)
        assert await get(archive, name) == data
        for start, stop in ((0, 1), (1, None), (BATCH - 1, BATCH + 1), (5, 5), (10 * BATCH, None)):
            assert await get(archive, name, start, stop) == data[start:stop]
    assert await names(archive, "") == sorted(CONTENT)
    assert await names(archive, "d") == ["d/e", "d/f/ü", "deep/er/still/g"]
    assert await names(archive, "d/f/") == ["d/f/ü"]
    assert await names(archive, "none/") == []
    for missing in ("none", "d", "d/e/below", "d/none"):
        for call in (archive.stat(missing), get(archive, missing)):
            with pytest.raises(ObjectNotFound):
                await call
    with pytest.raises(InvalidPath):
        await archive.stat("d//e")
    report = await archive.probe(prepare=True)
    assert (report.ok, report.read, report.write) == (True, True, False)


async def test_a_zip_archive_is_not_written(archive: Element) -> None:
    for call in (put(archive, "new", b"x"), put(archive, "d/e", b"x", overwrite=True), archive.remove("d/e")):
        with pytest.raises(Denied, match="read-only"):
            await call
    assert powers(archive) == []


async def test_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"no archive")
    for path in (tmp_path / "data.zip", tmp_path / "none.zip"):
        element = opened(f"zip://::file://{path}", read_only=True)
        assert not (await element.probe()).ok
        for call in (element.stat("x"), get(element, "x"), names(element, "")):
            with pytest.raises(Unavailable):
                await call
        await element.aclose()


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "nonsense://x"}, "fsspec knows no nonsense:"),
        ({"url": "/srv/x"}, "option 'url'"),
        ({"url": "ftp://me:hunter2@host/x"}, "the url holds a password"),
        ({"url": "zip://::ftp://me:hunter2@host/x"}, "the url holds a password"),
        ({"url": "ftp://host/x", "options": "hunter2"}, "'options' is no JSON object"),
        ({"url": "ftp://host/x", "options": '["hunter2"]'}, "'options' is no JSON object"),
        ({"url": "ftp://host/x", "threads": 0}, "option 'threads'"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOptions) as raised:
        registry.open("fsspec", options)
    assert told in raised.value.message
    assert "hunter2" not in raised.value.message


def test_a_file_system_that_lacks_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(protocol: str) -> None:
        raise ImportError("Install paramiko to access SFTP")

    monkeypatch.setattr(fsspec, "get_filesystem_class", lacking)
    with pytest.raises(PluginMissing, match="Install paramiko"):
        opened("sftp://host/x")


class Talkative(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no type annotations
    protocol = "talkative"

    def __init__(self, password: str, keys: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.told = f"{password} and {keys[0]} are wrong"

    def cat_file(self, path: str, **kwargs: Any) -> bytes:
        raise RuntimeError(self.told)

    info = ls = cat_file


async def test_secrets_do_not_get_out_in_messages(caplog: pytest.LogCaptureFixture) -> None:
    fsspec.register_implementation("talkative", Talkative, clobber=True)
    options = json.dumps({"password": "hunter2", "keys": ["swordfish"]})
    element = opened("talkative://x", options=options)
    with pytest.raises(Transient) as raised:
        await element.stat("x")
    assert raised.value.message == "RuntimeError: *** and *** are wrong: 'x'"
    assert raised.value.__cause__ is None
    report = await element.probe()
    assert not report.ok
    assert "hunter2" not in (report.error or "") + caplog.text
    await element.aclose()
    [info] = [info for info in registry.types() if info.name == "fsspec"]
    assert {option.name for option in info.options if option.secret} == {"options"}


# ── disks and memory ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_lost_disk_is_no_lost_file(tmp_path: Path) -> None:
    element = opened(f"file://{tmp_path}/root")
    with pytest.raises(Unavailable, match="mounted"):
        await put(element, "x", b"x")
    assert (await element.probe(prepare=True)).ok
    await put(element, "there/object", b"x")
    (tmp_path / "root").rename(tmp_path / "away")
    (tmp_path / "root").mkdir()
    for call in (
        element.stat("there/object"),
        get(element, "there/object"),
        element.remove("there/object"),
        put(element, "new", b"x"),
        names(element, ""),
        names(element, "none/"),
    ):
        with pytest.raises(Unavailable, match="mounted"):
            await call
    assert list((tmp_path / "root").iterdir()) == [], "nothing was made in the bare mount point"
    await element.aclose()


async def test_names_that_look_like_patterns(tmp_path: Path) -> None:
    element = opened(f"file://{tmp_path}/root")
    assert (await element.probe(prepare=True)).ok
    for pfn in ("a1", "a2", "a*", "a[12]", "a?", "d*/a?"):
        await put(element, pfn, pfn.encode())
    for pfn in ("a*", "a[12]", "a?", "d*/a?"):
        assert await get(element, pfn) == pfn.encode()
        await element.remove(pfn)
    assert await names(element, "") == ["a1", "a2"]
    with pytest.raises(InvalidPath):
        await element.stat(".lading-staging/x")
    await element.aclose()


async def test_folders_are_never_replaced(tmp_path: Path) -> None:
    element = opened(f"file://{tmp_path}/root")
    assert (await element.probe(prepare=True)).ok
    await put(element, "folder/object", b"x")
    with pytest.raises(InvalidPath):
        await put(element, "folder", b"x", overwrite=True)
    assert await names(element, "") == ["folder/object"]
    await element.aclose()


async def test_an_object_too_large_for_one_piece() -> None:
    element = opened(f"memory://{secrets.token_hex(4)}")
    assert (await element.probe(prepare=True)).ok
    data = os.urandom(17 << 20)
    await put(element, "large", data)
    assert await get(element, "large") == data
    await element.aclose()


# ── FTP ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_ftp_server_stopped_and_back() -> None:
    with vsftpd() as (server, url):
        async with proxy(server.port) as relay:  # what vsftpd forked outlives it: the proxy ends its connections
            element = opened(url.replace(str(server.port), str(relay.port)), threads=1)
            assert (await element.probe(prepare=True)).ok
            await put(element, "kept", b"kept")
            server.stop()
            relay.drop()
            with contextlib.suppress(Transient):  # this one finds the connection lost
                await element.stat("kept")
            for call in (element.stat("kept"), element.stat("none"), put(element, "new", b"x"), names(element, "")):
                with pytest.raises(Unavailable):
                    await call
            server.start()
            assert await get(element, "kept") == b"kept"
            assert await names(element, "") == ["kept"]
            await element.aclose()
            with pytest.raises(Unavailable, match="closed"):
                await element.stat("kept")


async def test_an_ftp_connection_lost_in_a_write() -> None:
    with vsftpd() as (server, url):
        async with proxy(server.port) as relay:
            element = opened(url.replace(str(server.port), str(relay.port)), threads=1)
            assert (await element.probe(prepare=True)).ok
            await put(element, "big", b"old")

            async def chunks() -> AsyncGenerator[Chunk, None]:
                for turn in range(8):
                    if turn == 4:
                        relay.drop()
                    yield bytes(BATCH)

            with pytest.raises(Transient):
                await element.write("big", chunks(), overwrite=True)
            assert await get(element, "big") == b"old"
            assert await names(element, "") == ["big"]
            assert supports(element, KeepsStaging)
            await element.clean_staging(0)
            assert [entry async for entry in element.scan_staging()] == []
            await element.aclose()


async def test_an_ftp_login_refused() -> None:
    with vsftpd() as (_, url):
        options = json.dumps({"username": "nobody-at-all", "password": "hunter2"})
        element = opened(url, options=options)
        with pytest.raises(Denied) as raised:
            await element.stat("x")
        assert "hunter2" not in raised.value.message
        await element.aclose()


async def test_an_ftp_name_with_a_line_break() -> None:
    with vsftpd() as (_, url):
        element = opened(url)
        assert (await element.probe(prepare=True)).ok
        with pytest.raises(InvalidPath):
            await put(element, "two\nlines", b"x")
        assert await names(element, "") == []
        await element.aclose()


@pytest.mark.parametrize("form", ["a/b+c d", "a%2Fb%2Bc%20d", "a/b%2Bc%20d", "a%2Fb%2Bc+d"])
def test_secrets_are_not_told_as_a_url_has_them_either(form: str) -> None:
    assert told(OSError(f"403 for https://host/?key={form}&x"), None, ["a/b+c d"]).message.endswith("key=***&x")
