"""Short ways to make and read data sets, for their tests."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from lading.model.dataset import Dataset, Freeze, Member, Members, NewDataset, Snapshot, SnapshotChange, Tail
from lading.model.file import TrashItem
from lading.model.outcome import Outcomes
from lading.model.principal import Caller
from tests.catalog.world import World, codes, file


async def create(world: World, who: Caller, name: str, query: str | None = None, **more: Any) -> Dataset:
    return await world.services.datasets.create(who, NewDataset(name, query, **more))


async def freeze(world: World, who: Caller, name: str, **more: Any) -> Snapshot:
    return await world.services.snapshots.freeze(who, Freeze(name, **more))


async def release(world: World, who: Caller, name: str) -> Snapshot:
    return await world.services.snapshots.change(who, SnapshotChange(name, release=True))


async def add(world: World, who: Caller, name: str, *lfns: str) -> list[str]:
    return codes(await world.services.lists.add_files(who, Members(name, list(lfns))))


async def drop(world: World, who: Caller, name: str, *lfns: str) -> list[str]:
    return codes(await world.services.lists.remove_files(who, Members(name, list(lfns))))


async def listed(world: World, who: Caller, name: str) -> tuple[list[str], int]:
    """(LFNs, how many are hidden) of a data set or snapshot."""
    members, tail = await everything(world.services.set_files.files(who, name))
    return [m.lfn for m in members], tail.hidden


async def everything(stream: Any) -> tuple[list[Any], Tail]:
    """The lines of a stream, and its tail."""
    items = [item async for batch in stream for item in batch]
    tail = items.pop()
    assert isinstance(tail, Tail)
    assert tail.files == len(items)
    return items, tail


async def findings(world: World, who: Caller, name: str) -> list[tuple[str, str]]:
    items, _ = await everything(world.services.set_files.check(who, name))
    return [(f.lfn, f.problem) for f in items]


async def found(world: World, who: Caller, query: str, under: str = "/") -> list[str]:
    """The LFNs that a search finds."""
    async with world.services.search.asking(who, query, under) as (connection, asked):
        batches = [b async for b in world.services.search.batches(connection, asked)]
    return [f"{b.path}/{n}" for b in batches for n in b.names]


def hashed(members: list[Member]) -> str:
    """The hash of a list, as the documentation defines it."""
    rows = []
    for m in members:
        sums = sorted(f"{k}:{v}" for k, v in m.checksums.items())
        rows.append((m.lfn.encode(), "\t".join([m.lfn, m.guid or "", str(m.size), ",".join(sums)]).encode() + b"\n"))
    return hashlib.sha256(b"".join(line for _, line in sorted(rows))).hexdigest()


async def soon(*work: Any) -> list[Any]:
    """All at once; errors as results."""
    return await asyncio.gather(*work, return_exceptions=True)


async def populate(world: World) -> None:
    """Names whose byte order as LFNs is not that of directory and name."""
    await world.vo("vo")
    await world.elements("se1", "se2")
    sums = [{}, {"adler32": "ffffffff"}, {"md5": "0" * 32, "adler32": "0000000a"}, {"sha1": "a" * 40}]
    names = ["/vo/a/z", "/vo/a/b/c", "/vo/a.b/y", "/vo/a/é", "/vo/a-/x", "/vo/a/b.c", "/vo/top", "/vo/a/b/d e"]
    specs = [file(n, i, "se1", checksums=sums[i % 4]) for i, n in enumerate(names)]
    assert set(await world.register(world.admin, *specs)) == {"ok"}


async def force(world: World, who: Caller, *lfns: str, **more: bool) -> Outcomes[TrashItem]:
    return await world.services.trash.remove(who, lfns, force_snapshots=True, recursive=True, **more)
