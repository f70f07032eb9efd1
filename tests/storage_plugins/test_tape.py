"""The simulated tape library: the conformance suite, and its states by a clock of the test's own."""

from __future__ import annotations

import secrets

import pytest

from storage_plugins.errors import Nearline, ObjectNotFound
from storage_plugins.powers import Locality, Stages, supports
from storage_plugins.tape import TapeElement, TapeOptions
from storage_plugins.testing import ElementSuite
from storage_plugins.testing_tools import get, put
from storage_plugins.testing_writes import Recipe


class TestSuite(ElementSuite):
    @pytest.fixture
    def recipe(self) -> Recipe:
        return "tape", {"store": secrets.token_hex(4)}

    @pytest.fixture
    def element(self, recipe: Recipe) -> TapeElement:
        return TapeElement(TapeOptions(**recipe[1]), name="tape")


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("storage_plugins.tape.time", self)

    def time(self) -> float:
        return self.now


@pytest.fixture
async def library(monkeypatch: pytest.MonkeyPatch) -> tuple[TapeElement, Clock]:
    """With an object `x` that was just written."""
    clock = Clock(monkeypatch)
    element = TapeElement(TapeOptions(store=secrets.token_hex(4), online_seconds=100, mount_seconds=10))
    await put(element, "x", b"bytes")
    clock.now = element._get("x").mtime_us / 1e6
    return element, clock


async def where(element: TapeElement, pfn: str = "x") -> Locality:
    return (await element.locality([pfn]))[pfn]


async def test_from_disk_to_tape_and_back(library: tuple[TapeElement, Clock]) -> None:
    element, clock = library
    assert supports(element, Stages)
    assert await where(element) is Locality.ONLINE
    clock.now += 101
    assert await where(element) is Locality.NEARLINE
    with pytest.raises(Nearline) as caught:
        await get(element, "x")
    assert caught.value.retry_after == 10
    assert (await element.stat("x")).size == 5
    assert await element.checksum("x", ["adler32"])
    request = await element.stage(["x"], keep_seconds=50)
    assert await where(element) is Locality.STAGING
    clock.now += 10
    assert await where(element) is Locality.ONLINE
    assert await get(element, "x") == b"bytes"
    await element.release(["x"], request)
    assert await where(element) is Locality.NEARLINE
    with pytest.raises(Nearline):
        await TapeElement(TapeOptions(store=secrets.token_hex(4))).copy_from(element, "x", "y")


async def test_each_who_asked_holds_it(library: tuple[TapeElement, Clock]) -> None:
    element, clock = library
    element.evict("x")
    one = await element.stage(["x"], keep_seconds=50)
    clock.now += 5
    await element.stage(["x"], keep_seconds=100)
    clock.now += 5
    assert await where(element) is Locality.ONLINE, "it was on its way when the second asked"
    await element.release(["x"], one)
    clock.now += 99
    assert await where(element) is Locality.ONLINE
    clock.now += 2
    assert await where(element) is Locality.NEARLINE


async def test_what_moves_keeps_its_state_and_what_is_new_has_none(library: tuple[TapeElement, Clock]) -> None:
    element, _ = library
    element.evict("x")
    await element.rename("x", "y")
    assert await where(element, "y") is Locality.NEARLINE
    await put(element, "x", b"other")
    assert await where(element) is Locality.STAGING or await get(element, "x") == b"other"


async def test_a_lost_tape(library: tuple[TapeElement, Clock]) -> None:
    element, _ = library
    element.lose("x")
    assert await where(element) is Locality.LOST
    with pytest.raises(ObjectNotFound):
        await get(element, "x")
    assert await element.locality(["none"]) == {}
