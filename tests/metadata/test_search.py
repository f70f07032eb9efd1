"""Asking: pages, streams, cursors, order, facets, time limits, and what a user can't reach the SQL with."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from lading.model.errors import CatalogError, Forbidden, InvalidRequest, NotFound, Unavailable
from lading.model.file import Kind
from lading.model.principal import Caller
from lading.model.search import Facets, Find, Question
from metadata import sorted_store, sorted_stream, walk
from metadata.clock import Clock, TooSlow
from metadata.compile import Compiler, Names
from metadata.compile_fields import quoted
from metadata.known import show
from metadata.language.bind import bind
from metadata.language.errors import QueryError
from metadata.language.parse import parse
from metadata.language.tree import Bound, Op, Relation
from metadata.params import Params
from metadata.search import SearchService
from metadata.search_store import SearchStore
from tests.catalog.world import World, file
from tests.metadata import bulk
from tests.metadata.asked import Everything, askers, populate
from tests.metadata.support import FIELDS


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that a few files make many."""
    monkeypatch.setattr(walk, "LINES", 3)
    monkeypatch.setattr(sorted_store, "_PIECE", 4)
    monkeypatch.setattr(walk, "_FIRST_DIRS", 1)
    monkeypatch.setattr(walk, "_DIRS", 2)
    monkeypatch.setattr(walk, "_MOST_FILES", 4)


async def page(world: World, who: Caller, body: Find) -> tuple[list[dict[str, Any]], str | None]:
    answer = msgspec.json.decode(await world.services.search.page(who, body))
    return answer["items"], answer.get("next")


async def every(world: World, who: Caller, body: Find, limit: int) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        items, cursor = await page(world, who, msgspec.structs.replace(body, limit=limit, cursor=cursor))
        assert len(items) <= limit
        found += items
        if cursor is None:
            return found


async def streamed(world: World, who: Caller, body: Find) -> list[dict[str, Any]]:
    text = b"".join([lines async for lines in world.services.search.stream(who, body)])
    assert text.endswith(b"\n") or not text
    return list(msgspec.json.Decoder().decode_lines(text))


async def lfns(world: World, who: Caller, query: str, **more: Any) -> list[str]:
    return [i["lfn"] for i in (await page(world, who, Find(query, **more)))[0]]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIRECTORY])
async def test_pages_and_streams_hold_all_in_order_whatever_their_size(world: World, kind: Kind) -> None:
    await populate(world, 5)
    everything = await Everything.read(world)
    for who in await askers(world):
        for query in ("true", "i >= 0 or s exists", 'name like "*.nii*"'):
            body = Find(query, kind=kind)
            expected = everything.answer(who, body)
            if not who.principal.scoped("read", "/vo/a/b"):  # a token that reads nothing
                assert expected == []
                continue
            for limit in (1, 2, 5, 1000):
                assert [i["lfn"] for i in await every(world, who, body, limit)] == expected
            assert [i["lfn"] for i in await streamed(world, who, body)] == expected
            for limit in (1, 4, 7):
                some = await streamed(world, who, msgspec.structs.replace(body, limit=limit))
                assert [i["lfn"] for i in some] == expected[:limit]
            if len(expected) > 3:  # a stream that broke goes on behind any line, with another process
                rest = await streamed(world, who, msgspec.structs.replace(body, cursor=expected[2]))
                assert [i["lfn"] for i in rest] == expected[3:]


