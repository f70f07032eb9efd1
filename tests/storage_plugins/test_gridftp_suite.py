"""GridFTP elements through the conformance suite, against Globus' server: open to all, and with proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from storage_plugins import registry
from storage_plugins.base import NONE
from storage_plugins.testing import AWKWARD, ElementSuite
from storage_plugins.testing_writes import Recipe
from tests.pki import Pki
from tests.proxies import make_proxy
from tests.storage_plugins.gridftp_server import gridftp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage_plugins.base import Element

Options = dict[str, Any]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def anonymous() -> Iterator[Options]:
    with gridftp() as (server, path):
        yield {"url": f"ftp://127.0.0.1:{server.port}{path}"}


@pytest.fixture(scope="module")
def grid(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Options]:
    folder = tmp_path_factory.mktemp("proxies")
    proxy = make_proxy(make_proxy(pki.user, folder / "first"), folder / "second")
    with gridftp(pki) as (server, path):
        url = f"gsiftp://localhost:{server.port}{path}"
        yield {"url": url, "certificate": str(proxy), "ca": str(pki.certificates)}


class TestAnonymous(ElementSuite):
    awkward = tuple(name for name in AWKWARD if "\n" not in name and name.isascii())  # Globus drops the rest
    spelling = {"ü": "u"}

    @pytest.fixture
    def recipe(self, anonymous: Options, here: str) -> Recipe:
        return "gridftp", {**anonymous, "url": f"{anonymous['url']}/{here}"}

    @pytest.fixture
    async def element(self, recipe: tuple[str, Options]) -> AsyncIterator[Element]:
        element = registry.open(*recipe, name="grid")
        assert (await element.probe(prepare=True)).ok
        yield element
        await element.aclose()


class TestPassive(TestAnonymous):
    """One connection for data, made by us; no marker, no powers."""

    many = 50
    examples = 3

    @pytest.fixture
    def recipe(self, anonymous: Options, here: str) -> Recipe:
        frugal = {"passive": True, "streams": 1, "marker": False, "disabled_powers": "Renames,Checksums"}
        return "gridftp", {**anonymous, **frugal, "url": f"{anonymous['url']}/{here}"}


@pytest.mark.slow
class TestProxyOfProxy(TestAnonymous):
    """Both ends of each connection for data show their proxies."""

    awkward = tuple(name for name in AWKWARD if "\n" not in name)  # a line ends there
    spelling = NONE
    many = 50
    examples = 3

    @pytest.fixture
    def recipe(self, grid: Options, here: str) -> Recipe:
        return "gridftp", {**grid, "url": f"{grid['url']}/{here}"}
