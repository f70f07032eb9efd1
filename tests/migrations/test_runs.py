"""Runs of an import: dry, twice, killed, over what is there already; and input that is no dump."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from lading.model.errors import CatalogError
from lading.model.field import FieldSpec, FieldType
from lading.model.file import FileSpec
from lading.model.metadata import NameValues, SetMetadata
from lading.model.principal import SYSTEM
from migrations.legacy.importer import PolicyFailed
from migrations.legacy.rows import BadSource
from tests.catalog.invariants import broken
from tests.migrations.sample import DUMP, FOLDER, Imported, an_import, imported, state

__all__ = ["imported"]
TABLES = "file dir dir_usage principal element alias acl access edge trash import_entry import_issue".split()  # noqa: SIM905  (a list of words)


def command(dsn: str, *options: str, dump: Path | str = DUMP) -> list[str]:
    maps = {"user-map": "dn_map", "group-map": "group_map", "se-map": "se_map", "path-rules": "path_rules"}
    given = [text for option, name in maps.items() for text in (f"--{option}", str(FOLDER / f"{name}.csv"))]
    return [sys.executable, "-m", "doors.main", "import", "lfc", str(dump), "--database-url", dsn, *given, *options]


async def call(arguments: list[str], stdin: bytes | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def counts(dsn: str) -> dict[str, int]:
    connection = await asyncpg.connect(dsn)
    try:
        return {t: await connection.fetchval(f"select count(*) from {t}") for t in TABLES}
    finally:
        await connection.close()


async def test_the_invariants_hold(imported: Imported) -> None:
    assert await broken(imported.dsn) == {}


async def test_a_dry_run_tells_the_same_and_writes_nothing(imported: Imported, dsn: str, tmp_path: Path) -> None:
    before = await counts(dsn)
    report = tmp_path / "report.json"
    status, output = await call(
        command(dsn, "--dry-run", "--report", str(report), "--suggest-maps", str(tmp_path / "maps"))
    )
    assert status == 0, output
    assert "nothing written" in output
    told = json.loads(report.read_text())
    for part in ("tables", "anomalies", "found", "imported", "hosts", "per_user", "per_group", "subtrees", "elements"):
        assert told[part] == imported.report[part], part
    assert await counts(dsn) == before
    suggested = (tmp_path / "maps" / "dn_map.suggested.csv").read_text().splitlines()
    assert suggested[0] == "dn,username,files,bytes"
    assert len(suggested) > 30
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select count(*) from pg_namespace where nspname like 'import%'") == 0
    await connection.close()


@pytest.mark.slow
async def test_a_second_run_changes_nothing(imported: Imported, postgres: object, dsn: str) -> None:
    await an_import(dsn).run()
    first = await state(dsn)
    report = await an_import(dsn, fingerprint="again").run()
    assert not any(report["written"].values())
    assert await state(dsn) == first


@pytest.mark.slow
async def test_killed_anywhere_and_run_again_it_is_the_same_catalogue(imported: Imported, dsn: str) -> None:
    """kill -9 after ever longer times, the last ones while it loads; then let it finish."""
    for seconds in (0.8, 1.6, 2.4, 3.0, 3.6):
        process = await asyncio.create_subprocess_exec(
            *command(dsn), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(seconds)
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    status, output = await call(command(dsn))
    assert status == 0, output
    compared = ("dirs", "usage", "aliases", "issues")
    assert await state(dsn, *compared) == await state(imported.dsn, *compared)
    assert await broken(dsn) == {}


@pytest.mark.slow
async def test_what_was_made_in_lading_meanwhile_survives(dsn: str, tmp_path: Path) -> None:
    from doors import app
    from doors.config import Config

    services = app.wire(Config(database_url=dsn, data=str(tmp_path)))
    try:
        connection = await asyncpg.connect(dsn)
        mine = [FileSpec("/biomed/user/x/mine.dat", 7, checksums={"adler32": "00000001"})]
        await services.registrar.register(SYSTEM, mine)
        await services.fields.declare(SYSTEM, [FieldSpec("biomed", "site", FieldType.STRING)])
        await services.values.set(SYSTEM, SetMetadata([NameValues("/biomed", {"site": "LYO"})]))
        before = await connection.fetchrow("select id, size, guid from file where name = 'mine.dat'")
        await an_import(dsn).run()
        assert await connection.fetchrow("select id, size, guid from file where name = 'mine.dat'") == before
        # A name of the dump that is taken by something else: what is in lading stays, the row is accounted for.
        row = await connection.fetchrow(
            "select i.legacy_id, f.id, d.path, f.name from import_entry i join file f on f.id = i.entry_id join dir d on d.id = f.dir_id"
            " where f.kind = 0 and d.path like '/biomed/generated/%' order by 1 limit 1"
        )
        await connection.execute(
            "update file set size = coalesce(size, 0) + 1, guid = gen_random_uuid() where id = $1", row["id"]
        )
        await connection.execute("delete from import_entry where legacy_id = $1", row["legacy_id"])
        await connection.execute(
            "update dir_usage u set bytes = u.bytes + 1 from file f where f.id = $1 and u.dir_id = f.dir_id and (u.se_id = 0 or u.se_id = any(f.se))",
            row["id"],
        )
        size = await connection.fetchval("select size from file where id = $1", row["id"])
        report = await an_import(dsn, fingerprint="again").run()
        assert await connection.fetchval("select size from file where id = $1", row["id"]) == size
        assert report["anomalies"]["conflict_existing"]["count"] >= 1
        inherits = "select bool_and(eff = '{\"site\": \"LYO\"}') from dir where path like '/biomed%'"
        assert await connection.fetchval(inherits), "imported directories inherit as others do"
        await connection.close()
        assert await broken(dsn) == {}
    finally:
        await services.close()


async def test_a_policy_can_refuse(dsn: str) -> None:
    before = await counts(dsn)
    with pytest.raises(PolicyFailed) as refused:
        await an_import(dsn, policy=("orphan_replica=fail",)).run()
    assert refused.value.details["codes"] == {"orphan_replica": 12}
    assert await counts(dsn) == before


async def test_a_pipe(dsn: str) -> None:
    status, output = await call(command(dsn, "--dry-run", dump="-"), gzip.decompress(DUMP.read_bytes()))
    assert status == 0, output
    assert "12,637" in output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "dump"),
        (b"hello, this is no dump\n" * 100, "dump"),
        (b"PK\x03\x04" + b"\0" * 600, "zip"),
        (os.urandom(5000), "dump"),
        (b"CREATE TABLE `FC_Files` (\n  `FileID` int\n);\nINSERT INTO `FC_Files` VALUES (1);\n", "DIRAC"),
        (DUMP.read_bytes()[:200_000], "cut short"),
        (gzip.decompress(DUMP.read_bytes())[:1_000_003], "byte"),
    ],
    ids=["empty", "text", "zip", "noise", "dirac", "cut gz", "cut sql"],
)
async def test_what_is_no_dump_is_refused(dsn: str, tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "dump"
    file.write_bytes(content)
    before = await counts(dsn)
    with pytest.raises(BadSource) as refused:
        await an_import(dsn, file).run()
    assert says in refused.value.message
    assert refused.value.message.isprintable()
    assert await counts(dsn) == before


async def test_wrong_options_are_told(dsn: str, tmp_path: Path) -> None:
    for options, says in (
        (["--policy", "nonsense=skip"], "policies"),
        (["--policy", "orphan_replica=import"], "allows"),
        (["--charset", "klingon"], "latin1"),
        (["--report", str(tmp_path / "no" / "where.json")], "folder"),
        (["--user-map", str(tmp_path / "missing.csv")], "missing.csv"),
    ):
        status, output = await call(command(dsn, *options))
        assert status == 2, output
        assert says in output


async def test_only_one_at_a_time(dsn: str) -> None:
    results = await asyncio.gather(*(an_import(dsn, dry_run=True).run() for _ in range(2)), return_exceptions=True)
    refused = [r for r in results if isinstance(r, CatalogError)]
    assert [r.code for r in refused] == ["conflict"]