_SORTS = ["i", "f", "s", "b", "t", "d", "size", "name", "ext", "mtime", "owner", "guid", "comment", "dir", "path"]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("sort", _SORTS)
async def test_sorted_by_any_field_up_and_down_with_nothing_last(world: World, sort: str) -> None:
    await populate(world, 6)
    everything = await Everything.read(world)
    alice = await world.caller("alice")
    wanted = set(everything.answer(alice, Find("true", "/vo")))

    def key(path: str) -> Any:
        record = records[path]
        name = "lfn" if sort == "path" else sort
        return record.standard.get(name, record.own.get(name, record.inherited.get(name)))

    records = {r.standard["lfn"]: r for _, r in everything.records}
    order = everything.answer(alice, Find("true", "/vo"))
    there, none = [p for p in order if key(p) is not None], [p for p in order if key(p) is None]
    for down in (False, True):
        expected = sorted(there, key=key, reverse=down) if not down else _downwards(there, key)
        body = Find("true", "/vo", sort=f"-{sort}" if down else sort)
        for limit in (3, 1000):
            assert [i["lfn"] for i in await every(world, alice, body, limit)] == expected + none
        assert [i["lfn"] for i in await streamed(world, alice, body)] == expected + none
    assert wanted == set(expected + none)


def _downwards(paths: list[str], key: Any) -> list[str]:
    """Largest first; alike ones in the order they are in."""
    found: list[str] = []
    for value in sorted({key(p) for p in paths}, reverse=True):
        found += [p for p in paths if key(p) == value]
    return found


async def test_selected_fields_are_shown_as_people_write_them(world: World) -> None:
    await world.vo("vo")
    await world.elements("se1", "se2")
    await world.declare(i="int", f="float", b="bool", s="string", t="timestamp", d="date", j="json")
    values = {
        "i": -(2**63), "f": 3.5, "b": False, "s": 'a"\\\n\x01é', "t": "1969-12-31T23:59:59.500000Z", "d": "0001-01-01",
        "j": {"k": [1, "x"]},
    }  # fmt: skip
    spec = file("/vo/a.nii", 7, "se1", "se2", metadata=values, checksums={"md5": "0" * 32, "adler32": "0000000a"})
    await world.register(world.admin, spec, "/vo/b")
    await world.describe(world.admin, {"/vo": {"t": "9999-12-31T23:59:59Z", "i": 5}})
    standard = [
        "name",
        "dir",
        "ext",
        "size",
        "checksum",
        "md5",
        "adler32",
        "owner",
        "group",
        "status",
        "kind",
        "se",
        "replicas",
        "state",
    ]
    items, _ = await page(world, world.admin, Find("true", "/vo", select=[*values, *standard, "j.k", "lfn", "path"]))
    assert items[0] == {
        "lfn": "/vo/a.nii", "path": "/vo/a.nii", **values, "j.k": [1, "x"], "name": "a.nii", "dir": "/vo", "ext": "nii", "size": 7,
        "checksum": ["0000000a", "0" * 32], "md5": "0" * 32, "adler32": "0000000a", "owner": "admin", "group": "admin",
        "status": "ok", "kind": "file", "se": ["se1", "se2"], "replicas": 2, "state": ["available", "available"],
    }  # fmt: skip
    assert items[1] == {
        "lfn": "/vo/b", "path": "/vo/b", "t": "9999-12-31T23:59:59Z", "i": 5, "name": "b", "dir": "/vo", "size": 10, "owner": "admin",
        "group": "admin", "status": "ok", "kind": "file", "replicas": 0,
    }  # fmt: skip
    (directory,), _ = await page(
        world, world.admin, Find('lfn = "/vo"', kind=Kind.DIRECTORY, select=["i", "dir", "kind", "name", "size"])
    )
    assert directory == {"lfn": "/vo", "i": 5, "dir": "/", "kind": "directory", "name": "vo"}


