"""Bytes on their way to Girder: a file made in pieces, of which the last is sent when all was checked."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from .chunks import BATCH, batches
from .errors import Transient
from .girder_api import Missing
from .http_session import Body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence

    from .base import Chunk
    from .girder_api import Doc, GirderApi

UPLOAD = "lading-upload"  # the key of the metadata that tell an item's unfinished upload
SMALLEST = 5 << 20  # bytes of a piece that Girder takes at least, but for the last
_ONE_REQUEST = 1 << 20  # bytes of a file that is made in one request
_PAUSES = (0, 1, 2, 4)  # seconds before each try: the server must have given up the connection that broke


class Upload:
    """A file of `size` bytes in an item. `resumed`: the connection broke on the way, and what the server has put
    together is to be compared."""

    def __init__(self, api: GirderApi, item: str, name: str, size: int, pfn: str) -> None:
        self.resumed = False
        self.id: str | None = None
        self._api = api
        self._item = item
        self._name = name
        self._size = size
        self._pfn = pfn

    async def send(self, chunks: AsyncIterable[Chunk], piece: int) -> Doc:
        """The file. Whoever gives `chunks` promises `size` bytes, and raises in place of their end if they are not
        right: then there is no file."""
        if self._size <= _ONE_REQUEST:
            return self._complete(await self._start([chunk async for chunk in chunks]))
        self.id = (await self._start([]))["_id"]
        # for whoever cleans up behind us: Girder has no list of uploads but for administrators
        await self._note({UPLOAD: self.id})
        at = 0
        held: list[Chunk] = []  # until what follows has come, or the end: the last piece makes the file
        sending: asyncio.Task[tuple[Doc, list[Chunk]]] | None = None
        try:
            async with aclosing(batches(chunks, piece)) as pieces:
                async for following in pieces:
                    if held:
                        rest = (await sending)[1] if sending else []
                        sending = asyncio.create_task(self._piece([*rest, *held], at - _length(rest)))
                        at += _length(held)
                    held = following
            rest = (await sending)[1] if sending else []
            answer, _ = await self._piece([*rest, *held], at - _length(rest))
            made = self._complete(answer)
            await self._note({UPLOAD: None})
            return made
        finally:
            if sending:
                sending.cancel()
                await asyncio.wait([sending])

    async def _note(self, values: Doc) -> None:
        await self._api.call("PUT", f"item/{self._item}/metadata", values=values)

    async def _start(self, data: list[Chunk]) -> Doc:
        made: Doc = await self._api.call(
            "POST",
            "file",
            {"parentType": "item", "parentId": self._item, "name": self._name, "size": self._size},
            pfn=self._pfn,
            body=(lambda: _body(data)) if data else None,
        )
        return made

    async def _piece(self, data: list[Chunk], at: int) -> tuple[Doc, list[Chunk]]:
        """Send `data`, which begins at `at` in the file; from where the server has it, when the connection breaks.

        The answer, and what is left for the next piece: too little for Girder to take it alone.
        """
        end = at + _length(data)
        start = at
        broken: Transient | None = None
        for pause in _PAUSES:
            try:
                if pause:
                    await asyncio.sleep(pause)
                    self.resumed = True
                    start = await self._received()
                    if start == end:
                        return await self._finished() if end == self._size else {}, []
                    if not at <= start < end:
                        raise Transient(f"the server lost what it took: it has {start} bytes", pfn=self._pfn)
                    if end < self._size and end - start < SMALLEST:
                        return {}, list(_behind(data, start - at))
                answer: Doc = await self._api.call(
                    "POST",
                    "file/chunk",
                    {"uploadId": self.id or "", "offset": start},
                    pfn=self._pfn,
                    body=lambda: _body(data, start - at),  # noqa: B023  (called before `start` changes)
                    patient=end == self._size,
                )
                if end < self._size and answer["received"] != end:
                    raise Transient(f"the server took {answer['received']} bytes of {end}", pfn=self._pfn)
                return answer, []
            except Transient as error:
                broken = error
        assert broken, "tried at least once"
        raise broken

    async def _received(self) -> int:
        """How many bytes the server has."""
        try:
            answer = await self._api.call("GET", "file/offset", {"uploadId": self.id or ""}, pfn=self._pfn)
            return int(answer["offset"])
        except Missing:
            return self._size  # it has them all, or has forgotten the upload: the file tells

    async def _finished(self) -> Doc:
        files: list[Doc] = await self._api.call("GET", f"item/{self._item}/files", pfn=self._pfn)
        return files[0] if files else {}

    def _complete(self, made: Doc) -> Doc:
        if made.get("_modelType") != "file" or made.get("size") != self._size:
            raise Transient("the server did not make a file of what it took", pfn=self._pfn)
        return made


def _body(data: Sequence[Chunk], skip: int = 0) -> Body:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        for chunk in _behind(data, skip):
            yield chunk

    return Body(chunks(), _length(data) - skip)


def _behind(data: Sequence[Chunk], skip: int) -> Iterator[Chunk]:
    """All but the first `skip` bytes."""
    for chunk in data:
        if skip < len(chunk):
            yield memoryview(chunk)[skip:] if skip else chunk
        skip -= min(skip, len(chunk))


def _length(data: Sequence[Chunk]) -> int:
    return sum(map(len, data))


@asynccontextmanager
async def sized(chunks: AsyncIterable[Chunk], memory: int) -> AsyncGenerator[tuple[AsyncIterable[Chunk], int], None]:
    """The same chunks again and how many bytes they are, known when they have all come: Girder wants to know first.
    What is more than `memory` waits in a temporary file."""
    with tempfile.SpooledTemporaryFile(memory) as file:
        async with aclosing(batches(chunks)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(file.writelines, piece)
        size = file.tell()
        file.seek(0)

        async def again() -> AsyncGenerator[Chunk, None]:
            while chunk := await asyncio.to_thread(file.read, BATCH):
                yield chunk

        yield again(), size
