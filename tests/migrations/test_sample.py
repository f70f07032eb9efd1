"""Every number of the bundled dump's manifest is reproduced, and its samples read back through the public services."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from doors import app
from doors.config import Config
from lading.model.api import Names
from lading.model.principal import SYSTEM
from tests.migrations import expected
from tests.migrations.sample import Imported, an_import, damage, imported, manifest

__all__ = ["imported"]
TRUTH = manifest()


def test_every_row_is_accounted_for(imported: Imported) -> None:
    for table, rows in TRUTH["raw_rows"].items():
        assert imported.report["tables"][table]["read"] == rows
    for name, table in imported.report["tables"].items():
        assert table["read"] == table["imported"] + table["skipped"] + table["quarantined"], name


def test_the_tree(imported: Imported) -> None:
    assert imported.report["found"]["tree"] == TRUTH["tree"]


def test_replicas(imported: Imported) -> None:
    truth = dict(TRUTH["replicas"])
    truth["by_status"] = {("NULL" if k == "None" else k): v for k, v in truth["by_status"].items()}
    assert imported.report["found"]["replicas"] == truth


def test_files(imported: Imported) -> None:
    found, truth = imported.report["found"]["files"], TRUTH["files"]
    assert found["by_status"] == truth["by_status"]
    assert found["by_checksum"]["none"] == truth["no_checksum"]
    kinds = {"AD": "adler32", "MD": "md5", "CS": "cksum"}
    assert {k: found["by_checksum"][kinds[k]] for k in kinds} == truth["checksum_clean_by_type"]


def test_hosts_as_stored(imported: Imported) -> None:
    hosts = imported.report["hosts"]
    assert {h: {"replicas": v["replicas"], "bytes": v["bytes"]} for h, v in hosts.items()} == TRUTH["per_se_raw"]
    active = {h: {"replicas": v["active_replicas"], "bytes": v["active_bytes"]} for h, v in hosts.items()}
    assert {h: v for h, v in active.items() if h in TRUTH["per_se_active"]} == TRUTH["per_se_active"]
    assert not any(v["replicas"] for h, v in active.items() if h not in TRUTH["per_se_active"])


def test_users_and_groups(imported: Imported) -> None:
    for uid, truth in TRUTH["per_user_active"].items():
        found = imported.report["per_user"][uid]
        assert (found["files"], found["bytes"]) == (truth["files"], truth["bytes"]), uid
        if truth["username_mapped"]:
            assert found["name"] == truth["username_mapped"]
    for gid, truth in TRUTH["per_group_active"].items():
        found = imported.report["per_group"][gid]
        assert (found["files"], found["bytes"]) == (truth["files"], truth["bytes"]), gid
        if truth["group_mapped"]:
            assert found["name"] == truth["group_mapped"]
    users = imported.report["users"]
    assert (users["rows"], users["mapped"], users["unmapped"]) == tuple(
        TRUTH["users"][k] for k in ("rows", "mapped", "unmapped")
    )
    assert users["distinct_names_mapped"] == TRUTH["users"]["distinct_logins_mapped"]


async def test_subtrees(dsn: str) -> None:
    """All of the manifest's, at any depth."""
    report = await an_import(dsn, dry_run=True, subtree_depth=1000, subtrees=1_000_000).run()
    for path, truth in TRUTH["subtrees"].items():
        assert bytes.fromhex(truth["path_hex"]) == path.encode()  # so no name in it was changed
        assert report["subtrees"][path] == {k: truth[k] for k in ("files", "bytes", "active_replicas", "subdirs")}, path


async def test_usage_of_a_subtree(imported: Imported) -> None:
    """Through the usage counters of the catalogue, at the path the rules gave it."""
    services = app.wire(Config(database_url=imported.dsn))
    truth = TRUTH["subtrees"]["/grid/belle"]
    try:
        usage = (await services.names.usage(SYSTEM, Names(["/grid/belle"]))).outcomes[0].get()
    finally:
        await services.close()
    assert usage is not None
    assert (usage.files, usage.bytes, usage.directories) == (truth["files"], truth["bytes"], truth["subdirs"])


