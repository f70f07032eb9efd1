"""Wrappers: what each adds, and that nothing of the element is lost inside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from typing import Any

import pytest

from storage_plugins.base import NONE, Chunk, Element, ObjectInfo, ScanEntry, unwrapped
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import Denied, ObjectExists, ObjectNotFound, Transient
from storage_plugins.memory import MemoryElement, MemoryOptions
from storage_plugins.paced import Paced
from storage_plugins.powers import (
    POWERS,
    KeepsStaging,
    Part,
    Renames,
    ServerCopies,
    Stages,
    WritesParts,
    powers,
    supports,
)
from storage_plugins.retried import Retried
from storage_plugins.testing_tools import get, names, put
from storage_plugins.timed import Timed
from storage_plugins.wrappers import Limited, Observation, Observed, ReadOnly, wrap

_stores = iter(range(10**6))


class Shaky(MemoryElement):
    """Fails or hangs as told: `faults` are raised one by one, before (or `late`: after) the operation is done."""

    min_part_size = 5
    max_parts = 7

    def __init__(self, *faults: Exception, late: bool = False, hang: str = "") -> None:
        super().__init__(MemoryOptions(store=f"shaky-{next(_stores)}"), name="shaky")
        self.faults = list(faults)
        self.late = late
        self.hang = hang
        self.calls: list[str] = []
        self.busy = 0
        self.most = 0

    async def _pass(self, operation: str, *, after: bool = False) -> None:
        if after == self.late and self.faults:
            raise self.faults.pop(0)
        if not after:
            self.calls.append(operation)
            if self.hang == operation:
                await asyncio.Event().wait()

    async def stat(self, pfn: str) -> ObjectInfo:
        await self._pass("stat")
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        return await super().stat(pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        self.calls.append(f"read {start}")
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            async for chunk in super().read(pfn, start, stop):
                await asyncio.sleep(0)
                if self.faults:
                    yield memoryview(chunk)[:1000]
                    raise self.faults.pop(0)
                if self.hang == "read":
                    await asyncio.Event().wait()
                yield chunk
        finally:
            self.busy -= 1

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        await self._pass("write")
        return await super().write(pfn, chunks, size=size, overwrite=overwrite, checksums=checksums)

    async def remove(self, pfn: str) -> None:
        await self._pass("remove")
        await super().remove(pfn)
        await self._pass("remove", after=True)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        self.calls.append("scan")
        if self.faults and not self.late:
            raise self.faults.pop(0)
        async for entry in super().scan(prefix):
            yield entry
            if self.late and self.faults:
                raise self.faults.pop(0)

    # powers the memory element has not
    async def start_parts(self, pfn: str, *, part_size: int, size: int | None = None) -> str:
        return f"{pfn}:{size}"

    async def write_part(self, pfn: str, upload: str, number: int, chunks: AsyncIterable[Chunk], *, size: int) -> Part:
        await self._pass("write_part")
        return Part(number, size)

    async def parts(self, pfn: str, upload: str) -> list[Part]:
        return []

    async def finish_parts(self, pfn: str, upload: str, parts: Any, **options: Any) -> ObjectInfo:
        return ObjectInfo(1)

    async def abort_parts(self, pfn: str, upload: str) -> None: ...

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        yield ScanEntry("left over", 1)

    async def clean_staging(self, older_than_us: int) -> int:
        return older_than_us


async def shaky(**objects: bytes) -> Shaky:
    element = Shaky()
    for name, data in objects.items():
        await put(element, name, data)
    element.calls.clear()
    return element


def everything(element: Element) -> Element:
    return wrap(
        element, attempts=3, max_concurrent=2, max_rate=1 << 40, timeout=10, observe=lambda _: None, read_only=True
    )


# ── nothing is lost ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_powers_facts_and_name_come_through() -> None:
    inner = Shaky()
    inner.disabled_powers = frozenset({"Renames"})
    outer = everything(inner)
    assert powers(outer) == powers(inner) != []
    assert {p for p in POWERS if isinstance(outer, POWERS[p])} == {p for p in POWERS if isinstance(inner, POWERS[p])}
    assert not supports(outer, Stages)
    assert isinstance(outer, Renames)
    assert not supports(outer, Renames), "switched off inside is switched off outside"
    for fact in ("type", "name", "atomic_replace", "sorted_scan", "told_checksums", "max_connections", "url_base"):
        assert getattr(outer, fact) == getattr(inner, fact)
    assert unwrapped(outer) is inner
    assert supports(outer, WritesParts)
    assert (outer.min_part_size, outer.max_parts) == (5, 7)
    assert await outer.parts("x", "u") == []
    assert supports(outer, KeepsStaging)
    assert [entry.pfn async for entry in outer.scan_staging()] == ["left over"]
    assert type(outer).__name__ == "ReadOnly"
    assert not supports(wrap(MemoryElement(MemoryOptions()), attempts=2), WritesParts)


async def test_arguments_come_through() -> None:
    outer = wrap(await shaky(x=b"12345"), attempts=3, max_concurrent=1, timeout=10, observe=lambda _: None)
    assert supports(outer, WritesParts)
    assert await outer.start_parts("pfn", part_size=5, size=7) == "pfn:7"
    assert supports(outer, ServerCopies)
    assert (await outer.copy_from(outer, "x", "y")).size == 5
    with pytest.raises(ObjectExists):
        await outer.copy_from(outer, "x", "y", overwrite=False)
    assert await get(outer, "x", 1, 3) == b"23"
    assert await names(outer, "y") == ["y"]


# ── retry ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_transient_faults_are_tried_again() -> None:
    inner = await shaky(x=b"x")
    outer = Retried(inner, 3, first_wait=0.001)
    inner.faults = [Transient("one"), Transient("two", retry_after=0.001)]
    assert (await outer.stat("x")).size == 1
    inner.faults = [Transient(str(n)) for n in range(5)]
    with pytest.raises(Transient, match="2"):
        await outer.stat("x")
    inner.faults = [Denied("no"), Denied("never")]
    with pytest.raises(Denied):
        await outer.stat("x")
    assert len(inner.faults) == 1, "what is permanent is not tried again"


async def test_a_read_goes_on_where_it_broke_off() -> None:
    data = bytes(range(256)) * 20_000
    inner = await shaky(x=data)
    inner.faults = [Transient("one"), Transient("two"), Transient("three")]
    assert await get(Retried(inner, 2, first_wait=0.001), "x", 10, len(data) - 10) == data[10:-10]
    assert inner.calls == ["read 10", "read 1010", "read 2010", "read 3010"]
    inner.faults = [Denied("x")]
    with pytest.raises(Denied):
        await get(Retried(inner, 2, first_wait=0.001), "x")


async def test_a_remove_whose_answer_was_lost_succeeds() -> None:
    inner = await shaky(x=b"x")
    inner.late = True
    inner.faults = [Transient("the answer is lost")]
    outer = Retried(inner, 3, first_wait=0.001)
    await outer.remove("x")
    with pytest.raises(ObjectNotFound):
        await outer.remove("x")


async def test_a_scan_begins_again_only_if_nothing_came() -> None:
    inner = await shaky(a=b"a", b=b"b")
    outer = Retried(inner, 3, first_wait=0.001)
    inner.faults = [Transient("one")]
    assert await names(outer, "") == ["a", "b"]
    inner.late, inner.faults = True, [Transient("half way")]
    inner.calls.clear()
    with pytest.raises(Transient, match="half way"):
        await names(outer, "")
    assert inner.calls == ["scan"]


async def test_a_write_is_never_repeated() -> None:
    inner = Shaky(Transient("one"))
    with pytest.raises(Transient):
        await put(Retried(inner, 5, first_wait=0.001), "x", b"x")
    assert inner.faults == []
    assert await names(inner, "") == []


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_so_many_at_once_and_no_more() -> None:
    inner = await shaky(x=bytes(BATCH * 2))
    outer = Limited(inner, 3)
    await asyncio.gather(*(outer.stat("x") for _ in range(20)))
    assert inner.most == 3
    inner.most = 0
    await asyncio.gather(*(get(outer, "x") for _ in range(20)))
    assert inner.most == 3


async def test_copies_inside_one_limited_element_do_not_wait_for_each_other() -> None:
    outer = Limited(await shaky(x=bytes(3 * BATCH)), 1)
    copies = (outer.write(f"y{n}", outer.read("x")) for n in range(5))
    await asyncio.wait_for(asyncio.gather(*copies), 30)
    assert len(await names(outer, "y")) == 5


# ── timeouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hang", ["stat", "read", "write", "remove"])
async def test_a_hanging_element_is_transient(hang: str) -> None:
    inner = await shaky(x=b"x")
    inner.hang = hang
    outer = Timed(inner, 0.05)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "stat": lambda: outer.stat("x"),
        "read": lambda: get(outer, "x"),
        "write": lambda: put(outer, "y", b"y"),
        "remove": lambda: outer.remove("x"),
    }
    with pytest.raises(Transient, match=r"no answer within 0\.05 s"):
        await calls[hang]()
    report = await outer.probe()
    assert not report.ok
    assert "no answer" in (report.error or "")


async def test_a_slow_source_is_not_the_element_s_fault() -> None:
    async def slow() -> AsyncGenerator[Chunk, None]:
        yield b"1"
        await asyncio.sleep(0.3)
        yield b"2"

    outer = Timed(await shaky(), 0.1)
    assert (await outer.write("x", slow())).size == 2


async def test_the_caller_s_own_timeout_stays_his() -> None:
    async def failing() -> AsyncGenerator[Chunk, None]:
        yield b"1"
        raise TimeoutError("the source's")

    with pytest.raises(TimeoutError):
        await Timed(await shaky(), 10).write("x", failing())
    inner = await shaky(x=b"x")
    inner.hang = "stat"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Timed(inner, 10).stat("x")


# ── read-only, metrics ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_read_only() -> None:
    inner = await shaky(x=b"x")
    outer = ReadOnly(inner)
    assert await get(outer, "x") == b"x"
    assert supports(outer, Renames)
    assert supports(outer, ServerCopies)
    assert supports(outer, WritesParts)
    assert supports(outer, KeepsStaging)
    for call in (
        put(outer, "y", b"y"),
        outer.remove("x"),
        outer.rename("x", "y"),
        outer.copy_from(outer, "x", "y"),
        outer.start_parts("y", part_size=5),
        outer.clean_staging(0),
    ):
        with pytest.raises(Denied):
            await call
    assert await names(inner, "") == ["x"]
    report = await outer.probe(prepare=True)
    assert (report.ok, report.write) == (True, False)
    assert inner.calls == ["read 0", "scan", "stat"]


async def test_every_operation_is_told() -> None:
    told: list[Observation] = []
    inner = Shaky()
    outer = Observed(inner, told.append)
    await put(outer, "x", bytes(1000))
    assert await get(outer, "x", 10, 20) == bytes(10)
    with pytest.raises(ObjectNotFound):
        await outer.stat("none")
    with pytest.raises(ZeroDivisionError):
        await outer.write("y", _dividing())
    await outer.remove("x")
    assert [(o.operation, o.size, o.error) for o in told] == [
        ("write", 1000, None),
        ("read", 10, None),
        ("stat", 0, "object_not_found"),
        ("write", 0, "ZeroDivisionError"),
        ("remove", 0, None),
    ]
    assert all(o.element == "shaky" and o.seconds >= 0 for o in told)


async def _dividing() -> AsyncGenerator[Chunk, None]:
    yield b"x"
    raise ZeroDivisionError


async def test_copies_in_and_out_of_wrappers() -> None:
    """A server-side copy sees through the wrappers of its source."""
    source, target = everything(await shaky(x=b"x")), wrap(await shaky(), timeout=5)
    assert supports(target, ServerCopies)
    assert (await target.copy_from(source, "x", "y")).size == 1
    assert (await target.write("z", chunked(b"zz"))).size == 2


async def test_a_pace_is_kept_by_reads_and_writes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only their waiting moves: who waits together waits for the sum."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.get_running_loop().run_in_executor(None, bool)

    monkeypatch.setattr("storage_plugins.paced.asyncio.sleep", sleep)
    element = Paced(await shaky(x=bytes(3000)), 1)
    assert await get(element, "x") == bytes(3000)
    assert waited[-1] <= 0, "the first waits for nobody"
    await put(element, "y", bytes(500))
    assert 2990 < waited[-1] <= 3000
    await put(element, "z", bytes(10))
    assert 3490 < waited[-1] <= 3500
    assert await names(element, "") == ["x", "y", "z"]


async def test_a_pace_leaves_no_stream_open() -> None:
    inner = await shaky(x=bytes(3 * BATCH))
    element = Paced(inner, 1 << 40)
    stream = element.read("x")
    await anext(stream)
    await stream.aclose()
    assert inner.busy == 0
