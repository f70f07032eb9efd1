"""The part of the conformance suite that is about optional powers."""

from __future__ import annotations

import os
import secrets
import zlib
from typing import TYPE_CHECKING

import pytest

from lading.model.checksum import KINDS, Digest

from .chunks import BATCH, chunked
from .errors import ChecksumMismatch, ObjectExists, ObjectNotFound, Unsupported
from .memory import MemoryElement, MemoryOptions
from .powers import (
    Checksums,
    KeepsMetadata,
    KeepsStaging,
    LocalFiles,
    Locality,
    Renames,
    ReportsUsage,
    ServerCopies,
    Stages,
    WritesParts,
    powers,
    supports,
)
from .testing_tools import get, put

if TYPE_CHECKING:
    from .base import Element


class PowersSuite:
    async def test_powers_can_be_switched_off(self, element: Element) -> None:
        had = powers(element)
        before = element.disabled_powers
        try:
            element.disabled_powers = before | frozenset(had)
            assert powers(element) == []
        finally:
            element.disabled_powers = before
        assert powers(element) == had

    async def test_rename(self, element: Element, here: str) -> None:
        if not supports(element, Renames):
            pytest.skip("has no Renames")
        old, new = here + "from/one", here + "to/deeper/two"
        await put(element, old, b"one")
        await element.rename(old, new)
        assert await get(element, new) == b"one"
        with pytest.raises(ObjectNotFound):
            await element.stat(old)
        with pytest.raises(ObjectNotFound):
            await element.rename(old, here + "three")
        await put(element, old, b"another")
        with pytest.raises(ObjectExists):
            await element.rename(old, new)
        assert (await get(element, old), await get(element, new)) == (b"another", b"one")
        await element.rename(old, old)
        await element.rename(old, new, overwrite=True)
        assert await get(element, new) == b"another"
        with pytest.raises(ObjectNotFound):
            await element.stat(old)

    async def test_writes_in_parts(self, element: Element, here: str) -> None:
        if not supports(element, WritesParts):
            pytest.skip("has no WritesParts")
        size = max(element.min_part_size, 100_000)
        data = secrets.token_bytes(2 * size + 3)
        pieces = {n: data[(n - 1) * size : n * size] for n in (1, 2, 3)}
        pfn = here + "deep/parts"
        upload = await element.start_parts(pfn, part_size=size, size=len(data))
        written = {}
        for number in (3, 1):
            piece = pieces[number]
            written[number] = await element.write_part(pfn, upload, number, chunked(piece), size=len(piece))
        with pytest.raises(ChecksumMismatch):
            await element.write_part(pfn, upload, 2, chunked(pieces[2][:-1]), size=size)
        with pytest.raises(ObjectNotFound):
            await element.stat(pfn)
        assert [(p.number, p.size) for p in await element.parts(pfn, upload)] == [(1, size), (3, 3)]
        written[2] = await element.write_part(pfn, upload, 2, chunked(pieces[2]), size=size)
        parts = [written[n] for n in (1, 2, 3)]
        wrong, right = ({"adler32": f"{zlib.adler32(data) ^ change:08x}"} for change in (1, 0))
        with pytest.raises(ChecksumMismatch):
            await element.finish_parts(pfn, upload, parts, checksums=wrong)
        info = await element.finish_parts(pfn, upload, parts, checksums=right)
        assert (info.size, await get(element, pfn)) == (len(data), data)
        with pytest.raises(ObjectNotFound):
            await element.write_part(pfn, upload, 1, chunked(pieces[1]), size=size)
        await element.abort_parts(pfn, upload)
        again = await element.start_parts(pfn, part_size=size)
        part = await element.write_part(pfn, again, 1, chunked(b"other"), size=5)
        with pytest.raises(ObjectExists):
            await element.finish_parts(pfn, again, [part])
        assert await get(element, pfn) == data
        await element.finish_parts(pfn, again, [part], overwrite=True)
        assert await get(element, pfn) == b"other"

    async def test_server_side_copy(self, element: Element, here: str) -> None:
        if not supports(element, ServerCopies):
            pytest.skip("has no ServerCopies")
        assert await element.copies_from(element)
        data = secrets.token_bytes(2 * BATCH + 3)
        for name, content in (("some", data), ("none", b"")):
            await put(element, here + name, content)
            info = await element.copy_from(element, here + name, f"{here}copy/{name}")
            assert info.size == len(content)
            assert await get(element, f"{here}copy/{name}") == content == await get(element, here + name)
        with pytest.raises(ObjectExists):
            await element.copy_from(element, here + "none", here + "copy/some")
        assert await get(element, here + "copy/some") == data
        with pytest.raises(ObjectNotFound):
            await element.copy_from(element, here + "missing", here + "copy/missing")
        await element.copy_from(element, here + "none", here + "copy/some", overwrite=True)
        assert await get(element, here + "copy/some") == b""

    async def test_copy_from_a_stranger(self, element: Element, here: str) -> None:
        if not supports(element, ServerCopies) or isinstance(element, MemoryElement):
            pytest.skip("has no ServerCopies, or is no stranger")
        stranger = MemoryElement(MemoryOptions(store=here))
        await put(stranger, "x", b"x")
        assert not await element.copies_from(stranger)
        with pytest.raises(Unsupported):
            await element.copy_from(stranger, "x", here + "x")
        with pytest.raises(ObjectNotFound):
            await element.stat(here + "x")

    async def test_checksums(self, element: Element, here: str) -> None:
        if not supports(element, Checksums):
            pytest.skip("has no Checksums")
        for size in (0, 1, BATCH + 1):
            data = secrets.token_bytes(size)
            await put(element, f"{here}{size}", data)
            digest = Digest(KINDS)
            digest.update(data)
            told = await element.checksum(f"{here}{size}", KINDS)
            assert told
            assert told.items() <= digest.result().items()
        with pytest.raises(ObjectNotFound):
            await element.checksum(here + "none", ["adler32"])

    async def test_usage(self, element: Element) -> None:
        if not supports(element, ReportsUsage):
            pytest.skip("has no ReportsUsage")
        usage = await element.usage()
        if usage.total_bytes is not None and usage.free_bytes is not None:
            assert 0 <= usage.free_bytes <= usage.total_bytes

    async def test_metadata(self, element: Element, here: str) -> None:
        if not supports(element, KeepsMetadata):
            pytest.skip("has no KeepsMetadata")
        pfn = here + "meta"
        await put(element, pfn, b"x")
        assert await element.get_metadata(pfn) == {}
        await element.set_metadata(pfn, {"a": "1", "ö": "ü ñ"})
        await element.set_metadata(pfn, {"a": None, "b": "2", "never": None})
        assert await element.get_metadata(pfn) == {"ö": "ü ñ", "b": "2"}
        for call in (element.get_metadata(here + "none"), element.set_metadata(here + "none", {"a": "1"})):
            with pytest.raises(ObjectNotFound):
                await call

    async def test_staging_from_tape(self, element: Element, here: str) -> None:
        if not supports(element, Stages):
            pytest.skip("has no Stages")
        pfn, none = here + "on tape", here + "none"
        await put(element, pfn, b"bytes")
        request = await element.stage([pfn, none], keep_seconds=60)
        assert request != await element.stage([pfn], keep_seconds=60)
        where = await element.locality([pfn, none])
        assert where.keys() == {pfn}
        assert where[pfn] in (Locality.ONLINE, Locality.STAGING)
        for _ in range(2):
            await element.release([pfn, none], request)

    async def test_local_files(self, element: Element, here: str) -> None:
        if not supports(element, LocalFiles):
            pytest.skip("has no LocalFiles")
        pfn = here + "local/ünï %20"
        await put(element, pfn, b"bytes")
        path = await element.local_path(pfn)
        assert os.path.isabs(path)
        with open(path, "rb") as by_path, await element.open_local(pfn) as opened:  # noqa: ASYNC230  (a test's own)
            assert by_path.read() == opened.read() == b"bytes"
        for call in (element.local_path(here + "none"), element.open_local(here + "none")):
            with pytest.raises(ObjectNotFound):
                await call

    async def test_staging_of_the_dead_only_is_cleaned(self, element: Element, here: str) -> None:
        if not supports(element, KeepsStaging):
            pytest.skip("has no KeepsStaging")
        await put(element, here + "kept", b"kept")
        await element.clean_staging(10**15)
        await element.clean_staging(0)
        assert [entry async for entry in element.scan_staging()] == []
        assert await get(element, here + "kept") == b"kept"
