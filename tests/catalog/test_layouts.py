"""Where bytes go: hash, identity, prefix, or where one is told; and that names move without them."""

from __future__ import annotations

import json
import re
import time
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from catalog.elements import layout
from catalog.elements.layout import check_pfn
from lading.model.element import ElementChange, Layout
from lading.model.errors import CatalogError, InvalidRequest, Unavailable
from lading.model.file import FileSpec, ReplicaSpec
from lading.model.replica import ReplicaRef

from .test_elements import get, put
from .world import World, file

GUID = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"


async def pfn(world: World, lfn: str, se: str) -> str:
    return (await world.resolve(world.admin, lfn, None, se)).sources[0].pfn


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, f"71/60/{GUID}"),
        ({"prefix": "data/"}, f"data/71/60/{GUID}"),
        ({"layout": Layout.IDENTITY}, "vo/d/f"),
        ({"layout": Layout.PREFIX}, "vo/d/f"),
        ({"layout": Layout.PREFIX, "prefix": "grid/"}, "grid/vo/d/f"),
        ({"layout": Layout.PREFIX, "prefix": "grid/", "strip": "/vo"}, "grid/d/f"),
        ({"layout": Layout.PREFIX, "prefix": "grid/", "strip": "/vo/d"}, "grid/f"),
        ({"layout": Layout.PREFIX, "prefix": "grid/", "strip": "/v"}, "grid/vo/d/f"),
    ],
)
async def test_each_layout(world: World, options: dict[str, object], expected: str) -> None:
    await world.elements("one", **options)
    assert await put(world, "/vo/d/f", "one", guid=GUID) == "ok"
    assert world.objects("one") == [expected]
    assert await pfn(world, "/vo/d/f", "one") == expected
    await world.register(world.admin, file("/vo/d/g", 10))
    assert await world.move(world.admin, ("/vo/d", "/vo/e"), ("/vo/e/f", "/vo/h")) == ["ok", "ok"]
    assert world.objects("one") == [expected], "bytes stay where they are"
    assert await pfn(world, "/vo/h", "one") == expected
    assert await get(world, "/vo/h") == b"0123456789"
    assert await put(world, "/vo/d/f", "one", b"another file") == "ok", "its old name is free, and its old place is not"
    assert await get(world, "/vo/h") == b"0123456789"
    assert await get(world, "/vo/d/f") == b"another file"


async def test_by_date(world: World) -> None:
    """Put, copied, registered with a GUID or without one: each has a place of its own that tells the GUID."""
    await world.elements("one", "two", layout=Layout.DATE, prefix="x/")
    assert await put(world, "/vo/d/put", "one", guid=GUID) == "ok"
    again = FileSpec("/vo/d/again", 1, replicas=[ReplicaSpec("one"), ReplicaSpec("two", "elsewhere")])
    for told in ("ok", "same"):
        assert await world.register(world.admin, file("/vo/d/registered", 10, "one"), again) == [told] * 2
    copy = ReplicaRef("/vo/d/put", "two")
    assert (await world.services.changes.register(world.admin, [copy])).outcomes[0].error is None
    rows = await world.sql("select guid::text as guid, ctime, pfn from file where kind = 0")
    days = {time.strftime("%Y/%m/%d", time.gmtime(r["ctime"] / 1e6)) for r in rows}  # two at midnight
    places = [(r["guid"], pfn) for r in rows for pfn in json.loads(r["pfn"]).values() if pfn != "elsewhere"]
    assert len(places) == 4
    for guid, pfn in places:
        assert re.fullmatch(rf"x/(\d{{4}}/\d\d/\d\d)/{guid}", pfn)
        assert pfn[2:12] in days
    assert await get(world, "/vo/d/put") == b"0123456789"


def by_study(guid: str, lfn: str) -> str:
    """What a package may add; of `/vo/bad/…` it makes nothing that can be."""
    study = lfn.split("/")[2]
    if study == "broken":
        raise ValueError(study)
    return f"{study}/{guid}" if study != "bad" else "../x"


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**wanted: str) -> EntryPoints:
        points = [
            EntryPoint("by-study", f"{__name__}:by_study", layout.GROUP),
            EntryPoint("away", "nowhere:x", layout.GROUP),
        ]
        return EntryPoints(points).select(**wanted)

    monkeypatch.setattr(layout, "entry_points", found)
    monkeypatch.setattr(layout, "_RULES", {})


@pytest.mark.usefixtures("added")
async def test_a_layout_that_a_package_adds(world: World) -> None:
    await world.elements("one", "two", layout="by-study", prefix="x/")
    assert await put(world, "/vo/brain/f", "one", guid=GUID) == "ok"
    assert world.objects("one") == [f"x/brain/{GUID}"]
    assert await world.register(world.admin, file("/vo/heart/g", 10, "two")) == ["ok"]
    (row,) = await world.sql("select guid::text as guid, pfn from file where name = 'g'")
    assert list(json.loads(row["pfn"]).values()) == [f"x/heart/{row['guid']}"]
    assert await world.move(world.admin, ("/vo/brain", "/vo/b")) == ["ok"]
    assert await get(world, "/vo/b/f") == b"0123456789"
    for lfn in ("/vo/bad/f", "/vo/broken/f"):
        assert await put(world, lfn, "one") == "unavailable"
        some = file(lfn, 10, "one"), file(f"{lfn}2", 10)
        assert await world.register(world.admin, *some) == ["unavailable", "ok"]
        copy = ReplicaRef(f"{lfn}2", "one")
        error = (await world.services.changes.register(world.admin, [copy])).outcomes[0].error
        assert error is not None
        assert error.code == "unavailable"
    assert world.objects("one") == [f"x/brain/{GUID}"]


