"""LFN arguments: `lfn:` forms, files of names, patterns matched against the catalogue."""

from __future__ import annotations

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from fnmatch import translate
from typing import TYPE_CHECKING, BinaryIO

from ..client.local import told
from ..model.errors import InvalidRequest, NotFound
from ..model.file import Kind
from ..model.lfn import join, parse, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from ..client.client import Client
    from ..model.file import Entry

BATCH = 5000
_MAGIC = re.compile(r"[*?\[]")
_PREFIX = re.compile(r"lfn:(//)?(?=/)|lfn://(?=[^/])", re.IGNORECASE)


def plain(text: str) -> str:
    """An LFN as typed in its stored form: `lfn:/vo/x`, `lfn:///vo/x` and `lfn://vo/x` are `/vo/x`. Raises
    InvalidRequest."""
    match = _PREFIX.match(text)
    return parse(text if not match else "/" + text[match.end() :].lstrip("/"))


async def batches(
    client: Client, args: Sequence[str] | None, from_file: str | None = None, default: str | None = None
) -> AsyncIterator[list[str]]:
    """The LFNs meant, in order, in lists of at most 5,000. Raises InvalidRequest when there is none, naming what is
    wrong."""
    names: list[str] = []
    if not args and not from_file:
        if default is None:
            raise InvalidRequest("name at least one LFN, or give --from-file FILE")
        args = [default]
    for arg in args or ():
        async for lfn in expand(client, plain(arg)):
            names.append(lfn)
            if len(names) == BATCH:
                yield names
                names = []
    for line in lines(from_file) if from_file else ():
        names.append(plain(line))
        if len(names) == BATCH:
            yield names
            names = []
    if names:
        yield names


async def one_batch(client: Client, args: Sequence[str] | None, from_file: str | None = None) -> list[str]:
    """All LFNs meant, at once."""
    return [lfn async for names in batches(client, args, from_file) for lfn in names]


async def expand(client: Client, pattern: str) -> AsyncIterator[str]:
    """The LFNs that match, in order; `pattern` itself when it is none or names something that is there.

    As in a shell: `*` and `?` stop at `/` and at a leading dot, `**` goes down directories. Raises NotFound for no
    match.
    """
    if not _MAGIC.search(pattern) or (await client.exists([pattern]))[0].value:
        yield pattern
        return
    found = False
    async for lfn, _ in _matches(client, "/", pattern[1:].split("/")):
        found = True
        yield lfn
    if not found:
        raise NotFound(f"nothing matches '{shown(pattern)}'", lfn=pattern)


async def _matches(client: Client, top: str, parts: Sequence[str]) -> AsyncIterator[tuple[str, Kind | None]]:
    head, rest = parts[0], parts[1:]
    if not _MAGIC.search(head):
        lfn = join(top, head)
        if rest:
            async for match in _matches(client, lfn, rest):
                yield match
        elif (await client.exists([lfn]))[0].value:
            yield lfn, None
        return
    try:
        entries = [e async for e in client.list(top)]
    except (NotFound, InvalidRequest):
        return
    if head == "**":
        async for match in _matches(client, top, rest or ["*"]):
            yield match
        for entry in entries:
            if entry.kind is Kind.DIRECTORY and not _name(entry).startswith("."):
                async for match in _matches(client, entry.lfn, parts):
                    yield match
        return
    fits = re.compile(translate(head)).match
    for entry in entries:
        name = _name(entry)
        if fits(name) and (head.startswith(".") or not name.startswith(".")):
            if not rest:
                yield entry.lfn, entry.kind
            elif entry.kind is not Kind.FILE:
                async for match in _matches(client, entry.lfn, rest):
                    yield match


def _name(entry: Entry) -> str:
    return entry.lfn.rpartition("/")[2]


def lines(path: str) -> Iterator[str]:
    """The lines of a file (`-` is standard input) without their ends; empty ones are left out. Raises LocalError."""
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.rstrip(b"\r\n")
            if text:
                try:
                    yield text.decode()
                except UnicodeDecodeError:
                    raise InvalidRequest(f"line {number} of '{shown(path)}' is not valid UTF-8") from None


def opened(path: str) -> AbstractContextManager[BinaryIO]:
    """A file to read, `-` for standard input. Raises LocalError when it can't be opened."""
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    with told(path):
        return open(path, "rb")
