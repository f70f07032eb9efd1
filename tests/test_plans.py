"""The hot statements find what they look for by the index that is there for it: see `plans`.

On a table that was never analysed too: that is what a catalogue is right after an import, and where planners go astray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from catalog.db import Connection
from catalog.namespace.listing_store import ListingStore
from catalog.namespace.store import NamesStore
from catalog.namespace.tree_store import TreeStore
from catalog.replicas.store import ReplicasStore
from transfer.store import TransferStore

from .plans import plans_of
from .postgres import Postgres

# Small directories on average, as in most catalogues: then reading a whole directory looks cheap to the planner, which does
# not know that the one asked for may have a million entries.
FILES, DIRS = 50_000, 5_000
HOT = {"file", "dir", "dir_usage", "deletion", "upload", "trash", "edge", "replica_info"}
GUID = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"

_FILL = f"""
do $$ declare t text; begin
  for t in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' loop
    execute format('alter table %I set (autovacuum_enabled = off)', t); end loop; end $$;
insert into element(id, name, type, ctime, mtime) select n, 'se' || n, 'memory', 0, 0 from generate_series(1, 3) n;
insert into file(id, dir_id, name, kind, ctime, mtime, owner_id, group_id, mode)
  select 2000 + n, case when n < 20 then 1 else 2000 + n % 20 end, 'd' || n, 1, 0, 0, 1, 2, 493 from generate_series(0, {DIRS} - 1) n;
insert into dir(id, path, access_id)
  select 2000 + n, case when n < 20 then '' else '/d' || n % 20 end || '/d' || n, 1 from generate_series(0, {DIRS} - 1) n;
insert into file(id, dir_id, name, size, guid, ctime, mtime, owner_id, group_id, mode, se)
  select 10000 + n, 2000 + n % {DIRS}, 'f' || n, n, gen_random_uuid(), 0, 0, 1, 2, 436, array[1 + n % 3] from generate_series(1, {FILES}) n;
insert into dir_usage select dir_id, s, count(*), sum(size) from file cross join lateral unnest(se || 0) s where kind = 0 group by 1, 2;
insert into replica_info(file_id, se_id, note) select 10000 + n, 1 + n % 3, 'n' from generate_series(1, {FILES}, 5) n;
insert into edge select 10000 + n, 10000 + n / 2 from generate_series(2, 20000) n;
insert into deletion(se_id, pfn, not_before) select 1 + n % 3, 'gone/' || n, n from generate_series(1, 20000) n;
insert into upload(id, lfn, se_id, pfn, guid, user_id, started, expires)
  select gen_random_uuid(), '/d1/n' || n, 1 + n % 3, 'new/' || n, gen_random_uuid(), 1, 0, n from generate_series(1, 5000) n;
