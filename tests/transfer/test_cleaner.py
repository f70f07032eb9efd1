"""What the cleaner takes away, and what it must not."""

from __future__ import annotations

import os

from tests.transfer.conftest import Store

BODY = os.urandom(100_000)


async def _execute(store: Store, statement: str, *values: object) -> None:
    async with store.server.services.database.read() as connection:
        await connection.execute(statement, *values)


async def test_an_upload_that_was_killed_is_cleaned_after_its_lease(store: Store) -> None:
    """What a server killed between the last byte and the registration leaves: an object, and an upload's row."""
    from lading.model.api import NewUpload
    from lading.model.principal import SYSTEM

    uploads = store.server.services.data._uploads
    ticket = await uploads.begin(SYSTEM, NewUpload("/vo/a", len(BODY), se="one"))
    storage = await store.server.services.elements.storage(ticket.element)

    async def chunks():  # type: ignore[no-untyped-def]  # a one-line stream
        yield BODY

    await storage.write(ticket.pfn, chunks())
    await store.clean()
    assert len(store.objects("one")) == 1  # its lease is running: somebody may be about to register it
    await _execute(store, "update upload set expires = 0")
    await store.clean()
    assert store.objects("one") == []
    assert await store.uploads() == 0
    assert (await store.put("/vo/a", BODY))[0] == 201


async def test_an_upload_that_was_registered_after_all_keeps_its_object(store: Store) -> None:
    await store.put("/vo/a", BODY)
    row = "insert into upload select gen_random_uuid(), '/vo/a', e.id, $1, f.guid, 1, '{}', 0, 0 from file f, element e where f.name = 'a' and e.name = 'one'"
    pfn = str(store.objects("one")[0].relative_to(store.folder / "one"))
    await _execute(store, row, pfn)
    await store.clean()
    assert await store.uploads() == 0
    assert (await store.get("/vo/a"))[1] == BODY


async def test_an_element_that_is_away_keeps_its_deletions(store: Store) -> None:
    await store.put("/vo/a", BODY)
    await store.server.call("POST", "/v1/remove", {"lfns": ["/vo/a"], "keep": 0})
    (store.folder / "one").rename(store.folder / "unplugged")
    await store.clean()
    (store.folder / "unplugged").rename(store.folder / "one")
    assert len(store.objects("one")) == 1
    await _execute(store, "update deletion set not_before = 0")
    await store.clean()
    assert store.objects("one") == []


async def test_the_trash_keeps_until_it_expires(store: Store) -> None:
    await store.put("/vo/d/a", BODY)
    await store.put("/vo/d/sub/b", BODY + b"b")
    _, answer = await store.server.call("POST", "/v1/remove", {"lfns": ["/vo/d"], "recursive": True})
    await store.clean()
    assert len(store.objects("one")) == 2
    _, answer = await store.server.call("POST", "/v1/trash/purge", {"ids": [answer["outcomes"][0]["value"]["id"]]})
    assert "failed" not in answer
    await store.clean()
    assert store.objects("one") == []
    async with store.server.services.database.read() as connection:
        assert await connection.fetchval("select count(*) from file where kind = 0") == 0
        assert await connection.fetchval("select coalesce(sum(nfiles), 0) from dir_usage") == 0
