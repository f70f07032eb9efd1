"""One LFN a call from 16 connections, against the bare handler; and what a second process adds, to either."""

from __future__ import annotations

import asyncio
import random
import sys

from lading.model.api import Resolve

from .client import blast, requests
from .host import ROOT, answers, end, free_port, serve
from .report import Figure, rate
from .timing import REPEATS, Cpu, Pair
from .world import PER_DIRECTORY, World, directory, name

CONNECTIONS = 16
CALLS = 12_000


async def measure(world: World) -> list[Figure]:
    bare = [await _bare(world, n) for n in (1, 2)]
    two = await serve(world.host, 2)
    try:
        return await _measure(world, [world.host.url, two[0]], [bare[0][0], bare[1][0]], [p.pid for p in two[1]])
    finally:
        for _, processes in (*bare, two):
            await end(processes)


async def _measure(world: World, ours: list[str], bare: list[str], second: list[int]) -> list[Figure]:
    rng = random.Random(16)
    pairs, cpus = [Pair(), Pair()], ["", ""]
    for repeat in range(REPEATS + 1):
        calls = CALLS if repeat else 1000
        for n in range(2):
            servers = second if n else world.host.servers
            bodies = [Resolve([_lfn(world, rng)]) for _ in range(calls)]
            meter = Cpu(server=servers, postgres=world.host.postgres)
            seconds = await blast(
                ours[n], CONNECTIONS, requests(ours[n], "/v1/replicas/resolve", world.token, bodies), b'"sources":[{'
            )
            if repeat:
                pairs[n].ours.append(calls / seconds)
                cpus[n] = meter.per(calls)
            seconds = await blast(bare[n], CONNECTIONS, requests(bare[n], "/point", "", bodies), b'"size":')
            if repeat:
                pairs[n].raw.append(calls / seconds)
    one, two = (p.best() for p in pairs)
    return [
        rate("resolve one LFN a call, 16 connections, 1 process", "calls/s", *one, 0.4, cpus[0]),
        rate("resolve one LFN a call, 16 connections, 2 processes", "calls/s", *two, None, cpus[1]),
        Figure(
            "2 processes over 1 (raw: of the bare handler)", "x", two[0] / one[0], two[1] / one[1], two[0] / one[0], 1.6
        ),
    ]


def _lfn(world: World, rng: random.Random) -> str:
    d = rng.randrange(world.directories)
    return f"{directory(d)}/{name(d, rng.randrange(PER_DIRECTORY))}"


async def _bare(world: World, count: int) -> tuple[str, list[asyncio.subprocess.Process]]:
    port = free_port()
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.point_handler", world.host.dsn, str(port), cwd=ROOT
        )
        for _ in range(count)
    ]
    url = f"http://127.0.0.1:{port}"
    await answers(url + "/")
    await asyncio.sleep(1)
    return url, processes