async def test_names_that_need_escapes_come_whole(world: World) -> None:
    """However the lines are written: of directories one by one, of all in one statement, with fields and without."""
    await world.vo("vo")
    names = [
        '/vo/a"b', "/vo/a\\b", "/vo/a b/c%_", "/vo/é/\u2028", "/vo/'; drop table file; --", '/vo/q"\\/\\"', '/vo/q"\\/\\n\\',
        '/vo/q"\\/"}', "/vo/\xa0/\U0001f52c", "/vo/$1 {}/\\1", "/vo/\u2029\ufeff",
    ]  # fmt: skip
    assert set(await world.register(world.admin, *names)) == {"ok"}
    names.sort(key=str.encode)
    for more in ({}, {"sort": "size"}, {"select": ["name"]}):
        items, _ = await page(world, world.admin, Find("true", "/vo", **more))
        assert sorted((i["lfn"] for i in items), key=str.encode) == names, more
        assert all(i["name"] == i["lfn"].rpartition("/")[2] for i in items if "name" in i)
        assert [i["lfn"] for i in await streamed(world, world.admin, Find("true", "/vo", **more))] == [
            i["lfn"] for i in items
        ]
    tops = {name.rpartition("/")[0] for name in names}
    assert set(await lfns(world, world.admin, "true", under="/vo", kind=Kind.DIRECTORY)) == tops
    for name in names:
        assert await lfns(world, world.admin, f"lfn = {msgspec.json.encode(name).decode()}") == [name]


@pytest.mark.parametrize("char", ["\n", "\x00", "\x1f", "\x7f", "\x85", "\x9f"])
async def test_no_name_holds_a_control_character(world: World, char: str) -> None:
    """Or lines that are written all at once would be cut in it."""
    await world.vo("vo")
    assert await world.register(world.admin, f"/vo/a{char}b", f"/vo/d{char}/b") == ["invalid_request"] * 2


async def test_facets_count_what_the_asker_sees(world: World) -> None:
    await populate(world, 7)
    everything = await Everything.read(world)
    for who in await askers(world):
        for query in ("true", "i exists", 'name like "*.nii*" or f > 0'):
            try:
                answer = await world.services.facets.facets(who, Facets(query, "/vo", top=3, buckets=4))
            except Forbidden:
                assert everything.answer(who, Find(query, "/vo")) == []
                continue
            found = everything.answer(who, Find(query, "/vo"))
            assert answer.count == len(found)
            records = [r for row, r in everything.records if r.standard["lfn"] in set(found)]
            facets = {f.field: f for f in answer.facets}
            for name in "ifsbtdj":
                values = [r.own.get(name, r.inherited.get(name)) for r in records]
                held = [v for v in values if v is not None]
                if not held:
                    assert name not in facets
                    continue
                facet = facets[name]
                counts = Counter(msgspec.json.encode(show(facet.type, v)) for v in held)
                assert facet.count == len(held)
                assert facet.others + len(facet.values) == len(counts)
                assert {msgspec.json.encode(v.value): v.count for v in facet.values}.items() <= counts.items()
                assert [v.count for v in facet.values] == sorted(counts.values(), reverse=True)[:3]
                if name in "iftd":
                    assert (facet.minimum, facet.maximum) == (show(facet.type, min(held)), show(facet.type, max(held)))
                    assert not facet.histogram or sum(b.count for b in facet.histogram) == len(held)
            assert answer.left == []
            clicks = await world.services.facets.facets(who, Facets(query, "/vo", ["kind", *_CLICKS], top=2))
            told = [f.field for f in answer.facets if f.field in _CLICKS]
            assert [f.field for f in clicks.facets] == (["kind", *told] if records else [])
            for facet in clicks.facets:
                values = [r.standard[facet.field] for r in records]
                sets = [set(v) if isinstance(v, list) else {v} - {None} for v in values]
                counted = Counter(v for some in sets for v in some)
                assert (facet.count, facet.others + len(facet.values)) == (sum(map(bool, sets)), len(counted))
                assert {v.value: v.count for v in facet.values}.items() <= counted.items()
                assert [v.count for v in facet.values] == sorted(counted.values(), reverse=True)[:2]


_CLICKS = ["se", "state", "status", "owner", "group", "ext"]


