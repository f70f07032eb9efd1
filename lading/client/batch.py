"""Bulk: many items in calls of a bounded size, several calls at a time, outcomes in the order of the items."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..model.errors import CatalogError
from ..model.lfn import shown
from ..model.outcome import Outcome, Outcomes
from .http import Unsendable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator

    from .http import Http

T = TypeVar("T")
V = TypeVar("V")

BATCH = 1000  # items a call: the server's work on them is tens of milliseconds, so many clients share it well
WIDTH = 4


async def pipelined(
    batches: Iterable[list[T]], call: Callable[[list[T]], Coroutine[Any, Any, V]], width: int = WIDTH
) -> AsyncIterator[tuple[list[T], V | CatalogError]]:
    """(batch, what `call` made of it or the CatalogError it raised), in order; `width` calls are under way at a time.

    The batches are taken in a thread, as needed: they may come from a slow pipe and be endless.
    """
    source, under_way = iter(batches), deque[tuple[list[T], asyncio.Task[V]]]()
    try:
        more = True
        while more or under_way:
            while more and len(under_way) < width:
                batch = await asyncio.to_thread(next, source, None)
                more = batch is not None
                if batch is not None:
                    under_way.append((batch, asyncio.create_task(call(batch))))
            if under_way:
                batch, task = under_way.popleft()
                try:
                    yield batch, await task
                except CatalogError as error:
                    yield batch, error
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


async def bulk(
    http: Http,
    path: str,
    items: Iterable[T],
    wrap: Callable[[list[T]], msgspec.Struct],
    answer: type[Outcomes[V]],
    *,
    once: bool = True,
    size: int = BATCH,
    width: int = WIDTH,
    wait: float | None = None,
) -> list[Outcome[V]]:
    """An outcome per item. `once` marks a mutation; `width` 1 keeps the batches strictly one after the other.

    When a call of several is refused as a whole (server away, token expired) no more are sent, and its items and those
    not sent carry the error as their outcome: what was done stays known. When nothing was done, the error is raised.
    """

    async def call(batch: list[T]) -> list[Outcome[V]]:
        try:
            found = await http.call("POST", path, answer, body=wrap(batch), once=once, wait=wait)
        except Unsendable as error:
            return await around(batch, error)
        if len(found.outcomes) != len(batch):
            raise CatalogError(f"{path}: {len(found.outcomes)} outcomes for {len(batch)} items: is a proxy in between?")
        return found.outcomes

    async def around(batch: list[T], error: Unsendable) -> list[Outcome[V]]:
        """The outcomes of a batch in which some items can't even be sent."""
        good = [item for item in batch if _sendable(item)]
        if len(good) == len(batch):
            raise error
        done = iter(await call(good) if good else [])
        return [next(done) if _sendable(item) else Outcome(shown(_name(item)), error=error.fault()) for item in batch]

    everything = list(items)
    if len(everything) <= size:
        return await call(everything) if everything else []
    outcomes: list[Outcome[V]] = []
    stops: list[CatalogError] = []
    done = 0

    def unless_stopped() -> Iterator[list[T]]:
        for batch in cut(everything, size):
            if stops:
                return
            yield batch

    async for batch, result in pipelined(unless_stopped(), call, width):
        if isinstance(result, CatalogError):
            stops.append(result)
            outcomes += [Outcome(_name(item), error=result.fault()) for item in batch]
        else:
            done += 1
            outcomes += result
    if stops:
        if not done:
            raise stops[0]
        outcomes += [Outcome(_name(item), error=stops[0].fault()) for item in everything[len(outcomes) :]]
    return outcomes


def cut(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items, in order."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def _sendable(item: Any) -> bool:
    try:
        msgspec.json.encode(item)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True


def _name(item: Any) -> str:
    for key in ("lfn", "source", "name"):
        if isinstance(getattr(item, key, None), str):
            return str(getattr(item, key))
    return str(item)
