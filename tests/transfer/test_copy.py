"""One more copy: verified, idempotent, from whichever source is good."""

from __future__ import annotations

import os

from tests.transfer.conftest import Store

BODY = os.urandom(2_000_003)


async def test_a_copy_is_there_and_good(store: Store) -> None:
    await store.put("/vo/a", BODY)
    outcome = await store.copy("/vo/a")
    assert outcome["value"]["se"] == "two"
    assert store.objects("two")[0].read_bytes() == BODY
    assert (await store.copy("/vo/a"))["changed"] is False
    assert await store.uploads() == 0


async def test_a_bad_source_gives_no_copy(store: Store) -> None:
    await store.put("/vo/a", BODY)
    path = store.objects("one")[0]
    path.chmod(0o644)
    path.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    outcome = await store.copy("/vo/a")
    assert outcome["error"]["code"] == "unavailable"
    assert "adler32" in outcome["error"]["message"]
    assert store.objects("two") == []
    assert await store.sources("/vo/a") == [("one", "available")]


async def test_what_can_not_be_copied_says_why(store: Store) -> None:
    await store.server.call("POST", "/v1/files/register", {"files": [{"lfn": "/vo/none", "size": 1}]})
    assert "no replica" in (await store.copy("/vo/none"))["error"]["message"]
    assert (await store.copy("/vo/missing"))["error"]["code"] == "not_found"
    assert (await store.copy("/vo/none", "three"))["error"]["code"] == "not_found"


async def test_a_dropped_copy_is_deleted_and_may_come_again_at_once(store: Store) -> None:
    await store.put("/vo/a", BODY)
    await store.copy("/vo/a")
    drop = {"replicas": [{"lfn": "/vo/a", "se": "two"}]}
    assert "failed" not in (await store.server.call("POST", "/v1/replicas/drop", drop))[1]
    assert (await store.copy("/vo/a"))["value"]["se"] == "two"  # before the cleaner came
    await store.clean()
    assert store.objects("two")[0].read_bytes() == BODY
    await store.server.call("POST", "/v1/replicas/drop", drop)
    await store.clean()
    assert store.objects("two") == []


async def test_the_last_good_copy_stays(store: Store) -> None:
    await store.put("/vo/a", BODY)
    drop = {"replicas": [{"lfn": "/vo/a", "se": "one"}]}
    _, answer = await store.server.call("POST", "/v1/replicas/drop", drop)
    assert answer["outcomes"][0]["error"]["code"] == "conflict"
    await store.clean()
    assert (await store.get("/vo/a"))[1] == BODY


async def test_bytes_stay_where_they_are_when_names_move(store: Store) -> None:
    await store.server.call("PATCH", "/v1/elements/one", {"layout": "identity"})
    await store.put("/vo/old/a", BODY)
    assert store.objects("one")[0] == store.folder / "one" / "vo/old/a"
    move = {"moves": [{"source": "/vo/old", "target": "/vo/new"}]}
    assert "failed" not in (await store.server.call("POST", "/v1/move", move))[1]
    assert (await store.get("/vo/new/a"))[1] == BODY
    # A new file of the old name must not touch the old file's bytes.
    other = os.urandom(1000)
    assert (await store.put("/vo/old/a", other))[0] == 201
    assert (await store.get("/vo/old/a"))[1] == other
    assert (await store.get("/vo/new/a"))[1] == BODY
