"""Many things to do, a few at a time: each one's outcome as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Generic, TypeVar

from ..model.errors import CatalogError
from ..model.outcome import Outcome
from .batch import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable


from dataclasses import dataclass
from typing import Any

T = TypeVar("T")


@dataclass(slots=True)
class Job(Generic[T]):
    item: str
    do: Callable[[], Coroutine[Any, Any, T]]


async def run(jobs: AsyncIterator[Job[T]], parallel: int) -> AsyncIterator[Outcome[T]]:
    """The outcome of each job in the order in which they end; a CatalogError is an outcome, anything else ends it all.

    Jobs are taken as places become free, so their number may be endless. Leaving early cancels those under way.
    """
    running: set[asyncio.Task[Outcome[T]]] = set()
    more = True
    try:
        while more or running:
            while more and len(running) < max(1, parallel):
                job = await anext(jobs, None)
                if job is None:
                    more = False
                else:
                    running.add(asyncio.create_task(_outcome(job)))
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _outcome(job: Job[T]) -> Outcome[T]:
    try:
        value = await job.do()
    except CatalogError as error:
        return Outcome(job.item, error=error.fault())
    return Outcome(job.item, value, changed=getattr(value, "changed", True))


async def looking_ahead(items: Iterable[T] | AsyncIterable[T], size: int) -> AsyncIterator[tuple[list[T], bool]]:
    """(at most `size` items, whether they are the last ones)."""
    batches = _cut_async(items, size) if isinstance(items, AsyncIterable) else _cut(items, size)
    batch = await anext(batches, None)
    while batch:
        following = await anext(batches, None)
        yield batch, following is None
        batch = following


async def _cut(items: Iterable[T], size: int) -> AsyncIterator[list[T]]:
    batches = cut(items, size)
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


async def _cut_async(items: AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
