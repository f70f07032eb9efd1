"""The registry of storage elements."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from doors import app
from lading.model.api import NewUpload
from lading.model.element import ElementChange, ElementInfo, ElementSpec, ElementState, Layout, Medium
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from lading.model.replica import Copy, ReplicaRef
from storage_plugins import registry
from storage_plugins.options import CommonOptions, OptionInfo

from .world import World, file


async def bytes_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_everything_said_of_an_element_is_kept(world: World) -> None:
    elements = world.services.elements
    path = world.folder / "disk"
    path.mkdir()
    spec = ElementSpec(
        "CERN-disk_1.a", "posix", {"path": str(path), "fsync": False}, "CERN", "CH", Medium.TAPE, ElementState.DRAIN, True, False, False,
        Layout.PREFIX, "data/", "/vo", 7, ["a", "b"], 10**15, 32, 10**9, 90, "an element",
    )  # fmt: skip
    made = await elements.add(world.admin, spec)
    assert {f: getattr(made, f) for f in spec.__struct_fields__} == {
        f: getattr(spec, f) for f in spec.__struct_fields__
    }
    assert (made.replicas, made.bytes, made.placeholder, made.secrets) == (0, 0, False, [])
    shown = await elements.show(world.admin, made.name)
    assert "Renames" in shown.powers
    assert shown == made
    assert await elements.every_info(world.admin) == [structs.replace(made, powers=[])]


async def test_what_is_absent_stays(world: World) -> None:
    (before,) = await world.elements("one", site="LYON", cost=3)
    elements = world.services.elements
    for change, field, value in (
        (ElementChange(site="KEK"), "site", "KEK"),
        (ElementChange(country="JP"), "country", "JP"),
        (ElementChange(state=ElementState.READ_ONLY), "state", ElementState.READ_ONLY),
        (ElementChange(can_read=False), "can_read", False),
        (ElementChange(layout=Layout.IDENTITY), "layout", Layout.IDENTITY),
        (ElementChange(tags=["x"]), "tags", ["x"]),
        (ElementChange(cost=0), "cost", 0),
        (ElementChange(max_bytes=0), "max_bytes", 0),
        (ElementChange(options={"prune": False}), "options", {**before.options, "prune": False}),
        (ElementChange(options={"prune": None}), "options", before.options),
    ):
        after = await elements.change(world.admin, "one", change)
        setattr(before, field, value)
        assert after.mtime > before.mtime
        before.mtime = after.mtime
        assert after == before, change


async def test_what_is_wrong_with_a_wish(world: World) -> None:
    elements = world.services.elements
    await world.elements("one")
    good = {"path": str(world.folder)}
    for spec, word in (
        (ElementSpec("", "posix", good), "name"),
        (ElementSpec("a b", "posix", good), "name"),
        (ElementSpec("../x", "posix", good), "name"),
        (ElementSpec("x" * 64, "posix", good), "name"),
        (ElementSpec("x", "posxi", good), "did you mean 'posix'"),
        (ElementSpec("x", "posix", {}), "'path'"),
        (ElementSpec("x", "posix", {"path": "relative"}), "path"),
        (ElementSpec("x", "posix", {**good, "nonsense": 1}), "nonsense"),
        (ElementSpec("x", "posix", {**good, "threads": 0}), "threads"),
        (ElementSpec("x", "posix", good, country="France"), "ISO 3166"),
        (ElementSpec("x", "posix", good, cost=-1), "cost"),
        (ElementSpec("x", "posix", good, cost=2**31), "cost"),
        (ElementSpec("x", "posix", good, max_bytes=-1), "max_bytes"),
        (ElementSpec("x", "posix", good, prefix="../x"), "'..'"),
        (ElementSpec("x", "posix", good, strip="vo"), "absolute"),
        (ElementSpec("x", "posix", {"path": "/proc/none"}), "does not work"),
        (ElementSpec("x", "posix", good, description="a\0b"), ""),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await elements.add(world.admin, spec)
        assert word in caught.value.message, spec
        assert caught.value.message.isprintable()
    for change in (
        ElementChange(country="fr"),
        ElementChange(cost=-1),
        ElementChange(options={"path": None}),
        ElementChange(options={"x": 1}),
    ):
        with pytest.raises(InvalidRequest):
            await elements.change(world.admin, "one", change)
    with pytest.raises(Conflict):
        await elements.add(world.admin, ElementSpec("one", "memory"))
    for call in (
        elements.change(world.admin, "none", ElementChange()),
        elements.remove(world.admin, "none"),
        elements.show(world.admin, "none"),
        world.services.breaker.probe(world.admin, "none"),
    ):
        with pytest.raises(NotFound):
            await call
    assert [e.name for e in await elements.every_info(world.admin)] == ["one"]


async def test_an_element_in_use_stays(world: World) -> None:
    elements = world.services.elements
    await world.elements("one", "two")
    await world.register(world.admin, file("/vo/f", 5, "one", "two"))
    shown = await elements.show(world.admin, "one")
    assert (shown.replicas, shown.bytes) == (1, 5)
    with pytest.raises(Conflict, match="still replicas"):
        await elements.remove(world.admin, "one")
    with pytest.raises(Conflict, match="prefix"):
        await elements.change(world.admin, "one", ElementChange(prefix="elsewhere/"))
    await world.drop(world.admin, ReplicaRef("/vo/f", "one"))
    with pytest.raises(Conflict):
        await elements.remove(world.admin, "one")  # its bytes are still to be deleted
    await world.clean()
    await elements.remove(world.admin, "one")
    assert [e.name for e in await elements.every_info(world.admin)] == ["two"]
    assert await world.register(world.admin, file("/vo/g", 1, "one")) == ["not_found"]


async def test_only_administrators_change_elements_and_see_options(world: World) -> None:
    elements = world.services.elements
    await world.people(alice=[])
    await world.vo("vo", "alice")
    (alice, (one,)) = await world.caller("alice"), await world.elements("one")
    for call in (
        elements.add(alice, ElementSpec("x", "memory")),
        elements.change(alice, "one", ElementChange(cost=1)),
        elements.remove(alice, "one"),
        world.services.breaker.probe(alice, "one"),
    ):
        with pytest.raises(Forbidden):
            await call
    assert one.options["path"] == str(world.folder / "se" / "one")
    assert (await elements.show(alice, "one")).options == {}
    assert [e.options for e in await elements.every_info(alice)] == [{}]


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class VaultOptions(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    account: str = ""
    password: str = ""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A type with a secret option, and one whose SDK is not installed: as a third party's plug-ins would be."""
    plugins = {
        "vault": registry.Plugin("vault", "a plug-in with a secret", VaultOptions, "tests.catalog.test_elements:Vault"),
        "far": registry.Plugin("far", "needs an SDK", VaultOptions, "none:None", ("no_such_sdk",), "far"),
    }
    known = registry.find
    monkeypatch.setattr(registry, "find", lambda type: plugins.get(type) or known(type))
    told = registry.options_of

    def options_of(config: type[CommonOptions]) -> list[OptionInfo]:
        return [
            OptionInfo(o.name, o.type, o.description, o.default, o.required, o.name == "password") for o in told(config)
        ]

    from catalog.elements import service

    monkeypatch.setattr(service, "options_of", options_of)


