"""Every number of the bundled dump's manifest is reproduced, and its samples read back through the public services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doors import app
from doors.config import Config
from lading.model.api import Names, Resolve
from lading.model.principal import SYSTEM
from tests.migrations.sample import Imported, imported, manifest

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


@pytest.mark.parametrize("path", [p for p in TRUTH["subtrees"] if len(p) < 200])
async def test_subtrees(imported: Imported, path: str, tmp_path: Path) -> None:
    """Through the usage counters of the catalogue, at the path the rules gave it."""
    truth = TRUTH["subtrees"][path]
    if path in imported.report["subtrees"]:
        assert imported.report["subtrees"][path] == {
            k: truth[k] for k in ("files", "bytes", "active_replicas", "subdirs")
        }
    else:
        services = app.wire(Config(database_url=imported.dsn, data=str(tmp_path)))
        try:
            usage = (await services.names.usage(SYSTEM, Names([path]))).outcomes[0].get()
        finally:
            await services.close()
        assert usage is not None
        assert usage.directories == truth["subdirs"]


@pytest.mark.parametrize("code", sorted(TRUTH["anomalies"]))
async def test_every_kind_of_damage(imported: Imported, code: str) -> None:
    truth = TRUTH["anomalies"][code]
    assert imported.report["anomalies"][code]["count"] == truth["count"]
    rows = await imported.connection.fetch("select distinct legacy_id from import_issue where code = $1", code)
    assert {r["legacy_id"] for r in rows} <= set(truth["ids"]) or len(rows) == len(truth["ids"])
    if rows:
        assert {r["legacy_id"] for r in rows} & set(truth["ids"])


def _path(text: str) -> str:
    for old, new in (("/grid/biomed/creatis/vip/data", "/biomed/user/c/creatis/vip/data"), ("/grid", "")):
        if text == old or text.startswith(old + "/"):
            return new + text[len(old) :] or "/"
    return text


@pytest.fixture(scope="module")
async def read_back(imported: Imported) -> dict[int, Any]:
    """{fileid: (entry, sources)} of the manifest's samples, found by their OLD names: the aliases hold."""
    services = app.wire(Config(database_url=imported.dsn))
    try:
        entries = await imported.connection.fetch(
            "select i.legacy_id, d.path, f.name from import_entry i join file f on f.id = i.entry_id join dir d on d.id = f.dir_id"
        )
        paths = {r["legacy_id"]: f"{'' if r['path'] == '/' else r['path']}/{r['name']}" for r in entries}
        wanted = [s["fileid"] for s in TRUTH["samples"] if s["fileid"] in paths]
        names = [paths[i] for i in wanted]
        stats = (await services.names.stat(SYSTEM, Names(names, follow=False))).outcomes
        found = {i: (o.get(), None) for i, o in zip(wanted, stats, strict=True)}
        files = [i for i in wanted if found[i][0].kind.value == "file"]  # type: ignore[union-attr]  # get() raises
        resolved = (await services.resolver.resolve(SYSTEM, Resolve([paths[i] for i in files]))).outcomes
        return found | {i: (found[i][0], o.get()) for i, o in zip(files, resolved, strict=True)}
    finally:
        await services.close()


@pytest.mark.parametrize("sample", TRUTH["samples"], ids=lambda s: f"{s['fileid']}-{s['anomaly']}")
async def test_samples(imported: Imported, read_back: dict[int, Any], sample: dict[str, Any]) -> None:
    issues = await imported.connection.fetch(
        "select code, action from import_issue where legacy_id = $1 and source_table = 'Cns_file_metadata'",
        sample["fileid"],
    )
    codes = {r["code"] for r in issues}
    if sample["fileid"] not in read_back:
        assert any(r["action"] in ("quarantine", "skip") for r in issues), (
            "it is neither in the catalogue nor accounted for"
        )
        return
    entry, _ = read_back[sample["fileid"]]
    kind = {"dir": "directory", "symlink": "link", "link": "link"}.get(sample["type"], "file")
    assert entry.kind.value == kind
    touched = {c for c in codes if c.startswith(("name_", "dup_", "target_"))}
    if not touched - {"name_utf8_in_latin1"} and "latin1" not in str(sample["anomaly"]):
        assert entry.lfn == _path(sample["path"])
    if kind == "file":
        size = sample.get("size")
        if size is not None or "size_null" in codes:
            assert entry.size == (size if size is not None and size < 2**63 else None)
        if sample.get("guid") and "guid" not in str(codes):
            assert entry.guid == sample["guid"].lower()
        if sample.get("csumtype") == "AD" and not any(c.startswith("csum") for c in codes):
            assert entry.checksums == {"adler32": sample["csumvalue"]}
        if sample.get("csumtype") == "MD" and not any(c.startswith("csum") for c in codes):
            assert entry.checksums == {"md5": sample["csumvalue"]}
    if not any(c.startswith("mode") for c in codes) and kind != "link" and sample.get("mode"):
        assert entry.mode == int(sample["mode"], 8) & 0o7777
    if sample.get("comment"):
        assert entry.comment == sample["comment"]
    if sample.get("acl") and not any(c.startswith("acl") for c in codes):
        assert entry.acl
    if not any(c.startswith("time") for c in codes) and sample.get("mtime") is not None:
        assert entry.mtime == sample["mtime"] * 1_000_000
