"""A world to act in, whose invariants are checked when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.catalog.world import World

pytest.register_assert_rewrite("tests.catalog.machine", "tests.catalog.compare")


@pytest_asyncio.fixture
async def world(dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    """Every service on a database of the test's own. Afterwards the catalogue must be sound, whatever the test did."""
    made = World(dsn, tmp_path)
    try:
        yield made
        await made.check()
    finally:
        await made.close()
