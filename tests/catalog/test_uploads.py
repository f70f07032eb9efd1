"""Bytes that may not touch other files' bytes: given GUIDs, places, races; and uploads by clients that write themselves."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from lading.model.api import Complete, NewUpload
from lading.model.element import Layout
from lading.model.errors import CatalogError, Conflict, InvalidRequest, NotFound
from lading.model.replica import ReplicaRef, ReplicaState

from .test_elements import bytes_of, get, put
from .world import World, file


@pytest.mark.parametrize("layout", [Layout.HASH, Layout.IDENTITY])
async def test_a_given_guid_of_another_file_touches_none_of_its_bytes(world: World, layout: Layout) -> None:
    """The place of the bytes may be made of the GUID: whoever gives another file's would write over it."""
    (mallory,) = await world.people(mallory=[])
    await world.elements("one", layout=layout)
    await world.mkdir(world.admin, "/vo", mode=0o755)
    await world.mkdir(world.admin, "/vo/open", mode=0o777)
    assert await put(world, "/vo/f", "one") == "ok"
    guid = (await world.stat(world.admin, "/vo/f")).guid
    with pytest.raises(Conflict, match="belongs to"):
        await world.services.data.put(mallory, NewUpload("/vo/open/x", 4, se="one", guid=guid), bytes_of(b"evil"))
    await world.remove(world.admin, "/vo/f")
    with pytest.raises(Conflict, match="trash"):
        await world.services.data.put(mallory, NewUpload("/vo/open/x", 4, se="one", guid=guid), bytes_of(b"evil"))
    await world.restore(world.admin, "/vo/f")
    assert await get(world, "/vo/f") == b"0123456789"
    assert await world.sql("select 1 from upload") == []


@pytest.mark.parametrize("layout", [Layout.HASH, Layout.IDENTITY])
@pytest.mark.parametrize("guid", [None, "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"])
async def test_of_puts_racing_for_one_name_one_wins_whole(world: World, layout: Layout, guid: str | None) -> None:
    await world.elements("one", layout=layout)
    bodies = [bytes([n]) * 50_000 for n in range(6)]
    for turn in range(4):
        lfn = f"/vo/{turn}"
        chosen = guid and f"{guid[:-1]}{turn}"
        found = await asyncio.gather(*(put(world, lfn, "one", body, guid=chosen) for body in bodies))
        assert found.count("ok") == 1, found
        assert set(found) <= {"ok", "conflict"}
        assert await get(world, lfn) == bodies[found.index("ok")]
    await world.clean()
    assert len(world.objects("one")) == 4, "nothing of the losers is left"
    assert await world.sql("select 1 from upload") == []


@pytest.mark.parametrize("layout", [Layout.HASH, Layout.IDENTITY])
async def test_second_copies_racing_for_one_element(world: World, layout: Layout) -> None:
    await world.elements("one")
    await world.elements("two", layout=layout)
    body = os.urandom(100_000)
    assert await put(world, "/vo/f", "one", body) == "ok"
    bodies = [body, body, bytes(100_000), body, b"short"]
    found = await asyncio.gather(*(put(world, "/vo/f", "two", b) for b in bodies))
    assert found == ["ok", "ok", "conflict", "ok", "conflict"]
    await world.clean()
    assert len(world.objects("two")) == 1
    await world.drop(world.admin, ReplicaRef("/vo/f", "one"))
    assert await get(world, "/vo/f") == body
    assert (await world.usage("/vo"))[2] == {"two": (1, 100_000)}


async def test_racing_to_mend_a_copy_bad_bytes_never_replace_good_ones(world: World) -> None:
    await world.elements("one")
    body = os.urandom(100_000)
    await put(world, "/vo/f", "one", body)
    await world.set_state(world.admin, ReplicaRef("/vo/f", "one", state=ReplicaState.SUSPECT))
    found = await asyncio.gather(*(put(world, "/vo/f", "one", b) for b in (bytes(100_000), body, bytes(100_000))))
    assert found == ["conflict", "ok", "conflict"]
    assert await get(world, "/vo/f") == body
    assert (await world.resolve(world.admin, "/vo/f")).why is None


async def test_the_loser_with_the_same_bytes_is_told_of_the_file_there_is(world: World) -> None:
    await world.elements("one")
    body = os.urandom(10_000)
    puts = [
        world.services.data.put(world.admin, NewUpload("/vo/f", len(body), se="one"), bytes_of(body)) for _ in range(5)
    ]
    told = {registered.guid for registered, *_ in await asyncio.gather(*puts)}
    assert told == {(await world.stat(world.admin, "/vo/f")).guid}
    assert len(world.objects("one")) == 1


# ── uploads by clients ───────────────────────────────────────────────────────────────────────────────────────────────────


