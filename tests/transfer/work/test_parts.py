"""Large files that break off on their way go on where they were."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage_plugins.base import Element, ObjectInfo
from storage_plugins.errors import ChecksumMismatch, ObjectExists, ObjectNotFound, Transient
from tests.transfer.conftest import adler32
from tests.transfer.work.conftest import Site, working
from tests.transfer.work.test_faults import crew
from transfer import cleaner, parts

PART = 200_000
SIZE = 7 * PART + 11


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FROM", 2 * PART)
    monkeypatch.setattr(parts, "PART", PART)


@pytest.fixture
async def large(idle: Site) -> bytes:
    """A file on 'one', and 'two' that has nothing of its host's files: bytes go through us."""
    body = os.urandom(SIZE)
    await idle.put("/vo/large", body)
    disabled = {"path": str(idle.folder / "two"), "disabled_powers": ["ServerCopies"]}
    status, answer = await idle.server.call("PATCH", "/v1/elements/two", {"options": disabled})
    assert status == 200, answer
    return body


async def _broken_off(site: Site) -> int:
    """A request that a worker broke off with some parts done; its number."""
    await site.server.call("PATCH", "/v1/elements/one", {"max_rate": 2 * PART})
    made = await site.request("replicate", {"lfns": ["/vo/large"]}, to="two")
    async with working(site, drain=0):
        while not 1 <= len(await _parts(site)) < 7:
            await site.show(made["id"])
    await site.server.call("PATCH", "/v1/elements/one", {"max_rate": None})
    await site.clean()
    return int(made["id"])


async def _parts(site: Site) -> dict[str, str]:
    async with site.server.services.database.read() as connection:
        return await connection.fetchval("select parts from parted") or {}


def _object(site: Site, se: str) -> Path:
    [path] = [p for p in site.objects(se) if ".lading-staging" not in p.parts]
    return path


def _spoil(site: Site, number: int) -> None:
    """Other bytes in the place of a part, at the source."""
    with _object(site, "one").open("r+b") as file:
        file.seek((number - 1) * PART)
        file.write(bytes(1000))


async def test_what_is_there_is_not_read_again(idle: Site, large: bytes) -> None:
    request = await _broken_off(idle)
    done = await _parts(idle)
    _spoil(idle, int(min(done)))  # whoever read it again would have the wrong bytes
    async with working(idle):
        assert (await idle.ended(request))["done"] == 1
    assert _object(idle, "two").read_bytes() == large
    assert await _parts(idle) == {}
    assert [p.name for p in idle.objects("two") if ".lading-staging" in p.parts] == []


@pytest.mark.slow
async def test_killed_within_a_part_it_goes_on_with_those_that_are_whole(
    idle: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the sizes as they are, and workers of their own that are killed with SIGKILL."""
    size = 6 * (64 << 20) + 11
    with (idle.folder / "large").open("wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(os.urandom(1 << 20))
        file.truncate(size)
    monkeypatch.undo()
    with (idle.folder / "large").open("rb") as file:
        assert (await idle.put("/vo/large", file))[0] == 201
    disabled = {"path": str(idle.folder / "two"), "disabled_powers": ["ServerCopies"]}
    await idle.server.call("PATCH", "/v1/elements/two", {"options": disabled})
    await idle.server.call("PATCH", "/v1/elements/one", {"max_rate": 100 << 20})
    made = await idle.request("replicate", {"lfns": ["/vo/large"]}, to="two")
    async with crew(idle, 1) as workers:
        async with asyncio.timeout(120):
            while not await _parts(idle):
                assert (await idle.show(made["id"])).get("done", 0) == 0
        await workers.kill(0)
        done = await _parts(idle)
        assert 1 <= len(done) < 7
        with _object(idle, "one").open("r+b") as file:  # whoever read it again would have the wrong bytes
            file.seek((int(min(done)) - 1) * (64 << 20))
            file.write(bytes(1000))
        await idle.server.call("PATCH", "/v1/elements/one", {"max_rate": None})
        await workers.hire()
        assert (await idle.ended(made["id"]))["done"] == 1
    with (idle.folder / "large").open("rb") as sent, _object(idle, "two").open("rb") as copy:
        while block := sent.read(1 << 20):
            assert copy.read(1 << 20) == block
    assert await _parts(idle) == {}


async def test_parts_of_a_bad_source_are_thrown_away(idle: Site, large: bytes) -> None:
    request = await _broken_off(idle)
    done = await _parts(idle)
    _spoil(idle, next(n for n in range(1, 9) if str(n) not in done))
    async with working(idle):
        assert (await idle.ended(request))["failed"] == 1
    assert await idle.sources("/vo/large") == [("one", "suspect")]
    assert await _parts(idle) == {}
    assert idle.objects("two") == []


async def test_other_bytes_begin_anew_and_what_is_there_stays(idle: Site, large: bytes) -> None:
    await idle.change(await _broken_off(idle), state="cancelled")
    way = await _Way.of(idle)
    with pytest.raises(ChecksumMismatch):  # other bytes are wanted than those of the parts that are there
        await way.write(idle, adler32="00000001")
    assert await _parts(idle) == {}
    assert (await way.write(idle, md5=hashlib.md5(large).hexdigest())).size == SIZE
    with pytest.raises(ObjectExists):
        await way.write(idle, md5=hashlib.md5(large).hexdigest())


async def test_parts_that_are_swept_away_are_no_fault_of_the_source(idle: Site, large: bytes) -> None:
    await idle.server.call("PATCH", "/v1/elements/one", {"max_rate": 2 * PART})
    way = await _Way.of(idle)
    writing = asyncio.create_task(way.write(idle, adler32=adler32(large)))
    while not await _parts(idle):
        assert not writing.done()
    async with idle.server.services.database.read() as connection:
        await way.target.abort_parts(way.pfn, await connection.fetchval("select token from parted"))
    with pytest.raises(Transient):
        await writing
    await idle.server.call("PATCH", "/v1/elements/one", {"max_rate": None})
    assert (await (await _Way.of(idle)).write(idle, adler32=adler32(large))).size == SIZE


async def test_a_source_that_is_gone_is_told(idle: Site, large: bytes) -> None:
    await idle.change(await _broken_off(idle), state="cancelled")
    way = await _Way.of(idle)
    _object(idle, "one").unlink()
    with pytest.raises(ObjectNotFound):
        await way.write(idle, adler32=adler32(large))
    assert await _parts(idle)


@dataclass
class _Way:
    """From 'one' to 'two', by hand."""

    source: Element
    target: Any
    element_id: int
    pfn: str

    @classmethod
    async def of(cls, site: Site) -> _Way:
        elements = site.server.services.elements
        pfn = _object(site, "one").relative_to(site.folder / "one").as_posix()
        source, target = [await elements.storage(elements.named(name)) for name in ("one", "two")]
        return cls(source, target, elements.named("two").id, pfn)

    async def write(self, site: Site, **checksums: str) -> ObjectInfo:
        kept = parts.Parts(site.server.services.database, self.element_id)
        ends = (self.source, self.pfn, self.target, self.pfn)
        return await kept.write(*ends, size=SIZE, checksums=checksums, overwrite=False)


async def test_what_nobody_goes_on_with_is_given_up(idle: Site, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await _broken_off(idle)
    await idle.change(request, state="cancelled")
    monkeypatch.setattr(cleaner, "OLD", 0)
    monkeypatch.setattr(idle.server.services.cleaner, "_swept", -cleaner._HOUR)
    await idle.server.services.cleaner.step()
    assert await _parts(idle) == {}
    assert idle.objects("two") == []
