"""The conformance suite: what every plug-in must pass, shipped for those of third parties.

    class TestMine(ElementSuite):
        @pytest.fixture
        async def element(self):
            element = MyElement(MyOptions(...), name="test")
            await element.probe(prepare=True)
            yield element
            await element.aclose()

Needs pytest, pytest-asyncio and hypothesis. The element may be shared between tests and hold other objects: each test
stays below a prefix of its own. Tests of powers the element has not are skipped.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from lading.model.checksum import KINDS

from .base import NONE, Element, ScanEntry
from .chunks import BATCH, chunked
from .errors import ChecksumMismatch, InvalidPath, ObjectNotFound
from .testing_machine import compare_with_memory
from .testing_powers import PowersSuite
from .testing_tools import get, names, put, sums
from .testing_writes import WritesSuite
from .verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

AWKWARD = (
    "plain",
    "a b/ leading and trailing ",
    "50%/%2F%00",
    "#hash?query=1&x;y",
    "plus+and'quotes\"and`more`",
    "back\\slash",
    "-rf *",
    ".hidden/..two/three...",
    "ünï/cödé",
    "ünı",
    "u\u0308n",  # the same u with its dots apart: another name
    "日本語/ファイル.root",
    "😀",
    "new\nline\ttab\x1bescape",
    "~user/$HOME",
    "x" * 255,
    "é" * 127,
    "/".join(["deep"] * 20),
)
REFUSED = ("", "/", "/etc/passwd", "a//b", "a/", ".", "..", "../x", "a/../../x", "a/./b", "a\0b", "y" * 256, "\ud800")


class ElementSuite(WritesSuite, PowersSuite):
    """Subclass it with a fixture `element`. Narrow `awkward` or `refused` only for what the storage itself rules
    out."""

    pytestmark = pytest.mark.asyncio
    awkward = AWKWARD
    refused = REFUSED
    sizes = (0, 1, 4095, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 7)
    many = 2000
    examples = 20  # of the state machine
    spelling: Mapping[str, str] = NONE  # of its names: other characters for those that the storage rules out

    @pytest.fixture
    def here(self) -> str:
        return f"suite-{secrets.token_hex(6)}/"

    async def test_round_trip_of_every_size(self, element: Element, here: str) -> None:
        for size in self.sizes:
            data, pfn = secrets.token_bytes(size), f"{here}size/{size}"
            written = await element.write(
                pfn, chunked(data, 100_000), size=size, checksums=sums(data, "md5", "adler32")
            )
            assert written.size == size
            assert written.checksums.items() >= sums(data, "md5", "adler32").items()
            info = await element.stat(pfn)
            assert info.size == size
            assert await get(element, pfn) == data
            assert set(info.checksums) <= set(KINDS)
            assert info.checksums == sums(data, *info.checksums)

    async def test_awkward_names(self, element: Element, here: str) -> None:
        for number, name in enumerate(self.awkward):
            await put(element, here + name, b"%d" % number)
        assert await names(element, here) == sorted(here + name for name in self.awkward)
        for number, name in enumerate(self.awkward):
            assert await get(element, here + name) == b"%d" % number, name
            await element.remove(here + name)
        assert await names(element, here) == []

    async def test_names_that_are_refused(self, element: Element) -> None:
        for name in self.refused:
            with pytest.raises(InvalidPath):
                await put(element, name, b"x")
            for call in (element.stat(name), get(element, name), element.remove(name)):
                with pytest.raises(InvalidPath):
                    await call

    async def test_what_is_not_there(self, element: Element, here: str) -> None:
        await put(element, here + "folder/object", b"x")
        for missing in (here + "none", here + "no/folder", here + "folder", here + "folder/object/below"):
            for call in (element.stat(missing), get(element, missing), element.remove(missing)):
                with pytest.raises(ObjectNotFound):
                    await call
        assert await names(element, here + "none") == []
        assert await get(element, here + "folder/object") == b"x"

    async def test_spans(self, element: Element, here: str) -> None:
        data, pfn = secrets.token_bytes(BATCH + 5000), here + "spans"
        await put(element, pfn, data)
        size = len(data)
        edges = (0, 1, 4096, BATCH - 1, BATCH, BATCH + 1, size - 1, size, size + 1, 10 * size)
        for start in edges:
            for stop in (*(edge for edge in edges if edge >= start), None):
                assert await get(element, pfn, start, stop) == data[start:stop], (start, stop)
        await put(element, here + "empty", b"")
        assert await get(element, here + "empty", 5, 10) == b""
        for start, stop in ((-1, None), (2, 1), (0, -1)):
            with pytest.raises(ValueError, match="span"):
                await get(element, pfn, start, stop)

    async def test_leaving_a_read_early(self, element: Element, here: str) -> None:
        data = secrets.token_bytes(3 * BATCH)
        await put(element, here + "long", data)
        for _ in range(40):
            async with aclosing(element.read(here + "long")) as chunks:
                first = await anext(chunks)
                assert data.startswith(bytes(first))
        assert await get(element, here + "long", 1, 9) == data[1:9]

    async def test_scan_of_many(self, element: Element, here: str) -> None:
        expected = {f"{here}scan/{n % 37:02d}/{n:05d}": n % 7 for n in range(self.many)}
        waiting = iter(expected.items())

        async def worker() -> None:
            for pfn, size in waiting:
                await put(element, pfn, bytes(size))

        await asyncio.gather(*(worker() for _ in range(16)))
        async with aclosing(element.scan(here + "scan/")) as scanned:
            found: list[ScanEntry] = [entry async for entry in scanned]
        assert len(found) == self.many
        assert {entry.pfn: entry.size for entry in found} == expected
        if element.sorted_scan:
            assert [e.pfn for e in found] == sorted(expected, key=str.encode)
        some = found[0]
        assert some.mtime_us is None or some.mtime_us == (await element.stat(some.pfn)).mtime_us
        for prefix in ("scan/0", "scan/01/0", "scan/36/", "sca", "scan/nothing", "scan/00/00000"):
            assert await names(element, here + prefix) == sorted(p for p in expected if p.startswith(here + prefix))
        async with aclosing(element.scan(here)) as early:
            assert (await anext(early)).pfn in expected

    async def test_probe(self, element: Element) -> None:
        report = await element.probe()
        assert (report.ok, report.read, report.write, report.delete, report.error) == (True, True, True, True, None)
        looked = await element.probe(write=False)
        assert (looked.ok, looked.read, looked.write, looked.delete) == (True, True, False, False)
        assert (await element.probe(prepare=True)).ok, "prepare is safe to repeat"
        assert await names(element, ".lading-") == []

    async def test_verify(self, element: Element, here: str) -> None:
        data, pfn = secrets.token_bytes(BATCH + 1), here + "verify"
        await put(element, pfn, data)
        right = sums(data, "md5", "adler32")
        before = element.disabled_powers
        try:
            for disabled in (frozenset[str](), frozenset({"Checksums"})):  # by the storage where it can, by reading
                element.disabled_powers = disabled
                info = await verify(element, pfn, right, len(data), kinds=["sha256"])
                assert info.checksums == sums(data, "md5", "adler32", "sha256")
                with pytest.raises(ChecksumMismatch, match="md5"):
                    await verify(element, pfn, {"md5": "0" * 32}, len(data))
                with pytest.raises(ChecksumMismatch, match="size"):
                    await verify(element, pfn, right, len(data) + 1)
                with pytest.raises(ObjectNotFound):
                    await verify(element, here + "none", right)
        finally:
            element.disabled_powers = before

    async def test_against_the_memory_element(self, element: Element) -> None:
        await compare_with_memory(element, examples=self.examples, spelling=self.spelling)
