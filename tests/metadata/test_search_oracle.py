"""The compiled SQL against plain Python: random catalogues, random queries, several askers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from lading.model.errors import Forbidden
from lading.model.file import Kind
from lading.model.search import Facets, Find, Question
from metadata.language.errors import QueryError
from tests.catalog.world import World
from tests.metadata.asked import EXPRESSIONS, PATTERNS, QUERIES, TOPS, TYPES, Everything, askers, populate
from tests.metadata.bulk import index
from tests.metadata.sets import found as batched

INDEXED = [["i", "s", "t"], []]
UNDECLARED = ["meta.u", 'meta["u"]']
_ORDER = ["=", "!=", "<", "<=", ">", ">="]


@st.composite
def declared(draw: Any) -> str:
    name = draw(st.sampled_from([*TYPES, *UNDECLARED]))
    path = (
        draw(st.sampled_from(["", "", "", '["k"]', ".k.l", "[0]", "[-1]", ".k[1].l"])) if name not in "ifsbtd" else ""
    )
    operand = st.sampled_from(QUERIES["j" if name in UNDECLARED else name])
    forms = ["exists", "in"]
    forms += ["equal"] if name == "b" else ["order", "between"]
    forms += ["like", "match"] if name not in "ifbtd" else []
    form, negated = draw(st.sampled_from(forms)), draw(st.sampled_from(["", "not "]))
    if form == "exists":
        return f"{name}{path} {draw(st.sampled_from(['exists', 'missing']))}"
    if form == "equal":
        return f"{name} {draw(st.sampled_from(['=', '!=']))} {draw(operand)}"
    if form == "in":
        values = draw(st.lists(operand.filter(lambda v: v != "1.5"), min_size=1, max_size=3))
        return f"{name}{path} {negated}in ({', '.join(values)})"
    if form == "between":
        low, high = (draw(operand.filter(lambda v: v not in ("true", "now - 1d"))) for _ in range(2))
        return f"{name}{path} {negated}between {low} and {high}"
    if form == "like":
        return f"{name}{path} {negated}like {draw(st.sampled_from(PATTERNS))}"
    if form == "match":
        return f"{name}{path} {draw(st.sampled_from(['~', '!~']))} {draw(st.sampled_from(EXPRESSIONS))}"
    return f"{name}{path} {draw(st.sampled_from(_ORDER))} {draw(operand)}"


STANDARD = [
    'name like "*.nii*"', 'name = "0README"', 'name ~ "^[0-2]"', 'ext = "gz"', "ext missing", 'ext in ("nii", ".txt")', 'dir = "/vo/a"',
    'dir like "/vo/a*"', 'lfn like "/vo/a/*"', 'lfn = "/vo/a/0README"', 'lfn > "/vo/a/b"', 'dir != "/vo/a/b"', 'dir ~ "é"', "size >= 2",
    "size between 1 and 3", "size != 2", "replicas > 1", "replicas = 0", 'owner = "alice"', 'owner like "*b*"', 'group != "g1"',
    'group in ("g1", "g2")', 'se = "se1"', 'se != "se1"', 'se not in ("se1", "se2")', 'se like "se?"', "se exists", 'state = "available"',
    'state != "available"', 'state = "suspect"', "state missing", 'checksum = "ffffffff"', 'checksum != "ffffffff"', "checksum exists",
    'adler32 = "1"', "md5 exists", 'md5 != "00000000000000000000000000000000"', 'comment like "*test"', "comment missing", "guid exists",
    'status = "ok"', 'kind = "file"', "ctime > 2020-01-01", "mtime < now - 1d", 'name >= "3"', 'kind != "file"', 'status != "lost"',
]  # fmt: skip


def trees() -> st.SearchStrategy[str]:
    leaf = st.one_of(declared(), declared(), st.sampled_from(STANDARD), st.sampled_from(["true", "false"]))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            inner.map(lambda q: f"not ({q})"),
            st.lists(inner, min_size=2, max_size=3).map(lambda qs: "(" + " and ".join(qs) + ")"),
            st.lists(inner, min_size=2, max_size=3).map(lambda qs: "(" + " or ".join(qs) + ")"),
        ),
        max_leaves=6,
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_sql_and_python_find_the_same(postgres: Any, tmp_path: Path, seed: int) -> None:
    with asyncio.Runner() as runner:
        dsn = runner.run(postgres.create())
        world = World(dsn, tmp_path)
        try:
            runner.run(populate(world, seed))
            for name in INDEXED[seed % 2]:
                runner.run(index(world, name))
            people = runner.run(askers(world))
            everything = runner.run(Everything.read(world))
            search = world.services.search

            @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(
                trees(),
                st.sampled_from(people),
                st.sampled_from(TOPS),
                st.sampled_from([Kind.FILE, Kind.FILE, Kind.DIRECTORY]),
            )
            def same(query: str, who: Any, under: str, kind: Kind) -> None:
                body = Find(query, under, kind, limit=10_000)
                try:
                    expected: Any = everything.answer(who, body)
                except QueryError as error:
                    expected = type(error)
                try:
                    page = msgspec.json.decode(runner.run(search.page(who, body)))
                    found = [i["lfn"] for i in page["items"]]
                    number: Any = runner.run(search.count(who, Question(query, under, kind))).count
                    if kind is Kind.FILE:  # what data sets, a sorted search and facets see are other statements
                        assert runner.run(batched(world, who, query, under)) == found
                        page = msgspec.json.decode(runner.run(search.page(who, structs.replace(body, sort="size"))))
                        assert sorted(i["lfn"] for i in page["items"]) == sorted(found)
                        facets = runner.run(world.services.facets.facets(who, Facets(query, under, ["replicas"])))
                        assert (facets.count, sum(f.count for f in facets.facets)) == (number, number)
                except (QueryError, Forbidden) as error:
                    found = number = type(error)
                if isinstance(expected, list) and isinstance(found, list):
                    assert (found, number) == (expected, len(expected))
                elif found is Forbidden:
                    assert expected in ([], QueryError)
                else:
                    assert found == expected

            same()
        finally:
            runner.run(world.close())
