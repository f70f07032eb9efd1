"""The command's options about reading, and files it must look at again."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest

from doors.import_cmd import _fingerprint
from tests.migrations.test_runs import call, command
from tests.migrations.test_styles import STYLES


async def test_what_a_compact_dump_does_not_say_is_said_by_options(dsn: str, tmp_path: Path) -> None:
    dump, report = STYLES / "compact_data_only.sql.xz", tmp_path / "report.json"
    status, output = await call(command(dsn, dump=dump))
    assert status == 2
    assert "--schema-version" in output
    status, output = await call(command(dsn, "--schema-version", "3.1.0", dump=dump))
    assert status == 2
    assert "--charset" in output
    told = ("--schema-version", "3.1.0", "--charset", "utf8", "--report", str(report))
    status, output = await call(command(dsn, *told, dump=dump))
    assert status == 0, output
    assert json.loads(report.read_text())["anomalies"]["name_utf8_in_latin1"]["count"] == 1


async def test_from_a_pipe_that_is_not_named_so(dsn: str) -> None:
    plain = lzma.decompress((STYLES / "default.sql.xz").read_bytes())
    status, output = await call(command(dsn, "--dry-run", dump="/dev/stdin"), plain)
    assert status == 0, output


@pytest.mark.parametrize(("option", "value"), [("--schema-version", "9.9"), ("--dump-charset", "klingon")])
async def test_a_word_that_nobody_knows(dsn: str, option: str, value: str) -> None:
    status, output = await call(command(dsn, option, value))
    assert status == 2
    assert f"{option} '{value}': choose one of" in output


def test_a_folder_is_another_dump_when_a_file_in_it_changed(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress((STYLES / "tab_files.tar.xz").read_bytes()))) as tar:
        tar.extractall(tmp_path, filter="data")
    first = _fingerprint(str(tmp_path / "tab"), [])
    assert first == _fingerprint(str(tmp_path / "tab"), [])
    with open(tmp_path / "tab" / "Cns_symlinks.txt", "ab") as file:
        file.write(b"1\t2\t/grid\n")
    assert first != _fingerprint(str(tmp_path / "tab"), [])
