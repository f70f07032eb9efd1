"""The type `webdav` against XRootD's HTTPS door: the conformance suite, macaroons and third-party copies."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.chunks import BATCH
from storage_plugins.errors import (
    ChecksumMismatch,
    Denied,
    ObjectExists,
    ObjectNotFound,
    Transient,
    Unsupported,
)
from storage_plugins.powers import Presigned, Remote
from storage_plugins.testing import AWKWARD, REFUSED, ElementSuite
from storage_plugins.testing_tools import get, names, put, sums
from storage_plugins.testing_writes import Recipe
from storage_plugins.webdav_xrootd import XrootdElement
from tests.pki import Pki
from tests.servers import Running
from tests.storage_plugins.xrootd_server import xrootd


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Pki) -> Iterator[Running]:
    with xrootd(pki) as server:
        yield server


class TestXrootd(ElementSuite):
    # XRootD takes `?` for the start of options and decodes no names in MOVE and in listings: see webdav_xrootd.py.
    refused = (*REFUSED, "50%", "a?b", "a#b", "new\nline", "ü", "a ", "x" * 255)
    awkward = tuple(
        name
        for name in AWKWARD
        if name.isascii()
        and name.isprintable()
        and not set(name) & set("%?#")
        and name == name.rstrip()
        and len(name) < 255
    )
    spelling: Mapping[str, str] = {"ü": "u", "%": "="}
    many = 500
    examples = 5

    @pytest.fixture
    def recipe(self, server: Running, pki: Pki) -> Recipe:
        url = f"https://localhost:{server.port}/{secrets.token_hex(6)}/"
        return "webdav", {"url": url, "ca": str(pki.ca), "certificate": str(pki.user), "dialect": "xrootd"}

    @pytest.fixture
    async def element(self, recipe: Recipe) -> AsyncIterator[Element]:
        assert recipe
        element = registry.open(*recipe, name="xrootd")
        report = await element.probe(prepare=True)
        assert report.ok, report
        yield element
        await element.aclose()


@pytest.fixture(scope="module")
def other(pki: Pki) -> Iterator[Running]:
    with xrootd(pki) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(server: Running, pki: Pki) -> AsyncIterator[XrootdElement]:
    options = {"ca": str(pki.ca), "certificate": str(pki.user), "dialect": "xrootd"}
    element = registry.open("webdav", {"url": f"https://localhost:{server.port}/{secrets.token_hex(6)}/", **options})
    assert isinstance(element, XrootdElement)
    assert (await element.probe(prepare=True)).ok
    yield element
    await element.aclose()


@pytest.fixture
async def element(server: Running, pki: Pki) -> AsyncIterator[XrootdElement]:
    async with opened(server, pki) as element:
        yield element


@pytest.fixture
async def target(other: Running, pki: Pki) -> AsyncIterator[XrootdElement]:
    async with opened(other, pki) as element:
        yield element


def remote(signed: Presigned) -> Remote:
    return Remote(signed.url, signed.headers)


def token(signed: Presigned) -> str:
    return signed.headers["Authorization"].removeprefix("Bearer ")


async def test_a_macaroon_is_good_for_one_thing(element: XrootdElement, pki: Pki) -> None:
    await put(element, "a/b", b"here")
    await put(element, "a/c", b"there")
    signed = await element.presign_get("a/b", expires_in=600)
    assert (signed.method, signed.url) == ("GET", str(element._http.url("a/b")))
    options = {"url": str(element._http.base), "ca": str(pki.ca), "dialect": "xrootd"}

    # A connection each: on one where a macaroon was good, XRootD lets its maker's name do more.
    @contextlib.asynccontextmanager
    async def bearer(token: str | None = token(signed)) -> AsyncIterator[Element]:
        bearer = registry.open("webdav", {**options, "token": token}, name="bearer")
        yield bearer
        await bearer.aclose()

    async with bearer() as one:
        assert await get(one, "a/b") == b"here"
    async with bearer() as one:
        with pytest.raises(Denied):
            await get(one, "a/c")
    async with bearer() as one:
        with pytest.raises(Denied):
            await put(one, "a/b", b"new", overwrite=True)
    for nothing in (None, token(signed)[:-10]):
        async with bearer(nothing) as one:
            with pytest.raises(Denied):
                await get(one, "a/b")


async def test_pull(element: XrootdElement, target: XrootdElement) -> None:
    data = secrets.token_bytes(3 * BATCH + 5)
    await put(element, "from/here", data)
    source = remote(await element.presign_get("from/here", expires_in=600))
    moved: list[int] = []
    info = await target.pull("to/there", source, size=len(data), progress=moved.append)
    assert info.size == len(data)
    assert await get(target, "to/there") == data
    assert await target.checksum("to/there", ["adler32", "md5"]) == sums(data, "adler32", "md5")
    assert moved == sorted(moved)
    with pytest.raises(ObjectExists):
        await target.pull("to/there", source)
    await put(element, "from/here", b"newer", overwrite=True)
    assert (await target.pull("to/there", source, overwrite=True)).size == 5
    with pytest.raises(ChecksumMismatch, match="size"):
        await target.pull("to/there", source, size=6, overwrite=True)
    assert await get(target, "to/there") == b"newer"
    assert [entry async for entry in target.scan_staging()] == []


async def test_push(element: XrootdElement, target: XrootdElement) -> None:
    data = secrets.token_bytes(BATCH + 5)
    await put(element, "from/here", data)
    await put(target, "to/taken", b"old")
    await element.push("from/here", remote(await target.presign_put("to/there", expires_in=600)))
    assert await get(target, "to/there") == data
    both = Remote(
        str(target._http.url("to/taken")), (await target._macaroon("to/taken", "PUT", "UPLOAD,DOWNLOAD", 600)).headers
    )
    with pytest.raises(ObjectExists):
        await element.push("from/here", both)
    assert await get(target, "to/taken") == b"old"
    with pytest.raises(ObjectNotFound):
        await element.push("from/nowhere", both)


async def test_third_party_copies_that_fail(element: XrootdElement, target: XrootdElement) -> None:
    await put(element, "here", b"here")
    signed = await element.presign_get("here", expires_in=600)
    missing = await element.presign_get("missing", expires_in=600)
    secret = "X-Signature=S3cret"
    for source, error in (
        (remote(missing), ObjectNotFound),
        (Remote(signed.url), Denied),
        (Remote(signed.url, missing.headers), Denied),
        (Remote(f"http://127.0.0.1:1/x?{secret}"), Transient),
        (Remote("ftp://127.0.0.1/x"), Unsupported),
    ):
        with pytest.raises(error) as caught:
            await target.pull("there", source)
        assert "S3cret" not in str(caught.value)
        assert token(signed) not in str(caught.value)
    with pytest.raises(Denied):
        await element.push("here", Remote(str(target._http.url("there"))))
    assert await names(target, "") == []
    assert [entry async for entry in target.scan_staging()] == []


async def test_a_copy_from_another_element_of_the_server(element: XrootdElement, target: XrootdElement) -> None:
    await put(element, "one", b"one")
    with pytest.raises(Unsupported, match="pulled"):
        await target.copy_from(element, "one", "two")
    assert (await element.copy_from(element, "one", "two")).size == 3
    assert await get(element, "two") == b"one"
