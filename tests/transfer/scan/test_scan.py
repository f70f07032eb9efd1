"""Live scans: what is lost, dark, different; what is left out; and scans that don't come to their end."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from storage_plugins.base import ScanEntry
from storage_plugins.errors import Transient
from storage_plugins.posix import PosixElement
from tests.transfer.scan.conftest import Scans, found

DAY = 86_400


async def test_finds_lost_dark_and_different(scans: Scans) -> None:
    for name in ("a", "b", "c"):
        await scans.put(name)
    (await scans.put("lost")).unlink()
    (await scans.put("short")).write_bytes(b"01234")
    scans.dark("x/dark é\n1", b"12345678")
    *lines, summary = await scans.lines()
    assert found(lines, "lost") == ["/vo/lost"]
    assert found(lines, "mismatch") == ["/vo/short"]
    assert found(lines, "dark") == ["x/dark é\n1"]
    by_kind = {line["kind"]: line for line in lines}
    assert (by_kind["mismatch"]["size"], by_kind["mismatch"]["expected"]) == (5, 10)
    assert by_kind["lost"]["pfn"] == await scans.pfn("lost")
    assert by_kind["lost"]["guid"]
    sums = {"objects": 5, "replicas": 5, "same": 3, "lost": 1, "dark": 1, "mismatch": 1, "dark_bytes": 8}
    assert sums.items() <= summary.items()
    assert (summary["kind"], summary["lost_bytes"], summary["bytes"]) == ("summary", 10, 43)


async def test_changes_nothing_unless_told(scans: Scans) -> None:
    (await scans.put("lost")).unlink()
    dark = scans.dark("dark")
    before = await scans.sql("select count(*) from audit")
    await scans.lines()
    assert await scans.store.sources("/vo/lost") == [("one", "available")]
    assert dark.exists()
    assert await scans.sql("select count(*) from audit") == before
    assert await scans.sql("select 1 from deletion") == []


async def test_names_sort_by_their_bytes_on_both_sides(scans: Scans) -> None:
    """As no collation but C does, and not as UTF-16 does; one is no UTF-8."""
    names = ["a b", "a/b", "a.b", "B", "b", "ä", "z", "\uffee", "\U0001f600", "a\tb", "a\x01b"]
    element = {"layout": "identity"}
    await scans.store.server.call("PATCH", "/v1/elements/one", element)
    known = [n for n in names if "\t" not in n and "\x01" not in n]
    for name in known:
        await scans.put(name)
    scans.dark("a\tb")
    scans.dark("a\x01b")
    os.mknod(os.fsencode(scans.store.folder / "one") + b"/caf\xe9")
    *lines, summary = await scans.lines()
    assert found(lines, "dark") == ["a\x01b", "a\tb", "caf\\xe9"]
    assert (summary["same"], summary["lost"]) == (len(known), 0)
    assert lines[-1]["raw"] == "caf%E9"


async def test_names_as_the_database_has_them(scans: Scans) -> None:
    """Of an import, which takes what it finds."""
    for n, name in enumerate(["back\\slash", "\\N", "tab\t", "new\nline", "one\x01", "\x0b\x0c\r\b", "\x7f\x85\u2028"]):
        (await scans.put(f"f{n}", b"123")).unlink()
        scans.dark(name, b"123")
        await scans.sql(
            "update file set pfn = jsonb_build_object((select id::text from element where name = 'one'), $1::text)"
            " where name = $2",
            name,
            f"f{n}",
        )
    *lines, summary = await scans.lines()
    assert (lines, summary["same"]) == ([], 7)


async def test_what_is_young_is_left_out(scans: Scans) -> None:
    (await scans.put("lost")).unlink()
    old, _ = scans.dark("old"), scans.dark("young")
    os.utime(old, (1, 1))
    *lines, summary = await scans.lines(grace=DAY)
    assert [line["kind"] for line in lines] == ["dark"]
    assert found(lines, "dark") == ["old"]
    assert summary["young"] == 2


async def test_uploads_and_copies_under_way_are_in_flight(scans: Scans) -> None:
    (await scans.put("copying")).unlink()
    await scans.sql("update file set rstate = '{1}' where name = 'copying'")
    scans.dark("half-written")
    await scans.sql(
        "insert into upload(id, lfn, se_id, pfn, guid, user_id, started, expires) select gen_random_uuid(), '/vo/n', id,"
        " 'half-written', gen_random_uuid(), 1, 0, 9e15 from element where name = 'one'"
    )
    *lines, summary = await scans.lines()
    assert lines == []
    assert summary["in_flight"] == 2


async def test_what_is_to_be_deleted_is_not_dark(scans: Scans) -> None:
    await scans.put("gone")
    await scans.put("gone", se="two")
    call = {"replicas": [{"lfn": "/vo/gone", "se": "one"}]}
    status, answer = await scans.store.server.call("POST", "/v1/replicas/drop", call)
    assert status == 200, answer
    *lines, summary = await scans.lines()
    assert (lines, summary["going"]) == ([], 1)


async def test_files_in_the_trash_are_still_the_catalogues(scans: Scans) -> None:
    path = await scans.put("kept")
    await scans.store.server.call("POST", "/v1/remove", {"lfns": ["/vo/kept"]})
    *lines, summary = await scans.lines()
    assert (lines, summary["same"]) == ([], 1)
    path.unlink()
    *lines, _ = await scans.lines()
    assert [line["note"] for line in lines] == ["its file is in the trash"]


async def test_a_part_is_looked_at_alone(scans: Scans) -> None:
    pfn = await scans.pfn("a") if await scans.put("a") else ""
    (await scans.put("b")).unlink()
    scans.dark("zz/dark")
    *lines, summary = await scans.lines(under=pfn)
    assert (lines, summary["objects"], summary["replicas"]) == ([], 1, 1)
    *lines, _ = await scans.lines(under="zz/")
    assert found(lines, "dark") == ["zz/dark"]


class TestBrokenOff:
    """No finding is told by a scan that could not see everything."""

    async def test_a_folder_that_cant_be_read(self, scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "b"):
            (await scans.put(name)).unlink()

        async def broken(self: Any, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
            yield ScanEntry("some", 1, 0)
            raise Transient("the connection broke")

        monkeypatch.setattr(PosixElement, "scan", broken)
        lines = await scans.lines(lost="mark-lost", however_many=True)
        assert "kind" not in str(lines)
        assert "broke off after 1 objects" in str(lines[-1])
        assert await scans.store.sources("/vo/a") == [("one", "available")]

    async def test_an_element_that_is_away(self, scans: Scans) -> None:
        await scans.put("a")
        shutil.move(scans.store.folder / "one", scans.store.folder / "elsewhere")
        status, problem = await scans.store.server.call("POST", "/v1/elements/one/scan", {"grace": 0})
        assert (status, problem["code"]) == (503, "unavailable")

    async def test_an_element_that_is_off(self, scans: Scans) -> None:
        await scans.store.server.call("PATCH", "/v1/elements/one", {"state": "off"})
        status, _ = await scans.store.server.call("POST", "/v1/elements/one/scan", {})
        assert status == 503


async def test_is_for_administrators(scans: Scans) -> None:
    token = await scans.store.server.services.access.system_token("admin", ("read", "write"), 3600, "tests")
    for path, options in (("scan", {"body": {}}), ("scan/dump", {"data": b"a 1\n", "params": {"recorded": "1"}})):
        body = options.pop("body", None)
        if body is not None:
            status, _ = await scans.store.server.call("POST", f"/v1/elements/one/{path}", body, token=token)
        else:
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{scans.store.server.url}/v1/elements/one/{path}"
            async with scans.store.server.http.post(url, headers=headers, **options) as response:
                status = response.status
        assert status == 403


async def test_an_unknown_element_is_not_found(scans: Scans) -> None:
    status, _ = await scans.store.server.call("POST", "/v1/elements/none/scan", {})
    assert status == 404