async def test_states_of_replicas_are_counted(world: World) -> None:
    await world.vo("vo")
    await world.elements("se1", "se2")
    await world.register(world.admin, file("/vo/a", 1, "se1", "se2"), file("/vo/b", 1, "se1"), "/vo/c")
    await world.sql("update file set rstate = '{2,0}' where name = 'a'")
    await world.sql("update file set status = 2 where name = 'c'")
    answer = await world.services.facets.facets(world.admin, Facets("true", "/vo"))
    assert {f.field: {v.value: v.count for v in f.values} for f in answer.facets} == {
        "se": {"se1": 2, "se2": 1}, "state": {"available": 2, "suspect": 1}, "status": {"ok": 2, "lost": 1}, "owner": {"admin": 3},
        "group": {answer.facets[4].values[0].value: 3},
    }  # fmt: skip
    assert [f.count for f in answer.facets] == [2, 2, 3, 3, 3]


async def test_a_histogram_holds_each_value_in_its_bucket(world: World) -> None:
    await world.vo("vo")
    await world.declare(i="int", f="float", t="timestamp")
    times = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-05T00:00:00Z"]
    specs = [file(f"/vo/{n}", metadata={"i": n, "f": n / 2, "t": times[n % 3]}) for n in range(9)]
    await world.register(world.admin, *specs)
    answer = await world.services.facets.facets(world.admin, Facets("true", buckets=4))
    f, i, t, *_ = answer.facets
    assert [(b.low, b.high, b.count) for b in i.histogram] == [(0, 2, 2), (2, 4, 2), (4, 6, 2), (6, 8, 3)]
    assert [(b.low, b.high, b.count) for b in f.histogram] == [(0, 1, 2), (1, 2, 2), (2, 3, 2), (3, 4, 3)]
    assert [b.count for b in t.histogram] == [3, 3, 0, 3]
    assert t.histogram[1].low == "2024-01-02T00:00:00Z"
    small = await world.services.facets.facets(world.admin, Facets("i < 2", fields=["i", "size", "owner"]))
    assert [(f.field, f.count) for f in small.facets] == [("i", 2), ("size", 2), ("owner", 2)]
    assert [(b.low, b.count) for b in small.facets[0].histogram] == [(0, 1), (1, 1)]
    with pytest.raises(InvalidRequest, match="'checksum'"):
        await world.services.facets.facets(world.admin, Facets("true", fields=["checksum"]))


class _Slow:
    """A data set that takes its time."""

    async def clause(self, connection: Any, caller: Caller, relation: Relation, name: str, nesting: Any) -> Any:
        return lambda params: f"(select true from pg_sleep({params.add(float(name), 'float8')}))"


async def test_what_takes_too_long_is_stopped_and_says_what_to_index(world: World) -> None:
    await world.vo("vo")
    await world.declare(i="int", n="int")
    await world.register(world.admin, file("/vo/a", metadata={"i": 1, "n": 2}))
    services = world.services
    search = SearchService(services.database, services.search.preparer, seconds=0.2)
    search.preparer.members = _Slow()
    for call in (
        search.page(world.admin, Find('i = 1 and in dataset "30"')),
        search.count(world.admin, Question('i = 1 and in dataset "30"')),
        anext(search.stream(world.admin, Find('i = 1 and in dataset "30"'))),
    ):
        with pytest.raises(
            Unavailable, match=r"after 0\.2 seconds: index the field i: 'lading field index vo i'"
        ) as caught:
            await call
        assert caught.value.details == {"unindexed": ["i"]}
        assert not caught.value.fault().retryable
    facets = await services.facets.facets(world.admin, Facets('in dataset "0.2"', seconds=0.3))
    assert facets.count == 1
    assert facets.left == sorted(["i", "n", *_CLICKS])  # one look at the files is all there was time for
    assert (await search.page(world.admin, Find("i = 1"))).startswith(b'{"items":[{"lfn":"/vo/a"}')


