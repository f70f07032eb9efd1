"""One small LFC in every style that a dump may have: whatever the style, it becomes the same catalogue.

Its tree is not that of the bundled sample, and it has a manifest of its own, which every style must reproduce.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import random
import re
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from migrations.legacy.rows import BadSource
from tests.catalog.invariants import broken
from tests.migrations.sample import an_import, damage, state
from tests.postgres import Postgres

STYLES = Path(__file__).parent / "styles"
TRUTH: dict[str, Any] = json.loads(lzma.decompress((STYLES / "manifest.json.xz").read_bytes()))
# What the dump does not say itself: nothing but these needs to be told.
TELL: dict[str, dict[str, str]] = {
    "compatible_ansi": {"charset": "latin1"},
    "compact_data_only": {"charset": "utf8", "schema_version": "3.1.0"},
    "xml": {"charset": "utf8"},
}
# name_255_bytes: 1.1.1 had names of 231 bytes, and so its dump lacks the row; what it leaves behind follows from that.
LACKS = {"schema_1.1.1": 3822}


@cache
def text(style: str) -> bytes:
    return lzma.decompress(next(STYLES.glob(f"{style}.*.xz")).read_bytes())


@dataclass
class Taken:
    report: dict[str, Any]
    state: dict[str, list[str]]
    damage: dict[str, list[int]]
    broken: dict[str, Any]


async def take(postgres: Postgres, dump: Path, **reading: str) -> Taken:
    dsn = await postgres.create()
    try:
        report = await an_import(dsn, dump, reading=reading).run()
        return Taken(report, await state(dsn), await damage(dsn), await broken(dsn))
    finally:
        await postgres.drop(dsn)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def default(postgres: Postgres) -> AsyncIterator[Taken]:
    yield await take(postgres, STYLES / "default.sql.xz")


def same(taken: Taken, default: Taken) -> None:
    assert taken.broken == {}
    assert taken.damage == default.damage
    for part in default.state:
        assert taken.state[part] == default.state[part], part
    for part in ("tables", "anomalies", "imported", "found", "hosts", "elements", "users", "groups", "per_user"):
        assert taken.report[part] == default.report[part], part


def test_the_manifest_of_this_tree(default: Taken) -> None:
    for code, truth in TRUTH["anomalies"].items():
        assert default.damage[code] == sorted(truth["ids"]), code
        assert default.report["anomalies"][code]["count"] == truth["count"], code
    assert default.report["found"]["tree"] == TRUTH["tree"]
    assert default.report["found"]["replicas"] == TRUTH["replicas"]
    assert {t: default.report["tables"][t]["read"] for t in TRUTH["raw_rows"]} == TRUTH["raw_rows"]
    assert default.state["names"]
    assert default.state["replicas"]


@pytest.mark.parametrize(
    "style",
    [
        "charset_binary", "charset_latin1", "compact_data_only", "compatible_ansi", "complete_insert", "hex_blob", "mysql5_oneline",
        "skip_extended_insert", "tab_files", "xml",
    ],
)  # fmt: skip
async def test_a_style(postgres: Postgres, default: Taken, style: str) -> None:
    file = next(STYLES.glob(f"{style}.*.xz"))
    taken = await take(postgres, file, **TELL.get(style, {}))
    assert taken.report["source"]["warnings"] == []
    same(taken, default)


# ── variations of the files above ───────────────────────────────────────────────────────────────────────────────────────


def replace(dump: bytes) -> bytes:
    """mysqldump --replace"""
    return dump.replace(b"INSERT INTO", b"REPLACE INTO")


def ignore(dump: bytes) -> bytes:
    """mysqldump --insert-ignore --databases"""
    return re.sub(rb"INSERT INTO (`\w+`)", rb"INSERT  IGNORE INTO `cns_db`.\1", dump)


def bare(dump: bytes) -> bytes:
    """mysqldump --skip-quote-names"""
    head = re.compile(rb"^(CREATE TABLE|INSERT INTO|DROP TABLE IF EXISTS|LOCK TABLES) `(\w+)`", re.M)
    return re.sub(rb"^(  (?:UNIQUE )?(?:KEY )?)`(\w+)`", rb"\1\2", head.sub(rb"\1 \2", dump), flags=re.M)


def windows(dump: bytes) -> bytes:
    """Lines as Windows ends them, after a mark that says it is UTF-8."""
    return b"\xef\xbb\xbf" + dump.replace(b"\n", b"\r\n")


def lower(dump: bytes) -> bytes:
    """A server with lower_case_table_names=1."""
    return re.sub(rb"`Cns_\w+`", lambda m: m[0].lower(), dump)


def introduced(dump: bytes) -> bytes:
    """mysqldump 8: strings of binary columns have an introducer."""
    return re.sub(rb",('(?:srm|sfn|gsiftp|root)://[^'\\]*')\)", rb",_binary \1)", dump)


def shuffled(dump: bytes) -> bytes:
    """Rows and tables in any order: children before parents, replicas before files, people last."""
    lines = dump.split(b"\n")
    rows = [line for line in lines if line.startswith(b"INSERT INTO")]
    random.Random(4).shuffle(rows)
    rest = [line for line in lines if not line.startswith(b"INSERT INTO")]
    end = next(i for i, line in enumerate(rest) if line.startswith(b"-- Dump completed"))
    return b"\n".join([*rest[:end], *rows, *rest[end:]])


@pytest.mark.parametrize("change", [replace, ignore, bare, windows, lower, introduced], ids=lambda f: f.__name__)
async def test_a_variation_of_the_default(
    postgres: Postgres, default: Taken, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    dump = tmp_path / "dump.sql.bz2"
    changed = change(text("default"))
    assert changed != text("default")
    dump.write_bytes(bz2.compress(changed))
    taken = await take(postgres, dump)
    if change is lower:  # tables that nobody reads keep their spelling
        spelled = {t.lower(): t for t in default.report["tables"]}
        taken.report["tables"] = {spelled[t.lower()]: n for t, n in taken.report["tables"].items()}
    same(taken, default)


async def test_any_order(postgres: Postgres, default: Taken, tmp_path: Path) -> None:
    dump = tmp_path / "dump.sql"
    dump.write_bytes(shuffled(text("skip_extended_insert")))
    taken = await take(postgres, dump)
    same(taken, default)


def _folder(tar: tarfile.TarFile, path: Path) -> Path:
    for member in tar.getmembers():
        if member.isfile():
            (path / Path(member.name).name).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]  # members are files
    return path


def _zip(tar: tarfile.TarFile, path: Path) -> Path:
    with zipfile.ZipFile(path / "dump.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member in reversed(tar.getmembers()):
            if member.isfile():
                archive.writestr(member.name, tar.extractfile(member).read())  # type: ignore[union-attr]  # members are files
    return path / "dump.zip"


@pytest.mark.parametrize("pack", [_folder, _zip])
async def test_tab_files_in_a_folder_or_zip(
    postgres: Postgres, default: Taken, tmp_path: Path, pack: Callable[[tarfile.TarFile, Path], Path]
) -> None:
    with tarfile.open(fileobj=io.BytesIO(text("tab_files"))) as tar:
        dump = pack(tar, tmp_path)
    same(await take(postgres, dump), default)


# ── versions of the schema ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_schema_3_2_0(postgres: Postgres, default: Taken) -> None:
    """Its new column is kept aside; all else is the same."""
    taken = await take(postgres, STYLES / "schema_3.2.0.sql.xz")
    assert taken.report["source"]["schema"] == "3.2.0"
    kept = taken.damage.pop("xattr_kept_aside")
    assert len(kept) == 7
    assert taken.damage == default.damage
    for part in ("names", "replicas", "dirs", "usage", "people"):
        assert taken.state[part] == default.state[part], part
    assert sum('"xattr": ' in row for row in taken.state["legacy"]) == 6  # the seventh is on a cycle
    assert len(set(TRUTH["anomalies"]["parent_cycle"]["ids"]) & set(kept)) == 1


async def test_schema_1_1_1(postgres: Postgres, default: Taken) -> None:
    """It knows less of replicas, and a name too long for it is not there; all else is the same."""
    taken = await take(postgres, STYLES / "schema_1.1.1.sql.xz")
    lacks = LACKS["schema_1.1.1"]
    assert taken.report["source"]["schema"] == "1.1.1"
    assert default.damage["name_255_bytes"] == [lacks]
    assert [n for n in default.state["names"] if n not in taken.state["names"]] == [
        n for n in default.state["names"] if "L" * 200 in n
    ]
    assert [n for n in taken.state["names"] if n not in default.state["names"]] == []
    # Its two replicas are orphans now, and its directory has one entry fewer than nlink says.
    expected = {code: list(ids) for code, ids in default.damage.items() if code != "name_255_bytes"}
    expected["orphan_replica"] = sorted([*expected["orphan_replica"], 45, 46])
    expected["nlink_wrong"] = sorted([*expected["nlink_wrong"], 3464])
    assert taken.damage == expected
    assert len(taken.state["replicas"]) == len(default.state["replicas"]) - 2
    assert taken.report["found"]["replicas"]["ctime_null"] == TRUTH["replicas"]["rows"]


# ── character sets ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("style", "told", "says"),
    [
        ("compatible_ansi", {}, "--charset"),
        ("compatible_ansi", {"charset": "utf8"}, "not written in utf8"),
        ("compatible_ansi", {"charset": "latin1", "client": "utf8"}, "not written in utf8, as --dump-charset says"),
        ("compact_data_only", {"charset": "utf8"}, "--schema-version (its 18 values fit 1.1.1 and 3.1.0)"),
        ("compact_data_only", {"schema_version": "3.1.0"}, "--charset"),
        ("compact_data_only", {"charset": "latin1", "schema_version": "3.1.0"}, "pass --charset utf8"),
        (
            "compact_data_only",
            {"charset": "utf8", "schema_version": "3.2.0"},
            "has 18 values that can be read, and the table has 19 columns: --schema-version is wrong",
        ),
        ("xml", {}, "--charset"),
        ("default", {"charset": "utf8"}, "is in latin1, not in utf8"),
    ],
)
async def test_a_wrong_word_about_the_dump_is_noticed(dsn: str, style: str, told: dict[str, str], says: str) -> None:
    """And nothing was written."""
    before = await state(dsn)
    with pytest.raises(BadSource) as refused:
        await an_import(dsn, next(STYLES.glob(f"{style}.*.xz")), reading=told).run()
    assert says in refused.value.message
    assert await state(dsn) == before


async def test_a_suspect_character_set_is_a_warning_when_insisted_on(postgres: Postgres) -> None:
    taken = await take(
        postgres, STYLES / "compact_data_only.sql.xz", charset="latin1", client="latin1", schema_version="3.1.0"
    )
    assert any("encoded twice" in w for w in taken.report["source"]["warnings"])


async def test_the_right_word_changes_nothing(postgres: Postgres, default: Taken) -> None:
    same(await take(postgres, STYLES / "default.sql.xz", charset="latin1"), default)


async def test_a_table_that_is_utf8_needs_no_word(postgres: Postgres, tmp_path: Path) -> None:
    """Columns say each for itself what they are in."""
    dump = tmp_path / "dump.sql"
    create = (
        b"CREATE TABLE `%s` (\n%s\n) ENGINE=InnoDB DEFAULT CHARSET=utf8;\nINSERT INTO `%s` VALUES %s;\n"
    )  # fmt: skip
    files = (
        b"  `fileid` bigint,\n  `parent_fileid` bigint,\n  `name` varchar(255),\n  `filemode` int,\n  `guid` char(36)"
    )
    rows = "(2,0,'/',16877,NULL),(3,2,'grid',16877,NULL),(4,3,'Ã©té 測',33188,NULL)".encode()
    dump.write_bytes(b"SET NAMES utf8mb4;\n" + create % (b"Cns_file_metadata", files, b"Cns_file_metadata", rows))
    dsn = await postgres.create()
    await an_import(dsn, dump, reading={"partial": True}).run()
    assert any("'Ã©té 測'" in name for name in (await state(dsn))["names"])
    assert "name_utf8_in_latin1" not in await damage(dsn)
    await postgres.drop(dsn)