# Codes the manifest has no word for, each with its reason; what is not here must be in the manifest.
BESIDE = {
    "below_unreachable": "what lies below the manifest's dangling_parent_dir, parent_cycle and self_parent",
    "entry_not_imported": "replicas of files that stay out",
    "replica_host_unmapped": "the hosts that the maps lack on purpose; those of hardly any replica are the manifest's replica_unknown_se",
    "replica_sfn_escaped": "SFNs that repeat a name of name_newline and name_tab_or_ctrl",
    "name_escaped": "a control character in a name whose first oddity is another",
    "target_escaped": "a link to a name of name_newline or name_tab_or_ctrl",
    "dup_replica_same_element": "the host column has the name of the element that another replica's host is",
}


@pytest.mark.parametrize("code", sorted(TRUTH["anomalies"]))
async def test_every_kind_of_damage(imported: Imported, code: str) -> None:
    """As many as the manifest says, and those: no code is ambiguous in this manifest."""
    truth = TRUTH["anomalies"][code]
    assert imported.report["anomalies"][code]["count"] == truth["count"]
    assert (await damage(imported.dsn))[code] == sorted(truth["ids"])


async def test_no_other_kind_of_damage(imported: Imported) -> None:
    codes = (await damage(imported.dsn)).keys()
    assert codes == TRUTH["anomalies"].keys() | BESIDE.keys()
    assert imported.report["anomalies"].keys() == codes


async def test_every_kind_of_damage_has_examples(imported: Imported) -> None:
    """Rows by their ids, among those that have it."""
    found = await damage(imported.dsn)
    for code, anomaly in imported.report["anomalies"].items():
        ids = [e["id"] for e in anomaly["examples"]]
        assert len(ids) == min(10, anomaly["count"]), code
        assert set(ids) <= set(found[code]), code


# The manifest leaves these fields of such a file empty, which the dump does not.
UNTOLD = {"deep_path": ("size", "checksums", "mode", "mtime", "ctime", "atime", "guid", "original guid")}


@dataclass
class ReadBack:
    entries: dict[int, Any]
    replicas: dict[int, dict[str, dict[str, Any]]]
    atimes: dict[int, int | None]


@pytest.fixture(scope="module")
async def read_back(imported: Imported) -> ReadBack:
    """The manifest's samples by their fileids, the entries through the public service by the names they must have now."""
    services = app.wire(Config(database_url=imported.dsn))
    try:
        names = {s["fileid"]: expected.lfn(s) for s in TRUTH["samples"] if s["status"] != "D"}
        stats = (await services.names.stat(SYSTEM, Names([*names.values()], follow=False))).outcomes
        entries = dict(zip(names, (o.get() for o in stats), strict=True))
    finally:
        await services.close()
    rows = await imported.connection.fetch(
        """select i.legacy_id, i.atime as entry_atime, r.element, r.state, r.explicit_pfn as pfn, x.ctime, x.atime, x.legacy
        from import_entry i left join replica r on r.file_id = i.entry_id left join element e on e.name = r.element
        left join replica_info x on x.file_id = r.file_id and x.se_id = e.id where i.legacy_id = any($1::bigint[])""",
        [*names],
    )
    replicas: dict[int, dict[str, dict[str, Any]]] = {i: {} for i in names}
    for r in rows:
        if r["element"] is not None:
            told = {k: r[k] for k in ("state", "pfn", "ctime", "atime")} | {"legacy": json.loads(r["legacy"])}
            replicas[r["legacy_id"]][r["element"]] = told
    return ReadBack(entries, replicas, {r["legacy_id"]: r["entry_atime"] for r in rows})


