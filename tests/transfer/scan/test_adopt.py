"""What lies on an element, taken into the catalogue: all of it, once, at the names it was asked for."""

from __future__ import annotations

import os
from typing import Any

import asyncpg
import pytest

from storage_plugins.base import ObjectInfo
from storage_plugins.errors import Transient
from storage_plugins.posix import PosixElement
from tests.transfer.conftest import adler32
from tests.transfer.scan.conftest import Scans, found
from transfer.scan import adopt as module

TO = "/vo/taken"


async def files(scans: Scans) -> list[str]:
    rows = await scans.sql(
        "select d.path || '/' || f.name as p from file f join dir d on d.id = f.dir_id where kind = 0"
    )
    return sorted(r["p"] for r in rows)


async def test_objects_become_files(scans: Scans) -> None:
    scans.dark("x/a", b"aaa")
    scans.dark("x/sub/b c", b"bb")
    old = scans.dark("é")
    os.utime(old, (1_000_000, 1_000_000))
    *lines, summary = await scans.lines("adopt", to=TO)
    assert found(lines, "adopted") == [f"{TO}/x/a", f"{TO}/x/sub/b c", f"{TO}/é"]
    assert (summary["adopted"], summary["bytes"], summary["objects"]) == (3, 9, 3)
    assert await files(scans) == [f"{TO}/x/a", f"{TO}/x/sub/b c", f"{TO}/é"]
    status, body, _ = await scans.store.get(f"{TO}/x/a")
    assert (status, body) == (200, b"aaa")
    (row,) = await scans.sql("select mtime from file where name = 'é'")
    assert row["mtime"] == 1_000_000_000_000
    *lines, _ = await scans.lines()
    assert lines == []
    assert sum(row["count"] for row in await scans.audited("register")) == 3


async def test_run_again_it_has_nothing_to_do(scans: Scans) -> None:
    scans.dark("a")
    await scans.lines("adopt", to=TO)
    *lines, summary = await scans.lines("adopt", to="/vo/elsewhere")
    assert (lines, summary["known"], summary["adopted"]) == ([], 1, 0)
    assert await files(scans) == [f"{TO}/a"]


async def test_what_is_known_young_or_in_flight_is_left(scans: Scans) -> None:
    await scans.put("known")
    scans.dark("young")
    os.utime(scans.dark("old"), (1, 1))
    os.utime(scans.dark("writing"), (1, 1))
    os.utime(scans.dark("going"), (1, 1))
    await scans.sql(
        "insert into upload(id, lfn, se_id, pfn, guid, user_id, started, expires) select gen_random_uuid(), '/vo/n', id,"
        " 'writing', gen_random_uuid(), 1, 0, 9e15 from element where name = 'one'"
    )
    await scans.sql(
        "insert into deletion(se_id, pfn, not_before) select id, 'going', 0 from element where name = 'one'"
    )
    *lines, summary = await scans.lines("adopt", to=TO, grace=3600)
    assert found(lines, "adopted") == [f"{TO}/old"]
    assert (summary["known"], summary["young"], summary["in_flight"]) == (1, 1, 2)


async def test_a_part_comes_without_its_beginning(scans: Scans) -> None:
    for name in ("data/2026/a", "data/2026x/b", "c"):
        scans.dark(name)
    *lines, _ = await scans.lines("adopt", to=TO, under="data/2026/")
    assert found(lines, "adopted") == [f"{TO}/a"]
    *lines, _ = await scans.lines("adopt", to=TO, under="c")
    assert [line["why"] for line in lines] == ["no name is left of it below 'under'"]


async def test_a_dry_run_tells_it_and_does_nothing(scans: Scans) -> None:
    scans.dark("a/b")
    before = await scans.sql("select count(*) from file")
    *lines, summary = await scans.lines("adopt", to=TO, dry_run=True)
    assert (found(lines, "adopted"), summary["adopted"], summary["dry_run"]) == ([f"{TO}/a/b"], 1, True)
    assert await scans.sql("select count(*) from file") == before
    assert await scans.audited("register") == []


