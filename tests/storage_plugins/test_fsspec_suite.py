"""fsspec's file systems through the conformance suite: memory, a local folder, FTP."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.testing import AWKWARD, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.storage_plugins.vsftpd import vsftpd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from storage_plugins.base import Element


class Suite(ElementSuite):
    @pytest.fixture
    async def element(self, recipe: tuple[str, dict[str, Any]]) -> AsyncIterator[Element]:
        element = registry.open(*recipe, name="fsspec")
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()


class TestMemory(Suite):
    """A store without renames. What is in this process's memory no other process can write."""

    many = 300

    @pytest.fixture
    async def element(self) -> AsyncIterator[Element]:
        element = registry.open("fsspec", {"url": f"memory://{secrets.token_hex(4)}"}, name="fsspec")
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()


class TestLocal(Suite):
    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        return "fsspec", {"url": f"file://{tmp_path}/root"}


@pytest.fixture(scope="module")
def ftp() -> Iterator[str]:
    with vsftpd() as (_, url):
        yield url


class TestFtp(Suite):
    many = 300  # fsspec lists the whole folder for each look at one file
    examples = 5

    @pytest.fixture
    def recipe(self, ftp: str) -> Recipe:
        return "fsspec", {"url": f"{ftp}/{secrets.token_hex(4)}"}

    # FTP's commands are lines, and its lists have no rule for a space in front of a name.
    awkward = tuple(name for name in AWKWARD if "\n" not in name and "/ " not in name)
