"""Resolution of 1,000 LFNs with two replicas a call, against the bare bulk select of the same rows by (dir_id, name)."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import msgspec

from lading.model.api import Resolve
from lading.model.outcome import Outcomes
from lading.model.replica import Resolved

from .client import Wire, granted, requests, wires
from .report import Figure, rate
from .timing import REPEATS, Cpu, Pair, drive
from .world import PER_DIRECTORY, World, directory, name

CALLS = 40
_SELECT = """select u.o, f.id, f.size, f.guid, f.adler32, f.csum, f.se, f.rstate, f.pfn
    from unnest($1::bigint[], $2::text[]) with ordinality u(d, n, o) join file f on f.dir_id = u.d and f.name = u.n"""
_decoder = msgspec.json.Decoder(Outcomes[Resolved])


async def measure(world: World) -> list[Figure]:
    return [
        await _one(world, wide, connections, target)
        for wide, targets in ((1000, (0.40, 0.55)), (10, (0.40, 0.45)))
        for connections, target in zip((1, 4), targets, strict=True)
    ]


async def _one(world: World, wide: int, connections: int, target: float) -> Figure:
    rates, cpu = Pair(), ""
    rng = random.Random(wide * 10 + connections)
    raw = [await world.database() for _ in range(connections)]
    for connection in raw:  # as the server's own: without these a young table is scanned
        await connection.execute("set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off")
    async with wires(world.host.url, connections) as opened:

        def asking(wire: Wire) -> Callable[[bytes], Awaitable[None]]:
            async def ask(request: bytes) -> None:
                assert len(granted(_decoder.decode(await wire.send(request))).outcomes) == 1000

            return ask

        def selecting(number: int) -> Callable[[tuple[list[int], list[str]]], Awaitable[None]]:
            async def select(keys: tuple[list[int], list[str]]) -> None:
                assert len(await raw[number].fetch(_SELECT, *keys)) == len(keys[0])

            return select

        asks, selects = [asking(w) for w in opened], [selecting(n) for n in range(connections)]
        for repeat in range(REPEATS + 1):
            calls = CALLS if repeat else 4
            wanted = [_wanted(world, wide, rng) for _ in range(calls)]
            assert world.dirs is not None
            keys = [([world.dirs[d] for d, _ in w], [name(d, i) for d, i in w]) for w in wanted]
            bodies = [Resolve([f"{directory(d)}/{name(d, i)}" for d, i in w], site="LYON") for w in wanted]
            calling = requests(world.host.url, "/v1/replicas/resolve", world.token, bodies)
            meter = Cpu(server=world.host.servers, postgres=world.host.postgres)
            seconds = await drive(asks, calling)
            if repeat:
                rates.ours.append(calls * 1000 / seconds)
                cpu = meter.per(calls * 1000)
            seconds = await drive(selects, keys)
            if repeat:
                rates.raw.append(calls * 1000 / seconds)
    for connection in raw:
        await connection.close()
    label = f"resolve 1,000 LFNs x 2 replicas, {wide:,} directories a call, {connections} connection{'s'[: connections - 1]}"
    return rate(label, "LFN/s", *rates.best(), target, cpu)


def _wanted(world: World, wide: int, rng: random.Random) -> list[tuple[int, int]]:
    """(directory, file) of 1,000 files in random order, spread over `wide` directories."""
    chosen = rng.sample(range(world.directories), wide)
    each = 1000 // wide
    wanted = [(d, i) for d in chosen for i in rng.sample(range(PER_DIRECTORY), each)]
    rng.shuffle(wanted)
    return wanted
