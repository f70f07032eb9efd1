"""A posix element in a folder of its own; S3 servers, one of each for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.posix import PosixElement
from tests.pki import Pki
from tests.storage_plugins import gfal_srm
from tests.storage_plugins.s3_servers import ceph_server, rclone_server, swift_server, weed_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["ceph_server", "rclone_server", "swift_server", "weed_server"]


def opened(root: Path, **options: Any) -> PosixElement:
    element = registry.open("posix", {"path": str(root), "fsync": False, **options}, name="disk")
    assert isinstance(element, PosixElement)
    return element


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """For elements of the type `xrootd`, which all trust the same in a process."""
    return Pki(tmp_path_factory.mktemp("grid"))


@pytest.fixture
def srm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements of the type `gfal` find what stands in for SRM."""
    python = tmp_path_factory.mktemp("srm") / "python"
    python.write_text(f'#!/bin/sh\nexec /usr/bin/python3 -I {Path(gfal_srm.__file__).absolute()} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("LADING_GFAL_PYTHON", str(python))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
async def element(root: Path) -> AsyncIterator[PosixElement]:
    element = opened(root)
    assert (await element.probe(prepare=True)).ok
    yield element
    await element.aclose()