def write(url: str | None, data: bytes) -> None:
    assert url is not None
    Path(unquote(url.removeprefix("file://"))).write_bytes(data)


async def test_a_client_writes_and_the_server_shows_what_it_verified(world: World) -> None:
    await world.elements("one")
    direct = world.services.direct
    ticket = await direct.begin(
        world.admin, NewUpload("/vo/f", 10, {"MD5": "781e5e245d69b566979b86e28d23f2c7".upper()}, "one")
    )
    write(ticket.url, b"0123456789")
    assert await world.looks(world.admin, "/vo/f") == ["not_found"]
    made = await direct.complete(world.admin, ticket.id, Complete({"crc32": "a684c7c6"}))
    entry = await world.stat(world.admin, "/vo/f")
    assert (entry.guid, entry.size) == (made.guid, 10)
    assert entry.checksums == {"md5": "781e5e245d69b566979b86e28d23f2c7", "crc32": "a684c7c6"}
    assert await get(world, "/vo/f") == b"0123456789"
    with pytest.raises(Conflict):
        await direct.begin(world.admin, NewUpload("/vo/f", 10, se="one"))


async def test_other_bytes_than_promised_are_not_shown(world: World) -> None:
    await world.elements("one", "two")
    direct = world.services.direct
    await put(world, "/vo/known", "one")
    for spec, data in (
        (NewUpload("/vo/f", 10, {"adler32": "00000001"}, "one"), b"0123456789"),
        (NewUpload("/vo/f", 10, se="one"), b"012345678"),
        (NewUpload("/vo/known", 10, {"md5": "e" * 32}, "two"), b"0123456789"),
        (NewUpload("/vo/known", 10, se="two"), b"9876543210"),
    ):
        ticket = await direct.begin(world.admin, spec)
        write(ticket.url, data)
        with pytest.raises(InvalidRequest):
            await direct.complete(world.admin, ticket.id, Complete())
        await direct.abort(world.admin, ticket.id)
    assert world.objects("two") == []
    assert await world.ls(world.admin, "/vo") == ["known"]
    assert await world.sql("select 1 from upload") == []


async def test_a_client_mends_a_suspect_copy_and_giving_up_leaves_it(world: World) -> None:
    await world.elements("one", layout=Layout.IDENTITY)
    direct = world.services.direct
    await put(world, "/vo/f", "one")
    suspect = ReplicaRef("/vo/f", "one", state=ReplicaState.SUSPECT)
    await world.set_state(world.admin, suspect)
    ticket = await direct.begin(world.admin, NewUpload("/vo/f", 10, se="one"))
    await direct.abort(world.admin, ticket.id)
    assert world.objects("one") == ["vo/f"], "suspect bytes may be all there is"
    ticket = await direct.begin(world.admin, NewUpload("/vo/f", 10, se="one"))
    write(ticket.url, b"0123456789")
    await direct.complete(world.admin, ticket.id, Complete())
    assert (await world.resolve(world.admin, "/vo/f")).sources[0].state is ReplicaState.AVAILABLE
    assert world.objects("one") == ["vo/f"]


async def test_an_upload_is_its_users(world: World) -> None:
    (bob,) = await world.people(bob=[])
    await world.elements("one")
    direct = world.services.direct
    ticket = await direct.begin(world.admin, NewUpload("/vo/f", 10, se="one"))
    for call in (
        direct.complete(bob, ticket.id, Complete()),
        direct.abort(bob, ticket.id),
        direct.abort(world.admin, "0" * 32),
    ):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(InvalidRequest):
        await direct.abort(world.admin, "nonsense")
    with pytest.raises(InvalidRequest, match="nothing was written"):
        await direct.complete(world.admin, ticket.id, Complete())
    with pytest.raises(CatalogError):
        await direct.begin(bob, NewUpload("/vo/x", 10, se="one"))
    await direct.abort(world.admin, ticket.id)
    with pytest.raises(NotFound):
        await direct.complete(world.admin, ticket.id, Complete())


async def test_a_file_that_moved_away_meanwhile(world: World) -> None:
    """The copy was for a file of that name; another stands there when the bytes have come."""
    await world.elements("one", "two")
    await put(world, "/vo/f", "one")
    ticket = await world.services.direct.begin(world.admin, NewUpload("/vo/f", 10, se="two"))
    write(ticket.url, b"0123456789")
    await world.move(world.admin, ("/vo/f", "/vo/g"))
    await world.register(world.admin, file("/vo/f", 99))
    with pytest.raises(Conflict):
        await world.services.direct.complete(world.admin, ticket.id, Complete())
    assert world.objects("two") == []
    assert (await world.stat(world.admin, "/vo/g")).replicas == 1
