"""Data sets and snapshots."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from doors.http import stream
from doors.http.routes import Call, Route
from lading.model.dataset import (
    Dataset,
    DatasetChange,
    DatasetState,
    Freeze,
    Members,
    NewDataset,
    Snapshot,
    SnapshotChange,
    SnapshotState,
)
from lading.model.outcome import Outcomes, Page

_Limit = Annotated[int, Meta(ge=1, le=10_000)]


class SetsQuery(Struct, forbid_unknown_fields=True):
    under: str = "/"
    cursor: str | None = None
    limit: _Limit = 1000


class SetQuery(Struct, forbid_unknown_fields=True):
    """`name` of a data set; of a snapshot with its number, as in `/vo/set@3` (the latest without)."""

    name: str


class RemoveQuery(Struct, forbid_unknown_fields=True):
    name: str
    force: bool = False
    dry_run: bool = False


class SnapshotsQuery(Struct, forbid_unknown_fields=True):
    name: str
    cursor: str | None = None
    limit: _Limit = 1000


class DiffQuery(Struct, forbid_unknown_fields=True):
    old: str
    new: str


async def datasets(call: Call[None, SetsQuery]) -> Page[Dataset]:
    q = call.query
    return await call.services.datasets.page(call.caller, under=q.under, cursor=q.cursor, limit=q.limit)


async def create(call: Call[NewDataset]) -> Dataset:
    return await call.services.datasets.create(call.caller, call.body)


async def state(call: Call[None, SetQuery]) -> DatasetState:
    return await call.services.datasets.state(call.caller, call.query.name)


async def change(call: Call[DatasetChange]) -> Dataset:
    return await call.services.datasets.change(call.caller, call.body)


async def remove(call: Call[None, RemoveQuery]) -> None:
    q = call.query
    await call.services.datasets.remove(call.caller, q.name, force=q.force, dry_run=q.dry_run)


async def add(call: Call[Members]) -> Outcomes[None]:
    return await call.services.lists.add_files(call.caller, call.body)


async def remove_files(call: Call[Members]) -> Outcomes[None]:
    return await call.services.lists.remove_files(call.caller, call.body)


async def files(call: Call[None, SetQuery]) -> Any:
    return await stream.stream(call, call.services.set_files.files(call.caller, call.query.name))


async def freeze(call: Call[Freeze]) -> Snapshot:
    return await call.services.snapshots.freeze(call.caller, call.body)


async def snapshots(call: Call[None, SnapshotsQuery]) -> Page[Snapshot]:
    q = call.query
    return await call.services.snapshots.page(call.caller, q.name, cursor=q.cursor, limit=q.limit)


async def snapshot(call: Call[None, SetQuery]) -> SnapshotState:
    return await call.services.snapshots.state(call.caller, call.query.name)


async def change_snapshot(call: Call[SnapshotChange]) -> Snapshot:
    return await call.services.snapshots.change(call.caller, call.body)


async def diff(call: Call[None, DiffQuery]) -> Any:
    return await stream.stream(call, call.services.set_files.diff(call.caller, call.query.old, call.query.new))


async def check(call: Call[None, SetQuery]) -> Any:
    return await stream.stream(call, call.services.set_files.check(call.caller, call.query.name))


_TAIL = 'The last line is `{"files": …, "hidden": …}`: how many lines came before, and how many files the caller may not read.'

ROUTES = [
    Route("GET", "/v1/datasets", datasets, "user", "Data sets that you may read", query=SetsQuery, answer=Page[Dataset], tag="Data sets"),
    Route("POST", "/v1/datasets", create, "user", "Name a query, a list or a combination", body=NewDataset, answer=Dataset, tag="Data sets"),
    Route("GET", "/v1/dataset", state, "user", "What is in a data set now, where, and what changed", query=SetQuery, answer=DatasetState, tag="Data sets"),
    Route("PATCH", "/v1/dataset", change, "user", "Change a data set", body=DatasetChange, answer=Dataset, tag="Data sets"),
    Route("DELETE", "/v1/dataset", remove, "user", "Remove a data set with its snapshots", query=RemoveQuery, status=204, tag="Data sets"),
    Route("POST", "/v1/dataset/add", add, "user", "Put files into a list", body=Members, answer=Outcomes[None], tag="Data sets"),
    Route("POST", "/v1/dataset/remove-files", remove_files, "user", "Take files out of a list", body=Members, answer=Outcomes[None], tag="Data sets"),
    Route(
        "GET", "/v1/dataset/files", files, "user", "The files of a data set or snapshot", query=SetQuery, gives=stream.MEDIA_TYPE, tag="Data sets",
        description=f"A Member a line; those of a snapshot in byte order of their LFNs. {_TAIL}",
    ),
    Route("POST", "/v1/dataset/freeze", freeze, "user", "Make a snapshot", body=Freeze, answer=Snapshot, tag="Data sets"),
    Route("GET", "/v1/snapshots", snapshots, "user", "The snapshots of a data set", query=SnapshotsQuery, answer=Page[Snapshot], tag="Data sets"),
    Route("GET", "/v1/snapshot", snapshot, "user", "One snapshot, and what you may read of it", query=SetQuery, answer=SnapshotState, tag="Data sets"),
    Route("PATCH", "/v1/snapshot", change_snapshot, "user", "Annotate or release a snapshot", body=SnapshotChange, answer=Snapshot, tag="Data sets"),
    Route(
        "GET", "/v1/snapshot/diff", diff, "user", "What differs between two snapshots", query=DiffQuery, gives=stream.MEDIA_TYPE, tag="Data sets",
        description=f"A Difference a line, by LFN. {_TAIL}",
    ),
    Route(
        "GET", "/v1/snapshot/check", check, "user", "Files that are not as they were frozen", query=SetQuery, gives=stream.MEDIA_TYPE, tag="Data sets",
        description=f"A Finding a line. {_TAIL}",
    ),
]  # fmt: skip
