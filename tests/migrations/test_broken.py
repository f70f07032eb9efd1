"""Broken dumps are refused whole, with the place and the fix; rows that are hostile or no rows are quarantined or made harmless."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from migrations.legacy.rows import BadSource
from tests.catalog.invariants import broken
from tests.migrations.dumps import HEAD, PEOPLE, create, directory, dump, entry, insert, replica
from tests.migrations.sample import an_import, damage, state
from tests.migrations.test_runs import call, command, counts
from tests.migrations.test_styles import text

GOOD = dump(
    [entry(100, 4, "a.dat"), directory(101, 4, "below")], Cns_file_replica=[replica(1, 100, "srm://se.example.org/a")]
)
ROWS = GOOD.index(b"'a.dat'")
RED = b"\x1b[31m"


async def refused(dsn: str, file: Path, **reading: Any) -> str:
    """The message of a refusal that left nothing behind, in staging neither."""
    before = await counts(dsn)
    with pytest.raises(BadSource) as error:
        await an_import(dsn, file, reading=reading).run()
    assert await counts(dsn) == before
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select count(*) from pg_namespace where nspname like 'import%'") == 0
    await connection.close()
    assert error.value.message.isprintable()
    assert len(error.value.message) < 500
    return error.value.message


async def test_the_dump_that_the_others_are_made_of_is_good(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(GOOD)
    report = await an_import(dsn, tmp_path / "dump").run()
    assert (report["imported"]["files"], report["imported"]["replicas"]) == (1, 1)


def without(table: str) -> bytes:
    return GOOD.replace(create(table), b"").replace(
        insert(table, PEOPLE.get(table, [replica(1, 100, "srm://se.example.org/a")])), b""
    )


BROKEN = {
    "a value too few": (GOOD.replace(b",'00000001',NULL)", b",'00000001')"), "has 15 values .* 16 columns"),
    "a value too many": (GOOD.replace(b",'00000001',NULL)", b",'00000001',NULL,7)"), "has 17 values .* 16 columns"),
    "a value that is none": (GOOD.replace(b",'00000001',NULL)", b",'00000001',now())"), "line 21.*cns_file_metadata"),
    "noise in a row": (GOOD[:ROWS] + bytes(range(256)) * 20 + GOOD[ROWS:], "line 21.*cns_file_metadata"),
    "noise between statements": (GOOD.replace(b"CREATE TABLE `Cns_sym", bytes(range(1, 256)) + b"CREATE TABLE `Cns_sym"), "line .*not a mysqldump"),
    "words between rows": (GOOD.replace(b"),(100", b"), or (100"), "damaged here"),
    "another statement": (HEAD + b"LOAD DATA INFILE '/etc/passwd' INTO TABLE x;\n" + GOOD, "line 3, byte 66: not a mysqldump"),
    "a client's command": (HEAD + b"\\! rm -rf /\n" + GOOD, "line 3, byte 66: not a mysqldump"),
    "triggers": (HEAD + b"DELIMITER ;;\nCREATE TRIGGER x;;\n" + GOOD, "--skip-triggers"),
    "an INSERT of a query": (GOOD.replace(b"VALUES (2,", b"SELECT (2,"), "no mysqldump writes"),
    "an INSERT behind a comment": (GOOD.replace(b"INSERT INTO `Cns_file_m", b"/*!40000 x */ INSERT INTO `Cns_file_m"), "no mysqldump writes"),
    "no users": (without("Cns_userinfo"), "no table Cns_userinfo.*--missing-tables"),
    "no groups": (without("Cns_groupinfo"), "no table Cns_groupinfo.*--missing-tables"),
    "no replicas": (without("Cns_file_replica"), "no table Cns_file_replica.*--missing-tables"),
    "no files": (without("Cns_file_metadata").replace(b"INSERT INTO `Cns_file_metadata`", b"INSERT INTO `x`"), "no row of Cns_file_metadata"),
    "no column for names": (GOOD.replace(b"`name`", b"`nom`"), "no column name"),
    "no root": (GOOD.replace(b"(2,0,", b"(2,9,"), "the root is missing"),
    "columns in another character set": (GOOD.replace(b"CHARSET=latin1", b"CHARSET=koi8r"), "koi8r.*convert"),
    "written in another character set": (GOOD.replace(b"SET NAMES binary", b"SET NAMES ucs2"), "ucs2.*--default-character-set"),
    "a row of 17 MB": (GOOD.replace(b"a.dat", b"x" * (17 << 20), 1), "longer than 16 MB"),
    "UTF-16": (b"\xff\xfe" + GOOD.decode().encode("utf-16-le"), "--result-file"),
    "queries": (b"## select * from Cns_file_metadata\nfileid\n2\n", "mysql -B"),
    "a tar in a pipe's place": (b"x" * 257 + b"ustar" + bytes(300), "cannot be read|tar archive"),
    "the second of two dumps is cut": (GOOD + GOOD[: GOOD.index(b"-- Dump completed")], "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_dump(dsn: str, tmp_path: Path, what: str) -> None:
    data, says = BROKEN[what]
    assert data != GOOD
    (tmp_path / "dump").write_bytes(data)
    assert re.search(says, await refused(dsn, tmp_path / "dump"))


async def test_rows_without_a_comma_are_read_all_the_same(dsn: str, tmp_path: Path) -> None:
    """MySQL would not take it; nothing in it is missed."""
    (tmp_path / "dump").write_bytes(GOOD.replace(b"),(100", b")(100"))
    report = await an_import(dsn, tmp_path / "dump").run()
    assert report["tables"]["Cns_file_metadata"]["imported"] == 5


async def test_cut_anywhere(dsn: str, tmp_path: Path) -> None:
    for cut in range(0, GOOD.index(b"-- Dump completed"), 97):
        (tmp_path / "dump").write_bytes(GOOD[:cut])
        with pytest.raises(BadSource) as error:
            await an_import(dsn, tmp_path / "dump").run()
        assert "cut short" in error.value.message or "not a mysqldump" in error.value.message or cut < 66
    assert await state(dsn, "legacy") == {"legacy": []}


def _tar(cut: int | None) -> bytes:
    return lzma.compress(text("tab_files"))[:cut]


def _zip(change: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(text("tab_files"))) as tar, zipfile.ZipFile(out, "w") as archive:
        for member in tar.getmembers():
            if member.isfile():
                archive.writestr(member.name, tar.extractfile(member).read())  # type: ignore[union-attr]  # members are files
    return out.getvalue().replace(b"12\t3\tNULL\tbelle", change).replace(b"3\t12\t3\t\\N\tbelle", change)


PACKED = {
    "cut gz": (gzip.compress(GOOD)[:-30], "cut short"),
    "damaged gz": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "cannot be read"),
    "cut xz": (lzma.compress(GOOD)[:-60], "cut short|cannot be read"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd -dc"),
    "cut tar": (_tar(20_000), "cannot be read.*copy it again"),
    "tar of something else": (None, "TABLE.txt"),
    "damaged zip": (_zip(b"3\t12\t3\t\\N\tbelli"), "cannot be read.*copy it again"),
    "cut xml": (text("xml")[:300_000], "cut short"),
    "damaged xml": (text("xml").replace(b"<field name=\"guid\" xsi:nil", b"<field nam=\"guid\" xsi:nil"), "byte .*damaged"),
}  # fmt: skip


@pytest.mark.parametrize("what", PACKED)
async def test_a_broken_package(dsn: str, tmp_path: Path, what: str) -> None:
    data, says = PACKED[what]
    file = tmp_path / "dump"
    if data is None:
        with tarfile.open(file, "w") as tar:
            tar.addfile(tarfile.TarInfo("../../etc/passwd"), io.BytesIO())
    else:
        file.write_bytes(data)
    assert re.search(says, await refused(dsn, file, charset="utf8" if "xml" in what else None))
    assert [p.name for p in tmp_path.iterdir()] == ["dump"]


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("Cns_file_replica.txt", lambda b: b[:-20], "Cns_file_replica.txt', line 4.*cut short"),
        ("Cns_file_metadata.txt", lambda b: b.replace(b"\tgrid\t", b"\t"), "line 2: a row of 17 values.*18 columns"),
        ("Cns_file_metadata.sql", None, "--schema-version"),
        ("Cns_file_metadata.txt", None, "no row of Cns_file_metadata"),
        ("Cns_userinfo.txt", None, "no table Cns_userinfo"),
    ],
)
async def test_broken_tab_files(dsn: str, tmp_path: Path, file: str, change: Any, says: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(text("tab_files"))) as tar:
        tar.extractall(tmp_path, filter="data")
    path = tmp_path / "tab" / file
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    assert re.search(says, await refused(dsn, tmp_path / "tab"))


async def test_a_dump_without_replicas_when_that_is_how_it_should_be(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(without("Cns_file_replica"))
    report = await an_import(dsn, tmp_path / "dump", reading={"partial": True}).run()
    assert report["source"]["warnings"] == ["the dump has no table Cns_file_replica"]
    assert report["anomalies"]["file_without_replica"]["count"] == 1


# ── hostile content ─────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES: list[tuple[bytes, str | None]] = [  # and what becomes of each; None: quarantined
    (b"'); DROP TABLE file; --", "'); DROP TABLE file; --"), (b'say "a"', 'say "a"'), (b"..", None), (b".", None), (b"", None),
    (b"../../etc/passwd", None), (b"nul\0byte", "nul%00byte"), (RED + b"red\x07", "%1B[31mred%07"), (b"\xc2\x9b31m", "%9B31m"),
    (b"line\nfeed\r", "line%0Afeed%0D"), (b"back\\slash\\", "back\\slash\\"), (b"\\N", "\\N"), (b"NULL", "NULL"), (b"\\x1b[0m", "\\x1b[0m"),
    (b"%2e%2e%2f", "%2e%2e%2f"), (b"\xff\xfe", "ÿþ"), ("測定".encode(), "測定"), (b" ", " "), (b"$(reboot)`id`", "$(reboot)`id`"), (b"-rf", "-rf"),
    (b"x" * 255, "x" * 255), (b"x" * 256, None), (b"x" * (2 << 20), None), (b"),(1,2,'", "),(1,2,'"), (b"'\\'", "'\\'"),
]  # fmt: skip


async def test_hostile_names(dsn: str, tmp_path: Path) -> None:
    """Each becomes harmless or stays out with its bytes kept; nothing raw comes through the report."""
    file, told = tmp_path / "dump", tmp_path / "report.json"
    file.write_bytes(dump([entry(100 + i, 4, name) for i, (name, _) in enumerate(NAMES)]))
    status, output = await call(command(dsn, "--report", str(told), dump=file))
    assert status == 0, output
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", output)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", told.read_text())
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "select legacy_id, name from import_entry join file on file.id = entry_id where kind = 0"
    )
    assert {r["legacy_id"]: r["name"] for r in rows} == {
        100 + i: name for i, (_, name) in enumerate(NAMES) if name is not None
    }
    out = await connection.fetch("select legacy_id, raw from import_issue where action = 'quarantine'")
    assert {r["legacy_id"] for r in out} == {100 + i for i, (_, name) in enumerate(NAMES) if name is None}
    assert all(json.loads(r["raw"])["parent"] == 4 for r in out)
    await connection.close()
    assert await broken(dsn) == {}
    table = json.loads(told.read_text())["tables"]["Cns_file_metadata"]
    assert table["read"] == table["imported"] + table["skipped"] + table["quarantined"] == len(NAMES) + 3


async def test_hostile_rows_of_all_other_kinds(dsn: str, tmp_path: Path) -> None:
    files = [
        entry(100, 4, "acl of a number too large", acl="A70,B7999999999999999999999,C70"),
        entry(101, 4, "id too large", filesize=10**25), entry(10**19, 4, "fileid too large"), entry(-5, 4, "negative"),
        entry(103, 4, "first"), entry(103, 4, "second of one id"), entry(104, 10**20, "parent too large"),
        entry(105, 4, "mode", filemode=2**40), entry(106, 4, "no number", filemode="abc"), entry(107, 4, "times", mtime=-(10**17), ctime=10**17),
        entry(108, 4, "link", filemode=0o120777), entry(109, 4, "somebody", owner_uid=102, gid=102),
    ]  # fmt: skip
    sfns: list[tuple[bytes, str]] = [
        (b"srm://se.example.org/../../etc/passwd", "replica_sfn_refused"), (b"file:///etc/passwd", "replica_sfn_no_scheme"),
        (b"javascript:alert(1)", "replica_sfn_no_scheme"), (b"", "replica_sfn_refused"), (b"srm://se.example.org/" + b"y" * 5000, "replica_sfn_refused"),
        (b"srm://se.example.org/" + RED + b"\0x", "replica_sfn_escaped"),
    ]  # fmt: skip
    (tmp_path / "dump").write_bytes(
        dump(
            files,
            Cns_file_replica=[replica(i, 109, sfn, host=RED + b"h\0") for i, (sfn, _) in enumerate(sfns, 1)],
            Cns_userinfo=[[101, b"/CN=" + RED + b"\0evil\n\xff", 0], [102, b"/CN=\xc2\x85=cmd()\xe2\x80\xa8", 0]],
            Cns_groupinfo=[[101, RED, 0], [102, "", 1]],
            Cns_symlinks=[[108, b"/grid/../..\0" + RED + b"y" * 10000]],
            Cns_user_metadata=[[103, b"\0" + RED + b"\xff" + b"z" * 100_000]],
        )
    )
    told, maps = tmp_path / "report.json", tmp_path / "maps"
    more = ("--report", str(told), "--suggest-maps", str(maps))
    status, output = await call(command(dsn, *more, dump=tmp_path / "dump"))
    assert status == 0, output
    assert "\x1b" not in output
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", told.read_text())
    found = await damage(dsn)
    assert found["acl_malformed"] == [100]
    assert found["dup_row_id"] == [103]
    assert found["row_malformed"] == [0, 101, 104, 106, 107]
    assert all(i in found[code] for i, (_, code) in enumerate(sfns, 1))
    assert await broken(dsn) == {}
    report = json.loads(told.read_text())
    for table in report["tables"].values():
        assert table["read"] == table["imported"] + table["skipped"] + table["quarantined"]
    # What was suggested can be read back, filled in: every name stands in one line of the map.
    suggested = (maps / "dn_map.suggested.csv").read_text()
    status, output = await call(command(dsn, "--user-map", str(maps / "dn_map.suggested.csv"), dump=tmp_path / "dump"))
    assert status == 0, output + suggested