def Vault(config: VaultOptions, *, name: str) -> object:
    from storage_plugins.memory import MemoryElement, MemoryOptions

    made = MemoryElement(MemoryOptions(store=f"{name} {config.account} {config.password}"), name=name)
    made.opened_with = config.password  # type: ignore[attr-defined]  # for the test to see
    return made


@pytest.mark.usefixtures("vault")
async def test_secrets_are_encrypted_at_rest_and_never_shown(world: World) -> None:
    elements = world.services.elements
    secret = "correct horse battery staple"
    made = await elements.add(world.admin, ElementSpec("v", "vault", {"account": "me", "password": secret}))
    for shown in (made, await elements.show(world.admin, "v"), (await elements.every_info(world.admin))[0]):
        assert (shown.options, shown.secrets) == ({"account": "me"}, ["password"])
        assert secret not in repr(shown)
    row = (await world.sql("select * from element"))[0]
    assert secret.encode() not in row["secrets"]
    assert secret not in repr(tuple(row))
    from .invariants import dump

    assert secret not in repr(await dump(world.dsn)), "nor in the audit"
    changed = await elements.change(world.admin, "v", ElementChange(options={"account": "you"}))
    assert (changed.options, changed.secrets) == ({"account": "you"}, ["password"]), "a change of others keeps it"
    assert (await elements.change(world.admin, "v", ElementChange(cost=1))).secrets == ["password"]
    await elements.load()
    assert (await elements.storage(elements.named("v"))).inner.inner.opened_with == secret  # type: ignore[attr-defined]  # see Vault
    await elements.change(world.admin, "v", ElementChange(options={"password": "new"}))
    await elements.load()
    assert (await elements.storage(elements.named("v"))).inner.inner.opened_with == "new"  # type: ignore[attr-defined]  # see Vault
    assert (await elements.change(world.admin, "v", ElementChange(options={"password": None}))).secrets == []
    assert (await world.sql("select secrets from element"))[0]["secrets"] is None