async def test_what_cant_be_a_file_is_told_and_the_rest_is_taken(scans: Scans) -> None:
    for name in ("good", "new\nline", "taken/x", "differs"):
        scans.dark(name, b"12345")
    os.mknod(os.fsencode(scans.store.folder / "one") + b"/caf\xe9")
    await scans.store.put(f"{TO}/taken", b"a file where a directory would be", se="two")
    await scans.store.put(f"{TO}/differs", b"another size", se="two")
    *lines, summary = await scans.lines("adopt", to=TO)
    assert found(lines, "adopted") == [f"{TO}/good"]
    codes = {line["pfn"]: line["code"] for line in lines if line["kind"] == "skipped"}
    assert codes.keys() == {"new\nline", "taken/x", "differs", "caf\\xe9"}
    assert codes["differs"] == "conflict"
    assert summary["skipped"] == 4


async def test_a_copy_of_a_known_file_becomes_its_replica(scans: Scans) -> None:
    await scans.store.put(f"{TO}/same", b"12345", se="two")
    scans.dark("same", b"12345")
    await scans.lines("adopt", to=TO, checksums="computed")
    assert {se for se, _ in await scans.store.sources(f"{TO}/same")} == {"one", "two"}
    scans.dark("same2", b"12345")
    await scans.store.put(f"{TO}/same2", b"54321", se="two")
    *lines, _ = await scans.lines("adopt", to=TO, checksums="computed")
    assert "adler32" in lines[0]["why"]


class TestChecksums:
    async def test_those_the_storage_tells(self, scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
        scans.dark("a", b"12345")

        async def stat(self: Any, pfn: str) -> ObjectInfo:
            return ObjectInfo(5, 0, {"md5": "827ccb0eea8a706c4c34a16891f84e7b"})

        monkeypatch.setattr(PosixElement, "stat", stat)
        await scans.lines("adopt", to=TO)
        (row,) = await scans.sql("select csum, adler32 from file where name = 'a'")
        assert (row["csum"], row["adler32"]) == ("md5:827ccb0eea8a706c4c34a16891f84e7b", None)

    async def test_those_it_computes(self, scans: Scans) -> None:
        for n in range(40):
            scans.dark(f"a{n}", b"12345")
        *_, summary = await scans.lines("adopt", to=TO, checksums="computed")
        assert summary["adopted"] == 40
        rows = await scans.sql("select distinct lpad(to_hex(adler32), 8, '0') as a from file where kind = 0")
        assert [r["a"] for r in rows] == [adler32(b"12345")]

    async def test_an_object_that_changes_or_goes_is_skipped(
        self, scans: Scans, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("changed", "gone", "away"):
            scans.dark(name)
        original = PosixElement.stat

        async def stat(self: Any, pfn: str) -> ObjectInfo:
            if pfn == "away":
                raise Transient("not now")
            if pfn == "gone":
                scans.path(pfn).unlink(missing_ok=True)
            if pfn == "changed":
                scans.dark(pfn, b"longer than before")
            return await original(self, pfn)

        monkeypatch.setattr(PosixElement, "stat", stat)
        *lines, _ = await scans.lines("adopt", to=TO)
        assert {line["pfn"]: line["code"] for line in lines} == {
            "changed": "conflict", "gone": "not_found", "away": "unavailable",
        }  # fmt: skip
        assert await files(scans) == []


async def test_a_run_that_is_killed_is_gone_on_with(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        scans.dark(f"f{n}")
    registrar = scans.store.server.services.registrar
    original, calls = type(registrar).register, 0

    async def killed(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ConnectionError("killed")
        return await original(*given, **more)

    monkeypatch.setattr(module, "FOUND", 2)
    with monkeypatch.context() as patch:
        patch.setattr(type(registrar), "register", killed)
        lines = await scans.lines("adopt", to=TO)
    assert (len(found(lines, "adopted")), lines[-1].get("kind")) == (4, None if "error" in lines[-1] else "adopted")
    *lines, summary = await scans.lines("adopt", to=TO)
    assert (summary["adopted"], summary["known"]) == (3, 4)
    assert await files(scans) == [f"{TO}/f{n}" for n in range(7)]


async def test_one_at_a_time(scans: Scans, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    (element,) = await scans.sql("select id from element where name = 'one'")
    await connection.fetchval(module.ScanStore._LOCK, element["id"])
    (problem,) = await scans.lines("adopt", to=TO)
    assert problem["code"] == "conflict"
    await connection.close()


async def test_is_for_administrators_and_needs_a_name(scans: Scans) -> None:
    token = await scans.store.server.services.access.system_token("admin", ("read", "write"), 3600, "tests")
    for body, given, code in (({"to": TO}, token, 403), ({"to": "no lfn"}, None, 400), ({}, None, 400)):
        status, _ = await scans.store.server.call("POST", "/v1/elements/one/adopt", body, token=given)
        assert status == code
