"""The multiplied dump is what the bench and the big runs measure: it has the small one's files and damage, times N."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalog.invariants import broken
from tests.migrations.big import generate
from tests.migrations.sample import an_import, manifest


@pytest.mark.slow
async def test_as_many_files_and_as_much_damage(dsn: str, tmp_path: Path) -> None:
    files = generate(str(tmp_path / "big.sql"), 20_000)
    assert files == 20_144
    report = await an_import(dsn, tmp_path / "big.sql").run()
    assert report["imported"]["files"] == files
    for code in (
        "name_latin1",
        "orphan_replica",
        "dup_guid_case",
        "parent_cycle",
        "csum_ad_short",
        "file_status_deleted",
    ):
        assert report["anomalies"][code]["count"] == 2 * manifest()["anomalies"][code]["count"], code
    assert await broken(dsn) == {}