@pytest.mark.parametrize(
    "sample", [s for s in TRUTH["samples"] if s["status"] != "D"], ids=lambda s: f"{s['fileid']}-{s['anomaly']}"
)
async def test_samples(imported: Imported, read_back: ReadBack, sample: dict[str, Any]) -> None:
    """Every field of it."""
    entry = read_back.entries[sample["fileid"]]
    guid, times = expected.guid(sample), expected.times(sample, time.time())
    found = {
        "kind": entry.kind.value,
        "owner": entry.owner,
        "group": entry.group,
        "comment": entry.comment,
        "target": entry.target,
        "status": entry.status.value,
        "acl": set(entry.acl),
        "replicas": read_back.replicas[sample["fileid"]],
        "size": entry.size,
        "checksums": entry.checksums,
        "mode": entry.mode,
        "mtime": entry.mtime,
        "ctime": entry.ctime,
        "atime": read_back.atimes[sample["fileid"]],
        "guid": entry.guid,
        "original guid": await imported.connection.fetchval(
            "select original ->> 'guid' from import_entry where legacy_id = $1", sample["fileid"]
        ),
    }
    truth = {
        "kind": expected.KINDS[sample["type"]],
        "owner": expected.user(sample["uid"], sample["owner_dn"]),
        "group": expected.group(sample["gid"], sample["group"]),
        "comment": sample["comment"],
        "target": sample["target"] and expected.moved(sample["target"]),
        "status": "migrated" if sample["status"] == "m" else "ok",
        "acl": expected.acl(sample["acl"], expected.named("Cns_userinfo"), expected.named("Cns_groupinfo")),
        "replicas": expected.replicas(sample),
        "size": expected.size(sample),
        "checksums": expected.checksums(sample),
        "mode": sample["mode"] and int(sample["mode"], 8) & 0o7777,
        "mtime": times["mtime"],
        "ctime": times["ctime"],
        "atime": times["atime"] or None,
        "guid": guid,
        "original guid": sample["guid"] if sample["guid"] != guid else None,
    }
    for field in UNTOLD.get(sample["anomaly"], ()):
        assert sample[{"checksums": "csumvalue"}.get(field, field.removeprefix("original "))] is None  # or look at it
        del found[field], truth[field]
    if truth.get("guid") == expected.NEW:
        assert found["guid"][14] == "7"
        found["guid"] = expected.NEW
    assert found == truth


@pytest.mark.parametrize("sample", [s for s in TRUTH["samples"] if s["status"] == "D"], ids=lambda s: s["fileid"])
async def test_samples_that_were_deleted(imported: Imported, sample: dict[str, Any]) -> None:
    """They stay out, and their row and their replicas' are kept whole."""
    ask = "select action, raw from import_issue where source_table = $1 and code = $2 and legacy_id = any($3::bigint[])"
    found = await imported.connection.fetch(ask, "Cns_file_metadata", "file_status_deleted", [sample["fileid"]])
    assert [r["action"] for r in found] == ["skip"]
    raw = json.loads(found[0]["raw"])
    assert (raw["id"], raw["parent"]) == (sample["fileid"], sample["parent_fileid"])
    assert raw["name"] == sample["path"].rpartition("/")[2]
    assert (raw["size"], raw["guid"]) == (sample["size"], sample["guid"].lower())
    assert (raw["owner"], raw["grp"]) == (sample["uid"], sample["gid"])
    assert (raw["atime"], raw["mtime"], raw["ctime"]) == tuple(sample[t] for t in ("atime", "mtime", "ctime"))
    ids = [r["rowid"] for r in sample["replicas"]]
    replicas = await imported.connection.fetch(ask, "Cns_file_replica", "entry_not_imported", ids)
    assert sorted(json.loads(r["raw"])["pfn"] for r in replicas) == sorted(r["sfn"] for r in sample["replicas"])
    assert (
        await imported.connection.fetchval("select count(*) from import_entry where legacy_id = $1", sample["fileid"])
        == 0
    )
