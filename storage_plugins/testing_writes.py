"""The part of the conformance suite that is about writes: all or nothing, whatever happens."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lading.model.checksum import KINDS

from .base import Chunk, Element
from .chunks import BATCH, chunked
from .errors import ChecksumMismatch, ObjectExists, ObjectNotFound
from .powers import KeepsStaging, supports
from .testing_tools import Broken, broken, get, names, put, stopping, sums

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Recipe = tuple[str, dict[str, Any]] | None


class WritesSuite:
    leftovers = 1  # that a killed writer leaves to `clean_staging`; 0 where the server itself takes them away

    @pytest.fixture
    def recipe(self) -> Recipe:
        """(type, options) that open the same element in another process, for the writer that is killed; None: cannot
        be."""
        return None

    async def test_nothing_is_overwritten_unasked(self, element: Element, here: str) -> None:
        pfn = here + "one"
        await put(element, pfn, b"old")
        with pytest.raises(ObjectExists):
            await put(element, pfn, b"new")
        assert await get(element, pfn) == b"old"
        await put(element, pfn, b"newer", overwrite=True)
        assert await get(element, pfn) == b"newer"
        assert (await element.stat(pfn)).size == 5
        assert await names(element, here) == [pfn]

    @pytest.mark.parametrize("old", [None, b"old"])
    @pytest.mark.parametrize("wrong", ["short", "long", "adler32", "sha256", "source"])
    async def test_wrong_bytes_leave_nothing(self, element: Element, here: str, wrong: str, old: bytes | None) -> None:
        pfn, data = here + "wrong/bytes", secrets.token_bytes(BATCH + 10)
        if old:
            await put(element, pfn, old)
        size = len(data) + {"short": 1, "long": -1}.get(wrong, 0)
        expected = sums(data + b"!", wrong) if wrong in KINDS else {}
        chunks = broken(data) if wrong == "source" else chunked(data)
        with pytest.raises(Broken if wrong == "source" else ChecksumMismatch):
            await element.write(pfn, chunks, size=size, overwrite=True, checksums=expected)
        assert await names(element, here) == ([pfn] if old else [])
        if old:
            assert await get(element, pfn) == old

    async def test_checksums_must_be_checksums(self, element: Element, here: str) -> None:
        for expected in ({"md5": "xyz"}, {"md6": "00"}):
            with pytest.raises(ValueError, match="md"):
                await element.write(here + "x", chunked(b"x"), checksums=expected)
        upper = {"ADLER32": sums(b"x", "adler32")["adler32"].upper()}
        assert (await element.write(here + "x", chunked(b"x"), checksums=upper)).size == 1

    async def test_nothing_shows_before_the_end(self, element: Element, here: str) -> None:
        pfn = here + "half"
        go_on = asyncio.Event()
        half = asyncio.Event()
        writing = asyncio.create_task(element.write(pfn, stopping(half, go_on)))
        await half.wait()
        with pytest.raises(ObjectNotFound):
            await element.stat(pfn)
        assert await names(element, here) == []
        go_on.set()
        assert (await writing).size == 4 * BATCH
        assert await get(element, pfn) == bytes(4 * BATCH)

    async def test_a_cancelled_write_leaves_nothing(self, element: Element, here: str) -> None:
        for old in (None, b"old"):
            pfn = here + ("cancelled" if old is None else "cancelled, old")
            if old:
                await put(element, pfn, old)
            half = asyncio.Event()
            writing = asyncio.create_task(element.write(pfn, stopping(half, asyncio.Event()), overwrite=True))
            await half.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert await names(element, pfn) == ([pfn] if old else [])
        await put(element, here + "cancelled", b"new")  # the name is free

    @pytest.mark.parametrize("old", [None, b"old"])
    async def test_a_killed_writer_leaves_nothing(
        self, element: Element, here: str, recipe: Recipe, old: bytes | None
    ) -> None:
        if recipe is None:
            pytest.skip("the suite was given no recipe to open the element in another process")
        pfn = here + "killed/object"
        if old:
            await put(element, pfn, old)
        command = (sys.executable, "-m", "storage_plugins.testing_victim", recipe[0], json.dumps(recipe[1]), pfn)
        victim = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert victim.stdout
        assert await victim.stdout.readline() == b"half\n"
        victim.kill()
        await victim.wait()
        assert await names(element, here) == ([pfn] if old else [])
        if old:
            assert await get(element, pfn) == old
        if supports(element, KeepsStaging):
            assert len([entry async for entry in element.scan_staging()]) == self.leftovers
            assert await element.clean_staging(3600 * 10**6) == 0
            assert await element.clean_staging(0) == self.leftovers
            assert [entry async for entry in element.scan_staging()] == []
        await put(element, pfn, b"new", overwrite=True)

    async def test_of_two_writers_one_wins(self, element: Element, here: str) -> None:
        for turn in range(10):
            pfn = f"{here}race/{turn}"
            ready, go_on = asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(element.write(pfn, stopping(ready, go_on)))
            await ready.wait()
            second = asyncio.create_task(put(element, pfn, b"second"))
            go_on.set()
            results = await asyncio.gather(first, second, return_exceptions=True)
            lost = [result for result in results if isinstance(result, ObjectExists)]
            assert len(lost) == 1, results
            won = b"second" if results[0] is lost[0] else bytes(4 * BATCH)
            assert await get(element, pfn) == won

    async def test_writers_and_removers_side_by_side(self, element: Element, here: str) -> None:
        """Folders come and go under the writers: every write still ends well."""

        async def one(number: int) -> None:
            pfn = f"{here}shared/{number % 2}/{number}"
            for turn in range(5):
                await put(element, pfn, b"%d" % turn)
                assert await get(element, pfn) == b"%d" % turn
                await element.remove(pfn)

        await asyncio.gather(*(one(number) for number in range(12)))
        assert await names(element, here) == []

    async def test_chunks_of_any_kind(self, element: Element, here: str) -> None:
        async def chunks() -> AsyncGenerator[Chunk, None]:
            yield b""
            yield bytearray(b"one")
            yield memoryview(b"--two--")[2:-2]
            for _ in range(3000):
                yield b"x"
            yield b""

        expected = b"onetwo" + b"x" * 3000
        await element.write(here + "kinds", chunks(), checksums=sums(expected, "crc32c", "cksum", "sha1"))
        assert await get(element, here + "kinds") == expected
