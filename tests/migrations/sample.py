"""The bundled LFC dump, imported once for all tests of a module, and its ground truth."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest_asyncio

import migrations.legacy
from migrations.legacy.anomalies import policies
from migrations.legacy.importer import Import, Options
from migrations.legacy.maps import Maps, load
from migrations.legacy.open_dump import open_lfc
from tests.postgres import Postgres

FOLDER = Path(migrations.legacy.__file__).parent / "sample"
DUMP = FOLDER / "lfc_main.sql.gz"


@cache
def manifest() -> dict[str, Any]:
    with gzip.open(FOLDER / "lfc_main.manifest.json.gz") as file:
        return json.load(file)


def maps() -> Maps:
    return load(*(str(FOLDER / f"{name}.csv") for name in ("dn_map", "group_map", "se_map", "path_rules")))


def an_import(
    dsn: str,
    dump: Path = DUMP,
    *,
    policy: tuple[str, ...] = (),
    fingerprint: str | None = "test",
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> Import:
    """An import of a dump with the bundled maps; `reading` is for `open_lfc`, other options are `Options`'."""
    wished = {k: v for k, v in options.items() if k != "maps"}
    return Import(
        dsn,
        lambda: open_lfc(str(dump), **(reading or {})),
        Options("lfc", options.get("maps") or maps(), policies(policy), fingerprint, **wished),
    )


@dataclass
class Imported:
    dsn: str
    report: dict[str, Any]
    connection: asyncpg.Connection[asyncpg.Record]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def imported(postgres: Postgres) -> AsyncIterator[Imported]:
    dsn = await postgres.create()
    report = await an_import(dsn).run()
    connection = await asyncpg.connect(dsn)
    yield Imported(dsn, report, connection)
    await connection.close()
    await postgres.drop(dsn)


# Everything an import writes to the catalogue, without what differs by nature: times of now, and ids that sequences gave.
STATE = {
    "names": """select d.path, f.name, f.kind, f.size, f.guid, f.ctime, f.mtime, o.name, g.name, f.mode, f.status, f.adler32,
        f.csum, f.target, f.comment, a.entries, (select array_agg(e.name order by e.name) from element e where e.id = any(f.se))
        from file f join dir d on d.id = f.dir_id left join principal o on o.id = f.owner_id left join principal g on g.id = f.group_id
        left join acl a on a.id = f.acl_id where f.id > 1000 and f.ctime < 1500000000000000""",
    "replicas": """select d.path, f.name, e.name, f.pfn ->> e.id::text, f.rstate[r.n], i.ctime, i.atime, i.legacy
        from file f join dir d on d.id = f.dir_id cross join lateral unnest(f.se) with ordinality r(se_id, n) join element e on e.id = r.se_id
        left join replica_info i on i.file_id = f.id and i.se_id = r.se_id where f.id > 1000 and f.ctime < 1500000000000000""",
    "dirs": "select path from dir",
    "usage": "select d.path, coalesce(e.name, ''), u.nfiles, u.bytes from dir_usage u join dir d on d.id = u.dir_id left join element e on e.id = u.se_id where u.nfiles > 0",
    "aliases": "select prefix, target from alias",
    "legacy": """select i.legacy_id, d.path, f.name, i.atime, i.original
        from import_entry i join file f on f.id = i.entry_id join dir d on d.id = f.dir_id""",
    "issues": "select source_table, legacy_id, code, action, value from import_issue",
    "people": "select kind, name, dns, placeholder from principal",
}


async def damage(dsn: str) -> dict[str, list[int]]:
    """{code: the ids of its rows in ascending order, one for every note}."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "select code, array_agg(legacy_id order by legacy_id) as ids from import_issue group by 1"
        )
        return {r["code"]: r["ids"] for r in rows}
    finally:
        await connection.close()


async def state(dsn: str, *parts: str) -> dict[str, list[str]]:
    """The catalogue, for comparing."""
    connection = await asyncpg.connect(dsn)
    try:
        return {p: sorted(str(tuple(r)) for r in await connection.fetch(STATE[p])) for p in parts or STATE}
    finally:
        await connection.close()