@pytest.mark.usefixtures("added")
async def test_layouts_that_are_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidRequest, match="there is no layout 'by-year': hash, identity, prefix, date, away, by-study"
    ):
        await world.elements("one", layout="by-year")
    with pytest.raises(Unavailable, match="the layout 'away' can't be loaded: ModuleNotFoundError"):
        await world.elements("two", layout="away")
    await world.elements("three", layout="by-study")
    monkeypatch.setattr(layout, "_RULES", {})
    monkeypatch.setattr(layout, "entry_points", lambda **_: EntryPoints())  # as on a host without the package
    assert await put(world, "/vo/brain/f", "three") == "unavailable"


async def test_a_layout_that_changes_moves_nothing(world: World) -> None:
    await world.elements("one", layout=Layout.IDENTITY)
    change = world.services.elements.change
    for name, other in (("a", Layout.HASH), ("b", Layout.PREFIX), ("c", Layout.IDENTITY)):
        assert await put(world, f"/vo/{name}", "one", name.encode() * 10) == "ok"
        await change(world.admin, "one", ElementChange(layout=other))
    for name in "abc":
        assert await get(world, f"/vo/{name}") == name.encode() * 10


async def test_explicit_pfns(world: World) -> None:
    await world.elements("one", layout=Layout.IDENTITY)
    (world.folder / "se/one/by hand").mkdir()
    (world.folder / "se/one/by hand/é").write_bytes(b"0123456789")
    await world.register(world.admin, FileSpec("/vo/f", 10, replicas=[ReplicaSpec("one", "by hand/é")]))
    assert await get(world, "/vo/f") == b"0123456789"
    await world.move(world.admin, ("/vo/f", "/vo/g"))
    assert await get(world, "/vo/g") == b"0123456789"
    await world.remove(world.admin, "/vo/g", keep=0)
    await world.clean()
    assert world.objects("one") == []


@pytest.mark.parametrize("text", ["a", "a/b", "srm://host:8446/path?SFN=/x", "é ü", "a..b", "...", "x" * 4096, "/abs"])
def test_these_are_pfns(text: str) -> None:
    assert check_pfn(text) == text


@pytest.mark.parametrize(
    "text", ["", "x" * 4097, "..", "../a", "a/../b", "a/..", "a\0b", "a\nb", "\x1b[0m", "\x7f", "\ud800"]
)
def test_these_are_none(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_pfn(text)
    assert caught.value.message.isprintable()


async def test_a_place_taken_by_a_stranger_is_left_alone(world: World) -> None:
    """Something nobody registered lies where the layout would put a new file."""
    await world.elements("one", layout=Layout.IDENTITY)
    (world.folder / "se/one/vo").mkdir()
    (world.folder / "se/one/vo/f").write_bytes(b"a stranger")
    assert await put(world, "/vo/f", "one") == "ok"
    assert await get(world, "/vo/f") == b"0123456789"
    assert (world.folder / "se/one/vo/f").read_bytes() == b"a stranger"
    await world.remove(world.admin, "/vo/f", keep=0)
    await world.clean()
    assert world.objects("one") == ["vo/f"]


async def test_an_upload_given_up_takes_no_object_of_another(world: World) -> None:
    """The first put was killed before its first byte; the second used the same name; then the cleaner came."""
    from lading.model.api import NewUpload

    await world.elements("one", layout=Layout.IDENTITY)
    await world.services.data._uploads.begin(world.admin, NewUpload("/vo/f", 10, se="one"))
    assert await put(world, "/vo/f", "one") == "ok"
    await world.sql("update upload set expires = 0")
    await world.clean()
    assert await world.sql("select 1 from upload") == []
    assert await get(world, "/vo/f") == b"0123456789"


async def test_a_second_copy_with_other_bytes_is_a_conflict_whatever_checksums_are_known(world: World) -> None:
    await world.elements("one", "two")
    await world.register(world.admin, file("/vo/f", 10, checksums={"sha256": "a" * 64}))
    assert await put(world, "/vo/f", "two") == "conflict"
    assert world.objects("two") == []
    assert (await world.stat(world.admin, "/vo/f")).replicas == 0
    await put(world, "/vo/g", "one")
    assert await put(world, "/vo/g", "two", b"9876543210") == "conflict"
    assert await put(world, "/vo/g", "two") == "ok"


async def test_a_put_through_a_link_into_a_directory_of_ones_own(world: World) -> None:
    """The directory of the link is not the caller's; where it leads is."""
    from lading.model.api import NewUpload

    (alice,) = await world.people(alice=["staff"])
    await world.elements("one", layout=Layout.IDENTITY)
    await world.mkdir(world.admin, "/vo/user/alice")
    await world.set(world.admin, "/vo/user/alice", owner="alice")
    await world.link(world.admin, vo__current="/vo/user/alice", vo__closed="/vo/user")
    from .test_elements import bytes_of

    await world.services.data.put(alice, NewUpload("/vo/current/new/f", 4, se="one"), bytes_of(b"data"))
    assert await world.ls(alice, "/vo/user/alice/new") == ["f"]
    assert world.objects("one") == ["vo/user/alice/new/f"]
    with pytest.raises(CatalogError) as caught:
        await world.services.data.put(alice, NewUpload("/vo/closed/f", 4, se="one"), bytes_of(b"data"))
    assert caught.value.code == "forbidden"
    assert world.objects("one") == ["vo/user/alice/new/f"]