async def test_the_limit_is_of_all_statements_together(world: World) -> None:
    """Each by itself would be in time; what the reader does meanwhile is not counted."""
    await world.vo("vo")
    await world.declare(i="int")
    await world.register(world.admin, file("/vo/a", metadata={"i": 1}))
    search, store = SearchService(world.services.database, world.services.search.preparer, seconds=0.5), SearchStore()
    search.preparer.members = _Slow()
    async with search.asking(world.admin, 'i = 1 and in dataset "0.3"') as (connection, asked):
        await asyncio.sleep(0.6)
        assert await store.count(connection, asked) == 1
    with pytest.raises(Unavailable, match=r"after 0\.5 seconds: index the field i"):
        async with search.asking(world.admin, "", asked=asked) as (connection, _):
            await store.count(connection, asked)
    with pytest.raises(Unavailable, match="index the field i"):
        await anext(search.stream(world.admin, Find('i = 1 and in dataset "9"', sort="i")))


def test_results_earn_time() -> None:
    clock = Clock(0.1)
    clock.earn(20_000)
    assert clock.left == pytest.approx(1.1)
    clock.left = 0
    with pytest.raises(TooSlow), clock.running():
        pass


@pytest.mark.parametrize("sort", ["i", "-name"])
async def test_a_sorted_stream_is_sorted_once(world: World, monkeypatch: pytest.MonkeyPatch, sort: str) -> None:
    """But for a reader that stops: its connection is given back, and the rest sorted again."""
    await world.vo("vo")
    await world.declare(i="int")
    specs = [file(f"/vo/d{n % 7}/{n:03}", metadata={"i": n * 37 % 100} if n % 9 else {}) for n in range(300)]
    await world.register(world.admin, *specs)
    monkeypatch.setattr(sorted_store, "_PIECE", 10)
    opened: list[int | None] = []

    def counting(*args: Any) -> Any:
        opened.append(args[-1])
        return sorted_store.sorted_lines(*args)

    monkeypatch.setattr(sorted_stream, "sorted_lines", counting)
    body = Find("true", "/vo", sort=sort, select=["i"])
    expected = [i["lfn"] for i in await every(world, world.admin, body, 1000)]
    assert len(expected) == 300
    assert [i["lfn"] for i in await streamed(world, world.admin, body)] == expected
    assert opened == [None]
    body.limit = 25
    assert [i["lfn"] for i in await streamed(world, world.admin, body)] == expected[:25]
    body.limit = 290
    monkeypatch.setattr(sorted_stream, "PATIENCE", 0.01)
    stream = world.services.search.stream(world.admin, body)
    pieces = [await anext(stream)]
    held = "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
    while await world.sql(held):  # noqa: ASYNC110  (PostgreSQL tells nobody)
        await asyncio.sleep(0.01)
    monkeypatch.setattr(sorted_stream, "PATIENCE", 30)
    pieces += [piece async for piece in stream]
    lines = [msgspec.json.decode(line)["lfn"] for line in b"".join(pieces).splitlines()]
    assert lines == expected[:290]
    assert len(opened) == 4
    assert opened[1:3] == [25, 290]


async def test_fields_of_two_vos_with_one_name(world: World) -> None:
    await world.vo("vo")
    await world.vo("wo")
    await world.declare(x="int", y="int")
    await world.declare("wo", x="string", y="int")
    await world.register(
        world.admin, file("/vo/a", metadata={"x": 1, "y": 1}), file("/wo/b", metadata={"x": "1", "y": 1})
    )
    with pytest.raises(QueryError, match="different types in /vo and /wo: say which is meant with --under /vo"):
        await lfns(world, world.admin, "x = 1")
    assert await lfns(world, world.admin, "x = 1", under="/vo") == ["/vo/a"]
    assert await lfns(world, world.admin, 'x = "1"', under="/wo") == ["/wo/b"]
    assert await lfns(world, world.admin, "y = 1") == ["/vo/a", "/wo/b"]
    facets = await world.services.facets.facets(world.admin, Facets("true"))
    assert [f.field for f in facets.facets] == ["y", "status", "owner", "group"]


