"""The example of docs/how-to/write-a-plugin.md, installed as a third party's package, passes the suite."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plugin.md"


async def test_the_example_of_the_docs(tmp_path: Path) -> None:
    files = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', DOCS.read_text(), re.DOTALL))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    groups = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    info = tmp_path / "sqlite_storage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlite-storage\nVersion: 1.0\n")
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{n} = {v}" for n, v in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    path = os.pathsep.join([str(tmp_path), str(DOCS.parents[2])])
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "asyncio_mode=auto",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    )
    done = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE
    )
    output = (await done.communicate())[0].decode()
    assert done.returncode == 0, output
    assert re.search(r"\d\d passed", output)
