"""Listings of WebDAV servers, also those that are none."""

from __future__ import annotations

import pytest
from aiohttp import web

from storage_plugins import registry
from storage_plugins.errors import Denied, StorageError, Transient, Unavailable
from storage_plugins.powers import ReportsUsage, SpaceUsage, supports
from storage_plugins.testing_tools import names
from storage_plugins.webdav_xml import DavEntry, Multistatus
from tests.storage_plugins.liar import liar, listing

LISTING = """<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:x="urn:x">
 <D:response xmlns:lp1="DAV:"><D:href>/dir/</D:href><D:propstat><D:prop>
  <lp1:resourcetype><D:collection/></lp1:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
  <D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
 </D:response>
 <D:response><D:href>http://host:1/dir/a%20b%2520%ff&amp;ü</D:href><D:propstat><D:prop>
  <D:getcontentlength>12</D:getcontentlength><x:getcontentlength>13</x:getcontentlength><D:resourcetype/>
  <D:getlastmodified>Thu, 26 Nov 2026 00:00:01 GMT</D:getlastmodified></D:prop>
  <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
 <D:response><D:href>/dir/gone</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>
</D:multistatus>"""


def test_entries_come_whatever_the_pieces() -> None:
    data = LISTING.encode()
    for size in (1, 7, len(data)):
        parser = Multistatus()
        entries = [e for at in range(0, len(data), size) for e in parser.feed(data[at : at + size])]
        parser.close()
        assert entries == [
            DavEntry("/dir", True, None, None, None, None),
            DavEntry("/dir/a b%20\udcff&ü", False, 12, 1795651201000000, None, None),
        ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><multistatus xmlns="DAV:"/>', "document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><multistatus xmlns="DAV:"/>', "document type"),
        ("<html><body/></html>", "no listing"),
        ("<multistatus/>", "no listing"),
        ('<multistatus xmlns="DAV:">', "cannot be read"),
        ("", "cannot be read"),
        (f'<multistatus xmlns="DAV:"><response><href>/{"x" * 70_000}</href></response></multistatus>', "too long"),
        (LISTING.replace("404 Not Found</D:status></D:response>", "507</D:status></D:response>"), "507"),
    ],
)
def test_what_is_no_listing(text: str, error: str) -> None:
    def parse() -> None:
        parser = Multistatus()
        parser.feed(text.encode())
        parser.close()

    with pytest.raises(Transient, match=error):
        parse()


async def test_a_listing_that_cannot_be_trusted_is_an_error() -> None:
    """What cannot be looked into, or does not belong there, must not pass for a complete answer."""
    hidden = "<D:response><D:href>/f/g</D:href><D:status>HTTP/1.1 403 No</D:status></D:response></D:multistatus>"
    answers = {
        "/a/": (listing(("/a/", None), ("/b/x", 1)), Transient),
        "/c/": (listing(("/c/", None), ("/c/d/x", 1)), Transient),
        "/e/": (listing(("/e/", None), ("/e/..", None)), Transient),
        "/f/": (web.Response(status=207, text=(listing().text or "").replace("</D:multistatus>", hidden)), Denied),
        "/h/": (web.Response(text="<html>welcome"), StorageError),
        "/i/": (web.Response(status=403), Denied),
    }

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answers[request.path][0] if request.path in answers else listing(("/", None))

    async with liar(handler) as server:
        element = registry.open("webdav", {"url": server.url}, name="dav")
        for folder, (_, error) in answers.items():
            with pytest.raises(error):
                await names(element, folder[1:])
        await element.aclose()


async def test_a_root_that_is_gone_is_no_missing_object() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404)

    async with liar(handler) as server:
        element = registry.open("webdav", {"url": server.url}, name="dav")
        for call in (element.stat("x"), element.remove("x"), names(element, ""), names(element, "x/y")):
            with pytest.raises(Unavailable, match="root"):
                await call
        await element.aclose()


async def test_space_as_the_server_counts_it() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert b"quota-used-bytes" in await request.read()
        told = "<D:quota-available-bytes>70</D:quota-available-bytes><D:quota-used-bytes>30</D:quota-used-bytes>"
        text = (listing(("/", None)).text or "").replace("<D:resourcetype>", f"{told}<D:resourcetype>")
        return web.Response(status=207, text=text)

    async with liar(handler) as server:
        element = registry.open("webdav", {"url": server.url}, name="dav")
        assert supports(element, ReportsUsage)
        assert await element.usage() == SpaceUsage(100, 70, 30)
        await element.aclose()