async def test_provenance(world: World) -> None:
    await world.vo("vo")
    specs = [
        file("/vo/raw"),
        file("/vo/mid", ancestors=["/vo/raw"]),
        file("/vo/end", ancestors=["/vo/mid"]),
        file("/vo/x"),
    ]
    assert await world.register(world.admin, *specs) == ["ok"] * 4
    assert await lfns(world, world.admin, 'descendant of "/vo/raw"') == ["/vo/end", "/vo/mid"]
    assert await lfns(world, world.admin, 'ancestor of "/vo/end" and not name = "raw"') == ["/vo/mid"]
    assert await lfns(world, world.admin, 'not descendant of "/vo/raw"') == ["/vo/raw", "/vo/x"]
    with pytest.raises(NotFound):
        await lfns(world, world.admin, 'descendant of "/vo/none"')
    with pytest.raises(QueryError, match="not an LFN"):
        await lfns(world, world.admin, 'in dataset "x"')


@pytest.mark.parametrize(
    ("query", "told"),
    [('owner = "alicia"', "did you mean 'alice'"), ('owner = "g1"', "there is no user 'g1'"), ('group = "alice"', "no group 'alice'"), ('group in ("g9", "zzz")', "there is no group 'g9': see 'lading group ls'"),
     ('se != "se9"', "did you mean 'se1'"), ("voxel = 1", "there is no field 'voxel'"), ("i = ", "line 1")],
)  # fmt: skip
async def test_who_does_not_exist_is_told_with_a_suggestion(world: World, query: str, told: str) -> None:
    await world.people(alice=["g1"])
    await world.elements("se1")
    await world.vo("vo")
    with pytest.raises(QueryError, match=told):
        await lfns(world, world.admin, query)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(Find("true", cursor="nonsense"), InvalidRequest), (Find("true", sort="size", cursor="/vo/a"), InvalidRequest),
     (Find("true", sort="size", cursor='["x", "/vo/a"]'), InvalidRequest), (Find("true", sort="se"), InvalidRequest),
     (Find("true", sort="nope"), QueryError), (Find("true", select=["nope"]), QueryError), (Find("true", "/none"), NotFound),
     (Find("true", "nonsense"), InvalidRequest), (Find("true", kind=Kind.LINK), InvalidRequest),
     (Find("true", sort="size", cursor='[1, "/vo/a", 2]'), InvalidRequest)],
)  # fmt: skip
async def test_bad_requests(world: World, body: Find, kind: type[CatalogError]) -> None:
    await world.vo("vo")
    with pytest.raises(kind):
        await world.services.search.page(world.admin, body)


_EVIL = [
    "'; drop table file; --",
    "$1",
    "%s",
    "\\",
    "' or '1'='1",
    "{0}",
    "a' is not null or 'x'='x",
    '"',
    "::jsonb",
    "?",
    "$$",
]


@pytest.mark.parametrize("evil", _EVIL)
def test_no_text_of_a_user_stands_in_the_sql(evil: str) -> None:
    text = msgspec.json.encode(evil).decode()
    query = " and ".join(
        [f"modality = {text}", f"site in ({text}, \"x\")", f"not modality like {msgspec.json.encode('*' + evil.replace(chr(92), '')).decode()}",
         f"params[{text}] = {text}", f"name > {text}", f"comment != {text}", f"params.a in ({text}, 1)"]
    )  # fmt: skip
    plain = query.replace(text, '"x"')
    for fields in (FIELDS, {n: msgspec.structs.replace(f, on_files=True) for n, f in FIELDS.items()}):
        names = Names({1: evil}, {}, {})
        params, other = Params(), Params()
        made = Compiler(params, names).condition(bind(parse(query), fields))
        assert evil in str(params.values) or evil.replace("\\", "\\\\") in str(params.values) or fields is FIELDS
        if "like" not in query.replace("not modality like", ""):
            assert made == Compiler(other, names).condition(bind(parse(plain), fields))


