"""Large answers: a million matches streamed over HTTP, counts of as many, facets of a quarter of one."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec

from lading.model.search import Count, FacetAnswer, Facets, Find, Question

from ..report import Figure, limit
from ..timing import REPEATS, Cpu, memory
from ..world import World
from .queries import lines
from .turns import turns
from .world import ENERGIES

PLAIN, WITH_ACLS = (f"energy = {ENERGIES[n]}" for n in (1, 2))  # c17 is one of the four campaigns of the latter
_MIB = 1 << 20


async def stream(world: World) -> list[Figure]:
    """The third and the fourth figure are about the whole of a stream that follows another of the same size."""
    made = []
    async with world.client() as client:
        for name, query in (("", PLAIN), (", a quarter of them with ACLs", WITH_ACLS)):
            rate, first, cpu, count = 0.0, float("inf"), "", 0
            grown = float("inf")
            for repeat in range(REPEATS + 1):
                meter = Cpu(server=world.host.servers, postgres=world.host.postgres)
                watch = _Memory(world.host.servers)
                begun, count, begins = time.perf_counter(), 0, 0.0
                async for chunk in client.chunks("/v1/find", Find(query)):
                    begins = begins or time.perf_counter() - begun
                    count += len(lines.decode_lines(chunk))
                seconds = time.perf_counter() - begun
                more = await watch.end()
                if repeat:
                    rate, first, grown = max(rate, count / seconds), min(first, begins), min(grown, more / _MIB)
                    cpu = meter.per(count)
            what = f"stream {count:,} matches over HTTP{name}"
            made += [
                Figure(what, "LFN/s", rate, None, rate, 200_000, cpu=cpu),
                limit("first row of it", "ms", first * 1e3, 100),
                limit("server memory grows meanwhile by", "MB", grown, 10),
            ]
    return made


class _Memory:
    """How far the servers' resident memory rises above where it was, looked at all the time."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._begin = self._most = self._now()
        self._task = asyncio.create_task(self._watch())

    def _now(self) -> int:
        return sum(memory(p, "VmRSS") for p in self._pids)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            self._most = max(self._most, self._now())

    async def end(self) -> int:
        """Bytes."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return max(self._most, self._now()) - self._begin


async def counts(world: World) -> list[Figure]:
    made = []
    async with world.client() as client:
        for name, query, target in (("", PLAIN, 50), (", a quarter of them with ACLs", WITH_ACLS, None)):
            found = 0

            async def ours(query: str = query) -> int:
                nonlocal found
                answer = await client.call("POST", "/v1/find/count", Question(query))
                found = msgspec.json.decode(answer, type=Count).count
                return 1

            times = await turns(world, ours)
            told = f"count of a directory-only query: {found:,} files{name}"
            made.append(limit(told, "ms", times.ours * 1e3, target))
            made[-1].cpu = times.cpu
    return made


async def facets(world: World) -> list[Figure]:
    """All declared fields; then one of the files' by itself."""
    made = []
    async with world.client() as client:
        for name, fields in (("all fields", []), ("one file field", ["tag"])):
            answer = FacetAnswer(0)

            async def ours(fields: list[str] = fields) -> int:
                nonlocal answer
                raw = await client.call("POST", "/v1/find/facets", Facets('campaign = "c03"', fields=fields))
                answer = msgspec.json.decode(raw, type=FacetAnswer)
                assert not answer.left, answer.left
                return 1

            times = await turns(world, ours, row=1)
            made.append(
                limit(
                    f"facets over {answer.count:,} matching files, {name} ({len(answer.facets)})",
                    "ms",
                    times.ours * 1e3,
                    500,
                )
            )
            made[-1].cpu = times.cpu
    return made
