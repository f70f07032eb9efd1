"""The data-set part of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..model.dataset import (
    Dataset,
    DatasetChange,
    DatasetState,
    Difference,
    Finding,
    Freeze,
    Member,
    Members,
    NewDataset,
    Snapshot,
    SnapshotChange,
    SnapshotState,
)
from ..model.errors import Fault, Unavailable, from_fault
from ..model.outcome import Outcomes, Page
from .admin import Part
from .batch import bulk
from .namespace import LONG, Results, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

V = TypeVar("V", Member, Difference, Finding)


class _Last(msgspec.Struct):
    """The last line of a stream: its tail, or why it was cut."""

    files: int | None = None
    hidden: int = 0
    error: Fault | None = None


class Datasets(Part):
    """Data sets by name (`/vo/sets/trial`), and their snapshots (`/vo/sets/trial@3`; the latest without a number).

    `hidden` of the last stream that was read to its end: files that you may not read, and were not told of.
    """

    hidden = 0

    def list(self, under: str = "/") -> AsyncIterator[Dataset]:
        return pages(self.http, "/v1/datasets", Page[Dataset], {"under": under})

    async def create(self, new: NewDataset) -> Dataset:
        return await self.http.call("POST", "/v1/datasets", Dataset, body=new, once=True, wait=LONG)

    async def show(self, name: str) -> DatasetState:
        """What is in it now, where it can be read, what changed since the latest snapshot."""
        return await self.http.call("GET", "/v1/dataset", DatasetState, params={"name": name}, wait=LONG)

    async def set(self, change: DatasetChange) -> Dataset:
        return await self.http.call("PATCH", "/v1/dataset", Dataset, body=change, once=True, wait=LONG)

    async def remove(self, name: str, *, force: bool = False, dry_run: bool = False) -> None:
        """With its snapshots; `force` even when one protects files. No file goes."""
        params = {"name": name, "force": force, "dry_run": dry_run}
        await self.http.call("DELETE", "/v1/dataset", type(None), params=params, once=True, wait=LONG)

    async def add(self, name: str, lfns: Iterable[str], *, dry_run: bool = False) -> Results[None]:
        """Into a list. Safe to repeat."""
        return await self._members("/v1/dataset/add", name, lfns, dry_run)

    async def remove_files(self, name: str, lfns: Iterable[str], *, dry_run: bool = False) -> Results[None]:
        """Out of a list; the files stay. Safe to repeat."""
        return await self._members("/v1/dataset/remove-files", name, lfns, dry_run)

    async def _members(self, path: str, name: str, lfns: Iterable[str], dry_run: bool) -> Results[None]:
        return await bulk(self.http, path, lfns, lambda some: Members(name, some, dry_run), Outcomes[None], wait=LONG)

    def files(self, name: str) -> AsyncIterator[Member]:
        """What is in a data set now, or in a snapshot, in constant memory."""
        return self._stream("/v1/dataset/files", {"name": name}, Member)

    async def freeze(self, name: str, *, note: str = "", annotations: dict[str, Any] | None = None) -> Snapshot:
        """A new snapshot. Its files are not removed from now on, but by force, until it is released."""
        body = Freeze(name, note, annotations or {})
        return await self.http.call("POST", "/v1/dataset/freeze", Snapshot, body=body, once=True, wait=660.0)

    def snapshots(self, name: str) -> AsyncIterator[Snapshot]:
        return pages(self.http, "/v1/snapshots", Page[Snapshot], {"name": name})

    async def snapshot(self, name: str) -> SnapshotState:
        return await self.http.call("GET", "/v1/snapshot", SnapshotState, params={"name": name}, wait=LONG)

    async def set_snapshot(self, change: SnapshotChange) -> Snapshot:
        """Annotate or release it."""
        return await self.http.call("PATCH", "/v1/snapshot", Snapshot, body=change, once=True)

    def diff(self, old: str, new: str) -> AsyncIterator[Difference]:
        return self._stream("/v1/snapshot/diff", {"old": old, "new": new}, Difference)

    def check(self, name: str) -> AsyncIterator[Finding]:
        """Files of a snapshot that are not as they were frozen; none when all is well."""
        return self._stream("/v1/snapshot/check", {"name": name}, Finding)

    async def _stream(self, path: str, params: dict[str, Any], kind: type[V]) -> AsyncIterator[V]:
        """Every line, one behind: the last one is no item. Raises what the stream was cut for."""
        decoder = msgspec.json.Decoder(kind)
        headers = {"Accept": "application/x-ndjson, application/json"}
        rest = last = b""
        async with self.http.stream("GET", path, params=params, headers=headers, wait=LONG) as response:
            while part := await response.content.readany():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if last:
                        yield decoder.decode(last)
                    last = line
        tail = msgspec.json.decode(last, type=_Last) if last and not rest else _Last()
        if tail.error is not None:
            raise from_fault(tail.error)
        if tail.files is None:
            raise Unavailable("the answer ended before its end: ask again")
        self.hidden = tail.hidden
