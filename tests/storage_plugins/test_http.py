"""The type `http` against nginx: the conformance suite, with writes that go past the server into the folder it shows."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.chunks import chunked
from storage_plugins.errors import Denied, ObjectNotFound, Unavailable, Unsupported
from storage_plugins.http import HttpElement
from storage_plugins.http_options import HttpOptions
from storage_plugins.posix import PosixElement, PosixOptions
from storage_plugins.testing import AWKWARD, ElementSuite
from storage_plugins.testing_tools import get, names
from tests.servers import Running
from tests.storage_plugins.http_servers import nginx

Nginx = tuple[Running, Path]


@pytest.fixture(scope="module")
def server() -> Iterator[Nginx]:
    with nginx() as started:
        yield started


@pytest.fixture
def place(server: Nginx) -> Iterator[tuple[str, Path]]:
    """A fresh folder, and its URL."""
    name = secrets.token_hex(6)
    folder = server[1] / name
    folder.mkdir()
    yield f"http://127.0.0.1:{server[0].port}/{name}", folder
    shutil.rmtree(folder)


class Seeded(HttpElement):
    """Reads through nginx, writes beside it."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(HttpOptions(url=url), name="web")
        self.disk = PosixElement(PosixOptions(path=str(folder), fsync=False, marker=False), name="disk")

    async def write(self, *args: Any, **options: Any) -> Any:
        return await self.disk.write(*args, **options)

    async def remove(self, pfn: str) -> None:
        await self.disk.remove(pfn)

    async def aclose(self) -> None:
        await super().aclose()
        await self.disk.aclose()


class TestNginx(ElementSuite):
    awkward = tuple(name for name in AWKWARD if not name.startswith("."))  # nginx lists no names with a dot in front
    many = 500
    examples = 5

    @pytest.fixture
    async def element(self, place: tuple[str, Path]) -> AsyncIterator[Element]:
        element = Seeded(*place)
        yield element
        await element.aclose()

    async def test_probe(self, element: Element) -> None:
        report = await element.probe(prepare=True)
        assert (report.ok, report.read, report.write, report.delete, report.error) == (True, True, False, False, None)


async def test_a_web_server_is_only_read(place: tuple[str, Path]) -> None:
    url, folder = place
    (folder / "object").write_bytes(b"here")
    element = registry.open("http", {"url": url}, name="web")
    with pytest.raises(Denied):
        await element.write("new", chunked(b"x"))
    with pytest.raises(Denied):
        await element.remove("object")
    assert await get(element, "object") == b"here"
    assert await names(element, "") == ["object"]
    await element.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await element.stat("object")


async def test_a_root_that_is_gone_is_no_missing_object(server: Nginx) -> None:
    element = registry.open("http", {"url": f"http://127.0.0.1:{server[0].port}/gone/"}, name="web")
    for call in (element.stat("x"), get(element, "x"), names(element, ""), names(element, "x/y")):
        with pytest.raises(Unavailable, match="root"):
            await call
    assert not (await element.probe()).ok
    await element.aclose()


async def test_a_server_that_lists_nothing(place: tuple[str, Path]) -> None:
    url, folder = place
    (folder / "index.html").write_bytes(b"<html>hello")  # nginx shows this in place of a listing
    element = registry.open("http", {"url": url}, name="web")
    with pytest.raises(Unsupported, match="autoindex_format json"):
        await names(element, "")
    assert await get(element, "index.html", 1, 5) == b"html"
    with pytest.raises(ObjectNotFound):
        await element.stat("other.html")
    await element.aclose()
