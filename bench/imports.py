"""The import of an LFC dump into an empty catalogue, against COPY of the rows it makes into the same indexes.

The dump is the bundled sample, damage included, multiplied up to the stage's number of files.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from migrations import legacy
from tests.migrations import big

from .host import ROOT
from .report import Figure, limit
from .timing import memory
from .world import World, scratch

_SAMPLE = Path(legacy.__file__).parent / "sample"
_FILES = 10_000  # in the sample, nearly
_DATABASE = "bench_import"
_TABLES = ("file", "dir", "dir_usage", "replica_info", "import_entry")
_FRESH = """create schema bench_raw;
create table bench_raw.{0} (like public.{0} including all);"""


async def measure(world: World) -> list[Figure]:
    folder = scratch(world.host.data)
    main = await world.database()
    try:
        dump = folder / "lfc.sql"
        with open(dump, "wb") as out:
            big.write(str(_SAMPLE / "lfc_main.sql.gz"), max(1, world.files // _FILES), out)
        await main.execute(f"drop database if exists {_DATABASE} with (force)")
        await main.execute(f"create database {_DATABASE} template template0 encoding 'UTF8'")
        dsn = world.host.dsn.replace("/postgres?", f"/{_DATABASE}?")
        start = (await asyncio.to_thread(_run, "policies"))[1]
        seconds, peak = await asyncio.to_thread(_run, "lfc", str(dump), *_maps(), "--database-url", dsn)
        connection = await asyncpg.connect(dsn)
        count = await connection.fetchval("select count(*) from file where kind = 0")
        raw = await _raw(connection, folder)
        await connection.close()
        figure = limit("import of an LFC, seconds over COPY of its rows", "x", seconds / raw, 6)
        figure.cpu = f"{count / seconds:,.0f} files/s: {seconds:.1f} s for {count:,} files; COPY {raw:.1f} s"
        return [figure, limit("memory of the import above its start", "MB", (peak - start) / 1e6, 200)]
    finally:
        await main.execute(f"drop database if exists {_DATABASE} with (force)")
        await main.close()
        shutil.rmtree(folder)


def _maps() -> list[str]:
    names = {"--user-map": "dn_map", "--group-map": "group_map", "--se-map": "se_map", "--path-rules": "path_rules"}
    return [part for option, name in names.items() for part in (option, str(_SAMPLE / f"{name}.csv"))]


def _run(*arguments: str) -> tuple[float, int]:
    """(seconds, peak bytes of memory) of `lading-server import`."""
    command = [sys.executable, "-m", "doors.main", "import", *arguments]
    begun = time.perf_counter()
    peak = 0
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=told)
        while process.poll() is None:  # getrusage would count this process's own memory from before the exec
            with contextlib.suppress(OSError, ValueError):
                peak = max(peak, memory(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        told.seek(0)
        if process.returncode:
            raise RuntimeError(f"the import failed: {told.read().decode()[-2000:]}")
    return seconds, peak


async def _raw(connection: asyncpg.Connection[asyncpg.Record], folder: Path) -> float:
    """Seconds of a binary COPY of what the import wrote into the same tables with the same indexes, durable."""
    seconds = 0.0
    await connection.execute("checkpoint")
    for table in _TABLES:
        rows = folder / table
        await connection.copy_from_query(f"select * from public.{table}", output=rows, format="binary")
        await connection.execute(_FRESH.format(table))
        begun = time.perf_counter()
        await connection.copy_to_table(table, schema_name="bench_raw", source=rows, format="binary")
        seconds += time.perf_counter() - begun
        await connection.execute("drop schema bench_raw cascade")
        rows.unlink()
    return seconds
