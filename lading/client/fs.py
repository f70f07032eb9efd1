"""`lfn://` for fsspec: `pandas.read_csv("lfn:///vo/x.csv")`, `fsspec.open("lfn:///vo/x")`, dask, zarr, pyarrow.

`lfn:///vo/x` and `lfn://vo/x` are the same file. Needs the extra `lading[fsspec]`. Files can be read, ranges of them
too, and new ones written; content never changes, so writing to a name that is taken is a FileExistsError.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import weakref
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped]  # fsspec has no type annotations
from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped]  # nor has this

from ..model import errors
from ..model.file import Entry, Kind
from ..model.lfn import join
from .client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 4 << 20  # bytes fetched at a time by an open file, and read ahead

_AS_OS: tuple[tuple[type[errors.CatalogError], type[OSError]], ...] = (
    (errors.NotFound, FileNotFoundError),
    (errors.Forbidden, PermissionError),
    (errors.Unauthenticated, PermissionError),
    (errors.Conflict, FileExistsError),
    (errors.CatalogError, OSError),
)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """fsspec's users expect the exceptions of files."""
    try:
        yield
    except errors.CatalogError as error:
        raise next(os for ours, os in _AS_OS if isinstance(error, ours))(error.message) from error


class LadingFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no type annotations
    """Options: `url` and `token` (else the environment or the credentials file), `site` where you read, `se` where you
    write."""

    protocol = "lfn"
    cachable = True

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        site: str | None = None,
        se: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.site, self.se = site, se
        with _as_os_errors():
            self._client = Client(url, token)
        self._opening = asyncio.Lock()
        self._open_client: Client | None = None

    async def _connected(self) -> Client:
        async with self._opening:
            if self._open_client is None:
                self._open_client = await self._client.open()
                if not self.asynchronous:
                    weakref.finalize(self, _close, self.loop, self._client)
        return self._client

    async def aclose(self) -> None:
        """For users of `asynchronous=True`; others need not close."""
        await self._client.close()
        self._open_client = None

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(p) for p in path]
        text = str(path)
        if text[:4].lower() == "lfn:":
            text = text[4:]
        return "/" + text.strip("/")

    def unstrip_protocol(self, name: str) -> str:
        return "lfn://" + self._strip_protocol(name)

    @classmethod
    def _parent(cls, path: str) -> str:
        return str(cls._strip_protocol(path)).rpartition("/")[0] or "/"

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        client = await self._connected()
        with _as_os_errors():
            lfn = self._strip_protocol(path)
            return _told(await client.entry(lfn), lfn)

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        client, lfn = await self._connected(), self._strip_protocol(path)
        with _as_os_errors():
            top = await client.entry(lfn)
            if top.kind is Kind.DIRECTORY:
                found = await self._entries(client, lfn)
            else:
                found = [_told(top, lfn)]
        return found if detail else [entry["name"] for entry in found]

    async def _entries(self, client: Client, lfn: str) -> list[dict[str, Any]]:
        """A directory's entries under the name it was asked by; links tell of what they lead to."""
        entries = [entry async for entry in client.list(lfn, verbose=True)]
        links = [i for i, entry in enumerate(entries) if entry.kind is Kind.LINK]
        found = [_told(entry, join(lfn, entry.lfn.rpartition("/")[2])) for entry in entries]
        for i, outcome in zip(links, await client.stat([entries[i].lfn for i in links]), strict=True):
            if outcome.value is not None:
                found[i] = _told(outcome.value, found[i]["name"]) | {
                    "islink": True,
                    "destination": entries[i].target,
                }
        return found

    async def _exists(self, path: str, **_: Any) -> bool:
        client = await self._connected()
        with _as_os_errors():
            return bool((await client.exists([self._strip_protocol(path)]))[0].get())

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        client, lfn = await self._connected(), self._strip_protocol(path)
        with _as_os_errors():
            if start is None and end is None:  # the whole can be verified
                return b"".join([chunk async for chunk in client.stream(lfn, site=self.site)])
            if (start or 0) < 0 or (end or 0) < 0:
                size = (await client.entry(lfn)).size or 0
                start = max(0, size + start) if start and start < 0 else start
                end = max(0, size + end) if end and end < 0 else end
            return await client.read(lfn, start or 0, end)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        client = await self._connected()
        with _as_os_errors():
            await client.write(self._strip_protocol(path), bytes(value), se=self.se)

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        client, lfn = await self._connected(), self._strip_protocol(rpath)
        with _as_os_errors():
            if (await client.entry(lfn)).kind is not Kind.DIRECTORY:
                await client.get(lfn, lpath, site=self.site, overwrite=True)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:
        client = await self._connected()
        with _as_os_errors():
            await client.put(lpath, self._strip_protocol(rpath), se=self.se)

    async def _rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        client = await self._connected()
        lfns = [self._strip_protocol(p) for p in (path if isinstance(path, list) else [path])]
        with _as_os_errors():
            for outcome in await client.remove(lfns, recursive=recursive):
                outcome.get()

    async def _rm_file(self, path: str, **_: Any) -> None:
        await self._rm(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        await self._make(path, parents=create_parents, fresh=True)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        await self._make(path, parents=True, fresh=not exist_ok)

    async def _make(self, path: str, *, parents: bool, fresh: bool) -> None:
        client, lfn = await self._connected(), self._strip_protocol(path)
        with _as_os_errors():
            made = (await client.make_directories([lfn], parents=parents))[0]
            made.get()
            if fresh and not made.changed:
                raise errors.Conflict(f"'{lfn}' exists")

    async def _mv(self, path1: str, path2: str, **_: Any) -> None:
        client = await self._connected()
        with _as_os_errors():
            (await client.move([(self._strip_protocol(path1), self._strip_protocol(path2))]))[0].get()

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """One step in the catalogue; fsspec's own would copy the bytes."""
        sync(self.loop, self._mv, path1, path2)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        raise NotImplementedError("content has one name in the catalogue: make a link, or get it and put it again")

    def created(self, path: str) -> Any:
        return self.info(path)["created"]

    def modified(self, path: str) -> Any:
        return self.info(path)["mtime"]

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> LadingFile:
        if mode not in ("rb", "wb", "xb"):
            raise ValueError(f"mode '{mode}': files are read (rb) or written whole (wb); content never changes")
        options.pop("autocommit", None)
        return LadingFile(self, self._strip_protocol(path), mode, block_size or BLOCK, **options)


class LadingFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no type annotations
    """Reading fetches blocks ahead. Writing gathers in a temporary file; closing stores it, verified.

    Closed by an exception, as at the end of a `with` that failed, it stores nothing: half a file could never be mended.
    """

    _spool: Any = None
    closed: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._handled = sys.exception()

    def close(self) -> None:
        if not self.closed and self.mode != "rb" and sys.exception() is not self._handled:
            self.discard()
            self.closed = True
        super().close()

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(sync(self.fs.loop, self.fs._cat_file, self.path, start, end))

    def _initiate_upload(self) -> None:
        if self.fs.exists(self.path):
            raise FileExistsError(f"'{self.path}' exists, and content never changes: remove it first")
        self._spool = tempfile.NamedTemporaryFile(prefix="lading-")  # noqa: SIM115 - closed with this file

    def _upload_chunk(self, final: bool = False) -> bool:
        self.buffer.seek(0)
        self._spool.write(self.buffer.read())
        if final:
            self._spool.flush()
            try:
                sync(self.fs.loop, self.fs._put_file, self._spool.name, self.path)
            finally:
                self.discard()
        return True

    def discard(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()


def _told(entry: Entry, name: str) -> dict[str, Any]:
    """An entry as fsspec has them. A link that leads nowhere is of type `link`."""

    def when(microseconds: int) -> datetime:
        return datetime.fromtimestamp(microseconds / 1e6, UTC)

    told: dict[str, Any] = {"name": name, "type": entry.kind.value, "size": entry.size or 0}
    told |= {"created": when(entry.ctime), "mtime": when(entry.mtime)}
    if entry.kind is Kind.FILE:
        told |= {"size": entry.size, "guid": entry.guid, "checksums": entry.checksums}
    return told


def _close(loop: Any, client: Client) -> None:
    """At the end of a file system, or of the program: fsspec's loop may be gone by then."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(client.close(), loop)
