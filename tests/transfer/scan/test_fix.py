"""What is done about findings: only what was told, only what is still so, and never too much."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.transfer.scan.conftest import Scans, found
from transfer.scan.store import ScanStore

ALL = {"lost": "mark-lost", "mismatch": "suspect", "dark": "delete", "however_many": True}


async def _one_of_each(scans: Scans) -> Path:
    """`well`, `lost`, `short`, and a dark object that is returned."""
    await scans.put("well")
    (await scans.put("lost")).unlink()
    (await scans.put("short")).write_bytes(b"0")
    return scans.dark("dark")


async def state(scans: Scans, name: str) -> str:
    (row,) = await scans.sql("select coalesce(rstate[1], 0) as n from file where name = $1", name)
    return ["available", "copying", "suspect", "lost", "deleting"][row["n"]]


async def test_all_is_done_that_was_told(scans: Scans) -> None:
    dark = await _one_of_each(scans)
    *lines, summary = await scans.lines(**ALL)
    did = {line.get("lfn") or line["pfn"]: line["did"] for line in lines if line["kind"] == "fixed"}
    assert did == {"/vo/lost": "mark-lost", "/vo/short": "suspect", "dark": "delete"}
    assert (summary["fixed"], summary["kept"]) == (3, 0)
    assert [await state(scans, n) for n in ("well", "lost", "short")] == ["available", "lost", "suspect"]
    await scans.store.clean()
    assert not dark.exists()
    assert scans.path(await scans.pfn("short")).exists()
    (marked,) = await scans.audited("scan.mark")
    assert (marked["count"], sorted(marked["targets"])) == (2, ["/vo/lost", "/vo/short"])
    assert marked["details"] == {"element": "one"}
    (deleted,) = await scans.audited("scan.delete")
    assert (deleted["count"], deleted["targets"]) == (1, ["dark"])
    notes = await scans.sql("select note from replica_info order by note")
    assert [n["note"] for n in notes] == ["scan: lost (no object)", "scan: mismatch (size)"]


async def test_run_again_it_has_nothing_to_do(scans: Scans) -> None:
    await _one_of_each(scans)
    await scans.lines(**ALL)
    await scans.store.clean()
    *lines, summary = await scans.lines(**ALL)
    assert (summary["known_lost"], summary["lost"], summary["dark"], summary["fixed"]) == (1, 0, 0, 0)
    assert found(lines, "kept") == ["/vo/short"]  # which is still different, and marked
    assert len(await scans.audited("scan.mark")) == 1


@pytest.mark.parametrize("only", ["lost", "mismatch", "dark"])
async def test_nothing_else_is_done(scans: Scans, only: str) -> None:
    dark = await _one_of_each(scans)
    await scans.lines(**{only: ALL[only]}, however_many=True)
    await scans.store.clean()
    assert dark.exists() == (only != "dark")
    assert await state(scans, "lost") == ("lost" if only == "lost" else "available")
    assert await state(scans, "short") == ("suspect" if only == "mismatch" else "available")


async def test_a_dry_run_tells_it_and_does_nothing(scans: Scans) -> None:
    dark = await _one_of_each(scans)
    before = await scans.sql("select count(*) from audit")
    *_, summary = await scans.lines(**ALL, dry_run=True)
    assert (summary["fixed"], summary["dry_run"]) == (3, True)
    await scans.store.clean()
    assert dark.exists()
    assert [await state(scans, n) for n in ("lost", "short")] == ["available", "available"]
    assert await scans.sql("select count(*) from audit") == before


@pytest.mark.parametrize("only", ["lost", "mismatch", "dark"])
async def test_more_than_a_tenth_needs_a_word(scans: Scans, only: str) -> None:
    dark = await _one_of_each(scans)
    lines = await scans.lines(**{only: ALL[only]})
    assert lines[-1]["error"]["code"] == "conflict"
    assert "however_many" in lines[-1]["error"]["message"]
    assert found(lines, "dark") == ["dark"]  # the findings are told all the same
    await scans.store.clean()
    assert dark.exists()
    assert [await state(scans, n) for n in ("lost", "short")] == ["available", "available"]


async def test_up_to_a_tenth_needs_none(scans: Scans) -> None:
    for n in range(9):
        await scans.put(f"well{n}")
    (await scans.put("lost")).unlink()
    *_, summary = await scans.lines(lost="mark-lost")
    assert summary["fixed"] == 1


async def test_what_a_dump_says_is_looked_at_again(scans: Scans) -> None:
    """It says the same of an object that is there, of one that is not, and of dark ones that are none any more."""
    await scans.put("there")
    (await scans.put("gone")).unlink()
    await scans.put("size")
    os.utime(scans.dark("young"), (2**31, 2**31))
    scans.dark("other", b"another size")
    scans.dark("dark")
    data = f"{await scans.pfn('size')} 77\nyoung 4\nother 4\nvanished 4\ndark 4\n../../etc/passwd 4\n".encode()
    *lines, summary = await scans.dump(data, **ALL)
    assert found(lines, "fixed") == ["/vo/gone", "dark"]
    why = {line.get("lfn") or line["pfn"]: line["why"] for line in lines if line["kind"] == "kept"}
    assert "'..'" in why.pop("../../etc/passwd")
    assert why == {
        "/vo/there": "the object is there now",
        "/vo/size": "the object has changed since",
        "young": "it is younger than the grace",
        "other": "the object has changed since",
        "vanished": "the object is no more",
    }
    assert (summary["fixed"], summary["kept"]) == (2, 6)


async def test_an_element_that_cant_be_asked_again_changes_nothing(scans: Scans) -> None:
    (await scans.put("a")).unlink()
    await scans.store.server.call("PATCH", "/v1/elements/one", {"can_read": False})
    (problem,) = await scans.dump(b"x 1\n", **ALL)
    assert problem["code"] == "unavailable"


async def test_names_that_are_no_pfns_stay(scans: Scans) -> None:
    await scans.put("a")
    os.mknod(os.fsencode(scans.store.folder / "one") + b"/caf\xe9")
    scans.dark("new\nline")
    *lines, _ = await scans.lines(**ALL)
    assert found(lines, "fixed") == []
    assert len(found(lines, "kept")) == 2
    assert all("by hand" in line["why"] for line in lines if line["kind"] == "kept")


class TestDeleting:
    """Never what the catalogue knows, whenever it came to know it."""

    async def test_a_kill_before_the_release_deletes_nothing(
        self, scans: Scans, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dark = await _one_of_each(scans)

        async def killed(*_: Any) -> Any:
            raise ConnectionError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(ScanStore, "release", killed)
            await scans.lines(**ALL)
        await scans.store.clean()
        assert dark.exists()
        *lines, _ = await scans.lines(**ALL)
        assert found(lines, "fixed") == ["dark"]
        await scans.store.clean()
        assert not dark.exists()
        assert await scans.sql("select 1 from deletion") == []

    async def _register(self, scans: Scans) -> None:
        file = {"lfn": "/vo/mine", "size": 4, "replicas": [{"se": "one", "pfn": "dark"}]}
        status, answer = await scans.store.server.call("POST", "/v1/files/register", {"files": [file]})
        assert status == 200, answer

    @pytest.mark.parametrize("moment", ["hold", "mark", "release"])
    async def test_what_is_registered_meanwhile_stays(
        self, scans: Scans, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        dark = await _one_of_each(scans)
        original = getattr(ScanStore, moment)
        registered = False

        async def late(*given: Any) -> Any:
            nonlocal registered
            if not registered:
                registered = True
                await asyncio.create_task(self._register(scans))
            return await original(*given)

        monkeypatch.setattr(ScanStore, moment, late)
        lines = await scans.lines(**ALL)
        assert (registered, lines[-1]["kind"]) == (True, "summary")
        assert "dark" not in found(lines, "fixed")
        await scans.store.clean()
        assert dark.exists()

    async def test_changes_under_way_are_waited_for(self, scans: Scans, dsn: str) -> None:
        """Such as a registration that did not see the deletion and is not seen by us."""
        dark = await _one_of_each(scans)
        connection = await asyncpg.connect(dsn)
        change = connection.transaction()
        await change.start()
        await connection.execute(
            "update file set pfn = jsonb_build_object((select id::text from element where name = 'one'), 'dark')"
            " where name = 'well'"
        )
        running = asyncio.create_task(scans.lines(**ALL))
        while not await scans.sql("select 1 from deletion where pfn = 'dark'"):
            assert not running.done()
            await asyncio.sleep(0.01)
        await change.commit()
        await connection.close()
        lines = await running
        assert [line["why"] for line in lines if line["kind"] == "kept"] == ["the catalogue knows it now"]
        await scans.store.clean()
        assert dark.exists()

    async def test_one_at_a_time(self, scans: Scans, dsn: str) -> None:
        await _one_of_each(scans)
        connection = await asyncpg.connect(dsn)
        (element,) = await scans.sql("select id from element where name = 'one'")
        await connection.fetchval(ScanStore._LOCK, element["id"])
        lines = await scans.lines(**ALL)
        assert lines[-1]["error"]["code"] == "conflict"
        await connection.close()

    async def test_not_where_the_catalogue_knows_nothing(self, scans: Scans) -> None:
        scans.dark("a")
        (problem,) = await scans.lines(dark="delete", however_many=True)
        assert "adopt" in problem["detail"]

    async def test_not_where_nothing_may_be_deleted(self, scans: Scans) -> None:
        await scans.put("a")
        await scans.store.server.call("PATCH", "/v1/elements/one", {"can_delete": False})
        (problem,) = await scans.lines(dark="delete")
        assert problem["code"] == "unavailable"

    @pytest.mark.parametrize(
        ("path", "prefix", "under", "refused"),
        [
            ("one", "", None, True),
            ("one", "x/", None, True),
            ("one", "x/", "y/", False),
            ("one/x", "", None, True),
            ("one/x", "", "x/y", True),
            ("one/x", "", "y/", False),
            ("", "", None, True),
            ("", "other/", None, False),
            ("one-too", "", None, False),
        ],
    )
    async def test_not_where_another_element_may_have_them(
        self, scans: Scans, path: str, prefix: str, under: str | None, refused: bool
    ) -> None:
        await scans.put("a")
        options = {"path": str(scans.store.folder / path)}
        spec = {"name": "other", "type": "posix", "options": options, "prefix": prefix}
        status, answer = await scans.store.server.call("POST", "/v1/elements", spec)
        assert status == 201, answer
        order = {"dark": "delete", "however_many": True} | ({"under": under} if under else {})
        lines = await scans.lines(**order)
        assert (lines[-1].get("code") == "conflict") == refused, lines
