"""gfal2's elements through the conformance suite: on this host's files, as of SRM, and, as it takes four minutes where a
login takes half a second, on Globus' GridFTP server with a proxy in `make test-all` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.pki import Pki
from tests.proxies import make_proxy
from tests.storage_plugins.gridftp_server import gridftp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from storage_plugins.base import Element


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    pki = Pki(tmp_path_factory.mktemp("pki"))
    proxy = make_proxy(pki.user, tmp_path_factory.mktemp("proxies") / "proxy")
    with gridftp(pki) as (server, path):
        url = f"gsiftp://localhost:{server.port}{path}"
        yield {"url": url, "certificate": str(proxy), "ca": str(pki.certificates)}


class TestFiles(ElementSuite):
    refused = (*REFUSED, "new\nline", "ends in a space ", "a /b")
    awkward = tuple(name for name in AWKWARD if "\n" not in name and not name.endswith(" "))
    many = 300
    examples = 3

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Recipe:
        return "gfal", {"url": f"file://{tmp_path}/root"}

    @pytest.fixture
    async def element(self, recipe: tuple[str, dict[str, Any]]) -> AsyncIterator[Element]:
        element = registry.open(*recipe, name="gfal")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


class TestSrm(TestFiles):
    many = 20
    examples = 1

    @pytest.fixture
    def recipe(self, tmp_path: Path, srm: None) -> Recipe:
        return "gfal", {"url": f"srm://localhost:8446/srm/managerv2?SFN={tmp_path}/root", "certificate": "/nobody"}


@pytest.mark.heavy
class TestGridftp(TestFiles):
    many = 40
    examples = 1

    @pytest.fixture
    def recipe(self, grid: dict[str, Any], here: str) -> Recipe:
        return "gfal", {**grid, "url": f"{grid['url']}/{here}".rstrip("/")}
