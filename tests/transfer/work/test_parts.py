"""Large files that break off on their way go on where they were."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.transfer.work.conftest import Site, working
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


async def test_parts_of_a_bad_source_are_thrown_away(idle: Site, large: bytes) -> None:
    request = await _broken_off(idle)
    done = await _parts(idle)
    _spoil(idle, next(n for n in range(1, 9) if str(n) not in done))
    async with working(idle):
        assert (await idle.ended(request))["failed"] == 1
    assert await idle.sources("/vo/large") == [("one", "suspect")]
    assert await _parts(idle) == {}
    assert idle.objects("two") == []


async def test_another_object_in_the_place_is_left_alone(idle: Site, large: bytes) -> None:
    made = await _broken_off(idle)
    await idle.change(made, state="cancelled")
    services = idle.server.services
    storage = await services.elements.storage(services.elements.named("two"))
    source = await services.elements.storage(services.elements.named("one"))
    pfn = _object(idle, "one").relative_to(idle.folder / "one").as_posix()
    place = parts.Place(services.elements.named("two").id, pfn, SIZE, {"adler32": "00000001"})
    kept = parts.Parts(services.database)
    with pytest.raises(parts.ChecksumMismatch):  # other bytes are wanted: it begins anew
        await kept.write(source, pfn, storage, place, overwrite=False)
    assert await _parts(idle) == {}
    right = parts.Place(place.element_id, pfn, SIZE, {"md5": hashlib.md5(large).hexdigest()})
    assert (await kept.write(source, pfn, storage, right, overwrite=False)).size == SIZE
    with pytest.raises(parts.ObjectExists):
        await kept.write(source, pfn, storage, right, overwrite=False)


async def test_what_nobody_goes_on_with_is_given_up(idle: Site, large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await _broken_off(idle)
    await idle.change(request, state="cancelled")
    monkeypatch.setattr(cleaner, "OLD", 0)
    monkeypatch.setattr(idle.server.services.cleaner, "_swept", -cleaner._HOUR)
    await idle.server.services.cleaner.step()
    assert await _parts(idle) == {}
    assert idle.objects("two") == []
