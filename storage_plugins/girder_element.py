"""Objects on a Girder server, over its REST API: each the file of an item of its name.

A write goes to an item in the folder `.lading-staging`, is compared there (its size, and its SHA-512 where the server
has the plug-in hashsum_download), and then moved to its place. Girder makes `x (1)` of a second `x`; here that is
ObjectExists. An object is replaced by copying the new file into the item, which costs no bytes, and removing the old
one: a reader gets either, whole. Its metadata stay. Two servers that replace one object at the same moment may both
leave their file; one of them is read, and the next write removes both.

Girder wants to know the size first: an object of unknown size waits in a temporary file of this host. An upload whose
connection breaks goes on where it was, and is read back then.

Names that Girder would change are refused, and so are objects directly in a collection. Folders stay when they become
empty. What is hidden from our user counts as not there. A scan tells the size of an item and no time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from lading.model.checksum import differing

from .base import NONE, Chunk, Element, ObjectInfo, ProbeReport, ScanEntry, check_span, unwrapped
from .chunks import BATCH, CheckedChunks, mismatch
from .errors import Denied, ObjectNotFound, StorageError, Transient, Unsupported
from .girder_api import GirderApi, Missing
from .girder_tree import STAGING, GirderTree, split
from .girder_uploads import UPLOAD, Upload, sized
from .probing import probe_by_use

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

    from .girder import GirderOptions
    from .girder_api import Doc

_MISSES = 5  # so often a file is asked for whose bytes do not come: 1.5 s
_TURNS = 30  # so often an object is asked for that others keep replacing


class GirderElement(Element):
    """See the module. Powers: ServerCopies (within one server), Renames, KeepsMetadata, KeepsStaging."""

    type = "girder"
    atomic_replace = True

    def __init__(self, options: GirderOptions, *, name: str = "") -> None:
        self.name = name
        self.max_connections = options.connections
        self._piece = options.chunk_size
        self._api = GirderApi(options)
        self._tree = GirderTree(self._api, options.root)
        self._cleaning: set[asyncio.Task[None]] = set()
        self._hashes = True  # whether files may come with their SHA-512: until one comes without

    async def stat(self, pfn: str) -> ObjectInfo:
        return self._info(await self._tree.file(pfn), pfn)

    async def read(self, pfn: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Chunk, None]:
        check_span(start, stop)
        last, misses = "", 0
        for turn in range(_TURNS):
            file = await self._tree.file(pfn)
            if file["_id"] != last:  # replaced while we asked, which says nothing against the new one
                last, misses = file["_id"], 0
            begun = False
            try:
                async with aclosing(self._read(file, pfn, start, stop)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except (Missing, Transient) as error:
                misses += 1
                if begun or misses == _MISSES or turn == _TURNS - 1:
                    raise Transient(error.message, pfn=pfn) from None
            await asyncio.sleep(0.05 * 2**misses)  # it may be being replaced this very moment: the bytes go first

    async def write(
        self,
        pfn: str,
        chunks: AsyncIterable[Chunk],
        *,
        size: int | None = None,
        overwrite: bool = False,
        checksums: Mapping[str, str] = NONE,
    ) -> ObjectInfo:
        name = split(pfn)[-1]
        checked = CheckedChunks(
            chunks, ["sha512" if self._hashes else "adler32"], size=size, expected=checksums, pfn=pfn
        )
        if not overwrite and (size is None or size > BATCH):  # what is small is refused soon enough at its end
            await self._tree.check_free(pfn)
        if size is None:
            async with sized(checked, self._piece) as (again, told):
                return await self._written(name, again, told, checked, pfn, overwrite)
        return await self._written(name, checked, size, checked, pfn, overwrite)

    async def _written(
        self, name: str, chunks: AsyncIterable[Chunk], size: int, checked: CheckedChunks, pfn: str, overwrite: bool
    ) -> ObjectInfo:
        async with self._staged() as item:
            upload = Upload(self._api, item, name, size, pfn)
            file = await upload.send(chunks, self._piece)
            info = self._info(file, pfn)
            self._hashes = bool(info.checksums)
            self.told_checksums = frozenset(info.checksums)
            if differing(checked.checksums, info.checksums):
                raise mismatch(checked.checksums, info.checksums, pfn)
            if upload.resumed:
                await self._read_back(file, pfn, checked)
            await self._tree.show(item, file["_id"], pfn, overwrite=overwrite)
        return ObjectInfo(info.size, info.mtime_us, checked.checksums)

    async def remove(self, pfn: str) -> None:
        await self._tree.remove(pfn)

    async def scan(self, prefix: str = "") -> AsyncGenerator[ScanEntry, None]:
        async with aclosing(self._tree.below(prefix)) as items:
            async for pfn, item in items:
                yield ScanEntry(pfn, item["size"])

    async def probe(self, *, prepare: bool = False, write: bool = True) -> ProbeReport:
        try:
            if prepare:
                await self._tree.prepare()
        except StorageError as error:
            return ProbeReport(ok=False, error=error.message)
        return await probe_by_use(self, write=write)

    async def aclose(self) -> None:
        if self._cleaning:
            await asyncio.wait(self._cleaning)
        await self._api.http.aclose()

    async def copies_from(self, source: Element) -> bool:
        there = unwrapped(source)
        return isinstance(there, GirderElement) and there._api.http.base == self._api.http.base

    async def copy_from(self, source: Element, source_pfn: str, pfn: str, *, overwrite: bool = False) -> ObjectInfo:
        there = unwrapped(source)
        if not isinstance(there, GirderElement) or not await self.copies_from(source):
            raise Unsupported("the source is on another server", pfn=source_pfn)
        name = split(pfn)[-1]
        file = await there._tree.file(source_pfn)
        if not overwrite:
            await self._tree.check_free(pfn)
        async with self._staged() as item:
            try:
                made = await self._api.call("POST", f"file/{file['_id']}/copy", {"itemId": item}, patient=True)
            except Missing:
                raise ObjectNotFound("the source was removed meanwhile", pfn=source_pfn) from None
            except Denied as error:
                raise Unsupported(f"the source is not for our user: {error.message}", pfn=source_pfn) from None
            await self._call_it(made, name)
            await self._tree.show(item, made["_id"], pfn, overwrite=overwrite)
        return self._info(made, pfn)

    async def rename(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Both are there for a moment: what Girder calls moving takes two steps, with neither in between."""
        name = split(target)[-1]
        file = await self._tree.file(source)
        if source == target:
            return
        async with self._staged(file["itemId"]) as item:
            copies = await self._api.call("GET", f"item/{item}/files")
            if len(copies) != 1:
                raise Unsupported("its item holds other files too", pfn=source)
            await self._call_it(copies[0], name)
            await self._tree.show(item, copies[0]["_id"], target, overwrite=overwrite)
            await self._tree.drop("item", file["itemId"])

    async def get_metadata(self, pfn: str) -> dict[str, str]:
        """Of the item. What others put there and is no string comes as JSON."""
        meta: Doc = (await self._tree.item(pfn))["meta"]
        return {k: v if isinstance(v, str) else msgspec.json.encode(v).decode() for k, v in meta.items()}

    async def set_metadata(self, pfn: str, values: Mapping[str, str | None]) -> None:
        for key in values:
            if not key or "." in key or key.startswith("$"):
                raise Unsupported("Girder takes no key that is empty, has a '.' in it or begins with '$'", pfn=pfn)
        item = (await self._tree.file(pfn))["itemId"]
        try:
            await self._api.call("PUT", f"item/{item}/metadata", pfn=pfn, values=dict(values))
        except Missing:
            raise ObjectNotFound("no such object any more", pfn=pfn) from None

    async def scan_staging(self) -> AsyncGenerator[ScanEntry, None]:
        async with aclosing(self._leftovers()) as items:
            async for item in items:
                yield ScanEntry(f"{STAGING}/{item['name']}", item["size"], _moment_us(item["updated"]))

    async def clean_staging(self, older_than_us: int) -> int:
        limit = time.time_ns() // 1000 - older_than_us
        async with aclosing(self._leftovers()) as items:
            old = [item async for item in items if _moment_us(item["updated"]) <= limit]
        for item in old:
            await self._discard(item)
        return len(old)

    async def _leftovers(self) -> AsyncGenerator[Doc, None]:
        folder = await self._tree.folder([STAGING], look=True)
        async with aclosing(self._tree.pages("item", {"folderId": folder})) as items:
            async for item in items:
                yield item

    async def _read(self, file: Doc, pfn: str, start: int, stop: int | None) -> AsyncGenerator[Chunk, None]:
        size = self._info(file, pfn).size
        end = size if stop is None else min(stop, size)
        if start >= end:  # of which Girder would send the whole file
            return
        headers = {"Range": f"bytes={start}-{end - 1}"} if end - start < size else {}
        async with self._api.request(
            "GET", f"file/{file['_id']}/download", accept=(200, 206), pfn=pfn, headers=headers, follow=True
        ) as response:
            whole = response.status == 200
            told = response.headers.get("Content-Range", "")
            if response.content_length not in (None, size if whole else end - start) or not (
                whole or told == f"bytes {start}-{end - 1}/{size}"
            ):
                raise Transient("other bytes came than were asked for", pfn=pfn)
            skip, left = start if whole else 0, end - start
            async with aclosing(self._api.http.pieces(response)) as pieces:
                async for chunk in pieces:
                    wanted = chunk[skip : skip + left]
                    skip -= min(skip, len(chunk))
                    if wanted:
                        left -= len(wanted)
                        yield wanted
                    if not left:
                        return
            raise Transient(f"{left} bytes of the object did not come", pfn=pfn)

    async def _read_back(self, file: Doc, pfn: str, sent: CheckedChunks) -> None:
        async with aclosing(self._read(file, pfn, 0, None)) as chunks:
            async for _ in CheckedChunks(chunks, size=sent.size, expected=sent.checksums, pfn=pfn):
                pass

    async def _call_it(self, file: Doc, name: str) -> None:
        if file["name"] != name:
            await self._api.call("PUT", f"file/{file['_id']}", {"name": name})

    @asynccontextmanager
    async def _staged(self, copy_of: str | None = None) -> AsyncGenerator[str, None]:
        """The id of a new item that nobody looks at, removed again when its use ends in an error."""
        for again in (False, True):
            folder = await self._tree.folder([STAGING], look=again)
            try:
                made = await self._api.call(
                    "POST",
                    f"item/{copy_of}/copy" if copy_of else "item",
                    {"folderId": folder, "name": secrets.token_hex(16)},
                )
                break
            except Missing:
                if again:
                    raise Transient("the staging folder comes and goes") from None
        item: str = made["_id"]
        try:
            yield item
        except BaseException as error:
            task = asyncio.create_task(self._forget(item))
            self._cleaning.add(task)
            task.add_done_callback(self._cleaning.discard)
            if not isinstance(error, asyncio.CancelledError):
                await asyncio.shield(task)
            if isinstance(error, Missing):
                raise Transient("somebody removed what was being uploaded") from None
            raise

    async def _forget(self, item: str) -> None:
        with suppress(StorageError):  # what stays behind is for clean_staging
            found = await self._api.call("GET", f"item/{item}")
            await self._discard(found)

    async def _discard(self, item: Doc) -> None:
        if upload := item["meta"].get(UPLOAD):
            await self._tree.drop("file/upload", upload)
        await self._tree.drop("item", item["_id"])

    @staticmethod
    def _info(file: Doc, pfn: str) -> ObjectInfo:
        if not isinstance(file.get("size"), int):
            raise StorageError("it is a link to elsewhere: its size is not known", pfn=pfn)
        sums = {"sha512": file["sha512"]} if file.get("sha512") else {}
        return ObjectInfo(file["size"], _moment_us(file["created"]), sums)


def _moment_us(text: str) -> int:
    """Girder's time, which it keeps in milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000) * 1000
