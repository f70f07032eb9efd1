"""Files on tape: asked for once, told of plainly, copied and read when they are on disk."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from storage_plugins.base import unwrapped
from storage_plugins.tape import TapeElement
from tests.transfer.conftest import Store


@pytest.fixture
async def tape(store: Store) -> TapeElement:
    options = {"store": secrets.token_hex(4), "mount_seconds": 0.2}
    elements = store.server.services.elements
    await store.server.call(
        "POST", "/v1/elements", {"name": "tape", "type": "tape", "options": options, "medium": "tape"}
    )
    await elements.load()
    found = unwrapped(await elements.storage(elements.named("tape")))
    assert isinstance(found, TapeElement)
    return found


def _holds(tape: TapeElement) -> list[int]:
    """How many hold each object on disk."""
    return [len(tape._holds(stored)) for stored in tape._objects.values()]


async def until_read(store: Store, lfn: str) -> bytes:
    async with asyncio.timeout(30):
        while (answer := await store.get(lfn))[0] != 200:
            assert answer[0] == 503
            await asyncio.sleep(0.02)
    return answer[1]


async def test_a_file_on_tape_comes_to_disk_for_all_who_ask(store: Store, tape: TapeElement) -> None:
    await store.put("/vo/a", b"bytes", se="tape")
    for pfn in tape._objects:
        tape.evict(pfn)
    answers = [await store.get("/vo/a") for _ in range(3)]
    assert [status for status, _, _ in answers] == [503] * 3
    assert b"has it on tape, and brings it to disk: try again later" in answers[0][1]
    assert _holds(tape) == [1], "asked for once"
    assert await store.sources("/vo/a") == [("tape", "available")]
    assert await until_read(store, "/vo/a") == b"bytes"


async def test_a_copy_on_disk_is_read_and_copied_from_first(store: Store, tape: TapeElement) -> None:
    await store.put("/vo/a", b"bytes", se="tape")
    assert (await store.copy("/vo/a", "one"))["value"]["se"] == "one"
    for pfn in tape._objects:
        tape.evict(pfn)
    assert (await store.get("/vo/a"))[0] == 200
    assert await store.sources("/vo/a") == [("one", "available"), ("tape", "available")]
    assert (await store.copy("/vo/a", "two"))["value"]["se"] == "two"
    assert _holds(tape) == [0], "nobody mounts a tape for what is on disk elsewhere"


async def test_a_copy_from_tape_waits_for_it(store: Store, tape: TapeElement) -> None:
    await store.put("/vo/a", b"bytes", se="tape")
    for pfn in tape._objects:
        tape.evict(pfn)
    refused = (await store.copy("/vo/a", "one"))["error"]
    assert refused["code"] == "unavailable"
    assert "on tape" in refused["message"]
    assert await store.uploads() == 0
    await until_read(store, "/vo/a")
    assert (await store.copy("/vo/a", "one"))["value"]["se"] == "one"


async def test_what_the_library_lost_becomes_suspect(store: Store, tape: TapeElement) -> None:
    await store.put("/vo/a", b"bytes", se="tape")
    for pfn in tape._objects:
        tape.lose(pfn)
    assert (await store.get("/vo/a"))[0] == 503
    assert await store.sources("/vo/a") == [("tape", "suspect")]
