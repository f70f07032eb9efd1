"""SynCat-style XML, as dCache's and DPM's dump tools write it: expat, without DTDs, in constant memory."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.parsers import expat

from lading.model import checksum
from lading.model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 16_384
_TOKEN = 1 << 20  # bytes that expat may wait for the end of one tag or text
_DEEPEST = 32
_MOST = 2**63 - 1
_KINDS = {"ad": "adler32", "adler32": "adler32", "md": "md5", "md5": "md5", "sha1": "sha1", "sha256": "sha256"}
_WANTED = frozenset(("size", "checksum", "last-modified", "mtime"))
_SIZE = re.compile(r"[0-9]{1,19}")


class XmlDump:
    """Calls `take(name, size, mtime, checksums)` for each entry. Raises InvalidRequest with the line that is wrong."""

    def __init__(self, take: Callable[[bytes, int, int | None, dict[str, str]], None]) -> None:
        self.recorded: int | None = None
        self._take = take
        self._fed = 0
        self._depth = 0
        self._latin = False
        self._entry: dict[str, str] | None = None
        self._sums: dict[str, str] = {}
        self._kind = ""
        self._text: list[str] | None = None
        self._length = 0
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, piece: bytes) -> None:
        self._fed += len(piece)
        self._parse(piece, final=False)
        if self._fed - max(0, self._parser.CurrentByteIndex) > _TOKEN:
            raise self._bad("a tag or text has no end")

    def finish(self) -> None:
        self._parse(b"", final=True)

    def _parse(self, piece: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(piece, final)
        except expat.ExpatError as error:
            why = expat.ErrorString(error.code)
            hint = " ('&' and '<' in names must be written '&amp;' and '&lt;')" if "token" in why else ""
            raise InvalidRequest(f"line {error.lineno}: it is not well-formed XML: {why}{hint}") from None
        except (UnicodeError, LookupError, ValueError) as error:
            raise self._bad(f"it can't be read: {error}") from None

    def _bad(self, why: str) -> InvalidRequest:
        return InvalidRequest(f"line {self._parser.CurrentLineNumber}: {why}")

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self._latin = (encoding or "").lower() in ("iso-8859-1", "latin-1", "latin1")

    def _doctype(self, *_: object) -> None:
        raise self._bad("a dump has no DTD and no entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._bad("it is nested too deeply for a dump")
        name = tag.rpartition(":")[2]
        if self._depth == 1:
            if name != "dump":
                raise self._bad(f"the XML is a '{name[:40]}', not a dump")
            if when := attributes.get("recorded"):
                self.recorded = self._instant(when)
        elif name == "entry":
            if self._entry is not None:
                raise self._bad("an entry within an entry")
            self._entry, self._sums = dict(attributes), {}
        elif self._entry is not None and name in _WANTED:
            self._text, self._length = [], 0
            self._kind = (attributes.get("algorithm") or attributes.get("name") or "").lower()

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)
            self._length += len(text)
            if self._length > _LONGEST:
                raise self._bad(f"a value is longer than {_LONGEST} characters")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        name = tag.rpartition(":")[2]
        if self._entry is None:
            return
        if name == "entry":
            self._finished(self._entry)
            self._entry = None
        elif self._text is not None and name in _WANTED:
            value, self._text = "".join(self._text).strip(), None
            if name != "checksum":
                self._entry[name] = value
            elif kind := _KINDS.get(self._kind):
                try:
                    self._sums[kind] = checksum.normalise(kind, value)
                except ValueError as error:
                    raise self._bad(str(error)) from None

    def _finished(self, entry: dict[str, str]) -> None:
        name, size = entry.get("name", ""), entry.get("size", "")
        if not name or len(name) > _LONGEST:
            raise self._bad("an entry without a name" if not name else f"a name longer than {_LONGEST} characters")
        if not _SIZE.fullmatch(size) or int(size) > _MOST:
            raise self._bad(f"{size[:40]!a} is no size in bytes")
        when = entry.get("last-modified") or entry.get("mtime")
        self._take(self._bytes(name), int(size), self._instant(when) if when else None, self._sums)

    def _bytes(self, name: str) -> bytes:
        """The tools copy names as they are and say ISO 8859-1 whatever they are: so its bytes are the name's."""
        if self._latin:
            try:
                return name.encode("iso-8859-1")
            except UnicodeEncodeError:
                pass
        return name.encode()

    def _instant(self, text: str) -> int:
        """Microseconds since the epoch of seconds since then, or of an ISO 8601 time (UTC where it names no zone)."""
        try:
            if re.fullmatch(r"[0-9]{1,12}", text):
                return int(text) * 1_000_000
            when = datetime.fromisoformat(text)
            return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)
        except (ValueError, OverflowError):
            raise self._bad(f"{text[:40]!a} is no time") from None
