"""Which element can copy to which, by what means, and what happens when a way fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lading.model.element import Way
from storage_plugins.base import Element
from storage_plugins.chunks import chunked
from storage_plugins.errors import ChecksumMismatch, NoSpace, ObjectExists, ObjectNotFound, Transient
from storage_plugins.memory import MemoryElement, MemoryOptions
from storage_plugins.posix import PosixElement, PosixOptions
from storage_plugins.powers import Presigned, Remote
from tests.transfer.conftest import Store, adler32
from transfer.ways import carry, ways

DATA = b"0123456789" * 1000
SUM = {"adler32": adler32(DATA)}


class Signing(MemoryElement):
    """Signs URLs."""

    async def presign_get(self, pfn: str, *, expires_in: int) -> Presigned:
        assert expires_in > 0
        return Presigned(f"mem://{self.name}/{pfn}", "GET", 1, {"Authorization": "once"})

    async def presign_put(self, pfn: str, *, expires_in: int, size: int | None = None) -> Presigned:
        return Presigned(f"mem://{self.name}/{pfn}", "PUT", 1, {"Authorization": "once"})


class Pulling(Signing):
    """Pulls from `source`, and pushes to `target`, as `fault` lets it."""

    source: MemoryElement
    target: MemoryElement
    fault: Exception | None = None
    damage = b""

    async def pull(
        self, pfn: str, source: Remote, *, size: int | None = None, overwrite: bool = False, progress: Any = None
    ) -> Any:
        assert source.headers == {"Authorization": "once"}
        if self.fault:
            raise self.fault
        data = b"".join([bytes(c) async for c in self.source.read(source.url.rpartition("/")[2])])
        return await self.write(pfn, chunked(self.damage or data), overwrite=overwrite)

    async def push(self, pfn: str, target: Remote, *, overwrite: bool = False, progress: Any = None) -> None:
        if self.fault:
            raise self.fault
        await self.target.write(target.url.rpartition("/")[2], self.read(pfn), overwrite=overwrite)


def memory(kind: type[MemoryElement], store: str) -> Any:
    """An element that can do no more than `kind` adds."""
    element = kind(MemoryOptions(store=store), name=store)
    element.disabled_powers = frozenset(("ServerCopies",))
    return element


@pytest.fixture
async def pair(request: pytest.FixtureRequest) -> tuple[Signing, Pulling]:
    source, target = memory(Signing, f"{request.node.name}-a"), memory(Pulling, f"{request.node.name}-b")
    target.source = source
    await source.write("x", chunked(DATA))
    return source, target


async def moved(source: Element, target: Element, **how: Any) -> Way:
    how = {"size": len(DATA), "checksums": SUM, "overwrite": False} | how
    info, way = await carry(source, "x", target, "y", **how)
    assert info.size == len(DATA)
    assert b"".join([bytes(c) async for c in target.read("y")]) == DATA
    return way


async def test_the_target_pulls(pair: tuple[Signing, Pulling]) -> None:
    assert await ways(*pair) == [Way.PULL, Way.STREAM]
    assert await moved(*pair) is Way.PULL


async def test_the_source_pushes(request: pytest.FixtureRequest) -> None:
    source, target = memory(Pulling, "push-a"), memory(Signing, "push-b")
    source.target = target
    await source.write("x", chunked(DATA))
    assert await ways(source, target) == [Way.PUSH, Way.STREAM]
    assert await moved(source, target) is Way.PUSH


async def test_inside_one_storage(tmp_path: Path) -> None:
    one, two = (PosixElement(PosixOptions(path=str(tmp_path / n), marker=False), name=n) for n in "ab")
    for element in (one, two):
        (tmp_path / element.name).mkdir()
    await one.write("x", chunked(DATA))
    assert await ways(one, two) == [Way.SERVER, Way.STREAM]
    assert await moved(one, two) is Way.SERVER


async def test_a_way_that_fails_gives_place_to_the_next(pair: tuple[Signing, Pulling]) -> None:
    pair[1].fault = Transient("a firewall")
    assert await moved(*pair) is Way.STREAM


@pytest.mark.parametrize("fault", [NoSpace("full"), ObjectExists("taken")])
async def test_what_another_way_would_not_mend_is_final(pair: tuple[Signing, Pulling], fault: Exception) -> None:
    pair[1].fault = fault
    with pytest.raises(type(fault)):
        await moved(*pair)


async def test_what_one_side_does_not_find_may_be_a_folder_of_the_other(pair: tuple[Signing, Pulling]) -> None:
    pair[1].fault = ObjectNotFound("Remote side failed with status code 404")
    assert await moved(*pair) is Way.STREAM
    await pair[0].remove("x")
    with pytest.raises(ObjectNotFound):
        await moved(*pair, overwrite=True)


async def test_a_copy_with_other_bytes_gives_place_to_our_own_reading(pair: tuple[Signing, Pulling]) -> None:
    pair[1].damage = DATA[:-1] + b"x"
    assert await moved(*pair) is Way.STREAM


async def test_a_copy_of_a_damaged_source_does_not_stay(pair: tuple[Signing, Pulling]) -> None:
    pair[1].damage = DATA[:-1] + b"x"
    await pair[0].write("x", chunked(DATA[:-1] + b"x"), overwrite=True)
    with pytest.raises(ChecksumMismatch):
        await moved(*pair)
    with pytest.raises(ObjectNotFound):
        await pair[1].stat("y")


async def test_the_links_of_a_server(store: Store) -> None:
    call = store.server.call
    for name, state in (("mem", "active"), ("closed", "read-only"), ("out", "off")):
        assert (await call("POST", "/v1/elements", {"name": name, "type": "memory", "state": state}))[0] == 201
    status, links = await call("POST", "/v1/links", {})
    assert status == 200
    assert [(x["source"], x["target"]) for x in links] == sorted((x["source"], x["target"]) for x in links)
    assert len(links) == 5 * 4
    told = {(x["source"], x["target"]): x for x in links}
    assert told["one", "two"]["ways"] == ["server", "stream"]
    assert told["one", "mem"]["ways"] == ["stream"]
    assert "read-only" in told["one", "closed"]["why"]
    assert "off" in told["out", "one"]["why"]
    status, links = await call("POST", "/v1/links/try", {"elements": ["one", "two", "mem"]})
    tried = {(x["source"], x["target"]): x["trial"] for x in links}
    assert all(t["ok"] for t in tried.values()), tried
    assert (tried["one", "two"]["way"], tried["two", "mem"]["way"]) == ("server", "stream")
    assert store.objects("one") == store.objects("two") == []
    _, links = await call("POST", "/v1/links/try", {"elements": ["closed", "one"]})
    assert [(x.get("ways"), x["why"][:9], x.get("trial")) for x in links] == [
        (["stream"], "not tried", None), (None, "element '", None),
    ]  # fmt: skip
    (store.folder / "two").rename(store.folder / "unplugged")
    _, links = await call("POST", "/v1/links/try", {"elements": ["one", "two"]})
    assert [x["trial"]["ok"] for x in links] == [False, False]
    assert (await call("POST", "/v1/links", {"elements": ["nowhere"]}))[0] == 404
    _, shown = await call("GET", "/v1/elements/one")
    assert {"ServerCopies", "Renames", "LocalFiles"} <= set(shown["powers"])