@pytest.mark.parametrize("name", ["a'b", "", "a b", "x" * 128, "1a", "é", 'a"', "a\n"])
def test_a_name_that_is_no_identifier_never_gets_into_sql(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a field"):
        quoted(name)
    leaf = Bound(msgspec.structs.replace(FIELDS["modality"], name=name, on_files=True), (), Op.EQ, ("x",))
    with pytest.raises(ValueError, match="no name of a field"):
        Compiler(Params(), Names({}, {}, {})).condition(leaf)


async def test_an_index_leads_and_finds_the_same(world: World) -> None:
    await bulk.fill(world, 200, 50)
    (alice,) = await world.people(alice=["g1"])
    query = "run between 100 and 110"
    before = await lfns(world, alice, query)
    assert len(before) > 5
    told = await world.services.search.explain(alice, Question(query))
    assert (told.route, told.missing) == ("directories", ["run"])
    assert "'lading field index vo run'" in told.steps[-1]
    await bulk.index(world, "run")
    told = await world.services.search.explain(alice, Question(query))
    assert (told.route, told.missing) == ("index", [])
    assert await lfns(world, alice, query) == before
    assert [i["lfn"] for i in await every(world, alice, Find(query), 2)] == before
    told = await world.services.search.explain(alice, Question(f"{query} and subject = 7"))
    assert told.route == "directories"
    assert (told.directories, told.files) == (1, 50)


@pytest.mark.usefixtures("_small")
async def test_what_one_statement_should_find_goes_on_by_directories(world: World) -> None:
    """The planner thought that few fit; the first piece (three files here) does not hold them all."""
    await bulk.fill(world, 200, 50)
    (alice,) = await world.people(alice=["g1"])
    query = 'site = "s7" and run between 1000 and 6000'
    before = [i["lfn"] for i in await streamed(world, alice, Find(query))]
    assert len(before) > 30
    await bulk.index(world, "run")
    search = world.services.search
    async with search.asking(alice, query) as (connection, asked):
        assert (await search._route(connection, asked)).once
    for more in ({}, {"select": ["run"]}):
        assert [i["lfn"] for i in await streamed(world, alice, Find(query, **more))] == before
        rest = await streamed(world, alice, Find(query, cursor=before[7], **more))
        assert [i["lfn"] for i in rest] == before[8:]
    assert [i["lfn"] for i in await every(world, alice, Find(query), 5)] == before
    assert [i["lfn"] for i in await streamed(world, alice, Find(query, limit=20))] == before[:20]


async def test_batches_for_other_slices_hold_what_pages_do(world: World) -> None:
    await populate(world, 8)
    everything = await Everything.read(world)
    search = world.services.search
    for who in await askers(world):
        try:
            async with search.asking(who, "i exists or size > 1", "/vo") as (connection, asked):
                batches = [b async for b in search.batches(connection, asked)]
        except Forbidden:
            batches = []
        found = [f"{b.path}/{name}" for b in batches for name in b.names]
        assert found == everything.answer(who, Find("i exists or size > 1", "/vo"))
        for b in batches:
            assert len(b.ids) == len(b.names) == len(b.guids) == len(b.sizes) == len(b.adler32) == len(b.checksums)
            rows = await world.sql(
                "select id, size, guid::text from file where dir_id = $1 and id = any($2) order by name",
                b.dir_id,
                b.ids,
            )
            assert [tuple(r) for r in rows] == list(zip(b.ids, b.sizes, b.guids, strict=True))


async def test_a_reader_who_leaves_leaves_no_work_behind(world: World) -> None:
    await bulk.fill(world, 300, 40)
    stream = world.services.search.stream(world.admin, Find("true"))
    assert await anext(stream)
    await stream.aclose()
    await asyncio.sleep(0)
    assert all(idle == size for size, idle in world.services.pools().values())
