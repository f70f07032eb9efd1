"""The answer to PROPFIND, entry by entry as it arrives. No document types, no entities: nothing in it can grow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit
from xml.parsers import expat

from .errors import Denied, Transient
from .http_errors import moment_us

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 1 << 16  # characters of one value
_STATUS = re.compile(r"HTTP/\S+ (\d{3})\b")


def propfind(*properties: str) -> bytes:
    """The request's body."""
    wanted = "".join(f"<{name}/>" for name in properties)
    return f'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>{wanted}</prop></propfind>'.encode()


ABOUT = propfind("resourcetype", "getcontentlength", "getlastmodified")
QUOTA = propfind("quota-available-bytes", "quota-used-bytes")


class DavEntry(NamedTuple):
    """A file or folder. `path` is decoded, without a slash at its end."""

    path: str
    folder: bool
    size: int | None
    mtime_us: int | None
    available: int | None
    used: int | None


class Multistatus:
    """`feed` it, then `close` it. Both raise Transient for what is no such answer, Denied for an entry we may not
    see."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.buffer_text = True
        self._text = ""
        self._depth = 0
        self._entries: list[DavEntry] = []
        self._forget()

    def feed(self, data: bytes) -> Iterator[DavEntry]:
        """The entries that `data` completes."""
        self._parse(data, False)
        entries, self._entries = self._entries, []
        return iter(entries)

    def close(self) -> None:
        self._parse(b"", True)

    def _parse(self, data: bytes, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except (expat.ExpatError, ValueError) as error:
            raise Transient(f"the server's listing cannot be read: {error}") from None

    def _doctype(self, *_: object) -> None:
        raise Transient("the server's listing has a document type: refused")

    def _forget(self) -> None:
        self._path = ""
        self._status = 200
        self._folder = self._in_propstat = False
        self._values: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def _start(self, name: str, _: object) -> None:
        self._depth += 1
        if self._depth == 1 and name != "DAV: multistatus":
            raise Transient("the server's answer is no listing: is it a WebDAV server?")
        self._text = ""
        if name == "DAV: response":
            self._forget()
        elif name == "DAV: propstat":
            self._in_propstat, self._told = True, {}
        elif name == "DAV: collection":
            self._told["collection"] = "yes"

    def _characters(self, text: str) -> None:
        self._text += text
        if len(self._text) > _LONGEST:
            raise Transient("the server's listing has a value that is too long")

    def _end(self, name: str) -> None:
        self._depth -= 1
        space, _, local = name.rpartition(" ")
        if space != "DAV:":
            return
        if local == "response":
            self._finish()
        elif local == "propstat":
            self._in_propstat = False
            if _code(self._told.pop("status", "HTTP/1.1 200")) == 200:
                self._values |= self._told
        elif self._in_propstat:
            self._told[local] = self._told.get(local) or self._text.strip()
        elif local == "href" and not self._path:  # a later one belongs to something else
            self._path = self._text.strip()
        elif local == "status":
            self._status = _code(self._text.strip())
        self._text = ""

    def _finish(self) -> None:
        if self._status in (401, 403):
            raise Denied("the server does not let us see part of the listing")
        if self._status in (404, 410):
            return  # gone since it was listed
        if self._status != 200:
            raise Transient(f"the server answered {self._status} for part of the listing")
        path = self._path if self._path.startswith("/") else urlsplit(self._path).path
        self._entries.append(
            DavEntry(
                unquote_to_bytes(path).decode("utf-8", "surrogateescape").rstrip("/"),
                "collection" in self._values,
                _number(self._values.get("getcontentlength")),
                moment_us(self._values.get("getlastmodified")),
                _number(self._values.get("quota-available-bytes")),
                _number(self._values.get("quota-used-bytes")),
            )
        )


def _code(line: str) -> int:
    found = _STATUS.match(line)
    return int(found[1]) if found else 500


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
