"""The report adds up before anything is written; and after the import the old names are found where people look for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from migrations.legacy import balance
from migrations.legacy.anomalies import ALL
from migrations.legacy.importer import Import, Options
from migrations.legacy.open_dump import open_lfc
from tests.cli.support import lading
from tests.client.support import bench
from tests.migrations.dumps import directory, dump, entry, replica
from tests.migrations.sample import Imported, an_import, imported, maps
from tests.migrations.test_runs import counts

__all__ = ["bench", "imported"]
OLD = "/grid/biomed/creatis/vip/data/users/ann/scan 1.nii"
NEW = "/biomed/user/c/creatis/vip/data/users/ann/scan 1.nii"


def test_per_code_a_count_an_action_and_examples(imported: Imported) -> None:
    for code, found in imported.report["anomalies"].items():
        assert found["count"] >= len(found["examples"]) >= 1
        assert found["action"] == ALL[code].default
        assert found["table"] in imported.report["tables"]
        assert all(e["value"] is None or e["value"].isprintable() for e in found["examples"])


@pytest.mark.parametrize("table", ["Cns_file_metadata", "Cns_file_replica", "Cns_userinfo", "Cns_symlinks"])
async def test_rows_that_are_missing_from_the_account_stop_the_import(dsn: str, table: str) -> None:
    """A source that says it read one row more than it handed on."""

    def source() -> Any:
        made = open_lfc(str(Path(__file__).parent / "styles" / "default.sql.xz"))
        made.read[table] += 1
        return made

    before = await counts(dsn)
    actions = {a.code: a.default for a in ALL.values()}
    with pytest.raises(balance.Unbalanced) as refused:
        await Import(dsn, source, Options("lfc", maps(), actions, None)).run()
    assert refused.value.details["table"] == table
    assert await counts(dsn) == before


async def test_old_names_by_rest_and_by_command(bench: Any, dsn: str, tmp_path: Path) -> None:
    """The longest prefix of the rules, and what lies outside it; files, directories and links."""
    names = ["creatis", "vip", "data", "users", "ann"]
    rows = [directory(10 + i, 9 + i if i else 4, name) for i, name in enumerate(names)]
    rows += [
        entry(100, 14, "scan 1.nii"), entry(101, 4, "other.dat"),
        entry(102, 4, "link", filemode=0o120777, guid=None, csumtype="", csumvalue=""),
    ]  # fmt: skip
    file = tmp_path / "lfc.sql"
    file.write_bytes(
        dump(
            rows, Cns_symlinks=[[102, OLD]],
            Cns_file_replica=[replica(1, 100, "srm://ccsrm02.in2p3.fr/pnfs/x", "ccsrm02.in2p3.fr")],
        )
    )  # fmt: skip
    await an_import(dsn, file).run()
    status, answer = await bench.server.call(
        "POST", "/v1/stat", {"lfns": [OLD, "/grid/biomed/other.dat", "/grid/biomed/link", "/grid/biomed", "/grid"]}
    )
    assert status == 200
    found = [o["value"] for o in answer["outcomes"]]
    assert [f["lfn"] for f in found] == [NEW, "/biomed/other.dat", NEW, "/biomed", "/"]
    status, answer = await bench.server.call("POST", "/v1/replicas/resolve", {"lfns": [OLD, "/grid/biomed/none"]})
    assert status == 200
    assert answer["outcomes"][0]["value"]["size"] == 5
    assert answer["outcomes"][1]["error"]["code"] == "not_found"

    done = await lading(bench, "stat", OLD, "--json")
    assert done.code == 0, done.err
    assert done.row["lfn"] == NEW
    listed = await lading(bench, "ls", "/grid/biomed/creatis/vip/data/users/ann")
    assert "scan 1.nii" in listed.text
    assert json.dumps(done.row).count("grid") == 0
