"""schemathesis reads the OpenAPI document and tries every operation with good and bad input, on a real server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.server import Server

# Not checked: that whatever fits the schema is accepted. A schema can't say that an LFN exists, or that a user may write it.
_LEFT_OUT = "positive_data_acceptance"


@pytest.mark.slow
async def test_the_whole_document(server: Server, tmp_path: Path) -> None:
    for name in ("one", "two"):
        spec = {"name": name, "type": "posix", "options": {"path": str(tmp_path / name)}}
        assert (await server.call("POST", "/v1/elements", spec))[0] == 201
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert command is not None
    process = await asyncio.create_subprocess_exec(
        command,
        "run",
        f"{server.url}/v1/openapi.json",
        *("--header", f"Authorization: Bearer {server.token}"),
        *("--max-examples", "10", "--phases", "examples,coverage,fuzzing", "--exclude-checks", _LEFT_OUT),
        *("--seed", "20261124", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]
