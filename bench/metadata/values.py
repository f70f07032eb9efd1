"""Values of 1,000 files set in one call, and read in one call."""

from __future__ import annotations

import random

import msgspec

from lading.model.api import Names
from lading.model.metadata import Described, NameValues, SetMetadata
from lading.model.outcome import Outcomes

from ..client import granted, requests, wires
from ..report import Figure
from ..timing import REPEATS
from ..world import PER_DIRECTORY, World, done, name
from .turns import turns
from .world import CLOSED, EVENTS, OWN, UNREADABLE, leaves

_described = msgspec.json.Decoder(Outcomes[Described])


async def measure(world: World) -> list[Figure]:
    """Each set changes all five values of every file, the indexed one too; what is set is no other figure's answer."""
    rng, made = random.Random(7), []
    dirs = leaves(world.files)
    dirs = dirs[: len(dirs) * CLOSED // (UNREADABLE + 1)]
    few, many = rng.sample(dirs, 10), rng.sample(dirs, min(1000, len(dirs)))
    url, row = world.host.url, 3
    async with wires(url, 1) as (wire,):
        bodies = [SetMetadata([NameValues(lfn, _values(rng)) for lfn in OWN]) for _ in range((REPEATS + 1) * row)]
        writes = iter(requests(url, "/v1/metadata", world.token, bodies))

        async def write() -> int:
            return len(granted(done.decode(await wire.send(next(writes)))).outcomes)

        times = await turns(world, write, row=row)
        made.append(_rate("set 5 values of each of 1,000 files in one call", len(OWN), times.ours, 20_000, times.cpu))
        numbers = {d: n for n, d in enumerate(dirs)}
        for told, where, target in (("10 directories", few, 50_000), ("1,000 directories", many, None)):
            each = range(1000 // len(where))
            lfns = [f"{d}/{name(numbers[d], n % PER_DIRECTORY)}" for d in where for n in each]

            (asked,) = requests(url, "/v1/metadata/get", world.token, [Names(lfns)])

            async def read(asked: bytes = asked) -> int:
                return len(granted(_described.decode(await wire.send(asked))).outcomes)

            times = await turns(world, read)
            what = f"read all 11 values of 1,000 files of {told} in one call"
            made.append(_rate(what, len(lfns), times.ours, target, times.cpu))
    return made


def _rate(name: str, items: int, seconds: float, target: float | None, cpu: str) -> Figure:
    return Figure(name, "files/s", items / seconds, None, items / seconds, target, cpu=cpu)


def _values(rng: random.Random) -> dict[str, object]:
    return {
        "events": rng.randrange(2 * EVENTS, 3 * EVENTS),
        "luminosity": rng.randrange(10_000) / 10,
        "checked": rng.random() < 0.7,
        "taken": 1_767_225_600_000_000 + rng.randrange(31_536_000) * 1_000_000,
        "tag": f"tag{rng.randrange(20):02d}",
    }
