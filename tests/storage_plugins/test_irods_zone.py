"""What iRODS elements promise beyond the suite, on the zone that LADING_TEST_IRODS names, else on the fake server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from irods.meta import iRODSMeta
from irods.models import DataObject

from storage_plugins import irods_catalog, irods_tree, registry
from storage_plugins.chunks import chunked
from storage_plugins.errors import InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable, Unsupported
from storage_plugins.irods_element import IrodsElement
from storage_plugins.irods_session import Session
from storage_plugins.testing_tools import get, names, put, sums
from tests.storage_plugins.irods_named import zone


@pytest.fixture(scope="module")
def named() -> Iterator[dict[str, Any]]:
    with zone() as options:
        yield options


def opened(options: dict[str, Any], **more: Any) -> IrodsElement:
    element = registry.open("irods", {**options, **more}, name="zone")
    assert isinstance(element, IrodsElement)
    return element


@pytest.fixture
async def element(named: dict[str, Any]) -> AsyncIterator[IrodsElement]:
    element = opened(named, root=f"{named['root']}/{secrets.token_hex(6)}")
    assert (await element.probe(prepare=True)).ok
    yield element
    await element.aclose()


async def staged(element: IrodsElement) -> list[str]:
    return [entry.pfn async for entry in element.scan_staging()]


class Died(BaseException):
    """As a process does: nothing is tidied up."""


def dies_at(monkeypatch: pytest.MonkeyPatch, call: int, method: str = "rename") -> None:
    """The writer's process is gone from its `call`-th call of that method on."""
    real = getattr(irods_tree.Tree, method)
    calls = 0

    def counted(self: Any, session: Session, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise Died
        return real(self, session, *arguments)

    monkeypatch.setattr(irods_tree.Tree, method, counted)


async def replaced_by_the_dead(element: IrodsElement, pfn: str, step: int, method: str = "rename") -> None:
    await put(element, pfn, b"old")
    with pytest.MonkeyPatch.context() as monkeypatch:
        dies_at(monkeypatch, step, method)
        with pytest.raises(Died):
            await put(element, pfn, b"newer", overwrite=True)


async def test_a_writer_that_dies_between_the_two_moves_loses_nothing(element: IrodsElement) -> None:
    await replaced_by_the_dead(element, "a/b", 2)
    assert (await element.stat("a/b")).size == 3
    assert await get(element, "a/b") == b"old"
    assert await names(element, "") == ["a/b"] == await names(element, "a/")
    assert await names(element, "b") == []
    with pytest.raises(ObjectExists):
        await put(element, "a/b", b"another")
    assert await get(element, "a/b") == b"old"
    await put(element, "a/b", b"newest", overwrite=True)
    assert await get(element, "a/b") == b"newest"
    assert not [name for name in await staged(element) if "old-" in name]


async def test_cleaning_brings_back_what_was_never_replaced(element: IrodsElement) -> None:
    await replaced_by_the_dead(element, "it's 50% a\\x41", 2)
    assert await element.clean_staging(3600 * 10**6) == 0
    assert await element.clean_staging(0) >= 1
    assert await staged(element) == []
    page, _ = await element._questions.run(element._tree.objects, element._tree.root, None)
    assert [(found.name, found.size) for found in page] == [("it's 50% a\\x41", 3)]
    assert await get(element, "it's 50% a\\x41") == b"old"
    assert await element.get_metadata("it's 50% a\\x41") == {}


async def test_a_writer_that_dies_after_both_moves_leaves_the_new_one(element: IrodsElement) -> None:
    await replaced_by_the_dead(element, "a", 1, "unlink")
    assert await get(element, "a") == b"newer"
    assert await names(element, "") == ["a"]
    await element.remove("a")
    with pytest.raises(ObjectNotFound):  # nor does the old one come back
        await element.stat("a")
    assert await names(element, "") == []


async def test_what_was_moved_away_does_not_come_back(element: IrodsElement) -> None:
    await replaced_by_the_dead(element, "a", 1, "unlink")
    await element.rename("a", "b")
    with pytest.raises(ObjectNotFound):
        await element.stat("a")
    assert await get(element, "b") == b"newer"
    await replaced_by_the_dead(element, "c", 2)
    await element.rename("c", "d")
    assert (await get(element, "d"), await names(element, "")) == (b"old", ["b", "d"])
    await replaced_by_the_dead(element, "e", 2)
    await element.remove("e")
    assert await names(element, "") == ["b", "d"]


async def test_moving_where_the_name_is_taken_in_the_old_collection(element: IrodsElement) -> None:
    """iRODS gives the new name first, where the object is."""
    for pfn in ("a/one", "a/two", "a/three/x"):
        await put(element, pfn, pfn.encode())
    await element.rename("a/one", "b/two")
    await element.rename("b/two", "c/three")
    assert (await get(element, "a/two"), await get(element, "c/three")) == (b"a/two", b"a/one")
    with pytest.raises(ObjectExists):
        await element.rename("c/three", "a/two")
    await put(element, "c/two", b"in the way")
    await element.rename("c/three", "a/two", overwrite=True)
    assert await get(element, "a/two") == b"a/one"
    assert await names(element, "") == ["a/three/x", "a/two", "c/two"]
    await element.rename("a/two", "d/three")
    assert await get(element, "d/three") == b"a/one"
    assert await staged(element) == []


async def test_an_object_in_the_way(element: IrodsElement) -> None:
    await put(element, "a", b"x")
    for overwrite in (False, True):
        with pytest.raises((InvalidPath, ObjectExists)):
            await put(element, "a/b", b"y", overwrite=overwrite)
    with pytest.raises((InvalidPath, ObjectExists)):
        await element.rename("a", "a/b")
    assert await get(element, "a") == b"x"
    assert (await names(element, ""), await staged(element)) == (["a"], [])


async def test_readers_see_the_old_or_the_new(element: IrodsElement) -> None:
    contents = [bytes([letter]) * (10_000 + letter) for letter in b"abcdefgh"]
    await put(element, "it", contents[0])
    done = asyncio.Event()

    async def reader() -> int:
        seen = 0
        while not done.is_set():
            assert await get(element, "it") in contents
            seen += 1
        return seen

    async def stats() -> None:
        while not done.is_set():
            await element.stat("it")

    readers = [asyncio.create_task(reader()), asyncio.create_task(stats())]
    for content in contents:
        await put(element, "it", content, overwrite=True)
    done.set()
    assert (await asyncio.gather(*readers))[0]
    assert await get(element, "it") == contents[-1]


async def test_two_who_replace_at_once(element: IrodsElement) -> None:
    await put(element, "it", b"0")
    for turn in range(5):
        both = [b"%d first" % turn, b"%d second" % turn]
        await asyncio.gather(*(put(element, "it", content, overwrite=True) for content in both))
        assert await get(element, "it") in both
    assert await staged(element) == []


async def test_many_pages(element: IrodsElement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(irods_catalog, "PAGE", 20)
    monkeypatch.setattr(irods_catalog, "_SURE", 5)
    kinds = ("a'{}", 'B"{}', "c\\x4{}", "d%{}", "E_{}", "é{}", "{} ", "Z{}`")
    expected = sorted([f"x/{kind.format(n)}" for kind in kinds for n in range(9)])
    folders = sorted(f"y/{kind.format(n)}/z" for kind in kinds[:3] for n in range(9))
    await asyncio.gather(*(put(element, pfn, b"x") for pfn in expected + folders))
    assert await names(element, "x") == expected
    assert await names(element, "") == expected + folders
    assert await names(element, "y/B") == [pfn for pfn in folders if pfn.startswith("y/B")]


async def test_metadata_of_others(element: IrodsElement) -> None:
    await put(element, "it", b"x")
    path = f"{element._tree.root}/it"

    theirs = (iRODSMeta("several", "2", "cm"), iRODSMeta("several", "1"), iRODSMeta("kept", "k", "s"))

    def add(irods: Any) -> None:
        for meta in theirs:
            irods.metadata.add(DataObject, path, meta)

    await element._questions.run(lambda session: session.call(add))
    assert await element.get_metadata("it") == {"several": "1\n2", "kept": "k"}
    await element.set_metadata("it", {"several": "3", "new": "it's “new” <&>\n\t2"})
    assert await element.get_metadata("it") == {"several": "3", "kept": "k", "new": "it's “new” <&>\n\t2"}
    for values in ({"": "x"}, {"x": ""}, {"x": "y" * 2701}, {"x": "\x1b"}, {"x\r": "y"}):
        with pytest.raises(Unsupported):
            await element.set_metadata("it", values)
    await element.set_metadata("it", {"x": "y" * 2700, "several": None, "kept": None, "new": None})
    assert await element.get_metadata("it") == {"x": "y" * 2700}


async def test_a_root_out_of_sight_is_away(element: IrodsElement, named: dict[str, Any]) -> None:
    await put(element, "it", b"x")
    away = opened(named, root=f"{named['root']}/none")
    for call in (away.stat("it"), get(away, "it"), away.remove("it"), names(away, ""), put(away, "it", b"x")):
        with pytest.raises(Unavailable, match="there is no collection"):
            await call
    assert not (await away.probe()).ok
    await away.aclose()


async def test_what_the_zone_hashes_with_is_learnt(element: IrodsElement) -> None:
    data = secrets.token_bytes(3 << 20)
    first = await element.write("first", chunked(data))
    (kind,) = element.told_checksums
    assert first.checksums.items() >= sums(data, kind).items()
    assert set((await element.write("second", chunked(data))).checksums) == {kind}
    assert (await element.stat("first")).checksums == sums(data, kind)
    assert await element.checksum("first", [kind]) == sums(data, kind)
    assert await element.checksum("first", ["crc32c"]) == {}


async def test_reads_that_make_one_stream_are_of_one_version(element: IrodsElement) -> None:
    await put(element, "it", b"0123456789")
    stream = element.of_one_version()
    assert (await get(stream, "it", 0, 5), await get(stream, "it", 5)) == (b"01234", b"56789")
    await put(element, "it", b"abcdefghij", overwrite=True)
    with pytest.raises(Transient, match="replaced"):
        await get(stream, "it", 5)
    assert await get(element.of_one_version(), "it", 5) == b"fghij"


async def test_closed(named: dict[str, Any]) -> None:
    element = opened(named)
    await element.probe(prepare=True)
    for _ in range(2):
        await element.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await element.stat("it")
