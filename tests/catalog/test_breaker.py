"""An element that fails is taken out, told of, and put back when it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from catalog.elements.opened import FAILURES
from doors import app
from doors.config import Config
from lading.model.api import NewUpload
from lading.model.element import ElementChange, ElementInfo, ElementState
from lading.model.errors import CatalogError, Forbidden, NotFound, Unavailable
from storage_plugins.base import ObjectInfo
from storage_plugins.errors import Transient
from storage_plugins.posix import PosixElement
from storage_plugins.retried import Retried

from .world import World, file


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retried.__init__, "__kwdefaults__", {"first_wait": 0.001, "longest_wait": 0.001})


async def put(world: World, path: str, element: str | None = None, data: bytes = b"some bytes") -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    try:
        return (await world.services.data.put(world.admin, NewUpload(path, len(data), se=element), chunks()))[2]
    except CatalogError as error:
        return error.message


async def fails_to_read(world: World, path: str, times: int = 1) -> str:
    for _ in range(times):
        with pytest.raises(Unavailable) as caught:
            await world.services.data.open(world.admin, path)
    return caught.value.message


async def shown(world: World, name: str) -> ElementInfo:
    return await world.services.elements.show(world.admin, name)


async def due(world: World) -> None:
    await world.sql("update element set next_try = 0 where fault is not null")
    world.services.elements.forget()


def disk(world: World, name: str = "one") -> Path:
    return world.folder / "se" / name


async def test_what_fails_is_taken_out_and_comes_back(world: World) -> None:
    await world.elements("one", cost=1)
    await world.elements("two")
    assert await put(world, "/vo/both") == "one"
    assert await put(world, "/vo/both", "two") == "two"
    assert await put(world, "/vo/alone") == "one"
    disk(world).rename(world.folder / "away")
    await world.services.breaker.step()
    assert (await shown(world, "one")).out_since is None, "nobody has asked anything of it"
    await fails_to_read(world, "/vo/alone", FAILURES)
    await world.services.breaker.step()

    out = await shown(world, "one")
    assert out.out_since
    assert out.fault
    assert {e.name: bool(e.out_since) for e in await world.services.elements.every_info(world.admin)} == {
        "one": True,
        "two": False,
    }
    asked = world.services.elements.counts()["one", "stat"].done
    assert "'one' is out until it answers again" in await fails_to_read(world, "/vo/alone")
    assert world.services.elements.counts()["one", "stat"].done == asked, "it is not asked"
    assert [s.se for s in (await world.resolve(world.admin, "/vo/both")).sources] == ["two", "one"]
    assert (await world.services.data.open(world.admin, "/vo/both")).source.se == "two"
    assert await put(world, "/vo/new") == "two"
    assert "'one' is out until it answers again" in await put(world, "/vo/other", "one")

    (world.folder / "away").rename(disk(world))
    await world.services.breaker.step()
    assert (await shown(world, "one")).out_since, "it is not due yet"
    await due(world)
    await world.services.breaker.step()
    assert (await shown(world, "one")).out_since is None
    assert (await world.services.data.open(world.admin, "/vo/alone")).source.se == "one"
    assert await put(world, "/vo/newer") == "one"
    actions = await world.sql("select action from audit where action in ('element.out', 'element.back') order by id")
    assert [row["action"] for row in actions] == ["element.out", "element.back"]


async def test_what_stays_away_is_tried_ever_more_seldom(world: World) -> None:
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    await world.services.breaker.step()
    waits = []
    for age in (0, 100_000_000, 10_000_000_000):
        await world.sql("update element set next_try = 0, fault_at = fault_at - $1 where fault is not null", age)
        world.services.elements.forget()
        await world.services.breaker.step()
        (row,) = await world.sql("select next_try, (extract(epoch from now()) * 1e6)::bigint as now from element")
        waits.append(round((row["next_try"] - row["now"]) / 1e6))
    assert waits[0] in range(10, 16)
    assert waits[1] in range(40, 56)
    assert waits[2] in range(290, 301)


async def test_what_cannot_be_written_to_is_still_read_from(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.elements("one", cost=1)
    await world.elements("two")
    await put(world, "/vo/a")

    write = PosixElement.write

    async def fails(self: PosixElement, *given: Any, **options: Any) -> ObjectInfo:
        if self.name == "one":
            raise Transient("input/output error")
        return await write(self, *given, **options)

    monkeypatch.setattr(PosixElement, "write", fails)
    for n in range(FAILURES):
        await put(world, f"/vo/x{n}", "one")
    await world.services.breaker.step()
    assert (await shown(world, "one")).out_since
    assert (await world.services.data.open(world.admin, "/vo/a")).source.se == "one"
    assert await put(world, "/vo/b") == "two"


async def test_a_fault_that_is_over_takes_nothing_out(world: World) -> None:
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    (world.folder / "away").rename(disk(world))
    await world.services.breaker.step()
    assert (await shown(world, "one")).out_since is None
    assert world.services.elements.opened.failing() == set()


async def test_answers_are_no_failures(world: World) -> None:
    """What is not there is a sure answer, whatever failed before."""
    await world.elements("one")
    await put(world, "/vo/a")
    await world.register(world.admin, file("/vo/none", 10, "one"))
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    assert world.services.elements.opened.failing() == {"one"}
    (world.folder / "away").rename(disk(world))
    await fails_to_read(world, "/vo/none")
    assert not world.services.elements.opened.failing()


async def test_one_process_tries_for_all(world: World) -> None:
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    await world.services.breaker.step()
    other = app.wire(Config(database_url=world.dsn, data=str(world.folder), pool_size=2))
    await other.database.open()
    try:
        assert (await other.elements.show(world.admin, "one")).out_since, "all know"
        (world.folder / "away").rename(disk(world))
        await due(world)
        await asyncio.gather(world.services.breaker.step(), other.breaker.step())
        tried = [s.elements.counts().get(("one", "probe")) for s in (world.services, other)]
        assert sum(t.done for t in tried if t) == 1 + 2, "two when it was taken out"
    finally:
        await other.close()
    assert (await shown(world, "one")).out_since is None


@pytest.mark.parametrize("how", ["probe", "set"])
async def test_an_operator_puts_it_back(world: World, how: str) -> None:
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    await world.services.breaker.step()
    assert not (await world.services.breaker.probe(world.admin, "one")).ok
    assert (await shown(world, "one")).out_since
    (world.folder / "away").rename(disk(world))
    if how == "probe":
        assert (await world.services.breaker.probe(world.admin, "one")).ok
    else:
        await world.services.elements.change(world.admin, "one", ElementChange(description="mended"))
    assert (await shown(world, "one")).out_since is None
    assert (await world.services.data.open(world.admin, "/vo/a")).source.se == "one"


async def test_only_administrators_hear_why_and_try(world: World) -> None:
    (alice,) = await world.people(alice=["users"])
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    await world.services.breaker.step()
    (info,) = await world.services.elements.every_info(alice)
    assert (bool(info.out_since), info.fault) == (True, "it does not answer")
    with pytest.raises(Forbidden):
        await world.services.breaker.probe(alice, "one")
    with pytest.raises(NotFound):
        await world.services.breaker.probe(world.admin, "none")


async def test_what_is_off_is_left_alone(world: World) -> None:
    await world.elements("one")
    await put(world, "/vo/a")
    disk(world).rename(world.folder / "away")
    await fails_to_read(world, "/vo/a", FAILURES)
    await world.services.elements.change(world.admin, "one", ElementChange(state=ElementState.OFF))
    await world.services.breaker.step()
    assert ("one", "probe") not in world.services.elements.counts()
    assert (await shown(world, "one")).out_since is None