insert into trash select 100000 + n, 0, '/d1/t' || n, 1, n, n, 1, 1 from generate_series(1, 5000) n;
"""


@pytest_asyncio.fixture(scope="module", params=["analysed", "never analysed"])
async def filled(request: pytest.FixtureRequest, postgres: Postgres) -> AsyncIterator[str]:
    """The DSN of a database with many rows of everything."""
    dsn = await postgres.create()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_FILL)
        if request.param == "analysed":
            await connection.execute("analyze")
    finally:
        await connection.close()
    yield dsn
    await postgres.drop(dsn)


names, listing, tree, replicas, transfer = NamesStore(), ListingStore(), TreeStore(), ReplicasStore(), TransferStore()
P, N = ["/d1/d21"] * 3, ["f21", "f5021", "f10021"]  # a directory that is there, three of its names
IDS = [10021, 15021, 20021]
MANY = [f"f{n}" for n in range(100)]


async def subtree(c: Connection) -> list[Any]:
    return [row async for row in names.subtree(c, "/d1")]


NEW = (  # the texts, arrays and places of `ReplicasStore.register`
    ["1\n1", "f21\nnew", "1\n1", f"{GUID}\n{GUID[:-1]}2", "1\n1", "{1}\n{2}"],
    [[] for _ in range(7)],
    [(2021, 2, 436, 0)],
)
FOUND = [("/d1/d21", name) for name in N]  # (directory, name), and where the directory is known to be
KNOWN = {"/d1/d21": (2021, 1)}


Work = Callable[[Connection], Awaitable[Any]]
NAME, IN_DIR = "file_dir_name_key dir_id name", "file_dir_name_key dir_id"
PK, DIR, PATH = "file_pkey id", "dir_pkey id", "dir_path_key path"
USAGE = "dir_usage_pkey dir_id|dir_usage_se se_id dir_id"

# What every pool runs, then what only one of them does: (the indexes it uses, each with the columns it looks for, the work).
BOTH: dict[str, tuple[set[str], Work]] = {
    "lookup": ({PATH, NAME}, lambda c: names.lookup(c, P, N)),
    "directories": ({PATH, "access_pkey id"}, lambda c: names.directories(c, P)),
    "by id": ({PK, DIR}, lambda c: names.by_id(c, IDS)),
    "root": ({PK}, names.root),
}
BULK: dict[str, tuple[set[str], Work]] = {
    "resolve few": ({PATH, NAME}, lambda c: replicas.resolve(c, FOUND, None)),
    "resolve many": ({NAME}, lambda c: replicas.resolve(c, [("/d1/d21", name) for name in MANY], KNOWN)),
    "resolve directories": ({PATH}, lambda c: replicas.directories(c, [("/d1/d21", name) for name in MANY])),
    "register": ({NAME, USAGE}, lambda c: replicas.register(c, *NEW, 1, 1)),
    "existing": ({NAME}, lambda c: replicas.existing(c, [2021] * 3, N)),
    "guids taken": ({"file_guid_key guid", DIR}, lambda c: replicas.guids_taken(c, [GUID])),
    "lock": ({PK}, lambda c: replicas.lock(c, IDS)),
    "write": ({PK}, lambda c: replicas.write(c, [(10021, "{1,2}", None, None)], 1)),
    "add usage": ({"dir_usage_pkey"}, lambda c: replicas.add_usage(c, {(2021, 1): (1, 1)})),
    "note": ({"replica_info_pkey file_id"}, lambda c: replicas.note(c, [(10021, 1, None, "n")], 1)),
    "forget notes": ({"replica_info_pkey file_id"}, lambda c: replicas.forget_notes(c, IDS, [1, 1, 1])),
    "cancel deletions": ({"deletion_object se_id pfn"}, lambda c: replicas.cancel_deletions(c, [(1, "gone/3")])),
    "add directories": (
        {NAME},
        lambda c: names.add_directories(c, [(9, 2021, "n", "/d1/d21/n", 1, 2, 493, 0, 1, 2021)], 1),
    ),
    "add links": ({NAME}, lambda c: names.add_links(c, [(2021, "l", "x", 2)], 1, 1)),
    "page": ({NAME}, lambda c: listing.page(c, 2021, "/d1/d21", "f3", 100, verbose=True)),
    "plain page": ({NAME}, lambda c: listing.page(c, 2021, "/d1/d21", "f3", 100, verbose=False)),
    "ancestors": ({"edge_pkey child"}, lambda c: names.next_relatives(c, [(i, i) for i in IDS], up=True)),
    "descendants": ({"edge_parent parent"}, lambda c: names.next_relatives(c, [(i, i) for i in IDS], up=False)),
    "purge": ({"trash_pkey entry_id"}, lambda c: tree.expire_trash(c, [100001], 1)),
    "extend upload": ({"upload_pkey id"}, lambda c: transfer.extend_upload(c, GUID, 1)),
    "lock upload": ({"upload_pkey id"}, lambda c: transfer.lock_upload(c, GUID)),
    "remove upload": ({"upload_pkey id"}, lambda c: transfer.remove_upload(c, GUID)),
    "uploading": ({"upload_object se_id pfn"}, lambda c: transfer.uploading(c, 1, "new/3")),
    "expired upload": (
        {"upload_expires expires", "file_guid_key guid"},
        lambda c: transfer.expired_upload(c, 9, [1, 2]),
    ),
    "deletions due": ({"deletion_due se_id not_before"}, lambda c: transfer.due_deletions(c, 99, 1, 100)),
    "deletions done": ({"deletion_pkey id"}, lambda c: transfer.deletions_done(c, [1, 2])),
    "deletions failed": ({"deletion_pkey id"}, lambda c: transfer.deletions_failed(c, [(1, "away", 5)])),
}
WIDE: dict[str, tuple[set[str], Work]] = {
    "subtree": ({PATH}, subtree),
    "children": ({IN_DIR}, lambda c: names.children(c, [2021, 2041], (2021, "f3"), 100)),
    "usage": ({PATH, USAGE}, lambda c: names.usage(c, "/d1")),
    "usage of a file": ({PK}, lambda c: names.file_usage(c, 10021)),
    "set attributes": ({PK}, lambda c: names.set_attributes(c, [(10021, 420, 1, 2, 0)], None, None)),
    "set access": ({DIR}, lambda c: names.set_access(c, [2021], [2])),
    "rename": ({PATH}, lambda c: tree.move_paths(c, "/d1", "/moved")),
    "longest path": ({PATH}, lambda c: tree.longest_path(c, "/d1")),
    "accesses": ({PATH}, lambda c: tree.accesses(c, "/d1")),
    "move entries": ({PK, USAGE}, lambda c: tree.move_entries(c, IDS, [2022] * 3, N)),
    "empty": ({IN_DIR}, lambda c: tree.empty(c, [2021, 2022])),
    "sum": ({PATH, USAGE}, lambda c: tree.sum(c, "/d1")),
    "lock trash": ({"trash_pkey entry_id"}, lambda c: tree.lock_trash(c, [100001])),
    "forget trash": ({"trash_pkey entry_id"}, lambda c: tree.forget_trash(c, [100001])),
    "trash expired": ({"trash_expires expires"}, lambda c: transfer.expired_trash(c, 9)),
    "files below": ({PATH, IN_DIR}, lambda c: transfer.files_below(c, "T/9", 1000)),
    "file": ({PK}, lambda c: transfer.file(c, 10021)),
    "forget files": ({PK, USAGE, "edge_pkey child", "edge_parent parent", "replica_info_pkey file_id"}, lambda c: transfer.forget_files(c, IDS)),
    "forget tree": ({PATH, IN_DIR, USAGE}, lambda c: transfer.forget_tree(c, 9, "T/9")),
    "forget item": ({"trash_pkey entry_id"}, lambda c: transfer.forget_item(c, 100001)),
}  # fmt: skip


async def guard(dsn: str, indexes: set[str], work: Work, *, wide: bool) -> None:
    plans = await plans_of(dsn, work, wide=wide)
    assert plans
    read = {table for plan in plans for table in plan.scans & HOT}
    assert not read, (read, [p.statement for p in plans if p.scans & HOT])
    for wanted in indexes:
        found = any(p.uses(*one.split()) for p in plans for one in wanted.split("|"))
        assert found, (wanted, [(p.indexes, p.statement) for p in plans])


@pytest.mark.parametrize("name", [*BOTH, *BULK])
async def test_bulk_statements_use_their_indexes(filled: str, name: str) -> None:
    await guard(filled, *(BOTH | BULK)[name], wide=False)


@pytest.mark.parametrize("name", [*BOTH, *WIDE])
async def test_statements_over_trees_use_their_indexes(filled: str, name: str) -> None:
    await guard(filled, *(BOTH | WIDE)[name], wide=True)