@pytest.mark.usefixtures("vault")
async def test_another_key_opens_nothing_and_says_so(world: World) -> None:
    elements = world.services.elements
    await elements.add(world.admin, ElementSpec("v", "vault", {"password": "secret"}))
    assert (world.folder / "secret.key").stat().st_mode & 0o777 == 0o600
    os.unlink(world.folder / "secret.key")
    other = World(world.dsn, world.folder)
    try:
        await other.services.elements.load()
        with pytest.raises(Unavailable, match="another key"):
            await other.services.elements.storage(other.services.elements.named("v"))
    finally:
        await other.close()


@pytest.mark.usefixtures("vault")
async def test_a_plug_in_whose_extra_is_missing_is_one_clear_error(world: World) -> None:
    elements = world.services.elements
    with pytest.raises(CatalogError, match=r"pip install 'lading\[far\]'"):
        await elements.add(world.admin, ElementSpec("f", "far"))
    assert await world.sql("select 1 from element") == []
    await elements.add(world.admin, ElementSpec("f", "far", state=ElementState.OFF))
    await elements.change(world.admin, "f", ElementChange(state=ElementState.ACTIVE))
    await elements.load()
    with pytest.raises(Unavailable, match=r"element 'f': .*pip install 'lading\[far\]'"):
        await elements.storage(elements.named("f"))
    await world.register(world.admin, file("/vo/f", 1, "f"))
    assert (await world.resolve(world.admin, "/vo/f")).sources[0].se == "f", "the rest of the catalogue goes on"
    probe = await world.services.breaker.probe(world.admin, "f")
    assert not probe.ok
    assert "lading[far]" in (probe.error or "")


@pytest.mark.usefixtures("vault")
async def test_an_element_that_cannot_be_opened_does_not_hide_the_other_copy(world: World) -> None:
    elements = world.services.elements
    await elements.add(world.admin, ElementSpec("f", "far", state=ElementState.OFF, cost=1))
    await world.elements("one", "two", cost=100)
    assert await put(world, "/vo/f", "one", b"content") == "ok"
    await elements.change(world.admin, "f", ElementChange(state=ElementState.ACTIVE))
    await world.add_replicas(world.admin, ReplicaRef("/vo/f", "f"))
    assert (await world.resolve(world.admin, "/vo/f")).sources[0].se == "f"
    assert await get(world, "/vo/f") == b"content"
    (copied,) = (await world.services.copier.copy(world.admin, [Copy("/vo/f", "two")])).outcomes
    assert copied.error is None


# ── state, limits, other processes ───────────────────────────────────────────────────────────────────────────────────────


async def put(world: World, lfn: str, se: str | None, data: bytes = b"0123456789", **more: object) -> str:
    try:
        await world.services.data.put(world.admin, NewUpload(lfn, len(data), se=se, **more), bytes_of(data))  # type: ignore[arg-type]  # options
    except CatalogError as error:
        return error.code
    return "ok"


async def get(world: World, lfn: str) -> bytes:
    reading = await world.services.data.open(world.admin, lfn)
    if reading.local:
        reading.local.close()
    return b"".join([bytes(c) async for c in reading.chunks(0, reading.size)])


