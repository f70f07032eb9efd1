"""A sample of the world through the API: is what was written by SQL what the program would have written?"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from lading.model.api import Names
from lading.model.field import Field
from lading.model.file import Entry, Usage
from lading.model.metadata import Described
from lading.model.outcome import Outcomes

from ..client import Client
from ..world import PER_DIRECTORY, World, name
from .world import CAMPAIGNS, DIRECTORY_FIELDS, FILE_FIELDS, first, leaves

_entries = msgspec.json.Decoder(Outcomes[Entry])
_described = msgspec.json.Decoder(Outcomes[Described])
_usage = msgspec.json.Decoder(Outcomes[Usage])


async def check(world: World) -> None:
    """Raises AssertionError: the files beside each campaign's first have its rights and the same fields with values of
    the same types, directories know what they inherit, fields know where they were set, and usage is exact."""
    async with Client(world.host.url, world.host.admin) as admin:
        known = msgspec.json.decode(await admin.call("GET", "/v1/fields"), type=list[Field])
        learnt = {f.name: (f.on_dirs, f.on_files) for f in known}
        assert learnt == {n: (n in DIRECTORY_FIELDS, n in FILE_FIELDS) for n in DIRECTORY_FIELDS | FILE_FIELDS}, learnt
        dirs, rng = leaves(world.files), random.Random(4)
        each = len(dirs) // CAMPAIGNS
        for c in range(CAMPAIGNS):
            d = rng.randrange(c * each, (c + 1) * each)
            pair = [first(dirs[c * each], c).lfn, f"{dirs[d]}/{name(d, rng.randrange(PER_DIRECTORY))}"]
            await _alike(admin, pair)
        await _counted(world, admin, [dirs[rng.randrange(len(dirs))] for _ in range(5)] + ["/bench"])


async def _alike(admin: Client, pair: list[str]) -> None:
    one, two = [o.get() for o in (await admin.bulk("/v1/stat", Names(pair), _entries)).outcomes]
    for what in ("kind", "owner", "group", "mode", "acl", "status"):
        assert getattr(one, what) == getattr(two, what), (what, one, two)
    one, two = [o.get() for o in (await admin.bulk("/v1/metadata/get", Names(pair), _described)).outcomes]
    assert one is not None
    assert two is not None
    assert _types(one.values) == _types(two.values), (one, two)
    assert sorted(one.own) == sorted(two.own) == sorted(FILE_FIELDS)
    assert one.inherited.keys() == two.inherited.keys() == DIRECTORY_FIELDS.keys()
    parts = two.lfn.split("/")
    for field, depth in (("campaign", 3), ("energy", 3), ("stream", 4), ("release", 5), ("run", 6), ("quality", 6)):
        assert two.inherited[field] == "/".join(parts[:depth]), two
    assert [two.values[f] for f in ("campaign", "stream", "release")] == parts[2:5]


def _types(values: dict[str, Any]) -> dict[str, type]:
    return {k: type(v) for k, v in values.items()}


async def _counted(world: World, admin: Client, tops: list[str]) -> None:
    connection = await world.database()
    for found in (await admin.bulk("/v1/usage", Names(tops), _usage)).outcomes:
        told = found.get()
        assert told is not None
        truth = await connection.fetchrow(
            """select count(*) as files, sum(f.size)::bigint as bytes, sum(cardinality(f.se)) as replicas
                from file f join dir d on d.id = f.dir_id
                where f.kind = 0 and (d.path = $1 or (d.path > $1 || '/' and d.path < $1 || '0'))""",
            told.lfn,
        )
        replicas = sum(e.replicas for e in told.elements.values())
        assert truth is not None
        assert (told.files, told.bytes, replicas) == tuple(truth), (told, truth)
    await connection.close()
