"""SFTP elements through the conformance suite, against OpenSSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.testing import ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.storage_plugins.sshd import sshd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from storage_plugins.base import Element


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with sshd(tmp_path_factory.mktemp("sshd")) as (_, options):
        yield options


class TestSftp(ElementSuite):
    @pytest.fixture
    def recipe(self, login: dict[str, Any], tmp_path: Path) -> Recipe:
        return "sftp", {**login, "path": str(tmp_path / "root")}

    @pytest.fixture
    async def element(self, recipe: tuple[str, dict[str, Any]]) -> AsyncIterator[Element]:
        element = registry.open(*recipe, name="ssh")
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()


class TestSftpWithoutFrills(TestSftp):
    """One connection, no marker, no sync, no powers."""

    many = 300
    examples = 5

    @pytest.fixture
    def recipe(self, login: dict[str, Any], tmp_path: Path) -> Recipe:
        frugal = {"connections": 1, "marker": False, "fsync": False, "disabled_powers": "Renames,ServerCopies"}
        return "sftp", {**login, "path": str(tmp_path), **frugal}
