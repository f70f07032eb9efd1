"""Any element against the memory element: Hypothesis makes up sequences of calls, and both must answer the same."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from .base import NONE
from .chunks import chunked
from .errors import StorageError
from .memory import MemoryElement, MemoryOptions
from .powers import Renames, ServerCopies, supports

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from .base import Element

_NAMES = st.sampled_from(("a", "b c", "d/e", "d/f", "d/g/h", "ü/%", "i/" + "j" * 200))  # none is another's folder
_PREFIXES = st.sampled_from(("", "d", "d/", "d/g", "ü/", "i/j", "x"))
_DATA = st.one_of(st.binary(max_size=40), st.integers(0, 70_000).map(bytes))
_PLACES = st.integers(0, 100)
# A source that is missing and a target that is taken: which of the two is told is open.
_EITHER = {("object_not_found", "object_exists"), ("object_exists", "object_not_found")}
_counter = itertools.count()


async def compare_with_memory(
    element: Element, *, examples: int = 20, steps: int = 25, spelling: Mapping[str, str] = NONE
) -> None:
    """Raises what the two differ in, with the shortest sequence of calls that shows it. `spelling`: other characters
    for those that the storage rules out."""
    spelt = str.maketrans(dict(spelling))
    loop = asyncio.get_running_loop()

    def machine() -> Any:
        return Comparison(element, spelt, lambda call: asyncio.run_coroutine_threadsafe(call, loop).result(60))

    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(cast("Any", run_state_machine_as_test), machine, settings=limits)


class Comparison(RuleBasedStateMachine):
    def __init__(self, element: Element, spelt: dict[int, str], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__()
        number = next(_counter)
        self.pair = (element, MemoryElement(MemoryOptions(store=f"comparison-{number}")))
        self.run = run
        self.spelt = spelt
        self.here = f"comparison-{number}/"
        self.used: set[str] = set()

    def at(self, name: str) -> str:
        return self.here + name.translate(self.spelt)

    def both(self, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        real, model = (self.run(_outcome(call(element))) for element in self.pair)
        assert real == model or (str(real), str(model)) in _EITHER

    @rule(name=_NAMES, data=_DATA, overwrite=st.booleans())
    def write(self, name: str, data: bytes, overwrite: bool) -> None:
        pfn = self.at(name)
        self.used.add(pfn)

        async def call(element: Element) -> int:
            return (await element.write(pfn, chunked(data), overwrite=overwrite)).size

        self.both(call)

    @rule(name=_NAMES)
    def remove(self, name: str) -> None:
        self.both(lambda element: element.remove(self.at(name)))

    @rule(name=_NAMES)
    def stat(self, name: str) -> None:
        async def call(element: Element) -> int:
            return (await element.stat(self.at(name))).size

        self.both(call)

    @rule(name=_NAMES, start=_PLACES, length=st.none() | _PLACES)
    def read(self, name: str, start: int, length: int | None) -> None:
        stop = None if length is None else start + length

        async def call(element: Element) -> bytes:
            async with aclosing(element.read(self.at(name), start, stop)) as chunks:
                return b"".join([bytes(chunk) async for chunk in chunks])

        self.both(call)

    @rule(prefix=_PREFIXES)
    def scan(self, prefix: str) -> None:
        async def call(element: Element) -> list[tuple[str, int]]:
            async with aclosing(element.scan(self.at(prefix))) as entries:
                return sorted([(entry.pfn, entry.size) async for entry in entries])

        self.both(call)

    @rule(old=_NAMES, new=_NAMES, overwrite=st.booleans())
    def rename(self, old: str, new: str, overwrite: bool) -> None:
        if supports(self.pair[0], Renames):
            self.used.add(self.at(new))
            self.both(lambda e: e.rename(self.at(old), self.at(new), overwrite=overwrite))

    @rule(old=_NAMES, new=_NAMES, overwrite=st.booleans())
    def copy(self, old: str, new: str, overwrite: bool) -> None:
        if supports(self.pair[0], ServerCopies) and old != new:
            self.used.add(self.at(new))

            async def call(element: Any) -> int:
                info = await element.copy_from(element, self.at(old), self.at(new), overwrite=overwrite)
                return int(info.size)

            self.both(call)

    def teardown(self) -> None:
        for pfn in self.used:
            self.run(_outcome(self.pair[0].remove(pfn)))


async def _outcome(call: Coroutine[Any, Any, Any]) -> Any:
    """The result, or what kind of error: messages are each element's own."""
    try:
        return await call
    except StorageError as error:
        return error.code