@pytest.mark.parametrize(
    ("change", "reads", "writes", "deletes"),
    [
        (ElementChange(), True, True, True),
        (ElementChange(state=ElementState.READ_ONLY), True, False, False),
        (ElementChange(state=ElementState.DRAIN), True, False, True),
        (ElementChange(state=ElementState.OFF), False, False, False),
        (ElementChange(can_read=False), False, True, True),
        (ElementChange(can_write=False), True, False, True),
        (ElementChange(can_delete=False), True, True, False),
    ],
)
async def test_states_and_flags(world: World, change: ElementChange, reads: bool, writes: bool, deletes: bool) -> None:
    await world.elements("one")
    assert [await put(world, f"/vo/{n}", "one") for n in "ab"] == ["ok", "ok"]
    await world.services.elements.change(world.admin, "one", change)
    if reads:
        assert await get(world, "/vo/a") == b"0123456789"
    else:
        with pytest.raises(Unavailable):
            await get(world, "/vo/a")
    assert await put(world, "/vo/new", "one") == ("ok" if writes else "unavailable")
    assert await put(world, "/vo/any", None) == ("ok" if writes else "unavailable")
    await world.remove(world.admin, "/vo/b", keep=0)
    objects = len(world.objects("one"))
    await world.clean()
    assert len(world.objects("one")) == objects - deletes
    await world.services.elements.change(world.admin, "one", ElementChange(state=ElementState.ACTIVE, can_delete=True))
    await world.clean()
    assert len(world.objects("one")) == objects - 1, "what was to be deleted is not forgotten"


async def test_an_element_holds_no_more_than_it_may(world: World) -> None:
    await world.elements("one", max_bytes=25)
    assert [await put(world, f"/vo/{n}", "one") for n in range(3)] == ["ok", "ok", "quota_exceeded"]
    assert len(world.objects("one")) == 2
    await world.services.elements.change(world.admin, "one", ElementChange(max_bytes=30))
    assert await put(world, "/vo/2", "one") == "ok"


async def test_a_change_reaches_another_process(world: World) -> None:
    """Through NOTIFY; the registry is otherwise read again only after seconds."""
    await world.elements("one")
    other = World(world.dsn, world.folder)
    try:
        await app.start(other.services)
        await other.services.elements.load()
        assert other.services.elements.named("one").cost == 100
        await asyncio.sleep(0.3)  # its listener is there
        await world.services.elements.change(world.admin, "one", ElementChange(cost=7))
        await world.services.elements.add(world.admin, ElementSpec("new", "memory"))
        for _ in range(400):
            await other.services.elements.load()
            if any(e.name == "new" for e in other.services.elements.every()):
                break
            await asyncio.sleep(0.02)
        assert other.services.elements.named("one").cost == 7
        assert other.services.elements.named("new").type == "memory"
    finally:
        await other.close()


async def test_a_change_does_not_break_what_is_being_read(world: World) -> None:
    await world.elements("one")
    data = os.urandom(9_000_000)
    assert await put(world, "/vo/f", "one", data) == "ok"
    reading = await world.services.data.open(world.admin, "/vo/f")
    assert reading.local
    reading.local.close()
    chunks = reading.chunks(0, reading.size)
    found = [bytes(await anext(chunks))]
    await world.services.elements.change(world.admin, "one", ElementChange(description="x", options={"threads": 3}))
    await world.services.elements.load()
    await world.services.elements.storage(world.services.elements.named("one"))
    found += [bytes(c) async for c in chunks]
    assert b"".join(found) == data


async def test_a_probe_says_what_works(world: World) -> None:
    await world.elements("one")
    probe = await world.services.breaker.probe(world.admin, "one")
    assert (probe.element, probe.ok, probe.read, probe.write, probe.delete, probe.error) == (
        "one",
        True,
        True,
        True,
        True,
        None,
    )
    (world.folder / "se" / "one").rename(world.folder / "away")
    probe = await world.services.breaker.probe(world.admin, "one")
    assert (probe.ok, bool(probe.error)) == (False, True)


async def test_types(world: World) -> None:
    found = {t.name: t for t in world.services.elements.types()}
    assert {"posix", "memory"} <= found.keys()
    path = next(o for o in found["posix"].options if o.name == "path")
    assert (path.required, path.secret, bool(path.description)) == (True, False, True)


async def test_shown_in_bulk_or_alone_it_is_the_same(world: World) -> None:
    made: list[ElementInfo] = await world.elements("one", "two")
    await world.register(world.admin, *(file(f"/vo/{n}", n, "one") for n in range(10)))
    every = await world.services.elements.every_info(world.admin)
    alone = [await world.services.elements.show(world.admin, m.name) for m in made]
    assert every == [structs.replace(info, powers=[]) for info in alone]
    assert [(e.replicas, e.bytes) for e in every] == [(10, 45), (0, 0)]
